"""Comparison of nested fits by likelihood ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from mme.errors import MMEError

if TYPE_CHECKING:
    import pandas as pd

    from mme.fit import Fit


def anova(*fits: Fit) -> pd.DataFrame:
    r"""Likelihood-ratio tests of nested fits, from the smallest model to the largest.

    2 (l_large - l_small) is compared with a chi-square on the difference of their parameters (Wilks 1938). For a
    variance at zero that reference is conservative.

    Parameters
    ----------
    *fits : Fit
        Two or more fits to the same records, all by ML; or all by REML with the same fixed effects.

    Returns
    -------
    DataFrame
        ``npar, aic, bic, loglik, deviance, chisq, df, p``, one row a fit.

    Raises
    ------
    MMEError
        Fewer than two fits, different records, mixed methods, or REML fits with different fixed effects: their
        criteria are likelihoods of different data.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("sleepstudy")
    >>> null = mme.lmer("Reaction ~ 1 + (1 | Subject)", data, method="ML")
    >>> days = mme.lmer("Reaction ~ Days + (1 | Subject)", data, method="ML")
    >>> mme.anova(null, days)["chisq"].round(3).tolist()
    [nan, 116.462]
    """
    import pandas as pd

    check_comparable(fits)
    ordered = sorted(fits, key=lambda fit: fit.dof)
    deviance = np.array([fit.criterion for fit in ordered])
    npar = np.array([fit.dof for fit in ordered])
    chisq = np.concatenate(([np.nan], np.maximum(-np.diff(deviance), 0.0)))
    df = np.concatenate(([np.nan], np.diff(npar)))
    with np.errstate(invalid="ignore"):
        p = np.where(df > 0, chdtrc(df, chisq), np.nan)
    return pd.DataFrame(
        {
            "npar": npar,
            "aic": [fit.aic for fit in ordered],
            "bic": [fit.bic for fit in ordered],
            "loglik": [fit.loglik for fit in ordered],
            "deviance": deviance,
            "chisq": chisq,
            "df": df,
            "p": p,
        },
        index=pd.Index(_labels(ordered), name="model"),
    )


def _labels(fits: list[Fit]) -> list[str]:
    labels = [fit.formula or f"model {i + 1}" for i, fit in enumerate(fits)]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} [{i + 1}]" for i, label in enumerate(labels)]


def check_comparable(fits: tuple[Fit, ...]) -> None:
    """Refuse fits whose likelihoods are of different data."""
    odd = next((fit for fit in fits if not hasattr(fit, "criterion")), None)
    if odd is not None:
        raise MMEError(f"anova compares fits as mme.lmer and mme.fit return them, got {type(odd).__name__}")
    if len(fits) < 2:
        raise MMEError(f"anova compares two or more fits, got {len(fits)}; for one fit see coefficients()")
    first = fits[0]
    methods = sorted({fit.method for fit in fits})
    if len(methods) > 1:
        raise MMEError(
            "anova cannot compare REML with ML fits, whose criteria are different likelihoods; refit with method='ML'"
        )
    if any(fit.nobs != first.nobs or not np.array_equal(fit.model.y, first.model.y) for fit in fits[1:]):
        sizes = ", ".join(str(fit.nobs) for fit in fits)
        raise MMEError(
            f"the fits do not share their records (responses of {sizes} records): rows with missing "
            "values were dropped differently, or the responses differ; fit all models to the same rows"
        )
    if methods == ["REML"] and any(not same_span(first, fit) for fit in fits[1:]):
        raise MMEError(
            "REML fits with different fixed effects cannot be compared: REML is the likelihood of what the fixed "
            "effects leave, so each has different data; refit with method='ML'"
        )


def same_span(one: Fit, other: Fit) -> bool:
    """Whether two X have one column space: the projection of one basis on the other loses nothing."""
    Q, P = one.objective.basis.Q, other.objective.basis.Q
    return Q.shape == P.shape and bool(np.allclose(np.linalg.norm(Q.T @ P), np.sqrt(Q.shape[1]), rtol=1e-9))
