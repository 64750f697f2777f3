"""Terms on one grouping factor, put side by side: the blocks of Z that the engine works with.

A record has one entry a column, at its level. Where records of several levels are whitened together, by a residual
structure whose groups the factor crosses, row i of W Z is sum_j W_ij z_j: an entry for each W_ij that is not zero.

Terms on the same factor share their levels, so their columns of Z together are block-diagonal by level and
their T's stand on the diagonal of one larger T. Columns are those of the terms' axes (``axes.py``), scaled to unit
mean square when they are whitened: slopes over calendar years or in millionths of a unit are then alike. A block has
b = T u in its own columns; :meth:`Block.effects` and its neighbours lead back to the user's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from mme.covariance.base import GStructure
from mme.covariance.standardised import of_records
from mme.engine.entries import RecordEntries, pairs_of
from mme.engine.level_qr import LevelQR, level_qr, qr_beside
from mme.engine.spectrum import Spectrum, spectrum
from mme.numeric.cell_products import ProductCells, RecordLevels
from mme.numeric.kept import deferred, kept
from mme.numeric.sums import Cells, Column, by_column, cells, indicators, level_sums, picked


@dataclass(frozen=True, eq=False)
class Block:
    """One grouping factor with the q columns of all its terms, weighted and scaled; None is a column of ones.

    They are Z C^-1 / ``scale`` whitened, with ``C`` and ``inverse`` = C^-1 of the axes of all terms, None where all are
    the user's own. ``inside``: theta is given in the axes, not in the user's columns. All this times the orthogonal
    ``turn``', where there is one: an axis for each direction in which the columns lie within X (``span.py``).
    ``codes`` are (n,), or (q, n) where each column has levels of its own: Z'Z is then not block-diagonal by level. With
    ``entries`` there may be several a record, and codes and columns are theirs.
    """

    codes: np.ndarray
    J: int
    q: int
    scale: np.ndarray
    structures: tuple[GStructure, ...]
    terms: tuple[int, ...]
    theta_slices: tuple[slice, ...]
    column_slices: tuple[slice, ...]
    columns: deferred[tuple[Column, ...]] = deferred()  # noqa: RUF009  a descriptor
    relationship: Any = None
    entries: RecordEntries | None = None
    C: np.ndarray | None = None
    inverse: np.ndarray | None = None
    inside: bool = False
    turn: np.ndarray | None = None

    is_fixed: ClassVar[bool] = False

    def columns_at(self, records: slice) -> list[Column]:
        """The columns of some records; those that are made when they are asked for are not kept."""
        return of_records(vars(self)["columns"], records)

    @property
    def by_column(self) -> bool:
        """Whether each coefficient has levels of its own: codes are (q, n), not (n,)."""
        return by_column(self.codes)

    @property
    def records(self) -> np.ndarray | None:
        """The record (entries,) that each entry belongs to; None: every record has one."""
        return None if self.entries is None else self.entries.record

    @property
    def has_many(self) -> bool:
        """Whether a record has so many entries that pairs of them are not listed."""
        return False

    @property
    def at_records(self) -> RecordLevels:
        """The levels of each record."""
        return RecordLevels.one_a_record(self.codes, self.J) if self.entries is None else self.entries.by_record

    @property
    def is_block_diagonal(self) -> bool:
        """Whether M of this block alone is block-diagonal by level: what absorption asks for."""
        return self.relationship is None and not self.by_column and self.entries is None

    @property
    def is_spherical(self) -> bool:
        """Whether it has one level, whose q coefficients have one variance and no correlations: T is a number."""
        return self.J == 1 and len(self.structures) == 1 and self.structures[0].is_spherical

    @property
    def n_weights(self) -> int:
        """How many entries of W_g a level has: q^2, or their diagonal."""
        return self.q if self.is_spherical else self.q**2

    @kept
    def spectrum(self) -> Spectrum:
        """Z of a spherical block by its singular values."""
        return spectrum(np.array([np.ones(self.codes.size) if c is None else c for c in self.columns]))

    @property
    def rank(self) -> int:
        """How many columns a level has once it is absorbed."""
        return int(self.spectrum.s.size) if self.is_spherical else self.q

    @kept
    def indicators(self) -> np.ndarray:
        """The indicators (n, J) of the levels of a small block: sums of several columns by level are one product."""
        return indicators(self.codes, self.J)

    @kept
    def qr(self) -> LevelQR:
        """The QR by level of a small block, which is absorbed beside one response after another."""
        return level_qr(self.codes, self.J, self.columns)

    @property
    def has_qr(self) -> bool:
        """Whether :attr:`qr` is known: a response was absorbed before."""
        return "qr" in vars(self)

    def qr_beside(self, N: np.ndarray) -> tuple[LevelQR, np.ndarray, np.ndarray] | None:
        """:attr:`qr` with Q_g'N and (I - QQ')N of rows N by one loop; None where it is not at hand."""
        found = qr_beside(self.codes, self.J, self.columns, N)
        if found is not None:
            vars(self)["qr"] = found[0]
        return found

    @kept
    def gram(self) -> np.ndarray:
        """Inner products (J, q, q) of the columns over the records of each level of the first of the two."""
        return level_sums(self.codes, self.J, self.columns, self.columns)

    @property
    def by_record(self) -> Block:
        """The block as a start takes it: each record has its own entry alone, at the level of the first column."""
        if self.entries is None:
            return replace(self, codes=self.codes[0]) if self.by_column else self
        own = self.entries.own
        return replace(self, codes=self.codes[own], columns=tuple(picked(self.columns, own)), entries=None)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Z'rows' (J, q, m), for rows (m, n)."""
        if self.entries is None:
            return level_sums(self.codes, self.J, self.columns, list(rows))
        Z = self.entries.transposed(self.columns)
        return np.asarray(Z @ np.ascontiguousarray(rows.T)).reshape(self.J, self.q, -1)

    def cells(self, other: Block) -> Cells:
        """Cells of the levels of two blocks whose entries meet on a record."""
        if (self.has_many or other.has_many) and not (self.by_column or other.by_column):
            return ProductCells.of(self.at_records, other.at_records)
        left, right = pairs_of(self.entries, other.entries)
        one, two = (codes if at is None else codes[..., at] for codes, at in ((self.codes, left), (other.codes, right)))
        return replace(cells(one, two, self.J, other.J), left=left, right=right)

    def own_cells(self) -> Cells:
        """Cells of two levels of the block whose entries meet on a record; of several entries, the lower triangle."""
        if self.entries is None and self.relationship is None and not self.by_column:  # every level has records
            each = np.arange(self.J)
            return Cells(self.codes, each, each)
        if self.entries is None:
            return self.cells(self)
        left, right = self.entries.pairs
        lower = self.codes[left] >= self.codes[right]
        left, right = left[lower], right[lower]
        return replace(cells(self.codes[left], self.codes[right], self.J, self.J), left=left, right=right)

    @property
    def logdet_K(self) -> float:
        """What theta does not change of log |K (x) I|: zero for independent levels."""
        if self.relationship is None or self.is_parametric:
            return 0.0
        return self.q * float(self.relationship.logdet)

    @property
    def is_parametric(self) -> bool:
        """Whether the relationship has parameters: the last entries of the term's theta."""
        return self.structures[0].relationship is not None

    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """The parameters of the relationship: the last entries of the term's theta."""
        return self.structures[0].coordinates(theta[self.theta_slices[0]])

    def relationship_at(self, theta: np.ndarray) -> Any:
        """The relationship at theta."""
        return self.structures[0].related(self.relationship, theta[self.theta_slices[0]])

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor (q, q) of the block's own columns: b = T u. In the axes lower triangular."""
        if self.q == 1 and self.structures[0].entries is not None:
            return np.array([[theta[self.theta_slices[0].start] * self.scale[0]]])
        if self.is_spherical:
            T = np.zeros((self.q, self.q))
            T.flat[:: self.q + 1] = abs(theta[self.theta_slices[0].start]) * self.scale
            return T
        T = self._given_T(theta)
        if self.C is not None and not self.inside:
            T = self.C @ T
        return self._turned(T if self._has_unit_scale else T * self.scale[:, None])

    def many_T(self, thetas: np.ndarray) -> np.ndarray:
        """T (S, q, q) at thetas (S, k), in which it is linear for most structures."""
        if self.q == 1 and self.structures[0].entries is not None:
            return (thetas[:, self.theta_slices[0].start] * self.scale[0]).reshape(-1, 1, 1)
        if self.T_of_units is not None:
            units = self.T_of_units
            return (thetas[:, : len(units)] @ units.reshape(len(units), -1)).reshape(-1, self.q, self.q)
        return np.array([self.T(theta) for theta in thetas])

    @kept
    def T_of_units(self) -> np.ndarray | None:
        """T (k, q, q) by each entry of theta, in which it is linear; None where it is not."""
        if any(part.entries is None for part in self.structures):
            return None
        units = np.zeros((self.theta_slices[-1].stop, self.q, self.q))
        for part, thetas, columns in zip(self.structures, self.theta_slices, self.column_slices, strict=True):
            assert part.entries is not None
            rows, cols = part.entries
            units[np.arange(thetas.start, thetas.start + len(rows)), columns.start + rows, columns.start + cols] = 1.0
        if self.C is not None and not self.inside:
            units = self.C @ units
        return self._turned(units if self._has_unit_scale else units * self.scale[:, None])

    @kept
    def _has_unit_scale(self) -> bool:
        """Whether no column was scaled, as those of axes are."""
        return bool((self.scale == 1.0).all())

    def viewed(self, *, inside: bool) -> Block:
        """The same block as a function of theta in the axes, or in the user's columns."""
        return self if inside == self.inside else self._other_view

    @kept
    def _other_view(self) -> Block:
        twin = Block.__new__(Block)
        vars(twin).update(vars(self), inside=not self.inside)
        vars(twin).pop("T_of_units", None)  # it is by entries of theta
        return twin

    def _turned(self, b: np.ndarray) -> np.ndarray:
        return b if self.turn is None else self.turn @ b

    def turned(self, turn: np.ndarray) -> Block:
        """The same block with columns times turn'."""
        columns = np.array([np.ones(self.codes.shape[-1]) if c is None else c for c in self.columns])
        return replace(self, columns=tuple(turn @ columns), turn=turn)

    def _given_T(self, theta: np.ndarray) -> np.ndarray:
        """T of the columns that theta is of."""
        if len(self.structures) == 1:
            return self.structures[0].T(theta[self.theta_slices[0]])
        T = np.zeros((self.q, self.q))
        for part, thetas, columns in zip(self.structures, self.theta_slices, self.column_slices, strict=True):
            T[columns, columns] = part.T(theta[thetas])
        return T

    def effects(self, b: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Effects (..., q) of the user's columns from those of the block's: zero where theta has no variance."""
        b = (b if self.turn is None else b @ self.turn) / self.scale
        if self.inverse is None:
            return b
        b = b @ self.inverse.T
        return b if self.inside else np.where(self._given_T(theta).any(axis=1), b, 0.0)

    def covariance(self, H: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Covariances (..., q, q) of effects of the user's columns from those of the block's."""
        half = np.swapaxes(self.effects(H, theta), -1, -2)
        return np.swapaxes(self.effects(half, theta), -1, -2)

    def rows(self, Z: np.ndarray) -> np.ndarray:
        """Rows (..., q) of the block's columns from those of the user's, records not whitened."""
        if self.inverse is None and self.turn is None:
            return Z if (self.scale == 1.0).all() else Z / self.scale
        change = (np.eye(self.q) if self.inverse is None else self.inverse) / self.scale
        return Z @ (change if self.turn is None else change @ self.turn.T)

    def moved(self, f: np.ndarray) -> np.ndarray:
        """Effects (q,) of the block's columns from those of the user's: what :meth:`effects` undoes."""
        return self._turned((f if self.C is None or self.inside else self.C @ f) * self.scale)

    @property
    def size(self) -> np.ndarray:
        """The root mean square (q,) of the columns that theta is of, whitened."""
        if self.C is None or self.inside:
            return self.scale
        return np.linalg.norm(self.scale[:, None] * self.C, axis=0)


def sizes_of_theta(blocks: tuple[Block, ...], k: int) -> np.ndarray:
    """The root mean square (k,) of the column of Z that each entry of theta multiplies; ones for other parameters."""
    size = np.ones(k)
    for block in blocks:
        for part, thetas, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
            size[thetas] = part.per_row(block.size[columns], 1.0)
    return size
