"""What the parts of the face have in common: the record that they ask."""

from __future__ import annotations

from dataclasses import dataclass

from mme.api.shared import Shared
from mme.fitted.record import Fitted


@dataclass(frozen=True, eq=False, repr=False)
class Face(Shared):
    """Holds the record of a fit.

    Attributes
    ----------
    internals : Fitted
        The record: model, objective, rows, estimates as plain arrays, and what was computed once.
    """

    internals: Fitted
