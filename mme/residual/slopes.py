"""Derivatives by R: from what a criterion says of R to its slopes by the coordinates of a structure, and R_i v.

    dC / dx_i = sum_g <S_g, dR_g / dx_i>,        R_i v = (dR / dx_i) v

A structure that knows dR in closed form says so by ``block_slopes``, or overrides ``score`` and ``changes``; any other
has differences of its own small R, group by group, never of the criterion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np

from mme.numeric.differences import slopes
from mme.residual.dense import dense_by_group
from mme.residual.sensitivity import Sensitivity


class Differentiable(ABC):
    """What a structure with k coordinates x and a whitening W on n records says of its derivatives."""

    n: int

    @property
    @abstractmethod
    def k(self) -> int:
        """Number of free parameters."""

    @property
    @abstractmethod
    def group(self) -> np.ndarray | None:
        """Codes (n,) of the groups whose records are correlated; None: R is diagonal."""

    @abstractmethod
    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """W applied to each row of ``rows`` (m, n)."""

    def sensitivity(self, x: np.ndarray, white: Callable[[np.ndarray], np.ndarray]) -> Sensitivity:
        """S = W'S_w W and the diagonal of S R = W'S_w W^-1', from S_w (G, s, s) of whitened ``members`` (G, s)."""
        relative = np.empty(self.n)
        if self.group is None:
            relative[:] = white(np.arange(self.n)[:, None])[:, 0, 0]
            return Sensitivity(relative)
        batches = []
        for members, W in self._dense(x):
            S = white(members)
            relative[members] = np.einsum("gij,gji->gi", W.transpose(0, 2, 1), S @ np.linalg.inv(W).transpose(0, 2, 1))
            batches.append((members, W.transpose(0, 2, 1) @ S @ W))
        return Sensitivity(relative, tuple(batches))

    def block_slopes(self, x: np.ndarray, members: np.ndarray) -> np.ndarray | None:
        """dR_g / dx_i (k, G, s, s) of groups of one size, records ``members`` (G, s); None: by differences of R_g."""
        return None

    def score(self, x: np.ndarray, of: Sensitivity) -> np.ndarray:
        """sum_g <S_g, dR_g / dx_i> for each coordinate (k,): the chain rule from R to x."""
        out = np.zeros(self.k)
        for (_, D), (_, S) in zip(self._slopes_by_size(x), of.batches, strict=True):
            out += np.einsum("igst,gst->i", D, S)
        return out

    def changes(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(dR / dx_i) v for each coordinate (k, n), v (n,)."""
        out = np.zeros((self.k, self.n))
        for members, D in self._slopes_by_size(x):
            out[:, members] = np.einsum("igst,gt->igs", D, v[members])
        return out

    def multiplied(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) times R; by the dense R of each group, for structures that have nothing better."""
        out = np.empty(rows.shape)
        for members, W in self._dense(x):
            B = np.linalg.inv(W)
            out[:, members] = np.einsum("gst,mgt->mgs", B @ B.transpose(0, 2, 1), rows[:, members])
        return out

    def _slopes_by_size(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield records (G, s) of the groups of one size, and dR_g / dx_i (k, G, s, s)."""
        at = [members for members, _ in self._dense(x)]
        differences = self._by_differences(x, at)
        for members in at:
            closed = self.block_slopes(x, members)
            yield members, next(differences) if closed is None else closed

    def _by_differences(self, x: np.ndarray, at: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Differences of the small R of each group, size by size."""

        def blocks(x: np.ndarray) -> np.ndarray:
            roots = [np.linalg.inv(W) for _, W in self._dense(x)]
            return np.concatenate([(B @ B.transpose(0, 2, 1)).ravel() for B in roots])

        sizes = [members.size * members.shape[1] for members in at]
        pieces = np.split(slopes(blocks, x), np.cumsum(sizes)[:-1], axis=1)
        for members, D in zip(at, pieces, strict=True):
            yield D.reshape(self.k, *members.shape, members.shape[1])

    def _dense(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield records (G, s) of the groups of one size s, and their W (G, s, s)."""
        yield from dense_by_group(lambda rows: self.whiten(x, rows), self.group, self.n)
