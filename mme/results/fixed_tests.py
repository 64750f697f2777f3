"""Tests of the fixed effects, one by one, as a summary prints them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FixedTests:
    """Standard errors (p,), the statistics that they make, and what these are compared with.

    Attributes
    ----------
    se, statistic : (p,) arrays
    df, p : (p,) array or None
        Degrees of freedom, None for the normal distribution; p-values, None where they were not computed.
    symbol : str
        What the statistic is called: ``"t"`` or ``"z"``.
    method : str
        How the degrees of freedom were found, in the words of a table's title; empty where nothing need be said.
    notes : tuple of str
        What a reader should know of the tests.
    """

    se: np.ndarray
    statistic: np.ndarray
    df: np.ndarray | None
    p: np.ndarray | None
    symbol: str
    method: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What stands above the table."""
        return f"Fixed effects, {self.method}" if self.method else "Fixed effects"
