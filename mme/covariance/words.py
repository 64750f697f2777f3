"""Structures of G by their words, and the look at a user's own before it is searched."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mme.covariance.base import GStructure
from mme.covariance.entries import free_diagonal, free_triangle
from mme.covariance.kronecker import kronecker
from mme.covariance.loadings import loadings
from mme.covariance.patterned import PATTERNS, Patterned
from mme.covariance.shared import SharedColumns
from mme.errors import MMEError
from mme.tables.arguments import is_word

# Factor-analytic and reduced-rank covariances, and how many factors.
_FACTORS = re.compile(r"(fa|rr)(\d+)")
# Columns that share coefficients: the number of each one's, and the structure of these.
_SHARED = re.compile(r"shared ([\d,]+) (.+)")
# A product of the structures of the levels of two factors, those of the first changing fastest.
_PRODUCT = re.compile(r"product (\d+) (.+) x (\d+) (.+)")
# Two products of factors that are the same but for the order of their sums.
_ROUNDING = 1e-10


def structure(kind: Any, q: int, term: str) -> GStructure:
    """The structure named ``kind`` for a term of ``q`` columns; theta runs down the columns of T, as in lme4.

    A structure of the user's own is returned as it is, after a look at what it gives at the start for H = I.

    Raises
    ------
    MMEError
        The word is not known, or the object lacks something that a structure has.

    Examples
    --------
    >>> structure("unstructured", 2, "g").T(np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    >>> T = structure("homogeneous cs", 3, "g").T(np.array([2.0, np.pi / 2]))  # rho half way from -1/2 to 1
    >>> (T @ T.T).round(3)[0]
    array([4., 1., 1.])
    """
    if isinstance(kind, GStructure):
        _check(kind, q, f"term '{term}': covariance {type(kind).__name__}")
        return kind
    if is_word(kind, ("unstructured",)) or (q == 1 and is_word(kind, ("diagonal", *PATTERNS))):
        return free_triangle(q)
    if is_word(kind, ("diagonal",)):
        return free_diagonal(q)
    if isinstance(kind, str) and (factors := _FACTORS.fullmatch(kind)):
        return loadings(q, int(factors[2]), factors[1] == "fa", term)
    if isinstance(kind, str) and (shared := _SHARED.fullmatch(kind)):
        of = tuple(map(int, shared[1].split(",")))
        return SharedColumns(of, structure(shared[2], max(of) + 1, term))
    if isinstance(kind, str) and (product := _PRODUCT.fullmatch(kind)):
        sizes = int(product[1]), int(product[3])
        return kronecker(structure(product[4], sizes[1], term), structure(product[2], sizes[0], term), term)
    if isinstance(kind, str) and kind in PATTERNS:
        return Patterned(q, *PATTERNS[kind])
    known = ", ".join(f"'{name}'" for name in ("unstructured", "diagonal", *PATTERNS, "fa1", "rr1"))
    if isinstance(kind, str):
        raise MMEError(f"term '{term}': covariance {kind!r} is not known; use one of {known}")
    if isinstance(kind, type):
        raise MMEError(f"term '{term}': covariance is the class {kind.__name__}; give an object of it")
    raise MMEError(
        f"term '{term}': covariance must be one of {known}, or an object of a class derived from mme.GStructure; "
        f"got {type(kind).__name__}"
    )


def _check(part: GStructure, q: int, what: str) -> None:
    """Look once at all that a user's structure gives, so that what is wrong is said before the search."""
    lacking = [name for name in ("q", "k", "diagonal") if not hasattr(part, name)]
    if lacking:
        raise MMEError(f"{what} lacks {' and '.join(lacking)}; see mme.GStructure")
    if part.q != q:
        raise MMEError(f"{what} is for q = {part.q} columns, the term has {q}")
    if not isinstance(part.k, int | np.integer) or part.k < 1:
        raise MMEError(f"{what}: k must be a whole number of parameters, at least 1; got {part.k!r}")
    k = int(part.k)
    if np.asarray(part.diagonal).dtype != bool:
        raise MMEError(f"{what}: diagonal must be boolean, got {np.asarray(part.diagonal).dtype}")
    _array(part.diagonal, (k,), f"{what}: diagonal")
    names = part.names("g", [f"x{j + 1}" for j in range(q)])
    if len(set(names)) != k or not all(isinstance(name, str) for name in names):
        raise MMEError(f"{what}: names() must give {k} different names, got {names!r}")
    _array(part.per_row(np.ones(q), 1.0), (k,), f"{what}: per_row(ones, 1.0)")
    theta = _array(part.nearest(np.eye(q), np.full(q, 1e-4)), (k,), f"{what}: nearest(I, floor)")
    T = _array(part.T(theta), (q, q), f"{what}: T(theta)")
    if np.triu(T, 1).any():
        raise MMEError(f"{what}: T(theta) must be lower triangular: of any root B of G, G = B B', it is qr(B', 'r')'")
    reported = _array(part.canonical(theta), (k,), f"{what}: canonical(theta)")
    U = _array(part.T(reported), (q, q), f"{what}: T(canonical(theta))")
    if np.abs(T @ T.T - U @ U.T).max() > _ROUNDING * np.abs(T @ T.T).max():
        raise MMEError(f"{what}: canonical(theta) gives another covariance than theta, {theta.tolist()}")


def _array(given: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    values = np.asarray(given)
    if values.shape != shape or values.dtype.kind not in "bif" or not np.isfinite(values).all():
        raise MMEError(f"{what} must be finite numbers of shape {shape}, got {given!r}")
    return values
