"""The fixed linear maps from the entries of the W_g to those of S (``schur.py``): sparse, or one dense product.

Entry (i, j) of a block of S gains B_left[a, i] W[a, b] B_right[b, j] from every level of the absorbed block in which
both of its levels occur. Where these products stand is known once for a model; their values are those of B.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from mme.engine.meetings import Pairs
from mme.numeric.limits import limits


def quickest(A: sp.csr_array) -> np.ndarray | sp.csr_array:
    """A matrix by which products are quickest: a small one is dense."""
    return A.toarray() if A.shape[0] * A.shape[1] <= limits().dense_factor_entries else A


@dataclass(frozen=True, eq=False)
class Products:
    """The pairs of cells (pairs,) of one family, by the block that they add to, and where their products stand.

    Product k = (i, j, a, b) of a pair stands at ``place`` + k ``stride`` in its family; None: pairs have one product.
    """

    i: np.ndarray
    j: np.ndarray
    place: np.ndarray | None
    stride: np.ndarray

    def places(self, k: int) -> np.ndarray | slice:
        """Where the k-th product of each pair stands."""
        return slice(None) if self.place is None else self.place + k * self.stride

    def fill(self, out: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """The products (i, j, a, b) of all pairs, from the cells' values (cells, q, q_left) and (cells, q, q_right)."""
        L, R = (np.ascontiguousarray(values.transpose(2, 1, 0)) for values in (left, right))
        rights = [[column.take(self.j, mode="clip") for column in of] for of in R]  # without a look at each
        for i, of in enumerate(L):
            lefts = [column.take(self.i, mode="clip") for column in of]
            for j, a, b in np.ndindex(len(R), len(of), len(of)):
                k = ((i * len(R) + j) * len(of) + a) * len(of) + b
                if self.place is None:
                    np.multiply(lefts[a], rights[j][b], out=out)
                else:
                    out[self.places(k)] = lefts[a] * rights[j][b]


@dataclass(frozen=True, eq=False)
class SortedScatter:
    """The pattern of the sparse map, in CSR: its rows are the values of S, its columns vec(W) (q q J).

    ``cuts`` are the entries of each family. Sorting takes longer than the map by :class:`LevelScatter`; what is sorted
    then makes it many times quicker.
    """

    products: tuple[Products, ...]
    cuts: tuple[slice, ...]
    indices: np.ndarray
    indptr: np.ndarray
    columns: int

    def matrix(self, crossing: list[tuple[np.ndarray, np.ndarray]]) -> sp.csr_array:
        """The map for the B (cells, q, q_t) of both blocks of each family."""
        data = np.empty(self.indices.size)
        for of, cut, (left, right) in zip(self.products, self.cuts, crossing, strict=True):
            of.fill(data[cut], left, right)
        shape = self.indptr.size - 1, self.columns
        has_one_each = all(of.place is None for of in self.products)
        if has_one_each or np.count_nonzero(data) >= limits().share_without_zeros * data.size:
            return sp.csr_array((data, self.indices, self.indptr), shape=shape)
        held = data != 0.0
        indptr = np.concatenate(([0], np.cumsum(held)))[self.indptr].astype(self.indptr.dtype)
        return sp.csr_array((data[held], self.indices[held], indptr), shape=shape)

    def sorted(self) -> SortedScatter:
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class FamilyPairs:
    """The pairs of cells of one family, the block of each, the number of blocks, and their shape.

    Pairs come level by level, which makes them a matrix by columns already: its transpose is a counting sort.
    """

    pairs: Pairs
    block: np.ndarray
    count: int
    shape: tuple[int, int]

    def by_block(self, values: np.ndarray, J: int) -> sp.csr_array:
        """Values (pairs,) as a matrix (count, J), in CSR."""
        wide = np.int32 if values.size < 2**31 else np.int64
        pointers = np.concatenate(([0], np.cumsum(self.pairs.counts))).astype(wide)
        return sp.csc_array((values, self.block.astype(wide, copy=False), pointers), shape=(self.count, J)).tocsr()


