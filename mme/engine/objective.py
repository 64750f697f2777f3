"""From a checked model to a function of theta: condition, absorb, assemble once; then one evaluation a call."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mme.engine.absorption import absorb, absorb_nothing, merge
from mme.engine.basis import Basis, orthonormalise
from mme.engine.blocks import Block, build_blocks
from mme.engine.criterion import Constants, criterion
from mme.engine.elimination import DenseElimination, Elimination, SparseElimination
from mme.engine.orthogonal import Orthogonal, largest
from mme.engine.penalty import Penalty
from mme.engine.plan import Engine, Plan, after_analysis, plan, require_dense_memory, widest
from mme.engine.pls import Evaluation, Factors, System, evaluate, evaluate_absorbed, logdet_M, logdet_X, pwrss
from mme.engine.remainder import build_remainder, no_remainder
from mme.engine.span import within_X
from mme.errors import MMEError
from mme.model.problem import Model, build_model
from mme.model.term import Term
from mme.numeric.factor import Analysis, NotPositiveDefiniteError, analyse
from mme.numeric.sums import Cells, no_cells
from mme.residual.whitening import Whitening
from mme.tables.arrays import numbers

# The relative covariance factor of a block without levels.
_NO_FACTOR = np.zeros((1, 1))


class Objective:
    """The criterion as a function of theta at one phi: ``objective(theta)`` is -2 log (restricted) likelihood.

    Attributes
    ----------
    model : Model
        The checked problem.
    basis : Basis
        Orthonormal basis of X, its rank and the OLS residual of y.
    blocks : tuple of Block
        Terms by grouping factor.
    constants : Constants
        What of the criterion theta does not change.
    within : tuple of (q,) bool, or None
        Which columns of each block lie within X (:mod:`mme.engine.span`); None where none does.
    engine : Engine
        What is absorbed, how the rest is factorised, and why.
    """

    def __init__(
        self,
        model: Model,
        *,
        phi: np.ndarray | None = None,
        engine: Plan | None = None,
        like: Objective | None = None,
    ) -> None:
        started = perf_counter()
        engine, known = (engine, None) if like is None else (like.plan, like.system.elimination.analysis)
        self.model, self.phi = model, np.zeros(0) if phi is None else phi
        whiten = _whitening(model, self.phi)
        self.basis = _conditioned(model, whiten)
        self.blocks = build_blocks(model.terms, model.structures, whiten, model.axes)
        self.constants = _constants(model, self.basis, self.blocks, whiten)
        aligned = [within_X(block, self.basis.N[:-1]) for block in self.blocks]
        self.blocks = tuple(block for block, _ in aligned)
        self.within = tuple(found for _, found in aligned) if any(found.any() for _, found in aligned) else None
        conditioned = perf_counter()
        names = tuple("/".join(dict.fromkeys(model.terms[t].name for t in block.terms)) for block in self.blocks)
        absorbing = widest(self.blocks) if engine is None else engine.absorb
        crossings = _crossings(self.blocks, absorbing)
        self.plan: Plan = plan(self.blocks, names, crossings) if engine is None else engine
        if self.plan.absorb != absorbing:
            crossings = _crossings(self.blocks, self.plan.absorb)
        self.rest = tuple(block for b, block in enumerate(self.blocks) if b != self.plan.absorb)
        self.absorbing = None if self.plan.absorb is None else self.blocks[self.plan.absorb]
        self.system: System = self._assemble(crossings, known, forced=engine is not None)
        self.penalty = Penalty.of(self.rest, self.system.rest.schur.penalty)
        seconds = {"conditioning": conditioned - started, "cross-products": perf_counter() - conditioned}
        self.engine = self._describe(names, seconds)

    def __call__(self, theta: Any) -> float:
        """The criterion at theta; infinite where the model would fit the response exactly."""
        try:
            at = np.asarray(theta, dtype=float)
        except (TypeError, ValueError, OverflowError):
            at = numbers(theta, "theta")
        if at.shape != (self.model.k,):
            raise MMEError(f"theta must be {self.model.k} numbers, got shape {at.shape}")
        try:
            logdet, border = self.contrasts(at)
        except NotPositiveDefiniteError:
            return inf
        return criterion(self.constants, logdet, logdet_X(border), pwrss(border))

    def triangle(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """log|M| and the factor of (N) at theta: all that a likelihood takes.

        Raises
        ------
        NotPositiveDefiniteError
            The model fits the response exactly.
        """
        return self._triangle(self.factors(theta), theta)

    def contrasts(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """What the criterion takes, without what cancels in it: the columns within X are left out.

        They add the same to log|M| as they take from log|X'V^-1 X|, and nothing to pwrss; ML has log|M| alone.
        """
        if self.within is None:
            return self.triangle(theta)
        logdet, border = self._triangle(self.contrast_factors(theta), theta)
        return logdet if self.constants.reml else self.logdet_M(theta), border

    def logdet_M(self, theta: np.ndarray) -> float:
        """log|M|, and what theta changes of log|K| with it."""
        T = self.factors(theta)
        return self._triangle(T, theta)[0] if self.is_large(T) else logdet_M(self.system, T)

    def is_large(self, T: Factors) -> bool:
        """Whether variances are so large against sigma^2 that Cholesky factors of crossed blocks lose what matters."""
        if not self.rest:
            return False
        factors = T.rest if self.plan.absorb is None else [T.absorbed, *T.rest]
        far = any(one.max() > most or one.min() < -most for one, most in zip(factors, self._most, strict=True))
        return far and self.orthogonal is not None

    @cached_property
    def orthogonal(self) -> Orthogonal | None:
        """What serves there instead; None for a large model."""
        return Orthogonal.of(self._in_order, self.basis.N)

    @cached_property
    def _most(self) -> list[float]:
        return [largest(block) for block in self._in_order]

    @property
    def _in_order(self) -> tuple[Block, ...]:
        """The absorbed block, then the others."""
        return self.rest if self.absorbing is None else (self.absorbing, *self.rest)

    def _triangle(self, T: Factors, theta: np.ndarray) -> tuple[float, np.ndarray]:
        if not self.rest:
            return evaluate_absorbed(self.system, T)
        if self.is_large(T) and self.orthogonal is not None:
            factors = T.rest if self.plan.absorb is None else [T.absorbed, *T.rest]
            logdet, border = self.orthogonal.triangle(factors, theta)
            return logdet + T.logdet_K, border
        at = evaluate(self.system, T)
        return at.logdet_M, at.border

    def at(self, phi: np.ndarray) -> Objective:
        """The same model at another phi, with its plan and the analysis of its pattern; this one at the same phi."""
        if phi.size == 0 or np.array_equal(phi, self.phi):
            return self
        return Objective(self.model, phi=phi.copy(), like=self)._viewed(inside=self.inside)

    @property
    def inside(self) -> bool:
        """Whether theta is given in the axes of the terms (``coordinates.py``), not in the user's columns."""
        return any(block.inside for block in self.blocks)

    @property
    def in_axes(self) -> Objective:
        """The same criterion as a function of theta in the axes of the terms."""
        return self._viewed(inside=True)

    @property
    def in_columns(self) -> Objective:
        """The same criterion as a function of theta in the user's columns."""
        return self._viewed(inside=False)

    def _viewed(self, *, inside: bool) -> Objective:
        if self.inside == inside or all(block.C is None for block in self.blocks):
            return self
        twin = Objective.__new__(Objective)
        vars(twin).update(vars(self))
        twin.blocks = tuple(block if block.C is None else block.viewed(inside=inside) for block in self.blocks)
        twin.rest = tuple(block for b, block in enumerate(twin.blocks) if b != self.plan.absorb)
        twin.absorbing = None if self.plan.absorb is None else twin.blocks[self.plan.absorb]
        return twin

    def evaluate(self, theta: np.ndarray) -> Evaluation:
        """The factors of one evaluation, level by level."""
        return evaluate(self.system, self.factors(theta))

    def factors(self, theta: np.ndarray) -> Factors:
        """The scaled T of the absorbed block and of the others."""
        absorbed = _NO_FACTOR if self.absorbing is None else self.absorbing.T(theta)
        T = [block.T(theta) for block in self.rest]
        return Factors(absorbed, T) if self.penalty is None else Factors(absorbed, T, *self.penalty(theta))

    def contrast_factors(self, theta: np.ndarray) -> Factors:
        """The same without the columns within X, of which contrasts of records that are free of X do not depend."""
        T = self.factors(theta)
        if self.within is None:
            return T
        kept = [~found[:, None] for found in self.within]
        absorbed = T.absorbed if self.plan.absorb is None else T.absorbed * kept.pop(self.plan.absorb)
        return replace(T, absorbed=absorbed, rest=[factor * keep for factor, keep in zip(T.rest, kept, strict=True)])

    def by_block(self, u_absorbed: np.ndarray, u_rest: np.ndarray, theta: np.ndarray) -> list[np.ndarray]:
        """b = T u of every block as (J, q, combinations), columns scaled; u is of :func:`mme.engine.pls.effects`."""
        T = self.factors(theta)
        out = [
            np.matmul(factor, u_rest[start : start + block.J * block.q].reshape(block.J, block.q, -1))
            for block, factor, start in zip(self.rest, T.rest, self.system.rest.offsets[:-1].tolist(), strict=True)
        ]
        if self.plan.absorb is not None:
            out.insert(self.plan.absorb, np.matmul(T.absorbed, u_absorbed.transpose(2, 1, 0)))
        return out

    def with_response(self, y: Any) -> Objective:
        """The same model for another response: only what depends on y, a column of the cross-products, is made anew."""
        started = perf_counter()
        twin = copy(self)
        twin.model = self.model.with_response(y)
        twin.basis = _conditioned(twin.model, _whitening(self.model, self.phi), self.basis)
        twin.system = self._system_of(twin.basis)
        twin.__dict__.pop("orthogonal", None)
        twin.engine = replace(self.engine, seconds={"response": perf_counter() - started})
        return twin

    @property
    def whitening(self) -> Whitening:
        """What makes the records independent, at this phi."""
        return _whitening(self.model, self.phi)

    def by_ml(self) -> Objective:
        """The ML deviance of the same model."""
        twin = copy(self)
        twin.model = self.model.beside(method="ML")
        twin.constants = replace(self.constants, reml=False)
        twin.engine = replace(self.engine, seconds={})
        return twin

    @property
    def theta_scale(self) -> np.ndarray:
        """Multiplies theta into coordinates of order one: the root mean square of each entry's column of Z."""
        scale = np.ones(self.model.k)
        for block in self.blocks:
            for part, thetas, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
                scale[thetas] = part.per_row(block.size[columns], 1.0)
        return scale

    def _assemble(self, crossings: list[Cells], known: Analysis | None, *, forced: bool) -> System:
        """Cross-products of Z and N = [X y], absorbing the block of the plan; ``known`` may be their analysis."""
        if self.plan.dense:
            require_dense_memory(sum(block.J * block.q for block in self.rest))
        N = self.basis.N
        absorbed, rows = absorb_nothing(N) if self.absorbing is None else absorb(self.absorbing, N)
        if not self.rest:
            chunks = merge(absorbed.levels).chunks()
            q_J = absorbed.levels.R.shape[0] * absorbed.levels.J
            return System(N.shape[0] - 1, absorbed, chunks, no_remainder(q_J, N.shape[0]), DenseElimination(0))
        rest = build_remainder(self.rest, absorbed, rows, crossings)
        elimination: Elimination = DenseElimination(rest.m)
        if not self.plan.dense:
            lower = rest.schur.lower()
            analysis = known if known is not None and known.is_of(lower) else analyse(lower)
            analysis.require_memory("the random effects of this model")
            self.plan = self.plan if forced else after_analysis(self.plan, analysis)
            elimination = elimination if self.plan.dense else SparseElimination(analysis)
        return System(N.shape[0] - 1, absorbed, (), rest, elimination)

    def _system_of(self, basis: Basis) -> System:
        """The system with the last column of N from this basis, whose other columns are the same."""
        system, r = self.system, basis.N[-1:]
        one, rows = absorb_nothing(r) if self.absorbing is None else absorb(self.absorbing, r)
        levels = replace(one.levels, V=np.concatenate([system.absorbed.levels.V[:-1], one.levels.V]))
        NN = system.absorbed.NN.copy()
        NN[-1] = NN[:, -1] = basis.N @ rows.N[0]  # N'(I - QQ')r, with I - QQ' applied once
        absorbed = replace(system.absorbed, levels=levels, NN=NN)
        if not self.rest:
            return replace(system, absorbed=absorbed, chunks=merge(levels).chunks())
        return replace(system, absorbed=absorbed, rest=system.rest.with_response(rows.N))

    def _describe(self, names: tuple[str, ...], seconds: dict[str, float]) -> Engine:
        elimination = self.system.elimination
        return Engine(
            absorbed=None if self.plan.absorb is None else names[self.plan.absorb],
            remainder=elimination.description,
            reasons=self.plan.reasons,
            n_random=sum(block.J * block.q for block in self.blocks),
            n_remainder=self.system.rest.m,
            nnz_L=elimination.nnz_L,
            flops=elimination.flops,
            bytes=elimination.bytes,
            seconds=seconds,
        )


