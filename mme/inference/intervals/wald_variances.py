"""Wald intervals of standard deviations and correlations, and parameters on the scale of variances."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mme.fitted.natural import natural_names, natural_values, parameter_bounds
from mme.fitted.record import Fitted
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.intervals.curves import Curve, Profile
from mme.inference.intervals.wald import within_bounds
from mme.numeric.delta import bounded, unbounded
from mme.results.components import accuracy

if TYPE_CHECKING:
    import pandas as pd


def variance_limits(fit: Fitted, level: float) -> pd.DataFrame:
    """``lower, upper`` of the natural parameters of the random effects and of sigma, by the names of a profile.

    By standard errors from the observed information, on the scale without bounds: the logarithm of a standard
    deviation, Fisher's z of a correlation. NaN where a variance of zero leaves the method nothing to say.
    """
    import pandas as pd

    names, z = natural_names(fit.model), float(t_quantile(level, np.array(np.inf)))
    low, high = np.array(parameter_bounds(fit.model)).reshape(-1, 2).T

    def scaled(theta: np.ndarray, phi: np.ndarray, sigma: float) -> np.ndarray:
        return unbounded(natural_values(fit.model, theta, sigma), low, high)

    with np.errstate(invalid="ignore", divide="ignore"):
        half = z * fit.once(accuracy).standard_errors(scaled)
        middle = scaled(fit.theta, fit.optimum.phi, fit.sigma)
        limits = np.column_stack([bounded(middle - half, low, high), bounded(middle + half, low, high)])
    return within_bounds(fit, pd.DataFrame(limits, index=list(names), columns=["lower", "upper"]))


def variance_name(name: str) -> str:
    """What a standard deviation squared is called: ``var_x|g``, ``sigma2``; other names as they are.

    Examples
    --------
    >>> [variance_name(name) for name in ("sd_x|g", "sigma", "cor_x.(Intercept)|g", "x")]
    ['var_x|g', 'sigma2', 'cor_x.(Intercept)|g', 'x']
    """
    if name.startswith(("sd_", "sd|")):
        return f"var{name[2:]}"
    return "sigma2" if name == "sigma" else name


def squared(table: pd.DataFrame) -> pd.DataFrame:
    """Limits of standard deviations as those of variances."""
    names = [str(name) for name in table.index]
    is_sd = np.array([variance_name(name) != name for name in names], dtype=bool)
    values = np.where(is_sd[:, None], table.to_numpy() ** 2, table.to_numpy())
    return type(table)(values, index=list(map(variance_name, names)), columns=table.columns)


def of_variances(profile: Profile) -> Profile:
    """The profile by variances in place of standard deviations: zeta is the same at their squares."""
    is_sd = np.array([variance_name(name) != name for name in profile.names], dtype=bool)

    def square(values: np.ndarray) -> np.ndarray:
        return np.where(is_sd, values**2, values)

    curves = {variance_name(name): _of_variance(curve, square) for name, curve in profile.curves.items()}
    names = tuple(map(variance_name, profile.names))
    return replace(profile, curves=curves, names=names, estimates=square(profile.estimates))


def _of_variance(curve: Curve, square: object) -> Curve:
    parameters = square(curve.parameters) if callable(square) else curve.parameters
    name = variance_name(curve.name)
    if name == curve.name:
        return replace(curve, parameters=parameters)
    bounds = curve.bounds[0] ** 2, curve.bounds[1] ** 2
    return replace(
        curve, name=name, estimate=curve.estimate**2, bounds=bounds, values=curve.values**2, parameters=parameters
    )
