r"""Covariances of beta of a generalised fit that hold whatever else is correlated within clusters: the sandwich.

With psi = (theta, gamma, tau), F = sum_c F_c the criterion on the scale of -2 log L and H its Hessian,

    cov(psi_hat) = H^-1 { sum_c (dF_c/dpsi)(dF_c/dpsi)' } H^-1                                                   (S)

    CR0   as it is          CR1   times m / (m - 1),  m clusters

(Liang and Zeger 1986, Biometrika 73:13; White 1982, Econometrica 50:1). All parameters are estimated together, so that
what theta leaves uncertain is in the covariance of beta. CR2 and CR3 are corrections by the covariance of normal
records given X, which a likelihood that is integrated over b has not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.scores import gradients_by_cluster
from mme.inference.fixed.reference import Normal
from mme.solution.marginal import require_independent
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

KINDS = ("CR0", "CR1")


@dataclass(frozen=True, eq=False)
class Sandwich(Normal):
    """The normal distribution with (S); ``joint`` (r, m) is F with F'F the covariance of all m free parameters."""

    joint: np.ndarray


def robust_reference(fit: GeneralisedFitted, kind: str, cluster: np.ndarray, title: str) -> Sandwich:
    """The normal distribution with (S), clusters by codes (n,).

    Raises
    ------
    MMEError
        The kind is not known, clusters are few or not independent in the model, or (S) is not defined for this fit.
    """
    if not is_word(kind, KINDS):
        raise MMEError(
            f"robust must be 'CR0' or 'CR1', got {shown(kind)}: 'CR1S', 'CR2' and 'CR3' are corrections for normal "
            "records"
        )
    estimates, at = fit.estimates, fit.searched.at
    P = require_scores(fit)
    require_independent(fit.model, cluster, title)
    m = int(cluster.max()) + 1
    if m < 2:
        raise MMEError(f"robust='{kind}' needs two clusters or more, and {title} has one")
    factor = m / (m - 1.0) if kind == "CR1" else 1.0
    k, p = at.at.theta.size, at.at.gamma.size
    free = np.flatnonzero(fit.searched.free)
    of_gamma = (free >= k) & (free < k + p)
    moves = np.sqrt(factor) * -0.5 * gradients_by_cluster(at, cluster)[:, free] @ P
    joint = np.asarray(np.linalg.qr(moves, mode="r"))
    return Sandwich(estimates.beta, joint[:, of_gamma] @ estimates.problem.beta_of_gamma.T, joint)


def require_scores(fit: GeneralisedFitted) -> np.ndarray:
    """2 H^-1 of the parameters that are free.

    Raises
    ------
    MMEError
        The fit has no scores of clusters, or no such Hessian.
    """
    if fit.searched.criterion.points == 0:
        raise MMEError("robust= takes the scores of all parameters, and beta has none in n_agq=0: fit with n_agq=1")
    found = fit.estimates.joint_cov
    if found is None or fit.optimum.bound or not fit.optimum.converged or fit.searched.given:
        raise MMEError(
            "robust= needs a maximum of the likelihood inside its range, by all parameters, with a Hessian that is "
            f"positive definite there; the search ended with '{fit.optimum}'"
        )
    return found
