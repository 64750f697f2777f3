r"""Direct products of two structures of the columns of a term: G = G_1 (x) G_2, of one scale.

Columns are pairs, those of the second structure changing fastest. As c G_1 (x) G_2 / c is the same, one of the two, the
``relative`` one, has its first standard deviation fixed at one: a covariance of traits at the first site, and of the
sites relative to the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.base import GStructure
from mme.covariance.held import Held
from mme.covariance.held_products import HeldInProduct
from mme.covariance.loadings import Loadings
from mme.errors import MMEError


@dataclass(frozen=True, eq=False)
class Kronecker(GStructure):
    """``one`` (x) ``two``; ``relative`` says which has no scale of its own.

    Examples
    --------
    >>> from mme.covariance.words import structure
    >>> parts = structure("unstructured", 2, "g"), structure("unstructured", 2, "g")
    >>> G = Kronecker(*parts)
    >>> T = G.T(np.array([0.5, 1.0, 2.0, 1.0, 1.0]))
    >>> (T @ T.T).round(3)[0]
    array([4., 2., 2., 1.])
    """

    one: GStructure
    two: GStructure
    relative: int = 0

    @property
    def parts(self) -> tuple[GStructure, GStructure]:
        """The structures of both factors."""
        return self.one, self.two

    @property
    def q(self) -> int:  # type: ignore[override]
        """Number of pairs of columns."""
        return self.one.q * self.two.q

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta: that of both factors, less one."""
        return self.one.k + self.two.k - 1

    @cached_property
    def fixed(self) -> int:
        """Which entry of both thetas, one after the other, is one."""
        part = self.parts[self.relative]
        return self.relative * self.one.k + int(np.flatnonzero(part.diagonal)[0])

    def each(self, theta: np.ndarray, one: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Theta of each factor, the entry that is one among them."""
        whole = np.insert(theta, self.fixed, one)
        return whole[: self.one.k], whole[self.one.k :]

    def _joined(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.delete(np.concatenate([one, two]), self.fixed)

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """Which entries of theta stand on the diagonal of T: those of both factors."""
        return self._joined(self.one.diagonal, self.two.diagonal)

    def T(self, theta: np.ndarray) -> np.ndarray:
        """T_1 (x) T_2, lower triangular as both are."""
        one, two = self.each(theta)
        return np.kron(self.one.T(one), self.two.T(two))

    def covariances(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The covariances G_1 and G_2 of both factors."""
        T = [part.T(piece) for part, piece in zip(self.parts, self.each(theta), strict=True)]
        return T[0] @ T[0].T, T[1] @ T[1].T

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The theta that is reported: those of both factors."""
        return self._joined(*(part.canonical(piece) for part, piece in zip(self.parts, self.each(theta), strict=True)))

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Which entries of theta are at the edge of the model: those of both factors."""
        return self._joined(*(part.edge(piece) for part, piece in zip(self.parts, self.each(theta), strict=True)))

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """No variance of that which has the scale."""
        pieces = list(self.each(theta))
        pieces[1 - self.relative] = self.parts[1 - self.relative].nothing(pieces[1 - self.relative])
        return self._joined(*pieces)

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Thetas where another valley may be: those of the factor that has the scale."""
        at, (pieces, sizes) = 1 - self.relative, (self.each(theta), self.each(size))
        for other in self.parts[at].elsewhere(pieces[at], sizes[at]):
            yield self._joined(*(other if i == at else piece for i, piece in enumerate(pieces)))

    def inside(self, theta: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Theta at which T is not singular: those of both factors."""
        pieces = zip(self.parts, self.each(theta), self.each(least, 0.0), strict=True)
        return self._joined(*(part.inside(piece, small) for part, piece, small in pieces))

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Each of the average of H over the columns of the other."""
        q = self.one.q, self.two.q
        blocks, floors = H.reshape(*q, *q), floor.reshape(q)
        averages = np.einsum("iaja->ij", blocks) / q[1], np.einsum("iaib->ab", blocks) / q[0]
        least = floors.mean(axis=1), floors.mean(axis=0)
        pieces = [
            part.nearest(*given) for part, given in zip(self.parts, zip(averages, least, strict=True), strict=True)
        ]
        rel, own = self.parts[self.relative], self.parts[1 - self.relative]
        G = rel.T(pieces[self.relative])
        first = max(float(np.concatenate(pieces)[self.fixed]), 1e-3 * float(np.sqrt(np.trace(G @ G.T) / rel.q)))
        mean = float(np.sqrt(np.trace(G @ G.T) / rel.q)) / first  # of the others, that of the first being one
        pieces[self.relative] = pieces[self.relative] * rel.per_row(np.full(rel.q, 1.0 / first), 1.0)
        at = 1 - self.relative
        pieces[at] = pieces[at] * own.per_row(np.full(own.q, 1.0 / max(mean, 1e-3)), 1.0)
        return self._joined(*pieces)

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """A value for each entry of theta: those of the first pair, and ratios to it."""
        table = of_columns.reshape(self.one.q, self.two.q)
        rows = [table[:, 0], table[0]]
        rows[self.relative] = rows[self.relative] / rows[self.relative][0]
        return self._joined(*(part.per_row(row, of_others) for part, row in zip(self.parts, rows, strict=True)))

    def radius(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """How far off a start may be: shares of the scales of both factors."""
        table = of_columns.reshape(self.one.q, self.two.q)
        rows = (
            [table[:, 0], np.full(self.two.q, of_others)]
            if self.relative
            else [np.full(self.one.q, of_others), table[0]]
        )
        return self._joined(*(part.radius(row, of_others) for part, row in zip(self.parts, rows, strict=True)))

    def labels(self, columns: Sequence[str]) -> tuple[list[str], list[str]]:
        """The columns of each: of ``traita:sitex`` first ``sitex``, then ``traita``."""
        q = self.two.q
        first = [columns[j::q] for j in range(q)]
        fast = [_beginning(names[0], names[-1]).rpartition(":")[0] or f"{j + 1}" for j, names in enumerate(first)]
        slow = [columns[i * q][len(fast[0]) + 1 :] for i in range(self.one.q)]
        return slow, fast

    def _names(self, made: tuple[Sequence[str], Sequence[str]]) -> tuple[str, ...]:
        return tuple(np.delete(np.array([*made[0], *made[1]], dtype=object), self.fixed).tolist())

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names of theta: those of both factors, by their own columns."""
        one, two = (part.names(term, own) for part, own in zip(self.parts, self.labels(columns), strict=True))
        return self._names((one, two))

    def natural_names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names of the natural parameters: those of both factors, by their own columns."""
        one, two = (part.natural_names(term, own) for part, own in zip(self.parts, self.labels(columns), strict=True))
        return self._names((one, two))

    def natural(self, theta: np.ndarray, sigma: float) -> np.ndarray:
        """The natural parameters: those of both factors, sigma in those of the factor that has the scale."""
        sigmas = (sigma, 1.0) if self.relative else (1.0, sigma)
        pieces = zip(self.parts, self.each(theta), sigmas, strict=True)
        return self._joined(*(part.natural(piece, scale) for part, piece, scale in pieces))

    @property
    def times_sigma(self) -> np.ndarray:
        """Which natural parameters are in units of sigma: those of the factor that has the scale."""
        marks = [part.times_sigma for part in self.parts]
        marks[self.relative] = np.zeros(marks[self.relative].size, dtype=bool)
        return self._joined(*marks)

    @property
    def natural_bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of both factors."""
        bounds = [*self.one.natural_bounds, *self.two.natural_bounds]
        return tuple(bound for i, bound in enumerate(bounds) if i != self.fixed)

    def hold(self, theta: np.ndarray, at: int, axes: Axes | None = None) -> Held:
        """Hold a parameter of one of both; the standard deviation that is one stays so.

        Raises
        ------
        MMEError
            It is of an unstructured covariance relative to the other, whose first row is no coordinate of its own.
        """
        return HeldInProduct(self.parts, self.each(theta), self.relative, self.fixed, at).held()

    @property
    def kind(self) -> str:
        """What messages call it: the words for both factors."""
        return f"{self.one.kind} x {self.two.kind}"

    @property
    def is_even(self) -> bool:
        """Whether standard deviations stand in both factors as their squares alone."""
        return self.one.is_even and self.two.is_even

    def with_inverse(self, least: np.ndarray) -> Kronecker:
        """A structure beside it whose T T' has an inverse: that of both factors."""
        table = least.reshape(self.one.q, self.two.q)
        return replace(self, one=self.one.with_inverse(table[:, 0]), two=self.two.with_inverse(table[0]))

    def slopes(self, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """dG_1 (x) G_2, then G_1 (x) dG_2."""
        (G_1, G_2), (d_1, d_2) = self.covariances(theta), self._slopes(theta, unit)
        moved = [np.kron(one, G_2) for one in d_1] + [np.kron(G_1, one) for one in d_2]
        return np.delete(np.array(moved), self.fixed, axis=0)

    def _slopes(self, theta: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        one, two = zip(self.parts, self.each(theta), self.each(unit), strict=True)
        return one[0].slopes(*one[1:]), two[0].slopes(*two[1:])

    def curvature(self, theta: np.ndarray, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Second derivatives of <weights, G_1 (x) G_2>: within each factor, and across both."""
        q = self.one.q, self.two.q
        W, (G_1, G_2) = weights.reshape(*q, *q), self.covariances(theta)
        d_1, d_2 = self._slopes(theta, unit)
        (t_1, t_2), (u_1, u_2) = self.each(theta), self.each(unit)
        between = np.einsum("iajb,kij,lab->kl", W, d_1, d_2, optimize=True)
        own = (
            self.one.curvature(t_1, u_1, np.einsum("iajb,ab->ij", W, G_2)),
            self.two.curvature(t_2, u_2, np.einsum("iajb,ij->ab", W, G_1)),
        )
        whole = np.block([[own[0], between], [between.T, own[1]]])
        return np.delete(np.delete(whole, self.fixed, axis=0), self.fixed, axis=1)


def _beginning(one: str, other: str) -> str:
    """What two texts begin with."""
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:same]


def kronecker(one: GStructure, two: GStructure, term: str) -> Kronecker:
    """The product, with the scale in the second, or in a structure of factors where there is one.

    Raises
    ------
    MMEError
        Both are structures of factors.
    """
    factors = [isinstance(part, Loadings) for part in (one, two)]
    if all(factors):
        raise MMEError(f"term '{term}': one of two structures may be fa() or rr(); take us() or corh() for the other")
    return Kronecker(one, two, 1 if factors[0] else 0)
