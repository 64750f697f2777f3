r"""What a record does to beta where residuals are correlated: the record leaves, not a row of the whitened ones.

With W whitening (W R W' = I) and P, U and e as in ``hat.py``, all three of whitened records, those of the records as
they are, V in units of sigma^2, are

    V^-1 X R_X^-1 = W'U,    P y = W'e,    P_ii = (R^-1)_ii - z_i' Lambda M^-1 Lambda' z_i - u_i'u_i,               (R1)

u_i the rows of W'U and z_i those of R^-1 Z, so that (Christensen, Pearson and Johnson 1992, with one record a group)

    beta - beta_(i) = R_X^-1 u_i (P y)_i / P_ii.                                                                   (R2)

Where every group of the residuals lies in one level of each term, R^-1 Z has the levels of Z, and (H4) holds with its
columns in the place of those of W Z. Else z_i has entries at the levels of several records; with H_2 and P_s as in
``groups.py``, Y = Z_2 - Z_1 P_s of R^-1 Z,

    z_i' Lambda M^-1 Lambda' z_i = z_1i' T (I + A'A)^-1 T' z_1i + (Y H_2 Y')_ii.                                   (R3)

Whole groups of the residuals leave as rows of the whitened records do, by (H2), with (R3) among the rows of W Z.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.diagnosis.hat import Hat, quadratic
from mme.diagnosis.levels import DETERMINED
from mme.engine.blocks import Block
from mme.errors import MMEError
from mme.numeric.limits import limits
from mme.numeric.sums import by_code, coding
from mme.solution.diagonal import level_covariance
from mme.solution.gains import carried, whole_rest


@dataclass(frozen=True, eq=False)
class RecordHat:
    """(R1) of every record, from the hat matrix of whitened ones and their residuals e (n,)."""

    hat: Hat
    e: np.ndarray

    @cached_property
    def rows(self) -> np.ndarray:
        """V^-1 X R_X^-1 (n, p)."""
        return np.asarray(self.hat.objective.whitening.transposed(np.ascontiguousarray(self.hat.U.T)).T)

    @cached_property
    def residual(self) -> np.ndarray:
        """P y (n,): P_ii times what y_i is off its prediction from all others."""
        return self.hat.objective.whitening.transposed(self.e[None, :])[0]

    @cached_property
    def share(self) -> np.ndarray:
        """P_ii (R^-1)_ii^-1 (n,): what the others leave of the residual variance beside the record's own group."""
        own = self.hat.objective.whitening.precision
        return np.asarray((own - self._random_part() - np.einsum("ij,ij->i", self.rows, self.rows)) / own)

    @cached_property
    def left(self) -> np.ndarray:
        """P_ii (n,): sigma^2 / P_ii is the variance of y_i about its prediction; NaN where the others have none."""
        return np.where(self.share > DETERMINED, self.share * self.hat.objective.whitening.precision, np.nan)

    @property
    def shifts(self) -> np.ndarray:
        """(R2) on :attr:`Hat.basis` (n, p)."""
        return np.asarray(self.rows * (self.residual / self.left)[:, None])

    def _random_part(self) -> np.ndarray:
        """z_i' Lambda M^-1 Lambda' z_i (n,)."""
        objective, whitening = self.hat.objective, self.hat.objective.whitening
        if all(block.records is None for block in objective.blocks):
            back = {id(block): tuple(_back(self.hat, block)) for block in objective.blocks}
            return self.hat.random_part(lambda block: back[id(block)])
        block, theta, at = objective.absorbing, self.hat.theta, self.hat.at
        own = None if block is None else replace(block, columns=tuple(_back(self.hat, block)))
        total = np.zeros(objective.model.n)
        if own is not None:
            total += quadratic(own.columns, level_covariance(objective, theta, at), own.codes, own.columns)
        return total + self._through_rest(self._rows_of_Y(own, sp.csr_array(whitening.matrix().T)))

    def _rows_of_Y(self, own: Block | None, change: sp.csr_array | None) -> sp.csr_array:
        """Y (n, m) of the rows of W Z, or ``change`` times them; ``own`` is the absorbed block with these rows."""
        objective, n = self.hat.objective, self.hat.objective.model.n
        rest, Y = objective.system.rest, sp.csr_array((n, 0))
        if rest.m:
            Y = sp.csr_array(sp.hstack([_rows_of_Z(other, n) for other in rest.blocks]))
            Y = Y if change is None else sp.csr_array(change @ Y)
        if own is None:
            return Y
        by_coefficient = np.arange(own.J * own.q).reshape(own.J, own.q).T.ravel()  # rows of P: then by level
        P = carried(objective, self.hat.theta, self.hat.at)
        return sp.csr_array(Y - _rows_of_Z(own, n)[:, by_coefficient] @ P)

    def of_groups(self, codes: np.ndarray, J: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each group of whitened records, its records and Z Lambda M^-1 Lambda'Z' among them, by (R3)."""
        objective, theta, at = self.hat.objective, self.hat.theta, self.hat.at
        block, rest = objective.absorbing, objective.system.rest
        Y, T = self._rows_of_Y(block, None), objective.factors(theta).rest
        inner = None if block is None else level_covariance(objective, theta, at)
        columns = [] if block is None else [np.ones(codes.size) if c is None else c for c in block.columns]
        for members in np.split(by_code(codes, J), np.cumsum(np.bincount(codes, minlength=J))[:-1]):
            half = at.rest.forward(rest.transpose_lambda(np.ascontiguousarray(Y[members].toarray().T), T))
            H = half.T @ half
            if block is not None and inner is not None:
                x, level = np.array([column[members] for column in columns]), block.codes[members]
                H += np.equal.outer(level, level) * np.einsum("ai,iab,bj->ij", x, inner[level], x)
            yield members, H

    def _through_rest(self, Y: sp.csr_array) -> np.ndarray:
        """(Y H_2 Y')_ii (n,), H_2 whole or by its factor."""
        objective, theta, at = self.hat.objective, self.hat.theta, self.hat.at
        n, m = Y.shape
        products = Y.nnz * m if at.rest.is_dense else 2 * n * objective.system.elimination.work.nnz_L
        if products > limits().record_products:
            raise MMEError(
                f"a random effect varies within the groups of the residual structure: what each of {n:,} records does "
                "would take minutes; give the groups that may leave, by="
            )
        total, step = np.zeros(n), max(1, limits().solved_numbers // max(m, 1))
        H_2 = whole_rest(objective, theta, at.rest) if at.rest.is_dense else None
        for start in range(0, n, step):
            part = Y[start : start + step]
            if H_2 is not None:
                total[start : start + step] = (part @ H_2 * part.toarray()).sum(axis=1)
            else:
                rows = objective.system.rest.transpose_lambda(part.toarray().T.copy(), objective.factors(theta).rest)
                total[start : start + step] = (at.rest.forward(rows) ** 2).sum(axis=0)
        return total


def _back(hat: Hat, block: Block) -> np.ndarray:
    """Columns (q, n) of R^-1 Z of a block whose levels hold whole groups of the residuals."""
    n = hat.objective.model.n
    return hat.objective.whitening.transposed(np.array([np.ones(n) if c is None else c for c in block.columns]))


def _rows_of_Z(block: Block, n: int) -> sp.csr_array:
    """The scaled, whitened columns of a block, level by level (n, J q)."""
    records = np.arange(n) if block.records is None else block.records
    total = sp.csr_array((n, block.J * block.q))
    for a, column in enumerate(block.columns):
        values = np.ones(records.size) if column is None else column
        at = coding(block.codes, a) * block.q + a
        total = total + sp.csr_array(sp.coo_array((values, (records, at)), shape=total.shape))
    return sp.csr_array(total)
