"""Joint F tests of all contrasts of each term, within levels of other factors, as emmeans' ``joint_tests``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.formula.syntax import deparse
from mme.inference.fixed.comparisons import comparisons_of
from mme.inference.fixed.grid import columns_in
from mme.inference.fixed.means import Means, marginal_means, points_of
from mme.inference.fixed.reference import FTest, Reference
from mme.inference.fixed.wanted import wanted_by
from mme.inference.fixed.wide_grid import reference_grid
from mme.tables.arrays import dimensions

if TYPE_CHECKING:
    import pandas as pd


def joint_tests(fit: Record, by: str | Sequence[str], at: Mapping[str, Any] | None, to: Reference) -> pd.DataFrame:
    """``num_df, den_df, F, p``: one row per term of the other variables at each combination of the levels of ``by``.

    The hypothesis is that all interaction contrasts of the term are zero; a covariate counts by its slope.

    Raises
    ------
    MMEError
        The fit is not by formula, or ``by`` names all that there is to test.
    """
    import pandas as pd

    own, given = wanted_by(fit, by), points_of(at)
    terms = _terms(fit, own)
    if not terms:
        known = ", ".join(dict.fromkeys(name for term in _terms(fit, ()) for name in term)) or "none"
        within = f"by={own} leaves nothing" if own else "the fixed part has nothing but an intercept"
        raise MMEError(f"joint_tests: {within} to test within levels; the factors and covariates are: {known}")
    rows: dict[tuple[Any, ...], FTest] = {}
    nested = _nested(fit)
    for term in terms:
        inner = next((name for name in term if name in nested and {*term} <= {name, *nested[name]}), "")
        outer = [name for name in nested.get(inner, ()) if name not in own]
        if outer:
            rows |= _within(fit, inner, outer, own, given, to)
            continue
        several = {name: given[name] for name in given if dimensions(given[name]) > 0}
        points = {name: _two(fit, name) for name in term if name in fit.specification.means and name not in several}
        means = marginal_means(fit, list(term), own, given | points)
        for labels, L in _hypotheses(fit, means):
            rows[(*labels, ":".join(term))] = to.f_test(L, L @ to.beta)
    rows = {key: test for key, test in rows.items() if test.numerator}
    names = [*own, "term"]
    index = pd.MultiIndex.from_tuples(list(rows), names=names) if own else pd.Index([k[0] for k in rows], name="term")
    table = pd.DataFrame(
        {
            "num_df": [test.numerator for test in rows.values()],
            "den_df": [test.denominator for test in rows.values()],
            "F": [test.F for test in rows.values()],
            "p": [test.p for test in rows.values()],
        },
        index=index,
    )
    return table.sort_index(level=list(range(len(own))), sort_remaining=False, kind="stable") if own else table


def _terms(fit: Record, by: Sequence[str]) -> list[tuple[str, ...]]:
    """The factors and covariates of each term, without those of ``by``, each set once."""
    spec = fit.specification
    if spec is None:
        raise MMEError("joint tests need a fit by formula (mme.lmer, mme.glmer), which knows the terms; see test()")
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for term in spec.fixed.terms:
        names = list[str]()
        for node in term:
            names += [deparse(node)] if node in spec.codings else sorted(columns_in(spec, node) & set(spec.means))
        left = tuple(dict.fromkeys(name for name in names if name not in by))
        if left:
            found.setdefault(frozenset(left), left)
    return list(found.values())


def _nested(fit: Record) -> dict[str, list[str]]:
    """Of each factor whose levels each occur in one level of others: these."""
    nested = reference_grid(fit, {}).nested
    return {deparse(inner): [deparse(node) for node in outer] for inner, outer in nested.items()}


def _within(
    fit: Record, inner: str, outer: list[str], own: list[str], given: dict[str, Any], to: Reference
) -> dict[tuple[Any, ...], FTest]:
    """Tests of a nested factor: of the differences of its levels within those of the outer factors, as emmeans'."""
    means = marginal_means(fit, [inner], [*own, *outer], given)
    L = dict[tuple[Any, ...], list[np.ndarray]]()
    for labels, rows in _hypotheses(fit, means, "pairwise"):
        L.setdefault(labels[: len(own)], []).append(rows)
    stacked = {labels: np.vstack(parts) for labels, parts in L.items()}
    name = ":".join([*outer, inner])
    return {(*labels, name): to.f_test(rows, rows @ to.beta) for labels, rows in stacked.items()}


def _two(fit: Record, name: str) -> list[float]:
    """Two values of a covariate about its mean: their difference is its slope where it is linear."""
    mean = fit.specification.means[name]
    return [mean - 1.0, mean + 1.0]


def _hypotheses(fit: Record, means: Means, kind: str = "sequential") -> list[tuple[tuple[Any, ...], np.ndarray]]:
    """The interaction contrasts at each combination of the by factors, on the kept columns."""
    found = []
    by = list(dict.fromkeys(labels[: means.n_by] for labels in means.levels))
    comparisons = comparisons_of(means, kind, crossed=True)  # of one factor the family itself
    for labels, family in zip(by, comparisons.families, strict=True):
        L = np.asarray(comparisons.C[family.start : family.stop] @ means.L)
        found.append((labels, L[fit.aliasing.estimable(L)][:, fit.basis.kept]))
    return found
