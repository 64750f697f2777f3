"""Columns whose rows repeat: each row once, and products of these are products of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from mme.numeric.cell_products import ProductCells, RecordLevels
from mme.numeric.pooled import pooled

J = 7


def drawn(seed=0, n=200):
    """Columns F (n, 12) of 30 different rows, one of them empty, weights, and levels with a covariate."""
    rng = np.random.default_rng(seed)
    U = sp.lil_array(sp.random_array((30, 12), density=0.4, rng=rng))
    U[3] = 0.0
    F = sp.csr_array(sp.csr_array(U)[rng.integers(30, size=n)])
    F.sort_indices()
    return F, rng.uniform(0.5, 2.0, n), rng.integers(J, size=n), rng.standard_normal(n)


def test_products_by_rows_once_each_are_those_of_all_rows():
    F, w, _, v = drawn()
    found = pooled(F)
    assert found.U.shape[0] <= 30
    whole = sp.diags_array(w) @ F
    some = np.array([1, 4, 9])
    for rows, dense in (
        (found.weighted(w), whole.toarray()),
        (found, F.toarray()),
        (found.chosen(some).scaled(np.array([2.0, 3.0, 0.5])), F.toarray()[:, some] * [2.0, 3.0, 0.5]),
    ):
        c = v[: dense.shape[1]]
        assert_allclose(rows.transposed(v), dense.T @ v, atol=1e-12)
        assert_allclose(rows.times(c), dense @ c, atol=1e-12)
        assert_allclose(rows.gram.toarray(), dense.T @ dense, atol=1e-12)


def test_rows_that_are_short_or_differ_are_not_pooled():
    rng = np.random.default_rng(1)
    assert pooled(sp.csr_array(np.eye(9)[rng.integers(9, size=100)])) is None
    assert pooled(sp.csr_array(rng.standard_normal((100, 5)))) is None


@pytest.mark.parametrize("once", [True, False])
def test_inner_products_by_cell_are_those_of_the_matrices(once):
    F, w, codes, z = drawn(2)
    whole = sp.csr_array(sp.diags_array(w) @ F)
    whole.sort_indices()
    columns = RecordLevels(whole.indices, whole.indptr, 12, pooled(F) if once else None)
    levels, Z = RecordLevels.one_a_record(codes, J), np.eye(J)[codes]
    for left, right, other, dense in (
        ([whole.data], [None, z], levels, [Z, Z * z[:, None]]),
        ([whole.data], [whole.data], columns, [whole.toarray()]),
    ):
        met = ProductCells.of(columns, other)
        values = met.sums(left, right)
        for b, matrix in enumerate(dense):
            found = np.zeros((12, matrix.shape[1]))
            found[met.rows, met.cols] = values[:, 0, b]
            assert_allclose(found, whole.T @ matrix, atol=1e-12)
