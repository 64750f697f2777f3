"""Wald intervals of the fixed effects: estimate and standard error against the normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy.special import ndtri

from mme.errors import MMEError

if TYPE_CHECKING:
    import pandas as pd


def wald_intervals(beta: pd.Series, se: pd.Series, level: float) -> pd.DataFrame:
    """``lower, upper``: estimate plus and minus the normal quantile times the standard error."""
    import pandas as pd

    if not 0.0 < level < 1.0:
        raise MMEError(f"level must lie between 0 and 1, got {level!r}")
    half = ndtri(0.5 + level / 2.0) * se
    return pd.DataFrame({"lower": beta - half, "upper": beta + half})
