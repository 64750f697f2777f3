"""The lowest of the valleys of a small model, by descents from several places (``descents.py``).

They begin at the moments; at variances that are each a multiple of what one of their levels is known to, alike or one
term's before the others; at others at random; and on faces, where one term alone has a variance, of full rank or of
rank one: the criterion is even in each column of T, so that a face has minima of its own, and a descent leaves it only
where it can go down from there. From the lowest end, descents begin again with each column of T at zero, from zero,
many times as large and turned round, with all covariances turned at random (of those of its rank), and at the minima of
the faces below it (``faces.py``), until that leads no lower. Without covariances that is only done where the first
descents end in several valleys: where all end in one, those after them led no lower in any of 3,248 random models (with
covariances in three of some 900).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations, cycle, islice, product
from math import ceil
from typing import NamedTuple

import numpy as np

from mme.covariance.base import GStructure
from mme.engine.objective import Objective
from mme.model.problem import Model
from mme.search.descents import Descents, descend
from mme.search.faces import minima_of_faces
from mme.search.valleys import Valleys

# Steps of a multiple of the sizes of all variances.
STRIDE = 10.0
# Descents are made from so many starts, and so many more for each parameter, where a term has at most this many levels;
# with more of them valleys become fewer, and so do starts.
_STARTS, _STARTS_A_PARAMETER, _FEW_LEVELS = 2, 3, 12
# Of those for each parameter so many begin from the lowest end instead, where there are covariances, turned at random,
# beside variances up to so many decades off: in the hardest designs one in eight leads lower, at random one in twenty.
# With several terms so many of these and so many pairs of rank one, at such multiples of the sizes: up to half of them
# lead to the lowest valley where it is narrow, and one in fifty of all others.
_TURNED, _DECADES = 2.0, 1.0
_TURNED_OF_SEVERAL, _PAIRS, _OUT_OF_PAIRS = 0.7, 0.7, (100.0, 30.0, 300.0)
# From so many points of the faces of each term, the lowest of those at these multiples of the sizes.
_FACES, _MULTIPLES = 3, (0.3, 1.0, 4.0, 20.0)
# Rank one along sums and differences of at most so many coefficients.
_COEFFICIENTS = 4
# Descents begin again from the lowest end at most so often, while that gains more than this.
_AGAIN, _GAIN = 3, 1e-3
# Random standard deviations lie so many decades about their sizes, and so many of them are not zero: in turn near
# their sizes, far apart, and on faces, which have minima of their own.
_KINDS = ((1.5, 1.0), (2.5, 1.0), (1.5, 0.6))
# An end further out than this, from which the criterion falls by one more to ten times there, or to e times by its
# slope, is on its way to a response without residuals: each degree of freedom gives log(100), or 2. Where it is higher
# at ten times, the lowest so many of these descents go on first.
_OUT, _FALL, _SLOW = 100.0, 1.0, 3


class Lowest(NamedTuple):
    """Theta where the lowest of several descents ended, or the first of the moments, and their evaluations.

    ``falls_to`` is the lowest criterion seen on the way to a response without residuals; infinite where none led there.
    """

    theta: np.ndarray
    evaluations: int
    falls_to: float


def lowest_of_descents(objective: Objective, valleys: Valleys, moments: list[np.ndarray], size: np.ndarray) -> Lowest:
    """The lowest of several descents.

    ``size`` (k,) is theta at which the variance of a level is that of its estimate by its own records.
    """
    model, scale, free = objective.model, objective.theta_scale, objective.model.coordinates.free
    share, rng = min(1.0, _FEW_LEVELS / min(block.J for block in objective.random)), np.random.default_rng(1)
    turns = _shares(model)[0]
    starts, evaluations = _starts(objective, valleys, moments, size, share)
    found, falls_to = _ends(valleys, starts)
    x, value, evaluations = *_best(found), evaluations + found.evaluations
    for turn in range(_AGAIN):
        if not np.isfinite(value) or (found.in_one_valley and valleys.are_of_sizes):
            break
        again = np.array(list(beside(objective, valleys.canonical(x[None])[0] / scale, size))) * scale
        turned = list(islice(_turned(model, x, rng), 0 if turn else round(turns * share * size.size)))
        faces, spent = minima_of_faces(valleys, model, x)
        found, fallen = _ends(valleys, np.vstack([x, faces, np.where(free, [*turned, *again], 0.0)]))
        before, falls_to = value, min(falls_to, fallen)
        x, value, evaluations = *_best(found), evaluations + spent + found.evaluations
        if not value < before - _GAIN:
            break
    return Lowest(min([moments[0], x / scale], key=objective), evaluations + 2, falls_to)


def _starts(
    objective: Objective, valleys: Valleys, moments: list[np.ndarray], size: np.ndarray, share: float
) -> tuple[np.ndarray, int]:
    """Where the first descents begin (S, k), and the evaluations that chose those on faces."""
    scale, free = objective.theta_scale, objective.model.coordinates.free
    turns, pairs = _shares(objective.model)
    count = _STARTS + round((_STARTS_A_PARAMETER - ceil(turns + pairs)) * share * size.size)
    far = islice(_pairs_of_rank_one(objective.model, size), round(pairs * share * size.size))
    several = [*islice(chain(moments, _trials(objective, size)), count), *far]
    faces = list(_faces(objective, size))
    on_faces = np.where(free, np.vstack(faces) * scale, 0.0)
    ends = np.cumsum([len(one) for one in faces])
    points, values = (np.split(each, ends[:-1]) for each in (on_faces, valleys(on_faces)[0]))
    lowest = [one[np.argsort(own)[: max(round(_FACES * share), 1)]] for one, own in zip(points, values, strict=True)]
    return np.vstack([np.where(free, np.array(several) * scale, 0.0), *lowest]), len(on_faces)


def _shares(model: Model) -> tuple[float, float]:
    """How many descents for each parameter begin from turned covariances, and from pairs of rank one."""
    if not any(map(_turns, model.structures)):
        return 0.0, 0.0
    return (_TURNED_OF_SEVERAL, _PAIRS) if len(model.structures) > 1 else (_TURNED, 0.0)


def _pairs_of_rank_one(model: Model, size: np.ndarray) -> Iterator[np.ndarray]:
    """Thetas far out at which two terms alone have variances, covariances of rank one in random directions, on and on.

    The terms are two with covariances, or where there is one alone it and any other.
    """
    parts, own, rng = model.structures, model.split(size), np.random.default_rng(4)
    covariances = [t for t, part in enumerate(parts) if _turns(part)]
    pairs = list(combinations(covariances, 2)) or [(t, u) for t in covariances for u in range(len(parts)) if u != t]
    for far in cycle(_OUT_OF_PAIRS if pairs else ()):
        chosen = pairs[rng.integers(len(pairs))]
        yield np.concatenate([far * _rank_one(part, own[t], rng) * (t in chosen) for t, part in enumerate(parts)])


def _rank_one(part: GStructure, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Theta of this size along one direction at random; what has no covariances as it is."""
    if not _turns(part):
        return size
    assert part.entries is not None
    rows, cols = part.entries
    direction = rng.normal(size=part.q)
    along = direction / np.linalg.norm(direction) * size[rows == cols]
    return np.where(cols == 0, along[rows], 0.0)


