"""Pictures of generalised fits: records against the means, variances and frequencies that their family gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.generalised_residuals import KINDS
from mme.diagnosis.generalised_residuals import generalised_residuals as residuals_of
from mme.errors import MMEError
from mme.family.base import Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.plot.residuals import against, quantile_table, quantiles
from mme.plot.style import BLUE, GREY, INK, LIGHT, VERMILION, legend_above, one_axes
from mme.plot.words import response_of
from mme.tables.arguments import count, is_word, yes_or_no
from mme.tables.arrays import numbers, shown

if TYPE_CHECKING:
    import pandas as pd

# Runs of records: the root of their number, up to this.
_RUNS = 40
# Counts up to which each has a bar of its own.
_BARS = 60


def binned(
    fit: GeneralisedFitted, x: Any = None, *, bins: int | None = None, data: bool = False, ax: Any = None
) -> Any:
    """Mean residuals of runs of records, within twice the standard error that the family gives them.

    About 19 runs of 20 lie inside the band where the model holds (Gelman and Hill 2007, section 5.6).

    Parameters
    ----------
    x : str or (N,) array, optional
        What records are sorted by: a column of X by name, or one value per row of the data; None: the fitted mean.
    bins : int, optional
        Runs of equal numbers of records; None: the square root of their number, 40 at most.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``: one row per run, its ``records``, mean ``x`` and ``residual``, and the ``band``
    """
    values, name = _sorted_by(fit, x)
    used = fit.problem.data.weights > 0.0
    residual = (fit.problem.data.y - fit.estimates.fitted)[used]
    variance = _variance(fit)[used]
    runs = _runs(values[used], bins)
    centre = np.array([values[used][run].mean() for run in runs])
    mean = np.array([residual[run].mean() for run in runs])
    band = np.array([2.0 * np.sqrt(variance[run].sum()) / run.size for run in runs])
    if yes_or_no(data, "data"):
        return _frame(records=[run.size for run in runs], x=centre, residual=mean, band=band)
    ax = one_axes(ax, (5.4, 3.9))
    ends = np.concatenate([[values[used].min()], centre, [values[used].max()]])
    reach = np.concatenate([band[:1], band, band[-1:]])
    ax.fill_between(ends, -reach, reach, color=LIGHT, alpha=0.7, linewidth=0.0, label="2 standard errors")
    ax.axhline(0.0, color=INK, linewidth=0.7)
    outside = np.abs(mean) > band
    for chosen, colour, label in ((~outside, BLUE, "mean of a run"), (outside, VERMILION, "outside")):
        if chosen.any():
            ax.scatter(centre[chosen], mean[chosen], s=16.0, color=colour, linewidth=0.0, zorder=3, label=label)
    ax.set_xlabel(name)
    ax.set_ylabel(f"mean of y - fitted  ({response_of(fit)})")
    ax.set_title(f"Binned residuals: {len(runs)} runs of about {runs[0].size:,} records", pad=18)
    legend_above(ax)
    return ax


def calibration(fit: GeneralisedFitted, *, bins: int | None = None, data: bool = False, ax: Any = None) -> Any:
    """Observed means of runs of records against fitted ones, and how far off the family lets them be.

    Parameters
    ----------
    bins : int, optional
        As in ``binned()``.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``: one row per run, its ``records``, ``fitted, observed, lower, upper``
    """
    given, used = fit.problem.data, fit.problem.data.weights > 0.0
    binomial = fit.family.name == "binomial"
    weights = np.where(binomial, given.weights, 1.0)[used]
    y, mean, variance = given.y[used], fit.estimates.fitted[used], _variance(fit)[used]
    runs = _runs(mean, bins)
    total = np.array([weights[run].sum() for run in runs])
    fitted = np.array([(weights * mean)[run].sum() for run in runs]) / total
    observed = np.array([(weights * y)[run].sum() for run in runs]) / total
    half = 1.96 * np.sqrt(np.array([(weights**2 * variance)[run].sum() for run in runs])) / total
    low, high = fitted - half, fitted + half
    if binomial:
        low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
    if yes_or_no(data, "data"):
        return _frame(records=[run.size for run in runs], fitted=fitted, observed=observed, lower=low, upper=high)
    ax = one_axes(ax, (4.6, 4.4))
    ends = [min(fitted.min(), observed.min()), max(fitted.max(), observed.max())]
    ax.plot(ends, ends, color=INK, linewidth=0.8, label="as fitted")
    ax.vlines(fitted, low, high, color=GREY, linewidth=0.9, zorder=2, label="95% of the family")
    ax.scatter(fitted, observed, s=18.0, color=BLUE, linewidth=0.0, zorder=3, label="mean of a run")
    what = "share of successes" if binomial else f"mean  ({response_of(fit)})"
    ax.set_xlabel(f"fitted {what}")
    ax.set_ylabel(f"observed {what}")
    ax.set_title(f"Calibration: {len(runs)} runs of about {runs[0].size:,} records", pad=18)
    ax.grid(True)
    legend_above(ax)
    return ax


def rootogram(fit: GeneralisedFitted, *, data: bool = False, ax: Any = None) -> Any:
    """Observed frequencies of counts hung from the expected ones, both as roots (Kleiber and Zeileis 2016).

    A bar that ends above zero is of a count that occurs too seldom, one that ends below zero of a count that occurs
    too often. Beyond 60 counts several share a bar.

    Parameters
    ----------
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``: ``first, last`` count of a bar, ``observed`` and ``expected`` frequency

    Raises
    ------
    MMEError
        The response has no counts: use ``calibration()`` or ``residuals()``.
    """
    used = fit.problem.data.weights > 0.0
    y = fit.problem.data.y[used]
    if fit.family.name == "binomial" or (y != np.round(y)).any():
        raise MMEError("a rootogram is of counts; use plot.calibration() or plot.residuals() for this response")
    width = max(1, int(np.ceil((y.max() + 1.0) / _BARS)))
    edges = np.arange(0, int(y.max()) + 1 + width, width)
    below = np.array([_cdf_sum(fit, used, edge - 1) for edge in edges.tolist()])
    expected, observed = np.diff(below), np.histogram(y, edges)[0]
    if yes_or_no(data, "data"):
        return _frame(first=edges[:-1], last=edges[1:] - 1, observed=observed, expected=expected)
    expected, observed = np.sqrt(expected), np.sqrt(observed)
    centre = edges[:-1] + 0.5 * (width - 1)
    ax = one_axes(ax, (5.6, 3.9))
    ax.bar(centre, observed, bottom=expected - observed, width=0.85 * width, color=LIGHT, label="observed, hung")
    marks = "o-" if centre.size <= _BARS // 2 else "-"
    ax.plot(centre, expected, marks, color=VERMILION, markersize=3.0, linewidth=1.3, label="expected")
    ax.axhline(0.0, color=INK, linewidth=0.7)
    ax.use_sticky_edges = False
    ax.set_xlabel(f"{response_of(fit)}" + (f", {width} counts a bar" if width > 1 else ""))
    ax.set_ylabel("root of the frequency")
    ax.set_title("Rootogram", pad=18)
    legend_above(ax)
    return ax


def generalised_residuals(
    fit: GeneralisedFitted, kind: str = "quantile", *, seed: int = 1, data: bool = False, ax: Any = None
) -> Any:
    """Residuals against the linear predictor, with running quartiles: level, and as far apart everywhere.

    Parameters
    ----------
    kind : str
        As in ``fit.residuals()``; quantile residuals are N(0, 1) if the model holds.
    seed : int
        Seed of the random numbers in quantile residuals.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``: ``eta, residual``
    """
    if not is_word(kind, KINDS):
        raise MMEError(f"kind must be one of {', '.join(map(repr, KINDS))}; got {shown(kind)}")
    r = fit.rows.used(np.asarray(residuals_of(fit, kind, seed)))
    if yes_or_no(data, "data"):
        return _frame(eta=fit.estimates.eta, residual=r)
    ax = one_axes(ax, (5.4, 3.9))
    good = np.isfinite(r)
    against(ax, fit.estimates.eta[good], r[good])
    ax.set_xlabel(f"linear predictor  ({fit.family.link} of {response_of(fit)})")
    ax.set_ylabel(f"{kind} residual")
    ax.set_title("Residuals against the linear predictor", pad=18)
    return ax


def generalised_qq(fit: GeneralisedFitted, *, seed: int = 1, data: bool = False, ax: Any = None) -> Any:
    """Randomised quantile residuals against the normal distribution, with a band of 95% of each order statistic.

    Parameters
    ----------
    seed : int
        Seed of the random numbers in the residuals.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``: ``normal, value, lower, upper``
    """
    r = fit.rows.used(np.asarray(residuals_of(fit, "quantile", seed)))
    if yes_or_no(data, "data"):
        return quantile_table(r)
    ax = one_axes(ax, (4.2, 4.0))
    quantiles(ax, r, "quantile residual")
    ax.set_title("Residuals", pad=6)
    return ax


def _frame(**columns: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def _variance(fit: GeneralisedFitted) -> np.ndarray:
    estimates = fit.estimates
    with np.errstate(divide="ignore"):
        return fit.family.variance(estimates.eta, fit.problem.data.weights, estimates.tau)


def _cdf_sum(fit: GeneralisedFitted, used: np.ndarray, value: int) -> float:
    """The sum of P(Y <= value) over the records."""
    if value < 0:
        return 0.0
    data = fit.problem.data
    at = Observed(np.full(data.n, float(value)), data.weights, data.levels)
    return float(fit.family.cdf(at, fit.estimates.eta, fit.estimates.tau)[1][used].sum())


def _runs(x: np.ndarray, bins: int | None) -> list[np.ndarray]:
    """Records of each run, in the order of x."""
    most = min(_RUNS, max(4, int(np.sqrt(x.size)))) if bins is None else count(bins, "bins")
    return [run for run in np.array_split(np.argsort(x, kind="stable"), most) if run.size]


def _sorted_by(fit: GeneralisedFitted, x: Any) -> tuple[np.ndarray, str]:
    """Values (n,) and their name."""
    if x is None:
        return fit.estimates.fitted, f"fitted mean  ({response_of(fit)})"
    if isinstance(x, str):
        if x not in fit.model.x_names:
            raise MMEError(f"there is no column '{x}' in X ({', '.join(fit.model.x_names)}); give x as an array")
        return fit.model.X[:, fit.model.x_names.index(x)], x
    values = numbers(x, "x")
    if values.shape not in ((fit.rows.kept.size,), (fit.nobs,)):
        raise MMEError(f"x has shape {values.shape} for {fit.rows.kept.size} rows of the data")
    return fit.rows.used(values), str(getattr(x, "name", None) or "x")
