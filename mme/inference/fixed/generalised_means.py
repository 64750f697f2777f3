r"""Marginal means of generalised models and their pairs, on the scale of the link or of the response.

A mean is eta = l'beta + offset, as of a linear model (:mod:`mme.inference.fixed.means`), averaged on the scale of the
link. On that of the response it is mu(eta), with the standard error |dmu/deta| se(eta) and the interval of eta through
mu. Pairs are differences of two eta; on the scale of the response their exponentials, where these are ratios, and
differences of the two mu elsewhere.

Random effects are zero, or averaged over: then m = E mu(eta + z'b), b ~ N(0, G), and the eta that stands for it in all
this is that with mu(eta) = m. z is the average of the rows of Z that l is of those of X: where Z = X A it is A'l, and
columns of Z that X does not hold are at their means over the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri

from mme.errors import MMEError
from mme.family.base import Family
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.estimates import half_of
from mme.generalised.marginal import marginal_means
from mme.generalised.monotone import between, eta_of
from mme.inference.fixed.adjustments import adjusted, adjustment_of, critical_values
from mme.inference.fixed.comparisons import Comparisons, is_pairwise
from mme.inference.fixed.generalised_robust import Sandwich
from mme.inference.fixed.means import Means
from mme.inference.fixed.reference import Reference, two_sided
from mme.inference.fixed.separated import Separated
from mme.inference.fixed.z_tables import ratio_name, with_limits
from mme.numeric.delta import jacobian
from mme.results.letters import ComparedMeans
from mme.tables.arguments import check_level, is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


# What X leaves of a column of Z that it holds, as a share of it.
_HELD = 1e-8


@dataclass(frozen=True, eq=False)
class Predictors:
    """Eta (m,) that stand for means, and F (k, m) with cov(eta) = F'F; NaN where the data do not determine them.

    ``grows`` (d, m) is how they move along directions in which the likelihood rises without end.
    """

    eta: np.ndarray
    half: np.ndarray
    grows: np.ndarray

    @property
    def se(self) -> np.ndarray:
        """Standard errors (m,): infinite without a limit."""
        return np.where(self.grows.any(axis=0), np.inf, np.linalg.norm(self.half, axis=0))

    def combined(self, C: sp.csr_array) -> Predictors:
        """Of contrasts (k, m) among them."""
        grows = (C @ self.grows.T).T
        size = (abs(C) @ np.abs(self.grows.T)).T
        grows = np.where(np.abs(grows) > _HELD * size, grows, 0.0)
        return Predictors(C @ self.eta, np.asarray((C @ self.half.T).T), np.asarray(grows))


def predictors(fit: GeneralisedFitted, means: Means, to: Reference, random: object, *, with_theta: bool) -> Predictors:
    """Eta of the means, with random effects of zero or averaged over them.

    Raises
    ------
    MMEError
        ``random`` is neither False nor ``"average"``, or the average does not exist.
    """
    average = averages_over_b(random)
    at = _without_random_effects(fit, means, to)
    if not average:
        return at
    if isinstance(to, Sandwich):
        return _averaged(fit, means, at, to.joint)
    joint = fit.estimates.joint_cov if with_theta else None
    return _averaged(fit, means, at, None if joint is None else half_of(joint))


def averages_over_b(random: object) -> bool:
    """Whether means are averaged over random effects, by what a user says of these.

    Raises
    ------
    MMEError
        It is neither False nor ``"average"``.
    """
    if random is not False and not is_word(random, ("average",)):
        raise MMEError(f"random must be False (random effects of zero) or 'average' (over them), got {shown(random)}")
    return random is not False


def _without_random_effects(fit: GeneralisedFitted, means: Means, to: Reference) -> Predictors:
    """Eta at random effects of zero."""
    L = means.L[:, fit.basis.kept]
    eta, half = L @ to.beta + means.offset, to.half @ L.T
    unknown = ~fit.aliasing.estimable(means.L)
    eta[unknown], half[:, unknown] = np.nan, np.nan
    grows = to.along(L).T if isinstance(to, Separated) else np.zeros((0, len(L)))
    return Predictors(eta, half, np.where(unknown, 0.0, grows))


def _check_mean(family: Family, tau: np.ndarray) -> None:
    """Refuse families whose mean is no function of eta alone: eta has no standard error of it.

    Raises
    ------
    MMEError
        The mean moves with the family's own parameters.
    """
    eta = np.ones(1)  # where every link has a mean
    if tau.size and not np.array_equal(family.mean(eta, tau), family.mean(eta, tau + 0.5)):
        raise MMEError(
            f"the mean of the {family.name} family depends on parameters of its own beside eta: its means are on the "
            "scale of the link, with random effects of zero"
        )


def _averaged(fit: GeneralisedFitted, means: Means, at: Predictors, F: np.ndarray | None) -> Predictors:
    """Eta that stand for the means of levels drawn anew; F'F covers all free parameters, F None: theta is held."""
    _check_mean(fit.family, fit.estimates.tau)
    known = np.isfinite(at.eta) & ~np.isinf(at.se)  # those without a limit have no average either
    eta, L, half = at.eta[known], means.L[known][:, fit.basis.kept], at.half[:, known]
    estimates, model, theta = fit.estimates, fit.model, fit.searched.at.at.theta
    rows = random_rows(fit, L)

    def variance(inner: np.ndarray) -> np.ndarray:
        return prior_variance_of(
            model.T(model.coordinates.outer(inner)), rows, [term.by_column for term in model.terms]
        )

    found = marginal_means(fit.family, eta, variance(theta), estimates.tau)
    stands_for = eta_of(fit.family, found.mean, eta, estimates.tau)
    slope = fit.family.mean_slope(stands_for, estimates.tau)
    if F is not None:
        free = fit.searched.free
        k, p = theta.size, L.shape[1]
        by_theta = found.by_variance[:, None] * jacobian(variance, theta, np.ones(k))[:, free[:k]]
        by_gamma = found.by_eta[:, None] * (L @ estimates.problem.beta_of_gamma)
        J = np.hstack([by_theta, by_gamma, np.zeros((eta.size, int(free[k + p :].sum())))])
        half = F @ J.T
    else:
        half = half * found.by_eta
    out, of_all = at.eta.copy(), np.full((len(half), known.size), np.nan)
    out[known], of_all[:, known] = stands_for, half / slope
    return Predictors(out, of_all, at.grows)


