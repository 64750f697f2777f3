"""The random effects as tables and arrays by grouping factor or by term: BLUPs, variances, reliabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.at_levels import chosen_levels, covariance_at
from mme.fitted.common import Record
from mme.fitted.effects import Effects, conditional_covariance, effects, error_covariance
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.generalised.estimates import GeneralisedEstimates
from mme.results.genetics import prior_variances, reliabilities
from mme.results.shrinkage import shrinkage_table

if TYPE_CHECKING:
    import pandas as pd


def ranef(fit: Record, by: str) -> dict[str, pd.DataFrame]:
    """BLUPs b: levels x coefficients."""
    return {one.name: one.table(one.beside(fit.estimates.effects)) for one in effects(fit.model, by)}


def coef(fit: Record) -> dict[str, pd.DataFrame]:
    """Beta plus b: levels x (intercept, fixed effects, what is random alone)."""
    tables: dict[str, pd.DataFrame] = {}
    model, beta = fit.model, dict(zip(fit.fixed_names, fit.estimates.beta.tolist(), strict=True))
    given = [name for name in fit.fixed_names if name in model.x_names[: model.p_given]]
    for one in effects(model):
        first = [name for name in one.fixed if name == "(Intercept)" and name not in given]
        names = list(dict.fromkeys([*first, *given, *one.fixed]))
        values = np.tile([beta.get(name, 0.0) for name in names], (one.n_levels, 1))
        for name, b in zip(one.fixed, one.beside(fit.estimates.effects).T, strict=True):
            values[:, names.index(name)] += b
        tables[one.name] = replace(one, columns=tuple(names)).table(values)
    return tables


def condvar(fit: Fitted, by: str, levels: Any = None) -> dict[str, np.ndarray]:
    """var(b | y) (levels, q, q), beta held at its estimate; of some ``levels`` by name, where they are given."""
    if levels is not None:
        return {one.name: covariance_at(fit, one, g, with_beta=False) for one, g in chosen_levels(fit, by, levels)}
    return {one.name: conditional_covariance(fit.estimates, one) for one in effects(fit.model, by)}


def generalised_condvar(fit: GeneralisedFitted, by: str) -> dict[str, np.ndarray]:
    """var(b | y) at the mode (levels, q, q), parameters held."""
    found = fit.estimates
    return {one.name: _joined(found, one, found.condvar, found.block_condvar) for one in effects(fit.model, by)}


def generalised_pev(fit: GeneralisedFitted, by: str) -> dict[str, np.ndarray]:
    """var(b_hat - b) (levels, q, q), what parameters leave uncertain included."""
    found = fit.estimates
    return {one.name: _joined(found, one, found.pev, found.block_pev) for one in effects(fit.model, by)}


def generalised_reliability(fit: GeneralisedFitted, by: str) -> dict[str, pd.DataFrame]:
    """1 - PEV / var(b): levels x coefficients."""
    found = reliabilities(fit.model, fit.theta, 1.0, fit.estimates.pev)
    return {one.name: one.table(one.beside(found)) for one in effects(fit.model, by)}


def _joined(
    estimates: GeneralisedEstimates, of: Effects, by_term: list[np.ndarray], by_block: list[np.ndarray]
) -> np.ndarray:
    """Terms on one factor stand in one block, and their covariance beside theirs."""
    if len(of.terms) == 1:
        return by_term[of.terms[0]]
    for block, V in zip(estimates.problem.blocks, by_block, strict=True):
        if set(of.terms) <= set(block.terms):
            places = dict(zip(block.terms, block.column_slices, strict=True))
            at = np.concatenate([np.arange(places[t].start, places[t].stop) for t in of.terms])
            return V[:, at[:, None], at]
    raise MMEError(
        f"the terms on '{of.group}' have relationships of their own: their effects at a level are in tables by "
        'term; write by="term"'
    )


def pev(fit: Fitted, by: str, levels: Any = None) -> dict[str, np.ndarray]:
    """var(b_hat - b) (levels, q, q); of some ``levels`` by name, where they are given."""
    if levels is not None:
        return {one.name: covariance_at(fit, one, g, with_beta=True) for one, g in chosen_levels(fit, by, levels)}
    return {one.name: error_covariance(fit.estimates, one) for one in effects(fit.model, by)}


def reliability(fit: Fitted, by: str, levels: Any = None) -> dict[str, pd.DataFrame]:
    """1 - PEV / var(b): levels x coefficients; of some ``levels`` by name, where they are given."""
    if levels is not None:
        prior = prior_variances(fit.model, fit.theta, fit.sigma)
        return {one.name: _reliability_at(fit, one, g, prior) for one, g in chosen_levels(fit, by, levels)}
    found = reliabilities(fit.model, fit.theta, fit.sigma, fit.estimates.effects_pev)
    return {one.name: one.table(one.beside(found)) for one in effects(fit.model, by)}


def _reliability_at(fit: Fitted, of: Effects, g: np.ndarray, prior: list[np.ndarray]) -> pd.DataFrame:
    variances = np.einsum("gii->gi", covariance_at(fit, of, g, with_beta=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = 1.0 - variances / of.beside(prior)[g]
    if any(one.term in of.terms for one in fit.model.unknown_parents):
        found[found < 0.0] = np.nan
    return replace(of, levels=of.levels[g]).table(found)


def shrinkage(fit: Fitted, by: str) -> dict[str, pd.DataFrame]:
    """Pooled, separate and partially pooled estimates: one row per level."""
    return {one.name: shrinkage_table(fit.estimates, one) for one in effects(fit.model, by)}
