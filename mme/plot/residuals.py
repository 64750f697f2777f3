"""Residuals against fitted values, and quantiles of residuals and BLUPs against the normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from mme.diagnosis.residuals import kind_at_hand, scaled_residuals
from mme.fitted.effects import Effects
from mme.fitted.record import Fitted
from mme.plot.style import (
    BLUE,
    GREY,
    INK,
    LIGHT,
    POINTS,
    VERMILION,
    density,
    drawn_effects,
    legend_above,
    one_axes,
    row_of_axes,
    running,
    spread,
)
from mme.plot.words import response_of
from mme.tables.arguments import is_word, yes_or_no

if TYPE_CHECKING:
    import pandas as pd

# Records in a run whose quartiles are drawn, at least; and runs, at most.
_RUN, _RUNS = 40, 20
# Points of a quantile plot: of more a third from each end, and as many between them.
QUANTILES = 900
_UNITS = {"response": "y - fitted", "marginal": "y - X beta"}


def residuals(fit: Fitted, kind: str | None = None, *, data: bool = False, ax: Any = None) -> Any:
    """Residuals against fitted values (population values for marginal ones), with running quartiles.

    The median should follow zero, the quartiles keep their distance. Beyond 3000 records points become cells shaded by
    the logarithm of their count.

    Parameters
    ----------
    kind : str, optional
        As in ``fit.scaled_residuals()``. None: standardised ones, or normalised ones where records of several levels
        are whitened together.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``: ``fitted, residual``
    """
    kind = kind_at_hand(fit) if kind is None else kind
    r = fit.rows.used(np.asarray(scaled_residuals(fit, kind)))
    marginal = kind in ("marginal", "decorrelated")
    x = fit.estimates.population if marginal else fit.estimates.fitted
    if yes_or_no(data, "data"):
        import pandas as pd

        return pd.DataFrame({"fitted": x, "residual": r})
    ax = one_axes(ax, (5.4, 3.9))
    against(ax, x, r)
    ax.set_xlabel(f"{'population value' if marginal else 'fitted value'}  ({response_of(fit)})")
    name = f"{_UNITS[kind]}  ({response_of(fit)})" if kind in _UNITS else f"{kind} residual"
    ax.set_ylabel(name)
    ax.set_title("Residuals against fitted values", pad=18)
    return ax


def against(ax: Any, x: np.ndarray, r: np.ndarray, *, zero: bool = True) -> None:
    """Records (x, r), about a line at ``zero``, as points or cells, with running quartiles of r."""
    if r.size > POINTS:
        density(ax, x, r, INK)
    else:
        size = float(np.interp(r.size, [100, POINTS], [18.0, 5.0]))
        ax.scatter(x, r, s=size, facecolor="none", edgecolor=GREY, linewidth=0.7, label="records")
    if zero:
        ax.axhline(0.0, color=INK, linewidth=0.7)
    runs, colour = min(_RUNS, r.size // _RUN), VERMILION if r.size > POINTS else BLUE
    if runs >= 4 and np.ptp(x) > 0.0:
        centre, quartiles = running(x, r, runs)
        ax.fill_between(centre, quartiles[0], quartiles[2], color=colour, alpha=0.3, linewidth=0.0, label="middle half")
        ax.plot(centre, quartiles[1], color=colour, linewidth=1.6, label="running median")
    if runs >= 4 or r.size > POINTS:
        legend_above(ax)


def qq(fit: Fitted, what: str = "residuals", *, kind: str | None = None, data: bool = False, ax: Any = None) -> Any:
    """Quantiles against those of the normal distribution, with a band that holds 95% of each order statistic.

    Beyond 900 points the middle is thinned, the tails are kept.

    Parameters
    ----------
    what : str
        ``"residuals"``, or the name of a term: its BLUPs, each divided by the standard deviation that BLUPs of its
        precision have (root of prior variance less PEV).
    kind : str
        Kind of residuals, as in ``fit.scaled_residuals()``.
    data : bool
        Return the points behind the picture.

    Returns
    -------
    Axes, for a term (q,) array of Axes; a DataFrame for ``data=True``: ``normal, value, lower, upper``, of a term by
    coefficient
    """
    if is_word(what, ("residuals",)):
        kind = kind_at_hand(fit) if kind is None else kind
        r = fit.rows.used(np.asarray(scaled_residuals(fit, kind)))
        if kind in _UNITS:
            r = r / r.std()
        if yes_or_no(data, "data"):
            return quantile_table(r)
        ax = one_axes(ax, (4.2, 4.0))
        quantiles(ax, r, f"{kind} residual")
        ax.set_title("Residuals", pad=6)
        return ax
    one = drawn_effects(fit, what)
    if yes_or_no(data, "data"):
        return effect_table(fit, one)
    axes = row_of_axes(ax, one.q, (4.0, 4.0))
    for j, here in enumerate(axes):
        effect_quantiles(fit, one, j, here)
    return axes


def effect_quantiles(fit: Fitted, one: Effects, j: int, ax: Any) -> None:
    """The j-th coefficient's BLUPs, over the standard deviations that they have."""
    values = _standardised(fit, one, j)
    if not values.size:
        ax.text(0.5, 0.5, "its variance is zero", ha="center", transform=ax.transAxes, color=GREY)
    quantiles(ax, values, "BLUP / its standard deviation")
    ax.set_title(f"{one.columns[j]} by {one.name}", pad=6)


