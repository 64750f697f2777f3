"""Labels of a column that comes in parts: codes by first appearance, sorted levels at the end."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.places import GappedPlaces, Places
from mme.tables.codes import EXACT, coded_floats, object_array
from mme.tables.coding import coded
from mme.tables.column import Column, Factor, WideColumn


class GrowingLabels:
    """The labels of one column in the order of first appearance; a copy of it can be added to apart.

    Those that are ``gapped`` take less time for integers, some of whose codes are of none that came: until
    :meth:`close_gaps`.

    Examples
    --------
    >>> labels = GrowingLabels("g")
    >>> labels.codes(np.array([7, 3])).tolist(), labels.codes(np.array([3.0, 5.0])).tolist()
    ([0, 1], [1, 2])
    >>> [one.tolist() for one in labels.in_order()]
    [[2, 0, 1], [3, 5, 7]]
    """

    def __init__(self, name: str, *, gapped: bool = False) -> None:
        self.name = name
        self.kind = ""  # "integers", or the kind of the factors that came
        self._integers = GappedPlaces() if gapped else Places()
        self._places: dict[object, int] = {}
        self._declared: dict[object, None] = {}
        self._ascending = self._alike = True  # the categories of every part; those of all parts

    @property
    def size(self) -> int:
        """How many labels there are."""
        return self._integers.size if self.kind == "integers" else len(self._places)

    def codes(self, column: Column) -> np.ndarray:
        """The codes (n,) of labels none of which is missing."""
        if isinstance(column, WideColumn):
            raise MMEError(f"grouping factor '{self.name}' has {len(column.suffixes)} columns; give one of them")
        if isinstance(column, np.ndarray) and _is_whole(column):
            self._is_of("integers")
            return self._integers.of(column)
        if isinstance(column, np.ndarray):
            factor = coded_floats(column) if column.dtype.kind == "f" else coded(column, self.name)
            kind = "numbers" if column.dtype.kind == "f" else "text"
        else:
            factor, kind = column, column.kind
        self._is_of(kind)
        return self._of_labels(factor)

    def close_gaps(self, came: np.ndarray) -> None:
        """Leave integers out that never came, where there may be such; the others are those with these codes."""
        if self.kind == "integers" and isinstance(self._integers, GappedPlaces):
            self._integers = self._integers.chosen(came)

    @property
    def order_is_known(self) -> bool:
        """Whether the parts agree on the order of the levels: it is sorted in all of them, or the same in all."""
        return self._ascending or self._alike or self.kind in ("integers", "text", "numbers")

    def merged(self, other: GrowingLabels) -> tuple[GrowingLabels, np.ndarray]:
        """The labels of both, and the codes that the labels of the other have among them."""
        twin = copy(self)
        twin._integers, twin._places = self._integers.copy(), dict(self._places)
        twin._declared = dict(self._declared)
        if not other.size:
            return twin, np.zeros(0, dtype=np.int64)
        twin._is_of(other.kind)
        if other.kind == "integers":
            return twin, twin._integers.of(other._integers.keys)
        twin._alike = not self.size or (self._alike and other._alike and list(self._declared) == list(other._declared))
        twin._ascending = self._ascending and other._ascending
        twin._declared |= other._declared
        labels = other._places
        return twin, np.array([twin._places.setdefault(one, len(twin._places)) for one in labels], dtype=np.int64)

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """The rank of every label by its code, and the levels: sorted, or as categories declare it.

        Where the categories of every part are sorted, so are all: a formula makes the factors of each part by itself.
        """
        if self.kind == "integers":
            by_key = np.argsort(self._integers.keys)
            return np.argsort(by_key), self._integers.keys[by_key]
        labels = list(self._places)
        by_label = self.kind in ("text", "numbers") or self._ascending
        order = (_order_of(labels) if by_label else None) or self._as_declared(labels)
        return np.argsort(order), _array([labels[j] for j in order])

    def state(self) -> dict[str, object]:
        """What a file keeps of the labels."""
        return {
            "name": self.name,
            "kind": self.kind,
            "integers": self._integers.keys,
            "labels": list(self._places),
            "declared": list(self._declared),
            "ascending": self._ascending,
            "alike": self._alike,
        }

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> GrowingLabels:
        """The labels that :meth:`state` describes."""
        made = cls(str(state["name"]))
        made.kind = str(state["kind"])
        made._integers.of(np.asarray(state["integers"], dtype=np.int64))
        made._places = {label: place for place, label in enumerate(state["labels"])}
        made._declared = dict.fromkeys(state["declared"])
        made._ascending, made._alike = bool(state.get("ascending", False)), bool(state.get("alike", False))
        return made

    def _as_declared(self, labels: list[object]) -> list[int]:
        declared = {label: rank for rank, label in enumerate(self._declared)}
        return sorted(range(len(labels)), key=lambda j: declared[labels[j]])

    def _of_labels(self, factor: Factor) -> np.ndarray:
        labels = factor.categories.tolist()
        if self.kind not in ("text", "numbers"):
            self._alike = self._alike and (not self._declared or labels == list(self._declared))
            self._ascending = self._ascending and _ascends(factor.categories)
            self._declared |= dict.fromkeys(labels)
        occurs = np.zeros(len(labels), dtype=bool)
        occurs[factor.codes] = True
        place = np.full(len(labels), -1, dtype=np.int64)
        here = np.flatnonzero(occurs)
        found = [labels[j] for j in here.tolist()] if here.size < len(labels) else labels
        new = [label for label in found if label not in self._places]
        self._places.update(zip(new, range(len(self._places), len(self._places) + len(new)), strict=True))
        place[here] = list(map(self._places.__getitem__, found))
        return place[factor.codes]

    def _is_of(self, kind: str) -> None:
        """Refuse labels of another kind than those that came before."""
        if not self.kind:
            self.kind = kind
        if kind == self.kind:
            return
        held, came = _KINDS.get(self.kind, "categories"), _KINDS.get(kind, "categories")
        raise MMEError(
            f"factor '{self.name}' holds {came} here, and held {held} before; write all chunks with one type"
        )


_KINDS = {"integers": "integers", "numbers": "numbers that are not whole", "text": "text"}


def _is_whole(column: np.ndarray) -> bool:
    if column.dtype.kind in "iu":
        return column.dtype != np.uint64 or not column.size or int(column.max()) < 2**63
    return column.dtype.kind == "f" and bool((np.abs(column) < EXACT).all() and (column == np.floor(column)).all())


def _ascends(categories: np.ndarray) -> bool:
    """Whether labels are sorted."""
    try:
        return bool((categories[1:] > categories[:-1]).all())
    except TypeError:
        return False


def _order_of(labels: list[Any]) -> list[int] | None:
    """What sorts labels; None where some are numbers and others text."""
    try:
        return sorted(range(len(labels)), key=labels.__getitem__)
    except TypeError:
        return None


def _array(labels: list[object]) -> np.ndarray:
    kinds = {type(label) for label in labels}
    return np.array(labels) if kinds <= {bool} or kinds <= {float, int} else object_array(labels)
