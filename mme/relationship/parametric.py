r"""A relationship with parameters: K(x) among levels, by an inverse whose pattern x does not change.

    b ~ N(0, K(x) (x) sigma^2 T T'),    M = Lambda'Z'WZ Lambda + K(x)^-1 (x) I,    log|V| = log|M| + log|K(x)| + ...

The engine asks for the entries of K^-1 on the pattern and for log|K|, at every x that the search visits: a pattern is
analysed once. Users bring their own by one class derived from :class:`Parametric`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError

# Log-determinants of one matrix by two ways.
_ROUNDING = 1e-8


@dataclass(frozen=True, eq=False)
class Known:
    """K at known parameters: what every relationship gives."""

    levels: np.ndarray
    precision: sp.csc_array
    logdet: float
    diagonal: np.ndarray


class Parametric(ABC):
    """K(x) among ``levels``, x (k,) without bounds, of order one, everything smooth in it.

    Attributes
    ----------
    levels : (J,) array
        Labels, matched with those of a term.
    names : tuple of str
        Of the k natural parameters.
    rows, cols : (nnz,) int arrays
        Places of the lower triangle of K^-1, rows >= cols, each once, the whole diagonal among them.

    Examples
    --------
    A map whose conditional autoregression has an unknown strength, K^-1 = D - rho W with rho = tanh x:

    >>> class Map(Parametric):
    ...     names = ("rho",)
    ...     def __init__(self, adjacency, levels):
    ...         W = np.asarray(adjacency, dtype=float)
    ...         self.levels, self.D = np.asarray(levels), W.sum(axis=0)
    ...         self.rows, self.cols = np.nonzero(np.tril(W + np.eye(len(W))))
    ...         self.W = W[self.rows, self.cols]
    ...         self.scaled = np.linalg.eigvalsh(W / np.sqrt(np.outer(self.D, self.D)))  # for |D - rho W|
    ...     def starts(self):
    ...         return np.array([[0.5], [2.0]])
    ...     def natural(self, x):
    ...         return np.tanh(x)
    ...     def values_at(self, x):
    ...         return np.where(self.rows == self.cols, self.D[self.rows], -np.tanh(x[0]) * self.W)
    ...     def logdet_at(self, x):
    ...         return -np.log(self.D).sum() - np.log1p(-np.tanh(x[0]) * self.scaled).sum()
    >>> K = Map([[0, 1, 0], [1, 0, 1], [0, 1, 0]], ["w", "m", "e"])
    >>> K.precision_at(np.array([np.arctanh(0.5)])).toarray()
    array([[ 1. , -0.5,  0. ],
           [-0.5,  2. , -0.5],
           [ 0. , -0.5,  1. ]])
    """

    levels: np.ndarray
    names: tuple[str, ...]
    rows: np.ndarray
    cols: np.ndarray
    # Right by construction: not checked.
    trusted: ClassVar[bool] = False

    @property
    def k(self) -> int:
        """Number of parameters."""
        return len(self.names)

    @property
    def parametric(self) -> Parametric:
        """Itself: what :func:`parametric` finds."""
        return self

    def require_term(self, name: str, by_column: bool) -> None:
        """Refuse the term of this name where it cannot have this relationship among its levels.

        Raises
        ------
        MMEError
            Each coefficient has levels of its own (``by_column``), or the relationship contradicts itself.
        """
        if by_column:
            raise MMEError(
                f"grouping factor '{name}': coefficients with levels of their own need a known relationship, not one "
                "with parameters"
            )
        check(self, name)

    @abstractmethod
    def starts(self) -> np.ndarray:
        """Candidates (m, k) to begin a search: the one with the lowest criterion is taken."""

    def radius(self) -> np.ndarray:
        """How far off the start may be (k,)."""
        return np.full(self.k, 0.5)

    @abstractmethod
    def natural(self, x: np.ndarray) -> np.ndarray:
        """Natural parameters (k,), in the order of ``names``, each a function of its own coordinate."""

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """The x of which these are the natural parameters: profiles hold them."""
        raise MMEError(f"{type(self).__name__} has no inverse of natural(): profiles of its parameters need one")

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take."""
        return ((-np.inf, np.inf),) * self.k

    @abstractmethod
    def values_at(self, x: np.ndarray) -> np.ndarray:
        """K^-1 at (``rows``, ``cols``)."""

    @abstractmethod
    def logdet_at(self, x: np.ndarray) -> float:
        """log|K|."""

    def diagonal_at(self, x: np.ndarray) -> np.ndarray:
        """diag(K) (J,): by the selected inverse of the factor."""
        from mme.relationship.known import positive_definite

        every = np.arange(self.levels.size)
        return positive_definite(self.precision_at(x), self.levels).inverse_entries(every, every)

    def root_at(self, x: np.ndarray) -> np.ndarray | None:
        """L (J, J) with K = L L', where it is known without K^-1, which has no digits near singular K; else None."""
        return None

    def recognised(self, labels: np.ndarray) -> np.ndarray:
        """New labels (c,) as its own levels are called, where it knows them by another name."""
        return labels

    def extended(self, labels: np.ndarray) -> Parametric | None:
        """The same with levels for those of these labels that it can place, behind its own; None: it places none.

        K among its own levels must stay what it is.
        """
        return None

    def precision_at(self, x: np.ndarray) -> sp.csc_array:
        """K^-1 (J, J)."""
        values, off, J = self.values_at(x), self.rows != self.cols, self.levels.size
        places = np.append(self.rows, self.cols[off]), np.append(self.cols, self.rows[off])
        precision = sp.csc_array((np.append(values, values[off]), places), shape=(J, J))
        precision.sort_indices()
        return precision

    def at(self, x: np.ndarray) -> Known:
        """The relationship at x."""
        return Known(self.levels, self.precision_at(x), self.logdet_at(x), self.diagonal_at(x))

    @cached_property
    def precision(self) -> sp.csc_array:
        """K^-1 at the first start: its pattern."""
        return self.precision_at(self.starts()[0])


