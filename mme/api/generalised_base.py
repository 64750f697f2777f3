"""What the parts of the face of a generalised fit have in common: the record that they ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mme.api.updated import Updated
from mme.fitted.generalised import GeneralisedFitted

if TYPE_CHECKING:
    from mme.api.remembered import FitCall


@dataclass(frozen=True, eq=False, repr=False)
class GeneralisedFace(Updated):
    """Holds the record of a generalised fit.

    Attributes
    ----------
    internals : GeneralisedFitted
        The record: the problem, where the search ended, estimates as plain arrays.
    made_by : FitCall or None
        As of a :class:`mme.Fit`.
    """

    internals: GeneralisedFitted
    made_by: FitCall | None = None
