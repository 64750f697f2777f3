"""R's ``cut``: numbers -> a factor of intervals."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.factors import MOST_LEVELS
from mme.formula.values import State, as_list, finite, numeric
from mme.tables.arrays import shown
from mme.tables.column import Factor
from mme.tables.spelling import labels_of

# As R writes them between the ends of intervals.
_INFINITE = {np.inf: " Inf", -np.inf: "-Inf"}


def cut(
    state: State,
    x: Any,
    breaks: Any = None,
    labels: Any = None,
    include_lowest: Any = False,
    right: Any = True,
    dig_lab: Any = 3,
    ordered_result: Any = False,
) -> Any:
    """R's ``cut``: intervals ``(a,b]`` between breaks, or of so many equal parts of the range that was fitted."""
    x = np.asarray(numeric(x, "cut()"), dtype=float)
    if "breaks" not in state:
        state["breaks"] = _breaks(x, breaks)
    ends = np.array(state["breaks"])
    codes = np.searchsorted(ends, x, side="left" if right else "right") - 1
    if include_lowest:
        codes = np.where(x == (ends[0] if right else ends[-1]), 0 if right else ends.size - 2, codes)
    codes = np.where(np.isnan(x) | (codes < 0) | (codes > ends.size - 2), -1, codes)
    if labels is False:
        return np.where(codes < 0, np.nan, codes + 1.0)
    own = None if labels is None else labels_of(np.array(as_list(labels), dtype=object))
    called = _intervals(ends, bool(right), bool(include_lowest), int(dig_lab)) if own is None else own
    if len(called) != ends.size - 1 or len(set(called)) < len(called):
        raise MMEError(f"cut() makes {ends.size - 1} intervals and has {len(set(called))} labels for them")
    return Factor(codes, np.array(called, dtype=object), "ordered" if ordered_result else "factor")


def _breaks(x: np.ndarray, given: Any) -> list[float]:
    """The ends of the intervals: those given, or of equal parts, the outer ones a thousandth of the range outside."""
    several = isinstance(given, list) and len(given) > 1
    if several:
        ends = np.sort(np.array([numeric(value, "cut() breaks") for value in given], dtype=float))
        if np.isnan(ends).any() or (np.diff(ends) == 0.0).any():
            raise MMEError("cut() takes breaks that differ from each other")
        return list(ends.tolist())
    count = given[0] if isinstance(given, list) and given else given
    if isinstance(count, bool) or not isinstance(count, int | float) or not 2 <= count <= MOST_LEVELS:
        raise MMEError(f"cut() takes breaks, c(0, 1, 2), or the number of intervals, at least 2; got {shown(given)}")
    known = finite(x, "cut")
    low, high = float(known.min()), float(known.max())
    width = high - low or abs(low)
    if high == low:  # as R: around the one value
        return list(np.linspace(low - width / 1000.0, high + width / 1000.0, int(count) + 1).tolist())
    ends = np.linspace(low, high, int(count) + 1)
    ends[[0, -1]] = low - width / 1000.0, high + width / 1000.0
    return list(ends.tolist())


def _intervals(ends: np.ndarray, right: bool, closed: bool, digits: int) -> list[str]:
    """``(a,b]``, with as many digits as tell the ends apart."""
    for shown_digits in range(digits, max(12, digits) + 1):
        text = [_INFINITE.get(end, f"{end:.{shown_digits}g}") for end in ends.tolist()]
        if len(set(text)) == len(text):
            break
    opening, closing = ("(", "]") if right else ("[", ")")
    labels = [f"{opening}{low},{high}{closing}" for low, high in pairwise(text)]
    if closed and right:
        labels[0] = "[" + labels[0][1:]
    elif closed:
        labels[-1] = labels[-1][:-1] + "]"
    return labels
