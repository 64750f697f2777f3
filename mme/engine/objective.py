"""The criterion as a function of theta, and its neighbours: at another phi, of other weights, of another response."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mme.engine.assembly import ModelPattern, Weighted, conditioned, describe, exchanged, in_order, split, whitening_of
from mme.engine.at_phi import assembled
from mme.engine.basis import FixedBasis
from mme.engine.blocks import Block, sizes_of_theta
from mme.engine.criterion import Constants, criterion
from mme.engine.orthogonal import Orthogonal, Spare, exceeds, is_steep, largest
from mme.engine.plan import Engine, Plan
from mme.engine.pls import (
    Evaluation,
    Factors,
    System,
    effects_by_block,
    evaluate,
    evaluate_absorbed,
    logdet_M,
    logdet_X,
    pwrss,
    without_columns,
    without_fixed,
)
from mme.engine.stack import criteria, is_stacked
from mme.model.checks import check_theta
from mme.model.problem import Model
from mme.numeric.factor import NotPositiveDefiniteError
from mme.residual.whitening import Whitening

# The relative covariance factor of a block without levels.
_NO_FACTOR = np.zeros((1, 1))


@dataclass(frozen=True, eq=False)
class Objective:
    """The criterion as a function of theta at one phi: ``objective(theta)`` is -2 log (restricted) likelihood.

    :meth:`of` makes it of a model; :meth:`at`, :meth:`with_weights` and :meth:`with_response` of one another.

    Attributes
    ----------
    model : Model, the checked problem
    phi : (k,) array, coordinates of the residual structure
    pattern : ModelPattern, what neither weights nor phi nor the response change: plan, places of products, analysis
    weighted : Weighted, what weights and phi make of X, y and the terms
    system : System, the cross-products that an evaluation starts from
    blocks : tuple of Block, terms by grouping factor
    constants : Constants, what of the criterion theta does not change
    engine : Engine, what is absorbed, how the rest is factorised, and why
    spare : Spare, what serves where a Cholesky factor has no digits left
    beta_is_given : bool, whether M leaves out the sparse columns of a wide X
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
    beta_is_given: bool = False

    @classmethod
    def of(cls, model: Model, *, phi: np.ndarray | None = None, plan: Plan | None = None) -> Objective:
        """Condition, absorb and assemble a model at one phi, by a plan that is given or by the best one."""
        return _made(model, np.zeros(0) if phi is None else phi, None, plan)

    def __call__(self, theta: Any) -> float:
        """The criterion at theta; infinite where the model would fit the response exactly."""
        try:
            logdet, border = self.contrasts(check_theta(theta, self.model.k))
        except NotPositiveDefiniteError:
            return inf
        return criterion(self.constants, logdet, logdet_X(border), pwrss(border))

    def many(self, thetas: np.ndarray) -> np.ndarray:
        """The criterion (S,) at thetas (S, k): in one stack where the model is small, else one by one."""
        if self.absorbing is not None and self.stacks(len(thetas)):
            T = [block.many_T(thetas) for block in (self.absorbing, *self.rest)]
            if not self.rest or not any(map(exceeds, T, self._most)):
                return criteria(self.constants, self.system, T)
        return np.array([self(theta) for theta in thetas])

    def stacks(self, count: int) -> bool:
        """Whether so many evaluations are one stack."""
        plain = self.within is None and self.fixed is None and self.pattern.penalty_at is None
        return plain and is_stacked(self.system, count)

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
        if self.within is None and (self.constants.reml or self.fixed is None):
            return self.triangle(theta)
        logdet, border = self._triangle(self.contrast_factors(theta), theta)
        return logdet if self.constants.reml else self.logdet_M(theta), border

    def logdet_M(self, theta: np.ndarray) -> float:
        """log|M| plus the part of log|K| that theta changes, of the random effects alone."""
        T = self.given_beta.factors(theta)
        return self._triangle(T, theta)[0] if self.is_large(T) else logdet_M(self.system, T)

    def is_large(self, T: Factors) -> bool:
        """Whether variances are so large, or levels so nearly copies, that Cholesky factors lose what matters."""
        lost = self.rest and (self._is_far(T) or is_steep(T.penalty, self.system.rest.m))
        return bool(lost) and self.orthogonal is not None

    def _is_far(self, T: Factors) -> bool:
        return any(exceeds(one, most) for one, most in zip(T.each(self.plan.absorb), self._most, strict=True))

    @property
    def orthogonal(self) -> Orthogonal | None:
        """The evaluation by orthogonal factors, for variances :meth:`is_large` tells of; None for a large model."""
        return self.spare.orthogonal

    @cached_property
    def _most(self) -> list[float]:
        return [largest(block) for block in in_order(self.blocks, self.plan.absorb)]

    @property
    def random(self) -> tuple[Block, ...]:
        """The blocks of the terms: all but that of a wide X, which is the last."""
        return self.blocks if self.fixed is None else self.blocks[:-1]

    @property
    def fixed(self) -> Block | None:
        """The block of the sparse columns of a wide X (:mod:`mme.engine.unpenalised`)."""
        return self.blocks[-1] if self.blocks and self.blocks[-1].is_fixed else None

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

    @cached_property
    def absorbing(self) -> Block | None:
        """The block that is absorbed."""
        return split(self.blocks, self.plan.absorb)[1]

    def _triangle(self, T: Factors, theta: np.ndarray) -> tuple[float, np.ndarray]:
        if not self.rest:
            return evaluate_absorbed(self.system, T)
        if self.is_large(T) and self.orthogonal is not None:
            logdet, border = self.orthogonal.triangle(T.each(self.plan.absorb), theta, far=self._is_far(T))
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

    def evaluation(self, T: Factors, theta: np.ndarray) -> Evaluation:
        """The factors at T, by orthogonal ones where Cholesky's have no digits left."""
        if self.is_large(T) and self.orthogonal is not None:
            return self.orthogonal.evaluation(self.system, T, theta, self.plan.absorb is not None)
        return evaluate(self.system, T)

    def evaluate(self, theta: np.ndarray) -> Evaluation:
        """The factors of one evaluation, level by level."""
        return evaluate(self.system, self.factors(theta))

    def factors(self, theta: np.ndarray) -> Factors:
        """The scaled T of the absorbed block and of the others."""
        absorbed = _NO_FACTOR if self.absorbing is None else self.absorbing.T(theta)
        T = [block.T(theta) for block in self.rest]
        penalty = self.pattern.penalty_at
        found = Factors(absorbed, T) if penalty is None else Factors(absorbed, T, *penalty(theta))
        fixed = self.fixed if self.beta_is_given else None
        return found if fixed is None else without_fixed(found, self.pattern.penalty, fixed.J)

    @property
    def given_beta(self) -> Objective:
        """The same model, whose M is of the random effects alone; itself where that is always so."""
        return self if self.fixed is None else replace(self, beta_is_given=True)

    def contrast_factors(self, theta: np.ndarray) -> Factors:
        """The factors without the columns within X: contrasts of records that are free of X do not depend on them."""
        T = self.factors(theta)
        return T if self.within is None else without_columns(T, self.plan.absorb, self.within)

    def by_block(self, u_absorbed: np.ndarray, u_rest: np.ndarray, theta: np.ndarray) -> list[np.ndarray]:
        """b = T u of every block as (J, q, combinations), columns scaled; u as of :func:`mme.engine.pls.effects`."""
        return effects_by_block(self.system, self.plan.absorb, self.factors(theta), u_absorbed, u_rest)

    def with_response(self, y: Any) -> Objective:
        """The same model for another response: only what depends on y, a column of the cross-products, is made anew."""
        started, model, whiten = perf_counter(), self.model.with_response(y), self.whitening
        basis = conditioned(model, lambda y: self.basis.with_response(model.X, y, whiten))
        return replace(
            self,
            model=model,
            weighted=replace(self.weighted, basis=basis),
            system=exchanged(self.system, basis, self.absorbing),
            engine=self.engine.taking(response=perf_counter() - started),
            spare=Spare(in_order(self.blocks, self.plan.absorb), basis.N),
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
    whiten = whitening_of(model, phi)
    pattern, found, system, seconds = assembled(model, whiten, known, plan)
    engine = describe(model, found.blocks, pattern, seconds)
    spare = Spare(in_order(found.blocks, pattern.plan.absorb), found.basis.N)
    return Objective(model, phi, pattern, found, system, found.blocks, found.constants, engine, spare)
