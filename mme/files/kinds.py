"""Whether a value is of the kind that an annotation names: what a file says it holds is not taken on trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from mme.errors import MMEError
from mme.numeric.kept import deferred


def checked(value: Any) -> Any:
    """A dataclass whose fields are of the kinds that its class declares.

    Raises
    ------
    MMEError
        One is not.
    """
    hints = _hints(type(value))
    for field in fields(value):
        if not is_of(getattr(value, field.name), hints[field.name]):
            raise MMEError(f"the file holds a {type(value).__name__} whose {field.name} is no {hints[field.name]}")
    return value


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind; integers are numbers, truth values are not, and numbers are finite or not.

    Examples
    --------
    >>> is_of((1.0, 2), tuple[float, ...]), is_of(True, int), is_of(None, int | None)
    (True, False, True)
    """
    if kind is Any:
        return True
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(is_of(value, one) for one in inside)
    if origin is deferred:
        return is_of(value, inside[0])
    if origin is tuple:
        return isinstance(value, tuple) and _are(value, inside)
    if origin in (list, frozenset):
        return isinstance(value, origin) and all(is_of(one, inside[0]) for one in value)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(is_of(a, inside[0]) and is_of(b, inside[1]) for a, b in value.items())
    if kind in (int, float):
        numbers = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
        return isinstance(value, numbers) and not isinstance(value, bool)
    return value is None if kind is type(None) else isinstance(value, kind)


def _are(values: tuple[Any, ...], kinds: tuple[Any, ...]) -> bool:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return all(is_of(one, kinds[0]) for one in values)
    return len(values) == len(kinds) and all(map(is_of, values, kinds))


_KNOWN: dict[type, dict[str, Any]] = {}


def _hints(kind: type) -> dict[str, Any]:
    if kind not in _KNOWN:
        _KNOWN[kind] = get_type_hints(kind)
    return _KNOWN[kind]


def require_numbers(arrays: Iterable[tuple[str, Any, tuple[int, ...]]], where: str) -> None:
    """Refuse what is no array of numbers of the shape that goes with the model.

    Raises
    ------
    MMEError
        One is not.
    """
    for name, value, shape in arrays:
        if not (isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.shape == shape):
            found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise MMEError(f"{where}: {name} is {found}, the model needs numbers {shape}")
