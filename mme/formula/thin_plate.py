r"""Thin-plate regression splines of two coordinates as random effects: ``s(x, y)``.

The smoothest surface through given heights at n places, that of the least integral of f_xx^2 + 2 f_xy^2 + f_yy^2, is a
plane and bumps eta(r) = r^2 log r / (8 pi) of the distances r to the places, with coefficients d that are orthogonal to
planes, T'd = 0, T = [1 x y]. With E = eta among the places = U D U', the k eigenvalues of largest size kept, and N an
orthonormal basis of the null space of T'U_k,

    f = plane + eta U_k N v,    penalty v'(N'D_k N) v,    v ~ N(0, sigma_s^2 (N'D_k N)^-1),

and of all subspaces of dimension k that of U_k changes the surface least (Wood 2003, J. R. Stat. Soc. B 65:95-114: the
default of mgcv's ``s(x, y)``). It turns with the axes: x and y are in the same unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import eigsh

from mme.errors import MMEError
from mme.formula.values import State

# mgcv's dimension of a surface, the plane with it.
BASIS = 30
# Places that bumps stand at, at most, as in mgcv; of more so many are drawn.
_PLACES = 2000
# Up to so many places, or where so large a share of them is kept, all eigenvalues are found.
_FEW, _MANY = 500, 0.3
# Rows of which eta is made at once.
_ROWS = 4096


def thin_plate(state: State, x: np.ndarray, y: np.ndarray, k: Any) -> np.ndarray:
    """Columns (n, k - 3) of the random part, with independent coefficients of one variance."""
    places = np.column_stack([x, y])
    if not state:
        _learn(state, places[np.isfinite(places).all(axis=1)], k)
    middle, scale, at = np.asarray(state["middle"]), state["scale"], np.asarray(state["places"])
    weights, moved = np.asarray(state["weights"]), (places - middle) / scale
    parts = [_bumps(moved[i : i + _ROWS], at) @ weights for i in range(0, len(moved), _ROWS)]
    return np.concatenate(parts) if parts else np.zeros((0, weights.shape[1]))


def _learn(state: State, places: np.ndarray, k: Any) -> None:
    """Keep the places of the bumps, in units of their spread, and the weights (places, k - 3) of each column."""
    middle = places.mean(axis=0) if len(places) else np.zeros(2)
    scale = float(np.sqrt(((places - middle) ** 2).sum(axis=1).mean())) if len(places) else 1.0
    distinct = np.unique((places - middle) / (scale or 1.0), axis=0)
    T = np.column_stack([np.ones(len(distinct)), distinct])
    if len(distinct) < 4 or np.linalg.matrix_rank(T) < 3:
        raise MMEError(f"s(x, y) needs at least four places that are not on a line, got {len(distinct)}")
    if isinstance(k, bool) or int(k) != k or k < 4:
        raise MMEError(f"s(x, y, k): k is the dimension of the surface, a whole number of at least 4, got {k}")
    if len(distinct) > _PLACES:
        drawn = np.random.default_rng(0).choice(len(distinct), _PLACES, replace=False)
        distinct, T = distinct[drawn], T[drawn]
    D, U = _largest(_bumps(distinct, distinct), min(int(k), len(distinct)))
    N = np.linalg.qr(U.T @ T, mode="complete")[0][:, 3:]
    penalty, turned = np.linalg.eigh(N.T @ (D[:, None] * N))
    state["middle"], state["scale"], state["places"] = middle.tolist(), scale, distinct
    state["weights"] = U @ N @ turned / np.sqrt(penalty)


def _largest(E: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k eigenvalues of largest size, and their vectors (n, k)."""
    if len(E) > _FEW and k < _MANY * len(E):
        D, U = eigsh(E, k, which="LM", v0=np.ones(len(E)))
        return D, U
    D, U = np.linalg.eigh(E)
    kept = np.argsort(-np.abs(D), kind="stable")[:k]
    return D[kept], U[:, kept]


def _bumps(places: np.ndarray, at: np.ndarray) -> np.ndarray:
    """eta of the distances between two sets of places (m, n)."""
    squared = ((places[:, None] - at) ** 2).sum(axis=2)
    return np.asarray(squared * np.log(np.where(squared > 0.0, squared, 1.0)) / (16.0 * np.pi))
