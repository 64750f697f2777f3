r"""Variance inflation: how much wider intervals of a term are than they would be were it uncorrelated with the others.

With R the correlations of the estimates but the intercept's, R_jj those of a term and R_oo those of the others

    GVIF = det R_jj det R_oo / det R,        one column: 1 / (1 - R^2) of it on the others

(Fox and Monette 1992, J. Amer. Statist. Assoc. 87, 178-183; R's car). GVIF^(1 / (2 df)) compares terms of several
columns with each other: how much longer an interval is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.formula.columns import INTERCEPT
from mme.inference.fixed.treatment import owners_of

if TYPE_CHECKING:
    import pandas as pd


def inflation(fit: Record, cov: np.ndarray) -> pd.DataFrame:
    """``vif, df, per_df``: one row per term, its generalised inflation, columns, and vif^(1 / (2 df)).

    Raises
    ------
    MMEError
        There are no two terms beside the intercept.
    """
    import pandas as pd

    fit.model.require_dense("vif()")
    owners = np.asarray(owners_of(fit)[fit.basis.kept])
    kept = owners != INTERCEPT
    terms = list(dict.fromkeys(owners[kept].tolist()))
    if len(terms) < 2:
        raise MMEError("vif compares terms of the fixed part, and there are no two beside the intercept")
    cov, owners = cov[np.ix_(kept, kept)], owners[kept]
    sd = np.sqrt(np.diag(cov))
    R = cov / np.outer(sd, sd)
    whole = _logdet(R)
    rows = []
    for term in terms:
        own = owners == term
        log = _logdet(R[np.ix_(own, own)]) + _logdet(R[np.ix_(~own, ~own)]) - whole
        rows.append((float(np.exp(log)), int(own.sum()), float(np.exp(log / (2.0 * own.sum())))))
    return pd.DataFrame(rows, index=pd.Index(terms, name="term"), columns=["vif", "df", "per_df"])


def _logdet(R: np.ndarray) -> float:
    return float(np.linalg.slogdet(R)[1])
