r"""Kenward and Roger's method where V is not linear in its parameters, as with most residual structures.

With W the covariance of the estimated variances, in the coordinates of :mod:`mme.derivatives.adjusted`,

    Phi_A = Phi + 2 Phi { sum_ij W_ij (Q_ij - P_i Phi P_j - R_ij / 4) } Phi,    R_ij = X'V^-1 V_ij V^-1 X         (1)

(Kenward and Roger 1997, Biometrics 53:983-997, equation 5), t and F as in ``kenward_roger.py``. P, Q and W change as
tensors do when variances are written in other parameters; the last term does not. It is taken in those of SAS: sigma^2
and the correlations or ranges of the residuals, variances in place of standard deviations. Where R is linear in its
covariances it is zero (unstructured, Toeplitz, compound symmetry, variances by stratum), and so it is of random terms
whose covariances are linear; of others it is by variances, correlations, loadings and ranges. Without it the method is
called linear, or of first order.

W is the observed information's inverse, sigma^2 with it, as in SAS and mmrm. A component at zero contributes nothing,
nor does one that is held.
"""

from __future__ import annotations

import numpy as np

from mme.derivatives.adjusted import Adjusted, adjusted, curvature_of_residuals
from mme.derivatives.estimated import Estimated
from mme.derivatives.natural_terms import curvature_of_terms
from mme.engine.pls import half_covariance
from mme.errors import MMEError, warn
from mme.fitted.record import Fitted
from mme.inference.fixed.kenward_roger import KenwardRoger, require_reml
from mme.inference.fixed.satterthwaite import Satterthwaite, satterthwaite
from mme.solution.estimates import Estimates

# A change of X'V^-1 X along a direction that the data leave open that is more than rounding.
_SLOPE = 1e-5
# Coordinates of a process at which it is at its end but for 1e-5, and its inverse has digits yet.
_DIGITS = 7.0


def of_residuals(fit: Fitted) -> KenwardRoger:
    """The tests of a fit with a residual structure, the last term of (1) with it.

    Raises
    ------
    MMEError
        The fit is by ML, or V has no derivatives in closed form.
    """
    structure = fit.model.residual
    return _tests(fit, curved=structure is not None and not structure.is_linear, terms=_not_linear(fit))


def is_linear(fit: Fitted) -> bool:
    """Whether the covariances of the random terms are linear in their parameters."""
    return not _not_linear(fit)


def _not_linear(fit: Fitted) -> list[int]:
    pairs = zip(fit.model.structures, fit.model.split(fit.theta), strict=True)
    return [t for t, (part, theta) in enumerate(pairs) if part.directions(theta, np.eye(part.q)) is None]


def without_curvature(fit: Fitted) -> KenwardRoger:
    """The tests without the last term of (1): whatever the parameters, and the structures of random terms."""
    return _tests(fit, curved=False, terms=[])


def _tests(fit: Fitted, *, curved: bool, terms: list[int]) -> KenwardRoger:
    fit.model.require_dense("Kenward and Roger's method")
    require_reml(fit)
    fit.objective.plan.require_factor("Kenward and Roger's method")
    origin = fit.estimates.in_axes
    of = adjusted(origin) or adjusted(_with_digits(fit))
    if of is None:
        raise MMEError(
            "Kenward and Roger's method needs derivatives of V that this model has not in closed form, or not within "
            "memory; use ddf='satterthwaite'"
        )
    W = _covariance(fit.determined.once(satterthwaite), of, Estimated(origin, np.isfinite(fit.optimum.gradient)))
    k, p = of.P.shape[:2]
    U = np.einsum("ij,ijab->ab", W[:k, :k], of.D)
    if curved:
        at = np.arange(fit.theta.size, len(W))
        U = U - 0.25 * curvature_of_residuals(of, W[np.ix_(at, at)])
    if terms:
        U = U - 0.25 * curvature_of_terms(of, W, terms)
    P = of.P if len(W) == k else np.concatenate([of.P, -np.eye(p)[None]])
    half = half_covariance(of.score.uncertainty.estimates.at.border, origin.objective.basis.R_inverse)
    return KenwardRoger(fit.estimates.beta, fit.sigma * half, np.eye(p) + U + U.T, P, W)


def _with_digits(fit: Fitted) -> Estimates:
    """The estimates with processes at their ends so far from these that K^-1 has digits: 1e-5 of the limit."""
    names, theta = fit.model.theta_names, fit.theta.copy()
    at = [names.index(name) for name in fit.optimum.ended if name in names]
    theta[at] = np.clip(theta[at], -_DIGITS, _DIGITS)
    return Estimates(fit.objective, theta).in_axes


def _covariance(to: Satterthwaite, of: Adjusted, estimated: Estimated) -> np.ndarray:
    """W of (theta, phi, log sigma^2), the last only where it is estimated; NaN where the data do not determine it.

    Given theta and phi log sigma^2 has variance 2 / n_eff about log y'Py, which they move.
    """
    J = np.eye(len(of.P))[:, estimated.entries]
    P = of.P
    if estimated.sigma_too:
        held = estimated.origin.objective.model.held
        assert held is not None
        theta = np.where(held.in_units, estimated.origin.theta, 0.0)
        along = np.concatenate([-theta, np.zeros(len(J) - theta.size)])
        J = np.block([[J, along[:, None]], [np.zeros(J.shape[1]), 2.0]])
        P = np.concatenate([P, -np.eye(P.shape[1])[None]])
    elif to.share:
        J = np.vstack([J, of.log_pwrss[estimated.entries]])
        P = np.concatenate([P, np.zeros_like(P[:1])])
    W = J @ to.A @ J.T
    if to.share:
        W[-1, -1] += 2.0 * to.share
    if to.flat.size and (np.abs(np.tensordot((J @ to.flat).T, P, 1)) > _SLOPE).any():
        warn(
            "Kenward and Roger's tests are not determined: the data do not tell the variances apart; they are NaN. "
            "Simplify the random part or the residual structure"
        )
        W[:] = np.nan
    return W
