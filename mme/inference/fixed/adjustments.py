r"""What many tests cost: p-values and half widths of intervals, adjusted for the contrasts of one family together.

    tukey       the studentised range of the means: for all pairs
    mvt         P(max |T_j| > |t|) of T ~ multivariate t with the correlations of the contrasts themselves
    dunnett     the same, for comparisons with a reference (Dunnett 1955, J. Amer. Statist. Assoc. 50, 1096-1121)
    scheffe     rank F(rank, df): for whatever contrasts of these means the data suggest
    bonferroni  m p          sidak  1 - (1 - p)^m          holm  Bonferroni's by steps
    fdr         the expected share of false ones among those called different (Benjamini and Hochberg 1995)

Intervals have the critical value of the same method; Holm's and the false discovery rate have none, and Bonferroni's
stands for it, as in emmeans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import fdtrc, fdtri

from mme.errors import MMEError
from mme.inference.fixed.comparisons import Comparisons, is_pairwise
from mme.inference.fixed.quantiles import t_quantile
from mme.numeric.rank import independent_columns, unit_columns
from mme.numeric.studentised import range_isf, range_sf
from mme.numeric.unions import LargestNormal
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

_ADJUSTMENTS = ("tukey", "dunnett", "mvt", "holm", "sidak", "bonferroni", "fdr", "scheffe", "none")
# Other spellings of them: of R's p.adjust and of SAS.
_SPELLINGS = {"bh": "fdr", "benjamini-hochberg": "fdr", "bon": "bonferroni", "tukey-kramer": "tukey", "hsd": "tukey"}
# Different degrees of freedom up to which critical values are those at each; of more they are interpolated.
_FEW, _DEGREE = 12, 12
# An F on more denominator degrees of freedom than this is a chi-square.
_MANY = 1e10


def adjustment_of(comparisons: Comparisons, adjust: Any) -> str:
    """The adjustment; None: the one that goes with the family.

    Raises
    ------
    MMEError
        There is none of this name, or it is not for this family.
    """
    if adjust is None:
        return comparisons.default
    adjust = _SPELLINGS.get(adjust.lower(), adjust.lower()) if isinstance(adjust, str) else adjust
    if not is_word(adjust, _ADJUSTMENTS):
        raise MMEError(f"adjust must be one of {', '.join(map(repr, _ADJUSTMENTS))}, got {shown(adjust)}")
    if adjust == "tukey" and not is_pairwise(comparisons):
        raise MMEError(
            "adjust='tukey' is for all pairs of means; of other contrasts adjust='mvt' is the exact one, or 'holm'"
        )
    return str(adjust)


def adjusted(
    comparisons: Comparisons, t: np.ndarray, df: np.ndarray, p: np.ndarray, adjust: str, half: np.ndarray
) -> np.ndarray:
    """P-values for as many comparisons as each family has; NaN where p is. ``half`` (r, k): cov = half'half."""
    out = p.copy()
    for at, n_means in comparisons.members(~np.isnan(p)):
        if adjust == "scheffe" and at.size:
            out[at] = _scheffe(t[at], df[at], half[:, at])
        elif at.size > 1 and adjust != "none":
            out[at] = _for_several(t[at], df[at], p[at], adjust, half[:, at], n_means)
    return out


def _for_several(
    t: np.ndarray, df: np.ndarray, p: np.ndarray, adjust: str, half: np.ndarray, n_means: int
) -> np.ndarray:
    match adjust:
        case "tukey":
            return range_sf(np.sqrt(2.0) * np.abs(t), n_means, df)
        case "mvt" | "dunnett":
            return LargestNormal.of(half).sf(np.abs(t), df)
    return by_p_alone(p, adjust)


def by_p_alone(p: np.ndarray, adjust: str) -> np.ndarray:
    """What Bonferroni, Holm, Sidak and the false discovery rates make of p-values (m,), none of which is missing.

    ``"by"`` is that of tests that depend on one another in any way (Benjamini and Yekutieli 2001, Ann. Stat. 29:1165).
    """
    match adjust:
        case "bonferroni":
            return np.minimum(p * p.size, 1.0)
        case "holm":
            return _holm(p)
        case "fdr":
            return _false_discovery(p)
        case "by":
            return np.minimum(_false_discovery(p * (1.0 / np.arange(1, p.size + 1)).sum()), 1.0)
    with np.errstate(divide="ignore"):  # Sidak's; p = 1 stays
        return np.asarray(-np.expm1(p.size * np.log1p(-p)))


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's p-values: the smallest times their number, the next times one less, none below one before.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    order = np.argsort(p, kind="stable")
    out = np.empty(p.size)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return out


def _false_discovery(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's p-values: p m / rank, none above one after, so that none is above the largest p."""
    order = np.argsort(p, kind="stable")[::-1]
    out = np.empty(p.size)
    out[order] = np.minimum.accumulate(p[order] * p.size / np.arange(p.size, 0, -1))
    return out


def _scheffe(t: np.ndarray, df: np.ndarray, half: np.ndarray) -> np.ndarray:
    rank = _rank(half)
    return np.asarray(fdtrc(rank, np.minimum(df, _MANY), t**2 / rank))


def _rank(half: np.ndarray) -> int:
    """How many of the contrasts are independent."""
    return max(int(independent_columns(unit_columns(half), tolerance=1e-8).size), 1)


def critical_values(
    comparisons: Comparisons, df: np.ndarray, known: np.ndarray, level: float, adjust: str, half: np.ndarray
) -> np.ndarray:
    """Half the width (k,) of simultaneous intervals of each comparison, in standard errors."""
    out = np.full(known.size, np.nan)
    for at, n_means in comparisons.members(known):
        if adjust == "scheffe" and at.size:
            rank = _rank(half[:, at])
            out[at] = np.sqrt(rank * fdtri(rank, np.minimum(df[at], _MANY), level))
        elif at.size < 2 or adjust == "none":
            out[at] = t_quantile(level, df[at])
        else:
            out[at] = _width(df[at], level, adjust, half[:, at], n_means)
    return out


def _width(df: np.ndarray, level: float, adjust: str, half: np.ndarray, n_means: int) -> np.ndarray:
    if adjust == "tukey":
        return of_freedom(lambda one: range_isf(1.0 - level, n_means, one) / np.sqrt(2.0), df)
    if adjust in ("mvt", "dunnett"):
        largest = LargestNormal.of(half)
        return of_freedom(lambda one: largest.isf(1.0 - level, one), df)
    each = np.exp(np.log(level) / df.size) if adjust == "sidak" else 1.0 - (1.0 - level) / df.size
    return t_quantile(float(each), df)


def of_freedom(quantile: Callable[[float], float], df: np.ndarray) -> np.ndarray:
    """A quantile at each of many degrees of freedom (k,); of many different ones interpolated in their reciprocal."""
    distinct, places = np.unique(df, return_inverse=True)
    if distinct.size <= _FEW or distinct[0] < 1.0:
        return np.array([quantile(one) for one in distinct.tolist()])[places]
    ends = 1.0 / distinct[-1], 1.0 / distinct[0]
    smooth = np.polynomial.Chebyshev.interpolate(
        lambda s: np.array([quantile(1.0 / one) for one in s.tolist()]), _DEGREE, ends
    )
    return np.asarray(smooth(1.0 / df))
