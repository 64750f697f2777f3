r"""Residuals in the units that a question needs: of the data, of their standard deviation, of independent draws.

Decorrelated residuals, W (y - X beta) / sigma with W V W' = I, are cheap where V has one grouping factor: with
Z_g = Q_g R_g, A = R_g T and L L' = I + A A' (``absorption.py``)

    V_g = I + Q_g A A' Q_g',   W_g = I - Q_g (I - L^-1) Q_g'   =>   W_g V_g W_g' = (I - Q_g Q_g') + Q_g Q_g' = I   (W)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.hat import Hat
from mme.diagnosis.records import RecordHat
from mme.engine.absorption import absorb, factor_levels
from mme.errors import MMEError
from mme.solution.estimates import Estimates
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    from mme.api.face import Fit

KINDS = ("response", "pearson", "normalised", "standardised", "deletion", "marginal", "decorrelated")


def scaled_residuals(fit: Fit, kind: str = "standardised") -> Any:
    r"""Residuals of a kind, one a row of the data.

    Parameters
    ----------
    kind : str
        ================  ==========================================================================================
        ``response``      y - fitted, units of the response: :attr:`Fit.residuals`
        ``pearson``       (y - fitted) / sd(e), with prior weights and variance functions: lme4's
                          ``residuals(type="pearson", scaled=TRUE)``, nlme's ``"pearson"``
        ``normalised``    the same, and correlated residuals made independent: nlme's ``"normalized"``
        ``standardised``  normalised / sqrt(1 - leverage): variance one for every record, the influential ones too
        ``deletion``      y less its prediction from all other records, over the sd of that: (P y)_i / (sigma
                          sqrt(P_ii)), P as in :meth:`Fit.dfbeta`; ``standardised``, unless residuals are correlated,
                          where that is of a whitened record and this of the record
        ``marginal``      y - X beta - offset, units of the response; random effects are left in
        ``decorrelated``  W (y - X beta - offset) / sigma with W V W' = I: like independent N(0, 1) draws if the whole
                          model holds (Houseman, Ryan and Coull 2004, J. Am. Stat. Assoc. 99, 383-394); for models with
                          one grouping factor
        ================  ==========================================================================================

    Raises
    ------
    MMEError
        The kind is unknown, or ``"decorrelated"`` is asked of crossed, nested or related levels.

    Examples
    --------
    >>> import mme
    >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    >>> [round(float(fit.scaled_residuals(kind).abs().max()), 3) for kind in ("pearson", "standardised")]
    [5.179, 5.527]
    """
    return fit.rows.aligned(_values(fit, kind), f"{kind} residuals")


def _values(fit: Fit, kind: str) -> np.ndarray:
    if not is_word(kind, KINDS):
        raise MMEError(f"kind must be one of {', '.join(map(repr, KINDS))}; got {shown(kind)}")
    estimates, model = fit.estimates, fit.model
    if kind == "response":
        return np.asarray(model.y - estimates.fitted)
    if kind == "marginal":
        return np.asarray(model.y - estimates.population)
    if kind == "pearson":
        return np.asarray((model.y - estimates.fitted) / residual_sd(estimates))
    if kind == "normalised":
        return estimates.whitened_residual() / fit.sigma
    if kind == "standardised":
        with np.errstate(divide="ignore", invalid="ignore"):
            return estimates.whitened_residual() / (fit.sigma * np.sqrt(np.maximum(1.0 - fit.hat.diagonal, 0.0)))
    if kind == "deletion":
        record = RecordHat(Hat(estimates.objective, estimates.theta, estimates.at), estimates.whitened_residual())
        return np.asarray(record.residual / (fit.sigma * np.sqrt(record.left)))
    return _decorrelated(estimates) / fit.sigma


def residual_sd(estimates: Estimates) -> np.ndarray:
    """Standard deviation of e for every record (n,)."""
    model = estimates.objective.model
    sd = np.full(model.n, estimates.sigma)
    if model.weights is not None:
        sd /= np.sqrt(model.weights)
    if model.residual is not None:
        sd *= np.exp(model.residual.log_sd(estimates.objective.phi))
    return sd


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
