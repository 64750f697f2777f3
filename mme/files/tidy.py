"""Results as plain tables that join across models: a row an estimate, a row a model, a row a record.

The three follow R's broom (Robinson, Hayes and Couch) and broom.mixed: ``tidy``, ``glance`` and ``augment``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.influence import cooks_distance, leverage
from mme.diagnosis.residuals import scaled_residuals
from mme.errors import MMEError
from mme.files.export import ranef_table
from mme.fitted.record import Fitted
from mme.inference.fixed.contrasts import coefficient_table
from mme.inference.fixed.methods import reference
from mme.inference.fixed.quantiles import t_quantile
from mme.results.shares import icc, r2
from mme.results.variance_rows import variance_rows
from mme.tables.arguments import check_level, names_of
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

EFFECTS = ("fixed", "variance", "blup")
Columns = dict[str, np.ndarray]

_LABELS = ("effect", "group", "level", "term")
_COLUMNS = ["effect", "group", "level", "term", "estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"]


def tidy(
    fit: Fitted,
    effects: str | Sequence[str] = ("fixed", "variance"),
    *,
    ddf: str = "satterthwaite",
    level: float = 0.95,
) -> pd.DataFrame:
    """A row an estimate."""
    import pandas as pd

    chosen = names_of(effects, "effects")
    unknown = [name for name in chosen if name not in EFFECTS]
    if unknown or not chosen:
        raise MMEError(f"effects are {', '.join(map(repr, EFFECTS))}; got {shown(effects)}")
    check_level(level)
    parts = []
    for name in chosen:
        if name == "fixed":
            columns = _fixed(fit, ddf, level)
        else:
            columns = _variance(fit, level) if name == "variance" else _blups(fit, level)
        parts.append(_stacked(name, columns))
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS})


def glance(fit: Fitted) -> pd.DataFrame:
    """One row: what describes the whole fit."""
    import pandas as pd

    r_squared = r2(fit)
    row = {
        "formula": fit.formula,
        "method": fit.method,
        "nobs": fit.nobs,
        "dof": fit.dof,
        "sigma": fit.sigma,
        "criterion": fit.criterion,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "r2_marginal": r_squared["marginal"],
        "r2_conditional": r_squared["conditional"],
        "icc": icc(fit)["all"],
        "verdict": fit.optimum.verdict,
        "singular": fit.singular,
    }
    return pd.DataFrame([row])


def _opened(data: Any) -> pd.DataFrame:
    """A table of any library, or what makes one, as a data frame of our own."""
    import pandas as pd

    try:
        return pd.DataFrame(data.to_pandas() if hasattr(data, "to_pandas") else data).copy()
    except (TypeError, ValueError):
        raise MMEError(f"data must be the table of the fit, or what makes a data frame; got {shown(data)}") from None


def augment(fit: Fitted, data: Any = None) -> pd.DataFrame:
    """A row a record: the data (where given) and what the fit says of it; NaN where the row was left out."""
    import pandas as pd

    columns = {
        ".fitted": fit.rows.aligned(fit.estimates.fitted, "fitted"),
        ".population": fit.rows.aligned(fit.estimates.population, "population"),
        ".residual": fit.rows.aligned(fit.model.y - fit.estimates.fitted, "residuals"),
        ".standardised": scaled_residuals(fit),
        ".leverage": leverage(fit),
        ".cooks_distance": cooks_distance(fit),
    }
    if data is None:
        columns = {fit.model.response: fit.rows.aligned(fit.model.y, fit.model.response)} | columns
        return pd.DataFrame({name: np.asarray(values) for name, values in columns.items()}, index=fit.rows.index)
    table = _opened(data)
    if len(table) != fit.rows.kept.size:
        raise MMEError(f"data has {len(table)} rows, the data of the fit had {fit.rows.kept.size}")
    return table.assign(**{name: np.asarray(values) for name, values in columns.items()})


def _fixed(fit: Fitted, ddf: str, level: float) -> Columns:
    table = coefficient_table(fit, reference(fit, ddf))
    half = t_quantile(level, table["df"].to_numpy()) * table["se"]
    return {
        "term": table.index.to_numpy(dtype=object),
        "estimate": table["estimate"].to_numpy(),
        "std_error": table["se"].to_numpy(),
        "df": table["df"].to_numpy(),
        "statistic": table["t"].to_numpy(),
        "p_value": table["p"].to_numpy(),
        "lower": (table["estimate"] - half).to_numpy(),
        "upper": (table["estimate"] + half).to_numpy(),
    }


def _variance(fit: Fitted, level: float) -> Columns:
    rows = variance_rows(fit, float(t_quantile(level, np.array(np.inf))))
    return vars(rows).copy()


def _blups(fit: Fitted, level: float) -> Columns:
    table = ranef_table(fit)
    estimate, se = table["blup"].to_numpy(), table["condsd"].to_numpy()
    half = t_quantile(level, np.array(np.inf)) * se
    return {
        "group": table["term"].to_numpy(dtype=object),
        "level": table["level"].to_numpy(dtype=object),
        "term": table["coefficient"].to_numpy(dtype=object),
        "estimate": estimate,
        "std_error": se,
        "lower": estimate - half,
        "upper": estimate + half,
    }


def _stacked(effect: str, columns: Columns) -> dict[str, np.ndarray]:
    """All columns of the table; labels that are not there are None, numbers NaN."""
    n = columns["estimate"].size
    out = {"effect": np.full(n, effect, dtype=object)}
    for name in _COLUMNS[1:]:
        missing = np.full(n, None) if name in _LABELS else np.full(n, np.nan)
        out[name] = columns.get(name, missing)
    return out
