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
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError, MMEWarning
from mme.inference.held import Maximum, Question
from mme.inference.interpolate import crossing, first_reached, lagrange_weights, monotone
from mme.loop import Joint, search
from mme.optimize import Curvature, Minimum, evaluate_only, minimise

if TYPE_CHECKING:
    import pandas as pd

    from mme.fit import Fit

# Joint 99% regions of two parameters reach sqrt(chi2_2(0.99)) on each profile.
_REACH = 3.035
# Knots stand about this far apart on zeta; no step may go further than the second.
_STEP, _LONGEST = 0.5, 0.9
# A step grows at most by this: the first is a guess.
_GROWTH = 8.0
_MOST_KNOTS = 60
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


@dataclass(frozen=True, eq=False)
class Curve:
    """Zeta of one parameter at knots, in increasing order of the value.

    Attributes
    ----------
    name : str
        The parameter.
    estimate : float
        Where zeta is zero: the ML estimate.
    bounds : (float, float)
        What values it can take.
    values, zeta : (m,) arrays
        The knots.
    parameters : (m, P) array
        All parameters there, in the order of the profile.
    """

    name: str
    estimate: float
    bounds: tuple[float, float]
    values: np.ndarray
    zeta: np.ndarray
    parameters: np.ndarray

    def limit(self, zeta: float) -> float:
        """The value at which zeta is reached; the bound where it is not."""
        if not self.values.size or not self.zeta.min() <= zeta <= self.zeta.max():
            return self.bounds[0] if zeta < 0.0 else self.bounds[1]
        first = first_reached(self.zeta)
        return float(monotone(self.zeta[first], self.values[first], np.array([zeta]))[0])

    def zeta_at(self, values: np.ndarray) -> np.ndarray:
        """Zeta at other values, between the first and the last knot; NaN outside."""
        values = np.asarray(values, dtype=float)
        inside = (values >= self.values[0]) & (values <= self.values[-1])
        within = np.clip(values, self.values[0], self.values[-1])
        return np.where(inside, monotone(self.values, self.zeta, within), np.nan)


@dataclass(frozen=True, eq=False)
class Profile:
    """Profiles of the likelihood (ML), a :class:`Curve` a parameter.

    Attributes
    ----------
    curves : dict
        By name: ``sd_x|g``, ``cor_x2.x1|g``, ``sigma``, then the fixed effects.
    names : tuple of str
        All parameters of the model, profiled or not: the columns of a curve's ``parameters``.
    estimates : (P,) array
        Their ML estimates.
    deviance : float
        The ML deviance there.
    """

    curves: dict[str, Curve]
    names: tuple[str, ...]
    estimates: np.ndarray
    deviance: float

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """``lower, upper``: where zeta reaches the normal quantile of ``level``.

        A bound of the parameter (zero for a standard deviation) stands where the likelihood does not fall so far
        before it.
        """
        import pandas as pd

        z = _quantile(level)
        short = [curve.name for curve in self.curves.values() if _ends_before(curve, z)]
        if short:
            raise MMEError(
                f"the profile of {', '.join(short)} ends before zeta = {z:.3g}; profile with level={level!r}"
            )
        limits = [(curve.limit(-z), curve.limit(z)) for curve in self.curves.values()]
        return pd.DataFrame(limits, index=list(self.curves), columns=["lower", "upper"], dtype=float)

    def to_frame(self) -> pd.DataFrame:
        """A row a knot: ``parameter, value, zeta``, then all parameters at that point."""
        import pandas as pd

        parts = [
            pd.DataFrame(curve.parameters, columns=list(self.names)).assign(
                parameter=curve.name, value=curve.values, zeta=curve.zeta
            )
            for curve in self.curves.values()
        ]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(self.names))
        return frame[["parameter", "value", "zeta", *self.names]]


def profile(fit: Fit, parameters: Iterable[str] | None = None, level: float = 0.95) -> Profile:
    """Profile the likelihood of a fit.

    Parameters
    ----------
    fit : Fit
        By REML or ML; a REML fit is fitted by ML first.
    parameters : names, optional
        Which to profile; None: all.
    level : float
        The level whose limits get knots of their own, so that nothing is left to interpolation there.

    Raises
    ------
    MMEError
        A name is not among the parameters, or theta was given and not estimated.
    """
    z = _quantile(level)
    if fit.theta_given:
        raise MMEError("theta of this fit was given, not estimated: its likelihood has no maximum to profile around")
    maximum, deviance = _maximum(fit)
    chosen = _chosen(parameters, maximum.names)
    curves = {name: _curve(maximum, name, deviance, z) for name in chosen}
    return Profile(curves, maximum.names, maximum.values, deviance)


