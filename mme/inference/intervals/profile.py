r"""Profile likelihood: what the data say of one parameter when all others follow it.

For each parameter the others are optimised while it is held, and

    zeta(v) = sign(v - estimate) sqrt( min d(v, others) - min d ),        d = -2 log-likelihood (ML),

is a straight line where the Wald interval would do. The interval at a level is where |zeta| reaches the normal quantile
(Bates et al. 2015, J. Stat. Softw. 67(1), section 5.1; Pawitan 2001, ch. 3). The criterion is always the ML deviance,
also for a fit by REML, whose likelihoods at different beta are of different data: the estimates of a profile are ML's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from mme.engine.wide_basis import WideBasis
from mme.errors import MMEError, warn
from mme.fitted.natural import parameter_names, residual_names
from mme.fitted.record import Fitted
from mme.inference.intervals.curves import Curve, Profile, quantile
from mme.inference.intervals.held import Maximum
from mme.inference.intervals.question import Question
from mme.inference.intervals.tracing import Knot, Tracer, extrapolate
from mme.inference.intervals.whole import AllParameters
from mme.numeric.bars import Progress, one_by_one
from mme.numeric.curvature import Curvature
from mme.numeric.optimize import Minimum, evaluate_only, minimise
from mme.search.joint import Joint
from mme.search.loop import search
from mme.tables.arguments import names_of
from mme.tables.names import as_known


def profile(
    fit: Fitted, parameters: Iterable[str] | None = None, level: float = 0.95, progress: Progress = False
) -> Profile:
    """Profile the likelihood of a fit.

    Parameters
    ----------
    fit : Fitted
        By REML or ML; a REML fit is fitted by ML first.
    parameters : names, optional
        Which to profile; None: all, beside a sparse X all but its sparse columns.
    level : float
        The level whose limits get knots of their own, so that nothing is left to interpolation there.
    progress : bool or callable
        True draws a bar on the error stream; a callable gets (parameters done, how many).

    Raises
    ------
    MMEError
        A name is not among the parameters, it or theta was given and not estimated, or a user's residual structure has
        no inverse of its natural parameters.

    Notes
    -----
    A parameter that the data do not determine has no knots: its interval is all that it can be. Parameters that were
    given or are held stay as they are, and have no profile.
    """
    z = quantile(level)
    fit.objective.plan.require_factor("a profile of the likelihood")
    if fit.theta_given:
        raise MMEError("theta of this fit was given, not estimated: its likelihood has no maximum to profile around")
    whole = AllParameters.of(fit)
    maximum, deviance = _maximum(fit.determined, tuple(whole.names[i] for i in whole.places.tolist()))
    chosen = _chosen(parameters, maximum, whole, _given(fit))
    open_ = {name for name, is_open in zip(whole.names, whole.open.tolist(), strict=True) if is_open}
    if open_ & set(chosen):
        whole.warn(fit, "no profile of")

    def curve(name: str) -> Curve:
        return _all_of_it(whole, name) if name in open_ else _for_all(_curve(maximum, name, deviance, z), whole)

    curves = one_by_one("profile", chosen, curve, progress)
    return Profile(curves, whole.names, whole.spread(maximum.values), deviance)


def _all_of_it(whole: AllParameters, name: str) -> Curve:
    """A curve without knots, whose limits are the bounds: that of a parameter the data do not determine."""
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
    """Names of the parameters that were given: of the residual structure, and of the terms where they are held."""
    model = fit.model.as_given
    own, held = parameter_names(model, fit.fixed_names)[: model.k], model.held
    names = residual_names(model, fit.fixed_names)
    found = [] if held is None else list(zip(own, held.values.tolist(), strict=True))
    found += [] if model.phi is None else list(zip(names, model.phi.tolist(), strict=True))
    return tuple(name for name, value in found if not np.isnan(value))


def _chosen(
    parameters: Iterable[str] | None, maximum: Maximum, whole: AllParameters, given: tuple[str, ...]
) -> Sequence[str]:
    names = whole.names
    if parameters is None:
        left_out = [name for name in maximum.names if name not in maximum.holdable]
        if left_out:
            warn(
                f"no profile of {', '.join(left_out)}: the residual structure has no coordinates(), the inverse of "
                "natural(), by which they could be held"
            )
        return [name for name in names if name not in (*left_out, *given, *_sparse(maximum))]
    chosen = [as_known(_in_full(name, names), names) for name in names_of(parameters, "parameters")]
    for name in chosen:
        if name not in names:
            raise MMEError(f"there is no parameter {name!r}; the model has {', '.join(names)}")
        if name in given:
            raise MMEError(f"{name} was given, not estimated: it has no profile")
    return chosen


def _sparse(maximum: Maximum) -> tuple[str, ...]:
    """Names of the sparse columns of a wide X: each is profiled where it is asked for."""
    basis = maximum.deviance.joint.latest.basis
    if not isinstance(basis, WideBasis):
        return ()
    names, sparse = maximum.names[len(maximum.names) - basis.kept.size :], set(basis.wide.sparse_at.tolist())
    return tuple(name for name, at in zip(names, basis.kept.tolist(), strict=True) if at in sparse)


def _in_full(name: str, names: Sequence[str]) -> str:
    """The parameter of this name, or the only one of a term by it: ``rho.row`` of ``rho.row|ar1(row):ar1(col)``."""
    found = [one for one in names if one.startswith(f"{name}|")]
    return found[0] if name not in names and len(found) == 1 else name


def _curve(maximum: Maximum, name: str, deviance: float, z: float) -> Curve:
    """Both sides of one parameter's profile; without knots where the data do not determine it."""
    P = len(maximum.names)
    if np.isnan(maximum.values[maximum.names.index(name)]):  # a correlation with a standard deviation of zero
        return Curve(name, np.nan, (-1.0, 1.0), np.zeros(0), np.zeros(0), np.zeros((0, P)), (True, True))
    tracer = _ByValues(maximum, maximum.question(name), deviance)
    return tracer.curve(Knot(tracer.question.estimate, 0.0, tracer.question.start, None, maximum.values), z)


