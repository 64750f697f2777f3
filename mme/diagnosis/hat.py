r"""The hat matrix of the conditional fit, by record and by group, from the pieces of one evaluation.

With C = [X Z Lambda], whitened records and V in units of sigma^2, fitted = H y for

    H = C (C'C + diag(0, K^-1))^-1 C' = Z Lambda M^-1 Lambda'Z' + U U',    U = V^-1 X R_X^-1                      (H1)

and I - H is P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1, which tells what a group of records g does to beta,

    beta - beta_(g) = (X'V^-1 X)^-1 (X'V^-1)_g (P_gg)^-1 e_g = R_X^-1 U_g' (I - H_gg)^-1 e_g,    e = y - fitted,   (H2)

(Christensen, Pearson and Johnson 1992, Technometrics 34, 38-45), or, where no level of a random term reaches beyond g,
so that V is block-diagonal, with S_g = (X R_X^-1)_g' U_g and the marginal residual r = y - X beta,

    beta - beta_(g) = R_X^-1 (I - S_g)^-1 U_g' r_g.                                                               (H3)

Of M^-1 only entries between effects that meet on a record, or in a level of the absorbed factor, are needed. With
F_g = T (I + A'A)^-1 A' for the absorbed block, B_g = Q_g'Z_2 and H_2 = Lambda_2 K^-1 Lambda_2' for the others,

    (Z Lambda M^-1 Lambda'Z')_ij = z_i'T (I + A'A)^-1 T'z_j + (z_2i - B_g'F_g'z_i)' H_2 (z_2j - B_g'F_g'z_j).      (H4)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.covariance.triangle import lower_factor
from mme.covariance.words import structure
from mme.diagnosis.levels import DETERMINED, level_shifts
from mme.engine.blocks import Block
from mme.engine.families import CrossFamily
from mme.engine.objective import Objective
from mme.engine.pls import Evaluation, coordinates
from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.lapack import cholesky, cholesky_solve, triangular_solve
from mme.numeric.sums import Column, by_code, coding, level_sums, of_pair
from mme.solution.diagonal import absorbed_blocks, sensitivities
from mme.solution.estimates import Estimates
from mme.solution.gains import Rest, at_cells
from mme.solution.wide_records import hat_diagonal


@dataclass(frozen=True, eq=False)
class Hat:
    """H at one theta, of whitened records."""

    objective: Objective
    theta: np.ndarray
    at: Evaluation

    @cached_property
    def basis(self) -> np.ndarray:
        """X R_X^-1 (n, p): columns in which X'V^-1 X is the identity."""
        p = self.objective.system.p
        return triangular_solve(self.at.border[:p, :p], self.objective.basis.N[:-1], transposed=False).T

    @cached_property
    def U(self) -> np.ndarray:
        """V^-1 X R_X^-1 = X R_X^-1 - Z E (n, p), E as in ``solution/diagonal.py``."""
        E = sensitivities(self.objective, self.theta, self.at)
        return self.basis - by_record(self.objective.blocks, E)

    @cached_property
    def diagonal(self) -> np.ndarray:
        """Leverages h (n,): the diagonal of (H1)."""
        if self.objective.fixed is not None and self.objective.fixed.records is not None:
            return hat_diagonal(Estimates(self.objective, self.theta))
        return self.random_part(lambda block: block.columns) + np.einsum("ij,ij->i", self.U, self.U)

    def beta(self, delta: np.ndarray) -> np.ndarray:
        """Changes of beta (g, p) from changes (g, p) on :attr:`basis`."""
        p = self.objective.system.p
        gamma = triangular_solve(self.at.border[:p, :p], np.ascontiguousarray(delta.T), transposed=True)
        return np.asarray((self.objective.basis.R_inverse @ gamma).T)

    def coordinates(self, change: np.ndarray) -> np.ndarray:
        """The change (p,) on :attr:`basis` from that of beta: the inverse of :meth:`beta`."""
        p = self.objective.system.p
        return np.asarray(self.at.border[:p, :p].T @ np.linalg.solve(self.objective.basis.R_inverse, change))

    def without_records(self, e: np.ndarray) -> np.ndarray:
        """(H2) on :attr:`basis` for every record alone (n, p), e (n,) the whitened residual."""
        left = 1.0 - self.diagonal
        left = np.where(left > DETERMINED, left, np.nan)
        return np.asarray(self.U * (e / left)[:, None])

    def without_blocks(self, codes: np.ndarray, J: int, r: np.ndarray) -> np.ndarray:
        """(H3) on :attr:`basis` for groups (J, p) that V does not connect, r (n,) the whitened marginal residual."""
        if np.bincount(codes).max(initial=0) < self.U.shape[1]:
            return self._without_small(codes, J, r)
        columns, weights = list(self.basis.T), list(self.U.T)
        S = level_sums(codes, J, columns, weights)
        s = level_sums(codes, J, weights, [r])
        left = np.eye(len(columns)) - S
        lost = np.linalg.eigvalsh(left).min(axis=1, initial=1.0) < DETERMINED
        left[lost] = np.nan
        return np.asarray(np.linalg.solve(left, s)[:, :, 0])

    def _without_small(self, codes: np.ndarray, J: int, r: np.ndarray) -> np.ndarray:
        """(H3) of groups with fewer records than columns: (I - B'U)^-1 U'r = U'(I - B U')^-1 r, as B'U is symmetric."""
        delta = np.full((J, self.U.shape[1]), np.nan)
        ends = np.cumsum(np.bincount(codes, minlength=J))
        for g, members in enumerate(np.split(by_code(codes, J), ends[:-1])):
            U = self.U[members]
            left = np.eye(members.size) - self.basis[members] @ U.T
            if np.linalg.eigvals(left).real.min(initial=1.0) >= DETERMINED:
                delta[g] = U.T @ np.linalg.solve(left, r[members])
        return delta

    def without_levels(self, e: np.ndarray) -> np.ndarray:
        """(H2) on :attr:`basis` for every level of the absorbed block (J, p)."""
        return level_shifts(self.objective, self.theta, self.at, self._rest.matrix, self.U, e)

    def without_groups(self, e: np.ndarray, groups: Iterable[tuple[np.ndarray, np.ndarray]], count: int) -> np.ndarray:
        """(H2) on :attr:`basis` (count, p) for groups of records, each with (H4) among them."""
        delta = np.zeros((count, self.U.shape[1]))
        for g, (records, H) in enumerate(groups):
            U = self.U[records]
            left = U @ U.T
            left += H
            np.negative(left, out=left)
            left.ravel()[:: records.size + 1] += 1.0
            L, failed = cholesky(left.T, overwrite=True)
            lost = failed or L.diagonal().min(initial=1.0) ** 2 < DETERMINED
            delta[g] = np.nan if lost else U.T @ cholesky_solve(L, e[records])
        return delta

    def without(self, left: np.ndarray) -> np.ndarray:
        """beta - beta_(g) on :attr:`basis` (p,) by one evaluation with the records ``left`` (n,) alone: O(n).

        The conditioned problem is a model like any other: whitened X and y, a term a block, its T as it stands.
        """
        objective, p = self.objective, self.objective.system.p
        terms, thetas = [], [np.zeros(0)]
        for b, block in enumerate(objective.blocks):
            columns = np.column_stack([np.ones(left.size) if c is None else c for c in block.columns])[left]
            related = block.relationship_at(self.theta)
            labels = block.codes if related is None else np.asarray(related.levels)[block.codes]
            groups = labels[left] if labels.ndim == 1 else tuple(labels[:, left])
            terms.append(Term(groups, columns, name=f"block {b}", relationship=related))
            thetas.append(lower_factor(block.T(self.theta)).T[np.triu_indices(block.q)])  # down its columns
        part = Objective.of(
            Model(
                y=objective.basis.r[left],
                X=objective.basis.Q[left],
                x_names=("",) * p,
                response="y",
                terms=tuple(terms),
                structures=tuple(structure("unstructured", term.q, term.name) for term in terms),
                weights=None,
                offset=None,
                method="ML",
                sigma=1.0,
            )
        )
        if part.basis.kept.size < p:
            return np.full(p, np.nan)
        gamma = part.basis.coefficients(coordinates(part.evaluate(np.concatenate(thetas)).border))
        return np.asarray(self.at.border[:p, :p].T @ (coordinates(self.at.border) - gamma))

    @cached_property
    def _rest(self) -> Rest:
        return Rest(self.objective, self.theta, self.at)

    def random_part(self, columns: Callable[[Block], Sequence[Column]]) -> np.ndarray:
        """The diagonal of (H4), for other columns of each block in the place of its own."""
        h, block, rest = self._meetings(columns), self.objective.absorbing, self.objective.system.rest
        if block is None:
            return h
        own = columns(block)
        h += quadratic(own, absorbed_blocks(self.objective, self.theta, self._rest.entries), block.codes, own)
        meetings = at_cells(self.objective, self.theta, self.at, self._rest.matrix)
        for other, cross, PH in zip(rest.blocks, rest.crossing, meetings, strict=True):
            h -= 2.0 * quadratic(own, PH, cross.cells.of_record, columns(other))
        return h

    def _meetings(self, columns: Callable[[Block], Sequence[Column]]) -> np.ndarray:
        """z_2i' H_2 z_2i: entries of H_2 between the levels of one record."""
        rest, h = self.objective.system.rest, np.zeros(self.objective.model.n)
        values = rest.schur.by_family(self._rest.entries)
        for family in rest.schur.families:
            left, right = rest.blocks[family.t_row], rest.blocks[family.t_col]
            blocks = family.blocks(values)
            if family.t_row == family.t_col and not left.by_column:
                h += quadratic(columns(left), blocks[family.diagonal], left.codes, columns(left))
            elif family.t_row == family.t_col:
                h += _between_columns(left, columns(left), family, blocks)
            else:
                cells = rest.schur.products[family.t_row, family.t_col].cells
                where = _find(family, right.J, cells.rows, cells.cols)
                h += 2.0 * quadratic(columns(left), blocks[where], cells.of_record, columns(right))
        return h


