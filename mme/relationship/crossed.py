r"""Products of relationships: b ~ N(0, K_1 (x) K_2) among all pairs of levels, as ``A(animal):ar1(time)``.

    (K_1 (x) K_2)^-1 = K_1^-1 (x) K_2^-1,      log|K_1 (x) K_2| = J_2 log|K_1| + J_1 log|K_2|,

as sparse as both are; levels are pairs ``animal:time``, those without records too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from mme.relationship.known import Relationship
from mme.relationship.lattice import Lattice
from mme.relationship.parametric import Parametric
from mme.relationship.places import BETWEEN
from mme.tables.spelling import labels_of


@dataclass(frozen=True, eq=False)
class Crossed(Parametric):
    """A known relationship at each of the places of chains; all levels of a place stand together.

    Attributes
    ----------
    known : (J,) array
        The levels of the known one.
    rows_known, cols_known, values_known : arrays
        The entries of its inverse.
    logdet_known, diagonal_known : log|K_1| and its diagonal.
    process : Lattice
        The chains.
    """

    known: np.ndarray
    rows_known: np.ndarray
    cols_known: np.ndarray
    values_known: np.ndarray
    logdet_known: float
    diagonal_known: np.ndarray
    process: Lattice
    trusted: ClassVar[bool] = True

    @cached_property
    def levels(self) -> np.ndarray:  # type: ignore[override]
        """``animal:time``, animals changing fastest."""
        known, places = labels_of(self.known), labels_of(self.process.levels)
        out = np.empty(len(known) * len(places), dtype=object)
        out[:] = [f"{one}{BETWEEN}{place}" for place in places for one in known]
        return out

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the parameters of the chains."""
        return self.process.names

    @cached_property
    def _entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Row, column, value of K_1^-1 and place of that of K_2^-1, for each entry of the lower triangle."""
        whole = self.rows_known, self.cols_known, self.values_known
        lower = tuple(one[self.rows_known >= self.cols_known] for one in whole)
        at, off = np.arange(self.process.rows.size), self.process.rows != self.process.cols
        J = self.known.size
        rows, cols, values, places = [], [], [], []
        for (row, col, value), chosen in ((lower, at[~off]), (whole, at[off])):
            rows.append(np.add.outer(self.process.rows[chosen].astype(np.int64) * J, row).ravel())
            cols.append(np.add.outer(self.process.cols[chosen].astype(np.int64) * J, col).ravel())
            values.append(np.tile(value, chosen.size))
            places.append(np.repeat(chosen, value.size))
        return np.concatenate(rows), np.concatenate(cols), np.concatenate(values), np.concatenate(places)

    @property
    def rows(self) -> np.ndarray:  # type: ignore[override]
        """Row of each value of K^-1."""
        return self._entries[0]

    @property
    def cols(self) -> np.ndarray:  # type: ignore[override]
        """Column of each value of K^-1."""
        return self._entries[1]

    def values_at(self, x: np.ndarray) -> np.ndarray:
        """Products of the entries of both inverses."""
        return np.asarray(self._entries[2] * self.process.values_at(x)[self._entries[3]])

    def logdet_at(self, x: np.ndarray) -> float:
        """J_2 log|K_1| + J_1 log|K_2|."""
        return self.process.levels.size * self.logdet_known + self.known.size * self.process.logdet_at(x)

    def diagonal_at(self, x: np.ndarray) -> np.ndarray:
        """diag(K): that of the known one, at every place."""
        return np.tile(self.diagonal_known, self.process.levels.size)

    def starts(self) -> np.ndarray:
        """Candidates to begin a search: those of the chains."""
        return self.process.starts()

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of the chains."""
        return self.process.bounds

    def natural(self, x: np.ndarray) -> np.ndarray:
        """The natural parameters: those of the chains."""
        return self.process.natural(x)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Coordinates of the natural parameters: those of the chains."""
        return self.process.coordinates(natural)

    def extended(self, labels: np.ndarray) -> Crossed | None:
        """With new places, for all of its known levels."""
        present, known = set(self.levels.tolist()), set(labels_of(self.known))
        parted = [label.split(BETWEEN) for label in map(str, labels.tolist()) if label not in present]
        d = len(self.process.decays)
        asked = [BETWEEN.join(parts[-d:]) for parts in parted if BETWEEN.join(parts[:-d]) in known]
        process = self.process.extended(np.array(asked, dtype=object)) if asked else None
        return None if process is None else replace(self, process=process)


def crossed(known: Relationship, process: Lattice) -> Crossed:
    """A known relationship at each of the places of chains.

    Examples
    --------
    >>> from mme.relationship.lattice import lattice
    >>> K = Relationship(covariance=[[1.0, 0.5], [0.5, 1.0]], levels=["a", "b"])
    >>> both = crossed(K, lattice(None, [[1, 2, 2]], ["ar1"], ["time"], "time")[1])
    >>> both.levels.tolist(), both.names
    (['a:1', 'b:1', 'a:2', 'b:2'], ('rho.time',))
    """
    inverse = sp.coo_array(known.precision)
    entries = inverse.row.astype(np.int64), inverse.col.astype(np.int64), inverse.data
    return Crossed(np.asarray(known.levels), *entries, float(known.logdet), np.asarray(known.diagonal), process)


def product_of_relationships(parts: Sequence[tuple[np.ndarray, Any]]) -> Relationship:
    """K_1 (x) K_2 (x) ... of known relationships; a None has independent ``levels``.

    Examples
    --------
    >>> K = Relationship(covariance=[[1.0, 0.5], [0.5, 1.0]], levels=["a", "b"])
    >>> both = product_of_relationships([(np.array(["x", "y"]), None), (K.levels, K)])
    >>> both.levels.tolist(), round(both.logdet, 4) == round(2 * K.logdet, 4)
    (['x:a', 'x:b', 'y:a', 'y:b'], True)
    """
    sizes = [len(levels) for levels, _ in parts]
    whole = sp.csc_array(np.ones((1, 1)))
    logdet, total = 0.0, int(np.prod(sizes))
    diagonal = np.ones(1)
    for size, (_, one) in zip(sizes, parts, strict=True):
        whole = sp.csc_array(sp.kron(whole, sp.eye_array(size) if one is None else one.precision))
        logdet += 0.0 if one is None else total // size * float(one.logdet)
        diagonal = np.kron(diagonal, np.ones(size) if one is None else one.diagonal)
    whole.sort_indices()
    made = Relationship._known(combinations_of([levels for levels, _ in parts]), whole, logdet)
    made.diagonal = diagonal
    return made


def combinations_of(parts: Sequence[np.ndarray]) -> np.ndarray:
    """``a:b`` of all combinations of levels, the last changing fastest."""
    labels = labels_of(parts[0])
    for others in map(labels_of, parts[1:]):
        labels = [f"{one}{BETWEEN}{other}" for one in labels for other in others]
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out
