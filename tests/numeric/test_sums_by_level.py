"""Sums by level and cells of many records, taken in panels, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from mme.numeric.limits import Limits, within
from mme.numeric.sums import by_code, cells, sum_by_level


@pytest.mark.parametrize("narrow", [np.int32, np.int64])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_sums_by_level_in_panels_are_the_same_bits(narrow, left, right):
    rng = np.random.default_rng(0)
    codes, columns = rng.integers(0, 40, 1000).astype(narrow), rng.standard_normal((2, 1000))
    given = columns[0] if left else None, columns[1] if right else None
    whole = sum_by_level(codes, 50, *given)
    with within(Limits(records_in_panel=37)):
        assert np.array_equal(sum_by_level(codes, 50, *given), whole)
    products = np.ones(1000) * (columns[0] if left else 1.0) * (columns[1] if right else 1.0)
    assert np.allclose(whole, [products[codes == g].sum() for g in range(50)], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("narrow", [np.int32, np.int64])
@pytest.mark.parametrize("sizes", [(50, 30), (5000, 70_000)])
def test_cells_of_many_records_are_the_pairs_that_occur_in_their_order(narrow, sizes):
    rng = np.random.default_rng(1)
    rows, cols = (rng.choice(rng.integers(0, size, 40), 3000).astype(narrow) for size in sizes)
    with within(Limits(records_in_panel=37)):
        found, order = cells(rows, cols, *sizes), by_code(cols, sizes[1])
    assert order.tolist() == np.argsort(cols, kind="stable").tolist()
    pairs, of_record = np.unique(np.column_stack([rows, cols]), axis=0, return_inverse=True)
    assert np.array_equal(np.column_stack([found.rows, found.cols]), pairs)
    assert np.array_equal(found.of_record, of_record.ravel())
