r"""Marginal means of generalised models and their pairs, on the scale of the link or of the response.

A mean is eta = l'beta + offset, as of a linear model (:mod:`mme.inference.fixed.means`), averaged on the scale of the
link. On that of the response it is mu(eta), with the standard error |dmu/deta| se(eta) and the interval of eta through
mu. Pairs are differences of two eta; on the scale of the response their exponentials, where these are ratios, and
differences of the two mu elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mme.fitted.generalised import GeneralisedFitted
from mme.inference.fixed.means import Means
from mme.inference.fixed.pairs import adjusted, check_adjustment, critical_values, pairs_of
from mme.inference.fixed.reference import Reference, two_sided
from mme.inference.fixed.z_tables import ratio_name, with_limits
from mme.tables.arguments import check_level

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Predictors:
    """Eta (m,) that stand for means, and F (k, m) with cov(eta) = F'F; NaN where the data do not determine them."""

    eta: np.ndarray
    half: np.ndarray

    @property
    def se(self) -> np.ndarray:
        """Standard errors (m,)."""
        return np.asarray(np.linalg.norm(self.half, axis=0))


def predictors(fit: GeneralisedFitted, means: Means, to: Reference) -> Predictors:
    """Eta of the means with random effects of zero."""
    L = means.L[:, fit.basis.kept]
    eta, half = L @ to.beta + means.offset, to.half @ L.T
    unknown = ~fit.aliasing.estimable(means.L)
    eta[unknown], half[:, unknown] = np.nan, np.nan
    return Predictors(eta, half)


def generalised_means_table(
    fit: GeneralisedFitted, means: Means, at: Predictors, response: bool, level: float
) -> pd.DataFrame:
    """``mean, se, lower, upper``, one row a combination of levels; NaN where the data do not determine it."""
    import pandas as pd

    check_level(level)
    half = -float(ndtri((1.0 - level) / 2.0)) * at.se
    mean, se, ends = at.eta, at.se, np.array([at.eta - half, at.eta + half])
    if response:
        family, tau = fit.family, fit.estimates.tau
        mean, se = family.mean(at.eta, tau), np.abs(family.mean_slope(at.eta, tau)) * at.se
        ends = np.sort([family.mean(end, tau) for end in ends], axis=0)  # some means fall with eta
    return pd.DataFrame({"mean": mean, "se": se, "lower": ends[0], "upper": ends[1]}, index=means.index)


def generalised_pairs_table(
    fit: GeneralisedFitted, means: Means, at: Predictors, response: bool, adjust: str, level: float
) -> pd.DataFrame:
    """``estimate, se, z, p, lower, upper`` of all differences of two means at the same levels of the by factors.

    P-values and limits are adjusted alike for the differences of a family, as in
    :func:`mme.inference.fixed.pairs.pairs_table`. On the scale of the response the estimate is a ratio, and called so,
    where the link has one.
    """
    import pandas as pd

    check_adjustment(adjust)
    check_level(level)
    pairs, ratio = pairs_of(means), ratio_name(fit.family) if response else None
    value, half = at.eta, at.half
    if response and ratio is None:
        value, half = fit.family.mean(value, fit.estimates.tau), half * fit.family.mean_slope(value, fit.estimates.tau)
    estimate = value[pairs.first] - value[pairs.second]
    se = np.linalg.norm(half[:, pairs.first] - half[:, pairs.second], axis=0)
    df = np.full(se.size, np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = estimate / se
    p = adjusted(pairs, z, df, two_sided(z, df), adjust)
    table = pd.DataFrame({"estimate": estimate, "se": se, "df": df, "t": z, "p": p}, index=pairs.index)
    return with_limits(table, critical_values(pairs, ~np.isnan(se), level, adjust), ratio)
