"""Sums of a component by class (its terms), components of equal sums, and what a response adds to them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from mme.many.balance import ZERO
from mme.many.classes import Classes
from mme.many.components import EffectComponent

# Components whose sums differ by less than this share of their largest are alike.
_ALIKE = 1e-12
# What a term of its own costs more than the products of a component, in operations.
_BESIDES = 100


@dataclass(frozen=True, eq=False)
class ClassTerm:
    """One feature's share: Z'Z (m, m), Z'X (m, p), and the rows (m,) of a response's sums that are Z'y."""

    feature: int
    ZZ: np.ndarray
    ZX: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Summed:
    """A component with its terms. A wide one has its first term alone, and Q'Z (q J, m)."""

    component: EffectComponent
    terms: list[ClassTerm]
    wide: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Rows of all terms."""
        return self.component.m * len(self.terms)


@dataclass(eq=False)
class RowMaps:
    """The linear maps that make the rows of all terms of Q'y. The first rows are those of Z itself, in order."""

    width: int
    count: int = 0
    maps: list[sp.csr_array] = field(default_factory=list)

    def add(self, values: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Rows (m,) that take these values (m, c) of these columns."""
        m = len(values)
        at = np.repeat(np.arange(m), cols.size), np.tile(cols, m)
        self.maps.append(sp.csr_array(sp.coo_array((values.ravel(), at), shape=(m, self.width))))
        self.count += m
        return np.arange(self.count - m, self.count)

    @property
    def matrix(self) -> sp.csr_array:
        """All rows by class."""
        return sp.csr_array(sp.vstack([sp.csr_array((0, self.width)), *self.maps]))


def summed(
    component: EffectComponent, first: int, classes: Classes, V: np.ndarray, X: np.ndarray, maps: RowMaps
) -> Summed:
    """The terms of a component whose own columns are rows of Z from ``first`` on; V (p, q, J) and X (p, n) are X's."""
    m, J, B = component.m, classes.members.size, component.between
    own = ClassTerm(0, component.within @ component.within.T, component.within @ X.T, first + np.arange(m))
    met = np.unique(classes.members[np.unique(B.indices % max(J, 1))])
    if _is_wide(m, met.size * len(classes.pairs), classes):
        return Summed(component, [own], B.toarray())
    scale = max(np.abs(own.ZZ).max(initial=0.0), (abs(B) ** 2).sum(axis=0).max(initial=0.0))
    terms = [own] if np.abs(own.ZZ).max(initial=0.0) > ZERO * scale else []
    for c, e, of, square in component.squares(classes):
        i, j = classes.pairs[e]
        halves = [B[a * J + of].toarray() for a in (i, j)]
        if max((half**2).sum() for half in halves) <= ZERO * scale:
            continue
        both = classes.both(i, j)
        part = {i: halves[0], j: halves[1]}
        ZX = sum(part[a].T @ V[:, b, of].T for a, b in both)
        values = np.hstack([part[a].T for a, _ in both])
        rows = maps.add(values, np.concatenate([b * J + of for _, b in both]))
        terms.append(ClassTerm(1 + c * len(classes.pairs) + e, square, ZX, rows))
    return Summed(component, terms or [own])  # contrasts that no record has are of zeros


def _is_wide(m: int, sums: int, classes: Classes) -> bool:
    """Whether a product of matrices, of eight operations at once, is quicker than sums by class."""
    return m > 8 and sums > classes.R.shape[1] * classes.members.size / 8


def groups_of(parts: list[Summed], p: int) -> list[list[Summed]]:
    """Components with equal sums together, where to eliminate them once is quicker; others alone."""
    alike: dict[object, list[Summed]] = defaultdict(list)
    for i, part in enumerate(parts):
        own = (i,) if part.wide is not None else ()
        image = tuple(np.round(_image(part), 8).tolist())
        key = (*own, part.component.block_of.tobytes(), part.component.level_at.tobytes(), part.component.m, image)
        alike[key, tuple(term.feature for term in part.terms)].append(part)
    found = []
    for group in alike.values():
        first, rest = group[0], []
        same = [part for part in group if _same(part, first)]
        rest = [[part] for part in group if not _same(part, first)]
        together = len(same) > 1 and _pays(first, len(same), p + 1)
        found += [same] if together else [[part] for part in same]
        found += rest
    return found


def _image(part: Summed) -> np.ndarray:
    """Sums of the entries of each term's Z'Z, as a share of the largest."""
    values = np.array([np.abs(term.ZZ).sum() for term in part.terms])
    largest = max(values.max(initial=0.0), 1e-300)
    return np.append(values / largest, np.log(largest))


def _same(one: Summed, other: Summed) -> bool:
    if one is other:
        return True
    scale = max(np.abs(term.ZZ).max() for term in other.terms)
    pairs = zip(one.terms, other.terms, strict=True)
    return all(np.abs(a.ZZ - b.ZZ).max() <= _ALIKE * scale for a, b in pairs)


def _pays(part: Summed, count: int, w: int) -> bool:
    D, m = part.size, part.component.m
    return D * D * w * w / 4.0 < count * (D * w + m * w * w + D * m + m**3 + _BESIDES)


@dataclass(frozen=True, eq=False)
class MergedProducts:
    """Sums over merged components (D): rows (F, D) of each, and of X (F, D, p)."""

    rows: np.ndarray
    X: np.ndarray

    @classmethod
    def of(cls, group: list[Summed]) -> MergedProducts:
        """Those of components with equal sums."""
        rows = np.array([np.concatenate([term.rows for term in part.terms]) for part in group])
        return cls(rows, np.array([np.concatenate([term.ZX for term in part.terms]) for part in group]))

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the packed products."""
        return np.triu_indices(self.rows.shape[1])

    def shared(self) -> np.ndarray:
        """The products (pairs, w, w) of X, y's zero."""
        (one, other), p = self.pairs, self.X.shape[2]
        full = np.einsum("fup,fvr->uvpr", self.X, self.X)
        out = np.zeros((one.size, p + 1, p + 1))
        out[:, :p, :p] = full[one, other] + np.where(one == other, 0.0, 1.0)[:, None, None] * full[other, one]
        return out

    def of_responses(self, rows: np.ndarray) -> np.ndarray:
        """Those with y, last that of y with itself (B, pairs, w), of the rows of responses (B, rows)."""
        (one, other), (F, D, p), B = self.pairs, self.X.shape, len(rows)
        y = rows[:, self.rows.T]  # (B, D, F)
        beside = (y.reshape(B * D, F) @ self.X.reshape(F, D * p)).reshape(B, D, D, p)  # y_u X_v
        twice = np.where(one == other, 0.0, 1.0)
        squares = y @ y.transpose(0, 2, 1)
        out = np.empty((B, one.size, p + 1))
        out[:, :, :p] = beside[:, one, other] + twice[:, None] * beside[:, other, one]
        out[:, :, p] = squares[:, one, other] * (1.0 + twice)
        return out
