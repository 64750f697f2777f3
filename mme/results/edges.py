"""What zeros of T mean, in words: variances of zero, and coefficients that others determine."""

from __future__ import annotations

import numpy as np

from mme.covariance.coordinates import tied
from mme.model.problem import Model

# A standard deviation of the random effects below this share of what their columns' size would make visible is zero.
_ZERO = 1e-5


def edges(model: Model, theta: np.ndarray, size: np.ndarray) -> list[str]:
    """Say for each zero on a diagonal of T which variance is zero, or which coefficients are tied together.

    ``size`` (k,) of the columns that theta multiplies, in the axes of the terms. T[i, i] = 0 with the rest of its row
    not zero: b_i is a linear function of b_1 ... b_(i-1).
    """
    found = []
    parts = zip(model.terms, model.T(theta), _determined(model, theta, size), strict=True)
    for t, (term, T, (edge, zero)) in enumerate(parts):
        if (kept := model.coefficients(t)) is not None:
            edge = edge & np.isin(np.arange(edge.size), kept)
        if edge.size > 1 and edge.all() and zero.all() and model.structures[t].one_scale:
            found.append(f"the variance of {term.name} is zero")
            continue
        for i in np.flatnonzero(edge).tolist():
            earlier = [j for j in range(i) if not zero[j]]
            if zero[i] or not earlier:
                found.append(f"the variance of {term.columns[i]} by {term.name} is zero")
            elif len(earlier) == 1:
                sign = "+" if T[i] @ T[earlier[0]] > 0 else "-"
                pair = f"{term.columns[earlier[0]]} and {term.columns[i]}"
                found.append(f"the correlation of {pair} by {term.name} is {sign}1")
            else:
                others = ", ".join(term.columns[j] for j in earlier)
                found.append(f"{term.columns[i]} by {term.name} is determined by {others}")
    return found


def _determined(model: Model, theta: np.ndarray, size: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each term which coefficients (q,) earlier ones determine, and which of them are zero."""
    coordinates, found = model.coordinates, []
    for one, axes in zip(model.T(coordinates.inner(theta) * size), coordinates.axes, strict=True):
        if axes is None:
            found.append((np.abs(np.diag(one)) < _ZERO, np.linalg.norm(one, axis=1) < _ZERO))
        else:
            at = tied(one, axes)
            found.append((at.determined, at.zero))
    return found
