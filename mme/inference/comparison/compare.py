"""Comparison of nested fits by likelihood ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from mme.errors import MMEError
from mme.inference.comparison.nested import Difference, check_comparable, difference

if TYPE_CHECKING:
    import pandas as pd

    from mme.api.face import Fit


def anova(*fits: Fit, boundary: bool = False) -> pd.DataFrame:
    r"""Likelihood-ratio tests of nested fits, from the smallest model to the largest.

    2 (l_large - l_small) is compared with a chi-square on the difference of their parameters (Wilks 1938). Where the
    fits differ by a variance that reference is conservative, since zero is the edge of its range; ``boundary=True``
    then compares with the mixture of Self and Liang (1987) and of Stram and Lee (1994), with c covariances that are
    zero along with the variance

        p = P(chi2_c > t) / 2 + P(chi2_{c+1} > t) / 2.

    Parameters
    ----------
    *fits : Fit
        Two or more fits to the same records, all by ML; or all by REML with the same fixed effects.
    boundary : bool
        Choose the reference of each comparison by what its two fits differ in, and say it in the column ``reference``.

    Returns
    -------
    DataFrame
        ``npar, aic, bic, loglik, deviance, chisq, df, p``, one row a fit.

    Raises
    ------
    MMEError
        Fewer than two fits, different records, mixed methods, or REML fits with different fixed effects: their
        criteria are likelihoods of different data. With ``boundary``: two neighbours are not nested, or no reference
        is known, for they differ in fixed and random effects, in several variances or in the residual structure, or
        the smaller is singular itself.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("sleepstudy")
    >>> null = mme.lmer("Reaction ~ 1 + (1 | Subject)", data, method="ML")
    >>> days = mme.lmer("Reaction ~ Days + (1 | Subject)", data, method="ML")
    >>> mme.anova(null, days)["chisq"].round(3).tolist()
    [nan, 116.462]
    >>> slopes = mme.lmer("Reaction ~ Days + (Days | Subject)", data, method="ML")
    >>> mme.anova(null, days, slopes, boundary=True)["reference"].tolist()
    ['', 'chi2(1)', '0.5 chi2(1) + 0.5 chi2(2)']
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
    table = pd.DataFrame(
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
    if not boundary:
        return table
    found = _differences(ordered, table.index.tolist())
    tails = [one.tail(t) for one, t in zip(found, chisq[1:].tolist(), strict=True)]
    return table.assign(p=[np.nan, *tails], reference=["", *(one.reference for one in found)])


def _differences(fits: list[Fit], labels: list[str]) -> list[Difference]:
    """How each fit goes beyond the one before it."""
    found = []
    for j in range(1, len(fits)):
        try:
            found.append(difference(fits[j - 1], fits[j]))
        except MMEError as error:
            raise MMEError(f"{labels[j - 1]} beside {labels[j]}: {error}") from None
    return found


def _labels(fits: list[Fit]) -> list[str]:
    labels = [fit.formula or f"model {i + 1}" for i, fit in enumerate(fits)]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} [{i + 1}]" for i, label in enumerate(labels)]
