"""Compact letter displays: means that share a letter do not differ significantly.

The letters are found by inserting and absorbing (Piepho 2004, J. Comput. Graph. Stat. 13, 456-466): one set of all
means is split at each significant pair, and sets inside others are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arguments import number

if TYPE_CHECKING:
    import pandas as pd


def letters(different: np.ndarray, order: np.ndarray) -> list[str]:
    """The letters of each mean (m,), from which pairs (m, m) differ; ``order`` gives the first letters first.

    Examples
    --------
    >>> apart = np.zeros((3, 3), dtype=bool)
    >>> apart[0, 2] = apart[2, 0] = True
    >>> letters(apart, np.arange(3))
    ['a', 'ab', 'b']
    """
    m = len(different)
    sets: list[frozenset[int]] = [frozenset(range(m))]
    for i in range(m):
        for j in range(i + 1, m):
            if different[i, j]:
                sets = _split(sets, i, j)
    place = {int(mean): k for k, mean in enumerate(order.tolist())}
    sets.sort(key=lambda own: sorted(place[mean] for mean in own))
    out = ["" for _ in range(m)]
    for k, own in enumerate(sets):
        for mean in own:
            out[mean] += _letter(k)
    return out


def _split(sets: list[frozenset[int]], i: int, j: int) -> list[frozenset[int]]:
    """No set holds both i and j, and none lies inside another."""
    made = {part for own in sets for part in ((own - {i}, own - {j}) if {i, j} <= own else (own,))}
    return [own for own in made if not any(own < other for other in made)]


def _letter(k: int) -> str:
    """The letter of set k: a to z, then with numbers."""
    return ascii_lowercase[k % 26] + (str(k // 26) if k >= 26 else "")


@dataclass(frozen=True, eq=False)
class ComparedMeans:
    """The means (m,) that a table of pairs compares, their levels, and the names of these.

    ``families`` are the pairs (place in the table, first mean, second mean) at the same levels of the by factors.
    """

    means: np.ndarray
    levels: tuple[tuple[Any, ...], ...]
    names: tuple[str, ...]
    families: tuple[tuple[tuple[int, int, int], ...], ...]

    def __deepcopy__(self, memo: Any) -> ComparedMeans:
        return self  # pandas copies attrs with every table, and nothing changes this one

    def letters(self, p: np.ndarray, alpha: float) -> list[str]:
        """The letters of each mean, from the p-values of the pairs."""
        out = [""] * len(self.levels)
        for family in self.families:
            rows = sorted({row for _, first, second in family for row in (first, second)})
            for row, one in zip(rows, _of_family(family, p, self.means[rows], rows, alpha), strict=True):
                out[row] = one
        return out


def letters_of_pairs(table: pd.DataFrame, alpha: float) -> pd.Series:
    """The letters of the means that a table of pairs compares, by mean (and by the levels of by factors).

    Raises
    ------
    MMEError
        The table is none of pairs, or alpha is no share.
    """
    import pandas as pd

    number(alpha, "alpha must lie between 0 and 1", lambda value: 0.0 < value < 1.0)
    compared = table.attrs.get("pairs")
    if compared is None:
        raise MMEError("letters are of all pairs of means: means(..., pairs=True).letters()")
    if len(compared.names) == 1:
        index = pd.Index([labels[0] for labels in compared.levels], name=compared.names[0])
    else:
        index = pd.MultiIndex.from_tuples(compared.levels, names=compared.names)
    return pd.Series(compared.letters(table["p"].to_numpy(), alpha), index=index, name="letters", dtype=object)


def _of_family(
    family: Sequence[tuple[int, int, int]], p: np.ndarray, means: np.ndarray, rows: Sequence[int], alpha: float
) -> list[str]:
    """The letters of the means ``rows`` of one family, the largest mean first; none for a mean that is NaN."""
    place = {row: k for k, row in enumerate(rows)}
    different = np.zeros((len(rows), len(rows)), dtype=bool)
    for at, first, second in family:
        if p[at] < alpha:
            different[place[first], place[second]] = different[place[second], place[first]] = True
    unknown = np.isnan(means)
    out = letters(different, np.argsort(-np.where(unknown, -np.inf, means), kind="stable"))
    return ["" if none else one for none, one in zip(unknown.tolist(), out, strict=True)]
