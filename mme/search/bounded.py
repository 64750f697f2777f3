"""A search between bounds: a parameter whose optimum lies beyond a bound is held at that bound.

Of parameters x between l and h a minimum is where the criterion C falls in no direction that is left:

    x_i free:  dC/dx_i = 0,      x_i = l_i:  dC/dx_i >= 0,      x_i = h_i:  dC/dx_i <= 0,

(Karush, Kuhn and Tucker) at the best values of all others, so that each condition is of one parameter alone. Where a
parameter at a bound is let go, and comes back beyond it, the criterion has another valley between the bounds, which is
looked for along this parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf, isfinite

import numpy as np

from mme.engine.objective import Objective
from mme.model.bounding import Bounds
from mme.model.named import NamedPlace
from mme.model.problem import Model
from mme.residual.given import given_coordinates
from mme.search.found import Found
from mme.search.joint import first_phi
from mme.solution.estimates import Estimates

# A parameter at its bound is moved inwards by this share of its size to see whether the criterion falls, by more than
# rounding; one within so much of its bound is not beyond it.
_STEP, _FALL = 1e-4, 1e-8
_EXACT = 1e-9
# A valley along a parameter without a second bound is looked for up to so many doublings of its distance.
_DOUBLINGS = 30


def bounded(model: Model, search: Callable[[Model], Found]) -> Found:
    """The optimum between the bounds of a model; ``search`` finds that of a model without any."""
    bounds, active, spent = model.bounds, dict[str, float](), 0
    assert bounds is not None
    free, let_go, settled = replace(bounds, active={}), set[str](), set[str]()
    while True:
        found = search(holding(model, free, active))
        spent += found.optimum.evaluations
        beyond = _beyond(found, model, bounds)
        if beyond.keys() - active.keys():
            active = {**beyond, **active}
            continue
        inwards = [name for name in active if name not in settled and _falls_inwards(found, model, name, active[name])]
        if not inwards:
            break
        name = inwards[0]
        if name in let_go:
            active[name], more = _valley(model, free, active, name, search)
            settled, spent = settled | {name}, spent + more
        else:
            let_go, active = let_go | {name}, {one: at for one, at in active.items() if one != name}
    return _told(found, model, active, settled, spent)


def holding(model: Model, bounds: Bounds, active: Mapping[str, float]) -> Model:
    """The model that holds what its user does, and these parameters, without bounds."""
    return model.beside(**bounds.holding(model.named, active), bounds=None)


def viewed(objective: Objective, model: Model) -> Objective:
    """The criterion of a model that differs from that of ``objective`` in the parameters that it holds."""
    constants = replace(objective.constants, sigma=model.sigma)
    same = replace(objective, model=model, constants=constants)
    return same if model.phi is None else same.at(first_phi(model))


def _told(found: Found, model: Model, active: dict[str, float], settled: set[str], spent: int) -> Found:
    """What was found, with the parameters at a bound named."""
    assert model.bounds is not None
    optimum, at = replace(found.optimum, evaluations=spent), found.objective.model
    names = tuple(f"{name} = {value:g}" for name, value in active.items() if name not in settled)
    if active:
        found_, reason = optimum.verdict, optimum.reason
        verdict = ("minimum on the boundary" if names else "minimum") if found_ in ("minimum", "given") else found_
        reason = "every variance is at a bound or held" if found_ == "given" and not settled else reason
        if settled:
            reason = f"a valley along {', '.join(sorted(settled))} within the bounds; it is lower beyond them"
        optimum = replace(optimum, at_bounds=names, verdict=verdict, reason=reason)
    kept = at.beside(bounds=replace(model.bounds, active=dict(active)))
    return Found(replace(found.objective, model=kept), optimum)


def _beyond(found: Found, model: Model, bounds: Bounds) -> dict[str, float]:
    """Find the parameters that lie beyond a bound, each with that bound."""
    theta, phi, named = found.optimum.theta, found.optimum.phi, model.named
    sigma = Estimates(found.objective, theta).sigma
    beyond = {}
    for name, (low, high) in bounds.limits.items():
        value = named.value(named.place(name, "bounds"), theta, phi, sigma)
        if value < low - _EXACT * abs(low):
            beyond[name] = low
        elif value > high + _EXACT * abs(high):
            beyond[name] = high
    return beyond


def _falls_inwards(found: Found, model: Model, name: str, value: float) -> bool:
    """Whether the criterion falls where a parameter leaves its bound, all others where they are."""
    assert model.bounds is not None
    low, high = model.bounds.limits[name]
    size = max(abs(value), min(high - low, 1.0) if value == 0.0 else 0.0)
    step = _STEP * min(size, high - low) * (1.0 if value == low else -1.0)
    place = model.named.place(name, "bounds")
    here, inside = (_criterion(found, model, place, at) for at in (value, value + step))
    return inside < here - _FALL * (1.0 + 1e-3 * abs(here))


def _criterion(found: Found, model: Model, place: NamedPlace, value: float) -> float:
    """Evaluate the criterion where one parameter has this value and all others are as they were found."""
    objective, theta, plain = found.objective, found.optimum.theta.copy(), place.plain(value)
    held, sigma = objective.model.held, objective.model.sigma
    if place.kind == "sigma":
        theta = theta if held is None else np.where(held.in_units, held.values / plain, theta)
        return float(replace(objective, constants=replace(objective.constants, sigma=plain))(theta))
    if place.kind == "phi":
        own = given_coordinates(model.residual, {place.name: plain})
        assert own is not None
        return float(objective.at(np.where(np.isnan(own), found.optimum.phi, own))(theta))
    entry = plain if place.kind == "ratio" else model.named.coordinate(place, plain, "bounds")
    theta[place.at] = entry / sigma if model.named.in_units(place) and sigma is not None else entry
    return float(objective(theta))


def _valley(
    model: Model, free: Bounds, active: dict[str, float], name: str, search: Callable[[Model], Found]
) -> tuple[float, int]:
    """The value between its bounds at which the criterion is lowest along a parameter, and evaluations."""
    from scipy.optimize import minimize_scalar  # slow to import

    spent, (low, high) = 0, free.limits[name]

    def best(value: float) -> float:
        nonlocal spent
        found = search(holding(model, free, {**active, name: float(value)}))
        spent += found.optimum.evaluations
        return found.optimum.criterion

    end = active[name]
    other = high if end == low else low
    if not isfinite(other):
        other = _far_end(best, end, 1.0 if other == inf else -1.0)
    found = minimize_scalar(best, bounds=tuple(sorted((end, other))), method="bounded", options={"xatol": 1e-7})
    return float(found.x), spent


def _far_end(best: Callable[[float], float], end: float, sign: float) -> float:
    """A value beyond the valley that begins at a bound."""
    reach, here = 0.1 * (abs(end) or 1.0), best(end)
    for _ in range(_DOUBLINGS):
        there = best(end + sign * reach)
        if there > here:
            break
        reach, here = 2.0 * reach, there
    return end + sign * reach