def _turned(model: Model, x: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield thetas without end: the covariances at x (k,) turned at random, at the same ranks; other variances alone.

    A face of lower rank has valleys in several directions.
    """
    pieces = list(zip(model.structures, model.split(x), strict=True))
    while True:
        yield np.concatenate([_turned_once(part, piece, rng) for part, piece in pieces])


def _turned_once(part: GStructure, piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if not _turns(part):
        return piece * 10.0 ** rng.uniform(-_DECADES, _DECADES, piece.size)
    return part.mixed(piece, np.linalg.qr(rng.normal(size=(part.q, part.q)))[0])


def _turns(part: GStructure) -> bool:
    return part.q > 1 and part.mixes and part.entries is not None


def _ends(valleys: Valleys, starts: np.ndarray) -> tuple[Descents, float]:
    """Descend from starts (S, k). An end on the way to a response without residuals gets an infinite criterion.

    The number is the lowest criterion that was seen on such ways, infinite without one.
    """
    found = descend(valleys, np.unique(starts, axis=0), valleys.canonical, by_logarithms=valleys.are_of_sizes)
    out = np.flatnonzero(np.abs(found.x).max(axis=1) > _OUT)
    if not out.size:
        return found, np.inf
    beyond = valleys(STRIDE * found.x[out])[0]
    found.evaluations += out.size
    slow = out[(_slope(found)[out] < -_FALL) & (beyond > found.f[out])]
    if slow.size:
        _go_on(found, valleys, slow[np.argsort(found.f[slow])[:_SLOW]])
    falls = (beyond < found.f[out] - _FALL) | (_slope(found)[out] < -_FALL)
    found.f[out[falls]] = np.inf
    return found, float(beyond[falls].min(initial=np.inf))


def _slope(found: Descents) -> np.ndarray:
    """What the criterion rises by to e times each point (S,), by its gradient."""
    return np.asarray((found.gradient * found.x).sum(axis=1))


def _go_on(found: Descents, valleys: Valleys, at: np.ndarray) -> None:
    """Descend further from the ends ``at``, each to its own: between here and ten times there is something lower."""
    further = descend(valleys, found.x[at], by_logarithms=valleys.are_of_sizes)
    found.x[at], found.f[at], found.gradient[at] = further.x, further.f, further.gradient
    found.evaluations += further.evaluations


def _best(found: Descents) -> tuple[np.ndarray, float]:
    lowest = int(np.argmin(found.f))
    return found.x[lowest], float(found.f[lowest])


def _trials(objective: Objective, size: np.ndarray) -> Iterator[np.ndarray]:
    """Yield thetas: all variances at multiples of their sizes, then one term's above the others', then random ones."""
    model = objective.model
    yield from (size, STRIDE * size, STRIDE**2 * size)
    for own in model.split(np.arange(size.size)):
        yield np.where(np.isin(np.arange(size.size), own), STRIDE, 1.0 / STRIDE) * size
    typical, rng = np.where(size > 0.0, size, 0.3 * size.mean()), np.random.default_rng(0)
    for decades, whole in cycle(_KINDS):
        direction = np.where(model.diagonal, rng.random(size.size) < whole, rng.normal(size=size.size))
        yield 10.0 ** rng.uniform(-decades, decades, size.size) * typical * direction


def _faces(objective: Objective, size: np.ndarray) -> Iterator[np.ndarray]:
    """For each term, thetas (m, k) at which it alone has variances: multiples of their sizes."""
    model, start = objective.model, 0
    for part, own in zip(model.structures, model.split(size), strict=True):
        alone = np.array([own, *_of_rank_one(part, own)])
        points = np.zeros((len(alone), size.size))
        points[:, start : start + part.k] = alone
        yield np.vstack([multiple * points for multiple in _MULTIPLES])
        start += part.k


def _of_rank_one(part: GStructure, size: np.ndarray) -> Iterator[np.ndarray]:
    """Thetas of rank one: each coefficient by itself, and all together with every choice of their signs."""
    if part.q == 1:
        return
    if not part.mixes or part.entries is None:
        yield from np.diag(size)
        return
    rows, cols = part.entries
    first = np.where(cols == 0, size[np.flatnonzero(rows == cols)][rows], 0.0)
    yield from (np.where(rows == i, first, 0.0) for i in range(part.q))
    for signs in product((1.0, -1.0), repeat=min(part.q, _COEFFICIENTS) - 1):
        yield first * np.array([1.0, *signs, *[1.0] * (part.q - 1 - len(signs))])[rows]


def beside(objective: Objective, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
    """Thetas at which other valleys may be, as the structures say, one term at a time."""
    model = objective.model
    pieces = model.split(theta)
    for t, (part, piece, own) in enumerate(zip(model.structures, pieces, model.split(size), strict=True)):
        for other in part.elsewhere(piece, own):
            yield np.concatenate([*pieces[:t], other, *pieces[t + 1 :]])