def objective(y: Any, X: Any, terms: Sequence[Term], **options: Any) -> Objective:
    """The criterion of ``mme.fit(y, X, terms, ...)`` as a function of theta, for tests and benchmarks.

    Takes the arrays and the ``method``, ``weights``, ``offset`` and ``sigma`` of :func:`mme.fit`, and a ``residual``
    structure whose parameters ``phi`` gives.

    Examples
    --------
    >>> import numpy as np, mme
    >>> y, g = np.array([1.0, 2.0, 4.0, 6.0]), ["a", "a", "b", "b"]
    >>> f = mme.objective(y, np.ones((4, 1)), [mme.Term(g)], method="ML")
    >>> n, rss = 4, ((y - y.mean()) ** 2).sum()
    >>> bool(np.isclose(f([0.0]), n * (1 + np.log(2 * np.pi * rss / n))))  # theta = 0 is ordinary least squares
    True
    """
    model = build_model(y, X, terms, **options)
    if model.residual is None:
        return Objective(model)
    if model.phi is None or np.isnan(model.phi).any():
        raise MMEError(
            "the objective is a function of theta: give all parameters of the residual structure, "
            f"phi={{{', '.join(f'{name!r}: ...' for name in model.residual.names)}}}"
        )
    return Objective(model, phi=model.phi)


