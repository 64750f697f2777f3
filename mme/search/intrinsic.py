r"""The limit at which a field is intrinsic: its variance and its correlations grow together, and differences stay.

    s^2 (rho_1^a rho_2^b - 1) -> -(w_1 a + w_2 b),      s^2 -> infinity, s^2 (1 - rho_i) = w_i,

random walks along the axes, whose level the intercept takes. With rho = tanh x the criterion is that of the limit but
for a share exp(-2 x) along the line s exp(-x) = constant: on it a search creeps. The size s is held far out, and the
others are searched beside it. So it is where the range r of a correlation by distance grows while its nugget goes to
zero, nugget r^p = constant, with 1 - f(h) of order h^p: of a Gaussian one planes with random slopes are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mme.model.problem import Model
from mme.numeric.optimize import Minimum
from mme.search.endless import value_at
from mme.search.ends import Ended, beside
from mme.search.joint import Joint
from mme.search.progress import Report
from mme.search.searched import Searched
from mme.search.verdict import search_names

# Correlations from which on a field may be on its way, as x; a decade that gains no more than this leaves a hundredth
# of it, before so many decades.
_NEAR_ONE, _FALL, _MOST = 3.0, 3e-4, 3
# How far off the others may be: so far out the criterion has eight digits, and small steps none.
_RADIUS = 0.5
_DECADE = float(np.log(10.0))


def at_intrinsic_limit(joint: Joint, searched: Searched, minimum: Minimum, report: Report | None) -> Ended:
    """The minimum at such a limit, the size held there; the given one where there is none, or it is not lower."""
    if minimum.endless:
        return Ended(searched, minimum)
    for size, line in _lines(joint.model):
        here, on_it = searched.parameters(minimum.x), np.flatnonzero(line)
        others = on_it[on_it != size]
        if not searched.free[on_it].all() or not (here[others] > _NEAR_ONE).all():
            continue
        held, value, spent = _along(joint, here, size, line, minimum.value)
        minimum = replace(minimum, evaluations=minimum.evaluations + spent)
        if held is None or not value < minimum.value:
            continue
        others = np.arange(held.size) != size
        kept = replace(searched, first=held, estimated=searched.estimated & others, free=searched.free & others)
        found = beside(joint, searched, kept, minimum, report, _RADIUS)
        if found.value < minimum.value:
            return Ended(kept, found, (search_names(joint.model)[size],))
    return Ended(searched, minimum)


def _along(
    joint: Joint, here: np.ndarray, size: int, line: np.ndarray, value: float
) -> tuple[np.ndarray | None, float, int]:
    """Where the criterion has come to its limit along the line, and what it is there; evaluations."""
    for spent in range(1, _MOST + 1):
        further = here + _DECADE * line
        if size < joint.model.k:  # a standard deviation, no logarithm
            further[size] = 10.0 * here[size]
        there = value_at(joint, further)
        if not there < value:
            return None, value, spent
        if value - there < _FALL:
            return further, there, spent
        here, value = further, there
    return None, value, _MOST


def _lines(model: Model) -> Iterator[tuple[int, np.ndarray]]:
    """The parameter that is held, and the direction (k + phi,) of the line, of each field with one variance."""
    k, residual = model.k, model.residual
    start, none = 0, np.zeros(k + (0 if residual is None else residual.k))
    for part in model.structures:
        known = part.relationship
        if known is not None and part.inner.k == 1 and all(low < 0.0 for low, _ in known.bounds):
            line = none.copy()
            line[start : start + part.k] = 1.0
            yield start, line
        start += part.k
    for direction in () if residual is None else residual.intrinsic:
        line = none.copy()
        line[k:] = direction
        yield k + int(np.argmin(direction)), line
