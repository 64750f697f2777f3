"""A structure of G beside a relationship with parameters: both are searched in one theta."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.base import GStructure
from mme.covariance.held import Held, hold_entry
from mme.relationship.parametric import Parametric


@dataclass(frozen=True, eq=False)
class Extended(GStructure):
    """A structure of T, its theta followed by the parameters of a relationship, on which T does not depend."""

    alone: GStructure
    process: Parametric

    @property
    def inner(self) -> GStructure:
        """The structure of T."""
        return self.alone

    @property
    def relationship(self) -> Parametric:
        """The relationship, its parameters behind those of T."""
        return self.process

    @property
    def q(self) -> int:  # type: ignore[override]
        """Size of T."""
        return self.inner.q

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta, parameters of the relationship included."""
        return self.inner.k + int(self.relationship.k)

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """Which entries of theta stand on the diagonal of T."""
        return self._of_T(self.inner.diagonal)

    @property
    def correlated(self) -> bool:
        """Whether coefficients can be correlated, which T alone decides."""
        return self.inner.correlated

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""
        return self.inner.T(theta[: self.inner.k])

    def inside(self, theta: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Theta at which T is not singular: that of the structure of T."""
        k = self.inner.k
        return np.append(self.inner.inside(theta[:k], least[:k]), theta[k:])

    def slopes(self, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """The derivatives of T T': those of the structure of T, which the relationship's parameters leave as it is."""
        k = self.inner.k
        still = np.zeros((self.k - k, self.q, self.q))
        return np.concatenate([self.inner.slopes(theta[:k], unit[:k]), still])

    def curvature(self, theta: np.ndarray, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Second derivatives of <weights, T T'>: those of the structure of T."""
        k, out = self.inner.k, np.zeros((self.k, self.k))
        out[:k, :k] = self.inner.curvature(theta[:k], unit[:k], weights)
        return out

    @property
    def one_scale(self) -> bool:
        """Whether one standard deviation is that of all columns."""
        return self.inner.one_scale

    @property
    def is_even(self) -> bool:
        """Whether standard deviations stand in T T' as their squares alone."""
        return self.inner.is_even

    def with_inverse(self, least: np.ndarray) -> Extended:
        """A structure beside it whose T T' has an inverse: that of the structure of T."""
        return self.with_inner(self.inner.with_inverse(least))

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Which entries of theta are at the edge of the model: those of the structure of T."""
        return self._of_T(self.inner.edge(theta[: self.inner.k]))

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The theta that is reported: that of the structure of T."""
        return np.append(self.inner.canonical(theta[: self.inner.k]), self.coordinates(theta))

    @property
    def mixes(self) -> bool:
        """Whether every covariance A T T'A' is one of the structure's, which T alone decides."""
        return self.inner.mixes

    def mixed(self, theta: np.ndarray, A: np.ndarray) -> np.ndarray:
        """The theta of A T T'A': that of the structure of T; the relationship is among levels, not among columns."""
        return np.append(self.inner.mixed(theta[: self.inner.k], A), self.coordinates(theta))

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Theta to start from: that of the structure of T, and the first start of the relationship."""
        return np.append(self.inner.nearest(H, floor), self.relationship.starts()[0])

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Thetas where another valley may be: those of the structure of T."""
        for inner in self.inner.elsewhere(theta[: self.inner.k], size[: self.inner.k]):
            yield np.append(inner, self.coordinates(theta))

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """The theta of no variance: that of the structure of T."""
        return np.append(self.inner.nothing(theta[: self.inner.k]), self.coordinates(theta))

    def radius(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """How far off a start may be: the relationship says so of its own parameters."""
        return np.append(self.inner.radius(of_columns, of_others), self.relationship.radius())

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Parameters of a relationship have no unit of a column."""
        return np.append(self.inner.per_row(of_columns, of_others), np.full(self.relationship.k, of_others))

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``g.x``, then ``g.range``."""
        return (*self.inner.names(term, columns), *(f"{term}.{name}" for name in self.relationship.names))

    @property
    def kind(self) -> str:
        """What messages call it: the structure of T, and the parameters of the relationship."""
        return f"with a {' and a '.join(self.relationship.names)}"

    @property
    def times_sigma(self) -> np.ndarray:
        """Which natural parameters are in units of sigma: those of the structure of T."""
        return self._of_T(self.inner.times_sigma)

    def natural_names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names of the natural parameters: those of the structure of T, then ``range|g``."""
        return (*self.inner.natural_names(term, columns), *(f"{name}|{term}" for name in self.relationship.names))

    def natural(self, theta: np.ndarray, sigma: float) -> np.ndarray:
        """The natural parameters: those of the structure of T, and those of the relationship."""
        own = self.inner.natural(theta[: self.inner.k], sigma)
        return np.append(own, self.relationship.natural(self.coordinates(theta)))

    @property
    def natural_bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of the structure of T, and those of the relationship."""
        return (*self.inner.natural_bounds, *self.relationship.bounds)

    def hold(self, theta: np.ndarray, at: int, axes: Axes | None = None) -> Held:
        """Hold a parameter of T, with those of the relationship free, or one of these."""
        return self._hold_of_T(theta, at, axes) if at < self.inner.k else self._hold_related(theta, at)

    def _hold_of_T(self, theta: np.ndarray, at: int, axes: Axes | None) -> Held:
        held, x = self.inner.hold(theta[: self.inner.k], at, axes), self.coordinates(theta)
        first, free = held.start.size, np.zeros(x.size, dtype=bool)
        return Held(
            np.append(held.start, x),
            np.append(held.even, free),
            np.append(held.rooted, free),
            np.append(held.like, np.arange(self.inner.k, self.k)),
            lambda x, value: np.append(held.theta(x[:first], value), x[first:]),
            held.bounds,
            np.append(np.broadcast_to(held.moved, first), free),
        )

    def _hold_related(self, theta: np.ndarray, at: int) -> Held:
        i, natural = at - self.inner.k, self.relationship.natural(self.coordinates(theta))

        def coordinate(value: float) -> float:
            given = np.where(np.arange(natural.size) == i, value, natural)
            return float(self.relationship.coordinates(given)[i])

        return hold_entry(theta, at, self.diagonal, self.natural_bounds[at], coordinate)

    def lost_with(self, columns: np.ndarray) -> np.ndarray | None:
        """Entries of theta lost with these columns: those of the structure of T; the relationship's parameters stay."""
        lost = self.inner.lost_with(columns)
        return None if lost is None else self._of_T(lost)

    def columns_of(self, entries: np.ndarray) -> np.ndarray:
        """Columns with a standard deviation among these entries of theta: those of the structure of T."""
        return self.inner.columns_of(entries[: self.inner.k])

    def related(self, relationship: Any, theta: np.ndarray) -> Any:
        """The relationship at the parameters that theta ends with."""
        return relationship.at(self.coordinates(theta))

    def with_inner(self, inner: GStructure) -> Extended:
        """The relationship beside another structure of T."""
        return Extended(inner, self.relationship)

    def beside(self, relationship: Parametric) -> Extended:
        """The same T beside a relationship of the same parameters."""
        return Extended(self.inner, relationship)

    def _of_T(self, own: np.ndarray) -> np.ndarray:
        """Marks of the entries of T's theta, none for those of the relationship."""
        return np.append(own, np.zeros(self.relationship.k, dtype=bool))
