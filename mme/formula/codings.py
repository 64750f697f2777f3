"""Codings of a factor by columns: R's contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import numbers
from mme.tables.column import Factor
from mme.tables.spelling import label, labels_of, places

# By the words of R and of MASS, of which patsy and formulaic write some in other ways.
KINDS = ("treatment", "sum", "helmert", "poly", "SAS", "sdif")
_SPELLINGS = {kind.lower(): kind for kind in KINDS} | {
    "effects": "sum",
    "deviation": "sum",
    "dummy": "treatment",
    "diff": "sdif",
}
# Declared names of the polynomials; the others are numbered.
_POWERS = (".L", ".Q", ".C")


@dataclass(frozen=True)
class Contrast:
    """A coding of a factor by columns.

    ``base`` is the treatment of reference, a label or a position from 1. ``numbered`` names the columns by position
    and not by label, as R does where a contrast is given as a function, ``C(f, contr.treatment)``. ``scores`` are those
    of the polynomials; ``how_many`` keeps the first columns. ``weights``, one row per level, are a coding of the user's
    own, whose columns have ``names``.
    """

    kind: str
    base: Any = None
    numbered: bool = False
    scores: tuple[float, ...] = ()
    how_many: int | None = None
    weights: tuple[tuple[float, ...], ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContrastedFactor(Factor):
    """A factor whose coding the formula names: ``C(f, contr.sum)``."""

    contrast: Contrast = field(default_factory=lambda: Contrast("treatment"))


def contrast_of(factor: Factor) -> Contrast:
    """The coding that a factor asks for: R's defaults are treatments, and polynomials for an ordered factor."""
    if isinstance(factor, ContrastedFactor):
        return factor.contrast
    return Contrast("poly" if factor.ordered else "treatment")


def named(word: str) -> Contrast | None:
    """The contrast of a word, ``"sum"``, ``"contr.sum"`` or ``"Sum"``; None: there is none."""
    kind = _SPELLINGS.get(word.removeprefix("contr.").lower())
    return None if kind is None else Contrast(kind)


def given(coding: Any, labels: tuple[str, ...], name: str) -> Contrast:
    """The contrast that a user gives for the factor ``name``: a word, or the matrix of its columns.

    Rows of an array are levels in their order; those of a table or a mapping go by their labels.

    Raises
    ------
    MMEError
        It is neither, has no row for a level, or no finite numbers.
    """
    if isinstance(coding, Contrast):
        return coding
    if isinstance(coding, str):
        found = named(coding)
        if found is None:
            raise MMEError(f"contrasts: '{name}' has {coding!r}; a word is one of {', '.join(KINDS)}")
        return found
    rows, names = _labelled(coding, labels, name)
    weights = numbers(rows, f"contrasts of '{name}'")
    weights = weights[:, None] if weights.ndim == 1 else weights
    if weights.ndim != 2 or weights.shape[0] != len(labels) or weights.shape[1] == 0:
        raise MMEError(
            f"contrasts: '{name}' has {len(labels)} levels ({', '.join(labels[:8])}), so that its contrasts need "
            f"{len(labels)} rows, one a level; got shape {weights.shape}"
        )
    if not np.isfinite(weights).all():
        raise MMEError(f"contrasts: those of '{name}' hold missing or infinite values")
    return Contrast("own", weights=tuple(map(tuple, weights.tolist())), names=names)


def _labelled(coding: Any, labels: tuple[str, ...], name: str) -> tuple[Any, tuple[str, ...]]:
    """Rows in the order of the levels, and the names of the columns; only a table or a mapping has labels."""
    names = tuple(getattr(coding, "columns", ()))
    names = () if all(isinstance(one, int) for one in names) else tuple(map(str, names))
    index = list(coding) if isinstance(coding, Mapping) else getattr(coding, "index", None)
    if index is None or callable(index):  # a list has a method of this name
        return coding, names
    rows = dict(zip(labels_of(np.array(list(index), dtype=object)), _rows(coding), strict=True))
    absent = [label for label in labels if label not in rows]
    if absent and list(index) == list(range(len(index))):  # a table whose rows have no labels
        return coding, names
    if absent:
        raise MMEError(
            f"contrasts: those of '{name}' have no row for {', '.join(map(repr, absent[:5]))}; their rows are "
            f"{', '.join(map(repr, list(rows)[:8]))}"
        )
    return [rows[label] for label in labels], names


def _rows(coding: Any) -> list[Any]:
    return list(coding.values()) if isinstance(coding, Mapping) else list(np.asarray(coding))


