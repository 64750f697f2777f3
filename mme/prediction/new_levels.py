"""The labels of new rows -> the levels of a term: those of the fit, new ones, or none."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from mme.errors import MMEError
from mme.model.term import Term
from mme.model.term_columns import UNKNOWN
from mme.numeric.sums import by_column
from mme.tables.arrays import shown
from mme.tables.column import Factor
from mme.tables.labels import name as named
from mme.tables.spelling import labels_of, places

# Codes of levels that the fit did not see, and of coefficients without a label.
NEW, MISSING = -1, -2


def coded_levels(
    term: Term, factor: Factor, covariates: np.ndarray | None, new_levels: str, able: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes and covariates of a term; where each column has labels of its own (q, n), zero for the missing ones."""
    if not by_column(factor.codes) or covariates is None:
        return _codes(term, factor, new_levels, able), covariates
    factor = _without_unknown(term, factor)
    codes = _codes(term, factor, new_levels, able)
    for a, b in combinations(range(len(codes)), 2):
        strange = (codes[a] == NEW) & (codes[b] == NEW) & (factor.codes[a] == factor.codes[b])
        if strange.any():
            raise MMEError(
                f"grouping factor '{term.group}': {shown(factor.categories[factor.codes[a][strange][0]])}, which the "
                "fit did not see, has two coefficients of one new record: predict it apart"
            )
    missing = codes == MISSING
    return np.where(missing, codes[0], codes), np.where(missing.T, 0.0, covariates)


def _without_unknown(term: Term, factor: Factor) -> Factor:
    """Missing labels for what stands for an unknown one among related levels."""
    if term.relationship is None:
        return factor
    labels = labels_of(factor.categories)
    known = places(factor.categories, term.levels) >= 0
    is_mark = [label in UNKNOWN and not here for label, here in zip(labels, known.tolist(), strict=True)]
    return replace(factor, codes=np.where(np.array([*is_mark, True])[factor.codes], -1, factor.codes))


def _codes(term: Term, factor: Factor, new_levels: str, able: np.ndarray) -> np.ndarray:
    """Codes of labels among the levels of a term; a record without a label is of a level that the fit did not see.

    ``able`` (n,) marks the records that can be predicted at all.
    """
    position = places(factor.categories, term.levels)
    codes = np.append(position, MISSING)[factor.codes]
    first = np.atleast_2d(codes)[0]
    if new_levels == "error" and (position == NEW).any() and (unknown := codes == NEW).any():
        found = sorted(labels_of(factor.categories[np.unique(factor.codes[unknown])]))
        among = (
            "" if term.relationship is None else ", or fit with a relationship that has them, so that relatives count"
        )
        raise MMEError(
            f"grouping factor '{term.group}' has {len(found)} level(s) that the fit did not see: {named(found)}; use "
            f"new_levels='population' to predict them at the population value{among}"
        )
    without = (first == MISSING) & able
    if new_levels == "error" and without.any():
        raise MMEError(
            f"grouping factor '{term.group}' has no label in {int(without.sum())} of {first.size} new rows; use "
            "new_levels='population' to predict them at the population value"
        )
    first[first == MISSING] = NEW
    return codes
