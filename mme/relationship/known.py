"""A known covariance among the levels of a term, by its inverse: genomic, spatial, or any other matrix."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mme.errors import MMEError
from mme.numeric.factor import NotPositiveDefiniteError, SymmetricFactor, factorise
from mme.numeric.lapack import cholesky, cholesky_inverse
from mme.tables.arguments import number
from mme.tables.labels import label_array, labels_of, name

# A pivot this small against its diagonal entry is rounding: the level is determined by others.
DEPENDENT = 1e-12
# Asymmetry beyond rounding in a matrix that was computed or read from text.
_ASYMMETRIC = 1e-8


class Relationship:
    r"""A known positive definite covariance K among levels, b ~ N(0, sigma_b^2 K), given as K or as K^-1.

    Parameters
    ----------
    precision : (J, J) array, DataFrame or sparse matrix
        K^-1; give it sparse where it is.
    covariance : (J, J) array, DataFrame or sparse matrix
        K; its inverse is taken once, separately for parts that are unrelated.
    levels : (J,) labels, optional
        What the rows stand for, matched by name with the labels of a term; levels without records are kept. None: the
        index of the DataFrame.
    ridge : float
        Added to the diagonal of ``covariance``: 0.01 or so mends a singular one.

    Attributes
    ----------
    levels : (J,) array
    precision : (J, J) sparse CSC array
        K^-1.
    logdet : float
        log|K|.

    Raises
    ------
    MMEError
        Both or none given, not square, not symmetric, not finite, not positive definite (with the levels named),
        labels that are missing, repeated or too many.

    Examples
    --------
    >>> import mme
    >>> twins = Relationship(covariance=[[1.0, 0.5], [0.5, 1.0]], levels=["a", "b"])
    >>> twins.precision.toarray().round(4)
    array([[ 1.3333, -0.6667],
           [-0.6667,  1.3333]])
    >>> round(float(np.exp(twins.logdet)), 4), twins.diagonal.tolist()
    (0.75, [1.0, 1.0])
    """

    levels: np.ndarray
    precision: sp.csc_array
    logdet: float

    def __init__(
        self, *, precision: Any = None, covariance: Any = None, levels: Any = None, ridge: float = 0.0
    ) -> None:
        if (precision is None) == (covariance is None):
            raise MMEError("a relationship needs either precision= (the inverse) or covariance=, not both")
        given, what = (covariance, "covariance") if precision is None else (precision, "precision")
        ridge = number(ridge, "ridge must be a number, at least 0", lambda ridge: ridge >= 0.0)
        if ridge and precision is not None:
            raise MMEError("ridge is added to a covariance; give covariance= instead of precision=")
        self.levels = _levels(given, levels, what)
        matrix = _symmetric(given, self.levels, what)
        if precision is not None:
            self.precision = _csc(matrix)
            self.logdet = -positive_definite(self.precision, self.levels).logdet
        else:
            self.precision, self.logdet = _inverse(_with_ridge(matrix, ridge), self.levels)
            self.diagonal = matrix.diagonal() + ridge

    @classmethod
    def _known(cls, levels: np.ndarray, precision: sp.csc_array, logdet: float) -> Relationship:
        """From parts that are right by construction."""
        made = object.__new__(cls)
        made.levels, made.precision, made.logdet = levels, precision, logdet
        return made

    @classmethod
    def car(cls, adjacency: Any, levels: Any = None, *, rho: float = 0.99) -> Relationship:
        r"""Conditional autoregression on a map: K^-1 = D - rho W, D the row sums of the adjacency W.

        Given its neighbours an area has mean rho times their average and variance 1 / D_ii (Besag 1974).

        Parameters
        ----------
        adjacency : (J, J) array, DataFrame or sparse matrix
            W, symmetric: 1 (or a weight) between neighbours, 0 elsewhere and on the diagonal.
        levels : (J,) labels, optional
            The areas; None: the index of the DataFrame.
        rho : float
            Strength of the dependence, -1 < rho < 1.

        Raises
        ------
        MMEError
            rho = 1: the intrinsic autoregression leaves the level of each connected part of the map free, so it has no
            covariance. An area without neighbours; weights that are negative or on the diagonal.

        Examples
        --------
        >>> Relationship.car([[0, 1, 0], [1, 0, 1], [0, 1, 0]], ["w", "m", "e"], rho=0.5).precision.toarray()
        array([[ 1. , -0.5,  0. ],
               [-0.5,  2. , -0.5],
               [ 0. , -0.5,  1. ]])
        """
        proper = (
            "At 1 (intrinsic CAR) the covariance does not exist: the level of each connected part is free. rho=0.99 is "
            "close to it and proper"
        )
        rho = number(rho, "rho must lie between -1 and 1", lambda rho: -1.0 < rho < 1.0, proper)
        areas = _levels(adjacency, levels, "adjacency")
        W = _csc(_symmetric(adjacency, areas, "adjacency"))
        if W.diagonal().any() or (W.data < 0).any():
            raise MMEError("adjacency must be zero on the diagonal and not negative")
        neighbours = np.asarray(W.sum(axis=0)).ravel()
        if not neighbours.all():
            islands = name(areas[neighbours == 0].tolist())
            raise MMEError(f"adjacency: {islands} without neighbours; join each to an area or leave it out")
        return cls(precision=sp.diags_array(neighbours) - rho * W, levels=areas)

    def __repr__(self) -> str:
        return f"Relationship({self.levels.size} levels, {self.precision.nnz} entries in the inverse)"

    @cached_property
    def diagonal(self) -> np.ndarray:
        """diag(K) (J,): of a sparse precision by the selected inverse of its factor."""
        every = np.arange(self.levels.size)
        return positive_definite(self.precision, self.levels).inverse_entries(every, every)


def positive_definite(precision: sp.csc_array, levels: np.ndarray) -> SymmetricFactor:
    """The Cholesky factor of a precision, or an error that names the levels at fault."""
    diagonal = precision.diagonal()
    at_fault = levels[diagonal <= 0]
    if not at_fault.size:
        try:
            factor = factorise(precision, "the precision of a relationship")
        except NotPositiveDefiniteError:
            raise _not_a_precision("") from None
        at_fault = levels[factor.perm[~(factor.pivots > DEPENDENT * diagonal[factor.perm])]]
    if at_fault.size:
        raise _not_a_precision(f" (at {name(at_fault.tolist())})")
    return factor


def covariances(precision: sp.csc_array, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Entries (rows, cols) of K, by the selected inverse of K^-1 on its pattern with theirs added."""
    known = sp.coo_array(sp.tril(precision))
    below, above = np.maximum(rows, cols), np.minimum(rows, cols)
    i, j = np.append(known.row, below), np.append(known.col, above)
    lower = _csc(sp.coo_array((np.append(known.data, np.zeros(below.size)), (i, j)), shape=precision.shape))
    return factorise(lower).inverse_entries(below, above)


