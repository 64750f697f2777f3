"""The relationships that single-step joins markers with: A of a pedigree, or (K) of one with metafounders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.relationship.known import Relationship, positive_definite
from mme.relationship.metafounders import metafounders
from mme.relationship.pedigree import Pedigree
from mme.relationship.recursion import recursive_precision

# Columns of K that are solved for at once.
_COLUMNS = 512


class Base(ABC):
    """K among ``levels``, by its sparse inverse ``precision``; ``logdet`` is log|K|."""

    levels: np.ndarray
    precision: sp.csc_array
    logdet: float

    @abstractmethod
    def among(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Entries of K (rows, cols), dense."""

    @abstractmethod
    def own(self, at: np.ndarray) -> np.ndarray:
        """The diagonal of K at some levels."""

    @abstractmethod
    def marginal(self, at: np.ndarray) -> tuple[sp.csc_array, float, np.ndarray]:
        """K^-1 and log|K| of some levels and of others that they descend from, and where they stand among these."""


def base_of(pedigree: Pedigree, gamma: Any) -> Base:
    """A among the animals of the pedigree, or with ``gamma`` (K) among them and the metafounders."""
    return OfPedigree(pedigree) if gamma is None else OfMetafounders(metafounders(pedigree, gamma))


class OfPedigree(Base):
    """A among the animals: what varies about the means of their groups of unknown parents, if they have some."""

    def __init__(self, pedigree: Pedigree) -> None:
        n = pedigree.animals.size
        self._pedigree, self.levels = pedigree, pedigree.animals
        self.precision = pedigree.given_groups.precision[:n, :n] if pedigree.groups.size else pedigree.Ainv
        self.logdet = float(np.log(pedigree.mendelian).sum())

    def among(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Entries of A, by walks over the ancestors."""
        return self._pedigree.A(self.levels[rows], self.levels[cols])

    def own(self, at: np.ndarray) -> np.ndarray:
        """1 + F."""
        return np.asarray(1.0 + self._pedigree.inbreeding[at])

    def marginal(self, at: np.ndarray) -> tuple[sp.csc_array, float, np.ndarray]:
        """A^-1 of the animals and all their ancestors: the descendants of these are no relatives by whom they are."""
        pedigree, n = self._pedigree, self.levels.size
        sire, dam = (np.where(one < n, one, -1) for one in (pedigree.sire, pedigree.dam))
        used = np.zeros(n + 1, dtype=bool)
        used[at] = True
        for i in pedigree.sorted[::-1].tolist():
            if used[i]:
                used[sire[i]] = used[dam[i]] = True
        family = np.flatnonzero(used[:n])
        place = np.full(n + 1, -1)
        place[family] = np.arange(family.size)
        d, parents = pedigree.mendelian[family], [(place[one[family]], 0.5) for one in (sire, dam)]
        return recursive_precision(parents, d, family.size), float(np.log(d).sum()), place[at]


class OfMetafounders(Base):
    """(K) of :mod:`mme.relationship.metafounders`, among animals and metafounders."""

    def __init__(self, related: Relationship) -> None:
        self.levels, self.precision, self.logdet = related.levels, related.precision, related.logdet
        self._diagonal = related.diagonal

    def among(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Entries of K, by solves with the factor of K^-1."""
        factor = positive_definite(self.precision, self.levels)
        K = np.empty((rows.size, cols.size))
        for first in range(0, cols.size, _COLUMNS):
            some = cols[first : first + _COLUMNS]
            unit = np.zeros((self.levels.size, some.size))
            unit[some, np.arange(some.size)] = 1.0
            K[:, first : first + some.size] = factor.solve(unit)[rows]
        return K

    def own(self, at: np.ndarray) -> np.ndarray:
        """K_ii."""
        return np.asarray(self._diagonal[at])

    def marginal(self, at: np.ndarray) -> tuple[sp.csc_array, float, np.ndarray]:
        """K^-1 of all levels."""
        return self.precision, self.logdet, at
