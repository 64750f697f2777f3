"""The curvature where a search ended, in the user's columns: reports ask for it, the verdict does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.numeric.curvature import Curvature
from mme.numeric.kept import kept
from mme.search.searched import Searched


@dataclass(frozen=True, eq=False)
class Place:
    """Where a search ended: theta in the user's columns and in the axes, and phi."""

    theta: np.ndarray
    inner: np.ndarray
    phi: np.ndarray


@dataclass(frozen=True, eq=False)
class Bent:
    """The curvature where a search ended, as derivatives by (theta, phi).

    Those of what was not ``estimated`` are NaN.
    """

    at: Curvature
    searched: Searched
    place: Place
    estimated: np.ndarray

    def gradient(self) -> np.ndarray:
        """The slopes, each divided by the square root of its curvature."""
        return self._both[0]

    def hessian(self) -> np.ndarray:
        """The second derivatives."""
        return self._both[1]

    @kept
    def _both(self) -> tuple[np.ndarray, np.ndarray]:
        free, estimated, place = self.searched.free, self.estimated, self.place
        size, k = free.size, place.theta.size
        slope, H, by_axes = np.zeros(size), np.zeros((size, size)), np.eye(size)
        slope[free], H[_among(free)] = self.at.gradient, self.at.hessian
        by_axes[:k, :k] = self.searched.model.coordinates.jacobian(place.theta)
        by_axes = self.searched.jacobian(np.concatenate([place.inner, place.phi])) @ by_axes
        gradient, hessian = np.full(size, np.nan), np.full((size, size), np.nan)
        both = _among(estimated)
        with np.errstate(invalid="ignore", divide="ignore"):  # differences of an infinite criterion
            hessian[both], slope = (by_axes.T @ H @ by_axes)[both], by_axes.T @ slope
            curve = hessian.diagonal()[estimated]
            gradient[estimated] = np.where(curve > 0, slope[estimated] / np.sqrt(np.abs(curve)), slope[estimated])
        return gradient, hessian


def _among(entries: np.ndarray) -> Any:
    """The index of what stands between these entries of a square matrix."""
    return ... if entries.all() else np.ix_(entries, entries)