def hat_of(fit: Fitted) -> Hat:
    """The hat matrix of the conditional fit.

    Raises
    ------
    MMEError
        A term varies within the groups of the residual structure.
    """
    mixed = [fit.model.terms[block.terms[0]] for block in fit.objective.random if block.records is not None]
    if mixed:
        raise MMEError(
            f"term '{mixed[0].name}' varies within the groups of the residual structure: what a record does to the "
            "fit is not told, since it is whitened together with records of other levels"
        )
    return Hat(fit.objective, fit.theta, fit.estimates.at)


def by_record(blocks: Sequence[Block], effects: Sequence[np.ndarray]) -> np.ndarray:
    """Z b (n, c) of all blocks, for c columns b of the effects of each (J, q, c)."""
    total: np.ndarray | None = None
    for block, b in zip(blocks, effects, strict=True):
        for a, column in enumerate(block.columns):
            part = b[:, a].take(coding(block.codes, a), axis=0)
            if column is not None:
                part *= column[:, None]
            if block.records is not None:  # several entries a record, one behind another
                part = np.add.reduceat(part, np.flatnonzero(np.diff(block.records, prepend=-1)))
            total = part if total is None else np.add(total, part, out=total)
    return np.zeros(1) if total is None else total


def quadratic(left: Sequence[Column], blocks: np.ndarray, at: np.ndarray, right: Sequence[Column]) -> np.ndarray:
    """x_i' S y_i for every record, S = blocks[at[i]], x_i and y_i its values of the columns.

    ``at`` is (n,), or (q, q', n) where each pair of columns has a block of its own.
    """
    total = np.zeros(at.shape[-1])
    for a, x in enumerate(left):
        for b, y in enumerate(right):
            part = blocks[:, a, b][of_pair(at, a, b)]
            for column in (x, y):
                if column is not None:
                    part *= column
            total += part
    return total


def _between_columns(block: Block, columns: Sequence[Column], family: CrossFamily, blocks: np.ndarray) -> np.ndarray:
    """z_i' S z_i for every record where each column has a level of its own; S is held by its lower triangle."""
    rows, cols = np.broadcast_arrays(block.codes[:, None], block.codes)
    at = _find(family, block.J, np.maximum(rows, cols), np.minimum(rows, cols))
    both = np.concatenate([blocks, blocks.transpose(0, 2, 1)])
    return quadratic(columns, both, np.where(rows >= cols, at, at + family.count), columns)


def _find(family: CrossFamily, n_cols: int, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Numbers of the family's blocks at (rows, cols)."""
    key = family.rows * n_cols + family.cols
    order = np.argsort(key, kind="stable")
    return np.asarray(order[np.searchsorted(key, rows * n_cols + cols, sorter=order)])
