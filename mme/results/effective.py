"""Effective dimensions: how many free coefficients each random term amounts to, between none and all of them.

The fitted values of a term are Z_t b_t, b_t = G_t Z_t'P y, so that it takes tr(Z_t'P Z_t G_t) of the n dimensions of
the records: all of its coefficients less tr(G_t^-1 PEV_t).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.fitted.record import Fitted
from mme.results.random_effects import pev

if TYPE_CHECKING:
    import pandas as pd

# Eigenvalues of a covariance below this share of the largest are none.
_NOTHING = 1e-10


def effective_dimensions(fit: Fitted) -> pd.Series:
    """Effective dimensions of fixed effects, each term and the residual; they add up to the number of records.

    NaN for terms with a relationship, and for the residual beside these.
    """
    import pandas as pd

    variances, model = pev(fit, "term"), fit.model
    out = {"fixed": float(fit.basis.kept.size)}
    for t, (term, axes) in enumerate(zip(model.terms, model.coordinates.axes, strict=True)):
        G, errors = np.asarray(fit.varcorr[term.name].cov), variances[term.name]
        if axes is not None:  # in the columns a slope far from zero hides the rank
            T = model.T(fit.estimates.in_axes.theta)[t]
            G, errors = fit.sigma**2 * T @ T.T, axes.C @ errors @ axes.C.T
        out[term.name] = _dimension(G, errors) if term.relationship is None else np.nan
    out["residual"] = fit.model.n_records - sum(out.values())
    return pd.Series(out, name="effective dimension")


def _dimension(G: np.ndarray, errors: np.ndarray) -> float:
    """J rank(G) - tr(G^+ sum of PEV) of J levels."""
    values, vectors = np.linalg.eigh(G)
    kept = values > _NOTHING * max(float(values[-1]), 1e-300)
    if not values[-1] > 0.0:
        return 0.0
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return float(len(errors) * kept.sum() - np.sum(inverse * errors.sum(axis=0)))
