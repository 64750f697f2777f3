r"""The joint covariance of (beta_hat - beta, b_hat - b) where records need it, as a vector, and its quadratic forms.

Of the matrix (V) of :mod:`mme.prediction_error` records ask for cov(beta), for cov(beta, b_g) and var(b_g) at their
levels, and for cov(b_g, b_h) where levels of two factors meet in one of them. As a vector these entries are what
differences by the variances are taken of; records are then read once, whatever the number of derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np

from mme.between import Covariances
from mme.crossproducts import Cells, cells
from mme.estimates import Estimates
from mme.inverse import sensitivities
from mme.lapack import triangular_solve
from mme.prediction_error import Part

# Records handled at a time: what they gather stays in the cache.
_RECORDS = 16_384


@dataclass(frozen=True, eq=False)
class _Meeting:
    """The pairs of levels of two parts that meet in records (those whose levels are both known)."""

    one: int
    other: int
    records: np.ndarray
    cells: Cells


@dataclass(frozen=True, eq=False)
class Entries:
    """Which entries of the joint covariance records X (n, p) and ``parts`` need, in the units of ``origin``.

    Those of beta are taken on its orthonormal basis: where a column is far from zero, cov(beta) in the user's units has
    no digits left for x'cov(beta) x.
    """

    origin: Estimates
    X: np.ndarray
    parts: Sequence[Part]

    def at(self, estimates: Estimates) -> np.ndarray:
        """The entries at other variances of the same model, in units of its sigma^2, as one vector."""
        p, blocks, basis = self.X.shape[1], estimates.objective.blocks, estimates.objective.basis
        first = self.origin.objective.basis
        change = np.eye(p) if basis is first else first.R @ basis.R_inverse
        F = triangular_solve(estimates.at.border[:p, :p], change.T, transposed=False)
        pieces = [(F.T @ F).ravel()]
        if self.parts:
            E = sensitivities(estimates.objective, estimates.theta, estimates.at)
            H = Covariances(estimates)
            diagonal = H.diagonal
        for part, scale in zip(self.parts, self._scales, strict=True):
            b, ratio = part.block, scale / blocks[part.block].scale
            with_beta = -ratio[:, None] * (E[b] @ F)
            own = np.outer(ratio, ratio) * (diagonal[b] + E[b] @ E[b].transpose(0, 2, 1))
            T = ratio[:, None] * blocks[b].T(estimates.theta)  # the prior of a level that the fit has no data on
            new = np.append(np.zeros(with_beta[0].size), _packed((T @ T.T)[None]))
            known = np.hstack([with_beta.reshape(len(own), -1), _packed(own)])
            pieces.append(np.vstack([known, new]).ravel())
        for met in self._meetings:
            s, t = self.parts[met.one], self.parts[met.other]
            size = np.outer(*(self._scales[i] / blocks[self.parts[i].block].scale for i in (met.one, met.other)))
            rows, cols = met.cells.rows, met.cells.cols
            V = H.between(s.block, t.block, rows, cols) + E[s.block][rows] @ E[t.block][cols].transpose(0, 2, 1)
            pieces.append((size * V).ravel())
        return np.concatenate(pieces)

    def forms(self, vectors: np.ndarray) -> np.ndarray:
        """x'A x + 2 x'B z + z'C z of every record, for the entries of K such matrices: (K, size) -> (K, n)."""
        K, (n, p), R_inverse = len(vectors), self.X.shape, self.origin.objective.basis.R_inverse
        pieces = np.split(vectors, np.cumsum(self._sizes)[:-1], axis=1)
        tables = [
            np.ascontiguousarray(piece.reshape(K, -1, width).transpose(0, 2, 1))
            for piece, width in zip(pieces[1:], self._widths, strict=True)
        ]
        out, of_parts = np.empty((K, n)), tables[: len(self.parts)]
        for first in range(0, n, _RECORDS):
            cut = slice(first, min(first + _RECORDS, n))
            x = self.X[cut] @ R_inverse
            for k, A in enumerate(pieces[0].reshape(K, p, p)):
                out[k, cut] = np.einsum("ia,ia->i", x @ A, x)
            for part, table in zip(self.parts, of_parts, strict=True):
                z = np.ascontiguousarray(part.z[cut].T)
                # the code -1, of a new level, is the last one
                _add(out[:, cut], table, part.codes[cut], [*_pairs(2.0 * z, x.T), *_squares(z)])
        for met, table in zip(self._meetings, tables[len(self.parts) :], strict=True):
            one, other = self.parts[met.one], self.parts[met.other]
            for first in range(0, met.records.size, _RECORDS):
                at = met.records[first : first + _RECORDS]
                added = np.zeros((K, at.size))
                pair = met.cells.of_record[first : first + _RECORDS]
                _add(added, table, pair, list(_pairs(2.0 * one.z[at].T, other.z[at].T)))
                out[:, at] += added
        return out

    @cached_property
    def _scales(self) -> list[np.ndarray]:
        return [self.origin.objective.blocks[part.block].scale for part in self.parts]

    @cached_property
    def _meetings(self) -> list[_Meeting]:
        objective, found = self.origin.objective, []
        for i, j in combinations(range(len(self.parts)), 2):
            one, other = (j, i) if self.parts[j].block == objective.plan.absorb else (i, j)
            s, t = self.parts[one], self.parts[other]
            records = np.flatnonzero((s.codes >= 0) & (t.codes >= 0))
            if records.size:
                J = [objective.blocks[part.block].J for part in (s, t)]
                found.append(_Meeting(one, other, records, cells(s.codes[records], t.codes[records], *J)))
        return found

    @cached_property
    def _widths(self) -> list[int]:
        p, q = self.X.shape[1], [part.z.shape[1] for part in self.parts]
        return [one * p + one * (one + 1) // 2 for one in q] + [q[m.one] * q[m.other] for m in self._meetings]

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(self._sizes)

    @cached_property
    def _sizes(self) -> list[int]:
        blocks = self.origin.objective.blocks
        rows = [blocks[part.block].J + 1 for part in self.parts] + [met.cells.count for met in self._meetings]
        return [self.X.shape[1] ** 2, *(rows * width for rows, width in zip(rows, self._widths, strict=True))]


def _packed(matrices: np.ndarray) -> np.ndarray:
    """Upper triangles (J, q (q + 1) / 2) of symmetric matrices (J, q, q)."""
    a, b = np.triu_indices(matrices.shape[1])
    return np.asarray(matrices[:, a, b])


def _squares(z: np.ndarray) -> Iterator[np.ndarray]:
    """The factors of :func:`_packed` in z'A z, z (q, n)."""
    for a, b in zip(*np.triu_indices(len(z)), strict=True):
        yield z[a] * z[b] if a == b else 2.0 * z[a] * z[b]


def _pairs(z: np.ndarray, x: np.ndarray) -> Iterator[np.ndarray]:
    """All products z_a x_b (n,), of z (q, n) and x (p, n)."""
    for a, b in product(z, x):
        yield a * b


def _add(out: np.ndarray, table: np.ndarray, row: np.ndarray, products: list[np.ndarray]) -> None:
    """Add to ``out`` (K, n) the sums of products (n,) times the entries (K, width, rows) of each record's row."""
    for added, entries in zip(out, table, strict=True):
        for values, times in zip(entries, products, strict=True):
            added += values.take(row) * times
