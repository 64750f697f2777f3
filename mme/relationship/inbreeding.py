r"""The numerator relationship matrix A of a sorted pedigree, without ever holding it whole.

    A = T D T',   T = (I - P)^-1,   F_i = a(sire_i, dam_i) / 2,   d_i = 1/2 - (F_sire + F_dam) / 4            (A)

with P carrying 1/2 at the parents and F = -1 for an unknown parent. A column of A is one walk up the pedigree and one
down it (Colleau 2002, Genet Sel Evol 34:409-421), so that inbreeding takes one such column for every *sire*, restricted
to the ancestors of his mates (Sargolzaei, Iwaisaki and Colleau 2005, J Anim Breed Genet 122:325-331). It gives the
numbers of Meuwissen and Luo (1992, Genet Sel Evol 24:305-313), whose walk is one for every *animal*, a hundred times
faster where a sire has many offspring.

Here ``sire`` and ``dam`` are positions in the sorted pedigree, parents before offspring; -1 is an unknown parent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mme.numeric.kernels import kernel
from mme.numeric.limits import limits
from mme.relationship import loops


def mendelian_variances(sire: np.ndarray, dam: np.ndarray, F: np.ndarray) -> np.ndarray:
    """d_i = 1/2 - (F_sire + F_dam) / 4, F = -1 for an unknown parent: 1 for a founder, 1/2 with non-inbred parents."""
    F = np.append(F, -1.0)  # position -1
    return np.asarray(0.5 - 0.25 * (F[sire] + F[dam]))


def tabular(sire: np.ndarray, dam: np.ndarray, outbred: np.ndarray) -> np.ndarray:
    """A, dense, by rows (Emik and Terrill 1949): the mean of the parents' rows; the diagonal is 1 + F.

    F = 1 - (1 - a(sire, dam) / 2) ``outbred``, which is 1, or 2^-t after t generations of selfing.

    Examples
    --------
    >>> tabular(np.array([-1, -1, 0]), np.array([-1, -1, 1]), np.ones(3))
    array([[1. , 0. , 0.5],
           [0. , 1. , 0.5],
           [0.5, 0.5, 1. ]])
    """
    n = sire.size
    A = np.zeros((n + 1, n + 1))  # the last row and column: an unknown parent, related to nobody
    for i, (s, d) in enumerate(zip(sire.tolist(), dam.tolist(), strict=True)):
        A[i, :i] = A[:i, i] = 0.5 * (A[s, :i] + A[d, :i])
        A[i, i] = 2.0 - (1.0 - 0.5 * A[s, d]) * outbred[i]
    return A[:n, :n]


def relationships(
    sire: np.ndarray, dam: np.ndarray, d: np.ndarray, subset: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """A of the animals ``subset`` with those ``across``, dense; ``d`` are the Mendelian variances."""
    walk = _Walk(sire, dam, across.size)
    tree = walk.ancestry(np.append(subset, across))
    rows, cols = walk.position[subset], walk.position[across]
    A = np.empty((subset.size, across.size))
    for first in range(0, across.size, walk.width):
        columns = cols[first : first + walk.width]
        A[:, first : first + columns.size] = walk.columns(tree, d[tree.member], columns)[rows]
    return A


def inbreeding(sire: np.ndarray, dam: np.ndarray, generation: np.ndarray, outbred: np.ndarray) -> np.ndarray:
    """a(sire, dam) / 2 of each animal; the animals are sorted by generation, those without offspring last.

    That is F where nobody was selfed, ``outbred`` one.

    a(s, m) of every mating of sire s needs the Mendelian variances of s and his ancestors only, so that sires are
    taken by generation, a few of the same one side by side.
    """
    if sire.size <= limits().tabular_animals:
        A = np.pad(tabular(sire, dam, outbred), (0, 1))
        return np.asarray(0.5 * A[sire, dam])
    matings = _matings(sire, dam)
    n_parents = 1 + int(max(sire.max(), dam.max()))
    if n_parents == 0:
        return np.zeros(sire.size)
    sire, dam, generation_of_parent = sire[:n_parents], dam[:n_parents], generation[:n_parents]
    walk = _Walk(sire, dam, np.unique(matings.sire).size)
    F = np.append(np.zeros(matings.sire.size + 1), -1.0)  # by mating; then of no mating, of an unknown animal
    kept = np.append(outbred, 1.0)
    d = np.zeros(n_parents)
    for g in range(int(generation_of_parent[-1]) + 1):
        known = slice(*np.searchsorted(generation_of_parent, [g, g + 1]))
        own = [1.0 - (1.0 - F[matings.of[one[known]]]) * kept[one[known]] for one in (sire, dam)]
        d[known] = 0.5 - 0.25 * (own[0] + own[1]) + (1.0 - F[matings.of[known]]) * (1.0 - outbred[known])
        for start, stop in _blocks(matings.sire, known, walk.width):
            sires, column = np.unique(matings.sire[start:stop], return_inverse=True)
            mates = matings.dam[start:stop]
            tree = walk.ancestry(np.concatenate([sires, mates]))
            A = walk.columns(tree, d[tree.member], walk.position[sires])
            F[start:stop] = 0.5 * A[walk.position[mates], column]
    return F[matings.of[:-1]]


def group_contributions(sire: np.ndarray, dam: np.ndarray, handed: np.ndarray) -> np.ndarray:
    """Q = T H (n, g): what each animal has of each group, from what its unknown parents hand down directly."""
    Q = handed.copy()
    kernel(loops.pass_down, Q.size)(Q, sire, dam, np.ones(sire.size))
    return Q


@dataclass(frozen=True)
class _Tree:
    """Some animals with all their ancestors, parents first; sires and dams by position among the members."""

    member: np.ndarray
    sire: np.ndarray
    dam: np.ndarray


class _Walk:
    """Up and down one sorted pedigree for ``n_columns`` of A in all; its buffers serve one call after the other."""

    def __init__(self, sire: np.ndarray, dam: np.ndarray, n_columns: int) -> None:
        n = sire.size
        self._sire, self._dam = sire, dam
        self.width = limits().relationship_columns
        self._steps = n * max(n_columns, self.width)
        self._marked = np.zeros(n, dtype=bool)
        self._buffer = np.empty(n * min(max(n_columns, 1), self.width))
        self.position = np.empty(n, dtype=np.int64)  # among the members of the last tree

    def ancestry(self, animals: np.ndarray) -> _Tree:
        """The animals with all their ancestors."""
        self._marked[animals] = True
        last = int(animals.max())
        return _Tree(*kernel(loops.ancestry, self._steps)(self._marked, self.position, self._sire, self._dam, last))

    def columns(self, tree: _Tree, d: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Columns T D T'e of A, up to ``width`` of them, for the members of ``tree``; ``d`` are theirs."""
        W = self._buffer[: d.size * columns.size].reshape(d.size, columns.size)
        kernel(loops.trace_up, self._steps)(W, columns, tree.sire, tree.dam)
        kernel(loops.pass_down, self._steps)(W, tree.sire, tree.dam, d)
        return W


