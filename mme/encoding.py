"""Python values as JSON beside plain arrays, and back. Nothing that is read can run: only listed classes are made.

====================================  ==================================================================================
JSON                                  value
====================================  ==================================================================================
null, true, 1, 1.5, "text", [...]     None, bool, int, float, str, list
``{"float": "nan"}``                  a number that JSON has not: nan, inf, -inf
``{"tuple": [...]}``                  tuple
``{"map": [[key, value], ...]}``      dict, in its order
``{"array": k}``                      the k-th array: numbers, booleans, dates or text of fixed width
``{"objects": [...]}``                one-dimensional array of labels
``{"class": name, "fields": {...}}``  one of the listed dataclasses
====================================  ==================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError

# Kinds of NumPy arrays that hold no objects: booleans, integers, floats, text, dates and spans of time.
PLAIN = "biufUMm"
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Encoder:
    """Turns values into JSON; arrays are put aside in ``arrays``."""

    def __init__(self, classes: Mapping[str, type]) -> None:
        self.classes = {kind: name for name, kind in classes.items()}
        self.arrays: list[np.ndarray] = []

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
        raise MMEError(f"a fit with a {type(value).__name__} in it cannot be saved ({str(value)[:60]})")

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype.kind in PLAIN:
            self.arrays.append(value)
            return {"array": len(self.arrays) - 1}
        if value.dtype.kind == "O" and value.ndim == 1:
            return {"objects": [self.encode(item) for item in value.tolist()]}
        raise MMEError(f"a fit with an array of {value.dtype} and shape {value.shape} in it cannot be saved")


class Decoder:
    """Turns JSON back into values."""

    def __init__(self, classes: Mapping[str, type], arrays: Sequence[np.ndarray]) -> None:
        self.classes, self.arrays = classes, arrays

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
                labels[:] = [self.decode(item) for item in items]
                return labels
            case {"class": str(name), "fields": dict(content)} if name in self.classes:
                return self.classes[name](**{str(key): self.decode(item) for key, item in content.items()})
        raise MMEError(f"the file holds something that is not of the format: {str(value)[:60]}")
