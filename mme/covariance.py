"""theta -> T: structures of one level's relative covariance G / sigma^2 = T T'.

A structure is one class: T as a function of theta, which entries of theta are standard deviations, how theta scales
with the units of the columns, and a theta near a given covariance to start from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError


class Structure(ABC):
    """T (q, q), lower triangular, as a function of theta (k,).

    Attributes
    ----------
    q, k : int
        Size of T and length of theta.
    diagonal : (k,) bool
        Entries of theta that are zero on a singular fit; the criterion does not change when their sign does.
    """

    q: int
    k: int
    diagonal: np.ndarray

    @abstractmethod
    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""

    @abstractmethod
    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The theta of the same T T' that is reported: standard deviations are not negative."""

    @abstractmethod
    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Theta whose T T' approximates a symmetric H, with variances of at least ``floor`` (q,)."""

    @abstractmethod
    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """A value for each entry of theta: that of its column where it has the column's units, else ``of_others``."""

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

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta."""
        return int(self.rows.size)

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """Diagonal entries of T."""
        return np.asarray(self.rows == self.cols)

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""
        T = np.zeros((self.q, self.q))
        T[self.rows, self.cols] = theta
        return T

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Theta with a non-negative diagonal of T."""
        T = self.T(theta)
        signs = np.where(np.diag(T) < 0.0, -1.0, 1.0)
        return np.asarray((T * signs)[self.rows, self.cols] + 0.0)

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Cholesky factor of H with its correlations pulled inside the cone."""
        scale = np.sqrt(np.maximum(np.diag(H), floor))
        R = H / np.outer(scale, scale)
        values, vectors = np.linalg.eigh(np.clip((R + R.T) / 2, -0.9, 0.9) + 0.1 * np.eye(self.q))
        L = np.linalg.cholesky((vectors * np.maximum(values, 0.05)) @ vectors.T)
        return np.asarray((scale[:, None] * L / np.linalg.norm(L, axis=1)[:, None])[self.rows, self.cols])

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

    theta = (sd..., z) with z unbounded: compound symmetry has rho = (e^z - 1) / (e^z + q - 1), between -1 / (q - 1)
    and 1; AR(1), columns in the order of time, has rho = tanh z.
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

    def rho(self, z: float) -> float:
        """The correlation at z."""
        if self.pattern == "ar1":
            return float(np.tanh(z))
        e = np.exp(np.clip(z, -30.0, 30.0))
        return float((e - 1.0) / (e + self.q - 1.0))

    def T(self, theta: np.ndarray) -> np.ndarray:
        """diag(|sd|) times the Cholesky factor of the correlations."""
        sd = np.broadcast_to(np.abs(theta[: self.n_sd]), (self.q,))
        if self.pattern == "diagonal":
            return np.diag(sd)
        rho = self.rho(theta[-1])
        if self.pattern == "ar1":
            lag = np.arange(self.q)
            L = np.tril(rho ** np.abs(lag[:, None] - lag)) * np.sqrt(1.0 - rho**2)
            L[:, 0] = rho**lag
        else:
            L = np.linalg.cholesky(np.full((self.q, self.q), rho) + (1.0 - rho) * np.eye(self.q))
        return np.asarray(sd[:, None] * L)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Standard deviations made positive."""
        return np.where(self.diagonal, np.abs(theta), theta)

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Standard deviations of H, and no correlation."""
        sd = np.sqrt(np.maximum(np.diag(H), floor))
        return np.concatenate([[np.sqrt(np.mean(sd**2))] if self.homogeneous else sd, np.zeros(self.k - self.n_sd)])

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Standard deviations have the units of their columns, z has none."""
        sd = [float(np.exp(np.mean(np.log(of_columns))))] if self.homogeneous else of_columns
        return np.concatenate([sd, np.full(self.k - self.n_sd, of_others)])

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``g.x`` for a standard deviation, ``g.rho`` for z."""
        sd = (f"{term}.sd",) if self.homogeneous else tuple(f"{term}.{column}" for column in columns)
        return (*sd, f"{term}.rho") if self.k > self.n_sd else sd


_PATTERNED = {
    "homogeneous diagonal": ("diagonal", True),
    "cs": ("cs", False),
    "homogeneous cs": ("cs", True),
    "ar1": ("ar1", True),
    "heterogeneous ar1": ("ar1", False),
}


def structure(kind: str, q: int, term: str) -> Structure:
    """The structure named ``kind`` for a term of ``q`` columns; theta runs down the columns of T, as in lme4.

    Examples
    --------
    >>> structure("unstructured", 2, "g").T(np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    >>> T = structure("homogeneous cs", 3, "g").T(np.array([2.0, np.log(2.5)]))  # rho = 1.5 / 4.5
    >>> (T @ T.T).round(3)[0]
    array([4.   , 1.333, 1.333])
    """
    if kind == "unstructured" or (q == 1 and kind in ("diagonal", *_PATTERNED)):
        cols, rows = np.triu_indices(q)
        return Entries(q, rows, cols)
    if kind == "diagonal":
        return Entries(q, np.arange(q), np.arange(q))
    if kind in _PATTERNED:
        return Patterned(q, *_PATTERNED[kind])
    known = ", ".join(f"'{name}'" for name in ("unstructured", "diagonal", *_PATTERNED))
    raise MMEError(f"term '{term}': covariance {kind!r} is not known; use one of {known}")
