r"""A generalised model, conditioned: what no parameter changes.

    eta = X beta + Z Lambda u + offset,        y_i | eta_i of a family,        u ~ N(0, K (x) I)

X beta = Q gamma with Q orthogonal and of unit mean square, theta in the axes of the terms: no coordinate of the search
knows the units of a covariate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mme.engine.aliasing import Aliasing, aliasing
from mme.engine.basis import FixedBasis, orthonormal_basis
from mme.engine.block_pattern import block_patterns
from mme.engine.blocks import Block, sizes_of_theta
from mme.family.base import Family, Observed
from mme.generalised.alike import Alike, alike
from mme.generalised.columns import Columns
from mme.generalised.dense import DenseEquations
from mme.generalised.equations import Equations
from mme.generalised.levels import LevelEquations
from mme.generalised.sparse import SparseEquations
from mme.generalised.undetermined import held_at_zero, undetermined_of
from mme.identifiability.undetermined import Undetermined
from mme.model.problem import Model
from mme.numeric.kept import kept
from mme.numeric.limits import limits
from mme.numeric.rank import independent_columns, unit_columns
from mme.residual.whitening import Whitening

# Links whose eta has the unit of the response, or its inverse.
_OF_A_UNIT = ("identity", "inverse", "1/mu^2")


@dataclass(frozen=True, eq=False)
class Problem:
    """The model with its family; ``model.y`` is a stand-in for what ``data`` holds."""

    model: Model
    family: Family
    data: Observed

    @property
    def n(self) -> int:
        """Number of records."""
        return self.data.n

    def with_data(self, data: Observed) -> Problem:
        """The same problem for another response: nothing else is made anew."""
        twin = Problem(self.model.beside(y=data.y), self.family, data)
        others = {"model", "data", "merged", "counting"}
        if self.family.merges != "sums":
            others.add("alike")
        if ((data.weights > 0.0) != (self.data.weights > 0.0)).any():
            others |= {"counted_X", "basis", "Q", "beta_of_gamma", "aliasing", "undetermined", "free"}
        vars(twin).update({name: made for name, made in vars(self).items() if name not in others})
        return twin

    @kept
    def offset(self) -> np.ndarray:
        """The known part of eta (n,)."""
        return np.zeros(self.n) if self.model.offset is None else self.model.offset

    @kept
    def unit(self) -> float:
        """How far eta spreads where the link gives it a unit; one for links of ratios."""
        if self.family.link not in _OF_A_UNIT:
            return 1.0
        eta = self.family.first_eta(self.data)[self.data.weights > 0.0]
        off = np.abs(eta - np.median(eta))
        found = float(np.median(off)) or float(np.mean(off))
        return found if np.isfinite(found) and found > 0.0 else 1.0

    def sizes(self) -> np.ndarray:
        """What the entries of theta (k,) change of eta, in its unit."""
        return self._sizes.copy()

    @kept
    def _sizes(self) -> np.ndarray:
        return sizes_of_theta(self.blocks, self.model.k) / self.unit

    @kept
    def counted_X(self) -> np.ndarray:
        """X with zeros for records whose weights are zero: what they have alone determines nothing."""
        counts = self.data.weights > 0.0
        return self.model.X if counts.all() else np.where(counts[:, None], self.model.X, 0.0)

    @kept
    def basis(self) -> FixedBasis:
        """Columns of X that earlier ones do not determine, orthonormal over the records that count."""
        if self.family.has_intercept:
            found = orthonormal_basis(self.counted_X)
        else:
            found = orthonormal_basis(self.counted_X[:, self.own])
            found = replace(found, kept=self.own[found.kept])
        if self.counted_X is self.model.X:
            return found
        N = found.N.copy()
        N[:-1] = (self.model.X[:, found.kept] @ found.R_inverse).T
        return replace(found, N=N)

    @kept
    def own(self) -> np.ndarray:
        """Places of the columns of X that can have a coefficient: not an intercept where thresholds stand for it."""
        if self.family.has_intercept:
            return np.arange(self.model.X.shape[1])
        beside = np.column_stack([self.data.weights > 0.0, self.counted_X])
        free = independent_columns(unit_columns(beside))
        return np.asarray(free[free > 0] - 1)

    @kept
    def Q(self) -> np.ndarray:
        """Orthogonal columns of unit mean square, a row each (p, n)."""
        return np.ascontiguousarray(self.basis.N[:-1]) * np.sqrt(self.n)

    def beta(self, gamma: np.ndarray) -> np.ndarray:
        """Coefficients of the kept columns from those of Q."""
        return np.asarray(self.beta_of_gamma @ gamma)

    @kept
    def beta_of_gamma(self) -> np.ndarray:
        """d beta / d gamma (p, p)."""
        return self.basis.R_inverse * np.sqrt(self.n)

    def gamma(self, beta: np.ndarray) -> np.ndarray:
        """Coefficients of Q from those of the kept columns."""
        return np.asarray(self.basis.R @ beta) / np.sqrt(self.n)

    @kept
    def aliasing(self) -> Aliasing:
        """What the columns left out are made of; last of all, one that thresholds stand for, as for a constant."""
        if self.family.has_intercept:
            return aliasing(self.counted_X, self.basis)
        X, kept = self.counted_X, self.basis.kept
        order = np.concatenate([kept, np.setdiff1d(np.arange(X.shape[1]), kept)])
        spanning = order[independent_columns(unit_columns(X[:, order]))]
        return aliasing(X, replace(self.basis, kept=spanning))

    @property
    def dropped(self) -> np.ndarray:
        """Places of the columns left out because others determine them; not of an intercept that thresholds replace."""
        if self.family.has_intercept:
            return np.setdiff1d(np.arange(self.model.X.shape[1]), self.basis.kept)
        first = self.model.X[:1]
        constant = np.flatnonzero((first != 0.0).any(axis=0) & (first == self.model.X).all(axis=0))
        return np.setdiff1d(np.arange(self.model.X.shape[1]), np.append(constant[:1], self.basis.kept))

    @kept
    def blocks(self) -> tuple[Block, ...]:
        """Terms by grouping factor, in their axes; the absorbed one first, where one is."""
        patterns, _ = block_patterns(self.model, Whitening())
        blocks = [pattern.weighted(Whitening(), None).viewed(inside=True) for pattern in patterns]
        among = [b for b, block in enumerate(blocks) if block.is_block_diagonal]
        if among:
            first = max(among, key=lambda b: blocks[b].J * blocks[b].q)
            blocks.insert(0, blocks.pop(first))
        return tuple(blocks)

    @kept
    def counting(self) -> Problem:
        """The problem of the records whose weights are not zero; itself where all are."""
        counts = np.flatnonzero(self.data.weights > 0.0)
        if counts.size == self.n:
            return self
        model, data = self.model, self.data.at(counts)
        terms = tuple(term.on(counts) for term in model.terms)
        offset = None if model.offset is None else model.offset[counts]
        return Problem(replace(model, y=data.y, X=model.X[counts], terms=terms, offset=offset), self.family, data)

    @kept
    def undetermined(self) -> Undetermined | None:
        """Which variances the design of the records that count does not determine; None where it does all."""
        return undetermined_of(self.counting.model, self.counting.blocks)

    @kept
    def free(self) -> np.ndarray:
        """Which entries of theta (k,) are searched: not those that are zero in the axes, or held there."""
        free = self.model.coordinates.free
        found = self.undetermined
        return free if found is None else free & ~held_at_zero(self.blocks, found, self.model.k)

    @kept
    def alike(self) -> Alike | None:
        """Which records are one but for y, or for nothing; None where they are too few for that to pay."""
        if not self.family.merges or self.n < limits().merged_records:
            return None
        numbers = [self.offset, *self.model.X[:, self.basis.kept].T]
        for term in self.model.terms:
            numbers += [] if term.covariates is None else list(term.covariates.T)
        return alike(self.blocks, numbers if self.family.merges == "sums" else [*numbers, self.data.y])

    @kept
    def merged(self) -> Problem:
        """The problem of the different records, with the same criterion but for a constant; itself where all differ."""
        found = self.alike
        if found is None:
            return self
        twin = Problem(self.model, self.family, found.observed(self.data))
        kept = {name: made for name, made in vars(self).items() if name in ("basis", "beta_of_gamma")}
        blocks = tuple(found.block(block) for block in self.blocks)
        Q = np.ascontiguousarray(self.Q[:, found.first])
        vars(twin).update(kept, offset=self.offset[found.first], Q=Q, blocks=blocks, alike=None)
        return twin

    @kept
    def endless(self) -> Problem:
        """The problem with densities that go on where eta ends."""
        twin = Problem(self.model, self.family.endless, self.data)
        vars(twin).update({name: made for name, made in vars(self).items() if name not in ("family", "merged")})
        return twin

    @kept
    def columns(self) -> Columns:
        """Z of the blocks."""
        return Columns(self.blocks, self.n)

    @kept
    def equations(self) -> Equations:
        """How (H) is factorised: by level, with a dense remainder, or sparse."""
        first, rest = self.blocks[0], self.blocks[1:]
        offsets = np.concatenate(([0], np.cumsum([block.J * block.q for block in self.blocks], dtype=np.int64)))
        if first.is_block_diagonal and not rest:
            return LevelEquations(first)
        m = int(offsets[-1] - offsets[1])
        dense = m <= limits().dense_effects and m * first.J * first.q <= limits().dense_meetings
        if first.is_block_diagonal and dense and not any(block.by_column or block.is_parametric for block in rest):
            return DenseEquations(first, rest)
        return SparseEquations.of(self.blocks, offsets)
