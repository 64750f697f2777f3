"""The groups of a fit that stand for independent cases: those that a bootstrap draws, and a jackknife leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.diagnosis.influence import grouping
from mme.errors import MMEError
from mme.fitted.common import Record, require_records
from mme.model.cases import Cases, LeftOut, Resampled, outermost
from mme.numeric.limits import limits


def resampled_groups(fit: Record, by: Any, entropy: int) -> Resampled:
    """Groups drawn with replacement: levels of the factor ``by``, or of the one that holds all others.

    Raises
    ------
    MMEError
        Factors cross and none is named, it has one level, or groups of this model are no independent cases.
    """
    codes = outermost(fit.model.terms) if by is None else grouping(fit, by)[0]
    if codes is None and fit.model.terms:
        names = [repr(term.name) for term in fit.model.terms]
        raise MMEError(
            f"draws='cases' draws groups with their records, and {', '.join(names)} cross: name the factor whose "
            f"levels are drawn, by={names[0]}; copies of a level then share the levels of the factors that cross it"
        )
    cases = _cases(fit, codes)
    if cases.J < 2:
        raise MMEError("draws='cases' needs two groups at the least, and there is one")
    return Resampled(cases, entropy)


def groups_left_out(fit: Record, by: Any) -> LeftOut:
    """Groups left out one by one, or some at a time where they are many: of the same factor.

    Where factors cross and none is named it is the one of the most levels.
    """
    codes = outermost(fit.model.terms) if by is None else grouping(fit, by)[0]
    if codes is None and fit.model.terms:
        codes = max(fit.model.terms, key=lambda term: term.n_levels).first_codes
    cases = _cases(fit, codes)
    return LeftOut(cases, min(cases.J, limits().groups_left_out))


def _cases(fit: Record, codes: np.ndarray | None) -> Cases:
    """Groups by their codes; records where there are none."""
    require_records(fit, "groups drawn or left out")
    return Cases.by(fit.model, fit.basis.kept, np.arange(fit.model.n) if codes is None else codes)
