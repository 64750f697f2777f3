r"""Natural units of variance parameters: how far each may move before it matters.

The criterion and beta's covariance are analytic functions of theta, whose nearest singularity lies about
rho = max_g (D_g)_aa^-1/2 off for an entry in row a of T, where

    D_g = Z_g'(I + Z_g H Z_g')^-1 Z_g,        H = T T'                                                              (D)

is what the records of level g tell about its effects. A standard deviation that all columns share moves all of them,
along the direction of which the records tell most: rho = max_g (largest eigenvalue of D_g)^-1/2.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.objective import Objective

# Columns from which on one eigenvalue alone is sought.
_LARGE = 300


def natural_units(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Rho for each entry of theta (k,)."""
    rho = []
    for part, D in zip(objective.model.structures, level_information(objective, theta), strict=True):
        most = np.einsum("gaa->ga", D).max(axis=0)
        if part.one_scale:
            most[:] = largest_eigenvalue(D)
        rho.append(part.per_row(np.where(most > 0.0, most, 1.0) ** -0.5, 1.0))
    return np.concatenate([np.zeros(0), *rho])


def largest_eigenvalue(D: np.ndarray) -> float:
    """That of all of these symmetric matrices (J, q, q); of a single large one to a hundredth."""
    if len(D) > 1 or D.shape[1] < _LARGE:
        return float(np.linalg.eigvalsh(D).max())
    from scipy.sparse.linalg import eigsh

    return float(eigsh(D[0], k=1, tol=1e-2, return_eigenvectors=False).item())


def level_information(objective: Objective, theta: np.ndarray) -> list[np.ndarray]:
    """D_g (levels, q, q) of each term, in the columns that theta is of, as if no other factor were random."""
    out: dict[int, np.ndarray] = {}
    for block in objective.random:
        T = block.T(theta)
        if block.is_spherical:
            R, s = block.spectrum.R, block.spectrum.s
            D = ((R.T / (1.0 + (T[0, 0] * s) ** 2)) @ R)[None] * block.scale[0] ** 2
            out[block.terms[0]] = D
            continue
        G = _gram_bound(block) * _largest_relationship(block, theta)
        D = np.linalg.solve(np.eye(block.q) + G @ (T @ T.T), G) if block.q > 1 else G / (1.0 + G * T**2)
        change = np.array([block.moved(column) for column in np.eye(block.q)])  # (C e_a)' row by row
        D = change @ D @ change.T
        for term, columns in zip(block.terms, block.column_slices, strict=True):
            out[term] = D[:, columns, columns]
    return [out[t] for t in range(len(out))]


def _gram_bound(block: Block) -> np.ndarray:
    """Z_g'Z_g (J, q, q); where columns have levels of their own a bound: |sum_a Z_a x_a|^2 <= q sum_a |Z_a x_a|^2."""
    if block.records is not None:
        met = block.own_cells()
        return met.sums(block.columns, block.columns)[met.rows == met.cols]
    return block.q * block.gram * np.eye(block.q) if block.by_column else block.gram


def _largest_relationship(block: Block, theta: np.ndarray) -> float:
    """The largest eigenvalue of K, by which related levels can carry more information than each of them."""
    if block.relationship is None:
        return 1.0
    precision = sp.csc_array(block.relationship_at(theta).precision)
    if block.J < 20:
        return float(1.0 / np.linalg.eigvalsh(precision.toarray())[0])
    from scipy.sparse.linalg import eigsh

    smallest = eigsh(precision, k=1, sigma=0.0, which="LM", tol=1e-2, return_eigenvectors=False)
    return 1.0 / float(smallest.item())
