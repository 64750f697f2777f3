r"""Penalised least squares: theta -> log|M|, the triangle of [X y], beta, u. One evaluation, one page.

Everything here works on the conditioned problem: X is orthonormal and y its OLS residual (``basis.py``), columns of
Z have unit mean square (``blocks.py``), all rows are weighted. With N = [X y],

    ( Lambda'Z'Z Lambda + I   Lambda'Z'N )
    ( N'Z Lambda              N'N        )                                                                        (P)

is eliminated from the top: first the absorbed term (A), then what is left of Z, (S) in ``schur.py``, by a dense or
a sparse Cholesky factor L. The Cholesky factor of what remains on N is

    ( R_X'   0  )
    ( c'    rho )        R_X gamma = c,   pwrss = rho^2,   log|X'V^-1 X| = 2 log|R_X|.                            (N)

A model without an absorbed term has one with no levels, a model with one grouping factor a remainder of size zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mme.engine.absorption import Absorbed, Levels
from mme.engine.elimination import Elimination
from mme.engine.level_factors import LevelFactor, factor_levels
from mme.engine.remainder import Remainder
from mme.numeric.cholesky import SymmetricFactor
from mme.numeric.dense import DenseFactor, cholesky_in_place
from mme.numeric.lapack import triangular_solve


class Latest:
    """The evaluation that was made last, where its factor is dear, for whoever asks for the same variances next."""

    def __init__(self) -> None:
        self._held: tuple[Factors, Evaluation] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied without what it holds: that is as large as the factor."""
        return Latest, ()

    def keep(self, T: Factors, at: Evaluation) -> None:
        """Hold the evaluation at T, until another is asked for."""
        self._held = T, at

    def taken(self, T: Factors) -> Evaluation | None:
        """The evaluation if it is that at T; it is held no longer in any case, so that there are never two factors."""
        held, self._held = self._held, None
        return held[1] if held is not None and held[0].equals(T) else None


@dataclass(frozen=True, eq=False)
class System:
    """What theta does not change. ``chunks`` are the levels, merged and cut, for the criterion."""

    p: int
    absorbed: Absorbed
    chunks: tuple[Levels, ...]
    rest: Remainder
    elimination: Elimination
    latest: Latest = field(default_factory=Latest, init=False, repr=False)


@dataclass(frozen=True, eq=False)
class Factors:
    """The relative covariance factors at one theta: of the absorbed block and of the others, columns scaled.

    ``penalty`` are the values of K^-1 (x) I and ``logdet_K`` is log|K (x) I|, as far as theta changes them: None and
    zero but for relationships with parameters.
    """

    absorbed: np.ndarray
    rest: list[np.ndarray]
    penalty: np.ndarray | None = None
    logdet_K: float = 0.0

    def equals(self, other: Factors) -> bool:
        """Whether the other factors are these, to the last bit."""
        mine, theirs = ((of.absorbed, of.penalty, of.logdet_K, *of.rest) for of in (self, other))
        pairs: zip[tuple[Any, Any]] = zip(mine, theirs, strict=True)
        return all(np.array_equal(one, another) for one, another in pairs)

    def each(self, absorb: int | None) -> list[np.ndarray]:
        """The factor of every block, that of the absorbed one first."""
        return self.rest if absorb is None else [self.absorbed, *self.rest]


def without_columns(T: Factors, absorb: int | None, within: tuple[np.ndarray, ...]) -> Factors:
    """The factors without the columns (q,) of each block, in the order of the model, that ``within`` names."""
    kept = [~found[:, None] for found in within]
    absorbed = T.absorbed if absorb is None else T.absorbed * kept.pop(absorb)
    return replace(T, absorbed=absorbed, rest=[factor * keep for factor, keep in zip(T.rest, kept, strict=True)])


def without_fixed(T: Factors, penalty: np.ndarray, count: int) -> Factors:
    """The factors of the random effects alone: the last ``count`` columns, of X, have T = 0, and ones for K^-1."""
    values = (penalty if T.penalty is None else T.penalty).copy()
    values[values.size - count :] = 1.0
    return replace(T, rest=[*T.rest[:-1], np.zeros((1, 1))], penalty=values)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The factors at one theta: of the levels, of the remainder with R_ZN = L^-1 Lambda'S_ZN, and of N.

    ``logdet_levels`` is log|M| of the levels, and what theta changes of log|K|. ``solved`` are M^-1 Lambda'S_ZN where a
    remainder that is solved by iteration has no L, nor R_ZN.
    """

    logdet_levels: float
    border: np.ndarray
    levels: LevelFactor
    rest: SymmetricFactor
    R_ZN: np.ndarray
    solved: np.ndarray | None = None

    @property
    def logdet_M(self) -> float:
        """log|M|, and what theta changes of log|K| with it."""
        return self.logdet_levels + self.rest.logdet


def pwrss(border: np.ndarray) -> float:
    """Penalised weighted residual sum of squares, from the factor of (N)."""
    return float(border[-1, -1]) ** 2


def logdet_X(border: np.ndarray) -> float:
    """log |X'V^-1 X| for the orthonormal X and V in units of sigma^2, from the factor of (N)."""
    return 2.0 * float(np.add.reduce(np.log(border.diagonal()[:-1])))


