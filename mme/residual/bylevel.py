r"""A structure with parameters of its own for each level of a factor.

    R = diag(s_1^2 R_1(phi_1), s_2^2 R_2(phi_2), ...),     s_1 = 1,

as SAS has it with ``GROUP=``: the variance is a level's own too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.scales import clipped_log_sd
from mme.residual.base import Bound, Column, Variance
from mme.residual.reading import Labels, Reader
from mme.residual.sensitivity import Sensitivity
from mme.tables.levels import varies_within
from mme.tables.names import unlike

# Moments may start a standard deviation at most this far (in logarithms) from the others.
_FARTHEST = 4.0


def by_level(bind: Callable[[Column, int], Bound], level: Any, column: Column, n: int) -> Bound:
    """Read a structure, which ``bind`` does, on the records of each level.

    Raises
    ------
    MMEError
        One level, or a group of correlated records that has several.
    """
    reader = Reader("by()", column, n)
    levels = reader.labels(level, "level")
    if levels.J < 2:
        raise reader.error(f"{levels.title} has the one level '{levels.levels[0]}'; leave it out")
    whole = bind(column, n)
    if whole.group is not None and varies_within(levels.codes, whole.group):
        crossing = _first_crossing(levels, whole.group)
        raise reader.error(
            f"a group of correlated records has the levels {crossing} of {levels.title}: correlations between levels "
            "would have no parameter; name groups within levels, such as 'arm/subject', or use Heterogeneous"
        )
    at = [np.flatnonzero(levels.codes == j) for j in range(levels.J)]
    parts = tuple(_part(bind, column, index, name, levels) for index, name in zip(at, levels.levels, strict=True))
    ratios = [f"sd.{name}/sd.{levels.levels[0]}" for name in levels.levels[1:]]
    own = [f"{word}.{name}" for part, name in zip(parts, levels.levels, strict=True) for word in part.names]
    names, title = unlike([*own, *ratios]), f"{whole.kind} by {levels.title.removeprefix('level ')}"
    if whole.is_variance_function:
        return BoundVarianceByLevel(n, names, parts, levels.codes, title)
    if whole.group is None:
        raise reader.error("the structure has no groups of correlated records")
    return BoundByLevel(n, names, parts, levels.codes, title, whole.group)


def _part(bind: Callable[[Column, int], Bound], column: Column, index: np.ndarray, name: str, levels: Labels) -> Bound:
    """The structure on the records ``index`` of one level."""

    def own(given: Any) -> Any:
        values = column(given)
        return values.iloc[index] if hasattr(values, "iloc") else values[index]

    try:
        return bind(own, index.size)
    except MMEError as error:
        raise MMEError(f"{error}; that is at level '{name}' of {levels.title}") from None


def _first_crossing(levels: Labels, group: np.ndarray) -> str:
    """Two levels of the first group that has several."""
    pairs = np.unique(np.column_stack([group, levels.codes]), axis=0)
    first = int(np.argmin(np.diff(pairs[:, 0])))
    return " and ".join(f"'{levels.levels[j]}'" for j in pairs[first : first + 2, 1].tolist())


@dataclass(frozen=True, eq=False)
class _Levels(Bound):
    """What correlations and variance functions by level share: coordinates are the parts', then log s."""

    parts: tuple[Bound, ...]
    level: np.ndarray
    title: str

    @property
    def kind(self) -> str:
        """The structure, and the factor."""
        return self.title

    @property
    def is_linear(self) -> bool:
        """Whether R is linear in parameters of its own: where each part is."""
        return all(part.is_linear for part in self.parts)

    @cached_property
    def members(self) -> list[np.ndarray]:
        """The records of each level."""
        return [np.flatnonzero(self.level == j) for j in range(len(self.parts))]

    def split(self, x: np.ndarray) -> Iterator[tuple[Bound, np.ndarray, np.ndarray, float]]:
        """Each part with its records, its coordinates and log s."""
        start = 0
        shifts = np.append(0.0, x[self.k - len(self.parts) + 1 :])
        for part, at, shift in zip(self.parts, self.members, clipped_log_sd(shifts).tolist(), strict=True):
            yield part, at, x[start : start + part.k], shift
            start += part.k

    @property
    def of_mean(self) -> np.ndarray:
        """Which coordinates say how R depends on the fitted mean: those of the parts."""
        return np.concatenate([*(part.of_mean for part in self.parts), np.zeros(len(self.parts) - 1, dtype=bool)])

    def about(self, fitted: np.ndarray, population: np.ndarray) -> Bound:
        """The parts at other fitted values."""
        pairs = zip(self.parts, self.members, strict=True)
        return replace(self, parts=tuple(part.about(fitted[at], population[at]) for part, at in pairs))

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Those of the parts, from the residuals of their levels, and the root mean squares of these."""
        starts = [
            part.start(None if residual is None else residual[at])
            for part, at in zip(self.parts, self.members, strict=True)
        ]
        shifts = np.zeros(len(self.parts))
        if residual is not None:
            left = [
                np.mean((residual[at] * np.exp(-part.log_sd(own))) ** 2)
                for part, at, own in zip(self.parts, self.members, starts, strict=True)
            ]
            if min(left) > 0.0:
                shifts = np.clip(0.5 * np.log(np.array(left) / left[0]), -_FARTHEST, _FARTHEST)
        return np.concatenate([*starts, shifts[1:]])

    def radius(self) -> np.ndarray:
        """How far off a start may be: those of the parts, and of ratios of standard deviations."""
        return np.concatenate([*(part.radius() for part in self.parts), np.full(len(self.parts) - 1, 0.5)])

    def natural(self, x: np.ndarray) -> np.ndarray:
        """The natural parameters: those of the parts, then ratios of standard deviations."""
        found = [(part.natural(own), np.exp(shift)) for part, _, own, shift in self.split(x)]
        return np.concatenate([*(own for own, _ in found), [ratio for _, ratio in found[1:]]])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of the parts; ratios are positive."""
        own = tuple(pair for part in self.parts for pair in part.bounds)
        return (*own, *((0.0, np.inf),) * (len(self.parts) - 1))

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Coordinates of the natural parameters: those of the parts, then logarithms of the ratios."""
        values = np.asarray(natural, dtype=float)
        ends = np.cumsum([part.k for part in self.parts])
        pieces = np.split(values, ends)
        own = [part.coordinates(piece) for part, piece in zip(self.parts, pieces[:-1], strict=True)]
        return np.concatenate([*own, np.log(pieces[-1])])

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Half the logarithm of diag R: those of the parts, and log s."""
        out = np.empty(self.n)
        for part, at, own, shift in self.split(x):
            out[at] = part.log_sd(own) + shift
        return out


