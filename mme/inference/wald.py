"""Wald tests and intervals of the fixed effects: estimate and standard error against the normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from mme.errors import MMEError

if TYPE_CHECKING:
    import pandas as pd


def wald_table(beta: pd.Series, se: pd.Series) -> pd.DataFrame:
    """``estimate, se, df, t, p``: two-sided, infinite degrees of freedom."""
    import pandas as pd

    t = beta / se
    return pd.DataFrame({"estimate": beta, "se": se, "df": np.inf, "t": t, "p": 2.0 * ndtr(-np.abs(t))})


def wald_intervals(beta: pd.Series, se: pd.Series, level: float) -> pd.DataFrame:
    """``lower, upper``: estimate plus and minus the normal quantile times the standard error."""
    import pandas as pd

    if not 0.0 < level < 1.0:
        raise MMEError(f"level must lie between 0 and 1, got {level!r}")
    half = ndtri(0.5 + level / 2.0) * se
    return pd.DataFrame({"lower": beta - half, "upper": beta + half})
