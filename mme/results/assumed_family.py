"""A generalised model whose parameters are assumed, not estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Family, Observed
from mme.family.observing import prior_weights
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.model.problem import Model
from mme.numeric.noise import stream
from mme.results.assumed import read_beta, read_theta
from mme.results.simulate import GeneralisedSimulator
from mme.tables.arrays import numbers, shown

# The first stand-in for a response is drawn where eta is one: every link has a mean there.
_ETA = 1.0


def assumed_family(
    model: Model, family: Family, weights: Any, beta: Any, varcorr: Any, parameters: Any
) -> tuple[Problem, Psi]:
    """A model with a stand-in for its response, and the point of the parameters that are assumed.

    Raises
    ------
    MMEError
        A fixed effect, a term or a parameter of the family has no value, or a value has a name that none of them has.
    """
    tau, w = read_tau(family, parameters), prior_weights(weights, model.n)
    levels = () if family.has_intercept else tuple(range(1, tau.size + 2))
    y = family.draw(np.full(model.n, _ETA), w, tau, stream())
    weighed = family.observe(y, w, model.response).weights
    problem = Problem(model, family, Observed(y, weighed, levels))
    names = tuple(model.x_names[j] for j in problem.basis.kept)
    theta = model.coordinates.inner(read_theta(model, varcorr, 1.0))
    at = Psi(theta, problem.gamma(read_beta(beta, names)), tau)
    drawn = GeneralisedSimulator(problem, at)(stream(), 1)[:, 0]
    return problem.with_data(replace(problem.data, y=drawn)), at


def read_tau(family: Family, given: Any) -> np.ndarray:
    """Tau (r,) of natural parameters, given by name or in their order; of an ordinal family the thresholds."""
    names, thresholds = family.parameters, not family.has_intercept
    words = "increasing thresholds" if thresholds else ", ".join(map(repr, names)) or "none"
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise MMEError(f"parameters of the {family.name} family are {words}; got {shown(list(given))}")
        given = [given[name] for name in names]
    values = np.atleast_1d(numbers([] if given is None else given, "parameters"))
    counted = values.size > 0 if thresholds else values.size == len(names)
    tau = family.tau_of(values) if counted and values.ndim == 1 else np.full(1, np.nan)
    if not np.isfinite(tau).all() or not np.allclose(family.natural(tau), values):
        raise MMEError(
            f"parameters of the {family.name} family are {words}, each with a value that it can have; "
            f"got {shown(values.tolist())}"
        )
    return tau
