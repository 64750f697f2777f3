r"""Profile likelihood: what the data say of one parameter when all others follow it.

For each parameter the others are optimised while it is held, and

    zeta(v) = sign(v - estimate) sqrt( min d(v, others) - min d ),        d = -2 log-likelihood (ML),

is a straight line where the Wald interval would do. The interval at a level is where |zeta| reaches the normal quantile
(Bates et al. 2015, J. Stat. Softw. 67(1), section 5.1; Pawitan 2001, ch. 3). The criterion is always the ML deviance,
also for a fit by REML, whose likelihoods at different beta are of different data: the estimates of a profile are ML's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from mme.errors import MMEError, MMEWarning
from mme.fitted.natural import residual_names
from mme.fitted.record import Fitted
from mme.inference.intervals.curves import Curve, Profile, quantile
from mme.inference.intervals.held import Maximum
from mme.inference.intervals.question import Question
from mme.inference.intervals.whole import AllParameters
from mme.numeric.curvature import Curvature
from mme.numeric.interpolate import crossing, lagrange_weights
from mme.numeric.optimize import Minimum, evaluate_only, minimise
from mme.search.joint import Joint
from mme.search.loop import search
from mme.tables.arguments import names_of

# Joint 99% regions of two parameters reach sqrt(chi2_2(0.99)) on each profile.
_REACH = 3.035
# Knots stand about this far apart on zeta; no step may go further than the second.
_STEP, _LONGEST = 0.5, 0.9
# A step grows at most by this: the first is a guess.
_GROWTH = 8.0
# Two steps that gain no more than this on zeta, the second so much longer, have left nothing to gain before the bound.
_FLAT = 1e-4
_MOST_KNOTS = 60
# Values nearer than so many spacings of floating-point numbers are not told apart.
_ULPS = 4.0
_REFINEMENTS = 8
# A knot this near to a limit, on zeta, leaves nothing to interpolation.
_ON_LIMIT = 1e-4
# A deviance this far below the minimum is another minimum.
_LOWER = 1e-4


@dataclass(frozen=True, eq=False)
class Knot:
    """One point of a profile: the value held, zeta, where the search for the others ended, and all parameters there."""

    value: float
    zeta: float
    x: np.ndarray
    curvature: Curvature | None
    parameters: np.ndarray


def profile(fit: Fitted, parameters: Iterable[str] | None = None, level: float = 0.95) -> Profile:
    """Profile the likelihood of a fit.

    Parameters
    ----------
    fit : Fitted
        By REML or ML; a REML fit is fitted by ML first.
    parameters : names, optional
        Which to profile; None: all.
    level : float
        The level whose limits get knots of their own, so that nothing is left to interpolation there.

    Raises
    ------
    MMEError
        A name is not among the parameters, it or theta was given and not estimated, or a user's residual structure has
        no inverse of its natural parameters.

    Notes
    -----
    A parameter that the data do not determine has no knots: its interval is all that it can be. Parameters of a
    residual structure that were given stay as given, and have no profile.
    """
    z = quantile(level)
    if fit.theta_given:
        raise MMEError("theta of this fit was given, not estimated: its likelihood has no maximum to profile around")
    whole = AllParameters.of(fit)
    maximum, deviance = _maximum(fit.determined, tuple(whole.names[i] for i in whole.places.tolist()))
    chosen = _chosen(parameters, maximum, whole, _given(fit))
    open_ = {name for name, is_open in zip(whole.names, whole.open.tolist(), strict=True) if is_open}
    if open_ & set(chosen):
        whole.warn(fit, "no profile of")
    curves = {
        name: _all_of_it(whole, name) if name in open_ else _for_all(_curve(maximum, name, deviance, z), whole)
        for name in chosen
    }
    return Profile(curves, whole.names, whole.spread(maximum.values), deviance)


def _all_of_it(whole: AllParameters, name: str) -> Curve:
    """The curve of a parameter that is not determined: none."""
    bounds = whole.bounds[whole.names.index(name)]
    return Curve(name, np.nan, bounds, np.zeros(0), np.zeros(0), np.zeros((0, len(whole.names))), (True, True))


def _for_all(curve: Curve, whole: AllParameters) -> Curve:
    """The curve with all parameters at its knots."""
    return replace(curve, parameters=whole.spread(curve.parameters))


def _maximum(fit: Fitted, names: tuple[str, ...]) -> tuple[Maximum, float]:
    objective, theta, phi = fit.objective, fit.theta, fit.optimum.phi
    if fit.method == "REML":
        found = search(fit.model.beside(method="ML"), None, False, theta, objective.by_ml())
        objective, theta, phi = found.objective, found.optimum.theta, found.optimum.phi
    maximum = Maximum.of(Joint(objective.model, objective), theta, phi, fit.fixed_names)
    return replace(maximum, names=names), objective(theta)


def _given(fit: Fitted) -> tuple[str, ...]:
    """Names of the parameters of the residual structure that were given."""
    names, phi = residual_names(fit.model, fit.fixed_names), fit.model.phi
    return () if phi is None else tuple(name for name, value in zip(names, phi, strict=True) if not np.isnan(value))


def _chosen(
    parameters: Iterable[str] | None, maximum: Maximum, whole: AllParameters, given: tuple[str, ...]
) -> Sequence[str]:
    names = whole.names
    if parameters is None:
        left_out = [name for name in maximum.names if name not in maximum.holdable]
        if left_out:
            warnings.warn(
                f"no profile of {', '.join(left_out)}: the residual structure has no coordinates(), the inverse of "
                "natural(), by which they could be held",
                MMEWarning,
                stacklevel=4,
            )
        return [name for name in names if name not in (*left_out, *given)]
    chosen = names_of(parameters, "parameters")
    for name in chosen:
        if name not in names:
            raise MMEError(f"there is no parameter {name!r}; the model has {', '.join(names)}")
        if name in given:
            raise MMEError(f"{name} was given, not estimated: it has no profile")
    return chosen


def _curve(maximum: Maximum, name: str, deviance: float, z: float) -> Curve:
    """Both sides of one parameter's profile; without knots where the data do not determine it."""
    P = len(maximum.names)
    if np.isnan(maximum.values[maximum.names.index(name)]):  # a correlation with a standard deviation of zero
        return Curve(name, np.nan, (-1.0, 1.0), np.zeros(0), np.zeros(0), np.zeros((0, P)), (True, True))
    question = maximum.question(name)
    tracer = _Tracer(maximum, question, deviance)
    origin = Knot(question.estimate, 0.0, question.start, None, maximum.values)
    down, up = (tracer.side(origin, direction, z) for direction in (-1.0, 1.0))
    knots = [knot for knot in (*reversed(down[1:]), *up) if np.isfinite(knot.value)]
    low, high = question.bounds
    return Curve(
        name,
        question.estimate,
        question.bounds,
        np.array([knot.value for knot in knots]),
        np.array([knot.zeta for knot in knots]),
        np.array([knot.parameters for knot in knots]),
        (down[-1].value == low, up[-1].value == high),
    )


