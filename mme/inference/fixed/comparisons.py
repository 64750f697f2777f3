"""Contrasts among marginal means at the same levels of the by factors: which they are, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.inference.fixed.families import DEFAULTS, coefficients, family_word, interaction
from mme.inference.fixed.means import Means
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Contrasts C (k, m) among m means, the ``families`` that they form, and what they are called.

    ``kind`` is the word of the family of contrasts, ``default`` the adjustment that goes with it.
    """

    C: sp.csr_array
    families: tuple[slice, ...]
    index: pd.Index
    kind: str

    @property
    def default(self) -> str:
        """The adjustment that goes with the family."""
        return DEFAULTS.get(self.kind, "none")

    def members(self, known: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """Of each family the contrasts that the data determine, and how many means are in them."""
        found = []
        for family in self.families:
            at = np.arange(family.start, family.stop)[known[family]]
            found.append((at, int(np.unique(self.C[at].indices).size)))
        return found

    def pairs(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """Of pairs: (row, first mean, second mean), family by family."""
        columns, signs = self.C.indices.reshape(-1, 2), self.C.data.reshape(-1, 2)
        first = columns[np.arange(len(columns)), np.argmax(signs, axis=1)]
        second = columns[np.arange(len(columns)), np.argmin(signs, axis=1)]
        return tuple(
            tuple((k, int(first[k]), int(second[k])) for k in range(family.start, family.stop))
            for family in self.families
        )


def comparisons_of(means: Means, contrast: Any, against: Any = None, *, crossed: bool = False) -> Comparisons:
    """The contrasts among the means at the same levels of the by factors, one family for each combination of these.

    Raises
    ------
    MMEError
        There are no two means to compare, or the contrast is none.
    """
    import pandas as pd

    families: dict[tuple[Any, ...], list[int]] = {}
    for row, labels in enumerate(means.levels):
        families.setdefault(labels[: means.n_by], []).append(row)
    kind = "interaction" if crossed else family_word(contrast)
    blocks, names = list[sp.csr_array](), list[tuple[Any, ...]]()
    ends = [0]
    for by, members in families.items():
        C, own = _block(means, members, contrast, against, crossed)
        rows, columns = np.nonzero(C)
        places = np.array(members)[columns]
        blocks.append(sp.csr_array((C[rows, columns], (rows, places)), shape=(len(C), len(means.levels))))
        names += [(*by, name) for name in own]
        ends.append(ends[-1] + len(C))
    if not ends[-1]:
        raise MMEError(f"there are no two levels of {', '.join(means.names[means.n_by :])} to compare")
    cuts = tuple(slice(start, stop) for start, stop in pairwise(ends))
    if means.n_by:
        index: Any = pd.MultiIndex.from_tuples(names, names=[*means.names[: means.n_by], "contrast"])
    else:
        index = pd.Index([name for (name,) in names], name="contrast")
    return Comparisons(sp.csr_array(sp.vstack(blocks)), cuts, index, kind)


def _block(
    means: Means, members: list[int], contrast: Any, against: Any, crossed: bool
) -> tuple[np.ndarray, list[str]]:
    """The contrasts among the means of one family."""
    own = [means.levels[row][means.n_by :] for row in members]
    if not crossed:
        return coefficients(contrast, [text_of(labels) for labels in own], against)
    levels = [list(dict.fromkeys(labels)) for labels in zip(*own, strict=True)]
    if np.prod([len(one) for one in levels]) != len(own):
        raise MMEError("interaction contrasts need all combinations of the factors' levels, and some do not occur")
    each = contrast if isinstance(contrast, list | tuple) else [contrast] * len(levels)
    if len(each) != len(levels):
        raise MMEError(f"interaction contrasts need a family for each of {len(levels)} factors, got {shown(contrast)}")
    return interaction(each, [[text_of([label]) for label in one] for one in levels])


def text_of(labels: Sequence[Any]) -> str:
    """Labels of a mean as its name."""
    return " ".join(label if isinstance(label, str) else f"{label:g}" for label in labels)


def wanted_contrast(pairs: bool, contrast: Any, crossed: bool) -> Any:
    """The family of contrasts that the arguments ask for; None for the means themselves.

    Raises
    ------
    MMEError
        Two are asked for.
    """
    if pairs and contrast is not None and not (isinstance(contrast, str) and family_word(contrast) == "pairwise"):
        raise MMEError(f"pairs=True is contrast='pairwise': leave one of them out, or contrast={shown(contrast)} alone")
    if crossed and isinstance(contrast, dict):
        raise MMEError("interaction contrasts are of families by word, one for all factors or a list with one for each")
    if contrast is None and (pairs or crossed):
        return "pairwise"
    return contrast


def is_pairwise(comparisons: Comparisons) -> bool:
    """Whether these are all pairs of means."""
    return is_word(comparisons.kind, ("pairwise",))
