"""A residual structure, read and checked against the random terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mme.covariance.base import GStructure
from mme.errors import MMEError, warn
from mme.model.term import Term
from mme.residual import Bound, bind
from mme.residual.base import Column
from mme.tables.levels import runs_across, varies_within
from mme.tables.row_labels import check_order


def in_order(labels: Any, column: Column) -> Column:
    """What finds the columns of a structure, which refuses those whose rows have these labels in another order."""

    def found(given: Any) -> Any:
        check_order(given, labels, "a column of the residual structure")
        return column(given)

    return found


def bind_residual(
    residual: Any, column: Column, n: int, terms: Sequence[Term], structures: Sequence[GStructure]
) -> Bound:
    """The residual structure, bound to n records and checked against the random terms."""
    bound = bind(residual, column, n)
    if bound.group is None:
        return bound
    groups = int(bound.group.max()) + 1
    for term, part in zip(terms, structures, strict=True):
        varies = varies_within(term.codes, bound.group)
        if varies and term.by_column:
            raise MMEError(
                f"term '{term.name}' varies within the groups of the residual structure, and its coefficients have "
                "levels of their own: the two do not go together; nest the residual's groups in it, or leave one out"
            )
        if varies:
            _compare_groups(bound, term, terms)
        same = term.relationship is None and term.n_levels == groups and not varies
        if bound.absorbs_intercept and same and _has_intercept(term, part):
            raise MMEError(
                f"the residual structure and the random intercept '{term.name}' on the same groups describe the same "
                "covariance: they cannot be told apart; leave one of them out"
            )
    return bound


def _has_intercept(term: Term, part: GStructure) -> bool:
    """Whether one variance of a term, free of its others, is that of a constant within levels."""
    if term.covariates is None:
        return True
    if part.entries is None:
        return False
    if not part.correlated:
        return bool((np.ptp(term.covariates, axis=0) == 0.0).any())
    if term.by_column:
        return False
    ones = np.ones(term.n)
    return bool(np.allclose(term.covariates @ np.linalg.lstsq(term.covariates, ones)[0], ones, rtol=0.0, atol=1e-9))


def _compare_groups(bound: Bound, crossed: Term, terms: Sequence[Term]) -> None:
    """Say so where groups of the residuals run across the levels of a term, and may be several groups of one label.

    Another term is the crossing of both: with (1 | block/plot) in the model, groups by plot alone are no plots. Or each
    cell holds records enough to be a group, which of structures with times a time that stands twice would tell.
    """
    groups = bound.group
    if groups is None or crossed.by_column or not varies_within(groups, crossed.codes):
        return
    for finer in terms:
        nested = not finer.by_column and not varies_within(np.array([groups, crossed.codes]), finer.codes)
        if nested and np.unique(groups * crossed.n_levels + crossed.codes).size == np.unique(finer.codes).size:
            warn(
                f"residual: its groups run across the levels of '{crossed.group}', though the model has "
                f"'{finer.group}', which keeps these apart; where the groups' labels are used anew in each level of "
                f"'{crossed.group}', write their combination, such as 'block/plot'"
            )
            return
    if bound.absorbs_intercept and runs_across(groups, crossed.codes):
        warn(
            f"residual: its groups run across the levels of '{crossed.group}' with several records in each; where the "
            f"groups' labels are used anew in each level of '{crossed.group}', write their combination, such as "
            "'block/plot'"
        )
