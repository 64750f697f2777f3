"""The way in to linear models without random effects: least squares by the same engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mme.api.face import Fit
from mme.api.fitting import lmer
from mme.errors import MMEError
from mme.tables.calls import explained


@explained
def lm(
    formula: str,
    data: Any,
    *,
    method: str = "REML",
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    subset: Any = None,
    na_action: str = "drop",
) -> Fit:
    """Fit a linear model by least squares: :func:`mme.lmer` of a formula without bars.

    sigma is that of R's ``lm``, on n - p degrees of freedom, and so are standard errors and tests. ``loglik`` and
    ``aic`` are the restricted ones; ``method="ML"`` gives those of R's ``lm``. :func:`mme.anova` compares it with
    mixed models by whichever of the two they were fitted.

    Parameters
    ----------
    formula : str
        As in :func:`mme.lmer`, without random terms.
    data, method, weights, offset, contrasts, subset, na_action
        As in :func:`mme.lmer`.

    Returns
    -------
    Fit

    Raises
    ------
    MMEError
        The formula has a random term.

    Examples
    --------
    >>> import mme
    >>> sleep = mme.load("sleepstudy")
    >>> least = mme.lm("Reaction ~ Days", sleep)
    >>> round(least.sigma, 3), least.coefficients()["df"].tolist()
    (47.715, [178.0, 178.0])
    >>> mme.anova(least, mme.lmer("Reaction ~ Days + (1 | Subject)", sleep), boundary=True)["chisq"].round(1).tolist()
    [nan, 107.2]
    """
    from mme.formula.bars import split

    if isinstance(formula, str) and split(formula).bars:
        raise MMEError(f"'{formula}' has random terms: fit it by mme.lmer")
    return lmer(
        formula,
        data,
        method=method,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        subset=subset,
        na_action=na_action,
    )
