r"""Small areas: the mean squared error of empirical BLUPs, the estimation of the variances included.

For y_gi = x_gi'beta + v_g + e_gi, v ~ N(0, s_v), e_gi ~ N(0, s_e / w_gi), and the area's mean m_g = x_g'beta + v_g,
with w_g the sum of the weights, D_g = s_v + s_e / w_g and gamma_g = s_v / D_g (s_v, s_e are variances here),

    MSE(m_hat_g) = g1 + g2 + 2 g3,                                                                                   (1)
    g1 = gamma_g s_e / w_g                       what the area's own data leave of v_g,
    g2 = a' var(beta_hat) a, a = x_g - gamma_g xbar_g           the estimation of beta,
    g3 = D_g (dgamma_g / d(s_v, s_e)) I^-1 (...)'               the estimation of the variances,

I the information of the variances (Prasad and Rao 1990, J. Am. Stat. Assoc. 85, 163-171; for REML Datta and Lahiri
2000, Statistica Sinica 10, 613-627). ML underestimates the variances by a bias c of order 1/J, which (1) repairs by
- c' grad g1,

    c = I^-1 h / 2,    h_j = -tr( var(beta_hat) X'V^-1 (dV/ds_j) V^-1 X ).                                           (2)

The Fay-Herriot model (1979, J. Am. Stat. Assoc. 74, 269-277) is the case of one direct estimate an area with known
variance psi_g: ``mme.fit(y, X, [mme.Term(area)], sigma=1, weights=1/psi)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.numeric.sums import level_sums
from mme.tables.arrays import numbers

if TYPE_CHECKING:
    import pandas as pd


def eblup_mse(fit: Fitted, X: Any = None) -> pd.DataFrame:
    """Estimates of small areas with the second-order mean squared error of Prasad and Rao."""
    import pandas as pd

    fit.model.require_dense("eblup_mse()")
    _check(fit)
    areas = _areas(fit)
    means = areas.means if X is None else _given(fit, X)
    gamma, D = areas.gamma, areas.D
    a = means - gamma[:, None] * areas.weighted_means
    g1, g2 = gamma * areas.s_e / areas.w, _variances(fit.estimates.half, a)
    information = _information(areas)
    inverse = np.linalg.pinv(information, hermitian=True)
    slope = np.column_stack([(1.0 - gamma) / D, -gamma / (areas.w * D)])[:, : len(information)]
    g3 = D * np.einsum("gi,ij,gj->g", slope, inverse, slope)
    mse = g1 + g2 + 2.0 * g3
    if fit.method == "ML":
        gradient = np.column_stack([(1.0 - gamma) ** 2, gamma**2 / areas.w])[:, : len(information)]
        mse = mse - gradient @ (0.5 * inverse @ _bias(areas, fit.estimates.half)[: len(information)])
    estimate = means @ fit.estimates.beta + fit.estimates.b[0][:, 0]
    term = fit.model.terms[0]
    return pd.DataFrame(
        {"estimate": estimate, "gamma": gamma, "g1": g1, "g2": g2, "g3": g3, "mse": mse},
        index=pd.Index(term.levels, name=term.group),
    )


@dataclass(frozen=True, eq=False)
class _Areas:
    """n and w (J,) records and weight of each area, means (J, p) of X, plain and weighted, and X'WX within areas."""

    n: np.ndarray
    w: np.ndarray
    means: np.ndarray
    weighted_means: np.ndarray
    within: np.ndarray
    s_v: float
    s_e: float
    known: bool

    @property
    def D(self) -> np.ndarray:
        """var of an area's weighted mean about its regression."""
        return self.s_v + self.s_e / self.w

    @property
    def gamma(self) -> np.ndarray:
        """The weight of the area's own data."""
        return self.s_v / self.D


def _areas(fit: Fitted) -> _Areas:
    model, term = fit.model, fit.model.terms[0]
    X, J = model.X[:, fit.objective.basis.kept], term.n_levels
    weights = np.ones(model.n) if model.weights is None else model.weights
    n, w = np.bincount(term.codes, minlength=J), np.bincount(term.codes, weights, minlength=J)
    plain = level_sums(term.codes, J, list(X.T), [None])[:, :, 0] / n[:, None]
    weighted = level_sums(term.codes, J, list(X.T), [weights])[:, :, 0] / w[:, None]
    centred = X - weighted[term.codes]
    within = centred.T @ (weights[:, None] * centred)
    s_v = float(fit.varcorr[term.name].cov[0, 0])
    return _Areas(n, w, plain, weighted, within, s_v, fit.sigma**2, model.sigma is not None)


def _information(areas: _Areas) -> np.ndarray:
    """tr(V^-1 V_j V^-1 V_k) / 2 for s_v and, unless it is known, s_e.

    In weighted coordinates V_g has the eigenvalue w_g D_g once and s_e otherwise.
    """
    D, w = areas.D, areas.w
    I_vv = 0.5 * float((1.0 / D**2).sum())
    if areas.known:
        return np.array([[I_vv]])
    I_ve = 0.5 * float((1.0 / (w * D**2)).sum())
    I_ee = 0.5 * float(((areas.n - 1.0) / areas.s_e**2 + 1.0 / (w * D) ** 2).sum())
    return np.array([[I_vv, I_ve], [I_ve, I_ee]])


def _bias(areas: _Areas, half: np.ndarray) -> np.ndarray:
    """h of (2)."""
    D, w = areas.D, areas.w
    between = _variances(half, areas.weighted_means) / D**2
    within = float(np.vdot(half, half @ areas.within)) / areas.s_e**2
    return -np.array([between.sum(), within + (between / w).sum()])


def _variances(half: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Variances (m,) of rows (m, p) of beta, with cov(beta) = half'half: sums of squares, far from zero too."""
    return np.asarray(((rows @ half.T) ** 2).sum(axis=1))


def _check(fit: Fitted) -> None:
    terms = fit.model.terms
    found = ", ".join(f"({' + '.join(term.columns)} | {term.group})" for term in terms) or "no random term"
    plain = len(terms) == 1 and terms[0].q == 1 and terms[0].relationship is None
    if not plain or (terms[0].covariates is not None and not (terms[0].covariates == 1.0).all()):
        raise MMEError(f"eblup_mse is made for one random intercept with independent levels; this fit has {found}")
    if fit.model.residual is not None:
        raise MMEError("eblup_mse is made for residuals without a structure; give known variances as weights")


def _given(fit: Fitted, X: Any) -> np.ndarray:
    term, names = fit.model.terms[0], fit.model.x_names
    if hasattr(X, "reindex") and hasattr(X, "columns"):
        missing = [level for level in term.levels.tolist() if level not in X.index]
        absent = [name for name in fit.fixed_names if name not in X.columns]
        if missing or absent:
            lacking = [*map(repr, missing[:5]), *map(repr, absent)]
            raise MMEError(
                f"X has no row or column {', '.join(lacking)}: it needs a row a level of '{term.group}' and "
                f"the columns {', '.join(fit.fixed_names)}"
            )
        X = X.reindex(index=term.levels, columns=list(fit.fixed_names))
    values = numbers(X, "X")
    if values.shape == (term.n_levels, len(names)):
        values = values[:, fit.objective.basis.kept] if len(names) > len(fit.fixed_names) else values
    if values.shape != (term.n_levels, len(fit.fixed_names)) or not np.isfinite(values).all():
        raise MMEError(
            f"X must be finite, {term.n_levels} levels of '{term.group}' x {len(names)} columns ({', '.join(names)}); "
            f"got {values.shape}"
        )
    return values
