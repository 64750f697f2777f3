"""Results as plain tables that join across models: one row per estimate, one row per model, one row per record.

The three follow R's broom (Robinson, Hayes and Couch) and broom.mixed: ``tidy``, ``glance`` and ``augment``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.influence import cooks_distance, leverage
from mme.diagnosis.residuals import kind_at_hand, scaled_residuals
from mme.errors import MMEError
from mme.files.export import modes_table
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.inference.fixed.contrasts import coefficient_table
from mme.inference.fixed.methods import reference
from mme.inference.fixed.quantiles import t_quantile
from mme.results.shares import has_shares, icc, r2
from mme.results.variance_rows import variance_rows
from mme.tables.arguments import check_level, names_of
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

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
    """One row per estimate."""
    check_level(level)
    ways = {"fixed": lambda: _fixed(fit, ddf, level), "variance": lambda: _variance(fit, level)}
    return stacked(effects, ways | {"blup": lambda: blups(fit, level)})


def stacked(effects: str | Sequence[str], ways: Mapping[str, Callable[[], Columns]]) -> pd.DataFrame:
    """The tables of the effects that are asked for under one another; ``ways`` make their columns.

    Raises
    ------
    MMEError
        Another effect is asked for, or none.
    """
    import pandas as pd

    chosen = names_of(effects, "effects")
    if not chosen or not set(chosen) <= set(ways):
        raise MMEError(f"effects are {', '.join(map(repr, ways))}; got {shown(effects)}")
    parts = [_with_all_columns(name, ways[name]()) for name in chosen]
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS})


def glance(fit: Fitted) -> pd.DataFrame:
    """One row: what describes the whole fit."""
    import pandas as pd

    known = has_shares(fit)
    r_squared = r2(fit) if known else {"marginal": np.nan, "conditional": np.nan}
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
        "icc": icc(fit)["all"] if known else np.nan,
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
    """One row per record: the data (where given) and what the fit says of it; NaN where the row was left out."""
    columns = {
        ".fitted": fit.rows.aligned(fit.estimates.fitted, "fitted"),
        ".population": fit.rows.aligned(fit.estimates.population, "population"),
        ".residual": fit.rows.aligned(fit.model.y - fit.estimates.fitted, "residuals"),
    }
    if (kind := kind_at_hand(fit)) == "standardised":
        told = {
            ".standardised": scaled_residuals(fit),
            ".leverage": leverage(fit),
            ".cooks_distance": cooks_distance(fit),
        }
    else:  # records of several levels are whitened together
        told = {f".{kind}": scaled_residuals(fit, kind)}
    return beside(fit, columns | told, data)


def beside(fit: Record, columns: Mapping[str, Any], data: Any) -> pd.DataFrame:
    """Columns of all rows to the right of the data, or of the response where these are not given."""
    import pandas as pd

    made = {name: np.asarray(values) for name, values in columns.items()}
    if data is None:
        response = {fit.model.response: fit.rows.full(fit.model.y)}
        return pd.DataFrame(response | made, index=fit.rows.index)
    table = _opened(data)
    if len(table) != fit.rows.kept.size:
        raise MMEError(f"data has {len(table)} rows, the data of the fit had {fit.rows.kept.size}")
    return table.assign(**made)


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


def blups(fit: Record, level: float) -> Columns:
    """The random effects with intervals from var(b | y)."""
    table = modes_table(fit)
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


def _with_all_columns(effect: str, columns: Columns) -> dict[str, np.ndarray]:
    """All columns of the table; labels that are not there are None, numbers NaN."""
    n = columns["estimate"].size
    out = {"effect": np.full(n, effect, dtype=object)}
    for name in _COLUMNS[1:]:
        missing = np.full(n, None) if name in _LABELS else np.full(n, np.nan)
        out[name] = columns.get(name, missing)
    return out
