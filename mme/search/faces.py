"""The minima on the faces of a covariance: with one column of T fewer, or several.

The criterion is even in each column of T, so that a face, where columns are zero, has minima of its own. One of them
may be lower than the minimum in the interior, and no descent from there comes to it: at the nearest point of the face
the criterion falls towards the interior. So one descends within the face first, and is free to leave it after.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

import numpy as np

from mme.covariance.base import GStructure
from mme.covariance.triangle import lower_factor
from mme.model.problem import Model
from mme.search.descents import Slopes, descend
from mme.search.valleys import Valleys

# Descents are made within so many faces, those of the highest ranks.
_FACES = 15
# A singular value of T below this is as good as zero: the variance is a hundredth of that of one record.
_NO_RANK = 0.1
# Steps within a face leave its zeros but for rounding.
_ZERO = 1e-9


def minima_of_faces(valleys: Valleys, model: Model, x: np.ndarray) -> tuple[np.ndarray, int]:
    """Where descents within the faces below x (k,) end (m, k), and their evaluations."""
    starts = np.where(valleys.free, np.array(list(_below(model, x))).reshape(-1, x.size), 0.0)
    if not len(starts):
        return starts, 0
    found = descend(_within_faces(valleys), starts, by_logarithms=valleys.are_of_sizes)
    return np.where(np.abs(found.x) > _ZERO, found.x, 0.0), found.evaluations


def _below(model: Model, x: np.ndarray) -> Iterator[np.ndarray]:
    """Points (k,) of the faces on which T of one term or more has fewer columns; the largest faces come first."""
    choices = [list(_fewer(part, piece)) for part, piece in zip(model.structures, model.split(x), strict=True)]
    faces = sorted(product(*(range(len(one)) for one in choices)), key=sum)
    for lost in islice(faces, 1, _FACES + 1):
        yield np.concatenate([one[i] for one, i in zip(choices, lost, strict=True)])


def _fewer(part: GStructure, piece: np.ndarray) -> Iterator[np.ndarray]:
    """Yield theta of a term, then the nearest of each lower rank; a diagonal T loses its smallest entries first."""
    yield piece
    if not part.mixes or part.entries is None:
        for i in np.argsort(np.abs(piece))[np.count_nonzero(piece == 0.0) :].tolist():
            piece = np.where(np.arange(piece.size) == i, 0.0, piece)
            yield piece
        return
    U, s, _ = np.linalg.svd(part.T(piece))
    for rank in range(int((s > _NO_RANK).sum()) - 1, -1, -1):
        T = np.zeros((part.q, part.q))
        if rank:
            T[:, :rank] = lower_factor(U[:, :rank] * s[:rank])
        yield T[part.entries]


def _within_faces(valleys: Valleys) -> Slopes:
    """The criterion and its slopes, with zero slopes for each column of T that is zero, so that it stays zero."""
    columns = [part.thetas[part.cols == j] for part in valleys.parts for j in range(part.q)]

    def slopes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value, gradient, hessian = valleys(x)
        for own in columns:
            at = np.flatnonzero((np.abs(x[:, own]) <= _ZERO).all(axis=1))
            hessian[at[:, None], own] = 0.0
            hessian[at[:, None], :, own] = 0.0
            hessian[at[:, None], own, own] = 1.0
        return value, gradient, hessian

    return slopes
