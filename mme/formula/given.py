"""Numbers that a model takes beside X and Z: weights, offsets, times, places; by name, expression or array."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.algebra import Terms
from mme.formula.bar import Bar
from mme.formula.evaluate import Evaluator, Value
from mme.formula.parser import parse_expression
from mme.formula.syntax import Name, deparse
from mme.formula.values import numeric
from mme.tables.frame import Factor


def numbers_of(
    fixed: Terms, evaluator: Evaluator, weights: Any, offset: Any, exposure: Any
) -> dict[str, np.ndarray | None]:
    """The weights and each offset, by the names that messages have for them."""
    given = (("weights", weights), ("offset", offset))
    numbers = {_called(what, values): aligned(values, what, evaluator) for what, values in given}
    if exposure is not None:
        numbers[_called("exposure", exposure)] = log_exposure(exposure, evaluator)
    for node in fixed.offsets:
        text = f"offset({deparse(node)})"
        numbers[text] = number_of(evaluator.value(node), text)
    return numbers


def _called(what: str, given: Any) -> str:
    return f"{what} '{given}'" if isinstance(given, str) else what


def times_of(bar: Bar, evaluator: Evaluator) -> np.ndarray:
    """The times (n,) of a bar of ``ou()``."""
    assert bar.time is not None
    return number_of(evaluator.value(bar.time), f"the time of {bar.name}")


def places_of(bar: Bar, evaluator: Evaluator) -> np.ndarray:
    """The coordinates (d, n) of a field."""
    values = [evaluator.value(node) for _, node in bar.along]
    for value, (_, node) in zip(values, bar.along, strict=True):
        if isinstance(value, Factor):
            raise MMEError(
                f"'{deparse(node)}' of {bar.name} holds labels, and a chain goes along numbers: number the places, or "
                f"write us({deparse(node)}), corh({deparse(node)}) or another structure of its levels"
            )
    return np.array([number_of(value, deparse(node)) for value, (_, node) in zip(values, bar.along, strict=True)])


def number_of(value: Value, what: str) -> np.ndarray:
    """A value as numbers (n,); labels are refused, naming ``what``."""
    return np.asarray(numeric(value, what))


def aligned(values: Any, what: str, evaluator: Evaluator) -> np.ndarray | None:
    """Evaluate weights or an offset given by name, by expression or as an array with a value for each row."""
    if values is None:
        return None
    frame = evaluator.frame
    if isinstance(values, str):
        node = Name(values) if values in frame else parse_expression(values)
        return number_of(Evaluator(frame, values, evaluator.states).value(node), f"{what} = '{values}'")
    return number_of(frame.beside(values, what), what)


def log_exposure(exposure: Any, evaluator: Evaluator) -> np.ndarray | None:
    """The logarithm (n,) of an exposure, an offset: counts are in proportion to it where the link is the logarithm."""
    values = aligned(exposure, "exposure", evaluator)
    if values is None:
        return None
    if (low := values <= 0.0).any():
        row = evaluator.frame.index[np.argmax(low)]
        raise MMEError(
            f"{_called('exposure', exposure)} must be positive, as its logarithm is an offset: it is not in "
            f"{int(low.sum())} of {low.size} rows (first: row {row}); mend or drop them"
        )
    return np.log(values)


def total(parts: Iterable[np.ndarray | None]) -> np.ndarray | None:
    """The sum of those that are given; None where none is."""
    found = None
    for part in parts:
        found = part if found is None else found if part is None else found + part
    return found
