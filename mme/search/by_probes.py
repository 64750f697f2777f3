"""The minimum of a model whose remainder is solved by iteration.

Steps are of average information, whose traces are estimated by random probes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.engine.criterion import criterion
from mme.engine.iteration import IterativeFactor
from mme.engine.pls import logdet_X, pwrss
from mme.iterative.minimum import TOLERATED, settle
from mme.numeric.optimize import Minimum
from mme.search.joint import Joint
from mme.search.progress import Report
from mme.search.searched import Searched
from mme.search.start import Start

__all__ = ["TOLERATED", "minimum_by_probes"]

_SETTLED = "steps of average information on the traces of probes gained nothing more"
_UNSETTLED = "steps of average information on the traces of probes came to no end"


def minimum_by_probes(
    joint: Joint, searched: Searched, report: Report | None, begun: Start | None
) -> tuple[Minimum, Joint]:
    """Find the minimum from the first parameters, and the criterion with how far the random probes may move it."""
    objective, first = joint.latest, searched.x(searched.first)
    spent = 0 if begun is None else begun.evaluations

    def told(step: int, value: float, x: np.ndarray) -> None:
        if report is not None:
            report(spent + step, value, x)

    found = settle(objective, first, searched.parameters, searched.scale, searched.free, searched.even, told)
    at = objective.evaluate(searched.parameters(found.x))
    assert isinstance(at.rest, IterativeFactor)
    value = criterion(objective.constants, at.logdet_M, logdet_X(at.border), pwrss(at.border))
    minimum = Minimum(
        found.x,
        value,
        spent + found.steps,
        _SETTLED if np.isfinite(found.stochastic.error) else _UNSETTLED,
        searched.even & (found.x == 0.0),
        found.curvature,
    )
    chance = replace(found.stochastic, criterion_error=at.rest.logdet_error)
    return minimum, Joint(joint.model, replace(objective, engine=replace(objective.engine, stochastic=chance)))
