"""The ways to degrees of freedom, by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.inference.fixed.kenward_roger import kenward_roger
from mme.inference.fixed.reference import Normal, Reference
from mme.inference.fixed.satterthwaite import satterthwaite
from mme.inference.fixed.wide import wide_reference
from mme.tables.arrays import shown

# Spellings of the methods, by their letters.
_SPELLINGS = {
    "satterthwaite": ("satterthwaite", "satterthwaites", "satt", "sat"),
    "kenward-roger": ("kenwardroger", "kenwardrogers", "kenward", "kr"),
    "none": ("none", "normal", "asymptotic", "wald", "z", "inf", "lme"),
}


def reference(fit: Fitted, ddf: str) -> Reference:
    """The reference named ``ddf``; each is computed once a fit."""
    method = ddf_method(ddf)
    if fit.model.is_wide:
        return wide_reference(fit, method)
    if method == "none":
        return Normal(fit.estimates.beta, fit.estimates.half)
    make: Callable[[Fitted], Reference] = satterthwaite if method == "satterthwaite" else kenward_roger
    return fit.determined.once(make)


def ddf_method(ddf: str) -> str:
    """``"satterthwaite"``, ``"kenward-roger"`` or ``"none"``, of the usual spellings.

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
        f"ddf must be 'satterthwaite', 'kenward-roger' or 'none' (the normal distribution), got {shown(ddf)}"
    )