@dataclass(frozen=True, eq=False)
class BoundVarianceByLevel(_Levels, Variance):
    """A variance function by level."""


@dataclass(frozen=True, eq=False)
class BoundByLevel(_Levels):
    """A correlation by level; ``codes`` are those of the groups."""

    codes: np.ndarray

    @property
    def group(self) -> np.ndarray:
        """Codes of the groups."""
        return self.codes

    @property
    def absorbs_intercept(self) -> bool:
        """R + t 11' has the same t for all levels, which changes no structure of several."""
        return False

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Level by level, divided by s."""
        return self._each(x, rows, lambda part, own, rows, s: part.whiten(own, rows) / s)

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Level by level, divided by s."""
        return self._each(x, rows, lambda part, own, rows, s: part.whiten_transposed(own, rows) / s)

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Level by level, times s."""
        return self._each(x, rows, lambda part, own, rows, s: part.colour(own, rows) * s)

    def multiplied(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Level by level, times s^2."""
        return self._each(x, rows, lambda part, own, rows, s: part.multiplied(own, rows) * s**2)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """Level by level, over s^2."""
        out = np.empty(self.n)
        for part, at, own, shift in self.split(x):
            out[at] = part.precision_diagonal(own) * np.exp(-2.0 * shift)
        return out

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The places of the entries of W: those of the parts; None where a part has none that are known."""
        if self._places is None:
            return None
        rows, cols = self._places
        return rows[self._by_row], cols[self._by_row]

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """The entries of W: those of the parts, divided by s."""
        values = [part.entry_values(own) * np.exp(-shift) for part, _, own, shift in self.split(x)]
        return np.asarray(np.concatenate(values)[self._by_row])

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Row and column of the entries, level by level; None where a part has none that are known."""
        found = [(at, part.entries) for part, at in zip(self.parts, self.members, strict=True)]
        known = [(at[own[0]], at[own[1]]) for at, own in found if own is not None]
        if len(known) < len(found):
            return None
        rows, cols = (np.concatenate(parts) for parts in zip(*known, strict=True))
        return rows, cols

    @cached_property
    def _by_row(self) -> np.ndarray:
        assert self._places is not None
        rows, cols = self._places
        return np.lexsort((cols, rows != cols, rows))

    def logdet(self, x: np.ndarray) -> float:
        """The sum over levels."""
        return sum(part.logdet(own) + 2.0 * shift * at.size for part, at, own, shift in self.split(x))

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """s^2 R of each level, zero between them."""
        out = np.zeros((index.size, index.size))
        for j, (part, at, own, shift) in enumerate(self.split(x)):
            here = np.flatnonzero(self.level[index] == j)
            if here.size:
                of = np.searchsorted(at, index[here])
                out[np.ix_(here, here)] = part.covariance(own, of) * np.exp(2.0 * shift)
        return out

    def score(self, x: np.ndarray, of: Sensitivity) -> np.ndarray:
        """Those of the parts by what the criterion says of their records, and 2 sum (S R)_ii of each level."""
        own_scores, ratios = [], []
        for part, at, own, shift in self.split(x):
            own_scores.append(part.score(own, _restricted(of, at, np.exp(shift))))
            ratios.append(2.0 * float(of.relative[at].sum()))
        return np.concatenate([*own_scores, ratios[1:]])

    def changes(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """s^2 dR v of each part, and 2 s^2 R v of each level."""
        out, start = np.zeros((self.k, self.n)), 0
        for j, (part, at, own, shift) in enumerate(self.split(x)):
            factor = np.exp(2.0 * shift)
            out[start : start + part.k, at] = part.changes(own, v[at]) * factor
            if j:
                ratio = self.k - len(self.parts) + j
                out[ratio, at] = 2.0 * factor * part.multiplied(own, v[None, at])[0]
            start += part.k
        return out

    def _each(self, x: np.ndarray, rows: np.ndarray, made: Callable[..., np.ndarray]) -> np.ndarray:
        out = np.empty(rows.shape)
        for part, at, own, shift in self.split(x):
            out[:, at] = made(part, own, np.ascontiguousarray(rows[:, at]), np.exp(shift))
        return out


def _restricted(of: Sensitivity, at: np.ndarray, s: float) -> Sensitivity:
    """S of some whole groups, records ``at``, for R over s^2."""
    batches = []
    for members, S in of.batches:
        place = np.minimum(np.searchsorted(at, members), at.size - 1)
        here = at[place[:, 0]] == members[:, 0]
        if here.any():
            batches.append((place[here], s**2 * S[here]))
    return Sensitivity(of.relative[at], tuple(batches))
