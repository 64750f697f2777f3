"""(L) of one block of independent levels by compiled passes over records in the order of their levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import numpy as np

from mme.family.base import Observed
from mme.family.negative_binomial import SIZED
from mme.family.point import rising
from mme.generalised.columns import Prior
from mme.generalised.laplace import Laplace, Psi, chain_rule
from mme.generalised.mode import mode_at
from mme.generalised.one_coefficient import ARGUMENTS as OF_ONE
from mme.generalised.one_coefficient import one_coefficient
from mme.generalised.one_pass import ARGUMENTS as OF_SEVERAL
from mme.generalised.one_pass import one_pass, rooms
from mme.generalised.problem import Problem
from mme.numeric.kept import kept
from mme.numeric.kernels import kernel
from mme.numeric.limits import limits
from mme.numeric.machine_code import machine_code
from mme.numeric.sums import by_code

# Counts and trials beyond which the compiled density, a difference of larger numbers, has fewer digits.
_LARGE = 1e5


@dataclass(frozen=True, eq=False)
class PassedOver:
    """(L) at a point with its gradient, and the modes ``u`` (J, q)."""

    problem: Problem
    at: Psi
    value: float
    by_x: np.ndarray
    modes: np.ndarray
    steps: int

    @property
    def passes(self) -> int:
        """Passes over the records that their steps are."""
        return -(-self.steps // len(self.modes))

    def gradient(self) -> np.ndarray:
        """By theta, gamma and tau."""
        return self.by_x

    @property
    def u(self) -> list[np.ndarray]:
        """The modes (q, J) of the one block."""
        return [np.ascontiguousarray(self.modes.T)]

    @property
    def curved(self) -> Laplace:
        """Laplace's approximation of all records, of which none are merged."""
        return self.laplace

    @kept
    def laplace(self) -> Laplace:
        """Laplace's approximation at these modes, with eta, the density and the factor, which a pass does not keep."""
        prior = Prior.at(self.problem.blocks, self.at.theta)
        fixed = self.problem.offset + self.at.gamma @ self.problem.Q
        mode = mode_at(self.problem, prior, fixed, self.at.tau, self.u)
        assert mode.factor is not None
        return Laplace(self.problem, self.at, mode, mode.factor, expected=False)


def weights_above(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Summed weights of the counts (n,) that are larger than 0, 1, ..."""
    return np.cumsum(np.bincount(y.astype(np.int64), weights)[::-1])[::-1][1:]


@dataclass(eq=False)
class SortedRecords:
    """The records of a problem, level by level; ``constant`` is what the compiled density leaves out of (L)."""

    problem: Problem
    constant: float | None = None
    compiled = True

    @staticmethod
    def serves(problem: Problem) -> bool:
        """Whether there is a compiled form of this family, one block of levels, and a loop that is not too dear."""
        if not (SortedRecords.can_serve(problem) and SortedRecords.has_digits(problem.data)):
            return False
        return problem.n >= limits().compiled_records or SortedRecords(problem).at_hand is not None

    @staticmethod
    def can_serve(problem: Problem) -> bool:
        """Whether there is a compiled form of this family, and one block of levels with few coefficients."""
        blocks = problem.blocks
        one = len(blocks) == 1 and blocks[0].is_block_diagonal and blocks[0].q <= limits().compiled_coefficients
        return problem.family.kind is not None and one

    @staticmethod
    def has_digits(data: Observed) -> bool:
        """Whether the compiled density has the digits of such counts and trials."""
        return bool(max(data.y.max(), data.weights.max()) <= _LARGE)

    @property
    def at_hand(self) -> Callable[..., float] | None:
        """The loop as machine code, where that is on disk."""
        if self.problem.blocks[0].q == 1:
            return machine_code(one_coefficient, OF_ONE, self.problem.n)
        return machine_code(one_pass, OF_SEVERAL, self.problem.n)

    def __getstate__(self) -> dict[str, object]:
        """All but the loop, which is of this process: another finds it anew."""
        return {name: value for name, value in vars(self).items() if name != "loop"}

    @kept
    def loop(self) -> Callable[..., float]:
        """What passes over the records."""
        plain = one_coefficient if self.problem.blocks[0].q == 1 else one_pass
        return self.at_hand or kernel(plain, self.problem.n * 10)

    @kept
    def rooms(self) -> tuple[np.ndarray, ...]:
        """Arrays in which the loop works."""
        q = self.problem.blocks[0].q
        return rooms(int(np.diff(self.starts).max()), q)[: 1 if q == 1 else 4]

    @kept
    def order(self) -> np.ndarray:
        """Records by level, each level's in their own order."""
        block = self.problem.blocks[0]
        return by_code(block.codes, block.J)

    @kept
    def starts(self) -> np.ndarray:
        """Where the records of each level begin (J + 1,)."""
        block = self.problem.blocks[0]
        return np.concatenate(([0], np.cumsum(np.bincount(block.codes, minlength=block.J)))).astype(np.int64)

    @kept
    def records(self) -> np.ndarray:
        """y, weight, room for the fixed part of eta, z (q) and the row of Q (p) of every record (n, 3 + q + p)."""
        problem, block, order = self.problem, self.problem.blocks[0], self.order
        out = np.empty((problem.n, 3 + block.q + len(problem.Q)))
        out[:, 0], out[:, 1] = problem.data.y[order], problem.data.weights[order]
        for a, column in enumerate((*block.columns, *problem.Q)):
            out[:, 3 + a] = 1.0 if column is None else column[order]
        return out

    @kept
    def offset(self) -> np.ndarray:
        """The known part of eta."""
        return self.problem.offset[self.order]

    @kept
    def above(self) -> np.ndarray:
        """Summed weights of the counts that are larger than 0, 1, ...: what :func:`mme.family.point.rising` takes."""
        data = self.problem.data
        if self.problem.family.kind != SIZED:
            return np.zeros(0)
        return weights_above(data.y, data.weights)

    def at(self, point: Psi, u: np.ndarray) -> PassedOver | None:
        """(L) at a point, modes searched from u (J, q), which is overwritten; None where a level has no mode."""
        problem, block, records = self.problem, self.problem.blocks[0], self.records
        np.matmul(records[:, 3 + block.q :], point.gamma, out=records[:, 2])
        if problem.model.offset is not None:
            records[:, 2] += self.offset
        T = np.ascontiguousarray(block.T(point.theta))
        by_T, by_gamma, by_k, steps = np.zeros(T.shape), np.zeros(point.gamma.size), np.zeros(1), np.zeros(1, np.int64)
        kind, k = problem.family.kind, problem.family.size_of(point.tau)
        value = self.loop(kind, k, self.starts, records, T, u, *self.rooms, by_T, by_gamma, by_k, steps)
        if not isfinite(value):
            return None
        if self.above.size:
            outside, slope = rising(k, self.above)
            value -= 2.0 * outside
            by_k -= 2.0 * slope
        gradient = np.concatenate([chain_rule(block, point.theta, by_T), by_gamma, by_k[: point.tau.size]])
        laplace = None
        if self.constant is None:
            laplace = PassedOver(problem, point, value, gradient, u, int(steps[0])).laplace
            self.constant = laplace.value - value
        found = PassedOver(problem, point, value + self.constant, gradient, u, int(steps[0]))
        if laplace is not None:
            vars(found)["laplace"] = laplace
        return found
