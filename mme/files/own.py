"""Structures of users' own classes in a file: their name and what they hold, never their code.

A file says ``{"own": "FactorAnalytic", "fields": {"q": 3}}``. Whoever reads it gives the class, by
``mme.load_fit(path, structures=[FactorAnalytic])``: only classes that are given are made, and their
constructors are not called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

from mme.covariance.base import GStructure
from mme.errors import MMEError
from mme.family.base import Family
from mme.relationship.parametric import Parametric
from mme.residual.base import Bound
from mme.residual.rstructure import RStructure

# Classes from which users derive what a fit holds.
BASES = (GStructure, Bound, Parametric)
# What a reader may give; families are made again from their options (:mod:`mme.files.save_generalised`).
_GIVEN = (*BASES, Family)


def state_of(value: Any) -> dict[str, Any]:
    """What an object holds: the fields of a dataclass, else its attributes, without those that it computes itself."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    computed = {name for kind in type(value).__mro__ for name, of in vars(kind).items() if _is_cached(of)}
    return {name: held for name, held in vars(value).items() if name not in computed}


def _is_cached(attribute: object) -> bool:
    return isinstance(attribute, cached_property)


def made_again(kind: type, state: Mapping[str, Any]) -> Any:
    """An object of a class that holds this; its constructor is not called."""
    made: Any = object.__new__(kind)
    for name, held in state.items():
        if not name.isidentifier() or name.startswith("__"):
            raise MMEError(f"the file holds a {kind.__name__} with an attribute {name[:30]!r}")
        object.__setattr__(made, name, held)
    return made


def classes_by_name(structures: Any) -> dict[str, type]:
    """The classes that a user gives, by name.

    Raises
    ------
    MMEError
        Something else than a list of classes derived from those of mme, or two of one name.

    Examples
    --------
    >>> from mme.residual.ar1 import BoundAR1
    >>> list(classes_by_name([BoundAR1]))
    ['BoundAR1']
    """
    given = structures if isinstance(structures, list | tuple) else [structures]
    found: dict[str, type] = {}
    for one in given:
        if isinstance(one, type) and issubclass(one, RStructure):
            raise MMEError(
                f"structures: {one.__name__} reads columns; a fit holds what its bind() makes of them: give that class"
            )
        if not isinstance(one, type) or not issubclass(one, _GIVEN):
            raise MMEError(
                "structures must be a list of classes derived from mme.GStructure, mme.residual.Bound, mme.Parametric "
                f"or mme.Family; got {one!r:.60}"
            )
        if found.setdefault(one.__name__, one) is not one:
            raise MMEError(f"structures has two classes named {one.__name__}")
    return found
