"""Predictions for new records: population mean, plus the BLUPs of the levels that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.estimates import Estimates, term_values
from mme.levels import match


def predict_rows(
    estimates: Estimates,
    X: np.ndarray,
    offset: np.ndarray | None,
    groups: Sequence[tuple[Any, np.ndarray | None]],
    *,
    random: bool,
    new_levels: str,
) -> np.ndarray:
    """X beta + Z b + offset for new records; ``groups`` holds (labels, covariates) of each term; NaN without a label.

    Raises
    ------
    MMEError
        A label is not among the levels of the fit and ``new_levels`` is ``"error"``.
    """
    if new_levels not in ("error", "population"):
        raise MMEError(f"new_levels must be 'error' or 'population', got {new_levels!r}")
    mean = X[:, estimates.objective.basis.kept] @ estimates.beta
    if offset is not None:
        mean = mean + offset
    if not random:
        return np.asarray(mean)
    terms = estimates.objective.model.terms
    for term, b, (labels, covariates) in zip(terms, estimates.b, groups, strict=True):
        present = _present(labels)
        codes = np.full(present.size, -1)
        codes[present] = match(labels[present], term.levels, term.group)
        unknown = present & (codes < 0)
        if unknown.any() and new_levels == "error":
            found = np.unique(np.asarray(labels, dtype=object)[unknown].astype(str))
            raise MMEError(
                f"grouping factor '{term.group}' has {found.size} level(s) that the fit did not see: "
                f"{', '.join(map(repr, found[:5].tolist()))}; use new_levels='population' to predict them at the "
                "population value"
            )
        # A level that was not seen has the expectation of b: zero.
        mean = mean + np.where(unknown, 0.0, term_values(np.maximum(codes, 0), covariates, b))
        mean[~present] = np.nan
    return np.asarray(mean)


def _present(labels: np.ndarray) -> np.ndarray:
    """Rows with a label; a formula gives None for a missing one."""
    if labels.dtype.kind != "O":
        return np.ones(labels.size, dtype=bool)
    return np.array([label is not None for label in labels.tolist()], dtype=bool)
