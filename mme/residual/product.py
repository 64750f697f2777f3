"""Variance functions on top of a correlation: R = S C S, S = diag(sd)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from math import prod

import numpy as np

from mme.errors import MMEError
from mme.residual.base import Bound, Variance
from mme.residual.sensitivity import Sensitivity
from mme.tables.names import unlike

# Smallest eigenvalue of the Gram matrix of directions (of length one) that differ by more than rounding.
_SAME = 1e-10
# What is left of a direction that all records share, of its length.
_ROUNDING = 1e-12
# Places of all parts at once that are looked at, at the most.
_FEW_PLACES = 15


def multiplied(parts: Sequence[Bound], kinds: Sequence[str]) -> Bound:
    """The product S C S of at most one correlation C and of variance functions, named by ``kinds`` in messages.

    Raises
    ------
    MMEError
        Two correlations, or standard deviations that cannot be told apart.
    """
    if len(parts) == 1:
        names = unlike(parts[0].names)
        return parts[0] if names == parts[0].names else replace(parts[0], names=names)
    variances = tuple(part for part in parts if isinstance(part, Variance))
    correlations = [part for part in parts if not isinstance(part, Variance)]
    if len(correlations) > 1:
        raise MMEError(f"residual: a list takes one correlation and variance functions, got {' and '.join(kinds)}")
    ordered = (*correlations, *variances)
    _require_identified(ordered, kinds)
    names = unlike(name for part in ordered for name in part.names)
    return Product(parts[0].n, names, correlations[0] if correlations else None, variances)


def _require_identified(parts: Sequence[Bound], kinds: Sequence[str]) -> None:
    """Refuse standard deviations that several parameters move alike, up to a common factor, which is sigma's."""
    directions = []
    for part in parts:
        start = part.start()
        for step in np.eye(part.k):
            moved = part.log_sd(start + step) - part.log_sd(start)
            if moved.any():
                direction = moved - moved.mean()
                size = float(np.linalg.norm(direction))
                is_common = size <= _ROUNDING * np.linalg.norm(moved)  # a factor of all records
                directions.append(np.zeros(moved.size) if is_common else direction / size)
    if not directions:
        return
    table = np.array(directions).reshape(len(directions), -1)
    if np.linalg.eigvalsh(table @ table.T)[0] < _SAME:
        raise MMEError(
            f"residual: in the product of {' and '.join(kinds)} some standard deviations stand twice, so that they "
            "cannot be told apart; leave one structure out"
        )