class _ByValues(Tracer):
    """The others are searched by values of the deviance."""

    def __init__(self, maximum: Maximum, question: Question, deviance: float) -> None:
        super().__init__(question, deviance)
        self.maximum = maximum

    def knot(self, value: float, near: list[Knot]) -> Knot:
        """The best of the others at one value, begun where the knots nearby point to."""
        question, deviance, P = self.question, self.maximum.deviance, len(self.maximum.names)
        x, nearby = extrapolate(value, near[-3:]), near[-1].curvature
        if not self._exists(x, value):
            x = near[-1].x
            if not self._exists(x, value):
                return self.nowhere(value, x, P)
        at_zero = question.even & (np.abs(x) < 0.1 * question.radius)
        if at_zero.any():  # zero is stationary whether it is a minimum or not
            x, nearby = np.where(at_zero, question.radius, x), None
        found = self._minimum(lambda x: deviance(question.point(x, value)), x, nearby)
        if not np.isfinite(found.value):
            return self.nowhere(value, x, P)
        curvature = found.curvature if found.curvature.converged and not found.curvature.flat else None
        return self.at_minimum(
            value, found.value, found.x, curvature, deviance.parameters(question.point(found.x, value))
        )

    def _exists(self, x: np.ndarray, value: float) -> bool:
        """Whether there is a covariance matrix with these parameters."""
        return not np.isnan(self.question.point(x, value).phi).any()

    def _minimum(self, f: Callable[[np.ndarray], float], x: np.ndarray, nearby: Curvature | None) -> Minimum:
        if not x.size:
            return evaluate_only(f, x)
        with np.errstate(invalid="ignore"):  # differences of an infinite criterion
            return minimise(f, x, self.question.radius, even=self.question.even, nearby=nearby)
