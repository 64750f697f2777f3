r"""The sparse inverse of a covariance by a recursion: u_i = sum_p share_p u_p + phi_i over the parents p of i.

    u = P u + phi,    var(phi) = D diagonal    =>    K^-1 = (I - P)' D^-1 (I - P)

(Henderson 1976, Biometrics 32:69-83).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp


def recursive_precision(parents: Sequence[tuple[np.ndarray, float]], d: np.ndarray, size: int) -> sp.csc_array:
    """K^-1 (size, size), sorted.

    ``parents`` are positions (n,), -1 of an unknown one, each with its share; ``d`` (n,) are the variances of phi.
    Positions from n on, up to ``size``, are of groups, which have no row of their own.

    Examples
    --------
    >>> recursive_precision([(np.array([-1, 0]), 0.5)], np.array([1.0, 0.75]), 2).toarray().round(3)
    array([[ 1.333, -0.667],
           [-0.667,  1.333]])
    """
    n = d.size
    rows, columns, values = [np.arange(n)], [np.arange(n)], [np.ones(n)]
    for parent, share in parents:
        known = np.flatnonzero(parent >= 0)
        rows.append(known)
        columns.append(parent[known])
        values.append(np.full(known.size, -share))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    I_P = sp.csr_array(entries, shape=(n, size))
    precision = sp.csc_array(I_P.T @ (sp.diags_array(1.0 / d) @ I_P))
    precision.sort_indices()
    return precision
