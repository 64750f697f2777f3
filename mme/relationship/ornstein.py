r"""The Ornstein-Uhlenbeck process as random effects: serial correlation in continuous time, O(levels).

    cov(b_s, b_t) = sigma_b^2 exp(-|t - s| / range)     within a series.

Levels are the distinct (series, time) pairs, by series and time. With rho_i the correlation of level i with the one
before it in its series (zero for the first) and d_i = 1 - rho_i^2 the process is a Markov chain,

    K^-1 = B'D^-1 B,   (B b)_i = b_i - rho_i b_{i-1},   D = diag(d),     log|K| = sum log d_i                       (O)

a block-tridiagonal inverse (Rue and Held 2005, Gaussian Markov Random Fields, section 1.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mme.errors import MMEError
from mme.relationship.parametric import Parametric
from mme.tables.arrays import numbers
from mme.tables.levels import factorise
from mme.tables.spelling import labels_of
from mme.tables.times import ONE, as_one, merged

# Ranges at which a search may begin, in typical gaps: the shortest, how many times the last each is, and how many.
_SHORTEST, _FACTOR, _CANDIDATES = 1.0 / 6.0, 6.0, 7
# Logarithm of the longest range in typical gaps: beyond it a series is a random intercept but for 1e-8, and what
# rounding leaves of d shows in the likelihood.
_LONGEST = 18.0
# The shortest range is this share of the smallest gap: no neighbours are correlated by more than the last digit.
_NONE_LEFT = 36.0


@dataclass(frozen=True, eq=False)
class OrnsteinUhlenbeck(Parametric):
    """K of (O); made by :func:`ornstein_uhlenbeck`. ``x = log(range / scale)``, ``scale`` the typical gap.

    Attributes
    ----------
    series : (J,) object array
        Series of each level, as text.
    times : (J,) array
        Time of each level; levels in any order.
    """

    series: np.ndarray
    times: np.ndarray
    scale: float
    names: tuple[str, ...] = ("range",)
    trusted: ClassVar[bool] = True

    @cached_property
    def levels(self) -> np.ndarray:  # type: ignore[override]
        """``series:time``."""
        return pair_labels(self.series, self.times)

    @cached_property
    def _chain(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels that have one before them, that one, and the gap."""
        codes = np.unique(self.series, return_inverse=True)[1]
        order = np.lexsort((self.times, codes))
        same = codes[order[1:]] == codes[order[:-1]]
        after, before = order[1:][same], order[:-1][same]
        return after, before, self.times[after] - self.times[before]

    @cached_property
    def rows(self) -> np.ndarray:  # type: ignore[override]
        """Row of each value of K^-1: the diagonal first, then the later level of each pair of neighbours in time."""
        after, before, _ = self._chain
        return np.concatenate([np.arange(self.times.size), np.maximum(after, before)])

    @cached_property
    def cols(self) -> np.ndarray:  # type: ignore[override]
        """Column of each value of K^-1: the diagonal first, then the earlier level of each pair of neighbours."""
        after, before, _ = self._chain
        return np.concatenate([np.arange(self.times.size), np.minimum(after, before)])

    def _range(self, x: np.ndarray) -> float:
        """The range at x, within what makes a difference."""
        gaps = self._chain[2]
        shortest = float(gaps.min(initial=np.inf)) / _NONE_LEFT if gaps.size else self.scale
        return max(self.scale * float(np.exp(np.clip(x[0], -700.0, _LONGEST))), min(shortest, self.scale))

    def _decay(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rho and d of the neighbours, d without cancellation."""
        lag = self._chain[2] / self._range(x)
        return np.exp(-lag), -np.expm1(-2.0 * lag)

    def values_at(self, x: np.ndarray) -> np.ndarray:
        """1 + sum of rho^2 / d over both neighbours' steps, and -rho / d."""
        after, before, _ = self._chain
        rho, d = self._decay(x)
        added = rho * rho / d  # 1 / d = 1 + rho^2 / d
        size = self.times.size
        diagonal = 1.0 + np.bincount(after, added, minlength=size) + np.bincount(before, added, minlength=size)
        return np.concatenate([diagonal, -rho / d])

    def logdet_at(self, x: np.ndarray) -> float:
        """Sum log d."""
        return float(np.log(self._decay(x)[1]).sum())

    def diagonal_at(self, x: np.ndarray) -> np.ndarray:
        """Ones: the process is stationary."""
        return np.ones(self.times.size)

    def starts(self) -> np.ndarray:
        """From a sixth of the typical gap on, each six times the last, as far as the longest series reaches."""
        span = (
            self._chain[2].sum()
            / max(self._chain[2].size, 1)
            * np.bincount(np.unique(self.series, return_inverse=True)[1]).max()
        )
        ranges = _SHORTEST * _FACTOR ** np.arange(_CANDIDATES)
        return np.log(ranges[: max(int((ranges * self.scale < span).sum()), 1)])[:, None]

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """A range is positive."""
        return ((0.0, np.inf),)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """The range, in the unit of the times."""
        return np.array([self._range(x)])

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Log of the range in typical gaps."""
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(np.asarray(natural, dtype=float) / self.scale), -700.0)

    def recognised(self, labels: np.ndarray) -> np.ndarray:
        """The same labels, those of times that are known but for rounding, or one another's, as one."""
        present = set(self.levels.tolist())
        at = [i for i, label in enumerate(labels.tolist()) if isinstance(label, str) and label not in present]
        if not at:
            return labels
        series, times = _parted([labels[i] for i in at])
        out = labels.astype(object)
        out[at] = pair_labels(series, merged(times, ONE * self.scale, known=self.times))
        return out

    def extended(self, labels: np.ndarray) -> OrnsteinUhlenbeck | None:
        """With new times of its series."""
        known, present = set(self.series.tolist()), set(self.levels.tolist())
        new = [label for label in dict.fromkeys(map(str, self.recognised(labels).tolist())) if label not in present]
        series, times = _parted(new)
        placed = np.array([one in known for one in series.tolist()], dtype=bool)
        if not placed.any():
            return None
        return OrnsteinUhlenbeck(
            np.append(self.series, series[placed]), np.append(self.times, times[placed]), self.scale
        )


def ornstein_uhlenbeck(series: Any, times: Any, name: str) -> tuple[np.ndarray, OrnsteinUhlenbeck]:
    """Codes (n,) of the records' (series, time) pairs among the levels of the process, and the process.

    Raises
    ------
    MMEError
        Times are missing or not numbers.

    Examples
    --------
    >>> codes, K = ornstein_uhlenbeck(["a", "a", "b", "a"], [0.0, 3.0, 0.0, 1.0], "g")
    >>> codes.tolist(), K.levels.tolist(), K.scale
    ([0, 2, 3, 1], ['a:0', 'a:1', 'a:3', 'b:0'], 1.5)
    >>> K.precision_at(K.coordinates(np.array([1 / np.log(2)]))).toarray().round(3)  # rho = 1/2, 1/4
    array([[ 1.333, -0.667,  0.   ,  0.   ],
           [-0.667,  1.4  , -0.267,  0.   ],
           [ 0.   , -0.267,  1.067,  0.   ],
           [ 0.   ,  0.   ,  0.   ,  1.   ]])
    """
    of, labels = factorise(series, name)
    when = numbers(times, f"term '{name}': times")
    if when.shape != of.shape or not np.isfinite(when).all():
        raise MMEError(f"term '{name}': times must be {of.size} finite numbers, one a record")
    when = as_one(of, when)
    order = np.lexsort((when, of))
    first = np.ones(of.size, dtype=bool)
    first[1:] = (of[order[1:]] != of[order[:-1]]) | (when[order[1:]] != when[order[:-1]])
    codes = np.empty(of.size, dtype=np.int64)
    codes[order] = np.cumsum(first) - 1
    at = order[first]
    gaps = np.diff(when[at])[of[at[1:]] == of[at[:-1]]]
    texts = np.array(labels_of(labels), dtype=object)
    return codes, OrnsteinUhlenbeck(texts[of[at]], when[at], float(np.median(gaps)) if gaps.size else 1.0)


def _parted(labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Series and times of labels."""
    pairs = [label.rpartition(":") for label in labels]
    series = np.empty(len(labels), dtype=object)
    series[:] = [one for one, _, _ in pairs]
    return series, np.array([float(time) for _, _, time in pairs])


def labels_of_rows(series: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The labels of new rows, None where series or time is missing."""
    known = np.isfinite(times) & np.array([label is not None for label in series.tolist()], dtype=bool)
    out = np.full(series.size, None, dtype=object)
    out[known] = pair_labels(series[known], times[known])
    return out


def pair_labels(series: np.ndarray, times: np.ndarray) -> np.ndarray:
    """``series:time``, the time with all its digits."""
    out = np.empty(times.size, dtype=object)
    out[:] = [
        f"{one}:{time:g}" if float(f"{time:g}") == time else f"{one}:{time!r}"
        for one, time in zip(labels_of(series), times.tolist(), strict=True)
    ]
    return out
