"""Tests of generalised fits: z and chi-square on infinite degrees of freedom, on the scale of the link or as ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError, warn
from mme.family.base import Family
from mme.fitted.generalised import GeneralisedFitted
from mme.inference.fixed.reference import Normal
from mme.inference.fixed.separated import separated
from mme.tables.arguments import check_level, is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_ERRORS = ("hessian", "rx")
_SCALES = ("link", "response")
# exp of a difference on the scale of the link is, by the link, a ratio of:
_RATIOS = {"logit": "odds_ratio", "log": "mean_ratio", "cloglog": "hazard_ratio"}
_COUNTS = ("poisson", "nbinom1", "nbinom2")


def normal_reference(fit: GeneralisedFitted, se: str) -> Normal:
    """The normal distribution with the covariance of beta that the word names, as a reference of tests.

    Where data are separated, standard errors of what has no limit are infinite.

    Raises
    ------
    MMEError
        The word is another; degrees of freedom of linear models are no words here, and the message says why.
    """
    if not is_word(se, _ERRORS):
        raise MMEError(
            f"se must be 'hessian' (theta is estimated) or 'rx' (theta is held, lme4's RX), got {shown(se)}; tests of "
            "generalised models are by the normal distribution and have no degrees of freedom of Satterthwaite or of "
            "Kenward and Roger, which are approximations for normal errors"
        )
    estimates = fit.estimates
    if estimates.separation is not None:
        return separated(fit, estimates.separation, with_theta=se != "rx")
    if se == "rx":
        return Normal(estimates.beta, estimates.half_given_theta)
    if estimates.parameter_cov is None:
        warn(
            "the Hessian of the criterion is not positive definite: standard errors hold theta at its estimate, as "
            "those of se='rx'"
        )
    return Normal(estimates.beta, estimates.half)


def is_response(scale: str) -> bool:
    """Whether this is the scale of the response, not that of the link."""
    if not is_word(scale, _SCALES):
        raise MMEError(f"scale must be 'link' or 'response', got {shown(scale)}")
    return scale == "response"


def ratio_name(family: Family) -> str | None:
    """What exp of a difference of two eta is: ``"odds_ratio"``; None where it is no ratio."""
    if family.link == "log" and family.name in _COUNTS:
        return "rate_ratio"
    return _RATIOS.get(family.link)


def required_ratio(family: Family) -> str:
    """The same.

    Raises
    ------
    MMEError
        The link has none.
    """
    name = ratio_name(family)
    if name is None:
        raise MMEError(
            f"scale='response': differences on the scale of the {family.link} link are no ratios on that of the "
            "response, as those of a logit, log or cloglog link are; use scale='link', or means() for the response"
        )
    return name


def z_table(table: pd.DataFrame, level: float, ratio: str | None = None) -> pd.DataFrame:
    """``estimate, se, z, p, lower, upper`` from a table of t tests on infinite degrees of freedom.

    With a ``ratio`` it has the place and name of the estimate: exp of it and of its limits, se by the delta method.
    """
    check_level(level)
    return with_limits(table, -float(ndtri((1.0 - level) / 2.0)), ratio)


def with_limits(table: pd.DataFrame, width: np.ndarray | float, ratio: str | None) -> pd.DataFrame:
    """The same with limits this many standard errors away."""
    table = table.drop(columns="df").rename(columns={"t": "z"})
    half = width * table["se"]
    table = table.assign(lower=table["estimate"] - half, upper=table["estimate"] + half)
    if ratio is None:
        return table
    with np.errstate(over="ignore", invalid="ignore"):
        ends = np.exp(table[["estimate", "lower", "upper"]])
        table = table.assign(se=np.where(np.isinf(table["se"]), np.inf, ends["estimate"] * table["se"]), **ends)
    return table.rename(columns={"estimate": ratio})


def chisq_table(table: pd.DataFrame) -> pd.DataFrame:
    """``chisq, df, p`` from a table of F tests on infinite degrees of freedom."""
    import pandas as pd

    df = table["num_df"]
    return pd.DataFrame({"chisq": table["F"] * df, "df": df, "p": table["p"]})