@dataclass(frozen=True, eq=False)
class Product(Bound):
    """R = S C S; coordinates of C first, then those of each variance function."""

    correlation: Bound | None
    variances: tuple[Variance, ...]

    @property
    def parts(self) -> tuple[Bound, ...]:
        """C and the factors of S, in the order of their coordinates."""
        return self.variances if self.correlation is None else (self.correlation, *self.variances)

    @property
    def kind(self) -> str:
        """The kinds of the parts, joined by "with"."""
        return " with ".join(part.kind for part in self.parts)

    @property
    def group(self) -> np.ndarray | None:
        """Groups of the correlation."""
        return None if self.correlation is None else self.correlation.group

    @property
    def sequence(self) -> np.ndarray | None:
        """The order of the records in which the correlation's whitening goes; None without a correlation."""
        return None if self.correlation is None else self.correlation.sequence

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The places of the entries of W: those of the correlation."""
        return None if self.correlation is None else self.correlation.entries

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """The entries of W: those of the correlation, columns over S."""
        assert self.correlation is not None
        assert self.correlation.entries is not None
        own = self.correlation.entry_values(x[: self.correlation.k])
        return np.asarray(own * np.exp(-self._log_scale(x))[self.correlation.entries[1]])

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Variances from the residuals, then the correlation from the residuals divided by their sd."""
        starts = []
        for part in self.variances:
            starts.append(part.start(residual))
            if residual is not None:
                residual = residual * np.exp(-part.log_sd(starts[-1]))
        first = [] if self.correlation is None else [self.correlation.start(residual)]
        return np.concatenate([*first, *starts])

    def further(self, x: np.ndarray, far: np.ndarray, steps: float) -> np.ndarray:
        """As each part goes."""
        each = zip(self._split(x), self._split(far), strict=True)
        return np.concatenate([part.further(at, out, steps) for (part, at), (_, out) in each])

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Those of each part beside the others as they are; of few places, those of all parts at once."""
        pieces = [at for _, at in self._split(x)]
        others = [part.elsewhere(at) for part, at in self._split(x)]
        if prod(1 + len(own) for own in others) <= _FEW_PLACES:
            choices = product(*([at, *own] for at, own in zip(pieces, others, strict=True)))
            return [np.concatenate(chosen) for chosen in islice(choices, 1, None)]
        return [np.concatenate([*pieces[:i], other, *pieces[i + 1 :]]) for i, own in enumerate(others) for other in own]

    @property
    def of_mean(self) -> np.ndarray:
        """Which coordinates say how R depends on the fitted mean: those of the parts."""
        return np.concatenate([part.of_mean for part in self.parts])

    def about(self, fitted: np.ndarray, population: np.ndarray) -> Product:
        """The parts at other fitted values."""
        moved = [part.about(fitted, population) for part in self.variances]
        return replace(self, variances=tuple(one for one in moved if isinstance(one, Variance)))

    def radius(self) -> np.ndarray:
        """Radii of the parts."""
        return np.concatenate([part.radius() for part in self.parts])

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Natural parameters of the parts."""
        return np.concatenate([part.natural(at) for part, at in self._split(x)])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Bounds of the parts."""
        return tuple(pair for part in self.parts for pair in part.bounds)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Coordinates of the parts."""
        return np.concatenate([part.coordinates(at) for part, at in self._split(np.asarray(natural))])

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """R^-1/2 = C^-1/2 S^-1."""
        rows = rows * np.exp(-self._log_scale(x))
        return rows if self.correlation is None else self.correlation.whiten(x[: self.correlation.k], rows)

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """S^-1 C^-1/2'."""
        if self.correlation is not None:
            rows = self.correlation.whiten_transposed(x[: self.correlation.k], rows)
        return rows * np.exp(-self._log_scale(x))

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """S^-1 diag(C^-1) S^-1."""
        own = 1.0 if self.correlation is None else self.correlation.precision_diagonal(x[: self.correlation.k])
        return np.asarray(own * np.exp(-2.0 * self._log_scale(x)))

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """R^1/2 = S C^1/2."""
        coloured = rows if self.correlation is None else self.correlation.colour(x[: self.correlation.k], rows)
        return coloured * np.exp(self._log_scale(x))

    def logdet(self, x: np.ndarray) -> float:
        """log|R| = log|C| + 2 log|S|."""
        return sum(part.logdet(at) for part, at in self._split(x))

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Return the sum over the parts."""
        return np.sum([part.log_sd(at) for part, at in self._split(x)], axis=0)

    def score(self, x: np.ndarray, of: Sensitivity) -> np.ndarray:
        """That of C by its own dC/dC = S (dC/dR) S, and of each variance function by the diagonal that R leaves it."""
        within = of.scaled(np.exp(self._log_scale(x)))
        parts = self._split(x)
        return np.concatenate([part.score(at, of if part.is_variance_function else within) for part, at in parts])

    def changes(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """S dC S v, and d log sd R v + R d log sd v."""
        sd, Rv = np.exp(self._log_scale(x)), self.multiplied(x, v[None, :])[0]
        out = []
        for part, at in self._split(x):
            if isinstance(part, Variance):
                D = part.log_sd_slopes(at)
                out.append(D * Rv + self.multiplied(x, D * v))
            else:
                out.append(sd * part.changes(at, sd * v))
        return np.concatenate(out)

    def multiplied(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows S C S."""
        sd = np.exp(self._log_scale(x))
        rows = sd * rows
        return sd * (rows if self.correlation is None else self.correlation.multiplied(x[: self.correlation.k], rows))

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """S C S."""
        sd = np.exp(self._log_scale(x)[index])
        if self.correlation is None:
            return np.where(np.equal.outer(index, index), np.outer(sd, sd), 0.0)
        return np.outer(sd, sd) * self.correlation.covariance(x[: self.correlation.k], index)

    def _split(self, x: np.ndarray) -> list[tuple[Bound, np.ndarray]]:
        ends = np.cumsum([part.k for part in self.parts])[:-1]
        return list(zip(self.parts, np.split(x, ends), strict=True))

    def _log_scale(self, x: np.ndarray) -> np.ndarray:
        """Log of S."""
        return np.sum([part.log_sd(at) for part, at in self._split(x) if part.is_variance_function], axis=0)
