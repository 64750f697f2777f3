"""Designs of several sizes, and the confidence interval of a simulated power."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import beta as beta_distribution

from mme.errors import MMEError
from mme.tables.arguments import count, number
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


class SimulatedTests(NamedTuple):
    """Fits to drawn responses of so many ``records``: p-values (nsim,), NaN where one failed; which are singular."""

    records: int
    p: np.ndarray
    singular: np.ndarray


def effect_weights(test: Any, names: Collection[str]) -> dict[str, float]:
    """The weights of the tested contrast by fixed effect, of one effect's name or of a mapping.

    Raises
    ------
    MMEError
        It is neither, has an effect that there is not, or a weight that is no number.

    Examples
    --------
    >>> effect_weights("x", ["(Intercept)", "x"]), effect_weights({"a": 1, "b": -1}, ["a", "b"])
    ({'x': 1.0}, {'a': 1.0, 'b': -1.0})
    """
    weights = {test: 1.0} if isinstance(test, str) else test
    if not isinstance(weights, Mapping) or not weights or not set(weights) <= set(names):
        raise MMEError(
            f"test must be a fixed effect, of {', '.join(map(repr, names))}, a mapping of weights by these, or a "
            f"function of a fit; got {shown(test)}"
        )
    return {
        one: number(w, f"test: the weight of {one!r} must be a number", lambda _: True) for one, w in weights.items()
    }


def p_value(given: Any) -> float:
    """What a test of the user's own gives for a fit: a p-value, or NaN.

    Raises
    ------
    MMEError
        It is anything else.
    """
    p = float(given) if isinstance(given, Real) else np.inf
    if p < 0.0 or p > 1.0:
        raise MMEError(f"test must return a p-value, a number between 0 and 1; it returned {shown(given)}")
    return p


def sizes_of(extend: Any) -> dict[str, list[int]]:
    """The sizes that each factor is extended to.

    Raises
    ------
    MMEError
        They are no mapping, none, or no whole numbers.

    Examples
    --------
    >>> sizes_of({"subject": [10, 20], "item": 8}), sizes_of(None)
    ({'subject': [10, 20], 'item': [8]}, {})
    """
    if extend is not None and not isinstance(extend, Mapping):
        raise MMEError(f"extend must be sizes by factor, {{'subject': [20, 40]}}; got {shown(extend)}")
    grid = {name: np.atleast_1d(np.asarray(sizes, dtype=object)).tolist() for name, sizes in (extend or {}).items()}
    for name, sizes in grid.items():
        if not sizes:
            raise MMEError(f"extend {shown(name)} has no sizes: give one or more whole numbers")
    return {name: [count(size, f"extend {shown(name)}") for size in sizes] for name, sizes in grid.items()}


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


def extended(data: pd.DataFrame, sizes: Mapping[str, int], factors: Collection[str] = ()) -> pd.DataFrame:
    """The rows of a design with so many levels of its factors: level k has the rows of the k-th there is, in turn.

    Of the other ``factors`` those whose levels each lie in one level of an extended one are nested in it: those of a
    copy are levels of their own.

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
        inner = [one for one in factors if one in data.columns and one not in sizes and _is_nested(data[one], codes)]
        rows = [np.flatnonzero(codes == level) for level in range(len(levels))]
        counts = [rows[level % len(levels)].size for level in range(size)]
        data = data.iloc[np.concatenate([rows[level % len(levels)] for level in range(size)])].reset_index(drop=True)
        data[name] = np.repeat(np.arange(1, size + 1), counts)
        copied = np.repeat(np.arange(size) // len(levels), counts)
        for one in inner if size > len(levels) else ():
            labels = data[one].astype(str)
            data[one] = labels.where(copied == 0, labels + "." + pd.Series(copied + 1).astype(str))
    return data


def _is_nested(column: pd.Series, codes: np.ndarray) -> bool:
    """Whether a column has several levels in some level of a factor, and each of them in one alone."""
    import pandas as pd

    inner, levels = pd.factorize(column)
    pairs = len(np.unique(np.column_stack([inner, codes]), axis=0))
    return pairs == len(levels) and len(levels) > len(np.unique(codes))
