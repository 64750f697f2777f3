"""One objective's evaluations: the criterion as a function of theta at one phi, and the factors behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self, TypeVar

import numpy as np

from mme.engine.assembly import ModelPattern, Weighted, split, whitening_of
from mme.engine.basis import FixedBasis
from mme.engine.blocks import Block, sizes_of_theta
from mme.engine.criterion import Constants, criterion
from mme.engine.orthogonal import Orthogonal, Spare, is_steep
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
from mme.numeric.kept import deferred, kept
from mme.numeric.limits import limits
from mme.residual.whitening import Whitening

V = TypeVar("V")
# The relative covariance factor of a block without levels.
_NO_FACTOR = np.eye(1)


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """The criterion as a function of theta at one phi: ``objective(theta)`` is -2 log (restricted) likelihood.

    Attributes
    ----------
    model : Model, the checked problem
    phi : (k,) array, coordinates of the residual structure
    pattern : ModelPattern, what neither weights nor phi nor the response change: plan, places of products, analysis
    weighted : Weighted, what weights and phi make of X, y and the terms
    system : System, the cross-products that an evaluation starts from
    blocks : tuple of Block, terms by grouping factor
    constants : Constants, what of the criterion theta does not change
    spare : Spare, what serves where a Cholesky factor has no digits left
    engine : Engine, what is absorbed, how the rest is factorised, and why
    beta_is_given : bool, whether M leaves out the sparse columns of a wide X
    of_design : dict or None, what was made of all but the response (:meth:`once`)
    """

    model: Model
    phi: np.ndarray
    pattern: ModelPattern
    weighted: Weighted
    system: System
    blocks: tuple[Block, ...]
    constants: Constants
    spare: Spare
    engine: deferred[Engine] = deferred()  # noqa: RUF009  a descriptor
    beta_is_given: bool = False
    of_design: dict[Any, Any] | None = None

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
            if not self.spare.is_far(T):
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
        lost = self.rest and (self.spare.is_far(T.each(self.plan.absorb)) or is_steep(T.penalty, self.system.rest.m))
        return bool(lost) and self.orthogonal is not None

    @property
    def orthogonal(self) -> Orthogonal | None:
        """The evaluation by orthogonal factors, for variances :meth:`is_large` tells of; None for a large model."""
        return self.spare.orthogonal

    def once(self, make: Callable[..., V], *given: Any) -> V:
        """What a function makes of all but the response, and of what else is ``given`` that was made so.

        Of a small design that is met again it is what was made the last time, in these coordinates and by this method.
        """
        if self.of_design is None or self.model.held is not None or self.model.bounds is not None:
            return make(self, *given)
        if make not in self._known_here:
            self._known_here[make] = make(self, *given)
        found: V = self._known_here[make]
        return found

    @kept
    def _known_here(self) -> dict[Callable[..., Any], Any]:
        """What was made of all but the response in these coordinates, by this method."""
        assert self.of_design is not None
        here = self.inside, self.beta_is_given, self.constants, self.model.structures
        found: dict[Callable[..., Any], Any] = self.of_design.setdefault(here, {})
        return found

    @kept
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

    @kept
    def rest(self) -> tuple[Block, ...]:
        """The blocks that are not absorbed."""
        return split(self.blocks, self.plan.absorb)[0]

    @kept
    def absorbing(self) -> Block | None:
        """The block that is absorbed."""
        return split(self.blocks, self.plan.absorb)[1]

    def _triangle(self, T: Factors, theta: np.ndarray) -> tuple[float, np.ndarray]:
        if not self.rest:
            return evaluate_absorbed(self.system, T)
        if self.is_large(T) and self.orthogonal is not None:
            each = T.each(self.plan.absorb)
            logdet, border = self.orthogonal.triangle(each, theta, far=self.spare.is_far(each))
            return logdet + T.logdet_K, border
        at = evaluate(self.system, T)
        if self.flops > limits().dear_evaluation:
            self.system.latest.keep(T, at)
        return at.logdet_M, at.border

    @property
    def inside(self) -> bool:
        """Whether theta is given in the axes of the terms (``coordinates.py``), not in the user's columns."""
        return any(block.inside for block in self.blocks)

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
    def given_beta(self) -> Self:
        """The same model, whose M is of the random effects alone; itself where that is always so."""
        return self if self.fixed is None else replace(self, beta_is_given=True)

    def contrast_factors(self, theta: np.ndarray) -> Factors:
        """The factors without the columns within X: contrasts of records that are free of X do not depend on them."""
        T = self.factors(theta)
        return T if self.within is None else without_columns(T, self.plan.absorb, self.within)

    def by_block(self, u_absorbed: np.ndarray, u_rest: np.ndarray, theta: np.ndarray) -> list[np.ndarray]:
        """b = T u of every block as (J, q, combinations), columns scaled; u as of :func:`mme.engine.pls.effects`."""
        return effects_by_block(self.system, self.plan.absorb, self.factors(theta), u_absorbed, u_rest)

    @property
    def whitening(self) -> Whitening:
        """The whitening W of the records at this phi."""
        return whitening_of(self.model, self.phi)

    @property
    def flops(self) -> float:
        """Operations that a factor of what is not absorbed takes."""
        return self.pattern.elimination.work.flops

    @property
    def theta_scale(self) -> np.ndarray:
        """Multiplies theta into coordinates of order one: the root mean square of each entry's column of Z."""
        return sizes_of_theta(self.blocks, self.model.k)
