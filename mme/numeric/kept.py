"""A property that is computed when first asked for and then kept: ``functools.cached_property`` without a lock.

Python 3.11's takes a lock for every class and value, which costs as much as the arithmetic on a small model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


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
