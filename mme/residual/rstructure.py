"""What a user writes for the covariance of the residuals: one structure, products of several, one a level of a factor.

Nothing is read before :meth:`RStructure.bind`, which gives the structure with its columns, :class:`mme.residual.Bound`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

from mme.errors import MMEError
from mme.residual.base import Bound, Column
from mme.residual.bylevel import by_level
from mme.residual.entrywise import entrywise
from mme.residual.fields import Axis, bind_field
from mme.residual.nugget import with_nugget
from mme.residual.product import multiplied
from mme.tables.arrays import shown


class RStructure(ABC):
    """A residual structure as the user writes it: which columns it reads. Nothing is checked before :meth:`bind`.

    Users bring their own as a small class with parameters, a start and a whitening: a :class:`RStructure` that reads
    its columns, and the :class:`Bound` that it makes of them. For a variance function one method does:

    Examples
    --------
    The standard deviation grows exponentially, sd = exp(delta v) (nlme's ``varExp``):

    >>> import numpy as np
    >>> from mme.residual import Bound, Variance
    >>> class ExponentialVariance(RStructure):
    ...     def __init__(self, covariate):
    ...         self.covariate = covariate
    ...     def bind(self, column, n):
    ...         return BoundExponentialVariance(n, ("delta",), np.asarray(column(self.covariate), dtype=float))
    >>> @dataclass(frozen=True, eq=False)
    ... class BoundExponentialVariance(Variance):
    ...     v: np.ndarray
    ...     def start(self, residual=None):
    ...         return np.zeros(1)
    ...     def natural(self, x):
    ...         return x
    ...     def log_sd(self, x):
    ...         return x[0] * self.v
    >>> R = ExponentialVariance([0.0, 1.0, 2.0]).bind(np.asarray, 3)
    >>> R.whiten(np.array([np.log(2)]), np.ones((1, 3)))
    array([[1.  , 0.5 , 0.25]])
    """

    @abstractmethod
    def bind(self, column: Column, n: int) -> Bound:
        """Read and check the columns.

        Parameters
        ----------
        column : callable
            ``column(spec)`` gives the values of a column name, or of an array the array itself, for the records used.
        n : int
            Number of records.

        Raises
        ------
        MMEError
            A column has the wrong length, missing values, or cannot carry the parameters; the message names it.
        """

    def reads(self) -> tuple[Any, ...]:
        """The columns that it names or holds."""
        return tuple(vars(self).values())

    def __repr__(self) -> str:
        """As one writes it: long arrays are cut, NumPy's scalars are Python's."""
        return f"{type(self).__name__}({', '.join(f'{name}={shown(value)}' for name, value in vars(self).items())})"

    def axis(self) -> Axis | None:
        """The coordinate along which it is a chain, so that products are fields on a grid; None: it is none."""
        return None

    def __mul__(self, other: Any) -> Times:
        """The product: of correlations the separable C_1 (x) C_2, with variance functions S C S."""
        if not isinstance(other, RStructure):
            return NotImplemented
        return Times((*_factors(self), *_factors(other)))

    def by(self, level: Any) -> ByLevel:
        """Parameters of its own, its variance among them, for each level of a factor: SAS ``GROUP=``.

        Parameters
        ----------
        level : str or (n,) array
            The factor, of which a group of correlated records has one level. A structure without ``group`` has its
            levels for groups: trials are fields of their own.
        """
        return ByLevel(self.within(level), level)

    def within(self, level: Any) -> RStructure:
        """The same with a group for each level of a factor, where no groups were named."""
        if getattr(self, "group", "none") is not None:
            return self
        twin = copy(self)
        vars(twin)["group"] = level
        return twin

    def with_nugget(self) -> RStructure:
        """Beside an independent error of each record, a share ``nugget`` of the variance."""
        return WithNugget(self)


@dataclass(frozen=True, eq=False, repr=False)
class Times(RStructure):
    """The product of several structures, written with ``*``."""

    parts: tuple[RStructure, ...]

    def __repr__(self) -> str:
        """The factors, as one writes their product."""
        return " * ".join(map(repr, self.parts))

    def reads(self) -> tuple[Any, ...]:
        """The columns that it reads: those of its factors."""
        return tuple(one for part in self.parts for one in part.reads())

    def within(self, level: Any) -> RStructure:
        """All factors with these groups, where none of them has groups."""
        named = any(getattr(part, "group", None) is not None for part in self.parts)
        return self if named else Times(tuple(part.within(level) for part in self.parts))

    def correlations(self, column: Column, n: int) -> tuple[list[RStructure], list[Bound]]:
        """The factors that are correlations, and the others, which are read."""
        read = [(part, _variance(part, column, n)) for part in self.parts]
        return [part for part, one in read if one is None], [one for _, one in read if one is not None]

    def bind(self, column: Column, n: int) -> Bound:
        """Read the factors: a field, where all correlations are chains along coordinates."""
        own, variances = self.correlations(column, n)
        axes = [axis for axis in (part.axis() for part in own) if axis is not None]
        kinds = [type(part).__name__ for part in self.parts]
        if len(own) < 2:
            return multiplied([*(part.bind(column, n) for part in own), *variances], kinds)
        if len(axes) == len(own):
            return multiplied([bind_field(axes, column, n), *variances], kinds)
        return multiplied([entrywise(own, column, n), *variances], kinds)


@dataclass(frozen=True, eq=False, repr=False)
class ByLevel(RStructure):
    """A structure with parameters of its own for each level of a factor, written ``structure.by(level)``."""

    structure: RStructure
    level: Any

    def __repr__(self) -> str:
        """As one writes it."""
        return f"{_whole(self.structure)}.by({shown(self.level)})"

    def reads(self) -> tuple[Any, ...]:
        """The columns that it reads: those of the structure, and the factor."""
        return (*self.structure.reads(), self.level)

    def bind(self, column: Column, n: int) -> Bound:
        """Read the structure once for each level."""
        return by_level(self.structure.bind, self.level, column, n)


@dataclass(frozen=True, eq=False, repr=False)
class WithNugget(RStructure):
    """A correlation beside an independent error of each record, written ``structure.with_nugget()``."""

    structure: RStructure

    def __repr__(self) -> str:
        """As one writes it."""
        return f"{_whole(self.structure)}.with_nugget()"

    def reads(self) -> tuple[Any, ...]:
        """The columns that it reads: those of the structure."""
        return self.structure.reads()

    def bind(self, column: Column, n: int) -> Bound:
        """Read the structure."""
        return with_nugget(self.structure.bind(column, n))

    def within(self, level: Any) -> RStructure:
        """The correlation with these groups."""
        return WithNugget(self.structure.within(level))

    def with_nugget(self) -> RStructure:
        """Refused: there is one."""
        raise MMEError("with_nugget() was said twice; two independent errors of a record cannot be told apart")


def _whole(one: RStructure) -> str:
    """A structure as one writes it, products in parentheses."""
    return f"({one!r})" if isinstance(one, Times) else repr(one)


def _variance(part: RStructure, column: Column, n: int) -> Bound | None:
    """A factor, read, where it is a variance function; None: a correlation, whose cells may have several records."""
    if part.axis():
        return None
    try:
        found = part.bind(column, n)
    except MMEError:  # said where it is read as a correlation, if it is wrong there too
        return None
    return found if found.is_variance_function else None


def _factors(one: RStructure) -> Iterator[RStructure]:
    """The factors of a product, or the structure alone."""
    yield from one.parts if isinstance(one, Times) else (one,)
