"""Times that differ by rounding alone are one time: 0.3 and 0.1 * 3, 0.0 and -0.0."""

from __future__ import annotations

import numpy as np

# Times nearer than this share of the typical gap are one. Rounding in sums of a thousand steps is a thousandth of it.
ONE = 1e-9


def as_one(series: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times (n,) of series (codes (n,)), those that differ by rounding alone as one.

    Examples
    --------
    >>> as_one(np.array([0, 0, 1]), np.array([0.1 * 3, 7.0, 0.3])).tolist()
    [0.3, 7.0, 0.3]
    """
    whole = (times == np.rint(times)).all()
    return times + 0.0 if whole else merged(times, tolerance(series, times))


def tolerance(series: np.ndarray, times: np.ndarray) -> float:
    """How near two times are one: 1e-9 of the typical gap between neighbours of one series (codes (n,)).

    The typical gap is the median of those that are not themselves of that size beside the largest.

    Examples
    --------
    >>> tolerance(np.array([0, 0, 0, 1]), np.array([0.0, 2.0, 4.0, 9.0]))
    2e-09
    """
    gaps = _gaps(series, times)
    gaps = gaps[gaps > ONE * gaps.max(initial=0.0)]
    return ONE * float(np.median(gaps)) if gaps.size else 0.0


def merged(times: np.ndarray, within: float, known: np.ndarray | None = None) -> np.ndarray:
    """The same times, those nearer than ``within`` to each other replaced by one of them.

    That is one of the ``known`` times where there is one, else the one that is written with the fewest digits.

    Examples
    --------
    >>> merged(np.array([0.1 * 3, 0.3, -0.0, 5.0]), 1e-9).tolist()
    [0.3, 0.3, 0.0, 5.0]
    """
    times = times + 0.0  # -0.0 is 0.0
    given = times if known is None else np.append(known + 0.0, times)
    distinct, place = np.unique(given, return_inverse=True)
    near = np.diff(distinct) <= within
    if not near.any():
        return times
    cluster = np.append(0, np.cumsum(~near))
    taken = distinct.copy()
    preferred = set() if known is None else set((known + 0.0).tolist())
    first = np.flatnonzero(np.diff(cluster, prepend=-1))
    for start, stop in zip(first.tolist(), [*first[1:].tolist(), distinct.size], strict=True):
        if stop - start > 1:
            every = distinct[start:stop].tolist()
            taken[start:stop] = min(every, key=lambda time: (time not in preferred, len(repr(time)), time))
    return taken[place[-times.size :]] if times.size else times


def _gaps(series: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Positive gaps between neighbouring times of a series."""
    order = by_group(series, times)
    gaps = np.diff(times[order])[np.diff(series[order]) == 0]
    return gaps[gaps > 0.0]


def by_group(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The order of records by group and value; records that stand in it are not sorted again."""
    step = np.diff(codes)
    if ((step > 0) | ((step == 0) & (np.diff(values) >= 0))).all():
        return np.arange(codes.size)
    return np.lexsort((values, codes))
