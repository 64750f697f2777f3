"""What the parts of the face have in common: the record that they ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from mme.api.updated import Updated
from mme.fitted.common import require_records
from mme.fitted.record import Fitted

if TYPE_CHECKING:
    from mme.api.remembered import FitCall

Method = TypeVar("Method", bound=Callable[..., Any])


def of_records(method: Method) -> Method:
    """A method of a face that takes the records of the fit: of a fit of sums it is refused in a sentence."""

    @wraps(method)
    def checked(self: Face, *args: Any, **options: Any) -> Any:
        require_records(self.internals, f"{method.__name__}()")
        return method(self, *args, **options)

    return checked  # type: ignore[return-value]


@dataclass(frozen=True, eq=False, repr=False)
class Face(Updated):
    """Holds the record of a fit.

    Attributes
    ----------
    internals : Fitted
        The record: model, objective, rows, estimates as plain arrays, and what was computed once.
    made_by : FitCall or None
        The formula, the data and the arguments that made it, for :meth:`update`; None for a fit by arrays.
    """

    internals: Fitted
    made_by: FitCall | None = None
