"""The functions of a formula that make one kind of value from another: ``as.numeric``, ``as.Date`` and kin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.values import State, as_factor, examples, logical, missing, numeric, quoted_list, remembered_codes
from mme.tables.coding import coded
from mme.tables.column import Exact, Factor, WideColumn
from mme.tables.dates import days
from mme.tables.spelling import labels_of

# Texts that as.logical() reads.
_TRUE, _FALSE = ("TRUE", "true", "True", "T"), ("FALSE", "false", "False", "F")


def as_numeric(state: State, x: Any) -> Any:
    """R's ``as.numeric``: of text the numbers that it reads as, of a factor the positions of its levels from 1."""
    if not isinstance(x, Factor) or isinstance(x, Exact) or x.logical:
        return numeric(x, "as.numeric()")
    if not state.setdefault("reads", x.kind == "text"):
        codes = remembered_codes(state, x, False, "as.numeric()")
        return np.where(codes < 0, np.nan, codes + 1.0)
    try:
        values = np.array([float(label) for label in labels_of(x.categories)] + [np.nan])
    except ValueError:
        raise MMEError(
            f"as.numeric() of labels that are not numbers ({examples(x)}); as.numeric(factor(...)) is their position"
        ) from None
    return values[x.codes]


def as_integer(state: State, x: Any) -> Any:
    """R's ``as.integer``: :func:`as_numeric`, cut towards zero."""
    return np.trunc(as_numeric(state, x))


def as_character(state: State, x: Any) -> Factor:
    """The labels, or what numbers print as, as text: levels sorted, and without a declared order."""
    factor = as_factor(x, "as.character()")
    labels = np.array([*labels_of(factor.categories), None], dtype=object)[factor.codes]
    return replace(coded(labels, "as.character()"), kind="text")


def as_logical(state: State, x: Any) -> Factor:
    """R's ``as.logical``: of numbers whether they differ from zero, of text the truth values that R reads."""
    if not isinstance(x, Factor):
        values = numeric(x, "as.logical()")
        return logical(values != 0, values)
    if x.logical:
        return x
    labels = labels_of(x.categories)
    strange = [label for label in labels if label not in _TRUE + _FALSE]
    if strange:
        raise MMEError(f"as.logical() of {quoted_list(strange)}: it takes {quoted_list([*_TRUE, *_FALSE])}")
    truth = np.array([label in _TRUE for label in labels] + [False])
    return Factor(np.where(x.codes < 0, -1, truth[x.codes]), np.array([False, True]))


def is_na(state: State, x: Any) -> Factor:
    """R's ``is.na``: which rows miss a value."""
    return logical(missing(x if isinstance(x, Factor | WideColumn) else np.asarray(x)))


def as_date(state: State, x: Any) -> Any:
    """Days: of text as in ISO 8601, of times the day that they are in, of numbers those since 1970-01-01."""
    if isinstance(x, str):
        return days(as_date(state, Factor(np.zeros(1, dtype=np.int64), np.array([x], dtype=object)))).item()
    if isinstance(x, np.ndarray):
        if x.dtype.kind == "M":
            return x.astype("datetime64[D]")
        values = numeric(x, "as.Date()")
        return np.where(np.isnan(values), np.datetime64("NaT"), np.floor(np.nan_to_num(values)).astype("datetime64[D]"))
    try:
        held = np.array([*labels_of(as_factor(x, "as.Date()").categories), "NaT"], dtype="datetime64[D]")
    except ValueError:
        raise MMEError(f"as.Date() of labels that are no dates ({examples(x)}); write them as 2024-01-31") from None
    return held[x.codes]
