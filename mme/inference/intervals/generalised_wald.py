r"""Wald intervals of generalised fits, and standard errors of their variances: the delta method.

With C = 2 H^-1 of the parameters psi of the search, H the Hessian of the criterion, natural parameters v(psi) (standard
deviations, correlations, those of the family) have the covariance J C J', J = dv/dpsi. Their intervals are taken where
they have no bounds (:func:`mme.numeric.delta.unbounded`): of log sd, log((1 + r) / (1 - r)), log dispersion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mme.fitted.generalised import GeneralisedFitted
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.reference import Reference
from mme.inference.intervals.generalised_held import GeneralisedMaximum
from mme.numeric.delta import bounded, jacobian, unbounded

if TYPE_CHECKING:
    import pandas as pd

# A parameter this near to its bound, as a share of the size of its range, is at it.
_AT_BOUND = 1e-9


@dataclass(frozen=True, eq=False)
class NaturalErrors:
    """Natural parameters before the fixed effects: standard deviations, correlations, those of the family.

    Attributes
    ----------
    names : tuple of str
        As :func:`mme.fitted.natural.generalised_names` has them.
    values, se : (m,) arrays
        Estimates and their standard errors: NaN at a bound (a standard deviation of zero), where there is none, and
        where the Hessian is not positive definite.
    lower_bound, upper_bound : (m,) arrays
        What values they can take.
    unbounded_se : (m,) array
        Standard errors on the scale without bounds.
    """

    names: tuple[str, ...]
    values: np.ndarray
    se: np.ndarray
    lower_bound: np.ndarray
    upper_bound: np.ndarray
    unbounded_se: np.ndarray

    def limits(self, z: float) -> np.ndarray:
        """Limits (m, 2) this many standard errors away, on the scale without bounds."""
        low, high = self.lower_bound, self.upper_bound
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = unbounded(self.values, low, high)
        ends = middle[:, None] + self.unbounded_se[:, None] * np.array([-z, z])
        return np.asarray(bounded(ends, low[:, None], high[:, None]))


def natural_errors(fit: GeneralisedFitted) -> NaturalErrors:
    """Standard errors of theta and of the family's parameters, in their natural units."""
    maximum = GeneralisedMaximum.of(fit)
    m = len(maximum.names) - len(fit.fixed_names)
    low, high = (np.array(ends) for ends in zip(*maximum.bounds, strict=True))
    values = maximum.values(maximum.psi)[:m]
    span = np.where(np.isfinite(high - low), high - low, 1.0)
    with np.errstate(invalid="ignore"):
        at_bound = ~((values - low > _AT_BOUND * span) & (high - values > _AT_BOUND * span))

    def error(f: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.where(at_bound, np.nan, _error(maximum, lambda psi: f(maximum.values(psi)[:m])))

    with np.errstate(divide="ignore", invalid="ignore"):
        return NaturalErrors(
            maximum.names[:m], values, error(lambda v: v), low, high, error(lambda v: unbounded(v, low, high))
        )


def _error(maximum: GeneralisedMaximum, f: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Standard errors of f(psi)."""
    cov, free = maximum.fit.estimates.parameter_cov, np.flatnonzero(maximum.fit.searched.free)
    if cov is None:
        return np.full(f(maximum.psi).size, np.nan)

    def of_free(x: np.ndarray) -> np.ndarray:
        psi = maximum.psi.copy()
        psi[free] = x
        return f(psi)

    J = jacobian(of_free, maximum.psi[free], np.sqrt(cov.diagonal()))
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", J, cov, J)))


def generalised_wald(fit: GeneralisedFitted, to: Reference, level: float) -> pd.DataFrame:
    """``lower, upper`` of all parameters, in the order of a profile; NaN for those at their bound."""
    import pandas as pd

    z, found = float(t_quantile(level, np.array(np.inf))), natural_errors(fit)
    half = z * to.se(np.eye(to.beta.size))
    limits = np.vstack([found.limits(z), np.column_stack([to.beta - half, to.beta + half])])
    return pd.DataFrame(limits, index=[*found.names, *fit.fixed_names], columns=["lower", "upper"])