@dataclass(frozen=True, eq=False)
class LevelScatter:
    """The pattern of the sparse map by the pairs of cells in each level, J levels of q columns."""

    families: tuple[FamilyPairs, ...]
    q: int
    J: int

    def matrix(self, crossing: list[tuple[np.ndarray, np.ndarray]]) -> sp.csr_array:
        """The map for the B (cells, q, q_t) of both blocks of each family."""
        if self.q > 1 or any(family.shape != (1, 1) for family in self.families):
            return self.sorted().matrix(crossing)
        parts = [
            of.by_block(left[:, 0, 0][of.pairs.i] * right[:, 0, 0][of.pairs.j], self.J)
            for of, (left, right) in zip(self.families, crossing, strict=True)
        ]
        return parts[0] if len(parts) == 1 else sp.csr_array(sp.vstack(parts, format="csr"))

    def sorted(self) -> SortedScatter:
        """The products of all families by the entry of S that they add to."""
        products, indices, lengths = list[Products](), [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        for family in self.families:
            each = family.shape[0] * family.shape[1] * self.q**2
            of, levels, size = _sorted(family, each, self.J)
            products.append(of)
            lengths.append(np.repeat(size * self.q**2, each // self.q**2))
            if each == 1:
                indices.append(levels)
                continue
            indices.append(np.empty(levels.size * each, dtype=np.int32))
            for k in range(each):
                indices[-1][of.places(k)] = levels + (k % self.q**2) * self.J
        ends = np.cumsum([part.size for part in indices]).tolist()
        cuts = tuple(slice(start, end) for start, end in pairwise(ends))
        wide = np.int32 if ends[-1] < 2**31 else np.int64
        indptr = np.concatenate(([0], np.cumsum(np.concatenate(lengths)))).astype(wide)
        columns = np.concatenate(indices).astype(wide, copy=False)
        return SortedScatter(tuple(products), cuts, columns, indptr, self.q**2 * self.J)


def _sorted(family: FamilyPairs, products: int, J: int) -> tuple[Products, np.ndarray, np.ndarray]:
    """A family's pairs by their blocks, the level of each, and pairs a block (count,)."""
    pairs, n = family.pairs, family.pairs.i.size
    numbers = family.by_block(np.arange(n), J)
    i, j = (of[numbers.data].astype(np.intp) for of in (pairs.i, pairs.j))  # of full width: without conversion
    size = np.diff(numbers.indptr).astype(np.int64)
    if products == 1:
        return Products(i, j, None, size), numbers.indices, size
    place = np.arange(n) + np.repeat(numbers.indptr[:-1].astype(np.int64) * (products - 1), size)
    return Products(i, j, place, np.repeat(size, size)), numbers.indices, size


@dataclass(frozen=True, eq=False)
class DenseScatter:
    """The map from vec(W) to S where a level meets all effects, as one with coefficients of one variance does.

    It is a dense product, sum_ab B_a W_ab B_b' with B (m, q, J), picked at (``row``, ``col``). A W that is always
    ``diagonal`` is given by its diagonal.
    """

    B: np.ndarray
    diagonal: bool
    row: np.ndarray
    col: np.ndarray

    def __matmul__(self, weights: np.ndarray) -> np.ndarray:
        m, q, J = self.B.shape
        if self.diagonal or q == 1:
            flat = self.B.reshape(m, q * J)
            S = (flat * weights) @ flat.T
        else:
            W = weights.reshape(q, q, J)
            S = np.zeros((m, m))
            for a, b in np.ndindex(q, q):
                S += (self.B[:, a] * W[a, b]) @ self.B[:, b].T
        return np.asarray(S[self.row, self.col])

    def listed(self) -> np.ndarray | None:
        """The map as a matrix, by which small products are quicker; None for a large one."""
        _, q, J = self.B.shape
        if self.diagonal or self.row.size * q * q * J > limits().dense_factor_entries:
            return None
        left, right = self.B[self.row], self.B[self.col]
        return np.asarray((left[:, :, None] * right[:, None]).reshape(self.row.size, -1))

    @property
    def T(self) -> TransposedScatter:
        """The transpose of the map."""
        return TransposedScatter(self)


@dataclass(frozen=True, eq=False)
class TransposedScatter:
    """From values of H at (``row``, ``col``), zero elsewhere, to B_g'H B_g (q, q, J), flat."""

    of: DenseScatter

    def __matmul__(self, values: np.ndarray) -> np.ndarray:
        B = self.of.B
        m, q, J = B.shape
        H = np.zeros((m, m))
        H[self.of.row, self.of.col] = values
        HB = (H @ B.reshape(m, q * J)).reshape(m, q, J)
        return np.einsum("mag,mbg->abg", B, HB, optimize=True).ravel()
