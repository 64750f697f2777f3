"""What the parts of the face have in common: the record that they ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mme.api.updated import Updated
from mme.fitted.record import Fitted

if TYPE_CHECKING:
    from mme.api.remembered import FitCall


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
