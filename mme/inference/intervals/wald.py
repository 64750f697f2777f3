"""Wald intervals: estimate and standard error against t, or the normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.fitted.natural import residual_names
from mme.fitted.record import Fitted
from mme.inference.fixed.contrasts import coefficient_table
from mme.inference.fixed.methods import reference
from mme.inference.fixed.quantiles import t_quantile
from mme.numeric.delta import bounded, jacobian, parameter_covariance, unbounded
from mme.residual import Bound

if TYPE_CHECKING:
    import pandas as pd

# A coordinate of order one whose criterion is curved no more than this has a standard error beyond a thousand: none.
_FLAT = 1e-6


def wald_intervals(fit: Fitted, level: float, ddf: str) -> pd.DataFrame:
    """``lower, upper``: of the natural parameters of a residual structure, and of the fixed effects.

    For a fixed effect the estimate plus and minus the quantile of t, on the degrees of freedom of its test, times the
    standard error. A residual parameter v between bounds a and b is taken where it has none, on the scale

        log(v - a) - log(b - v),    log(v - a) where b is infinite,    v where both are,

    and its limits, by the normal quantile, are mapped back, as nlme's ``intervals`` does (Pinheiro & Bates, 2000,
    section 2.4.3); the variance is that of the delta method, 2 g'H^-1 g, H the Hessian of the fit's own criterion by
    (theta, phi).
    """
    import pandas as pd

    z = float(t_quantile(level, np.array(np.inf)))
    table = coefficient_table(fit, reference(fit, ddf))
    half = t_quantile(level, table["df"].to_numpy()) * table["se"]
    fixed = pd.DataFrame({"lower": table["estimate"] - half, "upper": table["estimate"] + half})
    if fit.model.residual is None:
        return fixed
    limits = _residual_limits(fit.model.residual, fit.optimum.phi, fit.local.hessian, z)
    names = list(residual_names(fit.model, fit.fixed_names))
    return pd.concat([within_bounds(fit, pd.DataFrame(limits, index=names, columns=["lower", "upper"])), fixed])


def within_bounds(fit: Fitted, limits: pd.DataFrame) -> pd.DataFrame:
    """Limits of parameters by name, no wider than the bounds of the fit's parameters."""
    bounds, named = fit.model.bounds, fit.model.named
    names = residual_names(fit.model, fit.fixed_names)
    for name, pair in ({} if bounds is None else bounds.limits).items():
        place = named.place(name, "bounds")
        own = {"phi": names, "natural": named.natural_names, "sigma": ("sigma",)}.get(place.kind, ())
        for shown in own[place.at : place.at + 1]:
            if shown in limits.index:
                limits.loc[shown] = limits.loc[shown].clip(*map(place.plain, pair))
    return limits


def _residual_limits(structure: Bound, phi: np.ndarray, hessian: np.ndarray, z: float) -> np.ndarray:
    """Limits (K, 2); NaN where the data do not determine a parameter."""
    k = len(hessian) - phi.size
    low, high = np.array(structure.bounds).T

    def scaled(at: np.ndarray) -> np.ndarray:
        return unbounded(structure.natural(at), low, high)

    with np.errstate(divide="ignore", invalid="ignore"):
        cov, known = _covariance(hessian, np.append(np.zeros(k), np.full(phi.size, _FLAT)))
        cov, known = cov[k:, k:], known[k:]
        g = jacobian(scaled, phi, np.sqrt(np.diag(cov)))
        se = np.sqrt(np.einsum("ij,jk,ik->i", g, cov, g))
        se = np.where((g[:, ~known] != 0.0).any(axis=1), np.nan, se)
        middle = scaled(phi)[:, None]
        return bounded(middle + se[:, None] * np.array([-z, z]), low[:, None], high[:, None])


def _covariance(hessian: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the parameters whose curvature exceeds the least, the others held; which these are."""
    curve = np.diag(hessian)
    known = curve > least
    scale = 1.0 / np.sqrt(np.where(known, curve, np.nan))  # units of theta are the user's
    size = np.outer(scale, scale)
    return np.where(np.isfinite(size), parameter_covariance(hessian * size) * size, 0.0), known