@dataclass(frozen=True)
class _Matings:
    """Distinct pairs of known parents, sorted by the parent that is called sire here.

    ``of`` (n + 1,) is the mating each animal is from; without one the number of matings, and at -1 one more.
    """

    sire: np.ndarray
    dam: np.ndarray
    of: np.ndarray


def _matings(sire: np.ndarray, dam: np.ndarray) -> _Matings:
    n = sire.size
    offspring = np.flatnonzero((sire >= 0) & (dam >= 0))
    fathers, mothers = sire[offspring], dam[offspring]
    if np.unique(mothers).size < np.unique(fathers).size:  # fewer columns of A: a(s, m) = a(m, s)
        fathers, mothers = mothers, fathers
    pairs, mating = np.unique(fathers * n + mothers, return_inverse=True)
    of = np.full(n + 1, pairs.size)
    of[offspring] = mating
    of[-1] = pairs.size + 1
    return _Matings(pairs // n, pairs % n, of)


def _blocks(sire: np.ndarray, among: slice, width: int) -> Iterator[tuple[int, int]]:
    """Ranges of the matings of up to ``width`` sires each, for the sires ``among`` the animals."""
    first, last = np.searchsorted(sire, [among.start, among.stop])
    starts = first + np.flatnonzero(np.diff(sire[first:last], prepend=-1))
    bounds = np.append(starts[::width], last).tolist()
    yield from pairwise(bounds)
