r"""Residuals in the units that a question needs: of the data, of their standard deviation, of independent draws.

Decorrelated residuals, W (y - X beta) / sigma with W V W' = I, are cheap where V has one grouping factor: with
Z_g = Q_g R_g, A = R_g T and L L' = I + A A' (``absorption.py``)

    V_g = I + Q_g A A' Q_g',   W_g = I - Q_g (I - L^-1) Q_g'   =>   W_g V_g W_g' = (I - Q_g Q_g') + Q_g Q_g' = I   (W)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.diagnosis.hat import Hat, hat_of
from mme.diagnosis.levels import left_of
from mme.diagnosis.records import RecordHat
from mme.engine.absorption import absorb
from mme.engine.level_factors import factor_levels
from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.solution.estimates import Estimates
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

KINDS = ("response", "pearson", "normalised", "standardised", "deletion", "marginal", "decorrelated")


def scaled_residuals(fit: Fitted, kind: str = "standardised") -> Any:
    """Residuals of a kind, one a row of the data."""
    return fit.rows.aligned(_values(fit, kind), f"{kind} residuals")


def kind_at_hand(fit: Fitted) -> str:
    """``"standardised"``, or ``"normalised"`` where records are whitened together, so that no leverage is told."""
    try:
        _values(fit, "standardised")
    except MMEError:
        return "normalised"
    return "standardised"


def _values(fit: Fitted, kind: str) -> np.ndarray:
    if not is_word(kind, KINDS):
        raise MMEError(f"kind must be one of {', '.join(map(repr, KINDS))}; got {shown(kind)}")
    estimates, model = fit.estimates, fit.model
    if kind == "response":
        return np.asarray(model.y - estimates.fitted)
    if kind == "marginal":
        return np.asarray(model.y - estimates.population)
    if kind == "pearson":
        return np.asarray((model.y - estimates.fitted) / estimates.record_sd)
    if kind == "normalised":
        return estimates.whitened_residual() / fit.sigma
    if kind == "standardised":
        return estimates.whitened_residual() / (fit.sigma * np.sqrt(left_of(fit.once(hat_of).diagonal)))
    model.require_dense(f"kind='{kind}'")
    if kind == "deletion":
        record = RecordHat(Hat(estimates.objective, estimates.theta, estimates.at), estimates.whitened_residual())
        return np.asarray(record.residual / (fit.sigma * np.sqrt(record.left)))
    return _decorrelated(estimates) / fit.sigma


def _decorrelated(estimates: Estimates) -> np.ndarray:
    """(W) applied to the whitened marginal residual."""
    objective = estimates.objective
    r = estimates.whitened_residual(conditional=False)
    if not objective.blocks:
        return r
    block = objective.absorbing
    if block is None or len(objective.blocks) > 1:
        factors = ", ".join(dict.fromkeys(term.group for term in objective.model.terms))
        raise MMEError(
            f"decorrelated residuals are made for one grouping factor with independent levels; this fit has {factors}. "
            "Use kind='standardised'"
        )
    absorbed, rows = absorb(block, r[None, :])
    projected = absorbed.levels.V[0]
    shrunk = projected - factor_levels(absorbed.levels, objective.factors(estimates.theta).absorbed).forward(projected)
    for a, column in enumerate(rows.Z):
        length = absorbed.levels.R[a, a]
        part = np.divide(shrunk[a], length, out=np.zeros_like(length), where=length > 0.0)[block.codes]
        r = r - (part if column is None else column * part)
    return np.asarray(r)
