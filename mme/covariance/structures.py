"""theta -> T: structures of one level's relative covariance G / sigma^2 = T T'.

A structure is one class: T as a function of theta, which entries of theta are standard deviations, how theta scales
with the units of the columns, and a theta near a given covariance to start from. Users bring their own as an object of
such a class, ``mme.Term(..., covariance=object)``: it is checked once, in :func:`structure`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.lapack import cholesky, qr_triangle
from mme.tables.arguments import is_word

# Two products of factors that are the same but for the order of their sums.
_ROUNDING = 1e-10
# A standard deviation below this share of what the columns' size would make visible counts as zero.
_ZERO = 1e-5
# A correlation this close to its bound, in its angle, is there: lme4's tolerance for an entry of T.
_AT_BOUND = 1e-4
# A search for a correlation begins within this share of its bounds.
_WITHIN = 0.9
# A variance in another valley may be the square of this times as large.
_MANY_TIMES = 10.0


class Structure(ABC):
    """T (q, q), lower triangular, as a function of theta (k,).

    Attributes
    ----------
    q, k : int
        Size of T and length of theta.
    diagonal : (k,) bool
        Entries of theta that are zero on a singular fit; the criterion does not change when their sign does, that of
        others with it where they share a column of T.

    Examples
    --------
    One standard deviation for all columns, and every pair correlated alike by a common part, G = a^2 11' + c^2 I:

    >>> class Common(Structure):
    ...     k, diagonal = 2, np.array([True, True])
    ...     def __init__(self, q):
    ...         self.q = q
    ...     def T(self, theta):
    ...         return np.linalg.cholesky(theta[0] ** 2 * np.ones((self.q, self.q)) + theta[1] ** 2 * np.eye(self.q))
    ...     def nearest(self, H, floor):
    ...         return np.sqrt(np.full(2, np.mean(np.maximum(np.diag(H), floor)) / 2))
    ...     def per_row(self, of_columns, of_others):
    ...         return np.full(2, np.exp(np.mean(np.log(of_columns))))
    ...     def names(self, term, columns):
    ...         return f"{term}.common", f"{term}.own"
    >>> structure(Common(2), 2, "g").T(np.array([1.0, 1.0])).round(3)
    array([[1.414, 0.   ],
           [0.707, 1.225]])
    """

    q: int
    k: int
    diagonal: np.ndarray

    @abstractmethod
    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The theta of the same T T' that is reported: standard deviations are not negative."""
        return np.where(self.diagonal, np.abs(theta), theta)

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Which entries of theta, for columns of unit size, are at the edge of the model: zeros of ``diagonal``."""
        return np.asarray(self.diagonal & (np.abs(theta) < _ZERO))

    @property
    def correlated(self) -> bool:
        """Whether coefficients can be correlated: their correlations are then part of the results."""
        return True

    @property
    def mixes(self) -> bool:
        """Whether every covariance A T T'A' is one of the structure's, for any (q, q) matrix A."""
        return False

    def mixed(self, theta: np.ndarray, A: np.ndarray) -> np.ndarray:
        """The theta of A T T'A', if the structure :attr:`mixes`."""
        raise NotImplementedError

    @abstractmethod
    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Theta whose T T' approximates a symmetric H (q, q), with variances of at least ``floor`` (q,): a start.

        H may be indefinite and its diagonal negative.
        """

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Yield thetas where another valley of the criterion may be: each standard deviation at zero, or from zero.

        ``size`` (k,) is that of a variance which a level's own records tell.
        """
        for j in np.flatnonzero(self.diagonal).tolist():
            other = theta.copy()
            other[j] = size[j] if theta[j] == 0.0 else 0.0
            yield other

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """The theta of no variance at all."""
        return np.where(self.diagonal, 0.0, theta)

    @abstractmethod
    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """A value for each entry of theta: that of its column where it has the column's units, else ``of_others``."""

    def radius(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """How far off a start may be (k,), from what is known of the standard deviations of the columns."""
        return self.per_row(of_columns, of_others)

    @abstractmethod
    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names of theta."""


@dataclass(frozen=True, eq=False)
class Entries(Structure):
    """T with free entries: ``T[rows, cols] = theta``. Unstructured and diagonal covariances.

    T and T with the sign of a column changed are the same covariance, so the criterion is an even, smooth function
    of a column and ``T[j, j] >= 0`` is a convention (:meth:`canonical`), not a constraint that a search must obey.
    """

    q: int
    rows: np.ndarray
    cols: np.ndarray

    @cached_property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta."""
        return int(self.rows.size)

    @cached_property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """Diagonal entries of T."""
        return _fixed(self.rows == self.cols)

    @cached_property
    def _places(self) -> np.ndarray:
        """Where the entries stand in T, row after row."""
        return self.rows * self.q + self.cols

    @property
    def correlated(self) -> bool:
        """Whether an entry is off the diagonal."""
        return not self.diagonal.all()

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""
        T = np.zeros(self.q * self.q)
        T[self._places] = theta
        return T.reshape(self.q, self.q)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Theta with a non-negative diagonal of T."""
        T = self.T(theta)
        signs = np.where(np.diag(T) < 0.0, -1.0, 1.0)
        return np.asarray((T * signs)[self.rows, self.cols] + 0.0)

    @property
    def mixes(self) -> bool:
        """Whether all of the triangle is free, and there is something to mix."""
        return self.q > 1 and self.k == self.q * (self.q + 1) // 2

    def mixed(self, theta: np.ndarray, A: np.ndarray) -> np.ndarray:
        """The lower triangular factor of A T T'A'."""
        return np.asarray(lower_factor(A @ self.T(theta)).take(self._places))

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Cholesky factor of H with its correlations pulled inside the cone."""
        scale = np.sqrt(np.maximum(H.diagonal(), floor))
        if self.q == 1:
            return scale
        R = H / (scale[:, None] * scale)
        inside = np.minimum(np.maximum((R + R.T) / 2, -0.9), 0.9)
        inside.flat[:: self.q + 1] += 0.1
        if self.q > 2 or not inside[0, 0] == inside[1, 1] == 1.0:  # elsewhere eigenvalues are 0.1 to 1.9
            values, vectors = np.linalg.eigh(inside)
            inside = (vectors * np.maximum(values, 0.05)) @ vectors.T
        L = cholesky(inside)[0]
        return np.asarray((scale[:, None] * L / np.sqrt((L * L).sum(axis=1))[:, None]).take(self._places))

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Each column of T at zero, from zero, or many times as large; each row's correlations the other way round."""
        for j in range(self.q):
            own, across = self.cols == j, (self.rows == j) & (self.cols < j)
            if theta[own].any():
                yield np.where(own, 0.0, theta)
                yield np.where(own, _MANY_TIMES * theta, theta)
            else:
                yield np.where(own & self.diagonal, size, theta)
            if theta[across].any():
                yield np.where(across, -theta, theta)

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """T = 0."""
        return np.zeros(self.k)

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Every entry has the units of its row's column."""
        return np.asarray(of_columns[self.rows])

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """lme4's names: ``g.x`` for a standard deviation, ``g.x2.x1`` for an off-diagonal entry."""
        return tuple(
            f"{term}.{columns[i]}" if i == j else f"{term}.{columns[i]}.{columns[j]}"
            for i, j in zip(self.rows.tolist(), self.cols.tolist(), strict=True)
        )


@dataclass(frozen=True, eq=False)
class Patterned(Structure):
    """T = diag(sd) chol(C(rho)): q standard deviations (or one for all), and a correlation pattern of one parameter.

    theta = (sd..., w) with rho = low + (1 - low)(1 + cos w) / 2 between its bounds: low = -1 / (q - 1) and 1 under
    compound symmetry, -1 and 1 under AR(1), rho = cos w, columns in the order of time. T is a smooth function of w
    past both bounds and its covariance even about them, so that the edge of the model is stationary and not far away.
    """

    q: int
    pattern: str
    homogeneous: bool

    @property
    def n_sd(self) -> int:
        """Number of standard deviations."""
        return 1 if self.homogeneous else self.q

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta."""
        return self.n_sd + int(self.pattern != "diagonal")

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """The standard deviations."""
        return np.arange(self.k) < self.n_sd

    @property
    def lowest(self) -> float:
        """The lower bound of the correlation."""
        return -1.0 if self.pattern == "ar1" else -1.0 / (self.q - 1)

    def rho(self, w: float) -> float:
        """The correlation at w."""
        return self.lowest + (1.0 - self.lowest) * float(np.cos(0.5 * w)) ** 2

    def w(self, rho: float) -> float:
        """Where the correlation is rho: between 0, for 1, and pi, for the lowest."""
        return 2.0 * float(np.arccos(np.sqrt(np.clip((rho - self.lowest) / (1.0 - self.lowest), 0.0, 1.0))))

    def T(self, theta: np.ndarray) -> np.ndarray:
        """diag(|sd|) times the Cholesky factor of the correlations."""
        sd = np.broadcast_to(np.abs(theta[: self.n_sd]), (self.q,))
        if self.pattern == "diagonal":
            return np.diag(sd)
        rho, lag = self.rho(theta[-1]), np.arange(self.q)
        if self.pattern == "ar1":
            L = np.tril(rho ** np.abs(lag[:, None] - lag)) * np.sqrt(max(1.0 - rho**2, 0.0))
            L[:, 0] = rho**lag
        else:  # pivots (1 - rho) d_j / d_j-1 with d_j = 1 + j rho, and rho sqrt((1 - rho) / (d_j d_j-1)) below them
            d = np.maximum(1.0 + rho * np.arange(-1, self.q), 0.0)
            ratio = np.divide(1.0 - rho, d[:-1], out=np.ones(self.q), where=lag > 0)
            below = rho * np.sqrt(np.divide(ratio, d[1:], out=np.zeros(self.q), where=d[1:] > 0.0))
            L = np.tril(np.broadcast_to(below, (self.q, self.q)), -1) + np.diag(np.sqrt(ratio * d[1:]))
        return np.asarray(sd[:, None] * L)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Standard deviations that are not negative, and w between 0 and pi."""
        w = [] if self.pattern == "diagonal" else [self.w(self.rho(theta[-1]))]
        return np.append(np.abs(theta[: self.n_sd]), w)

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Standard deviations of zero, and a correlation at its bounds."""
        return np.asarray(np.where(self.diagonal, np.abs(theta) < _ZERO, np.abs(np.sin(theta)) < _AT_BOUND))

    @property
    def correlated(self) -> bool:
        """All patterns but the diagonal one."""
        return self.pattern != "diagonal"

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Standard deviations of H, and the mean of its correlations, of neighbours under AR(1), within reason."""
        sd = np.sqrt(np.maximum(np.diag(H), floor))
        scales = [np.sqrt(np.mean(sd**2))] if self.homogeneous else sd
        if self.pattern == "diagonal":
            return np.asarray(scales)
        R = H / np.outer(sd, sd)
        mean = np.mean(np.diag(R, 1) if self.pattern == "ar1" else R[np.triu_indices(self.q, 1)])
        return np.append(scales, self.w(np.clip(mean, _WITHIN * self.lowest, _WITHIN)))

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Standard deviations have the units of their columns, w has none."""
        sd = [float(np.exp(np.mean(np.log(of_columns))))] if self.homogeneous else of_columns
        return np.concatenate([sd, np.full(self.k - self.n_sd, of_others)])

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``g.x`` for a standard deviation, ``g.rho`` for w."""
        sd = (f"{term}.sd",) if self.homogeneous else tuple(f"{term}.{column}" for column in columns)
        return (*sd, f"{term}.rho") if self.k > self.n_sd else sd


@dataclass(frozen=True, eq=False)
class Extended(Structure):
    """A structure of T, its theta followed by the parameters of a relationship (``mme/parametric.py``).

    ``extra`` gives their number, names, a start and a radius; T does not depend on them.
    """

    inner: Structure
    extra: Any

    @property
    def q(self) -> int:  # type: ignore[override]
        """Size of T."""
        return self.inner.q

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta, parameters of the relationship included."""
        return self.inner.k + int(self.extra.k)

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """Those of T."""
        return np.append(self.inner.diagonal, np.zeros(self.extra.k, dtype=bool))

    @property
    def correlated(self) -> bool:
        """As T is."""
        return self.inner.correlated

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""
        return self.inner.T(theta[: self.inner.k])

    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """The parameters of the relationship (its x)."""
        return theta[self.inner.k :]

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Those of T."""
        return np.append(self.inner.edge(theta[: self.inner.k]), np.zeros(self.extra.k, dtype=bool))

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """That of T."""
        return np.append(self.inner.canonical(theta[: self.inner.k]), self.coordinates(theta))

    @property
    def mixes(self) -> bool:
        """As T does."""
        return self.inner.mixes

    def mixed(self, theta: np.ndarray, A: np.ndarray) -> np.ndarray:
        """That of T; the relationship is among levels, not among columns."""
        return np.append(self.inner.mixed(theta[: self.inner.k], A), self.coordinates(theta))

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """That of T, and the first start of the relationship."""
        return np.append(self.inner.nearest(H, floor), self.extra.starts()[0])

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Those of T."""
        for inner in self.inner.elsewhere(theta[: self.inner.k], size[: self.inner.k]):
            yield np.append(inner, self.coordinates(theta))

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """That of T."""
        return np.append(self.inner.nothing(theta[: self.inner.k]), self.coordinates(theta))

    def radius(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """The relationship knows its own."""
        return np.append(self.inner.radius(of_columns, of_others), self.extra.radius())

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Parameters of a relationship have no unit of a column."""
        return np.append(self.inner.per_row(of_columns, of_others), np.full(self.extra.k, of_others))

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``g.x``, then ``g.range``."""
        return (*self.inner.names(term, columns), *(f"{term}.{name}" for name in self.extra.names))


def shares_variance(part: Structure) -> bool:
    """Whether T is a number times the identity, of more than one coefficient."""
    return isinstance(part, Patterned) and part.pattern == "diagonal" and part.homogeneous


_PATTERNED = {
    "homogeneous diagonal": ("diagonal", True),
    "cs": ("cs", False),
    "homogeneous cs": ("cs", True),
    "ar1": ("ar1", True),
    "heterogeneous ar1": ("ar1", False),
}


def structure(kind: Any, q: int, term: str) -> Structure:
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
    if isinstance(kind, Structure):
        _check(kind, q, f"term '{term}': covariance {type(kind).__name__}")
        return kind
    if is_word(kind, ("unstructured",)) or (q == 1 and is_word(kind, ("diagonal", *_PATTERNED))):
        return _free(q)
    if is_word(kind, ("diagonal",)):
        return _free_diagonal(q)
    if isinstance(kind, str) and kind in _PATTERNED:
        return Patterned(q, *_PATTERNED[kind])
    known = ", ".join(f"'{name}'" for name in ("unstructured", "diagonal", *_PATTERNED))
    if isinstance(kind, str):
        raise MMEError(f"term '{term}': covariance {kind!r} is not known; use one of {known}")
    if isinstance(kind, type):
        raise MMEError(f"term '{term}': covariance is the class {kind.__name__}; give an object of it")
    raise MMEError(
        f"term '{term}': covariance must be one of {known}, or an object of a class derived from "
        f"mme.covariance.structures.Structure; got {type(kind).__name__}"
    )


@cache
def _free(q: int) -> Entries:
    return Entries(q, *lower_entries(q))


@cache
def _free_diagonal(q: int) -> Entries:
    return Entries(q, _fixed(np.arange(q)), _fixed(np.arange(q)))


@cache
def lower_entries(q: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the entries of a lower triangle (q, q), column after column: the order of theta."""
    cols, rows = np.triu_indices(q)
    return _fixed(rows), _fixed(cols)


def _fixed(values: np.ndarray) -> np.ndarray:
    """The same array, which stays as it is: many fits share it."""
    values.flags.writeable = False
    return values


def lower_factor(A: np.ndarray) -> np.ndarray:
    """The lower triangular T with T T' = A A' and a non-negative diagonal.

    Examples
    --------
    >>> lower_factor(np.array([[3.0, 4.0], [4.0, -3.0]])).round(12).tolist()
    [[5.0, 0.0], [0.0, 5.0]]
    """
    T = qr_triangle(A.T).T
    return np.asarray(T * np.where(T.diagonal() < 0.0, -1.0, 1.0) + 0.0)


def _check(part: Structure, q: int, what: str) -> None:
    """Look once at all that a user's structure gives, so that what is wrong is said before the search."""
    lacking = [name for name in ("q", "k", "diagonal") if not hasattr(part, name)]
    if lacking:
        raise MMEError(f"{what} lacks {' and '.join(lacking)}; see mme.covariance.structures.Structure")
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
