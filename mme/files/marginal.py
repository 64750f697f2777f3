"""A fit as a model of the package marginaleffects, whose predictions, comparisons and slopes then serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.formula.bars import split
from mme.formula.syntax import names_in
from mme.tables.frame import Frame

if TYPE_CHECKING:
    import pandas as pd


def marginal_model(fit: Record, data: Any) -> Any:
    """A ``ModelAbstract`` of marginaleffects: coefficients, their covariance, and means of rows without random effects.

    ``data`` is the table of the fit. Means of a generalised fit are on the scale of the response.

    Raises
    ------
    MMEError
        The package is not installed, or the fit has no formula.
    """
    try:
        import polars as pl
        from marginaleffects.classes import ModelAbstract, ModelVault
    except ImportError:
        raise MMEError("this needs marginaleffects: pip install marginaleffects 'polars<2'") from None
    if fit.specification is None:
        raise MMEError("marginaleffects takes fits by a formula; this one is by arrays")
    table = _table(fit, data)

    class Marginal(ModelAbstract):  # type: ignore[misc]  # the package brings no types
        """Fixed effects of a mixed model."""

        def get_exog(self, newdata: Any) -> np.ndarray:
            rows = fit.specification.rows(newdata, random=False)
            X = rows.X[:, fit.basis.kept]
            return np.column_stack([X, np.zeros(len(X)) if rows.offset is None else rows.offset])

        def get_predict(self, params: np.ndarray, newdata: Any) -> Any:
            X = newdata if isinstance(newdata, np.ndarray) else self.get_exog(newdata)
            mean = _mean(fit, X[:, :-1] @ params + X[:, -1])
            return pl.DataFrame({"rowid": np.arange(mean.size, dtype=np.int32), "estimate": mean})

        def get_vcov(self, vcov: Any = True) -> Any:
            return None if vcov is False else np.asarray(fit.estimates.beta_cov)

    names = list(table)
    vault = ModelVault(
        coef=np.asarray(fit.estimates.beta),
        coefnames=np.array(fit.fixed_names),
        formula=f"{names[0]} ~ {' + '.join(names[1:]) or '1'}",  # only its names are read
        modeldata=pl.from_dict({name: _column(pl, table[name]) for name in names}),
        package="mme",
        vcov=np.asarray(fit.estimates.beta_cov),
        variable_names=names,
    )
    return Marginal(fit, vault)


def _mean(fit: Record, eta: np.ndarray) -> np.ndarray:
    """What a linear predictor means on the scale of the response."""
    return np.asarray(fit.family.mean(eta, fit.estimates.tau)) if isinstance(fit, GeneralisedFitted) else eta


def _table(fit: Record, data: Any) -> pd.DataFrame:
    """The response and the columns of the fixed part, on the rows that were used."""
    import pandas as pd

    frame, parsed = Frame(data), split(fit.specification.formula)
    if frame.n != fit.rows.kept.size:
        raise MMEError(f"data has {frame.n} rows, the table of the fit had {fit.rows.kept.size}")
    named = set[str]().union(*map(names_in, (*fit.specification.fixed.variables, *fit.specification.fixed.offsets)))
    kept = {name: data[name] for name in frame.names if name in named}
    plain = pd.DataFrame({name: one if isinstance(one, pd.Series) else np.asarray(one) for name, one in kept.items()})
    used = plain[fit.rows.kept].reset_index(drop=True)
    response = next(iter(sorted(names_in(parsed.response))), "response")
    used.insert(0, response, np.asarray(fit.model.y), allow_duplicates=False)
    return used


def _column(pl: Any, column: pd.Series) -> Any:
    """A column as marginaleffects takes it: text as an enumeration."""
    if column.dtype.kind in "iufb":
        return pl.Series(column.to_numpy())
    text = column.astype(str)
    levels = column.cat.categories.astype(str) if hasattr(column, "cat") else sorted(text.unique())
    return pl.Series(text.tolist(), dtype=pl.Enum(list(levels)))
