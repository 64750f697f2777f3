"""Wald intervals of generalised fits: of their variances where these have no bounds, and of the fixed effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mme.fitted.generalised import GeneralisedFitted
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.reference import Reference
from mme.inference.intervals.generalised_held import GeneralisedMaximum
from mme.results.generalised_variances import bounded_errors, limits

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class NaturalErrors:
    """Natural parameters before the fixed effects: standard deviations, correlations, those of the family.

    Attributes
    ----------
    names : tuple of str
        As :func:`mme.fitted.natural.generalised_names` has them.
    values, se : (m,) arrays
        Estimates and their standard errors: NaN at a bound (a standard deviation of zero), and where the Hessian is
        not positive definite.
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


def natural_errors(fit: GeneralisedFitted) -> NaturalErrors:
    """Standard errors of theta and of the family's parameters, in their natural units."""
    maximum = GeneralisedMaximum.of(fit)
    m = len(maximum.names) - len(fit.fixed_names)
    low, high = np.array(maximum.bounds).reshape(m, 2).T
    values, se, scaled = bounded_errors(fit, lambda psi: maximum.values(psi)[:m], low, high)
    return NaturalErrors(maximum.names[:m], values, se, low, high, scaled)


def generalised_wald(fit: GeneralisedFitted, to: Reference, level: float) -> pd.DataFrame:
    """``lower, upper`` of all parameters, in the order of a profile; NaN for those at their bound."""
    import pandas as pd

    z, found = float(t_quantile(level, np.array(np.inf))), natural_errors(fit)
    half = z * to.se(np.eye(to.beta.size))
    ends = limits(found.values, found.unbounded_se, found.lower_bound, found.upper_bound, z)
    table = np.vstack([np.column_stack(ends), np.column_stack([to.beta - half, to.beta + half])])
    return pd.DataFrame(table, index=[*found.names, *fit.fixed_names], columns=["lower", "upper"])
