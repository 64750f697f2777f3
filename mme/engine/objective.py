"""The criterion as a function of theta, and its neighbours: at another phi, of other weights, of another response."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mme.engine.assembly import (
    ModelPattern,
    Weighted,
    conditioned,
    describe,
    exchanged,
    joined,
    pattern_of,
    plain,
    split,
    weighted,
    whitening_of,
)
from mme.engine.basis import FixedBasis
from mme.engine.blocks import Block, sizes_of_theta
from mme.engine.criterion import Constants, criterion
from mme.engine.orthogonal import Orthogonal, Spare, largest
from mme.engine.plan import Engine, Plan
from mme.engine.pls import Evaluation, Factors, System, evaluate, evaluate_absorbed, logdet_M, logdet_X, pwrss
from mme.errors import MMEError
from mme.model.problem import Model
from mme.numeric.factor import NotPositiveDefiniteError
from mme.residual.whitening import Whitening
from mme.tables.arrays import numbers

# The relative covariance factor of a block without levels.
_NO_FACTOR = np.zeros((1, 1))


@dataclass(frozen=True, eq=False)
class Objective:
    """The criterion as a function of theta at one phi: ``objective(theta)`` is -2 log (restricted) likelihood.

    :meth:`of` makes it of a model; :meth:`at`, :meth:`with_weights` and :meth:`with_response` of one another.

    Attributes
    ----------
    model : Model
        The checked problem.
    phi : (k,) array
        Coordinates of the residual structure.
    pattern : ModelPattern
        What neither weights nor phi nor the response change: the plan, the places of all cross-products, the analysis.
    weighted : Weighted
        What weights and phi make of X, y and the terms.
    system : System
        The cross-products that an evaluation starts from.
    blocks : tuple of Block
        Terms by grouping factor.
    constants : Constants
        What of the criterion theta does not change.
    engine : Engine
        What is absorbed, how the rest is factorised, and why.
    spare : Spare
        What serves where a Cholesky factor has no digits left.
    """

    model: Model
    phi: np.ndarray
    pattern: ModelPattern
    weighted: Weighted
    system: System
    blocks: tuple[Block, ...]
    constants: Constants
    engine: Engine
    spare: Spare

    @classmethod
    def of(cls, model: Model, *, phi: np.ndarray | None = None, plan: Plan | None = None) -> Objective:
        """Condition, absorb and assemble a model at one phi, by a plan that is given or by the best one."""
        return _made(model, np.zeros(0) if phi is None else phi, None, plan)

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
        """log|M| plus the part of log|K| that theta changes."""
        T = self.factors(theta)
        return self._triangle(T, theta)[0] if self.is_large(T) else logdet_M(self.system, T)

    def is_large(self, T: Factors) -> bool:
        """Whether variances are so large against sigma^2 that Cholesky factors of crossed blocks lose what matters."""
        if not self.rest:
            return False
        factors = T.rest if self.plan.absorb is None else [T.absorbed, *T.rest]
        far = any(one.max() > most or one.min() < -most for one, most in zip(factors, self._most, strict=True))
        return far and self.orthogonal is not None

    @property
    def orthogonal(self) -> Orthogonal | None:
        """The evaluation by orthogonal factors, for variances :meth:`is_large` tells of; None for a large model."""
        return self.spare.orthogonal

    @cached_property
    def _most(self) -> list[float]:
        return [largest(block) for block in self._in_order]

    @property
    def plan(self) -> Plan:
        """Which block is absorbed, and whether the rest is factorised densely."""
        return self.pattern.plan

    @property
    def basis(self) -> FixedBasis:
        """Orthonormal basis of X, its rank and the OLS residual of y."""
        return self.weighted.basis

    @property
    def within(self) -> tuple[np.ndarray, ...] | None:
        """Which columns (q,) of each block lie within X (:mod:`mme.engine.span`); None where none does."""
        return self.weighted.within

    @cached_property
    def rest(self) -> tuple[Block, ...]:
        """The blocks that are not absorbed."""
        return split(self.blocks, self.plan.absorb)[0]

    @property
    def absorbing(self) -> Block | None:
        """The block that is absorbed."""
        return split(self.blocks, self.plan.absorb)[1]

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
        """The same model at another phi, with its plan and pattern; this one at the same phi."""
        if phi.size == 0 or np.array_equal(phi, self.phi):
            return self
        return _made(self.model, phi.copy(), self.pattern, self.plan)._viewed(inside=self.inside)

    def with_weights(self, weights: Any) -> Objective:
        """The same model with other prior weights, in the same axes, with its plan and pattern."""
        return _made(self.model.with_weights(weights), self.phi, self.pattern, self.plan)._viewed(inside=self.inside)

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
        return replace(
            self, blocks=tuple(block if block.C is None else block.viewed(inside=inside) for block in self.blocks)
        )

    def evaluate(self, theta: np.ndarray) -> Evaluation:
        """The factors of one evaluation, level by level."""
        return evaluate(self.system, self.factors(theta))

    def factors(self, theta: np.ndarray) -> Factors:
        """The scaled T of the absorbed block and of the others."""
        absorbed = _NO_FACTOR if self.absorbing is None else self.absorbing.T(theta)
        T = [block.T(theta) for block in self.rest]
        penalty = self.pattern.penalty_at
        return Factors(absorbed, T) if penalty is None else Factors(absorbed, T, *penalty(theta))

    def contrast_factors(self, theta: np.ndarray) -> Factors:
        """The factors without the columns within X: contrasts of records that are free of X do not depend on them."""
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
        model, whiten = self.model.with_response(y), self.whitening
        basis = conditioned(model, lambda y: self.basis.with_response(model.X, y, whiten))
        return replace(
            self,
            model=model,
            weighted=replace(self.weighted, basis=basis),
            system=exchanged(self.system, basis, self.absorbing),
            engine=self.engine.taking(response=perf_counter() - started),
            spare=Spare(self._in_order, basis.N),
        )

    @property
    def whitening(self) -> Whitening:
        """The whitening W of the records at this phi."""
        return whitening_of(self.model, self.phi)

    def by_ml(self) -> Objective:
        """The ML deviance of the same model."""
        model, constants = self.model.beside(method="ML"), replace(self.constants, reml=False)
        return replace(self, model=model, constants=constants, engine=self.engine.taking())

    def having_taken(self, **seconds: float) -> Objective:
        """The objective with the seconds that further stages took added to its engine's."""
        return replace(self, engine=self.engine.taking(**{**self.engine.seconds, **seconds}))

    @property
    def theta_scale(self) -> np.ndarray:
        """Multiplies theta into coordinates of order one: the root mean square of each entry's column of Z."""
        return sizes_of_theta(self.blocks, self.model.k)


def _made(model: Model, phi: np.ndarray, known: ModelPattern | None, plan: Plan | None) -> Objective:
    """The objective at one phi: on the pattern of a neighbour, where it suits this phi, or on one of its own."""
    started, whiten = perf_counter(), whitening_of(model, phi)
    of = plain(model, whiten) if known is None else known.plain
    found = weighted(model, of, whiten)
    if found is None:  # the whitening has more entries here
        of = plain(model, whiten)
        found = weighted(model, of, whiten)
        assert found is not None
    weighed = perf_counter()
    if known is not None and known.plain is of and known.suits(found):
        pattern = known
        system = joined(pattern, found)
    else:
        pattern = pattern_of(model, of, found, plan, None if known is None else known.elimination.analysis)
        system = joined(pattern, found)
        pattern = pattern.kept(for_weights=known is not None or model.residual is not None)
    seconds = {"conditioning": weighed - started, "cross-products": perf_counter() - weighed}
    engine = describe(model, found.blocks, pattern, seconds)
    rest, absorbing = split(found.blocks, pattern.plan.absorb)
    spare = Spare(rest if absorbing is None else (absorbing, *rest), found.basis.N)
    return Objective(model, phi, pattern, found, system, found.blocks, found.constants, engine, spare)
