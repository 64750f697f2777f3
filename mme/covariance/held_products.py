"""A parameter of one factor of a direct product held at a value, the rest of both factors free.

The product has one scale: a standard deviation of the ``relative`` factor is one, the entry ``fixed`` of both thetas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mme.covariance.base import GStructure
from mme.covariance.held import Held, hold_ratio

# A first standard deviation of the relative factor is at least this large beside the scale that it was found at.
_LEAST = 1e-150


@dataclass(frozen=True, eq=False)
class HeldInProduct:
    """The factors at a theta of the product, whose entry ``at`` is a parameter of the factor ``which``."""

    parts: tuple[GStructure, GStructure]
    pieces: tuple[np.ndarray, np.ndarray]
    relative: int
    fixed: int
    at: int

    @property
    def _entries(self) -> np.ndarray:
        """The entries of both thetas, one after the other, that are those of the product."""
        return np.delete(np.arange(self._first + self.parts[1].k), self.fixed)

    @property
    def _first(self) -> int:
        return self.parts[0].k

    @property
    def which(self) -> int:
        """The factor that the parameter is of."""
        return int(self._entries[self.at] >= self._first)

    def held(self) -> Held:
        """What is free beside the parameter."""
        part = self.parts[self.which]
        if self.which == self.relative and part.entries is not None and part.correlated:
            return self._of_unstructured(part.entries)
        place = int(self._entries[self.at]) - self.which * self._first
        held = part.hold(self.pieces[self.which], place)
        mine = np.delete(np.arange(held.start.size), np.flatnonzero(self._like(held) == self.fixed)[:1])
        fixed = [] if self.which == self.relative else [self.fixed - (1 - self.which) * self._first]
        free = np.delete(np.arange(self.pieces[1 - self.which].size), fixed)

        def theta(x: np.ndarray, value: float) -> np.ndarray:
            given, rest = np.ones(held.start.size), np.ones(self.pieces[1 - self.which].size)
            given[mine], rest[free] = x[: mine.size], x[mine.size :]
            return self._joined(held.theta(given, value), rest)

        return self._together(held, mine, free, theta)

    def _of_unstructured(self, entries: tuple[np.ndarray, np.ndarray]) -> Held:
        """A ratio of standard deviations or a correlation of the unstructured relative factor.

        Its own scale is free there, that of the other factor stays by its largest standard deviation: what both make
        is divided by the first standard deviation of the one, and the other takes it.
        """
        part, own, other = self.parts[self.which], self.pieces[self.which], self.parts[1 - self.which]
        place = int(self._entries[self.at]) - self.which * self._first
        i, j = (int(one[place]) for one in entries)
        held = hold_ratio(part.T(own), i) if i == j else part.hold(own, place)
        rest = self.pieces[1 - self.which]
        kept = int(np.argmax(np.where(other.diagonal, np.abs(rest), -1.0)))
        free, local = np.delete(np.arange(rest.size), kept), self.fixed - self.which * self._first

        def theta(x: np.ndarray, value: float) -> np.ndarray:
            made = held.theta(x[: held.start.size], value)
            first = max(float(made[local]), _LEAST)
            whole = np.insert(x[held.start.size :], kept, rest[kept])
            return self._joined(made / first, whole * other.per_row(np.full(other.q, first), 1.0))

        return self._together(held, np.arange(held.start.size), free, theta)

    def _like(self, held: Held) -> np.ndarray:
        return held.like + self.which * self._first

    def _joined(self, own: np.ndarray, rest: np.ndarray) -> np.ndarray:
        both = (own, rest) if self.which == 0 else (rest, own)
        return np.delete(np.concatenate(both), self.fixed)

    def _together(
        self, held: Held, mine: np.ndarray, free: np.ndarray, theta: Callable[[np.ndarray, float], np.ndarray]
    ) -> Held:
        """The free entries of both, of the held factor ``mine``; the entry that is fixed has no scale to lend."""
        rest, marks = self.pieces[1 - self.which], self.parts[1 - self.which].diagonal
        place = np.empty(self._first + self.parts[1].k, dtype=np.int64)
        place[self._entries] = np.arange(self._entries.size)
        place[self.fixed] = self.at
        like, none = self._like(held)[mine], np.zeros(free.size, dtype=bool)
        moved = np.broadcast_to(held.moved, held.start.size)[mine] | (like == self.fixed)
        return Held(
            np.append(held.start[mine], rest[free]),
            np.append(held.even[mine], marks[free]),
            np.append(held.rooted[mine], none),
            place[np.append(like, free + (1 - self.which) * self._first)],
            theta,
            held.bounds,
            np.append(moved, none),
        )
