"""Ranges and nuggets of correlations by distance at which the criterion may have a valley, in coordinates of a search.

Coordinates are logarithms of ranges in typical distances, then others, and last the logit of a nugget, if any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np

# No search leads from a long range to the valleys at shorter ones: so many times the first range, and nuggets, are
# tried for a start.
_SHORTER, _NUGGETS = (0.1, 0.2, 0.4, 0.7), (1e-3, 0.05, 0.2, 0.6, 0.9)
# Logarithms of ranges, and nuggets, at which other valleys may be than the one that was found. Correlations that end at
# a distance make a kink where the range passes one: their ranges stand closer.
_ELSEWHERE, _NUGGETS_ELSEWHERE = (-0.7, 0.0, 0.5, 1.0, 1.5, 2.2, 3.0), (0.05, 0.3, 0.8)
ENDING, _CLOSER = ("spherical", "linear"), (*np.arange(0.1, 2.6, 0.2).tolist(), 3.0, 3.5)


def shorter(first: np.ndarray, ranges: int) -> list[np.ndarray]:
    """Shorter ranges than the ``ranges`` first coordinates, each beside all nuggets."""
    return _beside((first[:ranges] + np.log(times) for times in _SHORTER), first, _NUGGETS)


def elsewhere(x: np.ndarray, ranges: int, kind: str, has_nugget: bool) -> list[np.ndarray]:
    """Ranges alike in all directions, from the least distance to many times the typical one, beside nuggets."""
    logs = _CLOSER if kind in ENDING and not has_nugget else _ELSEWHERE
    return _beside((np.full(ranges, one) for one in logs), x, _NUGGETS_ELSEWHERE if has_nugget else ())


def _beside(logs: Iterable[np.ndarray], x: np.ndarray, nuggets: Sequence[float]) -> list[np.ndarray]:
    """Coordinates like x with each of these logarithms of ranges, beside each of the nuggets."""
    points = [np.append(one, x[one.size :]) for one in logs]
    if not nuggets:
        return points
    return [np.append(point[:-1], np.log(nugget / (1.0 - nugget))) for point, nugget in product(points, nuggets)]
