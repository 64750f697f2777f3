"""A response and its prior weights as the user gave them -> numbers, or a sentence on what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError, warn
from mme.family.base import Observed
from mme.tables.arrays import numbers
from mme.tables.column import Factor, WideColumn
from mme.tables.intake import intake
from mme.tables.levels import factorise

# Proportion times trials is whole but for the digits of a printed proportion.
_PRINTED = 1e-6
# Each has a threshold of its own.
_MOST_CATEGORIES = 100


def observed(y: Any, weights: Any, name: str) -> Observed:
    """A numeric response (n,), finite, with prior weights."""
    if isinstance(y, Factor):
        labels = ", ".join(map(str, y.categories[:4].tolist()))
        more = ", ..." if y.categories.size > 4 else ""
        raise MMEError(
            f"response '{name}' has labels ({labels}{more}), and the family is of numbers: use Binomial for two of "
            "them, Ordinal for several that have an order"
        )
    values = vector(y, f"response '{name}'")
    refuse(np.isnan(values), values, name, "a number", "drop those records or mend them")
    refuse(np.isinf(values), values, name, "finite", "drop those records or mend them")
    return Observed(values, prior_weights(weights, values.size))


def prior_weights(weights: Any, n: int) -> np.ndarray:
    """Prior weights (n,), at least zero: a record of weight zero counts for nothing."""
    if weights is None:
        return np.ones(n)
    values = vector(weights, "weights")
    if values.size != n:
        raise MMEError(f"weights has {values.size} values for {n} records")
    bad = ~(np.isfinite(values) & (values >= 0.0))
    refuse(bad, values, "weights", "at least 0 and finite", "drop those records or mend them")
    return values


def counts(y: Any, weights: Any, name: str, family: str) -> Observed:
    """Whole numbers, at least zero."""
    data = observed(y, weights, name)
    advice = f"the {family} family is of counts; for an exposure give offset=log(exposure), for rates Gamma or Tweedie"
    refuse(data.y < 0.0, data.y, name, "at least 0", advice)
    refuse(data.y != np.round(data.y), data.y, name, "a whole number", advice)
    return data


def positive(y: Any, weights: Any, name: str, family: str) -> Observed:
    """Positive numbers."""
    data = observed(y, weights, name)
    advice = f"the {family} family is of positive values; with zeros use Tweedie, or model them apart"
    refuse(data.y <= 0.0, data.y, name, "positive", advice)
    return data


def shares(y: Any, weights: Any, name: str) -> Observed:
    """Numbers strictly between 0 and 1."""
    data = observed(y, weights, name)
    advice = "the Beta family is of shares; for successes of trials use Binomial, and model zeros and ones apart"
    refuse((data.y <= 0.0) | (data.y >= 1.0), data.y, name, "strictly between 0 and 1", advice)
    return data


def categories(y: Any, weights: Any, name: str) -> Observed:
    """Codes of ordered categories: levels in their order, numbers in theirs."""
    column = intake(y, name, "response")
    if isinstance(column, Factor):
        missing = column.codes < 0
        refuse(missing, np.where(missing, np.nan, 0.0), name, "a label", "drop those records or mend them")
        codes, levels = factorise(column, name)
        if column.kind == "text" and levels.size > 2:
            warn(
                f"response '{name}' is text: its categories are taken in the order {' < '.join(map(str, levels[:6]))}"
                f"{' < ...' if levels.size > 6 else ''}; for another give an ordered categorical"
            )
    else:
        levels, codes = np.unique(observed(column, None, name).y, return_inverse=True)
    if levels.size < 2:
        raise MMEError(f"response '{name}' has one category ({levels.tolist()}): the ordinal family takes two or more")
    if levels.size > _MOST_CATEGORIES:
        raise MMEError(
            f"response '{name}' has {levels.size} different values: the ordinal family takes up to {_MOST_CATEGORIES} "
            "categories; for a measurement use Gaussian, or cut it into intervals"
        )
    return Observed(codes.astype(float), prior_weights(weights, codes.size), tuple(levels.tolist()))


def refuse(bad: np.ndarray, values: np.ndarray, name: str, needed: str, advice: str) -> None:
    """Raise the error for the first of the bad values."""
    (found,) = bad.nonzero()
    if found.size:
        more = f" ({found.size} such values)" if found.size > 1 else ""
        what = "weights" if name == "weights" else f"response '{name}'"
        raise MMEError(f"{what} must be {needed}: record {found[0]} has {values[found[0]]:.10g}{more}; {advice}")


def trials(y: Any, weights: Any, name: str) -> Observed:
    """Successes of trials: 0 and 1, two labels, successes and failures, or proportions with trials as weights."""
    column = intake(y, name, "response")
    if isinstance(column, WideColumn):
        return _of_both(column.values, weights, name)
    if isinstance(column, Factor):
        return _of_labels(column, weights, name)
    data = observed(column, weights, name)
    bad = (data.y < 0.0) | (data.y > 1.0)
    advice = (
        "a binomial response is 0 and 1, two labels, two columns of successes and failures (cbind(s, f)), or a "
        "proportion with the numbers of trials as weights"
    )
    refuse(bad, data.y, name, "between 0 and 1", advice)
    within = (data.y > 0.0) & (data.y < 1.0)
    if weights is None:
        refuse(
            within, data.y, name, "0 or 1", "give the numbers of trials as weights, or use Beta for shares of a whole"
        )
    successes = data.y * data.weights
    off = np.abs(successes - np.round(successes)) > _PRINTED * np.maximum(1.0, successes)
    off &= within
    if off.any():
        i = int(np.flatnonzero(off)[0])
        warn(
            f"response '{name}': {int(off.sum())} proportions times their trials are not whole (record {i}: "
            f"{data.y[i]:.10g} of {data.weights[i]:.10g} is {successes[i]:.10g} successes); the binomial coefficient "
            "is continued by gamma functions. Are the weights the numbers of trials?"
        )
    return data


def _of_labels(factor: Factor, weights: Any, name: str) -> Observed:
    """Two labels: the second is the success."""
    missing = factor.codes < 0
    refuse(missing, np.where(missing, np.nan, 0.0), name, "a label", "drop those records or mend them")
    used = np.unique(factor.codes)
    if used.size > 2:
        shown = ", ".join(map(str, factor.categories[used][:6].tolist()))
        raise MMEError(
            f"response '{name}' has {used.size} levels ({shown}{', ...' if used.size > 6 else ''}): the binomial "
            "family takes two; compare with one of them, or use Ordinal where they have an order"
        )
    first = used[0] if used.size == 2 else 0
    levels = factor.categories[used] if used.size == 2 else factor.categories
    success = (factor.codes > first).astype(float)
    return Observed(success, prior_weights(weights, success.size), tuple(levels.tolist()))


def _of_both(columns: np.ndarray, weights: Any, name: str) -> Observed:
    """Two columns, of successes and of failures; prior weights multiply both."""
    if columns.shape[1] != 2:
        raise MMEError(f"response '{name}' must have two columns, successes and failures, got {columns.shape[1]}")
    for values in columns.T:
        refuse(~np.isfinite(values), values, name, "a number", "drop those records or mend them")
        refuse(values < 0.0, values, name, "at least 0 in both columns", "they count successes and failures")
        refuse(values != np.round(values), values, name, "whole in both columns", "they count successes and failures")
    successes, of = columns[:, 0], columns.sum(axis=1)
    y = np.divide(successes, of, out=np.zeros(of.size), where=of > 0.0)
    return Observed(y, of * prior_weights(weights, of.size))


def vector(values: Any, what: str) -> np.ndarray:
    """Numbers (n,)."""
    array = numbers(values, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise MMEError(f"{what} must be one-dimensional, got shape {array.shape}")
    return array
