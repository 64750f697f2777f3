"""The protocol of a structure of G: theta -> T, one level's relative covariance G / sigma^2 = T T'.

A structure is one class: T as a function of theta, which entries of theta are standard deviations, how theta scales
with the units of the columns, and a theta near a given covariance to start from. The rest of the protocol has defaults
that serve any structure; the package's own override them where they know better. Users bring their own as an object of
such a class, ``mme.Term(..., covariance=object)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.held import Held, hold_entry
from mme.numeric.differences import slopes as differences
from mme.relationship.parametric import Parametric

# A standard deviation below this share of what the columns' size would make visible counts as zero.
ZERO = 1e-5


class GStructure(ABC):
    """T (q, q), lower triangular, as a function of theta (k,).

    Attributes
    ----------
    q, k : int
        Size of T and length of theta.
    diagonal : (k,) bool
        Entries of theta that are zero on a singular fit; the criterion does not change when their sign does, that of
        others with it where they share a column of T.
    additive : bool
        Whether G = sum_i theta_i^2 D_i for matrices D_i that theta does not change: G is then linear in the squares,
        which Kenward and Roger's method asks for.

    Examples
    --------
    One standard deviation for all columns, and every pair correlated alike by a common part, G = a^2 11' + c^2 I:

    >>> from mme.covariance.triangle import lower_factor
    >>> class Common(GStructure):
    ...     k, diagonal, additive = 2, np.array([True, True]), True
    ...     def __init__(self, q):
    ...         self.q = q
    ...     def T(self, theta):
    ...         return lower_factor(np.column_stack([theta[0] * np.ones(self.q), theta[1] * np.eye(self.q)]))
    ...     def nearest(self, H, floor):
    ...         return np.sqrt(np.full(2, np.mean(np.maximum(np.diag(H), floor)) / 2))
    ...     def per_row(self, of_columns, of_others):
    ...         return np.full(2, np.exp(np.mean(np.log(of_columns))))
    ...     def names(self, term, columns):
    ...         return f"{term}.common", f"{term}.own"
    >>> common = Common(2)
    >>> common.T(np.array([1.0, 1.0])).round(3)
    array([[1.414, 0.   ],
           [0.707, 1.225]])
    >>> common.natural(np.array([1.0, -1.0]), 3.0), common.natural_bounds
    (array([3., 3.]), ((0.0, inf), (0.0, inf)))
    """

    q: int
    k: int
    diagonal: np.ndarray
    additive: bool = False

    # -- what has to be given ---------------------------------------------------------------------------------------

    @abstractmethod
    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor (q, q) at theta."""

    @abstractmethod
    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Theta whose T T' approximates a symmetric H (q, q), with variances of at least ``floor`` (q,): a start.

        H may be indefinite and its diagonal negative.
        """

    @abstractmethod
    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """A value for each entry of theta: that of its column where it has the column's units, else ``of_others``."""

    @abstractmethod
    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names (k) of theta."""

    # -- theta ------------------------------------------------------------------------------------------------------

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The theta of the same T T' that is reported: standard deviations are not negative."""
        return np.where(self.diagonal, np.abs(theta), theta)

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Which entries of theta, for columns of unit size, are at the edge of the model: zeros of ``diagonal``."""
        return np.asarray(self.diagonal & (np.abs(theta) < ZERO))

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """The theta of no variance at all."""
        return np.where(self.diagonal, 0.0, theta)

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Yield thetas where another valley of the criterion may be: each standard deviation at zero, or from zero.

        ``size`` (k,) is that of a variance which a level's own records tell.
        """
        for j in np.flatnonzero(self.diagonal).tolist():
            other = theta.copy()
            other[j] = size[j] if theta[j] == 0.0 else 0.0
            yield other

    def radius(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """How far off a start may be (k,), from what is known of the standard deviations of the columns."""
        return self.per_row(of_columns, of_others)

    @property
    def one_scale(self) -> bool:
        """Whether one standard deviation is that of all columns."""
        return False

    # -- natural parameters: what is reported, profiled and bootstrapped -----------------------------------------------

    @property
    def times_sigma(self) -> np.ndarray:
        """Which natural parameters (k,) are in units of sigma: those of the entries that have units of a column."""
        return np.asarray(self.per_row(np.full(self.q, 2.0), 1.0)) > 1.5

    def natural_names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names (k) of the natural parameters: those of theta."""
        return self.names(term, columns)

    def natural(self, theta: np.ndarray, sigma: float) -> np.ndarray:
        """The natural parameters (k,): reported theta, times sigma where it has units of a column."""
        return np.where(self.times_sigma, sigma, 1.0) * self.canonical(theta)

    @property
    def natural_bounds(self) -> tuple[tuple[float, float], ...]:
        """What values they can take, a pair for each: no standard deviation is negative."""
        return tuple((0.0, np.inf) if is_sd else (-np.inf, np.inf) for is_sd in self.diagonal.tolist())

    def hold(self, theta: np.ndarray, at: int, axes: Axes | None = None) -> Held:
        """Hold the natural parameter at this place; ``axes`` are those in which the term is searched, if any."""
        return hold_entry(theta, at, self.diagonal, self.natural_bounds[at])

    # -- what kind of structure it is ---------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    def correlated(self) -> bool:
        """Whether coefficients can be correlated: their correlations are then part of the results."""
        return True

    @property
    def is_spherical(self) -> bool:
        """Whether T is a number times the identity, of more than one coefficient."""
        return False

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Rows and columns (k,) with T[rows, columns] = theta and zeros elsewhere; None: T is made otherwise."""
        return None

    @property
    def is_cone(self) -> bool:
        """Whether the sum of one of its covariances and any positive semi-definite matrix of its span is another."""
        return False

    @property
    def is_even(self) -> bool:
        """Whether standard deviations stand in T T' as their squares alone: it is smooth where they are zero."""
        return False

    def with_inverse(self, least: np.ndarray) -> GStructure:
        """One beside it whose T T' has an inverse, where no theta makes one: ``least`` (q,) are of no account."""
        return self

    @property
    def mixes(self) -> bool:
        """Whether every covariance A T T'A' is one of the structure's, for any (q, q) matrix A."""
        return False

    def mixed(self, theta: np.ndarray, A: np.ndarray) -> np.ndarray:
        """The theta of A T T'A', if the structure :attr:`mixes`."""
        raise NotImplementedError

    # -- without some of its columns ----------------------------------------------------------------------------------

    def lost_with(self, columns: np.ndarray) -> np.ndarray | None:
        """Which entries of theta (k,) the same kind of structure without these columns (q,) does not have.

        None: without them it is no structure of its kind.
        """
        return None

    def columns_of(self, entries: np.ndarray) -> np.ndarray:
        """Columns (q,) with a standard deviation among these entries of theta (k,): all, where it is of all."""
        return np.full(self.q, bool(entries[self.diagonal].any()))

    # -- derivatives --------------------------------------------------------------------------------------------------

    def inside(self, theta: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Theta, or one beside it at which T is not singular: standard deviations of at least ``least`` (k,)."""
        return np.where(self.diagonal & (np.abs(theta) < least), np.copysign(least, theta), theta)

    def slopes(self, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """The derivatives (k, q, q) of T T' by the entries of theta, which are of the order of ``unit`` (k,).

        By differences of T T' itself: for structures that have nothing better.
        """

        def covariance(x: np.ndarray) -> np.ndarray:
            T = self.T(x * unit)
            return np.asarray(T @ T.T).ravel()

        return differences(covariance, theta / unit).reshape(self.k, self.q, self.q) / unit[:, None, None]

    def curvature(self, theta: np.ndarray, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Second derivatives (k, k) of <weights, T T'>, for symmetric weights (q, q); by differences of the first."""

        def first(x: np.ndarray) -> np.ndarray:
            return np.einsum("iab,ab->i", self.slopes(x * unit, unit), weights)

        second = differences(first, theta / unit) / unit[:, None]
        return 0.5 * (second + second.T)

    # -- linear in what ---------------------------------------------------------------------------------------------

    def directions(self, theta: np.ndarray, information: np.ndarray) -> tuple[list[np.ndarray], np.ndarray] | None:
        """Roots F_i (q, r) and x with T T' = sum x_i F_i F_i', linear in x; None where there is no such basis.

        ``information`` (q, q) is what the data say of the coefficients of a level on average: F may be made for it.
        """
        if not self.additive:
            return None
        return [self.T(unit) for unit in np.eye(self.k)], theta**2

    def added(self, theta: np.ndarray, F: np.ndarray, t: float) -> np.ndarray:
        """The theta of T T' + t F F', for F in the span of the structure's :meth:`directions`."""
        D = np.array([T @ T.T for T in map(self.T, np.eye(self.k))]).reshape(self.k, -1)
        return np.sqrt(theta**2 + t * np.linalg.lstsq(D.T, (F @ F.T).ravel())[0])

    # -- a relationship with parameters, which follow those of T -------------------------------------------------------

    @property
    def inner(self) -> GStructure:
        """The structure of T alone."""
        return self

    @property
    def relationship(self) -> Parametric | None:
        """The relationship whose parameters follow those of T in theta; None: theta is of T alone."""
        return None

    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """The parameters of the relationship, the last entries of theta; none without one."""
        return theta[self.inner.k :]

    def related(self, relationship: Any, theta: np.ndarray) -> Any:
        """The term's relationship at theta."""
        return relationship

    def with_inner(self, inner: GStructure) -> GStructure:
        """The same relationship beside another structure of T."""
        return inner

    def beside(self, relationship: Parametric) -> GStructure:
        """The same T beside another relationship of the same parameters."""
        return self
