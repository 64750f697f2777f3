"""The order in which occasions follow each other, and the distances between them.

================================================  ======================================================================
categories                                        order
================================================  ======================================================================
numbers, dates, truth values                      of their size, unless another is declared
an ordered category, an Enum, an unordered        as declared, one step apart; categories that do not occur count
category whose categories do not stand sorted
text that reads as numbers, days or months, or    of those numbers
as a word with them (``visit 2``, ``visit 10``)
other text                                        sorted by code point: a guess, which is said where order matters
================================================  ======================================================================

An unordered category whose categories stand sorted is what a library makes of text: it says no more than text does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from mme.tables.frame import labels_of

_NUMBERED = re.compile(r"(\D*)(\d+(?:\.\d+)?)(\D*)")
_ISO_DATE = re.compile(r"\d{4}-\d\d(-\d\d.*)?")


@dataclass(frozen=True, eq=False)
class Order:
    """``places`` (T,) of categories on the axis of time; ``known`` is "numbers", "declared" or "sorted", a guess."""

    places: np.ndarray
    known: str


def order_of(categories: np.ndarray, kind: str) -> Order:
    """The order of categories (T,), of a column of ``kind`` "ordered", "factor" or "text".

    Examples
    --------
    >>> months = np.array(["jan", "feb", "mar"], dtype=object)
    >>> order_of(months, "ordered").places.tolist(), order_of(months, "text").places.tolist()
    ([0.0, 1.0, 2.0], [1.0, 0.0, 2.0])
    >>> order_of(np.array(["visit 2", "visit 10"], dtype=object), "text").places.tolist()
    [2.0, 10.0]
    """
    values, labels = _numbers(categories.tolist()), labels_of(categories)
    rank = np.arange(float(len(labels)))
    if values is not None:
        rising = (np.diff(values) > 0.0).all()
        return Order(values, "numbers") if rising or kind == "text" else Order(rank, "declared")
    if kind == "ordered" or (kind == "factor" and labels != sorted(labels)):
        return Order(rank, "declared")
    values = _read(labels)
    if values is not None:
        return Order(values, "numbers")
    return Order(np.argsort(np.argsort(np.array(labels, dtype=object), kind="stable")).astype(float), "sorted")


def distances(labels: Sequence[str], places: np.ndarray) -> np.ndarray:
    """The positions of labels in their order: the numbers that they read as, where these rise; otherwise ``places``."""
    read = _read(list(labels))
    return places if read is None or (np.diff(read) <= 0.0).any() else read


def unequal(places: np.ndarray) -> bool:
    """Whether the distances between neighbouring places differ."""
    gaps = np.diff(places)
    return bool(gaps.size > 1 and not np.allclose(gaps, gaps[0], rtol=1e-6, atol=0.0))


def in_turn(groups: np.ndarray, places: np.ndarray) -> bool:
    """Whether the records of every group stand in the order of their places: the data say so too."""
    order = np.argsort(groups, kind="stable")
    later = np.diff(places[order])[np.diff(groups[order]) == 0]
    return bool((later >= 0.0).all())


def _numbers(values: list[Any]) -> np.ndarray | None:
    """As floats, where all are numbers or truth values."""
    if not all(isinstance(value, Real | np.bool_) for value in values):
        return None
    return np.array(values, dtype=float)


def _read(labels: list[str]) -> np.ndarray | None:
    """Distinct numbers that text reads as: all of it, dates, or what one word or two hold."""
    try:
        return _distinct(np.array([float(label) for label in labels]))
    except ValueError:
        pass
    if all(map(_ISO_DATE.fullmatch, labels)):
        unit, size = ("M", 1.0) if all(len(label) == len("2024-01") for label in labels) else ("us", 86_400e6)
        try:
            return _distinct(np.array(labels, dtype=f"M8[{unit}]").astype(float) / size)
        except ValueError:
            return None
    parts = [_NUMBERED.fullmatch(label) for label in labels]
    words = {part and (part[1], part[3]) for part in parts}
    if len(words) > 1 or None in words:
        return None
    return _distinct(np.array([float(part[2]) for part in parts if part]))


def _distinct(values: np.ndarray) -> np.ndarray | None:
    return values if np.isfinite(values).all() and np.unique(values).size == values.size else None
