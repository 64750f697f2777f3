r"""The searches for many responses: from the lowest of a few starts, then from other valleys, until none is lower.

The criterion is even in each column of T, so that every face, T with columns of zero, has minima of its own. From the
point where a search ended, three changes are tried: columns of zero take multiples of their unit where the criterion
falls outwards; other columns become zero; and columns whose own coefficient is nearly zero change their sign, which
turns their covariances. A search that begins there and ends lower is taken, and the look begins again. Loops are
written for the compiler, as in ``descent.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mme.many.descent import CONVERGED, TINY, LoopSearch, descend, leave_column_out
from mme.many.layout import COLUMN, ROW, UNIT, K, copy_vector, put_response

# A column is tried at its unit times FIRST, then APART times as far, so often.
_FIRST, _APART, _TRIALS = 0.35, 2.0, 6
# The look begins again at most so often.
_LOOKS = 3


def search_all(
    sums: np.ndarray,
    starts: np.ndarray,
    common: np.ndarray,
    at: np.ndarray,
    design: np.ndarray,
    room: np.ndarray,
    theta: np.ndarray,
    told: np.ndarray,
    evaluate: Callable[..., float],
    slopes: Callable[..., None],
) -> None:
    """Search for each response (B, sums) from the lowest of its own starts (B, own, k) and the common ones (m, k).

    Into ``theta`` (B, k) and ``told`` (B, 3), as in :class:`LoopSearch`, go where it ended and what is told of it.
    """
    k = at[K]
    work = np.empty((3 * k + 10, k))
    x, trial = work[0], work[1]
    for b in range(sums.shape[0]):
        put_response(sums[b], at, room)
        value = np.inf
        copy_vector(common[0], x)
        for i in range(common.shape[0] + starts.shape[1]):
            for j in range(k):
                trial[j] = common[i, j] if i < common.shape[0] else starts[b, i - common.shape[0], j]
            f = evaluate(trial, at, design, room)
            if f < value:
                copy_vector(trial, x)
                value = f
        told[b, 2] = common.shape[0] + starts.shape[1]
        told[b, 0] = value
        search = LoopSearch(at, design, room, work, told[b], evaluate, slopes)
        descend(search)
        look_elsewhere(search)
        copy_vector(x, theta[b])


def look_elsewhere(search: LoopSearch) -> None:
    """Move x to the lowest end that searches from other valleys lead to."""
    at, told, work = search.at, search.told, search.work
    x, trial, best, before = work[0], work[1], work[work.shape[0] - 1], np.inf
    for _ in range(_LOOKS):
        if not told[0] < before - CONVERGED:
            break
        before = told[0]
        for i in range(at[K]):
            if at[at[ROW] + i] == at[at[COLUMN] + i] and finds_valley(search, i):
                copy_vector(x, best)
                value, promised = told[0], told[1]
                copy_vector(trial, x)
                told[0] = search.evaluate(x, at, search.design, search.room)
                descend(search)
                if not told[0] < value - CONVERGED:
                    copy_vector(best, x)
                    told[0], told[1] = value, promised


def finds_valley(search: LoopSearch, own: int) -> bool:
    """Put a place into ``trial`` where another valley may begin along the column of T of this own coefficient."""
    at, design, told, x, trial = search.at, search.design, search.told, search.work[0], search.work[1]
    unit, others = design[at[UNIT] + own], leave_column_out(search, own)
    if others == 0.0 and x[own] == 0.0:
        return falls_outwards(search, own, unit)
    told[2] += 1
    if search.evaluate(trial, at, design, search.room) < told[0] - CONVERGED:
        return True
    copy_vector(x, trial)
    trial[own] = -x[own]
    return abs(x[own]) < TINY * unit and others > TINY


def falls_outwards(search: LoopSearch, own: int, unit: float) -> bool:
    """Whether the criterion falls between two multiples of a variance of zero; the further is left in ``trial``."""
    before, trial = search.told[0], search.work[1]
    trial[own] = _FIRST * unit
    for _ in range(_TRIALS):
        value = search.evaluate(trial, search.at, search.design, search.room)
        search.told[2] += 1
        if value < before - CONVERGED:
            return True
        before = value
        trial[own] *= _APART
    return False
