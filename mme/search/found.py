"""Where a search ended."""

from __future__ import annotations

from dataclasses import dataclass

from mme.engine.objective import Objective
from mme.search.verdict import Optimum


@dataclass(frozen=True, eq=False)
class Found:
    """Where the loop ended: the objective at the final phi, and the optimum, theta and phi in it."""

    objective: Objective
    optimum: Optimum
