"""The label of a value: one text for one value, whatever container it came in, and two texts for two values."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np

from mme.tables import dates

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?")
_WHOLE_FLOAT = re.compile(r"-?(0|[1-9]\d*)\.0")
_TRUTH = {"true": "TRUE", "false": "FALSE"}


def label(value: Any) -> str:
    """Print one value: whole numbers with all their digits, booleans as R does, dates by ISO 8601, text as it is.

    Examples
    --------
    >>> label(7), label(7.0), label(np.float32(0.1)), label(Decimal("2.50")), label(True), label("7.0")
    ('7', '7', '0.1', '2.5', 'TRUE', '7.0')
    >>> label(np.datetime64("2024-03-01T00:00")), label(b"a")
    ('2024-03-01', 'a')
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    if dates.is_moment(value):  # a span of NumPy calls itself an integer
        return dates.text_of(dates.from_objects([value]))[0]
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return _real(value if isinstance(value, float) else float(str(value)))  # the digits of its own precision
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, bytes):
        return value.decode()
    return str(value)


def labels_of(categories: np.ndarray) -> list[str]:
    """Print the labels of an array of values.

    Examples
    --------
    >>> labels_of(np.array([1.0, 2.5, 1e5])), labels_of(np.array([False, True]))
    (['1', '2.5', '100000'], ['FALSE', 'TRUE'])
    """
    if categories.dtype.kind in "iu":
        return list(map(str, categories.tolist()))
    if categories.dtype.kind in "Mm":
        return dates.text_of(categories)
    values = categories if categories.dtype.kind == "f" and categories.dtype.itemsize < 8 else categories.tolist()
    return [value if type(value) is str else label(value) for value in values]


def places(labels: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Where each label stands among the levels: the one of its text, or else the only one of its value; -1 is nowhere.

    Text spells a value where it can be read in one way: ``"7.0"`` is 7, ``"True"`` TRUE, ``"2024-03-01T00:00"``
    2024-03-01; beside numbers any decimal is its number. ``"007"`` is a text like no other.

    Examples
    --------
    >>> texts = np.array(["b", "7.0", "2.50", "007", "8"], dtype=object)
    >>> places(texts, np.array([2.5, 7.0])).tolist(), places(np.array([7, 8]), texts).tolist()
    ([-1, 1, 0, -1, -1], [1, 4])
    """
    if labels.dtype.kind == levels.dtype.kind == "i" and np.array_equal(labels, levels):
        return np.arange(levels.size)
    texts, known = labels_of(labels), labels_of(levels)
    position = {text: j for j, text in enumerate(known)}
    found = np.array([position.get(text, -1) for text in texts], dtype=np.int64)
    lost = np.flatnonzero(found < 0)
    if lost.size:
        beside_numbers = labels.dtype.kind in "iuf" or levels.dtype.kind in "iuf"
        by_value: dict[str, int] = {}
        for j, text in enumerate(known):
            value = _value(text, beside_numbers)
            by_value[value] = -1 if value in by_value else j
        found[lost] = [by_value.get(_value(texts[i], beside_numbers), -1) for i in lost.tolist()]
    return found


def _value(text: str, beside_numbers: bool) -> str:
    """The label of the value that a text spells."""
    if beside_numbers and _NUMBER.fullmatch(text):
        return _decimal(Decimal(text))
    if text.endswith(".0") and _WHOLE_FLOAT.fullmatch(text):
        return _decimal(Decimal(text))
    if text[4:5] == "-" or " day" in text:
        return dates.spelt(text) or text
    return _TRUTH.get(text.lower(), text) if 4 <= len(text) <= 5 else text


def _real(value: float) -> str:
    """15 digits, as R: 0.1 * 3 and 0.3, which rounding tells apart, are one label."""
    return str(int(value)) if value.is_integer() else r_number(value)


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        return str(float(value))
    if value == value.to_integral_value():
        return str(int(value))
    near = float(value)
    return _real(near) if Decimal(repr(near)) == value else format(value.normalize(), "f")


def r_number(value: float) -> str:
    """Print a number as R's ``as.character``: 15 digits at most, fixed notation unless scientific is shorter.

    Examples
    --------
    >>> [r_number(v) for v in (2.0, 0.1 + 0.2, 123456.0, 1e5, 0.0001)]
    ['2', '0.3', '123456', '1e+05', '1e-04']
    """
    mantissa, _, power = f"{value:.14e}".partition("e")
    if not power:
        return mantissa  # nan, inf
    mantissa = mantissa.rstrip("0").rstrip(".")
    digits = sum(c.isdigit() for c in mantissa)
    fixed = f"{value:.{max(0, digits - 1 - int(power))}f}"
    scientific = f"{mantissa}e{int(power):+03d}"
    return fixed if len(fixed) <= len(scientific) else scientific
