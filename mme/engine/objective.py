"""An objective and its neighbours: of a model, at another phi, of other weights, of another response."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from mme.engine.assembly import ModelPattern, conditioned, describe, in_order, whitening_of
from mme.engine.at_phi import assembled
from mme.engine.cross_products import exchanged
from mme.engine.evaluated import EvaluatedModel
from mme.engine.orthogonal import Spare
from mme.engine.plan import Engine, Plan
from mme.model.problem import Model


class Objective(EvaluatedModel):
    """The criterion of a model (:mod:`mme.engine.evaluated`).

    :meth:`of` makes it; :meth:`at`, :meth:`with_weights` and :meth:`with_response` make one of another.
    """

    @classmethod
    def of(cls, model: Model, *, phi: np.ndarray | None = None, plan: Plan | None = None) -> Objective:
        """Condition, absorb and assemble a model at one phi, by a plan that is given or by the best one."""
        return cls._on(None, model, np.zeros(0) if phi is None else phi, plan)

    @classmethod
    def _on(cls, known: ModelPattern | None, model: Model, phi: np.ndarray, plan: Plan | None) -> Objective:
        """On the pattern of a neighbour, where it suits this phi, or on one of its own."""
        pattern, found, system, seconds = assembled(model, whitening_of(model, phi), known, plan)
        engine = partial(describe, model, found.blocks, pattern, seconds)
        spare = Spare(in_order(found.blocks, pattern.plan.absorb), found.basis)
        return cls(model, phi, pattern, found, system, found.blocks, found.constants, spare, engine)

    def at(self, phi: np.ndarray) -> Objective:
        """The same model at another phi, with its plan and pattern; this one at the same phi."""
        if phi.size == 0 or np.array_equal(phi, self.phi):
            return self
        return Objective._on(self.pattern, self.model, phi.copy(), self.plan)._viewed(inside=self.inside)

    def with_weights(self, weights: Any) -> Objective:
        """The same model with other prior weights, in the same axes, with its plan and pattern."""
        model = self.model.with_weights(weights)
        return Objective._on(self.pattern, model, self.phi, self.plan)._viewed(inside=self.inside)

    def _beside(self, **fields: Any) -> Objective:
        """The same with other fields, without a look at each: a small fit takes little longer than that."""
        twin = Objective.__new__(Objective)
        own = vars(twin)
        own.update(vars(self), **fields)
        for of_these in ("random", "rest", "absorbing", "_known_here"):
            own.pop(of_these, None)
        return twin

    def remembering(self) -> Objective:
        """The same, which keeps what is made of its design for other responses (:meth:`once`)."""
        return self._beside(of_design={})

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
        blocks = tuple([block if block.C is None else block.viewed(inside=inside) for block in self.blocks])
        return self._beside(blocks=blocks)

    def with_response(self, y: Any) -> Objective:
        """The same model for another response: only what depends on y, a column of the cross-products, is made anew."""
        return self.of_model(self.model.with_response(y), ("response", "response"))

    def of_model(self, model: Model, stages: tuple[str, str] = ("conditioning", "cross-products")) -> Objective:
        """The criterion of a model that differs by its response alone; its basis and sums are ``stages`` of time."""
        started, whiten = perf_counter(), self.whitening
        basis = conditioned(model, lambda y: self.basis.with_response(model.X, y, whiten))
        between, system = perf_counter(), exchanged(self.system, basis, self.absorbing)
        spare, made = Spare(in_order(self.blocks, self.plan.absorb), basis), replace(self.weighted, basis=basis)
        seconds = dict.fromkeys(stages, 0.0)
        seconds[stages[0]] += between - started
        seconds[stages[1]] += perf_counter() - between
        engine = partial(describe, model, self.blocks, self.pattern, seconds)
        return self._beside(model=model, weighted=made, system=system, spare=spare, engine=engine)

    def by_ml(self) -> Objective:
        """The ML deviance of the same model."""
        model, constants = self.model.beside(method="ML"), replace(self.constants, reml=False)
        return replace(self, model=model, constants=constants, engine=self.engine.taking())

    def having_taken(self, **seconds: float) -> Objective:
        """The objective with the seconds that further stages took added to its engine's."""
        return self._beside(engine=partial(self._taking, seconds))

    def _taking(self, seconds: dict[str, float]) -> Engine:
        return self.engine.taking(**{**self.engine.seconds, **seconds})
