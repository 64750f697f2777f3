"""Designs of several sizes, and the confidence interval of a simulated power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta as beta_distribution

from mme.errors import MMEError
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


def interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion, by the beta distribution (Clopper and Pearson 1934, Biometrika 26:404).

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
    """Give the factors of a design so many levels: further ones take the rows of those there are, in turn.

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
