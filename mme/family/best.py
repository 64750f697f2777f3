"""The highest value of log f over eta, for each record alone."""

from __future__ import annotations

import numpy as np

from mme.family.base import Family, Observed

# Log f is flat beyond; halvings of the interval to the last digit that counts.
_FAR, _HALVINGS = 60.0, 70


def best_value(family: Family, data: Observed, tau: np.ndarray) -> np.ndarray:
    """log f (n,) where its slope, positive below and negative above, is zero: by bisection."""
    low, high = np.full(data.n, -_FAR), np.full(data.n, _FAR)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            up = family.at(data, middle, tau).slope > 0.0
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        return family.at(data, 0.5 * (low + high), tau).value
