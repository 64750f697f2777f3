"""Fixed points x = g(x), sooner than by x, g(x), g(g(x)), ..., and where that goes round in circles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# So many points before the last one are mixed into the next.
_MEMORY = 4


def mixed(points: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> np.ndarray:
    """The next point: the mean of the images whose weights make their steps cancel best (Anderson, 1965).

    sum_j w_j g(x_j),   w = argmin |sum_j w_j (g(x_j) - x_j)|,   sum_j w_j = 1,   over the last points x_j.

    Examples
    --------
    >>> g = lambda x: 3.0 - 2.0 * x  # from its fixed point, 1, plain steps go away
    >>> points = [np.array([0.0]), np.array([3.0])]
    >>> mixed(points, [g(x) for x in points])
    array([1.])
    """
    x, g = (np.array(of[-1 - _MEMORY :]) for of in (points, images))
    steps = g - x
    away = np.linalg.lstsq((steps[-1] - steps[:-1]).T, steps[-1], rcond=1e-10)[0]
    return np.asarray(g[-1] - away @ (g[-1] - g[:-1]))
