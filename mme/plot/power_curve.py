"""Power of a test by simulation, and its curve over the sizes of a design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class PowerCurve:
    """Power by simulation.

    Attributes
    ----------
    table : DataFrame
        One row per design: levels of the factors that were extended, records ``n``, ``nsim``, ``power`` with its 95 %
        interval ``lower, upper`` (Clopper and Pearson), ``singular`` (share of fits) and ``failed``.
    test : str
        What was tested.
    alpha : float
        Level of the test.
    seed : int
        Makes the same responses again.
    """

    table: pd.DataFrame
    test: str
    alpha: float
    seed: int

    def plot(self, ax: Any = None) -> Any:
        """Power against the size of the design, with its interval: a line for each size of a second factor."""
        import matplotlib.pyplot as plt

        ax = plt.subplots()[1] if ax is None else ax
        sizes = [name for name in self.table.columns if name not in COLUMNS]
        first, others = (sizes or ["n"])[0], sizes[1:]
        groups = self.table.groupby(others, sort=True) if others else [((), self.table)]
        for key, part in groups:
            part = part.sort_values(first)
            ends = part["power"] - part["lower"], part["upper"] - part["power"]
            label = (
                ", ".join(f"{value} {name}" for name, value in zip(others, np.atleast_1d(key), strict=False)) or None
            )
            ax.errorbar(part[first], part["power"], yerr=ends, marker="o", capsize=3, label=label)
        ax.axhline(0.8, color="0.6", linewidth=1, linestyle="--")
        ax.set(xlabel=first, ylabel=f"power of {self.test}, alpha = {self.alpha:g}", ylim=(-0.02, 1.02))
        if others:
            ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        return f"Power of {self.test} at alpha = {self.alpha:g}, seed {self.seed}\n{self.table.to_string(index=False)}"


COLUMNS = ("n", "nsim", "power", "lower", "upper", "singular", "failed")
