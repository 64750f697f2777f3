"""Power of a test by simulation: how often it finds an assumed effect, for designs of several sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import beta as beta_distribution

from mme.errors import MMEError
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class PowerCurve:
    """Power by simulation.

    Attributes
    ----------
    table : DataFrame
        A row a design: levels of the factors that were extended, records ``n``, ``nsim``, ``power`` with its 95 %
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


def interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a proportion.

    Examples
    --------
    >>> tuple(round(float(end), 4) for end in interval(8, 10))
    (0.4439, 0.9748)
    """
    tail = (1.0 - level) / 2.0
    low = 0.0 if successes == 0 else beta_distribution.ppf(tail, successes, n - successes + 1)
    high = 1.0 if successes == n else beta_distribution.ppf(1.0 - tail, successes + 1, n - successes)
    return float(low), float(high)


def extended(data: pd.DataFrame, sizes: Mapping[str, int]) -> pd.DataFrame:
    """The rows of a design with so many levels of its factors: level k has the rows of the k-th there is, in turn.

    Raises
    ------
    MMEError
        There is no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> extended(pd.DataFrame({"g": ["a", "a", "b"], "x": [1, 2, 3]}), {"g": 3})
       g  x
    0  1  1
    1  1  2
    2  2  3
    3  3  1
    4  3  2
    """
    import pandas as pd

    for name, size in sizes.items():
        if name not in data.columns:
            raise MMEError(f"there is no column {shown(name)} to extend; there are {', '.join(map(str, data.columns))}")
        codes, levels = pd.factorize(data[name])
        rows = [np.flatnonzero(codes == level) for level in range(len(levels))]
        at = [rows[level % len(levels)] for level in range(size)]
        data = data.iloc[np.concatenate(at)].reset_index(drop=True)
        data[name] = np.repeat(np.arange(1, size + 1), [one.size for one in at])
    return data
