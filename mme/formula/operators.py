"""The operators of a formula: arithmetic, comparison, logic, membership, ranges."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.values import logical, numeric, quoted_list
from mme.tables import dates
from mme.tables.coding import coded
from mme.tables.column import Factor
from mme.tables.spelling import labels_of, places

_ARITHMETIC: dict[str, np.ufunc] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "^": np.power,
    "%%": np.mod,
}
_COMPARISONS: dict[str, np.ufunc] = {
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_LOGIC: dict[str, np.ufunc] = {"&": np.logical_and, "|": np.logical_or}
_LOGIC |= {"&&": np.logical_and, "||": np.logical_or}
# Whole numbers that a range such as 2:5 may hold.
_LONGEST = 1_000_000


def operate(symbol: str, operands: list[Any]) -> Any:
    """What an operator makes of its operands; columns stay columns, and a comparison is a factor of truth values."""
    if symbol == "(":
        return operands[0]
    if symbol == "%in%":
        return _is_in(*operands)
    if symbol in ("==", "!=") and any(isinstance(operand, str) for operand in operands):
        factor, label = operands if isinstance(operands[1], str) else operands[::-1]
        same = _is_in(factor, [label])
        return same if symbol == "==" else operate("!", [same])
    if symbol == ":" and all(isinstance(operand, int | float) for operand in operands):
        return _range(*operands)
    if symbol in _COMPARISONS and any(isinstance(operand, Factor) and operand.ordered for operand in operands):
        operands = _in_order(operands)
    if any(isinstance(operand, np.ndarray) and operand.dtype.kind in "Mm" for operand in operands):
        operands = [_in_days(operand) for operand in operands]
    numbers = [numeric(operand, f"'{symbol}'") for operand in operands]
    if symbol in _COMPARISONS:
        return logical(_COMPARISONS[symbol](*numbers), *numbers)
    if symbol == "!":
        return logical(numbers[0] == 0, *numbers)
    if symbol in _LOGIC:
        combine = _LOGIC[symbol]
        return logical(combine(*numbers), *numbers)
    if len(numbers) == 1:
        return numbers[0] if symbol == "+" else -numbers[0]
    if symbol not in _ARITHMETIC:
        raise MMEError(f"'{symbol}' is not arithmetic")
    return reduce(_ARITHMETIC[symbol], numbers)


def _is_in(value: Any, wanted: Any) -> Factor:
    wanted = wanted if isinstance(wanted, list) else [wanted]
    if isinstance(value, np.ndarray) and value.dtype.kind in "Mm":
        value = coded(value, "%in%")
    if isinstance(value, Factor):
        labels = np.empty(len(wanted), dtype=object)
        labels[:] = wanted
        member = np.append(places(value.categories, labels) >= 0, False)
        return Factor(np.where(value.codes < 0, -1, member[value.codes]), np.array([False, True]))
    numbers = numeric(value, "'%in%'")
    return logical(np.isin(numbers, np.array(wanted, dtype=float)), numbers)


def _range(first: float, last: float) -> list[float]:
    """The numbers of R's ``first:last``, up or down."""
    if abs(last - first) >= _LONGEST:
        raise MMEError(f"{first:g}:{last:g} holds more than {_LONGEST} numbers")
    return [first + step if last >= first else first - step for step in range(int(abs(last - first) + 1e-10) + 1)]


def _in_order(operands: list[Any]) -> list[Any]:
    """An ordered factor and a label of it as their positions among its levels."""
    factor = next(operand for operand in operands if isinstance(operand, Factor))
    label = np.array([operand for operand in operands if operand is not factor], dtype=object)
    place = places(label, factor.categories)[0] if label.size == 1 and not isinstance(label[0], np.ndarray) else -1
    if place < 0:
        raise MMEError(
            f"an ordered factor is compared with one of its levels: {quoted_list(labels_of(factor.categories))}"
        )
    positions = np.where(factor.codes < 0, np.nan, factor.codes)
    return [positions if operand is factor else float(place) for operand in operands]


def _in_days(value: Any) -> Any:
    """The text of a date, beside dates."""
    if not isinstance(value, str):
        return value
    try:
        return dates.number(value)
    except ValueError:
        raise MMEError(f"'{value}' is not a date; write it as '2024-03-01' or '2024-03-01 12:30:00'") from None
