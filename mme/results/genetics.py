"""Heritabilities, genetic correlations and reliabilities from a fit's plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mme.engine.objective import Objective
from mme.errors import warn
from mme.fitted.common import require_records
from mme.fitted.local import Local
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.numeric.delta import jacobian, parameter_covariance
from mme.numeric.limits import limits
from mme.results.share_of_term import ShareOfTerm, ratio_labels, term_of

if TYPE_CHECKING:
    import pandas as pd


# Operations a record to whiten and assemble anew, as every residual parameter asks for.
_ASSEMBLY = 1e4


@dataclass(frozen=True, eq=False)
class Ratios:
    """Shares of one term in the variance of the records, then correlations of its coefficients; se NaN: unknown."""

    labels: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray


def heritabilities(fit: Fitted, around: Local | None, name: str) -> Ratios:
    """Shares of a term in the variance of the records, and correlations of its coefficients.

    For a coefficient c, averaged over the records whose covariate z_c is not zero,

        h2_c = mean(z_c^2) G_cc / ( sum_t mean(z_t'G_t z_t) + sigma^2 mean(R_ii) ),

    of the base population: inbreeding is not counted. Where each coefficient has levels of its own, z_t'G_t z_t takes
    the relationship k between them with it, K scaled to K_gg = 1: s2_a + 2 k s_am + s2_m for direct and maternal
    effects, with k = 1/2 for an animal of unrelated parents and its dam (Willham 1963, Biometrics 19:18-27).

    Standard errors are those of the delta method on (theta, phi), whose covariance is twice the inverse Hessian of the
    criterion; sigma cancels. They are NaN without one (``around`` is None), where nothing that was estimated moves the
    share (theta was given), and where a variance of zero makes the first derivatives vanish: the method says nothing
    there. All is NaN where the data do not determine the variances of the term.
    """
    model, estimates = fit.model, fit.estimates
    t = term_of(model, name)
    if fit.optimum.undetermined and model.split(fit.optimum.open[: model.k])[t].any():
        unknown = np.full(len(ratio_labels(model, t)), np.nan)
        return Ratios(ratio_labels(model, t), unknown, unknown)
    inside = estimates.in_axes.objective.inside if around is None else around.inside
    share = ShareOfTerm.of(model, name, inside=inside)

    def ratios(parameters: np.ndarray) -> np.ndarray:
        theta, phi = np.split(parameters, [model.k])
        return share(theta, _residual_variances(model, phi))

    theta = estimates.in_axes.theta if inside else estimates.theta
    at = np.concatenate([theta, estimates.objective.phi]) if around is None else around.parameters
    estimate = ratios(at)
    if around is None:
        return Ratios(share.labels, estimate, np.full(estimate.size, np.nan))
    cov = parameter_covariance(around.hessian)
    slopes = jacobian(ratios, at, np.sqrt(np.diag(cov)))
    se = np.sqrt(np.einsum("ij,jk,ik->i", slopes, cov, slopes))
    moved = slopes[:, np.isfinite(np.diag(around.hessian))].any(axis=1)
    return Ratios(share.labels, estimate, np.where(moved, se, np.nan))


def _residual_variances(model: Model, phi: np.ndarray) -> np.ndarray:
    """R_ii / w_i (n,), sigma apart."""
    residual = np.ones(model.n) if model.weights is None else 1.0 / model.weights
    return residual if model.residual is None else residual * np.exp(2.0 * model.residual.log_sd(phi))


def heritability_table(fit: Fitted, name: str) -> pd.DataFrame:
    """The :func:`heritabilities` of a term as a table: ``estimate, se``."""
    import pandas as pd

    require_records(fit, "heritability()")
    found = heritabilities(fit, fit.local, name)
    if np.isnan(found.estimate).all() and fit.optimum.undetermined:
        said = "; ".join(fit.optimum.undetermined)
        warn(f"no heritability of {name}: {said}")
    return pd.DataFrame({"estimate": found.estimate, "se": found.se}, index=pd.Index(found.labels, name=name))


def is_quick(objective: Objective) -> bool:
    """Whether the Hessian of the criterion takes about a second at most, by its operations: k (k + 1) evaluations."""
    k = objective.model.k + objective.phi.size
    return k * (k + 1) * evaluation_operations(objective) <= limits().summary_operations


def evaluation_operations(objective: Objective) -> float:
    """Operations of one evaluation, the assembly that a residual parameter asks for among them."""
    return objective.flops + (_ASSEMBLY * objective.model.n if objective.phi.size else 0.0)


def prior_variances(model: Model, theta: np.ndarray, sigma: float) -> list[np.ndarray]:
    """var(b_g) = K_gg G of every level and coefficient (J, q) of each term."""
    found = []
    for t, (term, T) in enumerate(zip(model.terms, model.T(theta), strict=True)):
        related = model.relationship(t, theta)
        K = np.ones(term.n_levels) if related is None else np.asarray(related.diagonal)
        found.append(np.outer(K, sigma**2 * np.diag(T @ T.T)))
    return found


def reliabilities(model: Model, theta: np.ndarray, sigma: float, effects_pev: list[np.ndarray]) -> list[np.ndarray]:
    """1 - PEV / var(b) of every level and coefficient (J, q) of each term; var(b_g) = K_gg G, K_gg = 1 + F_g.

    NaN where the groups of an animal are known so little that the PEV, which includes them, exceeds var(b).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        priors = prior_variances(model, theta, sigma)
        found = [1.0 - np.einsum("gii->gi", pev) / prior for pev, prior in zip(effects_pev, priors, strict=True)]
    for one in model.unknown_parents:
        found[one.term][found[one.term] < 0.0] = np.nan
    return found