def effect_table(fit: Fitted, one: Effects) -> pd.DataFrame:
    """The points of the quantile plots of all coefficients, one after another."""
    import pandas as pd

    tables = [quantile_table(_standardised(fit, one, j)) for j in range(one.q)]
    for name, table in zip(one.columns, tables, strict=True):
        table.insert(0, "coefficient", name)
    return pd.concat(tables, ignore_index=True)


def _standardised(fit: Fitted, one: Effects, j: int) -> np.ndarray:
    b, pev = one.beside(fit.estimates.b)[:, j], one.variances(fit.estimates.pev)[:, j]
    prior = np.hstack([_prior_variances(fit, t) for t in one.terms])[:, j]
    variance = prior - pev
    known = variance > 1e-8 * prior.max()
    return np.asarray(b[known] / np.sqrt(variance[known]))


def _prior_variances(fit: Fitted, t: int) -> np.ndarray:
    """K_gg G_aa of every level and coefficient of a term (J, q)."""
    term, related = fit.model.terms[t], fit.model.relationship(t, fit.theta)
    K = np.ones(term.n_levels) if related is None else np.asarray(related.diagonal)
    return np.outer(K, np.diag(fit.varcorr[term.name].cov))


def quantile_table(values: np.ndarray) -> pd.DataFrame:
    """Sorted ``value`` against ``normal`` quantiles, with the band of order statistics; the middle of many thinned."""
    import pandas as pd

    values = np.sort(values[np.isfinite(values)])
    n = values.size
    chosen = np.arange(n)
    if n > QUANTILES:
        third = QUANTILES // 3
        chosen = np.unique(np.concatenate([chosen[:third], chosen[-third:], spread(n, third)]))
    low, high = _band(n, chosen)
    normal = ndtri((chosen + 0.5) / max(n, 1))
    return pd.DataFrame({"normal": normal, "value": values[chosen], "lower": low, "upper": high})


def quantiles(ax: Any, values: np.ndarray, name: str) -> None:
    """Sorted values against normal quantiles, with the band of their order statistics."""
    n = int(np.isfinite(values).sum())
    ax.set_xlabel("normal quantile")
    ax.set_ylabel(name)
    if n < 2:
        ax.set_xticks([])
        ax.set_yticks([])
        return
    x, value, low, high = quantile_table(values).to_numpy().T
    ax.fill_between(x, low, high, color=LIGHT, alpha=0.7, linewidth=0.0, zorder=1)
    ax.plot(x, x, color=INK, linewidth=0.8, zorder=2)
    outside = (value < low) | (value > high)
    size = float(np.interp(n, [20, 1000], [16.0, 6.0]))
    for part, colour in ((~outside, BLUE), (outside, VERMILION)):
        ax.scatter(x[part], value[part], s=size, color=colour, linewidth=0.0, zorder=3)
    ax.grid(True)


def _band(n: int, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2.5% and 97.5% points of order statistics of n draws of N(0, 1): the k-th uniform one is beta(k, n + 1 - k)."""
    from scipy.special import betaincinv

    k = ranks + 1.0
    low, high = (ndtri(betaincinv(k, n + 1.0 - k, share)) for share in (0.025, 0.975))
    return low, high
