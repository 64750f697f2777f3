"""The call that made a fit, so that the fit can make a changed one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, ParamSpec, TypeVar

from mme.errors import MMEError

P = ParamSpec("P")
F = TypeVar("F")

# Arguments that belong to the random part, or the optimum, of one model alone.
_OF_ONE_MODEL = ("start",)


@dataclass(frozen=True, eq=False, repr=False)
class FitCall:
    """A function that fits a formula to a table, and the arguments that it was given, the data among them."""

    make: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by name; bound when they are asked for, as a small fit takes little longer than that."""
        return inspect.signature(self.make).bind(*self.args, **self.options).arguments

    def again(self, formula: str, *, data: Any = None, **changes: Any) -> Any:
        """What the function makes of another formula and these changes of its arguments.

        Raises
        ------
        MMEError
            A change is no argument of the function.
        """
        known = list(inspect.signature(self.make).parameters)
        if unknown := [name for name in changes if name not in known]:
            raise MMEError(
                f"update: {', '.join(map(repr, unknown))} is no argument of the fit; they are {', '.join(known[2:])}"
            )
        kept = {name: value for name, value in self.arguments.items() if name not in _OF_ONE_MODEL}
        if {"method", "REML"} & set(changes):  # two words for one thing: the newer one counts
            kept = {name: value for name, value in kept.items() if name not in ("method", "REML")}
        found = kept | {"data": self.arguments["data"] if data is None else data} | changes
        return self.make(**(found | {"formula": formula}))


def remembered(make: Callable[P, F]) -> Callable[P, F]:
    """Let the fit that a function makes remember how it was made."""

    @wraps(make)
    def made(*args: P.args, **options: P.kwargs) -> F:
        fit: Any = make(*args, **options)
        if fit.made_by is not None:  # by another call, that of the long form of several traits
            same: F = fit
            return same
        found: F = replace(fit, made_by=FitCall(made, args, options))
        return found

    return made