def random_rows(fit: GeneralisedFitted, L: np.ndarray) -> list[np.ndarray]:
    """z (m, q) of every term, beside rows L of the kept columns of X."""
    found = []
    for term in fit.model.terms:
        Z = np.ones((term.n, 1)) if term.covariates is None else term.covariates
        along = fit.basis.Q.T @ Z
        left = np.linalg.norm(Z - fit.basis.Q @ along, axis=0)
        held = left <= _HELD * np.linalg.norm(Z, axis=0)
        found.append(np.where(held, L @ fit.basis.R_inverse @ along, Z.mean(axis=0)))
    return found


def prior_variance_of(T: list[np.ndarray], rows: list[np.ndarray], by_column: list[bool]) -> np.ndarray:
    """sum_t z_t'G_t z_t (m,), coefficients with levels of their own each by itself."""
    parts = [
        z**2 @ (one**2).sum(axis=1) if apart else ((z @ one) ** 2).sum(axis=1)
        for one, z, apart in zip(T, rows, by_column, strict=True)
    ]
    return np.asarray(sum(parts, np.zeros(len(rows[0]))))


def generalised_means_table(
    fit: GeneralisedFitted, means: Means, at: Predictors, response: bool, level: float
) -> pd.DataFrame:
    """``mean, se, lower, upper``, one row a combination of levels; NaN where the data do not determine it."""
    import pandas as pd

    check_level(level)
    mean, se = at.eta, at.se
    half = -float(ndtri((1.0 - level) / 2.0)) * se
    ends = np.array([at.eta - half, at.eta + half])
    if response:
        family, tau = fit.family, fit.estimates.tau
        _check_mean(family, tau)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = family.mean(at.eta, tau)
            se = np.where(np.isinf(se), np.inf, np.abs(family.mean_slope(at.eta, tau)) * se)
            ends = np.array(between(family, ends, tau))
    return pd.DataFrame({"mean": mean, "se": se, "lower": ends[0], "upper": ends[1]}, index=means.index)


def generalised_contrasts_table(
    fit: GeneralisedFitted,
    means: Means,
    comparisons: Comparisons,
    at: Predictors,
    response: bool,
    adjust: str | None,
    level: float,
) -> pd.DataFrame:
    """``estimate, se, z, p, lower, upper`` of contrasts among means at the same levels of the by factors.

    P-values and limits are adjusted alike for the contrasts of a family. On the scale of the response the estimate is a
    ratio, and called so, where the link has one.
    """
    import pandas as pd

    check_level(level)
    word, ratio = adjustment_of(comparisons, adjust), ratio_name(fit.family) if response else None
    eta = at.eta
    if response and ratio is None:
        family, tau = fit.family, fit.estimates.tau
        _check_mean(family, tau)
        at = Predictors(family.mean(at.eta, tau), at.half * family.mean_slope(at.eta, tau), at.grows)
    apart = at.combined(comparisons.C)
    estimate, se = apart.eta, apart.se
    df = np.full(se.size, np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = estimate / se
    p = adjusted(comparisons, z, df, two_sided(z, df), word, apart.half)
    table = pd.DataFrame({"estimate": estimate, "se": se, "df": df, "t": z, "p": p}, index=comparisons.index)
    width = critical_values(comparisons, df, ~np.isnan(se), level, word, apart.half)
    out = with_limits(table, width, ratio)
    if is_pairwise(comparisons):
        out.attrs["pairs"] = ComparedMeans(eta, means.levels, means.names, comparisons.pairs())
    return out
