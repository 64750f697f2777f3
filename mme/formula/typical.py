"""The value of a covariate that the user does not give: its mean, or both values of a column that has two.

The rule is that of Lenth's emmeans: the mean of a column of two numbers (0 and 1, two doses) is a value that no record
has, so that both count, with equal weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from mme.errors import MMEError
from mme.formula.columns import Coded, Variable
from mme.formula.syntax import Node, deparse, names_in
from mme.formula.values import numeric
from mme.tables.frame import Factor, Frame, WideColumn

# So many records usually show that a column has more than two values.
_FIRST = 64


def typical_values(
    expressions: Iterable[Node], frame: Frame, kept: np.ndarray
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The mean of each column of numbers in these expressions over the rows used, and the values of those with two.

    Integers, and booleans as 0 and 1, have a mean as floats do, in any container; labels have none.

    Examples
    --------
    >>> from mme.formula.syntax import Name
    >>> frame = Frame({"age": [3, 8, 4], "treated": [False, True, True], "site": ["u", "v", "v"]})
    >>> typical_values([Name("age"), Name("treated"), Name("site")], frame, np.ones(3, dtype=bool))
    ({'age': 5.0, 'treated': 0.6666666666666666}, {'treated': (0.0, 1.0)})
    """
    means: dict[str, float] = {}
    two_valued: dict[str, tuple[float, float]] = {}
    everywhere = bool(kept.all())
    for name in sorted(set().union(*map(names_in, expressions)) & set(frame.names)):
        column = frame.column(name)
        if isinstance(column, WideColumn):  # a matrix
            averages = column.values[kept].mean(axis=0).tolist()
            means |= {name + suffix: average for suffix, average in zip(column.suffixes, averages, strict=True)}
            continue
        values = _numbers(column, name)
        if values is None:
            continue
        values = values if everywhere else values[kept]
        if not np.isfinite(mean := float(values.mean())):  # ifelse() takes missing values
            values = values[np.isfinite(values)]
            mean = float(values.mean()) if values.size else mean
        if np.isfinite(mean):
            means[name] = mean
            if (two := _two_values(values)) is not None:
                two_valued[name] = two
    return means, two_valued


def middle(values: np.ndarray) -> float:
    """The mean of a column; of one with two values the middle between these."""
    two = _two_values(values)
    return float(values.mean() if two is None else np.mean(two))


def _numbers(column: np.ndarray | Factor, name: str) -> np.ndarray | None:
    try:
        return np.asarray(numeric(column, name))
    except MMEError:
        return None


def _two_values(values: np.ndarray) -> tuple[float, float] | None:
    """The two values of a column that has no others."""
    if len(set(values[:_FIRST].tolist())) > 2:
        return None
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high and ((values == low) | (values == high)).all() else None


def means_of_labels(
    covariates: Iterable[Node], variables: Mapping[Node, Variable], frame: Frame, means: Mapping[str, float]
) -> dict[str, float]:
    """The mean of what is made of labels alone, ``as.numeric(f)`` or ``dummy(f)``, by the names of its columns."""
    found: dict[str, float] = {}
    for node in covariates:
        variable, names = variables[node], names_in(node) & set(frame.names)
        if isinstance(variable, Coded) or not names or not names.isdisjoint(means):
            continue
        values, suffixes = (
            (variable.values, variable.suffixes) if isinstance(variable, WideColumn) else (variable[:, None], ("",))
        )
        found |= {
            deparse(node) + suffix: mean for suffix, mean in zip(suffixes, values.mean(axis=0).tolist(), strict=True)
        }
    return found
