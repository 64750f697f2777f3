"""What is computed when first asked for and then kept: properties, and fields of records.

:class:`kept` is ``functools.cached_property`` without a lock: Python 3.11's takes one for every class and value, which
costs as much as the arithmetic on a small model. :class:`deferred` is a field that may be given by what makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")
_MAKERS = (FunctionType, MethodType, partial)


class kept(Generic[T]):  # noqa: N801  as cached_property is written
    """The value stands in the dictionary of the instance, where it is found before this descriptor.

    Examples
    --------
    >>> class Circle:
    ...     r = 2.0
    ...     @kept
    ...     def area(self):
    ...         return 3.0 * self.r**2
    >>> one = Circle()
    >>> one.area, vars(one)
    (12.0, {'area': 12.0})
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.name = make, make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Self | T:
        if instance is None:
            return self
        value = self.make(instance)
        vars(instance)[self.name] = value
        return value


class deferred(Generic[T]):  # noqa: N801  as kept is written
    """A field of a frozen dataclass, given as its value or as the function that makes it when it is first asked for.

    A function is one of Python's, a method or a ``partial``; the value itself is none. Such fields have no default.

    Examples
    --------
    >>> from dataclasses import dataclass, replace
    >>> @dataclass(frozen=True)
    ... class Square:
    ...     side: float
    ...     area: deferred[float] = deferred()
    >>> one = Square(3.0, lambda: 9.0)
    >>> one.area, replace(one, side=2.0, area=4.0)
    (9.0, Square(side=2.0, area=4.0))
    """

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> T:
        if instance is None:
            raise AttributeError(self.name)  # so that a dataclass sees no default
        value = vars(instance)[self.name]
        if isinstance(value, _MAKERS):
            value = vars(instance)[self.name] = value()
        found: T = value
        return found

    def __set__(self, instance: object, value: T | Callable[[], T]) -> None:
        vars(instance)[self.name] = value
