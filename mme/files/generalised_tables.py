"""The tables and the export of a generalised fit: ``tidy``, ``glance``, ``augment``, and plain dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from mme.diagnosis import generalised_residuals as residuals
from mme.diagnosis.working import generalised_cooks_distance, generalised_leverage
from mme.files.export import plain, shared
from mme.files.tidy import Columns, beside, blups, stacked
from mme.fitted.generalised import GeneralisedFitted
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.shown import generalised_fixed_tests
from mme.results.generalised_rows import approximation
from mme.results.generalised_variances import generalised_variance_rows
from mme.tables.arguments import check_level

if TYPE_CHECKING:
    import pandas as pd


def tidy(fit: GeneralisedFitted, effects: str | Sequence[str], *, level: float) -> pd.DataFrame:
    """One row per estimate."""
    check_level(level)
    ways = {"fixed": lambda: _fixed(fit, level), "variance": lambda: _variance(fit, level)}
    return stacked(effects, ways | {"blup": lambda: blups(fit, level)})


def glance(fit: GeneralisedFitted) -> pd.DataFrame:
    """One row: what describes the whole fit."""
    import pandas as pd

    row = {
        "formula": fit.formula,
        "method": fit.method,
        "family": fit.family.name,
        "link": fit.family.link,
        "approximation": approximation(fit),
        "nobs": fit.nobs,
        "dof": fit.dof,
        "criterion": fit.criterion,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "verdict": fit.optimum.verdict,
        "singular": fit.singular,
    }
    return pd.DataFrame([row])


def augment(fit: GeneralisedFitted, data: Any) -> pd.DataFrame:
    """One row per record: the data (where given) and what the fit says of it; NaN where the row was left out."""
    estimates = fit.estimates
    of_records = {".leverage": generalised_leverage(fit), ".cooks_distance": generalised_cooks_distance(fit, None)}
    columns = {
        ".fitted": estimates.fitted,
        ".linear_predictor": estimates.eta,
        ".fixed": estimates.population,
        ".residual": residuals.response(fit),
        ".pearson": residuals.pearson(fit),
        ".deviance": residuals.deviance(fit),
    }
    return beside(fit, {name: fit.rows.full(values) for name, values in columns.items()} | of_records, data)


def as_dict(fit: GeneralisedFitted) -> dict[str, Any]:
    """Return the fit as plain numbers, strings, lists and dictionaries; a number that is not finite is None.

    The fields are those of :func:`mme.files.export.as_dict`, but for ``sigma`` and ``residual``; ``beta`` has ``z`` in
    the place of ``t``. Its own are ``family``, ``link``, ``approximation`` and ``parameters``, a list of ``{name,
    value}``: those of the family that were estimated.
    """
    own = {
        "family": fit.family.name,
        "link": fit.family.link,
        "approximation": approximation(fit),
        "parameters": [{"name": name, "value": value} for name, value in fit.parameters.items()],
    }
    return plain(shared(fit, own, generalised_fixed_tests(fit)))


def _fixed(fit: GeneralisedFitted, level: float) -> Columns:
    estimate, se = fit.estimates.beta, fit.estimates.se
    df = np.full(estimate.size, np.inf)
    half, z = t_quantile(level, df) * se, estimate / se
    return {
        "term": np.array(fit.fixed_names, dtype=object),
        "estimate": estimate,
        "std_error": se,
        "df": df,
        "statistic": z,
        "p_value": 2.0 * ndtr(-np.abs(z)),
        "lower": estimate - half,
        "upper": estimate + half,
    }


def _variance(fit: GeneralisedFitted, level: float) -> Columns:
    return vars(generalised_variance_rows(fit, float(t_quantile(level, np.array(np.inf))))).copy()
