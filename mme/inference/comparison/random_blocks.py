"""The independent blocks of random coefficients of a model, and which of them hold others."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from mme.covariance.base import GStructure
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.rank import RANK_TOLERANCE
from mme.numeric.sums import by_column, coding

# Rows of what stands for columns by their names.
_ROWS = 64


@dataclass(frozen=True, eq=False)
class RandomBlock:
    """Random coefficients with a covariance of their own: columns V (n, q) of a term, ``k`` parameters.

    ``codes`` are (n,), or (q, n) where each column has levels of its own.
    """

    term: Term
    V: np.ndarray
    k: int
    pattern: str  # empty for an unstructured covariance
    codes: np.ndarray

    @property
    def by_column(self) -> bool:
        """Whether each coefficient has levels of its own: codes are (q, n), not (n,)."""
        return by_column(self.codes)

    @property
    def q(self) -> int:
        """Number of coefficients a level."""
        return int(self.V.shape[1])

    def __str__(self) -> str:
        return f"'{self.term.name}'"

    def holds(self, other: RandomBlock) -> bool:
        """Whether every covariance of the other block is one of this block: same levels, columns in their span."""
        if self.by_column or other.by_column:
            return self._holds_columns(other)
        if not same_levels(self.term, other.term):
            return False
        if self.pattern or other.pattern:
            return self.pattern == other.pattern and np.array_equal(self.V, other.V)
        return spanned(other.V, self.V)

    def _holds_columns(self, other: RandomBlock) -> bool:
        """Whether each column of the other is one of these, where columns have levels of their own."""
        if not _same_relationship(self.term.relationship, other.term.relationship) or self.pattern != other.pattern:
            return False
        if self.pattern:
            return self.q == other.q and all(_same_column(self, j, other, j) for j in range(self.q))
        return all(any(_same_column(self, j, other, i) for j in range(self.q)) for i in range(other.q))


def _same_column(one: RandomBlock, j: int, other: RandomBlock, i: int) -> bool:
    """Whether two columns give every record the same value of the same level."""
    if not np.array_equal(one.V[:, j], other.V[:, i]):
        return False
    acts = one.V[:, j] != 0.0
    levels = [b.term.levels[coding(b.codes, a)[acts]] for b, a in ((one, j), (other, i))]
    return np.array_equal(*levels)


def blocks(model: Model) -> list[RandomBlock]:
    """The independent blocks of random coefficients; a diagonal covariance is as many as it has columns."""
    terms = model.terms if model.compressed is None else [_by_names(term) for term in model.terms]
    return [block for term, part in zip(terms, model.structures, strict=True) for block in _blocks(term, part)]


def columns_by_names(names: Sequence[str]) -> np.ndarray:
    """Columns (64, names) in general position, the same for the same name.

    Rows of sums of two models are no common records: what tells their columns apart are their names.
    """
    draws = [np.random.default_rng(crc32(name.encode())).standard_normal(_ROWS) for name in names]
    return np.array(draws).reshape(len(names), _ROWS).T


def _by_names(term: Term) -> Term:
    """The term on rows that are the same for the same names of its factor and columns."""
    twin = copy(term)
    twin.covariates = columns_by_names(term.columns)
    twin.codes = np.random.default_rng(crc32(term.group.encode())).integers(term.n_levels, size=_ROWS)
    return twin


def _blocks(term: Term, part: GStructure) -> list[RandomBlock]:
    V = np.ones((term.n, 1)) if term.covariates is None else term.covariates
    if part.entries is None:
        return [RandomBlock(term, V, part.k, f"{part.inner.kind} {part.kind}", term.codes)]
    if part.correlated or part.q == 1:
        return [RandomBlock(term, V, part.k, "", term.codes)]
    each = range(part.q)
    return [RandomBlock(term, V[:, [j]], 1, "", term.codes[[j]] if term.by_column else term.codes) for j in each]


def spanned(A: np.ndarray, B: np.ndarray) -> bool:
    """Whether the columns of A are combinations of those of B."""
    Q = np.linalg.qr(B)[0]  # by reflections: columns may have any scale
    left = np.linalg.norm(A - Q @ (Q.T @ A), axis=0)
    return bool((left <= RANK_TOLERANCE * np.linalg.norm(A, axis=0)).all())


def same_levels(one: Term, other: Term) -> bool:
    """Whether two terms put the same records together, with the same relationship."""
    return _refines(one, other) and _refines(other, one) and _same_relationship(one.relationship, other.relationship)


def _refines(fine: Term, coarse: Term) -> bool:
    """Whether each level of one lies within one level of the other."""
    of_level = np.zeros(fine.n_levels, dtype=coarse.codes.dtype)
    of_level[fine.codes] = coarse.codes
    return bool((of_level[fine.codes] == coarse.codes).all())


def _same_relationship(one: Any, other: Any) -> bool:
    if one is other or one is None or other is None:
        return one is other
    return one.precision.shape == other.precision.shape and (one.precision != other.precision).nnz == 0