def invert(K: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """K^-1 and log|K| of a dense symmetric matrix, and the rows that depend on those before them: the first, if any."""
    L, failed = cholesky(K)
    if failed > 0:
        return K, -np.inf, np.array([failed - 1])
    pivots = L.diagonal() ** 2
    dependent = np.flatnonzero(~(pivots > DEPENDENT * K.diagonal()))
    inverse = cholesky_inverse(L, overwrite=True)
    return inverse + np.tril(inverse, -1).T, float(np.log(pivots).sum()), dependent


def singular_covariance(what: str, levels: np.ndarray) -> MMEError:
    """The error for a covariance whose rows ``levels`` depend on others."""
    return MMEError(
        f"{what} is singular or not positive definite: {name(levels.tolist())} is determined by other levels (two "
        "identical individuals, or fewer markers than individuals). Add a ridge (ridge=0.01), blend it with the "
        "pedigree (mme.single_step), or leave the level out"
    )


def _not_a_precision(where: str) -> MMEError:
    return MMEError(
        f"precision is singular or not positive definite{where}: it must be the inverse of a covariance matrix. An "
        "intrinsic autoregression (ICAR) has none; see Relationship.car for a proper one"
    )


def _inverse(K: np.ndarray | sp.csc_array, levels: np.ndarray) -> tuple[sp.csc_array, float]:
    """K^-1 and log|K|: unrelated parts of K are inverted one by one."""
    if isinstance(K, np.ndarray) and np.count_nonzero(K[0]) == levels.size:
        parts, order = [K], np.arange(levels.size)  # the first level is related to all: one part
    else:
        parts, order = _unrelated_parts(_csc(K))
    blocks, logdet, first = [], 0.0, 0
    for part in parts:
        block, part_logdet, dependent = invert(part)
        if dependent.size:
            raise singular_covariance("covariance", levels[order[first + dependent]])
        blocks.append(block)
        logdet += part_logdet
        first += len(part)
    back = np.argsort(order)
    inverse = _csc(blocks[0]) if len(blocks) == 1 else _csc(sp.block_diag(blocks, format="csc"))
    return _csc(inverse[back][:, back]), logdet


def _unrelated_parts(K: sp.csc_array) -> tuple[list[np.ndarray], np.ndarray]:
    """Dense diagonal blocks of K with nothing between them, and the order of rows that shows them."""
    n_parts, part = connected_components(K, directed=False)
    order = np.argsort(part, kind="stable")
    bounds = np.searchsorted(part[order], np.arange(n_parts + 1)).tolist()
    by_part = K[order][:, order]
    return [by_part[first:last, first:last].toarray() for first, last in pairwise(bounds)], order


def _with_ridge(K: np.ndarray | sp.csc_array, ridge: float) -> np.ndarray | sp.csc_array:
    if not ridge:
        return K
    return K + ridge * (np.eye(K.shape[0]) if isinstance(K, np.ndarray) else sp.eye_array(K.shape[0], format="csc"))


def _csc(matrix: np.ndarray | sp.sparray) -> sp.csc_array:
    out = sp.csc_array(matrix)
    out.sort_indices()
    return out


def _levels(given: Any, levels: Any, what: str) -> np.ndarray:
    if levels is None:
        if not (hasattr(given, "iloc") and hasattr(given, "columns")):
            raise MMEError(f"levels= must name the rows of the {what}; the index of a pandas DataFrame will do")
        levels = given.index
        columns = labels_of(given.columns, "columns")
        if columns != labels_of(levels, "index"):
            raise MMEError(f"the {what} has other labels on its columns than on its rows")
    labels = labels_of(levels, "levels")
    if None in labels or not labels:
        raise MMEError(f"levels: {labels.count(None)} of {len(labels)} labels are missing")
    if len(set(labels)) < len(labels):
        repeated = [label for label, count in Counter(labels).items() if count > 1]
        raise MMEError(f"levels must be distinct; {name(repeated)} occurs more than once")
    return label_array(labels)


def _symmetric(given: Any, levels: np.ndarray, what: str) -> np.ndarray | sp.csc_array:
    """The matrix as given, dense or sparse, without the asymmetry of rounding."""
    J = levels.size
    try:
        matrix = sp.csc_array(given, dtype=float) if sp.issparse(given) else np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise MMEError(f"{what} must be a numeric matrix ({error})") from None
    if matrix.shape != (J, J):
        raise MMEError(f"{what} must be ({J}, {J}) for the {J} levels, got {matrix.shape}")
    if not np.isfinite(matrix.data if sp.issparse(matrix) else matrix).all():
        raise MMEError(f"{what} has missing or infinite values")
    skew = abs(matrix - matrix.T)
    if skew.max() > _ASYMMETRIC * abs(matrix).max():
        i, j = np.unravel_index(int(skew.argmax()), (J, J))
        raise MMEError(
            f"{what} is not symmetric: {matrix[i, j]:g} at ({levels[i]!r}, {levels[j]!r}), {matrix[j, i]:g} across"
        )
    symmetric: np.ndarray | sp.csc_array = 0.5 * (matrix + matrix.T)
    return symmetric
