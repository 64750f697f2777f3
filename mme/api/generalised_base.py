"""What the parts of the face of a generalised fit have in common: the record that they ask."""

from __future__ import annotations

from dataclasses import dataclass

from mme.api.shared import Shared
from mme.fitted.generalised import GeneralisedFitted


@dataclass(frozen=True, eq=False, repr=False)
class GeneralisedFace(Shared):
    """Holds the record of a generalised fit.

    Attributes
    ----------
    internals : GeneralisedFitted
        The record: the problem, where the search ended, estimates as plain arrays.
    """

    internals: GeneralisedFitted