def _maximum(fit: Fit) -> tuple[Maximum, float]:
    objective, theta, phi = fit.objective, fit.theta, fit.optimum.phi
    if fit.method == "REML":
        found = search(replace(fit.model, method="ML"), None, False, theta, objective.by_ml())
        objective, theta, phi = found.objective, found.theta, found.optimum.phi
    return Maximum.of(Joint(objective.model, objective), theta, phi, fit.fixed_names), objective(theta)


def _chosen(parameters: Iterable[str] | None, names: tuple[str, ...]) -> Sequence[str]:
    if parameters is None:
        return names
    chosen = [parameters] if isinstance(parameters, str) else list(parameters)
    for name in chosen:
        if name not in names:
            raise MMEError(f"there is no parameter {name!r}; the model has {', '.join(names)}")
    return chosen


def _quantile(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise MMEError(f"level must lie between 0 and 1, got {level!r}")
    return float(ndtri(0.5 + level / 2.0))


def _ends_before(curve: Curve, z: float) -> bool:
    """Whether a side of a curve ends, not at its bound, before zeta."""
    if not curve.values.size:
        return False
    low = curve.zeta.min() > -z and curve.values[0] > curve.bounds[0]
    return bool(low or (curve.zeta.max() < z and curve.values[-1] < curve.bounds[1]))


def _curve(maximum: Maximum, name: str, deviance: float, z: float) -> Curve:
    """Both sides of one parameter's profile; without knots where the data do not determine it."""
    P = len(maximum.names)
    if np.isnan(maximum.values[maximum.names.index(name)]):  # a correlation with a standard deviation of zero
        return Curve(name, np.nan, (-1.0, 1.0), np.zeros(0), np.zeros(0), np.zeros((0, P)))
    question = maximum.question(name)
    tracer = _Tracer(maximum, question, deviance)
    origin = Knot(question.estimate, 0.0, question.start, None, maximum.values)
    down, up = (tracer.side(origin, direction, z) for direction in (-1.0, 1.0))
    knots = [*reversed(down[1:]), *up]
    return Curve(
        name,
        question.estimate,
        question.bounds,
        np.array([knot.value for knot in knots]),
        np.array([knot.zeta for knot in knots]),
        np.array([knot.parameters for knot in knots]),
    )


class _Tracer:
    """Follows one parameter away from its estimate."""

    def __init__(self, maximum: Maximum, question: Question, deviance: float) -> None:
        self.maximum, self.question, self.deviance = maximum, question, deviance

    def side(self, origin: Knot, direction: float, z: float) -> list[Knot]:
        """Knots from the estimate outwards, until zeta has gone far enough or the parameter is at its bound."""
        bound = self.question.bounds[direction > 0]
        knots, step = [origin], self.question.step
        reach = max(_REACH, z + _STEP)
        while abs(knots[-1].zeta) < reach and knots[-1].value != bound and len(knots) < _MOST_KNOTS:
            last = knots[-1]
            value = last.value + direction * step
            if not np.isfinite(value) or (value - bound) * direction >= 0.0:
                value = bound
            new = self.knot(value, knots)
            gained = abs(new.zeta) - abs(last.zeta)
            if gained > _LONGEST and len(knots) + 1 < _MOST_KNOTS:
                step = abs(value - last.value) * max(_STEP / gained, 0.1)
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
        knots.insert(after, self.knot(value, knots[max(after - 2, 0) : after + 1]))
        return True

    def _minimum(self, f: Callable[[np.ndarray], float], x: np.ndarray, nearby: Curvature | None) -> Minimum:
        if not x.size:
            return evaluate_only(f, x)
        with np.errstate(invalid="ignore"):  # differences of an infinite criterion
            return minimise(f, x, self.question.radius, even=self.question.even, nearby=nearby)

    def knot(self, value: float, near: list[Knot]) -> Knot:
        """The best of the others at one value, begun where the knots nearby point to."""
        question, deviance = self.question, self.maximum.deviance
        x, nearby = _extrapolate(value, near[-3:]), near[-1].curvature
        at_zero = question.even & (np.abs(x) < 0.1 * question.radius)
        if at_zero.any():  # zero is stationary whether it is a minimum or not
            x, nearby = np.where(at_zero, question.radius, x), None
        found = self._minimum(lambda x: deviance(question.point(x, value)), x, nearby)
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


def _extrapolate(value: float, knots: list[Knot]) -> np.ndarray:
    """Lagrange's polynomial through the last knots."""
    weights = lagrange_weights(value, np.array([knot.value for knot in knots]))
    return np.asarray(weights @ np.array([knot.x for knot in knots]))
