"""A search continued in turned axes, where those that it ended in are poor coordinates of a covariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mme.numeric.newton import ACCEPTED
from mme.numeric.optimize import Minimum
from mme.search.elsewhere import continued
from mme.search.joint import Joint
from mme.search.progress import Progress, reporter
from mme.search.searched import Searched

# Axes are turned at most so often, of no more parameters than this: they are searched by differences.
_TURNS, _MOST = 3, 10
# A deviation that may as well be zero.
_SMALL = 0.05
# The step that looks along a covariance, and the gain that it must promise.
_STEP, _GAIN = 1e-2, 0.1 * ACCEPTED


def in_turned_axes(
    joint: Joint, searched: Searched, minimum: Minimum, radius: np.ndarray, progress: Progress
) -> tuple[Searched, Minimum]:
    """Go on in turned axes where that promises a lower minimum; return the coordinates, and the minimum in them."""
    ended = np.isfinite(minimum.value) and minimum.curvature.expected_decrease < np.inf
    for _ in range(_TURNS if minimum.x.size <= _MOST and ended else 0):
        other = searched.turned(minimum.x)
        if other is None:
            break
        turned, z = other

        def criterion(x: np.ndarray, at: Searched = turned) -> float:
            return joint(at.parameters(x))

        z, promised, spent = _promised(criterion, z, minimum, turned)
        minimum = replace(minimum, evaluations=spent)
        if not promised > _GAIN:
            break
        found = continued(criterion, z, searched.widths(radius), searched.even, None, reporter(progress, turned), spent)
        gain, searched, minimum = minimum.value - found.value, turned, found
        if not gain > _GAIN:
            break
    return searched, minimum


def _promised(
    criterion: Callable[[np.ndarray], float], z: np.ndarray, minimum: Minimum, turned: Searched
) -> tuple[np.ndarray, float, int]:
    """Where to go on, with small deviations at zero and covariances moved; the gain that it promises; evaluations."""
    value, least = minimum.value, np.where(turned.even & (np.abs(z) < _SMALL), 0.0, z)
    below, evaluations = criterion(least), minimum.evaluations + 1
    if below < value:
        z, promised, value = least, value - below, below
    else:
        promised = 0.0
    across = np.flatnonzero(turned.across).tolist()
    for i in across:
        step = np.where(np.arange(z.size) == i, _STEP, 0.0)
        ahead, behind = criterion(z + step) - value, criterion(z - step) - value
        slope, curve = 0.5 * (ahead - behind) / _STEP, (ahead + behind) / _STEP**2
        promised = max(promised, -ahead, -behind, 0.5 * slope**2 / curve if curve > 0.0 else 0.0)
    return z, promised, evaluations + 2 * len(across)
