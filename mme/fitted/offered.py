"""Names of a user's model that would do for a parameter of a call."""

from __future__ import annotations

from mme.fitted.common import Record


def offered(fit: Record, parameter: str) -> list[str]:
    """Factors, covariates, terms or coefficients of the fit: what a parameter of this name takes.

    Examples
    --------
    >>> import mme
    >>> fit = mme.lmer("yield ~ nitro * Variety + (1 | Block)", mme.load("Oats"))
    >>> offered(fit.internals, "factors"), offered(fit.internals, "x"), offered(fit.internals, "name")
    (['Variety'], ['nitro'], ['Block'])
    """
    if parameter in ("L", "hypothesis"):
        return list(fit.model.x_names)
    if parameter == "name":
        return [term.name for term in fit.model.terms]
    if fit.specification is None:
        return []
    from mme.formula.syntax import deparse  # a fit by arrays knows no formulas

    factors = [deparse(node) for node in fit.specification.fixed.variables if node in fit.specification.codings]
    numbers = list(fit.specification.means)
    return {"factors": factors, "by": factors, "x": numbers, "variable": [*factors, *numbers]}.get(parameter, [])
