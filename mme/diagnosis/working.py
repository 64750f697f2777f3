r"""The linear model of working responses at a generalised fit, for what updating says of records and groups.

    z = eta + (y - mu) g'(mu),        var(z | b) = W_e^-1,        b ~ N(0, K (x) T T'),        sigma = 1             (W)

Its coefficient matrix is that of Fisher scoring for beta and u together
and the sum of leverages is what the fit spends. What leaves moves
beta by one step of scoring, theta and the family's parameters held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis import influence
from mme.diagnosis.generalised_residuals import KINDS, deviance, generalised_residuals, pearson
from mme.diagnosis.hat import hat_of
from mme.diagnosis.levels import left_of
from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.search.loop import search
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

# A record of weight zero has this share of the largest weight: its logarithm is finite.
_NOTHING = 1e-60
_STANDARDISED = ("standardised", "standardised_deviance")


def working_record(fit: GeneralisedFitted) -> Fitted:
    """(W) as a linear fit at the given theta."""
    estimates, density = fit.estimates, fit.searched.at.mode.density
    W, eta = np.asarray(density.expected), estimates.eta
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.asarray(density.slope / W)
    z = eta + np.where(np.isfinite(step), step, 0.0)
    W = np.maximum(W, _NOTHING * W.max())
    model = fit.model.beside(y=z, weights=W, sigma=1.0, method="ML")
    found = search(model, fit.theta, False)
    return Fitted(model, found.optimum, found.objective, fit.rows, False, fit.formula, fit.specification)


def generalised_leverage(fit: GeneralisedFitted) -> Any:
    """Diagonal of the hat matrix of (W), one a row of the data."""
    return influence.leverage(fit.once(working_record))


def generalised_scaled_residuals(fit: GeneralisedFitted, kind: str) -> Any:
    """Residuals over their standard deviations, one a row of the data."""
    if is_word(kind, KINDS):
        return generalised_residuals(fit, kind, None)
    if not is_word(kind, _STANDARDISED):
        known = ", ".join(map(repr, (*_STANDARDISED, *KINDS)))
        raise MMEError(f"kind must be one of {known}; got {shown(kind)}")
    h = fit.once(working_record).once(hat_of).diagonal
    e = pearson(fit) if kind == "standardised" else deviance(fit) / np.sqrt(fit.parameters.get("dispersion", 1.0))
    return fit.rows.aligned(np.asarray(e / np.sqrt(left_of(h))), f"{kind} residuals")


def generalised_cooks_distance(fit: GeneralisedFitted, by: Any) -> Any:
    """Cook's distance of every record, or of every group of records."""
    working = fit.once(working_record)
    if by is not None:
        return influence.cooks_distance(working, by)
    h, e, p = working.once(hat_of).diagonal, pearson(fit), fit.basis.kept.size
    distance = e**2 * h / (p * left_of(h) ** 2)
    return fit.rows.aligned(distance, "cooks_distance")


def generalised_dfbeta(fit: GeneralisedFitted, by: Any) -> pd.DataFrame:
    """beta - beta_(g) by one step of scoring when a record, or a group of records, leaves."""
    return influence.dfbeta(fit.once(working_record), by)