def _crossings(blocks: tuple[Block, ...], absorbing: int | None) -> list[Cells]:
    """The cells of the absorbed block with each of the others."""
    if absorbing is None:
        return [no_cells() for _ in blocks]
    one = blocks[absorbing]
    return [one.cells(other) for b, other in enumerate(blocks) if b != absorbing]


def _whitening(model: Model, phi: np.ndarray) -> Whitening:
    return Whitening(None if model.weights is None else np.sqrt(model.weights), model.residual, phi)


def _conditioned(model: Model, whiten: Whitening, known: Basis | None = None) -> Basis:
    """The basis of X and the OLS residual of y; ``known`` is the basis for another response."""
    n, estimated = model.n, int(model.sigma is None)
    y = model.y if model.offset is None else model.y - model.offset
    basis = orthonormalise(model.X, y, whiten) if known is None else known.with_response(model.X, y, whiten)
    if n - basis.kept.size < estimated:
        raise MMEError(f"{n} records cannot carry {basis.kept.size} fixed effects and a residual variance")
    length = np.linalg.norm(whiten(y[None, :]))
    if model.sigma is None and np.linalg.norm(basis.r) <= 1e-13 * length:
        raise MMEError(
            f"the fixed effects fit the response '{model.response}' exactly: there is no variance left to estimate"
        )
    return basis


def _constants(model: Model, basis: Basis, blocks: tuple[Block, ...], whiten: Whitening) -> Constants:
    return Constants(
        n=model.n,
        p=basis.kept.size,
        logdet_X0=basis.logdet,
        logdet_R=whiten.logdet,
        logdet_K=sum(block.logdet_K for block in blocks),
        reml=model.method == "REML",
        sigma=model.sigma,
    )