def evaluate(system: System, T: Factors) -> Evaluation:
    """Factorise (P) at one theta, keeping what :func:`effects` needs; or take what was made of it last.

    Raises
    ------
    NotPositiveDefiniteError
        Rounding has consumed what y leaves: the model fits the response exactly.
    """
    known = system.latest.taken(T)
    if known is not None:
        return known
    rest, levels = system.rest.at(T.penalty), system.absorbed.levels
    factor = factor_levels(levels, T.absorbed)
    Y = factor.forward(levels.V)
    rows = Y.reshape(system.p + 1, -1)
    border = system.absorbed.NN + rows @ rows.T  # (A)
    logdet = factor.logdet(levels.multiplicity) + T.logdet_K
    if rest.m == 0:
        corner, R_ZN = cholesky_in_place(border), np.zeros((0, system.p + 1))
        return Evaluation(logdet, corner, factor, DenseFactor(np.zeros((0, 0))), R_ZN)
    S_ZN = rest.C + rest.between(factor.backward(Y).reshape(system.p + 1, -1).T)
    W, rhs = factor.packed_weights(), rest.transpose_lambda(S_ZN, T.rest)
    L, R_ZN, corner, solved = system.elimination.bordered(rest.schur, W, T.rest, rhs, border)
    return Evaluation(logdet, corner, factor, L, R_ZN, solved)


def evaluate_absorbed(system: System, T: Factors) -> tuple[float, np.ndarray]:
    """log|M| and the factor of (N) when nothing but the absorbed block is random: no level is kept."""
    logdet, border = 0.0, system.absorbed.NN
    for levels in system.chunks:
        factor = factor_levels(levels, T.absorbed)
        rows = factor.forward(levels.V).reshape(system.p + 1, -1)
        border = border + rows @ rows.T  # (A)
        logdet += factor.logdet(levels.multiplicity)
    return logdet, cholesky_in_place(border)


def logdet_M(system: System, T: Factors) -> float:
    """log|M| alone, and what theta changes of log|K| with it."""
    rest, levels = system.rest.at(T.penalty), system.absorbed.levels
    factor = factor_levels(levels, T.absorbed)
    logdet = factor.logdet(levels.multiplicity) + T.logdet_K
    if rest.m == 0:
        return logdet
    return logdet + system.elimination.alone(rest.schur, factor.packed_weights(), T.rest).logdet


def half_covariance(border: np.ndarray, R_inverse: np.ndarray) -> np.ndarray:
    """R_X^-1 R^-T (p, p) for X = Q R, given R^-1 and the factor of (N): cov(beta) = sigma^2 half'half.

    Rows of R^-1 in place of all of it give columns of this: those of some of the fixed effects.
    """
    return triangular_solve(border[:-1, :-1], R_inverse.T, transposed=False)


def coordinates(border: np.ndarray) -> np.ndarray:
    """Gamma (p,): beta on the orthonormal basis, from the factor of (N)."""
    return triangular_solve(border[:-1, :-1], border[-1, :-1], transposed=True)


def effects(system: System, at: Evaluation, T: Factors, combinations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u = M^-1 Lambda'Z'r for r = N c', a combination c (combinations, p + 1) of the columns of N a row.

    Returns u of the absorbed block as (combinations, q, J) and of the others as (m, combinations).
    """
    u_rest = at.rest.backward(at.R_ZN @ combinations.T) if at.solved is None else at.solved @ combinations.T
    return absorbed_effects(system, at, T, combinations, u_rest), u_rest


def absorbed_effects(
    system: System, at: Evaluation, T: Factors, combinations: np.ndarray, u_rest: np.ndarray
) -> np.ndarray:
    """u of the absorbed block (combinations, q, J) for r = N c' and given u of the others (m, combinations)."""
    explained = system.rest.B.T @ system.rest.apply_lambda(u_rest, T.rest)
    V = system.absorbed.levels.V
    residual = combinations @ V.reshape(system.p + 1, -1) - explained.T
    # u_g = A'(I + A A')^-1 Q_g'(r - Z_2 b_2)
    solved = at.levels.solve(residual.reshape(len(combinations), *V.shape[1:]))
    return np.einsum("ajg,cag->cjg", at.levels.A, solved)


def effects_by_block(
    system: System, absorb: int | None, T: Factors, u_absorbed: np.ndarray, u_rest: np.ndarray
) -> list[np.ndarray]:
    """b = T u of every block as (J, q, combinations), in the order of the model; u is of :func:`effects`."""
    out = [
        np.matmul(factor, u_rest[start : start + block.J * block.q].reshape(block.J, block.q, -1))
        for block, factor, start in zip(system.rest.blocks, T.rest, system.rest.offsets[:-1].tolist(), strict=True)
    ]
    if absorb is not None:
        out.insert(absorb, np.matmul(T.absorbed, u_absorbed.transpose(2, 1, 0)))
    return out