def width(contrast: Contrast, k: int) -> int:
    """Number of columns for k levels."""
    columns = len(contrast.weights[0]) if contrast.kind == "own" else k - 1
    return min(columns, contrast.how_many or columns)


def contrast_matrix(contrast: Contrast, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the (levels, columns) coding of a factor and the suffixes of its coefficients, as in R."""
    table, names = _coding(contrast, labels)
    kept = width(contrast, len(labels))
    return table[:, :kept], names[:kept]


def levels_with_columns(contrast: Contrast, labels: list[str]) -> tuple[np.ndarray, list[str]] | None:
    """The levels that have a column of their own, and its suffix; None where a column belongs to several levels."""
    if contrast.kind not in ("treatment", "SAS") or contrast.how_many is not None or len(labels) < 2:
        return None
    base = _base(contrast, labels)
    kept = [j for j in range(len(labels)) if j != base]
    return np.array(kept), [str(j + 1) if contrast.numbered else labels[j] for j in kept]


def _coding(contrast: Contrast, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    k = len(labels)
    positions = [str(j) for j in range(1, k)]
    match contrast.kind:
        case "own":
            return _own(contrast, labels)
        case "sum":
            return np.vstack([np.eye(k - 1), -np.ones(k - 1)]), positions
        case "helmert":
            below = np.arange(k)[:, None] - np.arange(1, k)
            return np.where(below < 0, -1.0, np.where(below == 0, np.arange(1, k), 0.0)), positions
        case "sdif":  # coefficient j is the mean of level j + 1 less that of level j (MASS)
            steps = np.arange(1, k)
            table = np.where(np.arange(k)[:, None] < steps, steps - k, steps) / k
            called = [str(j + 1) for j in range(k)] if contrast.numbered else labels
            return table, [f"{after}-{before}" for before, after in pairwise(called)]
        case "poly":
            return _polynomials(contrast, k), [*_POWERS, *(f"^{j}" for j in range(4, k))][: k - 1]
    base = _base(contrast, labels)
    kept = [j for j in range(k) if j != base]
    return np.eye(k)[:, kept], [str(j + 1) if contrast.numbered else labels[j] for j in kept]


def _own(contrast: Contrast, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    table = np.array(contrast.weights)
    if table.shape[0] != len(labels):
        raise MMEError(f"the contrasts have {table.shape[0]} rows for the {len(labels)} levels {', '.join(labels[:8])}")
    return table, list(contrast.names) or [str(j) for j in range(1, table.shape[1] + 1)]


def completed(weights: np.ndarray) -> np.ndarray:
    """Contrasts (k, m) followed by orthonormal ones for the rest, k - 1 in all, as in R's ``C(f, weights)``."""
    Q, R = np.linalg.qr(np.column_stack([np.ones(len(weights)), weights]), mode="complete")
    if (np.abs(np.diag(R)) < 1e-7 * np.abs(R).max()).any():
        raise MMEError("the contrasts depend on each other, or hold one that is the same for all levels")
    return np.column_stack([weights, Q[:, weights.shape[1] + 1 :]])


def _polynomials(contrast: Contrast, k: int) -> np.ndarray:
    """Polynomials orthonormal over the scores, by their recurrence: powers would lose all digits at thirty levels."""
    scores = np.asarray(contrast.scores or np.linspace(-1.0, 1.0, k), dtype=float)
    if scores.size != k or np.unique(scores).size != k:
        raise MMEError(f"contr.poly() needs {k} distinct scores, one a level; got {scores.tolist()}")
    scores = (scores - scores.mean()) / np.ptp(scores)
    Q = np.empty((k, k))
    Q[:, 0] = 1.0 / np.sqrt(k)
    for j in range(1, k):
        column = scores * Q[:, j - 1]
        for _ in range(2):  # once more for what rounding left
            column = column - Q[:, :j] @ (Q[:, :j].T @ column)
        Q[:, j] = column / np.linalg.norm(column)
    return Q[:, 1:]


def _base(contrast: Contrast, labels: list[str]) -> int:
    if contrast.base is None:
        return len(labels) - 1 if contrast.kind == "SAS" else 0
    wanted = label(contrast.base)
    position = int(wanted) - 1 if wanted.isdecimal() and 1 <= int(wanted) <= len(labels) else None
    if contrast.numbered and position is not None and not isinstance(contrast.base, str):
        return position  # R's base is a position, whatever the labels
    place = int(places(np.array([wanted], dtype=object), np.array(labels, dtype=object))[0])
    if place >= 0:
        return place
    if position is not None:
        return position
    raise MMEError(f"the contrast's base '{wanted}' is not among the levels {', '.join(labels[:5])}")
