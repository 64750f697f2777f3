"""Codings of a factor by columns: R's contrasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.frame import Factor, labels_of


@dataclass(frozen=True)
class Contrast:
    """A coding of a factor by columns.

    ``base`` is the treatment of reference, a label or a position from 1. ``numbered`` names the columns by position
    and not by label, as R does where a contrast is given as a function, ``C(f, contr.treatment)``.
    """

    kind: str
    base: Any = None
    numbered: bool = False


@dataclass(frozen=True)
class ContrastedFactor(Factor):
    """A factor whose coding the formula names: ``C(f, contr.sum)``."""

    contrast: Contrast = field(default_factory=lambda: Contrast("treatment"))


def contrast_matrix(contrast: Contrast, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the (levels, levels - 1) coding of a factor and the suffixes of its coefficients, as in R."""
    k = len(labels)
    numbers = [str(j) for j in range(1, k)]
    if contrast.kind == "sum":
        return np.vstack([np.eye(k - 1), -np.ones(k - 1)]), numbers
    if contrast.kind == "helmert":
        below = np.arange(k)[:, None] - np.arange(1, k)
        return np.where(below < 0, -1.0, np.where(below == 0, np.arange(1, k), 0.0)), numbers
    if contrast.kind == "poly":
        scores = np.linspace(-1, 1, k)[:, None] ** np.arange(k)
        Q, R = np.linalg.qr(scores)  # orthonormal polynomials, leading coefficients positive
        names = [".L", ".Q", ".C", *(f"^{j}" for j in range(4, k))]
        return (Q * np.sign(np.diag(R)))[:, 1:], names[: k - 1]
    base = _base(contrast, labels)
    kept = [j for j in range(k) if j != base]
    return np.eye(k)[:, kept], [str(j + 1) if contrast.numbered else labels[j] for j in kept]


def _base(contrast: Contrast, labels: list[str]) -> int:
    if contrast.base is None:
        return len(labels) - 1 if contrast.kind == "SAS" else 0
    wanted = labels_of(np.array([contrast.base], dtype=object))[0]
    if wanted in labels:
        return labels.index(wanted)
    if wanted.isdigit() and 1 <= int(wanted) <= len(labels):
        return int(wanted) - 1
    raise MMEError(f"the contrast's base '{wanted}' is not among the levels {', '.join(labels[:5])}")
