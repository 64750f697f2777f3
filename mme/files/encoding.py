"""Python values as JSON beside plain arrays, and back. Nothing that is read can run: only listed classes are made.

====================================  ==================================================================================
JSON                                  value
====================================  ==================================================================================
null, true, 1, 1.5, "text", [...]     None, bool, int, float, str, list
``{"float": "nan"}``                  a number that JSON has not: nan, inf, -inf
``{"tuple": [...]}``                  tuple
``{"map": [[key, value], ...]}``      dict, in its order
``{"array": k}``                      the k-th array: numbers, booleans, dates or text of fixed width; k may occur twice
``{"objects": [...]}``                one-dimensional array of labels
``{"class": name, "fields": {...}}``  one of the listed dataclasses
``{"own": name, "fields": {...}}``    a structure of a user's own class, which the reader gives (:mod:`mme.files.own`)
====================================  ==================================================================================
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.files.kinds import checked
from mme.files.own import BASES, made_again, state_of

# Kinds of NumPy arrays that hold no objects: booleans, integers, floats, text, dates and spans of time.
PLAIN = "biufUMm"
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Encoder:
    """Turns values into JSON; arrays are put aside in ``arrays``, equal ones once.

    ``checksum`` of the bits tells most arrays that differ apart; those that share one are compared.
    """

    def __init__(self, classes: Mapping[str, type], checksum: Callable[[memoryview], int] = zlib.crc32) -> None:
        self.classes = {kind: name for name, kind in classes.items()}
        self._checksum = checksum
        self.arrays: list[np.ndarray] = []
        self._own: dict[str, type] = {}
        self._places: dict[tuple[Any, ...], int] = {}

    def encode(self, value: Any) -> Any:
        """The JSON of a value.

        Raises
        ------
        MMEError
            It is of a kind that the format does not have.
        """
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, np.generic) and value.dtype.kind in "biufU":
            return self.encode(value.item())
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, tuple):
            return {"tuple": [self.encode(item) for item in value]}
        if isinstance(value, list):
            return [self.encode(item) for item in value]
        if isinstance(value, Mapping):
            return {"map": [[self.encode(key), self.encode(item)] for key, item in value.items()]}
        if is_dataclass(value) and type(value) in self.classes:
            content = {field.name: self.encode(getattr(value, field.name)) for field in fields(value)}
            return {"class": self.classes[type(value)], "fields": content}
        if isinstance(value, BASES):
            return self._of_own_class(value)
        raise MMEError(f"a fit with a {type(value).__name__} in it cannot be saved ({str(value)[:60]})")

    def _of_own_class(self, value: Any) -> Any:
        """A structure of a user's own class: its name, and what it holds."""
        name, content = type(value).__name__, {}
        if self._own.setdefault(name, type(value)) is not type(value):
            raise MMEError(f"a fit with structures of two classes named {name} cannot be saved")
        for attribute, held in state_of(value).items():
            try:
                content[attribute] = self.encode(held)
            except MMEError as error:
                raise MMEError(
                    f"{name} of your own cannot be saved with its attribute '{attribute}': {error}; let it hold "
                    "numbers, text, arrays, and lists, tuples and dicts of these"
                ) from None
        return {"own": name, "fields": content}

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype.kind in PLAIN:
            return {"array": self._place(value)}
        if value.dtype.kind == "O" and value.ndim == 1:
            labels = value.tolist()
            return {"objects": labels if _are_text(labels) else [self.encode(label) for label in labels]}
        raise MMEError(f"a fit with an array of {value.dtype} and shape {value.shape} in it cannot be saved")

    def _place(self, value: np.ndarray) -> int:
        """Where the array stands: where one with its bits and layout already does, or last."""
        bits = _bits(value)
        key = (value.dtype.str, value.shape, value.flags.f_contiguous, self._checksum(bits.data))
        place = self._places.setdefault(key, len(self.arrays))
        # arrays that differ may share a checksum
        if place == len(self.arrays) or not np.array_equal(_bits(self.arrays[place]), bits):
            place = len(self.arrays)
            self.arrays.append(value)
        return place


def _bits(array: np.ndarray) -> np.ndarray:
    """The bytes of an array as they lie in memory."""
    return np.ravel(array, order="A").view(np.uint8)


def _are_text(items: list[Any]) -> bool:
    """Whether all are text, which is its own JSON; there may be one for every record."""
    return set(map(type, items)) <= {str}


class Decoder:
    """Turns JSON back into values."""

    def __init__(
        self, classes: Mapping[str, type], arrays: Sequence[np.ndarray], own: Mapping[str, type] | None = None
    ) -> None:
        self.classes, self.arrays, self.own = classes, arrays, own or {}

    def decode(self, value: Any) -> Any:
        """The value of a JSON structure.

        Raises
        ------
        MMEError
            It is not of the format.
        """
        if not isinstance(value, dict):
            return [self.decode(item) for item in value] if isinstance(value, list) else value
        match value:
            case {"float": str(text)} if text in _SPECIAL:
                return _SPECIAL[text]
            case {"tuple": list(items)}:
                return tuple(self.decode(item) for item in items)
            case {"map": list(pairs)}:
                return {self.decode(key): self.decode(item) for key, item in pairs}
            case {"array": int(k)} if 0 <= k < len(self.arrays):
                return self.arrays[k]
            case {"objects": list(items)}:
                labels = np.empty(len(items), dtype=object)
                labels[:] = items if _are_text(items) else [self._label(item) for item in items]
                return labels
            case {"class": str(name), "fields": dict(content)} if name in self.classes:
                return checked(self.classes[name](**{str(key): self.decode(item) for key, item in content.items()}))
            case {"own": str(name), "fields": dict(content)}:
                if name not in self.own:
                    raise MMEError(
                        f"the file holds a structure of a class of its writer's own, {name[:60]!r}: give the class, "
                        "mme.load_fit(path, structures=[...])"
                    )
                return made_again(self.own[name], {str(key): self.decode(item) for key, item in content.items()})
        raise MMEError(f"the file holds something that is not of the format: {str(value)[:60]}")

    def _label(self, item: Any) -> Any:
        label = self.decode(item)
        if label is None or isinstance(label, bool | int | float | str):
            return label
        raise MMEError(f"the file holds a label that is neither number nor text: {str(item)[:60]}")
