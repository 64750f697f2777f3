r"""Marginal means of ordered categories: the probability of each, at the eta of a mean.

P_j = F(tau_j - eta) - F(tau_{j-1} - eta) moves with beta and with the thresholds, and with theta where it is integrated
over b; standard errors are by the delta method from the covariance of all of them, a sandwich where that is wanted, and
limits are those of the logit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtri

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.marginal import MeanOfEta, marginal_means
from mme.inference.fixed.generalised_means import prior_variance_of, random_rows
from mme.inference.fixed.generalised_robust import Sandwich
from mme.inference.fixed.means import Means
from mme.inference.fixed.reference import Reference
from mme.numeric.delta import jacobian
from mme.results.mean_of_eta import means_of
from mme.tables.arguments import check_level

if TYPE_CHECKING:
    import pandas as pd


def category_means_table(
    fit: GeneralisedFitted, means: Means, to: Reference, average: bool, level: float, *, plain: bool
) -> pd.DataFrame:
    """``mean, se, lower, upper`` by combination of levels and category; NaN where the data do not determine it.

    Raises
    ------
    MMEError
        The covariance of the parameters is not known, or more is wanted than such a table has (``plain`` is false).
    """
    import pandas as pd

    check_level(level)
    if not plain:
        raise MMEError("a table of probabilities of categories has no letters, and se='hessian'")
    Sigma = to.joint.T @ to.joint if isinstance(to, Sandwich) else fit.estimates.joint_cov
    if Sigma is None or not fit.searched.free[fit.model.k :].all():
        raise MMEError("probabilities of categories need the covariance of all parameters, which this fit has not")
    tables = {}
    for label, mean in means_of(fit).items():
        P, J = _probabilities(fit, means, mean, average)
        se = np.sqrt(np.einsum("ij,jk,ik->i", J, Sigma, J))
        with np.errstate(divide="ignore", invalid="ignore"):
            half = -float(ndtri((1.0 - level) / 2.0)) * se / (P * (1.0 - P))
            ends = expit(logit(P) - half), expit(logit(P) + half)
        tables[label] = pd.DataFrame({"mean": P, "se": se, "lower": ends[0], "upper": ends[1]}, index=means.index)
    table = pd.concat(tables, names=["category"])
    order = [*range(1, table.index.nlevels), 0]
    return table.reorder_levels(order).iloc[np.arange(len(table)).reshape(len(tables), -1).T.ravel()]


def _probabilities(
    fit: GeneralisedFitted, means: Means, mean: MeanOfEta, average: bool
) -> tuple[np.ndarray, np.ndarray]:
    """P (m,) of one category and its slopes (m, parameters) by the free parameters."""
    estimates, model, theta = fit.estimates, fit.model, fit.searched.at.at.theta
    L, tau, k = means.L[:, fit.basis.kept], fit.estimates.tau, fit.model.k
    eta = L @ estimates.beta + means.offset
    eta[~fit.aliasing.estimable(means.L)] = np.nan
    rows = random_rows(fit, L)

    def variance(inner: np.ndarray) -> np.ndarray:
        apart = [term.by_column for term in model.terms]
        return prior_variance_of(model.T(model.coordinates.outer(inner)), rows, apart)

    spread = variance(theta) if average else np.zeros(eta.size)
    found = marginal_means(mean, eta, spread, tau)
    by_variance = jacobian(variance, theta, np.ones(k)) if average else np.zeros((eta.size, k))
    by_theta = (found.by_variance[:, None] * by_variance)[:, fit.searched.free[:k]]
    by_gamma = found.by_eta[:, None] * (L @ estimates.problem.beta_of_gamma)
    by_tau = jacobian(lambda x: marginal_means(mean, eta, spread, x).mean, tau, np.ones(tau.size))
    return found.mean, np.hstack([by_theta, by_gamma, by_tau])
