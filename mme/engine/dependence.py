r"""Which columns of a wide X are kept: those that do not depend on columns before them, as of a dense one.

Sparse columns F come first here, as they are eliminated first: a small pivot of F'F finds one that depends on others,
whatever their order, and what F leaves of a dense column tells whether that depends on F. Each finds an equation
X c = 0. The columns that R leaves out are the last of such equations, once no two of them end alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.sweep import Sweep
from mme.numeric.factor import factorise
from mme.numeric.limits import limits
from mme.numeric.pooled import Pooled
from mme.numeric.rank import RANK_TOLERANCE, independent_columns

# F'F, columns of length one, is factorised with this on its diagonal, and a pivot below the second is looked into.
_RIDGE, _SMALL = 1e-12, 1e-7
# A weight of an equation below this share of its largest, columns of length one, is rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Equation:
    """sum_j ``weights``_j x_j = 0 over the columns of X at ``columns``, ascending."""

    columns: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, weights: np.ndarray) -> Equation:
        """Without weights that are rounding."""
        kept = np.abs(weights) > _ROUNDING * np.abs(weights).max(initial=0.0)
        columns, weights = columns[kept], weights[kept]
        order = np.argsort(columns)
        return cls(columns[order], weights[order])

    def less(self, other: Equation) -> Equation:
        """Without its last column, which is the last of the other too."""
        columns = np.union1d(self.columns, other.columns)
        weights = np.zeros(columns.size)
        weights[np.searchsorted(columns, self.columns)] = self.weights
        weights[np.searchsorted(columns, other.columns)] -= self.weights[-1] / other.weights[-1] * other.weights
        return Equation.of(columns[:-1], weights[:-1])


def equations(
    dense: np.ndarray, F: sp.csc_array, dense_at: np.ndarray, sparse_at: np.ndarray, rows_of_F: Pooled | None
) -> list[Equation]:
    """The equations of dense columns (rows (d, n)) and of F (n, f), which are X at these places: no two end alike.

    A column of zeros has one by itself. ``rows_of_F`` are the rows of F once each, where they repeat.
    """
    size_D = np.sqrt(np.einsum("in,in->i", dense, dense))
    size_F = np.sqrt(np.asarray(F.multiply(F).sum(axis=0)).ravel())
    found = [Equation(np.array([j]), np.ones(1)) for j in sparse_at[size_F == 0.0].tolist()]
    present = np.flatnonzero(size_F > 0.0)
    unit = sp.csc_array(F[:, present] @ sp.diags_array(1.0 / size_F[present]))
    pool = None if rows_of_F is None else rows_of_F.chosen(present).scaled(1.0 / size_F[present])
    own, kept = _among_sparse(unit, sparse_at[present], pool)
    found += own
    rows = dense / np.where(size_D > 0.0, size_D, 1.0)[:, None]
    found += _of_dense(rows, _sweep(unit, kept, pool), dense_at, sparse_at[present[kept]])
    by_last: dict[int, Equation] = {}
    for one in found:
        while one.columns.size and (last := int(one.columns[-1])) in by_last:
            one = one.less(by_last[last])
        if one.columns.size:
            by_last[last] = one
    length = np.ones(dense_at.size + sparse_at.size)
    length[dense_at], length[sparse_at] = size_D, size_F
    length[length == 0.0] = 1.0
    return [Equation(one.columns, one.weights / length[one.columns]) for one in by_last.values()]


def _sweep(F: sp.csc_array, columns: np.ndarray, rows: Pooled | None) -> Sweep:
    """The sweep of some columns of F."""
    return Sweep(sp.csc_array(F[:, columns]), None if rows is None else rows.chosen(columns))


def _among_sparse(unit: sp.csc_array, at: np.ndarray, rows: Pooled | None) -> tuple[list[Equation], np.ndarray]:
    """Equations of columns of length one, and which of these are left without those that they are found for."""
    p = unit.shape[1]
    if np.bincount(unit.indices, minlength=1).max() <= 1:
        return [], np.arange(p)
    gram = sp.csc_array(unit.T @ unit) if rows is None else rows.gram
    factor = factorise(sp.csc_array(gram + _RIDGE * sp.eye_array(p)), "the sparse columns of X")
    suspects = np.sort(factor.perm[factor.pivots < _SMALL])
    if not suspects.size:
        return [], np.arange(p)
    others = np.setdiff1d(np.arange(p), suspects)
    sweep, found, independent = _sweep(unit, others, rows), list[Equation](), list[int]()
    step = max(1, limits().solved_numbers // max(unit.shape))
    for start in range(0, suspects.size, step):
        chosen = suspects[start : start + step]
        left, along = sweep.apart(unit[:, chosen].toarray().T)
        for j, row, c in zip(chosen.tolist(), left, along.T, strict=True):
            if float(np.linalg.norm(row)) >= RANK_TOLERANCE:
                independent.append(j)
            else:
                found.append(Equation.of(np.append(at[others], at[j]), np.append(-c, 1.0)))
    return found, np.sort(np.append(others, np.array(independent, dtype=np.intp)))


def _of_dense(rows: np.ndarray, sweep: Sweep, dense_at: np.ndarray, sparse_at: np.ndarray) -> list[Equation]:
    """Equations of dense columns (d, n), of length one or zero, and of the sparse ones that are kept."""
    left, along = sweep.apart(rows)
    kept = independent_columns(left.T)
    gone = np.setdiff1d(np.arange(len(rows)), kept)
    if not gone.size:
        return []
    weights = np.linalg.lstsq(left[kept].T, left[gone].T, rcond=None)[0] if kept.size else np.zeros((0, gone.size))
    columns, found = np.concatenate([dense_at[kept], sparse_at]), []
    for j, of_dense in zip(gone.tolist(), weights.T, strict=True):
        of_sparse = along[:, j] - along[:, kept] @ of_dense
        found.append(Equation.of(np.append(columns, dense_at[j]), np.append(-np.append(of_dense, of_sparse), 1.0)))
    return found
