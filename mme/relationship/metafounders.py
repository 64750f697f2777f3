r"""Pedigrees whose unknown parents are metafounders: related pseudo-individuals, so that base populations differ.

    K_ii = 1 + K_sd / 2,      K_ij = (K_sj + K_dj) / 2,      K = Gamma among the metafounders
    K^-1 = (I - P)' blockdiag(Gamma^-1, D^-1) (I - P),      d_i = 1 - (K_ss + K_dd) / 4                           (K)

(Legarra, Christensen, Vitezica, Aguilar and Misztal 2015, Genetics 200:455-468). Selfing after the cross of a row
brings K_ii to 2 - (2 - K_ii) / 2^t in t generations, and adds as much to d_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.numeric.memory import require
from mme.relationship.known import Relationship, invert
from mme.relationship.pedigree import Pedigree
from mme.tables.arrays import numbers, shown
from mme.tables.labels import name


def metafounders(pedigree: Pedigree, gamma: Any) -> Relationship:
    """The relationship (K) of a pedigree with metafounders in place of its groups of unknown parents.

    Parameters
    ----------
    pedigree : Pedigree
        With ``unknown_groups``, the metafounders; a parent that is unknown without a group is related to nobody.
    gamma : number or (g, g) array
        Gamma, relationships within and between the metafounders in the order of ``unknown_groups``: of genotyped
        populations 8 times the covariance of their base allele frequencies. A number is that of one metafounder.

    Returns
    -------
    Relationship
        With the animals and, after them, the metafounders as levels.

    Raises
    ------
    MMEError
        The pedigree has no groups, Gamma has another size, is not symmetric and positive definite, or so large that
        founders have no variance of their own.

    Examples
    --------
    Two founders of one metafounder are related by gamma, and each is inbred by gamma / 2:

    >>> pedigree = Pedigree(["a", "b"], ["m", "m"], ["m", "m"], unknown_groups=["m"])
    >>> K = metafounders(pedigree, 0.5)
    >>> np.linalg.inv(K.precision.toarray()).round(3)
    array([[1.25, 0.5 , 0.5 ],
           [0.5 , 1.25, 0.5 ],
           [0.5 , 0.5 , 0.5 ]])
    """
    if not isinstance(pedigree, Pedigree) or not pedigree.groups.size:
        raise MMEError("metafounders: name them as unknown_groups of an mme.Pedigree, which has none")
    n, g = pedigree.animals.size, pedigree.groups.size
    Gamma = np.atleast_2d(numbers(gamma, "gamma"))
    if Gamma.shape != (g, g) or not np.allclose(Gamma, Gamma.T, atol=1e-10):
        raise MMEError(
            f"gamma must be a symmetric matrix of {g} x {g}, one row for each of {name(pedigree.groups.tolist())}; got "
            f"{shown(gamma)}"
        )
    inverse, logdet, dependent = invert(Gamma)
    if dependent.size:
        raise MMEError(
            f"gamma is not positive definite: {name(pedigree.groups[dependent].tolist())} follow from others"
        )
    require(8 * (n + g + 1) ** 2, f"relationships of {n:,} animals with metafounders, made whole, would take")
    K, of_cross = _tabular(pedigree, Gamma)
    own = np.append(np.diag(K), 0.0)  # of an unknown parent
    d = 1.0 - 0.25 * (own[pedigree.sire] + own[pedigree.dam]) + own[:n] - of_cross
    if (d <= 0.0).any():
        raise MMEError(f"gamma leaves {name(pedigree.animals[d <= 0.0].tolist())} no variance of their own")
    rows = np.concatenate([np.arange(n + g), *(np.flatnonzero(one >= 0) for one in (pedigree.sire, pedigree.dam))])
    columns = np.concatenate([np.arange(n + g), *(one[one >= 0] for one in (pedigree.sire, pedigree.dam))])
    I_P = sp.csr_array((np.repeat([1.0, -0.5], [n + g, rows.size - n - g]), (rows, columns)), shape=(n + g, n + g))
    precision = sp.csc_array(I_P.T @ sp.block_diag([sp.diags_array(1.0 / d), inverse], format="csr") @ I_P)
    precision.sort_indices()
    made = Relationship._known(pedigree.levels, precision, float(np.log(d).sum()) + logdet)
    made.diagonal = np.diag(K).copy()
    return made


def _tabular(pedigree: Pedigree, Gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K among animals and metafounders, row by row, parents first, and K_ii (n,) before any selfing."""
    n, g = pedigree.animals.size, pedigree.groups.size
    K = np.zeros((n + g + 1, n + g + 1))  # the last row and column: an unknown parent, related to nobody
    K[n : n + g, n : n + g] = Gamma
    known, pairs, of_cross = np.arange(n, n + g), (pedigree.sire, pedigree.dam), np.empty(n)
    for i in pedigree.sorted.tolist():
        s, d = (int(one[i]) for one in pairs)
        K[i, known] = K[known, i] = 0.5 * (K[s, known] + K[d, known])
        of_cross[i] = 1.0 + 0.5 * K[s, d]
        K[i, i] = 2.0 - (2.0 - of_cross[i]) * pedigree.outbred[i]
        known = np.append(known, i)
    return K[: n + g, : n + g], of_cross
