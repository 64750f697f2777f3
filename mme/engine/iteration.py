"""The remainder of (P) by conjugate gradients: for crossed factors whose Cholesky factor is beyond time or memory.

Solves are exact to a tolerance. log|M| is estimated from random probes z with independent signs, by log|P| of the
preconditioner P and Lanczos' quadrature of z'log(P^-1/2 M P^-1/2)z (Ubaru, Chen and Saad 2017, SIAM J. Matrix Anal.
Appl. 38:1075-1099), less z'(P^-1/2 M P^-1/2 - I)z, of which the mean is known to be zero and which varies with it.
What all levels of a factor have in common the factors compete for: in these few directions M is nearly singular, and
they would make most of what varies between probes. They are taken out of the probes, and counted once, exactly
(deflation: Meyer, Musco, Musco and Woodruff 2021, Hutch++). The probes are the same at every theta.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np

from mme.engine.complement import Complement
from mme.engine.elimination import Bordered
from mme.engine.operator import SchurOperator
from mme.engine.schur_sum import SchurSum
from mme.errors import MMEError
from mme.numeric.conjugate import IteratedSolve, conjugate_gradients
from mme.numeric.dense import cholesky_in_place
from mme.numeric.limits import limits

# The relative residual of solves that estimates are made of, and of those from which traces and log|M| are averaged.
EXACT, AVERAGED = 1e-10, 1e-6
# A solve that stays above this is none.
_FAILED = 1e-5
_SEED = 20_261
_NO_FACTOR = (
    "the iterative engine makes no factor of the equations, and has no variances of all random effects (condvar, pev, "
    "reliability, draws, leverage, intervals of predictions) nor what is made of them; levels={...} has those of some, "
    "and engine='exact' all, where its factor fits"
)


@dataclass(frozen=True)
class IterativeWork:
    """What the products take: a pass over the cells each."""

    m: int
    entries: int

    nnz_L = 0

    @property
    def flops(self) -> float:
        """Operations of a product with one column."""
        return 4.0 * self.entries

    @property
    def bytes(self) -> int:
        """Memory of the entries, and of the columns side by side."""
        return 12 * self.entries + 5 * 8 * self.m * limits().probes

    @property
    def description(self) -> str:
        """Who solves."""
        return "conjugate gradients, no factor"


@dataclass(frozen=True, eq=False)
class IterativeFactor:
    """M at one theta, by products alone: it solves, and estimates log|M|; there is no triangle."""

    operator: SchurOperator

    is_dense = False

    @property
    def m(self) -> int:
        """Number of random effects."""
        return self.operator.schur.pattern.m

    def solve(self, b: np.ndarray) -> np.ndarray:
        """M^-1 b, to the tolerance of estimates."""
        columns = b.reshape(len(b), -1)
        return self.solved(columns, EXACT).x.reshape(b.shape)

    def solved(self, b: np.ndarray, tolerance: float, start: np.ndarray | None = None) -> IteratedSolve:
        """M^-1 b for b (m, c), with what the solve took.

        Raises
        ------
        MMEError
            It does not come to an end.
        """
        operator, most = self.operator, limits().solver_steps
        found = conjugate_gradients(
            operator.product, operator.precondition, b, tolerance=tolerance, most=most, start=start
        )
        if found.residual > max(_FAILED, tolerance):
            raise MMEError(
                f"conjugate gradients did not reach a residual of {tolerance:g} in {most:,} steps (it is "
                f"{found.residual:.1g}): the crossed factors hardly mix; engine='exact' needs no mixing"
            )
        return found

    @cached_property
    def logdets(self) -> np.ndarray:
        """Estimates of log|M|, one of each probe."""
        operator = self.operator
        shared = np.linalg.qr(_half_transposed(operator, operator.shared))[0]
        D = operator.inverses
        logdet_P = -sum(float(np.linalg.slogdet(one)[1].sum()) for one in D)
        found = self.solved(_half(operator, beside(shared, signs(self.m, limits().probes))), AVERAGED)
        forms = found.forms(np.log) - found.forms(lambda x: x - 1.0)
        return logdet_P + each_probe(forms, shared.shape[1])

    @property
    def logdet(self) -> float:
        """log|M|, estimated."""
        return float(self.logdets.mean())

    @property
    def logdet_error(self) -> float:
        """The standard error of log|M|, as wide as that of the t distribution on what the probes leave of freedom."""
        count = self.logdets.size
        return float(self.logdets.std(ddof=1) * np.sqrt((count - 1) / (count - 3) / count))

    @property
    def pivots(self) -> np.ndarray:
        """None are made."""
        return self._refuse()

    @property
    def perm(self) -> np.ndarray:
        """None is made."""
        return self._refuse()

    def forward(self, b: np.ndarray) -> np.ndarray:
        """There is no triangle."""
        return self._refuse()

    def backward(self, c: np.ndarray) -> np.ndarray:
        """There is no triangle."""
        return self._refuse()

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """There is no inverse."""
        return self._refuse()

    def inverse(self) -> np.ndarray:
        """There is no inverse."""
        return self._refuse()

    def _refuse(self) -> NoReturn:
        raise MMEError(_NO_FACTOR)


def signs(m: int, count: int, first: int = 0) -> np.ndarray:
    """Probes (m, count) of independent signs, from number ``first`` on: the same ones whenever they are asked for."""
    streams = [np.random.default_rng([_SEED, k]) for k in range(first, first + count)]
    return np.stack([2.0 * rng.integers(0, 2, size=m, dtype=np.int8) - 1.0 for rng in streams], axis=1)


def beside(shared: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Orthonormal columns, and behind them what is left of the probes without these."""
    return np.hstack([shared, z - shared @ (shared.T @ z)])


