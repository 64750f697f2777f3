"""Where the search begins: theta from moments of the OLS residuals of each level (:mod:`mme.search.moments`).

A criterion of few levels can have several valleys. A small model is then searched from the lowest point to which
descents lead (``lowest.py``) from these moments, from those by other weights, E_g = (I + c^2 Z_g'Z_g)^-1 with c
towards zero or infinity, and from others. A larger one begins at the lowest of such points, where other weights make
other H.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from operator import itemgetter

import numpy as np

from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.numeric.limits import limits
from mme.search.lowest import STRIDE, lowest_of_descents
from mme.search.moments import moment_equations
from mme.search.valleys import Valleys
from mme.search.weighted_levels import WeightedLevels, information, levels_alike

# Relative variances are started no smaller than this share of what one level's data could show.
_SMALLEST_SHARE = 0.02
_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.001, 0.3
# With more levels than this the moments of a block are one answer, and its criterion has one valley.
_MANY_LEVELS = 100
# Standard deviations beside the parameters of a relationship, in those of the moments.
_MULTIPLES = (0.3, 3.0, 10.0)
# From so many operations of an evaluation on, others than the least multiple are tried with those candidates alone that
# are there no more than this above the best: in a field of noise with all.
_IN_TURN, _HOPELESS = 1e7, 50.0
# The one standard deviation of many coefficients, in that of the moments: its criterion can have several valleys, one
# of them where a smooth curve goes through all records.
_OCTAVES = tuple(2.0**octave for octave in range(-5, 6))
# Starts are another where a parameter is so many times as large.
_UNLIKE = 1.5


@dataclass(frozen=True, eq=False)
class Start:
    """Where a search begins, in the axes of the terms.

    Attributes
    ----------
    theta : (k,)
        The first point.
    radius : (k,)
        How far off it may be.
    size : (k,)
        Theta at which the variance of a level is that of its estimate by its own records; zeros where levels are alike.
    agreed : bool
        Whether the moments give one answer, whatever their weights.
    few_levels : bool
        Whether a term has few, so that the criterion can have several valleys.
    evaluations : int
        Of the criterion, to choose among several; without that of the first point, where its value is kept.
    valleys : Valleys or None
        The criterion with its slopes, where descents have chosen theta.
    value : float or None
        The criterion at the first point, where that has been made.
    falls_to : float
        The lowest criterion that descents saw on the way to a response without residuals; infinite where none did.
    """

    theta: np.ndarray
    radius: np.ndarray
    size: np.ndarray
    agreed: bool
    few_levels: bool
    evaluations: int
    valleys: Valleys | None = None
    value: float | None = None
    falls_to: float = np.inf


def start(objective: Objective, *, descending: bool = True) -> Start:
    """Choose the first theta: that of the moments, or the lowest of several where the moments depend on their weights.

    For a small model descents from several points choose it, unless ``descending`` is False.
    """
    objective = objective.in_axes
    blocks, solve = moment_equations(objective)
    floors = objective.once(_floors, blocks)
    pieces = _pieces(objective, solve(blocks), floors)
    theta, radius = _nearest(objective, pieces), _radius(objective, blocks, pieces, floors)
    few = min((block.J for block in objective.random), default=_MANY_LEVELS) < _MANY_LEVELS
    if not few or objective.once(_are_alike, blocks):
        return Start(_best_relationship(objective, theta), radius, np.zeros(theta.size), True, few, 0)
    weightings = [[one.with_levels(alike) for one in blocks] for alike in (False, True)]
    others = [_nearest(objective, _pieces(objective, solve(weighted), floors)) for weighted in weightings]
    size = _size(objective, blocks)
    valleys = Valleys.of(objective) if descending else None
    if valleys is not None:
        theta, evaluations, falls_to = lowest_of_descents(objective, valleys, [theta, *others], size)
        radius = np.maximum(radius, _LARGEST_RADIUS * np.abs(theta))
        return Start(theta, radius, size, False, few, evaluations, valleys, falls_to=falls_to)
    unlike, evaluations, value, lowest = [other for other in others if _differ(theta, other, size)], 0, None, None
    if unlike:
        along, evaluations = _along(objective, size)
        value, lowest = min([*((objective(at), at) for at in (theta, *unlike)), along], key=itemgetter(0))
        theta, evaluations = lowest, evaluations + 1 + len(unlike)
        radius = np.maximum(radius, _LARGEST_RADIUS * np.abs(theta))
    if objective.model.k == 1 and objective.random[0].is_spherical:
        theta, evaluations = min((many * theta for many in _OCTAVES), key=objective), evaluations + len(_OCTAVES)
    best = _best_relationship(objective, theta)
    value = value if best is lowest else None
    return Start(best, radius, size, not unlike, few, evaluations - (value is not None), value=value)


def _are_alike(objective: Objective, blocks: list[WeightedLevels]) -> bool:
    """Whether the levels of each block are alike, so that weights change no moments."""
    return all(map(levels_alike, blocks))


def radii(objective: Objective) -> np.ndarray:
    """How far off the theta of the moments may be (k,), in the axes of the terms."""
    objective = objective.in_axes
    blocks, solve = moment_equations(objective)
    floors = objective.once(_floors, blocks)
    return _radius(objective, blocks, _pieces(objective, solve(blocks), floors), floors)


def _floors(objective: Objective, blocks: list[WeightedLevels]) -> list[np.ndarray]:
    """The smallest variances (q,) of each block to start from."""
    each = [np.add.reduce(information(one), axis=1) / one.levels.J for one in blocks]
    return _by_column(objective, [_SMALLEST_SHARE / np.maximum(one, 1e-300) for one in each])


def _by_column(objective: Objective, values: list[np.ndarray]) -> list[np.ndarray]:
    """Values (q,) of each block: coefficients of one variance have one value."""
    blocks = objective.random
    return [np.repeat(one, block.q) if block.is_spherical else one for block, one in zip(blocks, values, strict=True)]


def _pieces(objective: Objective, moments: list[np.ndarray], floors: list[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
    """Theta of the structures nearest to H of each block, by its own columns."""
    return [
        tuple(
            part.nearest(H[columns, columns], floor[columns])
            for part, columns in zip(block.structures, block.column_slices, strict=True)
        )
        for block, H, floor in zip(objective.random, moments, floors, strict=True)
    ]


def _nearest(objective: Objective, pieces: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Theta of all blocks from that of each, by its own columns."""
    theta = np.ones(objective.model.k)
    for block, of_block in zip(objective.random, pieces, strict=True):
        for part, thetas, columns, piece in zip(
            block.structures, block.theta_slices, block.column_slices, of_block, strict=True
        ):
            theta[thetas] = piece / part.per_row(block.size[columns], 1.0)
    return theta


