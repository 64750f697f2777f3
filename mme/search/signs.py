"""Valleys at other signs of the correlations of a field of plots that is mostly noise.

A chain whose neighbours compete explains as much in such a field as one whose neighbours are alike. Where correlation
is strong the candidates of other signs are so much higher that none is searched from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mme.engine.blocks import Block
from mme.numeric.curvature import CONVERGED
from mme.numeric.limits import limits
from mme.numeric.optimize import Minimum
from mme.search.endless import value_of
from mme.search.joint import Joint
from mme.search.searched import Searched

# Sizes of the effects at which candidates are tried, in those of the start, and how much higher than the minimum the
# best candidate of its signs may be for a search to begin there. One that is so much higher at the least size is not
# tried at others.
_SIZES, _HIGHER, _HOPELESS = (0.3, 1.0, 3.0), 3.0, 50.0

# The minimum from a point, after so many evaluations.
Search = Callable[[np.ndarray, int], Minimum]


def from_plain_start(joint: Joint, searched: Searched, minimum: Minimum, search: Search) -> Minimum:
    """The lowest of the minimum and of that from the residuals' start that no residuals have chosen."""
    model = joint.model
    if minimum.endless or model.residual is None or not model.residual.has_valleys:
        return minimum
    plain = searched.x(np.concatenate([searched.first[: model.k], model.residual.start()]))
    if np.allclose(plain, searched.x(searched.first)):
        return minimum
    other = search(plain, minimum.evaluations)
    return replace(min(minimum, other, key=lambda one: one.value), evaluations=other.evaluations)


def of_other_signs(joint: Joint, searched: Searched, minimum: Minimum, search: Search) -> Minimum:
    """The lowest of the minimum and of those from correlations of other signs."""
    objective = joint.latest
    if objective.flops > limits().dear_order or minimum.endless:
        return minimum
    for block in objective.random:
        if block.is_parametric and any(low < 0.0 for low, _ in block.relationship.bounds):
            minimum = _lowest(joint, searched, minimum, block, search)
    return minimum


def _lowest(joint: Joint, searched: Searched, minimum: Minimum, block: Block, search: Search) -> Minimum:
    at = _parameters(block)
    here = _signs(block, searched.parameters(minimum.x)[at])
    best = dict[tuple[float, ...], tuple[float, np.ndarray]]()
    for candidate in block.relationship.starts():
        signs = _signs(block, searched.parameters(_with(searched, block, candidate, 1.0))[at])
        for size in _SIZES if signs != here else ():
            x = _with(searched, block, candidate, size)
            value = value_of(joint, searched, x)
            minimum = replace(minimum, evaluations=minimum.evaluations + 1)
            if value < min(best.get(signs, (np.inf,))[0], minimum.value + _HIGHER):
                best[signs] = value, x
            if size == _SIZES[0] and value > minimum.value + _HOPELESS:
                break
    for _, x in sorted(best.values(), key=lambda one: one[0]):
        other = search(x, minimum.evaluations)
        lower = other.value < minimum.value - CONVERGED
        minimum = replace(other if lower else minimum, evaluations=other.evaluations)
    return minimum


def _with(searched: Searched, block: Block, candidate: np.ndarray, size: float) -> np.ndarray:
    """The start with the block's parameters at a candidate, and effects of a size."""
    at, parameters = _parameters(block), searched.first.copy()
    parameters[block.theta_slices[0].start : at.start] *= size
    parameters[at] = candidate
    return searched.x(parameters)


def _parameters(block: Block) -> slice:
    """Where those of the relationship stand in theta."""
    stop = block.theta_slices[0].stop
    return slice(stop - block.relationship.k, stop)


def _signs(block: Block, x: np.ndarray) -> tuple[float, ...]:
    return tuple(np.sign(block.relationship.natural(x)).tolist())
