"""All differences of two marginal means at the same levels of the by factors, and what many tests cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.inference.fixed.means import Means, tested
from mme.inference.fixed.reference import Reference
from mme.numeric.studentised import range_isf, range_sf
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_ADJUSTMENTS = ("tukey", "bonferroni", "holm", "sidak", "none")


@dataclass(frozen=True, eq=False)
class PairsOfMeans:
    """Pairs of means: rows ``first`` and ``second``, the ``families`` that they form, and what they are called."""

    first: np.ndarray
    second: np.ndarray
    families: tuple[slice, ...]
    index: pd.Index

    def members(self, known: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """Of each family the pairs that the data determine, and how many means are in them."""
        found = []
        for family in self.families:
            pairs = np.arange(family.start, family.stop)[known[family]]
            found.append((pairs, int(np.unique([self.first[pairs], self.second[pairs]]).size)))
        return found


def pairs_table(fit: Record, means: Means, to: Reference, adjust: str) -> pd.DataFrame:
    """``estimate, se, df, t, p`` of all differences of two means at the same levels of the by factors.

    ``adjust`` is for the differences of one family that the data determine: Tukey's studentised range of the means in
    them, Bonferroni's factor, their number m, Holm's, m, m - 1, ... in the order of p, Sidak's 1 - (1 - p)^m, or none.
    """
    check_adjustment(adjust)
    pairs = pairs_of(means)
    table = tested(fit, means.L[pairs.first] - means.L[pairs.second], 0.0, to)
    p = adjusted(pairs, table["t"].to_numpy(), table["df"].to_numpy(), table["p"].to_numpy(), adjust)
    return table.assign(p=p).set_axis(pairs.index)


def check_adjustment(adjust: str) -> None:
    """Refuse words that are no adjustment."""
    if not is_word(adjust, _ADJUSTMENTS):
        raise MMEError(f"adjust must be one of {', '.join(map(repr, _ADJUSTMENTS))}, got {shown(adjust)}")


def pairs_of(means: Means) -> PairsOfMeans:
    """All pairs at the same levels of the by factors, one family each."""
    import pandas as pd

    families: dict[tuple[Any, ...], list[int]] = {}
    for row, labels in enumerate(means.levels):
        families.setdefault(labels[: means.n_by], []).append(row)
    pairs = [(by, i, j) for by, members in families.items() for i, j in combinations(members, 2)]
    if not pairs:
        raise MMEError(f"there are no two levels of {', '.join(means.names[means.n_by :])} to compare")
    first, second = np.array([(i, j) for _, i, j in pairs]).T
    ends = np.cumsum([0, *(comb(len(members), 2) for members in families.values())]).tolist()
    cuts = tuple(slice(start, stop) for start, stop in pairwise(ends))
    names = [" - ".join(_text(means.levels[row][means.n_by :]) for row in pair) for _, *pair in pairs]
    if not means.n_by:
        return PairsOfMeans(first, second, cuts, pd.Index(names, name="contrast"))
    index = [(*by, name) for (by, _, _), name in zip(pairs, names, strict=True)]
    return PairsOfMeans(
        first, second, cuts, pd.MultiIndex.from_tuples(index, names=[*means.names[: means.n_by], "contrast"])
    )


def _text(labels: Sequence[Any]) -> str:
    return " ".join(label if isinstance(label, str) else f"{label:g}" for label in labels)


def adjusted(pairs: PairsOfMeans, t: np.ndarray, df: np.ndarray, p: np.ndarray, adjust: str) -> np.ndarray:
    """P-values for as many comparisons as each family has; NaN where p is."""
    out = p.copy()
    for at, n_means in pairs.members(~np.isnan(p)):
        if adjust == "none" or n_means < 3:
            continue
        if adjust == "bonferroni":
            out[at] = np.minimum(p[at] * at.size, 1.0)
        elif adjust == "holm":
            out[at] = _holm(p[at])
        elif adjust == "sidak":
            with np.errstate(divide="ignore"):  # p = 1 stays
                out[at] = -np.expm1(at.size * np.log1p(-p[at]))
        else:
            out[at] = range_sf(np.sqrt(2.0) * np.abs(t[at]), n_means, df[at])
    return out


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's p-values: the smallest times their number, the next times one less, none below one before.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    order = np.argsort(p, kind="stable")
    out = np.empty(p.size)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return out


def critical_values(pairs: PairsOfMeans, known: np.ndarray, level: float, adjust: str) -> np.ndarray:
    """Half the width of simultaneous intervals of each pair, in standard errors, on infinite degrees of freedom.

    They leave zero out where the adjusted p-value is below 1 - level. Holm's steps have no such intervals: Bonferroni's
    stand for them.
    """
    out = np.full(known.size, np.nan)
    for at, n_means in pairs.members(known):
        m = max(at.size, 1) if n_means > 2 else 1
        if adjust == "tukey" and n_means > 2:
            out[at] = range_isf(1.0 - level, n_means) / np.sqrt(2.0)
        elif adjust == "sidak":
            out[at] = -ndtri(-0.5 * np.expm1(np.log(level) / m))
        else:
            out[at] = -ndtri((1.0 - level) / (2.0 * (m if adjust in ("bonferroni", "holm") else 1)))
    return out
