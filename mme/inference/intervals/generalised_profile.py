r"""Profile likelihood of generalised models: each parameter held, the others searched by the exact gradient.

With psi(x, v) of :mod:`mme.inference.intervals.generalised_held` and F the criterion of the fit, -2 log L by Laplace's
approximation or by quadrature, x is searched by BFGS with J'dF/dpsi, J = dpsi/dx, from where the knots nearby point to
and with the inverse Hessian that the last search ended with; the first with that of the Hessian at the maximum, J'H J.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mme.errors import MMEError
from mme.family.parameter import FamilyParameter
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.columns import Effects
from mme.generalised.criterion import Criterion, CriterionAt
from mme.inference.intervals.curves import Curve, Profile, quantile
from mme.inference.intervals.generalised_held import GeneralisedMaximum
from mme.inference.intervals.question import Question
from mme.inference.intervals.tracing import Knot, Tracer, extrapolate
from mme.numeric.bars import Progress, one_by_one
from mme.numeric.quasi_newton import descend
from mme.tables.arguments import names_of
from mme.tables.names import as_known

# What a further step may still gain on the deviance: zeta is then known to its ninth digit where it is one.
_TOLERANCE = 1e-10
# Length of a step in standard errors.
_FAR = 3.0
# Half the width of the differences of psi: smooth functions of coordinates of order one.
_STEP = 1e-5
# Curvature below this share of the largest is none.
_FLAT = 1e-6


def generalised_profile(
    fit: GeneralisedFitted, parameters: Iterable[str] | None = None, level: float = 0.95, progress: Progress = False
) -> Profile:
    """Profile the likelihood of a generalised fit: of all its parameters (None), or of those that are named.

    Raises
    ------
    MMEError
        A name is not among the parameters, the fit is by n_agq=0, or the data are separated: the likelihood has no
        finite maximum.
    """
    z = quantile(level)
    if fit.searched.criterion.points == 0:
        raise MMEError(
            "the criterion of n_agq=0 is no likelihood of the fixed effects, which it searches with the random ones: "
            "fit with n_agq=1 for a profile"
        )
    if fit.searched.given:
        raise MMEError("theta was given and is no estimate: there is nothing of it to profile; fit without theta=")
    if fit.estimates.separation is not None:
        raise MMEError(
            f"the likelihood of this fit has no finite maximum to profile around ({fit.optimum.verdict}): what grows "
            "without end has no interval; leave the column out, or join its levels"
        )
    maximum = GeneralisedMaximum.of(fit)
    given = maximum.names if parameters is None else names_of(parameters, "parameters")
    chosen = tuple(as_known(name, maximum.names) for name in given)
    for name in chosen:
        if name not in maximum.names:
            raise MMEError(f"there is no parameter {name!r}; the model has {', '.join(maximum.names)}")
    values = maximum.values(maximum.psi)
    curves = one_by_one("profile", chosen, lambda name: _curve(maximum, values, name, z), progress)
    return Profile(curves, maximum.names, values, fit.criterion)


def _curve(maximum: GeneralisedMaximum, values: np.ndarray, name: str, z: float) -> Curve:
    """Both sides of one parameter's profile; without knots for a correlation with a standard deviation of zero."""
    if np.isnan(values[maximum.names.index(name)]):
        return Curve(name, np.nan, (-1.0, 1.0), np.zeros(0), np.zeros(0), np.zeros((0, values.size)), (True, True))
    tracer = _ByGradient(maximum, maximum.question(name))
    curve = tracer.curve(Knot(tracer.question.estimate, 0.0, tracer.question.start, None, values), z)
    held = maximum.family_parameter(name)
    return curve if held is None else _natural(curve, maximum, held)


def _natural(curve: Curve, maximum: GeneralisedMaximum, held: FamilyParameter) -> Curve:
    """The curve of a coordinate as that of the parameter."""
    at, rest = maximum.names.index(curve.name), maximum.tau[held.others]
    values, bounds = curve.parameters[:, at], held.bounds(rest)
    estimate = held.natural(rest, curve.estimate)
    if values[0] <= values[-1]:
        return replace(curve, estimate=estimate, bounds=bounds, values=values)
    return replace(
        curve,
        estimate=estimate,
        bounds=bounds,
        values=values[::-1],
        zeta=-curve.zeta[::-1],
        parameters=curve.parameters[::-1],
        complete=curve.complete[::-1],
        lower=curve.lower[::-1],
    )


