r"""The joint covariance of (beta_hat - beta, b_hat - b) where records need it, as a vector, and its quadratic forms.

Of the matrix (V) of :mod:`mme.solution.prediction_error` records ask for cov(beta), for cov(beta, b_g) and var(b_g) at
their levels, and for cov(b_g, b_h) where levels of two factors meet in one of them. As a vector these entries are what
differences by the variances are taken of; records are then read once, whatever the number of derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from mme.numeric.lapack import triangular_solve
from mme.numeric.panels import gathered, inner, panels
from mme.solution.between import Covariances
from mme.solution.diagonal import sensitivities
from mme.solution.estimates import Estimates
from mme.solution.prediction_error import Errors, Meeting, Part

# Columns of Z that differ from combinations of those of X by less than this share of their size are the same.
# Directions of x in which records vary by less than this share of the most have no part in them: what follows would
# cancel. Of so many records it pays to look.
_SAME, _STEEP, _MANY = 1e-10, 1e-3, 4_096


@dataclass(frozen=True, eq=False)
class Entries:
    """Which entries of the joint covariance records X (n, p) and ``parts`` need, in the units of ``origin``.

    Those of beta are taken on its orthonormal basis: where a column is far from zero, cov(beta) in the user's units has
    no digits left for x'cov(beta) x.
    """

    origin: Estimates
    X: np.ndarray
    parts: Sequence[Part]
    meetings: Sequence[Meeting]

    @classmethod
    def of(cls, errors: Errors) -> Entries:
        """The entries that the variances of these errors need, in the axes of the terms."""
        return cls(errors.estimates.in_axes, errors.X, errors.parts, errors.meetings)

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
        for met in self.meetings:
            s, t = self.parts[met.one], self.parts[met.other]
            size = np.outer(*(self._scales[i] / blocks[self.parts[i].block].scale for i in (met.one, met.other)))
            rows, cols = met.cells.rows, met.cells.cols
            V = H.between(s.block, t.block, rows, cols)
            V += np.einsum("gap,gbp->gab", E[s.block][rows], E[t.block][cols])
            V *= size
            pieces.append(V.ravel())
        return np.concatenate(pieces)

    def forms(self, vectors: np.ndarray) -> np.ndarray:
        """x'A x + 2 z'B x + z'C z of every record, for the entries of K such matrices: (K, size) -> (K, n)."""
        return np.concatenate([np.empty((len(vectors), 0)), *self.in_pieces(vectors)], axis=1)

    def in_pieces(self, vectors: np.ndarray) -> Iterator[np.ndarray]:
        """The quadratic forms of :meth:`forms`, (K, records) for some records at a time, in their order."""
        K, pieces = len(vectors), np.split(vectors, np.cumsum(self._sizes)[:-1], axis=1)
        A, tables = self._tables(pieces)
        crossed = [
            _level_last(piece.reshape(K, -1, width))
            for piece, width in zip(pieces[1 + len(tables) :], self._widths[len(tables) :], strict=True)
        ]
        for cut in panels(len(self.X)):
            X = self.X[cut].T
            out = A.forms(X)
            for part, table in zip(self.parts, tables, strict=True):
                table.add(out, X, part.codes[cut], part.z[cut].T)
            for met, entries in zip(self.meetings, crossed, strict=True):
                one, other = self.parts[met.one], self.parts[met.other]
                here = slice(*np.searchsorted(met.records, (cut.start, cut.stop)))
                at, added = met.records[here], np.zeros((K, here.stop - here.start))
                _add(added, entries, met.cells.of_record[here], list(_pairs(2.0 * one.z[at].T, other.z[at].T)))
                out[:, at - cut.start] += added
            yield out

    def _tables(self, pieces: list[np.ndarray]) -> tuple[_Fixed, list[_ByLevel]]:
        """The tables by which the forms of all records are read off: A, and B and C of the levels of each part.

        Where z = S'x, as that of a random slope beside its fixed one, x'A x + 2 z'B x + z'C z is a form in x alone:
        with S = U R and x turned by U, in its first q entries and their products with the others. The first such part
        takes what A has of them.
        """
        K, p, to_basis = len(pieces[0]), self.X.shape[1], self.origin.objective.basis.R_inverse.T
        of_x, tables = _Fixed(pieces[0].reshape(K, p, p), to_basis), list[_ByLevel]()
        for part, piece in zip(self.parts, pieces[1:], strict=False):
            q = part.z.shape[1]
            B, C = np.split(piece.reshape(K, -1, q * p + q * (q + 1) // 2), [q * p], axis=2)
            S = self._along_x(part)
            if S is None:
                tables.append(_ByLevel(_level_last(np.dstack([B, C])), to_basis, None))
                continue
            U, R = np.linalg.qr(S, mode="complete")
            B, R, own = R[:q] @ B.reshape(K, -1, q, p) @ U, R[:q], np.zeros((K, p, p))
            if not any(table.q is not None for table in tables):
                own = U.T @ of_x.A @ U
                of_x = _Fixed(own[:, q:, q:], (U.T @ to_basis)[q:])
            both = B[..., :q] + B[..., :q].swapaxes(2, 3) + R @ _unpacked(C, q) @ R.T + own[:, None, :q, :q]
            beside = (B[..., q:] + own[:, None, :q, q:]).reshape(*B.shape[:2], q * (p - q))
            tables.append(_ByLevel(_level_last(np.dstack([beside, _packed(both)])), U.T @ to_basis, q))
        return of_x, tables

    def _along_x(self, part: Part) -> np.ndarray | None:
        """S (p, q) with z = S'x of every record, x on the orthonormal basis; None where there is none."""
        (n, p), q, to_basis = self.X.shape, part.z.shape[1], self.origin.objective.basis.R_inverse.T
        if n < _MANY or q > p:
            return None
        some = np.linspace(0, n - 1, _MANY).astype(np.intp)
        z = part.z[some]
        S = np.linalg.lstsq(self.X[some] @ to_basis.T, z, rcond=_STEEP)[0]
        within, change = _SAME * np.abs(z).max(axis=0)[:, None], to_basis.T @ S
        for cut in panels(n):
            off = change.T @ self.X[cut].T
            off -= part.z[cut].T
            if (np.abs(off, out=off) > within).any():
                return None
        return S

    @cached_property
    def _scales(self) -> list[np.ndarray]:
        return [self.origin.objective.blocks[part.block].scale for part in self.parts]

    @cached_property
    def _widths(self) -> list[int]:
        p, q = self.X.shape[1], [part.z.shape[1] for part in self.parts]
        return [one * p + one * (one + 1) // 2 for one in q] + [q[m.one] * q[m.other] for m in self.meetings]

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(self._sizes)

    @cached_property
    def _sizes(self) -> list[int]:
        blocks = self.origin.objective.blocks
        rows = [blocks[part.block].J + 1 for part in self.parts] + [met.cells.count for met in self.meetings]
        return [self.X.shape[1] ** 2, *(rows * width for rows, width in zip(rows, self._widths, strict=True))]


@dataclass(frozen=True, eq=False)
class _Fixed:
    """A (K, m, m) of coordinates (m, n) = ``change`` x of the fixed effects."""

    A: np.ndarray
    change: np.ndarray

    def forms(self, X: np.ndarray) -> np.ndarray:
        """x'A x of columns X (p, n): (K, n)."""
        x = self.change @ X
        return np.array([inner(A @ x, x) for A in self.A]).reshape(len(self.A), X.shape[1])


@dataclass(frozen=True, eq=False)
class _ByLevel:
    """The entries (K, width, levels) of B and C, and the ``change`` (p, p) to coordinates x that they are of.

    With ``q`` they are those of z = S'x, of which the first q coordinates of x take the part.
    """

    table: np.ndarray
    change: np.ndarray
    q: int | None

    def add(self, out: np.ndarray, X: np.ndarray, codes: np.ndarray, z: np.ndarray) -> None:
        """Add 2 z'B x + z'C z of records to ``out`` (K, n), for X (p, n) and z (q, n)."""
        x = self.change @ X
        z, x = (np.ascontiguousarray(z), x) if self.q is None else (x[: self.q], x[self.q :])
        new = codes < 0
        level = np.where(new, self.table.shape[2] - 1, codes) if new.any() else codes  # that of new levels is the last
        _add(out, self.table, level, [*_pairs(2.0 * z, x), *_squares(z)])


def _level_last(values: np.ndarray) -> np.ndarray:
    """(K, levels, width) as (K, width, levels), so that the numbers of all levels are next to each other."""
    return np.ascontiguousarray(values.transpose(0, 2, 1))


def _unpacked(packed: np.ndarray, q: int) -> np.ndarray:
    """Symmetric matrices (..., q, q) from their upper triangles (..., q (q + 1) / 2)."""
    place = np.zeros((q, q), dtype=np.intp)
    place[np.triu_indices(q)] = np.arange(packed.shape[-1])
    return np.asarray(packed[..., np.maximum(place, place.T)])


def _packed(matrices: np.ndarray) -> np.ndarray:
    """Upper triangles (..., q (q + 1) / 2) of symmetric matrices (..., q, q)."""
    a, b = np.triu_indices(matrices.shape[-1])
    return np.asarray(matrices[..., a, b])


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
    work = np.empty(row.size)
    for added, entries in zip(out, table, strict=True):
        for values, times in zip(entries, products, strict=True):
            added += np.multiply(gathered(values, row, work), times, out=work)