class _Tracer:
    """Follows one parameter away from its estimate."""

    def __init__(self, maximum: Maximum, question: Question, deviance: float) -> None:
        self.maximum, self.question, self.deviance = maximum, question, deviance

    def side(self, origin: Knot, direction: float, z: float) -> list[Knot]:
        """Knots from the estimate outwards, until zeta has gone far enough or the parameter is at its bound."""
        bound = self.question.bounds[direction > 0]
        knots, step, leap = [origin], self.question.step, True
        reach = max(_REACH, z + _STEP)
        while abs(knots[-1].zeta) < reach and knots[-1].value != bound and len(knots) < _MOST_KNOTS:
            last = knots[-1]
            value = last.value + direction * step
            if not np.isfinite(value) or (value - bound) * direction >= 0.0 or (leap and _is_flat(knots)):
                value = bound
            new = self.knot(value, knots)
            gained = abs(new.zeta) - abs(last.zeta)
            longest = _LONGEST if np.isfinite(value) else _FLAT
            apart = _ULPS * np.spacing(abs(last.value))
            if gained > longest and abs(value - last.value) <= 2.0 * apart:  # nothing lies between the two
                end = direction * (reach + 1.0)
                knots.append(new if np.isfinite(new.zeta) else replace(new, zeta=end, parameters=last.parameters))
                step = abs(value - last.value)
                continue
            if gained > longest and (len(knots) + 1 < _MOST_KNOTS or np.isinf(gained)):
                step, leap = min(step, abs(value - last.value)) * max(_STEP / gained, 0.1), leap and value != bound
                step = max(step, apart)
                continue
            knots.append(new)
            step = abs(value - last.value) * min(_STEP / max(gained, 1e-12), _GROWTH)
        for _ in range(_REFINEMENTS):
            if not self._refine(knots, direction * z):
                break
        return knots

    def _refine(self, knots: list[Knot], zeta: float) -> bool:
        """Add a knot at the limit as the others have it; whether there was anything to add."""
        reached = np.abs([knot.zeta for knot in knots])
        if reached.max() < abs(zeta) or len(knots) < 3 or np.abs(reached - abs(zeta)).min() < _ON_LIMIT:
            return False
        value = crossing(abs(zeta), reached, np.array([knot.value for knot in knots]))
        if value in [knot.value for knot in knots]:
            return False
        after = int(np.argmax(reached > abs(zeta)))
        new = self.knot(value, knots[max(after - 2, 0) : after + 1])
        if np.isinf(new.zeta):  # no covariance matrix so near its edge, to rounding
            return False
        knots.insert(after, new)
        return True

    def _exists(self, x: np.ndarray, value: float) -> bool:
        """Whether there is a covariance matrix with these parameters."""
        return not np.isnan(self.question.point(x, value).phi).any()

    def _minimum(self, f: Callable[[np.ndarray], float], x: np.ndarray, nearby: Curvature | None) -> Minimum:
        if not x.size:
            return evaluate_only(f, x)
        with np.errstate(invalid="ignore"):  # differences of an infinite criterion
            return minimise(f, x, self.question.radius, even=self.question.even, nearby=nearby)

    def _nowhere(self, x: np.ndarray, value: float) -> Knot:
        """A value at which there is no likelihood."""
        nothing = np.full(len(self.maximum.names), np.nan)
        return Knot(value, float(np.copysign(np.inf, value - self.question.estimate)), x, None, nothing)

    def knot(self, value: float, near: list[Knot]) -> Knot:
        """The best of the others at one value, begun where the knots nearby point to."""
        question, deviance = self.question, self.maximum.deviance
        x, nearby = _extrapolate(value, near[-3:]), near[-1].curvature
        if not self._exists(x, value):
            x = near[-1].x
            if not self._exists(x, value):
                return self._nowhere(x, value)
        at_zero = question.even & (np.abs(x) < 0.1 * question.radius)
        if at_zero.any():  # zero is stationary whether it is a minimum or not
            x, nearby = np.where(at_zero, question.radius, x), None
        found = self._minimum(lambda x: deviance(question.point(x, value)), x, nearby)
        if not np.isfinite(found.value):
            return self._nowhere(x, value)
        rise = found.value - self.deviance
        if rise < -_LOWER:
            warnings.warn(
                f"the profile of {question.name} found a deviance lower by {-rise:.2g} at {value:.6g}: the fit is not "
                "at the maximum of the likelihood",
                MMEWarning,
                stacklevel=5,
            )
        return Knot(
            value,
            float(np.sign(value - question.estimate)) * sqrt(max(rise, 0.0)),
            found.x,
            found.curvature if found.curvature.converged and not found.curvature.flat else None,
            deviance.parameters(question.point(found.x, value)),
        )


def _is_flat(knots: list[Knot]) -> bool:
    """Whether the last two steps gained nothing."""
    return len(knots) > 2 and abs(knots[-1].zeta) - abs(knots[-3].zeta) < _FLAT


def _extrapolate(value: float, knots: list[Knot]) -> np.ndarray:
    """Lagrange's polynomial through the last knots, as far beyond them as a step may be."""
    if len(knots) > 1 and not abs(value - knots[-1].value) <= _GROWTH * abs(knots[-1].value - knots[0].value):
        return knots[-1].x
    weights = lagrange_weights(value, np.array([knot.value for knot in knots]))
    return np.asarray(weights @ np.array([knot.x for knot in knots]))
