"""Tables of marginal means, of contrasts among them, and of slopes: t tests, and intervals of the same method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError, warn
from mme.fitted.common import Record
from mme.inference.fixed.adjustments import adjusted, adjustment_of, critical_values
from mme.inference.fixed.comparisons import Comparisons, is_pairwise, text_of
from mme.inference.fixed.contrasts import t_table
from mme.inference.fixed.means import Means
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.reference import Reference, two_sided
from mme.inference.fixed.response_scale import ResponseScale
from mme.results.letters import ComparedMeans
from mme.tables.arguments import check_level

if TYPE_CHECKING:
    import pandas as pd

# What of a contrast is left of its parts by rounding, as a share of them.
_ROUNDING = 1e-12
# A note names at most so many means.
_FEW = 6


def means_table(
    fit: Record, means: Means, to: Reference, level: float, response: ResponseScale | None = None, name: str = "mean"
) -> pd.DataFrame:
    """``mean, se, df, lower, upper``, one row a combination of levels; NaN where the data do not determine it.

    On the scale of the ``response`` means and limits are carried through its inverse, the standard error by its slope.
    """
    table = tested(fit, means.L, means.offset, to)
    half = t_quantile(level, table["df"].to_numpy()) * table["se"]
    table = table.assign(lower=table["estimate"] - half, upper=table["estimate"] + half)
    if response is not None:
        eta = table["estimate"].to_numpy()
        ends = np.sort([response.mean(table[end].to_numpy()) for end in ("lower", "upper")], axis=0)
        se = np.abs(response.slope(eta)) * table["se"]
        table = table.assign(estimate=response.mean(eta), se=se, lower=ends[0], upper=ends[1])
    kept = ["estimate", "se", "df", "lower", "upper"] + (["t", "p"] if name == "slope" else [])
    table = table[kept].rename(columns={"estimate": name}).set_axis(means.index)
    return named_unknown(fit, means, table)


def named_unknown(fit: Record, means: Means, table: pd.DataFrame) -> pd.DataFrame:
    """The table, with a note and a warning that name the means which the data do not determine, and why."""
    unknown = ~fit.aliasing.estimable(means.L)
    if unknown.any():
        cells = [text_of(means.levels[row]) for row in np.flatnonzero(unknown)]
        more = f" and {len(cells) - _FEW} more" if len(cells) > _FEW else ""
        causes = fit.aliasing.causes(means.L[unknown], fit.model.x_names)
        note = (
            f"Not estimable: {', '.join(cells[:_FEW])}{more}. In all records {causes}, and there not: the data say "
            "nothing of such a cell."
        )
        table.attrs["note"] = note
        warn(note)
    return table


def compared_table(
    fit: Record,
    means: Means,
    comparisons: Comparisons,
    to: Reference,
    adjust: str | None,
    level: float,
    response: ResponseScale | None = None,
) -> pd.DataFrame:
    """``estimate, se, df, lower, upper, t, p`` of contrasts among means, adjusted alike within each family.

    On the scale of the ``response`` they are ratios, in a column that says so, where its transform has them, and
    differences of the means there, by the delta method, elsewhere.
    """
    check_level(level)
    word = adjustment_of(comparisons, adjust)
    L, size = np.asarray(comparisons.C @ means.L), abs(comparisons.C) @ np.abs(means.L)
    L[np.abs(L) <= _ROUNDING * size] = 0.0  # a contrast that is nothing, as the curvature of what is linear
    offset = means.offset * np.asarray(comparisons.C.sum(axis=1)).ravel()
    table = tested(fit, L, offset, to)
    half = to.half_of(L[:, fit.basis.kept])
    if response is not None and response.ratio is None:
        table, half = _differences(fit, means, comparisons, to, response, table)
    t, df = table["t"].to_numpy(), table["df"].to_numpy()
    p = adjusted(comparisons, t, df, table["p"].to_numpy(), word, half)
    width = critical_values(comparisons, df, ~np.isnan(t), level, word, half) * table["se"]
    table = table.assign(lower=table["estimate"] - width, upper=table["estimate"] + width, p=p)
    table = table[["estimate", "se", "df", "lower", "upper", "t", "p"]].set_axis(comparisons.index)
    if response is not None and response.ratio is not None:
        table = _ratios(table, response.ratio)
    return _described(fit, means, comparisons, to, table, word, level)


def _differences(
    fit: Record, means: Means, comparisons: Comparisons, to: Reference, response: ResponseScale, linear: pd.DataFrame
) -> tuple[pd.DataFrame, np.ndarray]:
    """Contrasts of the means on the scale of the response, by the delta method; degrees of freedom as on the other."""
    eta = means.L[:, fit.basis.kept] @ to.beta + means.offset
    half = to.half_of(means.L[:, fit.basis.kept]) * response.slope(eta)
    half = np.asarray((comparisons.C @ half.T).T)
    estimate, se = comparisons.C @ response.mean(eta), np.linalg.norm(half, axis=0)
    known = linear["t"].notna()
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(known, estimate / se, np.nan)
    table = linear.assign(estimate=estimate, se=se, t=t, p=two_sided(t, linear["df"].to_numpy()))
    return table.where(known), half


def _ratios(table: pd.DataFrame, ratio: str) -> pd.DataFrame:
    """Exponentials of differences and of their limits, se by the delta method."""
    ends = np.exp(table[["estimate", "lower", "upper"]])
    return table.assign(se=ends["estimate"] * table["se"], **ends).rename(columns={"estimate": ratio})


def _described(
    fit: Record,
    means: Means,
    comparisons: Comparisons,
    to: Reference,
    table: pd.DataFrame,
    word: str,
    level: float,
) -> pd.DataFrame:
    """The table with a note on the adjustment, and what letters of pairs need."""
    sizes = [family.stop - family.start for family in comparisons.families]
    if word != "none" and max(sizes) > 1:
        each = " each" if len(sizes) > 1 else ""
        size = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{max(sizes)}"
        table.attrs["notes"] = (f"p and {100 * level:g} % intervals adjusted for {size} contrasts{each}: {word}.",)
    if is_pairwise(comparisons):
        values = np.where(fit.aliasing.estimable(means.L), means.L[:, fit.basis.kept] @ to.beta + means.offset, np.nan)
        table.attrs["pairs"] = ComparedMeans(values, means.levels, means.names, comparisons.pairs())
    return table


def with_letters(means_frame: pd.DataFrame, compared: pd.DataFrame, level: float) -> pd.DataFrame:
    """The means with a column of letters: those that share one do not differ."""
    pairs: ComparedMeans = compared.attrs["pairs"]
    out = means_frame.assign(letters=pairs.letters(compared["p"].to_numpy(), 1.0 - level))
    out.attrs = dict(means_frame.attrs)
    how = compared.attrs.get("notes", ("",))[0].partition("adjusted")[2]
    said = f"Means that share a letter do not differ at {1.0 - level:.2g}" + (f", p adjusted{how}" if how else ".")
    out.attrs["notes"] = (said,)
    return out


def effect_sizes(table: pd.DataFrame, sigma: float, edf: float, level: float) -> pd.DataFrame:
    """``effect_size, se, df, lower, upper``: contrasts over sigma (Cohen's d), as emmeans' ``eff_size``.

    The standard error counts that sigma is an estimate on ``edf`` degrees of freedom: with d = estimate / sigma,
    var(d) = (se / sigma)^2 + d^2 / (2 edf).
    """
    if "estimate" not in table:
        raise MMEError("effect sizes are of differences: leave scale='response' out")
    d = table["estimate"] / sigma
    se = np.sqrt((table["se"] / sigma) ** 2 + d**2 / (2.0 * edf))
    half = t_quantile(level, table["df"].to_numpy()) * se
    out = table.assign(effect_size=d, se=se, lower=d - half, upper=d + half)
    out = out[["effect_size", "se", "df", "lower", "upper"]]
    out.attrs = {"notes": (f"Differences over {sigma:.4g}; intervals are not adjusted.",)}
    return out


def tested(fit: Record, L: np.ndarray, offset: np.ndarray | float, to: Reference) -> pd.DataFrame:
    """The t tests of rows on all columns of X, beside an offset; NaN in rows that cannot be estimated."""
    known = fit.aliasing.estimable(L)
    beside = np.broadcast_to(np.asarray(offset, dtype=float), len(L))[known]
    table = t_table(to, L[known][:, fit.basis.kept], -beside, np.flatnonzero(known))
    return table.reindex(range(len(L)))
