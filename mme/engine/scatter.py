"""The fixed linear maps from the entries of the W_g to those of S (``schur.py``): sparse, or one dense product.

Entry (i, j) of a block of S gains B_left[a, i] W[a, b] B_right[b, j] from every level of the absorbed block in which
both of its levels occur. Where these products stand is known once for a model; their values are those of B.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from mme.engine.meetings import Pairs
from mme.numeric.limits import limits

# A map of which less than this share is not zero is kept without its zeros.
_FULL = 0.9


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
    stride: np.ndarray | None

    def quick(self) -> Products:
        """The same with indices of full width."""
        return replace(self, i=self.i.astype(np.intp), j=self.j.astype(np.intp))

    def write(self, out: np.ndarray, k: int, values: np.ndarray) -> None:
        """Put the k-th product of each pair in its place."""
        if self.place is None or self.stride is None:
            out[:] = values
        else:
            out[self.place + k * self.stride] = values

    def fill(self, out: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """The products (i, j, a, b) of all pairs, from the cells' values (cells, q, q_left) and (cells, q, q_right)."""
        L, R = (np.ascontiguousarray(values.transpose(2, 1, 0)) for values in (left, right))
        rights = [[column.take(self.j, mode="clip") for column in of] for of in R]  # without a look at each
        for i, of in enumerate(L):
            lefts = [column.take(self.i, mode="clip") for column in of]
            for j, a, b in np.ndindex(len(R), len(of), len(of)):
                k = ((i * len(R) + j) * len(of) + a) * len(of) + b
                self.write(out, k, lefts[a] * rights[j][b])


@dataclass(frozen=True, eq=False)
class ScatterPattern:
    """The pattern of the sparse map, in CSR: its rows are the values of S, its columns vec(W) (q q J).

    ``cuts`` are the entries of each family.
    """

    products: tuple[Products, ...]
    cuts: tuple[slice, ...]
    indices: np.ndarray
    indptr: np.ndarray
    columns: int

    @property
    def has_one_each(self) -> bool:
        """Whether every pair of cells has one product."""
        return all(of.place is None for of in self.products)

    def quick(self) -> ScatterPattern:
        """The same for many weights: with indices of full width, which need no conversion but take more memory."""
        return replace(self, products=tuple(of.quick() for of in self.products))

    def matrix(self, crossing: list[tuple[np.ndarray, np.ndarray]]) -> sp.csr_array:
        """The map for the B (cells, q, q_t) of both blocks of each family."""
        data = np.empty(self.indices.size)
        for of, cut, (left, right) in zip(self.products, self.cuts, crossing, strict=True):
            of.fill(data[cut], left, right)
        shape = self.indptr.size - 1, self.columns
        if self.has_one_each or np.count_nonzero(data) >= _FULL * data.size:
            return sp.csr_array((data, self.indices, self.indptr), shape=shape)
        held = data != 0.0
        indptr = np.concatenate(([0], np.cumsum(held)))[self.indptr].astype(self.indptr.dtype)
        return sp.csr_array((data[held], self.indices[held], indptr), shape=shape)


@dataclass(frozen=True, eq=False)
class FamilyPairs:
    """The pairs of cells of one family, the block of each, the number of blocks, and their shape."""

    pairs: Pairs
    block: np.ndarray
    count: int
    shape: tuple[int, int]


def scatter_pattern(families: list[FamilyPairs], q: int, J: int) -> ScatterPattern:
    """Sort the products of all families by the entry of S that they add to."""
    products, indices, lengths = list[Products](), [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    while families:  # each is done with when it is sorted: this is the peak of memory
        family = families.pop(0)
        each = family.shape[0] * family.shape[1]
        of, levels, size = _sorted(family, each * q * q, J)
        products.append(of)
        lengths.append(np.repeat(size * (q * q), each))
        if each * q == 1:
            indices.append(levels)
            continue
        indices.append(np.empty(levels.size * each * q * q, dtype=np.int32))
        for k in range(each * q * q):
            of.write(indices[-1], k, levels + (k % (q * q)) * J)
    ends = np.cumsum([part.size for part in indices]).tolist()
    cuts = tuple(slice(start, end) for start, end in pairwise(ends))
    wide = np.int32 if ends[-1] < 2**31 else np.int64
    indptr = np.concatenate(([0], np.cumsum(np.concatenate(lengths)))).astype(wide)
    return ScatterPattern(tuple(products), cuts, np.concatenate(indices).astype(wide, copy=False), indptr, q * q * J)


def _sorted(family: FamilyPairs, products: int, J: int) -> tuple[Products, np.ndarray, np.ndarray]:
    """A family's pairs by their blocks, the level of each, and pairs a block (count,).

    Pairs come level by level, which makes them a matrix by columns already: its transpose is a counting sort.
    """
    pairs, n = family.pairs, family.pairs.i.size
    wide = np.int32 if n < 2**31 else np.int64
    pointers = np.concatenate(([0], np.cumsum(pairs.counts))).astype(wide)
    triplets = np.arange(n, dtype=wide), family.block.astype(wide, copy=False), pointers
    numbers = sp.csc_array(triplets, shape=(family.count, J)).tocsr()
    i, j, size = pairs.i[numbers.data], pairs.j[numbers.data], np.diff(numbers.indptr)
    if products == 1:
        return Products(i, j, None, None), numbers.indices, size
    place = np.arange(n) + np.repeat(numbers.indptr[:-1].astype(np.int64) * (products - 1), size)
    return Products(i, j, place, np.repeat(size.astype(np.int64), size)), numbers.indices, size


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
        if self.diagonal:
            flat = self.B.reshape(m, q * J)
            S = (flat * weights) @ flat.T
        else:
            W = weights.reshape(q, q, J)
            S = np.zeros((m, m))
            for a, b in np.ndindex(q, q):
                S += (self.B[:, a] * W[a, b]) @ self.B[:, b].T
        return np.asarray(S[self.row, self.col])

    def adjoint(self, values: np.ndarray) -> np.ndarray:
        """The transpose of the map: B_g'H B_g (q, q, J), flat, of H with these values and zeros elsewhere."""
        m, q, J = self.B.shape
        H = np.zeros((m, m))
        H[self.row, self.col] = values
        HB = (H @ self.B.reshape(m, q * J)).reshape(m, q, J)
        return np.einsum("mag,mbg->abg", self.B, HB, optimize=True).ravel()
