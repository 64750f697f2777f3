"""Gradient and Hessian of the criterion by theta at one point, the gradient of each probe by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.engine.blocks import Block
from mme.iterative.point import IteratedPoint

# Differences of H = T T', which is quadratic in theta for most structures: exact then, and at any step.
_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class ProbedSlopes:
    """Gradients (count, k), one of each probe, and the Hessian (k, k): average information, and what curves H."""

    by_probe: np.ndarray
    hessian: np.ndarray

    @property
    def gradient(self) -> np.ndarray:
        """The gradient (k,): the mean over the probes."""
        return np.asarray(self.by_probe.mean(axis=0))

    @property
    def noise(self) -> np.ndarray:
        """The covariance (k, k) of the gradient over draws of the probes."""
        return np.atleast_2d(np.cov(self.by_probe, rowvar=False)) / len(self.by_probe)


def slopes_at(point: IteratedPoint, traces: list[np.ndarray], scale: np.ndarray) -> ProbedSlopes:
    """The slopes by theta times ``scale`` (k,), from estimates of the traces of each block (count, q, q)."""
    constants, k = point.objective.constants, scale.size
    directions: list[tuple[int, np.ndarray]] = [(0, np.zeros((0, 0)))] * k
    by_probe, curved = np.zeros((len(traces[0]), k)), np.zeros((k, k))
    for b, block in enumerate(point.objective.random):
        of_y, of_X = point.squares(b)
        G = traces[b] - constants.reml * of_X - of_y / point.scale
        entries = np.concatenate([np.arange(at.start, at.stop) for at in block.theta_slices])
        first, second = _changes(block, point.theta, entries, _STEP / scale[entries])
        for i, D in zip(entries.tolist(), first / scale[entries, None, None], strict=True):
            directions[i] = (b, D)
            by_probe[:, i] = np.einsum("ab,kab->k", D, G)
        units = np.outer(scale[entries], scale[entries])
        curved[np.ix_(entries, entries)] = np.einsum("ijab,ab->ij", second, G.mean(axis=0)) / units
    QPQ, y = point.information(directions)
    hessian = QPQ / point.scale
    if constants.sigma is None:
        hessian -= np.outer(y, y) / (point.scale * point.pwrss)
    return ProbedSlopes(by_probe, hessian + curved)


def _changes(block: Block, theta: np.ndarray, entries: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First (k, q, q) and second (k, k, q, q) derivatives of a block's H by the entries of theta that it has."""

    def H(*steps: tuple[int, float]) -> np.ndarray:
        at = theta.copy()
        for i, step in steps:
            at[entries[i]] += step
        T = block.T(at)
        return T @ T.T

    k, here = entries.size, H()
    first, second = np.zeros((k, *here.shape)), np.zeros((k, k, *here.shape))
    for i in range(k):
        ahead, behind = H((i, h[i])), H((i, -h[i]))
        first[i], second[i, i] = (ahead - behind) / (2.0 * h[i]), (ahead + behind - 2.0 * here) / h[i] ** 2
        for j in range(i):
            cross = [H((i, a * h[i]), (j, b * h[j])) for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
            second[i, j] = second[j, i] = (cross[0] - cross[1] - cross[2] + cross[3]) / (4.0 * h[i] * h[j])
    return first, second