@dataclass(frozen=True, eq=False)
class _Known:
    """What the search at a knot leaves: an inverse Hessian and the modes."""

    inverse: np.ndarray
    u: Effects


@dataclass(frozen=True, eq=False)
class _Held:
    """The criterion as a function of x."""

    of: CriterionAt
    question: Question
    x: np.ndarray
    held: float

    @property
    def value(self) -> float:
        """-2 log L."""
        return self.of.value

    def gradient(self) -> np.ndarray:
        """J'dF/dpsi."""
        return self._slope

    @cached_property
    def _slope(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            return _jacobian(self.question, self.x, self.held).T @ self.of.gradient()


class _ByGradient(Tracer):
    """The others are searched by the gradient of the criterion."""

    def __init__(self, maximum: GeneralisedMaximum, question: Question) -> None:
        super().__init__(question, maximum.fit.criterion)
        self.maximum = maximum
        self.criterion: Criterion = maximum.criterion()
        self.first = _Known(self._first_inverse(), maximum.fit.searched.at.u)

    def _first_inverse(self) -> np.ndarray:
        """(J'H J)^-1 at the maximum, directions without curvature held near."""
        x, value = self.question.start, self.question.estimate
        inside = np.where(self.question.even & (np.abs(x) < _STEP), self.question.radius, x)
        J = _jacobian(self.question, inside, value)
        H = J.T @ self.maximum.hessian @ J
        if not H.size:
            return H
        size = np.sqrt(np.maximum(H.diagonal(), _FLAT * max(float(H.diagonal().max()), _FLAT)))
        values, vectors = np.linalg.eigh(H / np.outer(size, size))
        values = np.maximum(values, 1e-3)
        return np.asarray((vectors / values) @ vectors.T / np.outer(size, size))

    def _at(self, x: np.ndarray, value: float) -> _Held | None:
        """The criterion at x; None where it has no value or no slope."""
        with np.errstate(all="ignore"):
            at = self.criterion.at(self.criterion.point(self.question.point(x, value)))
        found = None if at is None else _Held(at, self.question, x, value)
        return found if found is not None and np.isfinite(found.gradient()).all() else None

    def knot(self, value: float, near: list[Knot]) -> Knot:
        """The best of the others at one value, begun where the knots nearby point to."""
        question, P = self.question, len(self.maximum.names)
        if not np.isfinite(value):
            return self.nowhere(value, near[-1].x, P)
        known: _Known = near[-1].curvature or self.first
        self.criterion.u = known.u
        for x in (extrapolate(value, near[-3:]), near[-1].x):
            # zero is stationary whether it is a minimum or not
            x = np.where(question.even & (np.abs(x) < 0.1 * question.radius), question.radius, x)
            begin = self._at(x, value)
            if begin is not None:
                break
        else:
            return self.nowhere(value, near[-1].x, P)
        found = descend(
            lambda x: self._at(x, value),
            x,
            begin,
            known.inverse,
            accepted=self._accepted,
            tolerance=_TOLERANCE,
            most=_FAR,
        )
        parameters = self.maximum.values(question.point(found.x, value))
        if self.maximum.family_parameter(question.name) is None:
            parameters[self.maximum.names.index(question.name)] = value
        left = _Known(found.inverse, found.at.of.u)
        return self.at_minimum(value, found.at.value, found.x, left, parameters)

    def _accepted(self, _: np.ndarray, found: _Held) -> None:
        self.criterion.keep(found.of)


def _jacobian(question: Question, x: np.ndarray, value: float) -> np.ndarray:
    """Dpsi/dx (P, m), by central differences: psi costs nothing beside the criterion."""
    steps = np.diag(np.full(x.size, _STEP))
    ends = [question.point(x + step, value) - question.point(x - step, value) for step in steps]
    return np.array(ends).reshape(x.size, question.point(x, value).size).T / (2.0 * _STEP)