def parametric(relationship: Any) -> Parametric | None:
    """The relationship, where it has parameters; a known one of whatever class, or none, has no such attribute."""
    found: Parametric | None = getattr(relationship, "parametric", None)
    return found


def check(relationship: Parametric, name: str) -> None:
    """Look once at all that a user's relationship gives, so that what is wrong is said before the search.

    Raises
    ------
    MMEError
        Something is missing or of the wrong shape, the pattern is not a lower triangle with the whole diagonal, K^-1 is
        not positive definite at a start, or log|K| is not that of its factor.
    """
    if relationship.trusted:
        return
    from mme.relationship.known import positive_definite

    what = f"grouping factor '{name}': relationship {type(relationship).__name__}"
    lacking = [part for part in ("levels", "names", "rows", "cols") if not hasattr(relationship, part)]
    if lacking:
        raise MMEError(f"{what} lacks {' and '.join(lacking)}; see mme.Parametric")
    rows, cols, J = np.asarray(relationship.rows), np.asarray(relationship.cols), len(relationship.levels)
    keys = np.unique(rows.astype(np.int64) * J + cols)
    if rows.shape != cols.shape or keys.size != rows.size or (rows < cols).any() or (rows == cols).sum() != J:
        raise MMEError(f"{what}: rows and cols must be a lower triangle, each place once, with all {J} of its diagonal")
    starts = np.asarray(relationship.starts(), dtype=float)
    if starts.ndim != 2 or starts.shape[1] != relationship.k or not np.isfinite(starts).all():
        raise MMEError(f"{what}: starts() must be finite, of shape (m, {relationship.k}); got shape {starts.shape}")
    for x in starts:
        values = np.asarray(relationship.values_at(x))
        if values.shape != rows.shape or not np.isfinite(values).all():
            raise MMEError(f"{what}: values_at({x.tolist()}) must be {rows.size} finite numbers, got {values.shape}")
        if np.shape(relationship.natural(x)) != (relationship.k,):
            raise MMEError(f"{what}: natural({x.tolist()}) must have shape ({relationship.k},)")
        factor, given = positive_definite(relationship.precision_at(x), relationship.levels), relationship.logdet_at(x)
        if not abs(given + factor.logdet) <= _ROUNDING * (abs(factor.logdet) + J):
            raise MMEError(
                f"{what}: logdet_at({x.tolist()}) is {given:.10g}; log|K| of values_at() is {-factor.logdet:.10g}"
            )
