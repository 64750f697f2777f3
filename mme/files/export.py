"""A fit as a structure that JSON can hold, and its predictions as one long table."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.effects import effects
from mme.fitted.natural import residual_names
from mme.fitted.record import Fitted
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.shown import fixed_tests
from mme.results.fixed_tests import FixedTests
from mme.tables.frame import labels_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

# Raised when a field changes its name, its place or its meaning; new fields leave it as it is.
FORMAT = 1
LEVEL = 0.95


def as_dict(fit: Fitted, ddf: str | None = None) -> dict[str, Any]:
    """Return the fit as plain numbers, strings, lists and dictionaries; a number that is not finite is None.

    The fixed effects are tested as the summary tests them: ``ddf=None`` leaves out what would cost more than the fit.

    =================  =================================================================================================
    field              content
    =================  =================================================================================================
    ``format``         1: the version of this list
    ``formula``        as given; None for a fit made from arrays
    ``response``       what was explained
    ``method``         ``"REML"`` or ``"ML"``
    ``nobs``           records used; ``n_dropped``: rows left out because a value was missing
    ``groups``         number of levels by grouping factor
    ``criterion``      -2 log (restricted) likelihood, lme4's constants; ``loglik``, ``aic``, ``bic``, ``dof`` from it
    ``sigma``          residual standard deviation
    ``theta``          list of ``{name, value}``: relative covariance factors in lme4's order
    ``ddf``            degrees of freedom of the tests, in words; ``level`` of the intervals
    ``beta``           list of ``{name, estimate, se, t, df, p, lower, upper}``: fixed effects
    ``beta_cov``       covariance matrix of ``beta``, a list of rows
    ``dropped``        names of fixed effects that earlier columns determine
    ``varcorr``        list of ``{term, names, sd, corr, cov}``: random effects, one entry a term
    ``relationships``  parameters of relationships that have some, by term: ``{"ou(time | g)": {"range": 4.9}}``
    ``optimum``        ``verdict``, ``converged``, ``singular``, ``boundary`` (thetas that are zero), ``undetermined``
                       (sentences: variances that the data do not determine), ``evaluations``, ``reason``
    ``residual``       where residuals have a structure, list of ``{name, value}``, by the names of ``confint()``
    =================  =================================================================================================
    """
    found = shared(fit, {"sigma": fit.sigma}, fixed_tests(fit, ddf))
    found["optimum"]["undetermined"] = fit.optimum.undetermined
    if fit.residual:
        named = zip(residual_names(fit.model, fit.fixed_names), fit.residual.values(), strict=True)
        found["residual"] = [{"name": name, "value": value} for name, value in named]
    return plain(found)


def shared(fit: Record, own: dict[str, Any], tests: FixedTests) -> dict[str, Any]:
    """What the export of every fit has, with its ``own`` fields among it."""
    return {
        "format": FORMAT,
        "formula": fit.formula,
        "response": fit.model.response,
        "method": fit.method,
        "nobs": fit.nobs,
        "n_dropped": fit.n_dropped,
        "groups": {term.group: term.n_levels for term in fit.model.terms},
        "criterion": fit.criterion,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "dof": fit.dof,
        **own,
        "theta": [{"name": name, "value": v} for name, v in zip(fit.theta_names, fit.theta, strict=True)],
        "ddf": tests.method,
        "level": LEVEL,
        "beta": _tested(fit, tests),
        "beta_cov": fit.estimates.beta_cov,
        "dropped": fit.dropped,
        "varcorr": [
            {"term": term, "names": part.names, "sd": part.sd, "corr": part.corr, "cov": part.cov}
            for term, part in fit.varcorr.items()
        ],
        "relationships": fit.relationships,
        "optimum": {
            "verdict": fit.optimum.verdict,
            "converged": fit.optimum.converged,
            "singular": fit.singular,
            "boundary": fit.optimum.boundary,
            "evaluations": fit.optimum.evaluations,
            "reason": fit.optimum.reason,
        },
    }


def _tested(fit: Record, tests: FixedTests) -> list[dict[str, Any]]:
    """Fixed effects with their tests and intervals; NaN where these were not computed."""
    beta, p = fit.estimates.beta, tests.p
    known = p is not None
    df = np.full(beta.size, np.inf) if tests.df is None else tests.df
    half = t_quantile(LEVEL, df) * tests.se if known else np.full(beta.size, np.nan)
    columns = {
        "name": fit.fixed_names,
        "estimate": beta,
        "se": tests.se,
        tests.symbol: tests.statistic,
        "df": df,
        "p": np.full(beta.size, np.nan) if p is None else p,
        "lower": beta - half,
        "upper": beta + half,
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def ranef_table(fit: Record) -> pd.DataFrame:
    """One row a random effect: ``term, level, coefficient, blup, condsd, pev``; ``term`` as the keys of ``ranef()``.

    ``condsd`` is the square root of var(b | y), beta held at its estimate (lme4's ``condsd``); ``pev`` is
    var(b_hat - b), a variance, the uncertainty of beta included: of a generalised fit that of all parameters.
    """
    pev = [one.variances(fit.estimates.effects_pev).ravel() for one in effects(fit.model)]
    return modes_table(fit).assign(pev=np.concatenate(pev))


def modes_table(fit: Record) -> pd.DataFrame:
    """One row a random effect: ``term, level, coefficient, blup, condsd``; the mode where the model is generalised."""
    import pandas as pd

    estimates = fit.estimates
    parts = [
        pd.DataFrame(
            {
                "term": one.name,
                "level": np.repeat(np.array(labels_of(one.levels), dtype=object), one.q),
                "coefficient": np.tile(np.array(one.columns, dtype=object), one.n_levels),
                "blup": one.beside(estimates.effects).ravel(),
                "condsd": np.sqrt(np.maximum(one.variances(estimates.condvar).ravel(), 0.0)),
            }
        )
        for one in effects(fit.model)
    ]
    return pd.concat(parts, ignore_index=True)


def text_of(exported: dict[str, Any]) -> str:
    """JSON text of an export."""
    return json.dumps(exported, indent=2, allow_nan=False) + "\n"


def save(path: Path, text: str) -> None:
    """Write a file in UTF-8.

    Raises
    ------
    MMEError
        It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MMEError(f"cannot write {path}: {error.strerror}") from None


def plain(found: dict[str, Any]) -> dict[str, Any]:
    """An export of plain numbers, strings, lists and dictionaries alone."""
    made: dict[str, Any] = _plain(found)
    return made


def _plain(value: Any) -> Any:
    """NumPy's arrays and numbers as Python's; what is not finite as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
