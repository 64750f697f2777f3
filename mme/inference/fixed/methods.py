"""The ways to degrees of freedom, by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from mme.errors import MMEError
from mme.fitted.made_dense import made_dense
from mme.fitted.record import Fitted
from mme.inference.fixed.counted import between_within, containment
from mme.inference.fixed.kenward_roger import kenward_roger
from mme.inference.fixed.kenward_roger_residual import is_linear, of_residuals, without_curvature
from mme.inference.fixed.reference import Normal, Reference
from mme.inference.fixed.satterthwaite import satterthwaite
from mme.inference.fixed.wide import wide_reference
from mme.tables.arrays import shown

_LINEAR = "kenward-roger-linear"
# Spellings of the methods, by their letters.
_SPELLINGS = {
    "satterthwaite": ("satterthwaite", "satterthwaites", "satterth", "satt", "sat"),
    "kenward-roger": ("kenwardroger", "kenwardrogers", "kenward", "kr"),
    _LINEAR: ("kenwardrogerlinear", "krlinear", "kenwardrogerfirstorder"),
    "containment": ("containment", "contain", "con"),
    "between-within": ("betweenwithin", "bw"),
    "none": ("none", "normal", "asymptotic", "wald", "z", "inf", "lme"),
}

_MAKERS: dict[str, Callable[[Fitted], Reference]] = {
    "satterthwaite": satterthwaite,
    "kenward-roger": of_residuals,
    _LINEAR: without_curvature,
    "containment": containment,
    "between-within": between_within,
}


def reference(fit: Fitted, ddf: str) -> Reference:
    """The reference named ``ddf``; each is computed once a fit."""
    method = ddf_method(ddf)
    if fit.model.is_wide and method in ("satterthwaite", "none"):
        return wide_reference(fit, method)
    fit = made_dense(fit, f"ddf='{method}'", "; ddf='satterthwaite' does without")
    if method == "none":
        return Normal(fit.estimates.beta, fit.estimates.half)
    return fit.determined.once(_maker(fit, method))


def _maker(fit: Fitted, method: str) -> Callable[[Fitted], Reference]:
    plain = fit.model.residual is None and fit.model.held is None
    if plain and method in ("kenward-roger", _LINEAR) and is_linear(fit):
        return kenward_roger
    return _MAKERS[method]


def ddf_method(ddf: str) -> str:
    """The name of the method, of the usual spellings.

    Examples
    --------
    >>> ddf_method("Kenward_Roger"), ddf_method("kr"), ddf_method("Satt"), ddf_method("lme4")
    ('kenward-roger', 'kenward-roger', 'satterthwaite', 'none')
    """
    letters = re.sub(r"[^a-z]", "", ddf.lower()) if isinstance(ddf, str) else None
    for method, spellings in _SPELLINGS.items():
        if letters in spellings:
            return method
    raise MMEError(
        "ddf must be 'satterthwaite', 'kenward-roger', 'kenward-roger-linear', 'containment', 'between-within' or "
        f"'none' (the normal distribution), got {shown(ddf)}"
    )
