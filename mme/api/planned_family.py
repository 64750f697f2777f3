"""A generalised model on designs of several sizes: responses of assumed parameters, and the tests of their fits."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mme.api.generalised import GeneralisedFit
from mme.api.planned_linear import changed_beta, fitted_again, with_response
from mme.errors import MMEError, MMEWarning
from mme.family.base import Family, Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.generalised_refit import searched_again
from mme.generalised.criterion import Criterion
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.generalised.verdict import judge
from mme.inference.power import SimulatedTests, effect_weights, p_value
from mme.many.generalised_refits import GeneralisedRefits, refits_of
from mme.model.problem import build_model
from mme.results.assumed import read_beta, read_theta
from mme.results.assumed_family import assumed_family, read_tau
from mme.results.simulate import GeneralisedSimulator
from mme.tables.rows import Rows


@dataclass(frozen=True, eq=False)
class FamilyPlan:
    """A formula with its family, or a fit (then of its own), and what is assumed."""

    model: GeneralisedFit | str
    formula: str
    family: Family | None
    beta: Any
    varcorr: Any
    parameters: Any
    weights: Any

    def groups(self, table: Any) -> tuple[str, ...]:
        """The grouping factors of the random effects."""
        if isinstance(self.model, GeneralisedFit):
            return tuple(term.group for term in self.model.internals.model.terms)
        return tuple(term.group for term in self._drawn(table)[0].model.terms)

    def tested(self, table: Any, nsim: int, rng: np.random.Generator, test: Any, threads: int) -> SimulatedTests:
        """Fits to responses that are drawn on a table, and their tests by z, or by a function of the fit."""
        fit = self._template(table)
        weights = None if callable(test) else effect_weights(test, fit.fixed_names)
        Y = GeneralisedSimulator(fit.problem, fit.searched.at.at)(rng, nsim)
        there = np.flatnonzero(np.isfinite(Y).all(axis=0))
        data = fit.problem.data
        drawn = [Observed(y, data.weights, data.levels) for y in np.ascontiguousarray(Y.T)[there]]
        refits = refits_of(fit, tuple(there.tolist()), drawn, GeneralisedFit, threads, start_here=True)
        p, singular = np.full(nsim, np.nan), np.zeros(nsim, dtype=bool)
        singular[there] = refits.singular
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MMEWarning)  # of thousands of fits
            for place in np.flatnonzero(refits.converged).tolist():
                p[there[place]] = _p_of(refits, place, test if weights is None else weights)
        return SimulatedTests(fit.nobs, p, singular)

    def _template(self, table: Any) -> GeneralisedFitted:
        """A fit on the table (None: the rows of the fit) that stands at the assumed parameters."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MMEWarning)
            if isinstance(self.model, GeneralisedFit):
                again = self.model if table is None else fitted_again(self.model, self.formula, table, len(table))
                fit: GeneralisedFitted = again.internals
                return _standing_at(fit, self._changed(fit))
            problem, at, rows = self._drawn(table)
            found = searched_again(problem, Criterion(problem), at)
            fit = GeneralisedFitted(problem.model, problem, found, judge(problem, found), rows)
        return _standing_at(fit, at)

    def _drawn(self, table: Any) -> tuple[Problem, Psi, Rows]:
        assert self.family is not None
        return family_design(self.formula, table, self.family, self.weights, self.beta, self.varcorr, self.parameters)

    def _changed(self, fit: GeneralisedFitted) -> Psi:
        """The parameters of the fit on a design of its own, with those that are assumed instead."""
        assert isinstance(self.model, GeneralisedFit)
        own, problem = self.model.internals, fit.problem
        at = own.searched.at.at
        theta = own.model.coordinates.outer(at.theta)
        if self.varcorr is not None:
            theta = read_theta(fit.model, self.varcorr, 1.0)
        gamma = problem.gamma(read_beta(changed_beta(self.model, self.beta), fit.fixed_names))
        tau = at.tau if self.parameters is None else read_tau(fit.family, self.parameters)
        return Psi(fit.model.coordinates.inner(theta), gamma, tau)


def _p_of(refits: GeneralisedRefits, place: int, test: Any) -> float:
    """The p-value of one fit, NaN where it has none."""
    try:
        fit = refits[place]
        p = test(fit) if callable(test) else fit.contrast(test)["p"].iloc[0]
    except (MMEError, ArithmeticError, np.linalg.LinAlgError):
        return float("nan")
    return p_value(p)


def family_design(
    formula: Any, data: Any, family: Family, weights: Any, beta: Any, varcorr: Any, parameters: Any
) -> tuple[Problem, Psi, Rows]:
    """The model of a formula on a table with a drawn response, the assumed parameters, and the rows used."""
    from mme.formula.design import design

    on_noise, columns, name = with_response(formula, data)
    parts = design(on_noise, columns, weights=weights)
    if not parts.terms:
        raise MMEError(f"no random effects in '{formula}': add a term such as (1 | g)")
    model = build_model(
        parts.y,
        parts.X,
        parts.terms,
        method="ML",
        offset=parts.offset,
        x_names=parts.x_names,
        response=name,
        wide=False,
    )
    problem, at = assumed_family(model, family, parts.weights, beta, varcorr, parameters)
    return problem, at, Rows(parts.kept, parts.index, parts.outside)


def _standing_at(fit: GeneralisedFitted, at: Psi) -> GeneralisedFitted:
    """The record of a fit with its search ended at a point."""
    there = replace(fit.searched.criterion, u=None, known=None, wall=None).at(at)
    if there is None:
        raise MMEError("the likelihood has no value at the assumed parameters: a mean is out of range")
    return replace(fit, searched=replace(fit.searched, at=there.laplace))
