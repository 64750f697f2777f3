"""Coefficients that can be held at zero without loss: what is left still has every V that the whole model has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mme.identifiability.independence import DEPENDENT, DerivativeProducts, TermDerivatives
from mme.model.problem import Model

# A coefficient below this share of the largest is rounding.
NOTHING = 1e-6


def redundant(model: Model, parts: list[TermDerivatives], found: DerivativeProducts) -> list[np.ndarray]:
    """Coefficients that may be held at zero one after the other: what is left has all the V that there were."""
    held = [np.zeros(term.q, dtype=bool) for term in model.terms]
    in_use = np.isfinite(found.values).all(axis=1)
    touched = np.abs(found.null).max(axis=0) > NOTHING
    for part, columns in zip(parts, held, strict=True):
        inner = part.structure
        if inner.entries is not None and inner.correlated:
            rows, cols = inner.entries
            columns |= part.dependent
            in_use[part.rows] &= ~(columns[rows] | columns[cols])
    for t, columns in _candidates(parts):
        own = _own_rows(parts[t], columns)
        own = own[in_use[own]]
        if own.size and touched[own].all():
            others = in_use.copy()
            others[own] = False
            if _holds(parts, found, parts[t], own, others):
                held[t] |= columns
                in_use[own] = False
    return held


def _candidates(parts: list[TermDerivatives]) -> Iterator[tuple[int, np.ndarray]]:
    """Terms whose absence leaves a model of the same kind, the smallest first and of these the last one."""
    found = []
    for t, part in enumerate(parts):
        inner, q = part.structure, part.structure.q
        if inner.entries is not None and not inner.correlated:
            found += [(1, -t, -j, np.arange(q) == j) for j in range(q)]
        elif inner.is_cone:
            found.append((inner.k, -t, 0, np.ones(q, dtype=bool)))
    yield from ((-t, columns) for _, t, _, columns in sorted(found, key=lambda one: one[:3]))


def _own_rows(part: TermDerivatives, columns: np.ndarray) -> np.ndarray:
    """The rows of a term's derivatives, or of one column of a diagonal one."""
    rows = np.arange(part.rows.start, part.rows.stop)
    return rows if len(rows) != columns.size or columns.all() else rows[columns]


def _holds(
    parts: list[TermDerivatives], found: DerivativeProducts, part: TermDerivatives, own: np.ndarray, others: np.ndarray
) -> bool:
    """Whether whatever H a term has, the others can have it beside their own: coefficients within their cones.

    V_t(f f') = sum_i c_i V_i for directions f, the c_i of each other term a positive semi-definite matrix.
    """
    at = np.flatnonzero(others)
    if not at.size:
        return False
    solved = np.linalg.lstsq(found.values[at].T, found.values[own].T, rcond=DEPENDENT)[0]
    if np.abs(found.values[at].T @ solved - found.values[own].T).max() > NOTHING:
        return False
    solved[np.abs(solved) < NOTHING * np.abs(solved).max(axis=0)] = 0.0
    c = np.zeros((len(found.lengths), len(own)))
    c[at] = solved * found.lengths[own] / found.lengths[at][:, None]
    for direction in _directions(part, len(own)):
        along = c @ direction
        if len(along) > parts[-1].rows.stop and along[-1] < 0.0:  # of I
            return False
        if not all(_within_cone(other, along[other.rows]) for other in parts):
            return False
    return True


def _directions(part: TermDerivatives, count: int) -> np.ndarray:
    """Coordinates (directions, count) of changes f f' of a term's H."""
    inner = part.structure
    if count == 1 or inner.entries is None or not inner.correlated:
        return np.eye(count)
    rows, cols = inner.entries
    f = np.concatenate([np.eye(inner.q), np.random.default_rng(3).standard_normal((2 * inner.q, inner.q))])
    return f[:, rows] * f[:, cols]


def _within_cone(part: TermDerivatives, coefficients: np.ndarray) -> bool:
    """Whether a change of a term's H can be added to any: positive semi-definite, and within its structure."""
    D, inner = np.einsum("i,iab->ab", coefficients, part.D), part.structure
    size = float(np.abs(D).max(initial=0.0))
    if inner.is_cone:
        return bool(np.linalg.eigvalsh(D)[0] >= -NOTHING * size)
    return size <= NOTHING
