r"""Rows of a wide X as the joint covariance takes them: x'beta + f'alpha = (x - C'f)'beta + f'a, by (W).

The dense columns move by C'f, and f is of the block of sparse columns: a part for each column that a row has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.engine.objective import Objective
from mme.engine.wide_basis import WideBasis
from mme.numeric.lapack import triangular_solve
from mme.solution.between import Covariances
from mme.solution.estimates import Estimates
from mme.solution.prediction_error import Part, combined, levels_of, meetings_of


def wide_records(objective: Objective, X: Any) -> tuple[np.ndarray, list[Part]]:
    """Rows (n, d) of the dense columns, and the parts of the sparse ones, for rows X (n, p) of the kept columns."""
    basis = objective.basis
    assert isinstance(basis, WideBasis)
    d = basis.R.shape[1]
    places = np.empty(basis.order.size, dtype=np.intp)
    places[basis.order] = np.arange(places.size)  # of (beta, alpha) among the kept columns
    by_column = sp.csc_array(X)[:, places]
    dense, F = by_column[:, :d].toarray(), sp.csr_array(by_column[:, d:])
    return np.asarray(dense - F @ basis.C), [Part(len(objective.blocks) - 1, *one) for one in _slots(F)]


def hat_diagonal(estimates: Estimates) -> np.ndarray:
    """c'C^-1 c (n,) of the whitened rows c of [X Z], C of Henderson's equations: leverages, by (V)."""
    objective, p = estimates.objective, estimates.objective.system.p
    F = triangular_solve(estimates.at.border[:p, :p], np.eye(p), transposed=False)
    parts = list[Part]()
    for b, block in enumerate(objective.blocks):
        if block.is_fixed:
            assert isinstance(objective.basis, WideBasis)
            parts += [Part(b, *one) for one in _slots(sp.csr_array(objective.basis.sparse.F))]
            continue
        z = np.column_stack([np.ones(objective.model.n) if one is None else one for one in block.columns])
        own = enumerate(np.atleast_2d(block.codes))
        parts += [Part(b, codes, z * np.eye(block.q)[a] if block.by_column else z) for a, codes in own]
    H = Covariances(estimates)
    return combined(F, levels_of(H), objective.basis.Q, parts, meetings_of(estimates, parts), H.between)


def _slots(F: sp.csr_array) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first entries of all rows, the second ones, ...: columns (n,) and values (n, 1), zero where there is none."""
    each, found = np.diff(F.indptr), []
    for k in range(int(each.max(initial=0))):
        has = each > k
        at = F.indptr[:-1][has] + k
        codes, z = np.zeros(each.size, dtype=np.int64), np.zeros((each.size, 1))
        codes[has], z[has, 0] = F.indices[at], F.data[at]
        found.append((codes, z))
    return found