def _radius(
    objective: Objective, blocks: list[WeightedLevels], pieces: list[tuple[np.ndarray, ...]], floors: list[np.ndarray]
) -> np.ndarray:
    """A standard deviation over J levels is known to about 1 / sqrt(2 J) of itself."""
    radius = np.ones(objective.model.k)
    for block, one, of_block, floor in zip(objective.random, blocks, pieces, floors, strict=True):
        error = min(max(sqrt(0.5 / one.levels.J), _SMALLEST_RADIUS), _LARGEST_RADIUS)
        for part, thetas, columns, piece in zip(
            block.structures, block.theta_slices, block.column_slices, of_block, strict=True
        ):
            T = part.T(piece)
            spread = np.sqrt(np.maximum((T * T).sum(axis=1), floor[columns]))
            radius[thetas] = part.radius(error * spread, error) / part.per_row(block.size[columns], 1.0)
    return radius


def _size(objective: Objective, blocks: list[WeightedLevels]) -> np.ndarray:
    """Theta without correlations, each variance that of a typical level's own estimate."""
    typical = _by_column(objective, [np.array([1.0 / _typical(of_j) for of_j in information(one)]) for one in blocks])
    return _nearest(objective, _pieces(objective, [np.diag(variance) for variance in typical], typical))


def _typical(values: np.ndarray) -> float:
    """The median of those above zero, one without any: np.median takes ten times as long for a few dozen."""
    above = np.sort(values[values > 0.0])
    n = above.size
    return 0.5 * float(above[(n - 1) // 2] + above[n // 2]) if n else 1.0


def _differ(theta: np.ndarray, other: np.ndarray, size: np.ndarray) -> bool:
    """Whether a parameter of one start is much larger than of the other, both beyond a thousandth of its size."""
    one, two = (np.abs(x) + 1e-3 * np.abs(size) + 1e-300 for x in (theta, other))
    return bool((np.maximum(one / two, two / one) > _UNLIKE).any())


def _along(objective: Objective, size: np.ndarray) -> tuple[tuple[float, np.ndarray], int]:
    """The lowest of multiples of ``size``, from one upwards while the criterion falls, after its value; evaluations."""
    at, here, further, evaluations = size, objective(size), objective(STRIDE * size), 2
    while further < here:
        at, here, further, evaluations = STRIDE * at, further, objective(STRIDE**2 * at), evaluations + 1
    return (here, at), evaluations


def _best_relationship(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Theta with the parameters of each relationship at that of their candidates whose criterion is lowest.

    Of several parameters the criterion has valleys, at other variances too: they are tried with all candidates,
    or where an evaluation takes long in turn.
    """
    for block in objective.random:
        if block.is_parametric:
            theta = _of_candidates(objective, block, theta)
    return theta


def _of_candidates(objective: Objective, block: Block, theta: np.ndarray) -> np.ndarray:
    """Theta with the parameters of a block's relationship at the candidate that is lowest, and a multiple of its T."""
    own = slice(block.theta_slices[0].stop - block.relationship.k, block.theta_slices[0].stop)
    T = slice(block.theta_slices[0].start, own.start)

    def trials(many: float) -> list[np.ndarray]:
        """Theta with each candidate, and so many times the standard deviations."""
        larger = np.concatenate([theta[: T.start], many * theta[T], theta[T.stop :]])
        return [np.concatenate([larger[: own.start], x, larger[own.stop :]]) for x in block.relationship.starts()]

    multiples = (1.0, *_MULTIPLES) if block.relationship.k > 1 else (1.0,)
    if objective.flops > limits().dear_order:
        return _dear(objective, trials, multiples)
    if objective.flops > _IN_TURN:
        return _in_turn(objective, trials, multiples)
    return min((one for many in multiples for one in trials(many)), key=objective)


def _in_turn(
    objective: Objective, trials: Callable[[float], list[np.ndarray]], multiples: tuple[float, ...]
) -> np.ndarray:
    """The lowest of the candidates at the least multiple, of those nearly as low at others, and of all at the best."""
    least, *others = sorted(multiples)
    found = [(objective(at), least, i, at) for i, at in enumerate(trials(least))]
    lowest = min(value for value, *_ in found)
    near = [i for value, _, i, _ in found if value <= lowest + _HOPELESS]
    found += [(objective(at := trials(many)[i]), many, i, at) for many in others for i in near]
    best = min(found, key=lambda one: one[0])[1]
    if best != least:
        found += [(objective(at), best, i, at) for i, at in enumerate(trials(best)) if i not in near]
    return min(found, key=lambda one: one[0])[-1]


def _dear(
    objective: Objective, trials: Callable[[float], list[np.ndarray]], multiples: tuple[float, ...]
) -> np.ndarray:
    """The lowest of the candidates, and of the multiples of that."""
    one, *others = multiples
    best, at = min(enumerate(trials(one)), key=lambda each: objective(each[1]))
    return at if not others else min((at, *(trials(many)[best] for many in others)), key=objective)