def each_probe(forms: np.ndarray, shared: int) -> np.ndarray:
    """Estimates of a trace, one of each probe, from forms (columns, ...) of :func:`beside`."""
    return np.asarray(forms[:shared].sum(axis=0) + forms[shared:])


def _half(operator: SchurOperator, z: np.ndarray) -> np.ndarray:
    """P^1/2 z for z (m, c), P the preconditioner: its diagonal blocks by their Cholesky factors."""
    return _by_block(operator, operator.halves, z)


def _half_transposed(operator: SchurOperator, z: np.ndarray) -> np.ndarray:
    """P^T/2 z."""
    return _by_block(operator, [L.transpose(0, 2, 1) for L in operator.halves], z)


def _by_block(operator: SchurOperator, blocks: list[np.ndarray], z: np.ndarray) -> np.ndarray:
    """Diagonal blocks times z (m, c)."""
    out, offsets = np.empty_like(z), operator.schur.pattern.offsets.tolist()
    for L, start, stop in zip(blocks, offsets[:-1], offsets[1:], strict=True):
        out[start:stop] = (L @ z[start:stop].reshape(len(L), L.shape[1], -1)).reshape(stop - start, -1)
    return out


@dataclass(frozen=True)
class IterativeElimination:
    """By conjugate gradients, of m equations whose levels have so many ``entries``."""

    m: int
    entries: int

    analysis = None

    @property
    def work(self) -> IterativeWork:
        """What a product takes."""
        return IterativeWork(self.m, self.entries)

    def alone(self, schur: Complement, W: np.ndarray, T: list[np.ndarray]) -> IterativeFactor:
        """M."""
        assert isinstance(schur, SchurSum)  # a list of products is made for a factor
        q = schur.crossing[0].shape[1]
        return IterativeFactor(SchurOperator(schur, W.reshape(q, q, -1), T))

    def bordered(
        self, schur: Complement, W: np.ndarray, T: list[np.ndarray], rhs: np.ndarray, border: np.ndarray
    ) -> Bordered:
        """M, no rows of R, the factor of border - rhs'M^-1 rhs, and M^-1 rhs."""
        factor = self.alone(schur, W, T)
        x = factor.solve(rhs)
        taken = rhs.T @ x
        return Bordered(factor, rhs[:0], cholesky_in_place(border - 0.5 * (taken + taken.T)), x)
