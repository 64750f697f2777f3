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

An area without a record has gamma = 0: its estimate is x_g'beta, its error s_v + x_g'var(beta_hat) x_g.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.numeric.sums import level_sums
from mme.tables.arrays import numbers

if TYPE_CHECKING:
    import pandas as pd

# Areas that a message names.
_NAMED = 5


def eblup_mse(fit: Fitted, X: Any = None) -> pd.DataFrame:
    """Estimates of small areas with the second-order mean squared error of Prasad and Rao."""
    import pandas as pd

    fit.model.require_dense("eblup_mse()")
    _check(fit)
    areas = _areas(fit)
    term = fit.model.terms[0]
    means, labels = (areas.means, pd.Index(term.levels, name=term.group)) if X is None else _given(fit, X)
    new = len(means) - term.n_levels  # areas without a record: gamma is 0
    gamma, D = areas.gamma, areas.D
    a = means - _followed(gamma[:, None] * areas.weighted_means, new, 0.0)
    g1, g2 = _followed(gamma * areas.s_e / areas.w, new, areas.s_v), _variances(fit.estimates.half, a)
    information = _information(areas)
    inverse = np.linalg.pinv(information, hermitian=True)
    slope = np.column_stack([(1.0 - gamma) / D, -gamma / (areas.w * D)])[:, : len(information)]
    g3 = _followed(D * np.einsum("gi,ij,gj->g", slope, inverse, slope), new, 0.0)
    mse = g1 + g2 + 2.0 * g3
    if fit.method == "ML":
        gradient = _followed(np.column_stack([(1.0 - gamma) ** 2, gamma**2 / areas.w]), new, (1.0, 0.0))
        mse -= gradient[:, : len(information)] @ (0.5 * inverse @ _bias(areas, fit.estimates.half)[: len(information)])
    gamma, b = _followed(gamma, new, 0.0), _followed(fit.estimates.b[0][:, 0], new, 0.0)
    estimate = means @ fit.estimates.beta + b
    with np.errstate(divide="ignore", invalid="ignore"):
        cv = np.sqrt(mse) / np.abs(estimate)
    columns = {"estimate": estimate, "gamma": gamma, "g1": g1, "g2": g2, "g3": g3, "mse": mse, "cv": cv}
    return pd.DataFrame(columns, index=labels)


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
        """The weight of the area's own data, gamma_g."""
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
    """The information tr(V^-1 V_j V^-1 V_k) / 2 of s_v and, unless it is known, of s_e.

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


def _followed(values: np.ndarray, new: int, value: Any) -> np.ndarray:
    """Values of the areas of the fit, then one value for each of the others."""
    return np.concatenate([values, np.broadcast_to(value, (new, *values.shape[1:]))])


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


def _given(fit: Fitted, X: Any) -> tuple[np.ndarray, pd.Index]:
    """Means (areas, p) and the areas: those of the fit in its order, then areas that it has no record of."""
    import pandas as pd

    term, names, kept = fit.model.terms[0], fit.model.x_names, list(fit.fixed_names)
    table = _table(X, term.group)
    if table is None:
        values = numbers(X, "X")
        if values.shape == (term.n_levels, len(names)) and len(names) > len(kept):
            values = values[:, fit.objective.basis.kept]
        areas = pd.Index(term.levels, name=term.group)
    else:
        seen = set(term.levels.tolist())
        order = [*term.levels.tolist(), *(label for label in table.index if label not in seen)]
        missing = [level for level in term.levels.tolist() if level not in table.index]
        if missing or not table.index.is_unique:
            lacking = ", ".join(map(repr, missing[:_NAMED])) or "each level once"
            raise MMEError(f"X has no row of {lacking}: it needs a row a level of '{term.group}'")
        table = table.loc[order]
        values, areas = _columns(fit, table, kept), pd.Index(order, name=term.group)
    if values.shape != (len(areas), len(kept)) or not np.isfinite(values).all():
        raise MMEError(
            f"X must be finite, {term.n_levels} levels of '{term.group}' x {len(names)} columns ({', '.join(names)}); "
            f"got {values.shape}"
        )
    return values, areas


def _table(X: Any, group: str) -> pd.DataFrame | None:
    """A table with the areas for its index; None: it is an array."""
    import pandas as pd

    if isinstance(X, Mapping):
        try:
            X = pd.DataFrame(dict(X))
        except (ValueError, TypeError) as wrong:
            raise MMEError(f"X is not a table of areas: it needs a column of values for each name; {wrong}") from None
    elif hasattr(X, "to_pandas"):
        X = X.to_pandas()
    if not isinstance(X, pd.DataFrame):
        return None
    return X.set_index(group) if group in X.columns else X


def _columns(fit: Fitted, table: pd.DataFrame, names: list[str]) -> np.ndarray:
    """The columns of X by their names, the intercept where it is left out; else from the columns of the formula."""
    if "(Intercept)" in names and "(Intercept)" not in table.columns:
        table = table.assign(**{"(Intercept)": 1.0})
    absent = [name for name in names if name not in table.columns]
    if absent and fit.specification is not None:
        X = replace(fit.specification, bars=()).rows(table, random=False, labels=False).X
        return np.asarray(X)[:, fit.objective.basis.kept]
    if absent:
        raise MMEError(f"X has no column {', '.join(map(repr, absent))}: it needs the columns {', '.join(names)}")
    return numbers(table[names], "X")
