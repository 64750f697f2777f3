r"""Products of M with columns, at one theta, as conjugate gradients need them: M itself (``schur.py``) is never formed.

    M v = Lambda'(Z_2'Z_2 - sum_g B_g'(I - W_g)B_g) Lambda v + (K^-1 (x) I) v

takes a pass over the cells of the levels. Its diagonal blocks, level by level of each factor, are the preconditioner.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.engine.lambdas import lambda_columns
from mme.engine.schur_sum import SchurSum


@dataclass(frozen=True, eq=False)
class SchurOperator:
    """M of a complement at weights W (q, q, J) of the levels and T of each block."""

    schur: SchurSum
    W: np.ndarray
    T: list[np.ndarray]

    def product(self, V: np.ndarray) -> np.ndarray:
        """M V for V (m, c)."""
        pattern = self.schur.pattern
        out = self.without_penalty(self.moved(V))
        return lambda_columns(pattern.blocks, pattern.offsets, out, self.T) + self.schur.precision @ V

    def moved(self, V: np.ndarray) -> np.ndarray:
        """Lambda V."""
        pattern = self.schur.pattern
        return lambda_columns(pattern.blocks, pattern.offsets, V, [factor.T for factor in self.T])

    def without_penalty(self, b: np.ndarray) -> np.ndarray:
        """S b, for b = Lambda V (m, c)."""
        out = self.schur.among @ b
        self.schur.pattern.rows.take_through(out, self.schur.entries_of_B, self._U, b)
        return np.asarray(out)

    @cached_property
    def _U(self) -> np.ndarray:
        """I - W_g as (J, q, q)."""
        q = self.W.shape[0]
        return np.ascontiguousarray((np.eye(q)[:, :, None] - self.W).transpose(2, 0, 1))

    @cached_property
    def information(self) -> list[np.ndarray]:
        """The diagonal blocks (J, q, q) of S, one of each level of each block."""
        found = []
        for t, (B, block) in enumerate(zip(self.schur.crossing, self.schur.pattern.blocks, strict=True)):
            cells = self.schur.cells[t]
            own = self.schur.products[t, t]
            out = np.zeros((block.J, block.q, block.q))
            same = own.cells.rows == own.cells.cols
            out[own.cells.rows[same]] = own.values[same]
            UB = np.einsum("cab,cbj->caj", self._U[cells.rows], B) if B.shape[1] > 1 else self._U[cells.rows] * B
            for i, j in np.ndindex(block.q, block.q):
                taken = np.einsum("ca,ca->c", B[:, :, i], UB[:, :, j])
                out[:, i, j] -= np.bincount(cells.cols, taken, minlength=block.J)
            found.append(out)
        return found

    @cached_property
    def inverses(self) -> list[np.ndarray]:
        """The inverses (J, q, q) of the diagonal blocks of M."""
        found = []
        for S, factor, K in zip(self.information, self.T, self.schur.precision_diagonals, strict=True):
            M = factor.T @ S @ factor
            M[:, np.arange(len(factor)), np.arange(len(factor))] += K[:, None]
            found.append(1.0 / M if len(factor) == 1 else np.linalg.inv(M))
        return found

    @cached_property
    def halves(self) -> list[np.ndarray]:
        """L (J, q, q) of the diagonal blocks L L' of M."""
        return [np.linalg.cholesky(np.linalg.inv(D)) for D in self.inverses]

    @property
    def shared(self) -> np.ndarray:
        """What all levels of a factor have in common: orthonormal columns (m, c), one for each coefficient."""
        pattern = self.schur.pattern
        widths = [block.q for block in pattern.blocks]
        columns, first = np.zeros((pattern.m, sum(widths))), 0
        for block, start, q in zip(pattern.blocks, pattern.offsets[:-1].tolist(), widths, strict=True):
            for a in range(q):
                columns[start + a : start + block.J * q : q, first + a] = block.J**-0.5
            first += q
        return columns

    def precondition(self, V: np.ndarray) -> np.ndarray:
        """The inverse diagonal blocks times V (m, c)."""
        out = np.empty_like(V)
        offsets = self.schur.pattern.offsets.tolist()
        for D, start, stop in zip(self.inverses, offsets[:-1], offsets[1:], strict=True):
            if D.shape[1] == 1:
                np.multiply(V[start:stop], D[:, 0], out=out[start:stop])
            else:
                out[start:stop] = (D @ V[start:stop].reshape(len(D), D.shape[1], -1)).reshape(-1, V.shape[1])
        return out
