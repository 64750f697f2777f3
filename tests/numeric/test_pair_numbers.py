"""Pairs of levels have numbers of their own, however many bits the codes have."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mme.formula.grouping import cross
from mme.numeric.sums import cells, pair_numbers
from mme.tables.column import Factor

sizes = st.sampled_from([3, 1000, 46_341, 70_000, 3_000_000])


@given(n_rows=sizes, n_cols=sizes, seed=st.integers(0, 2**32 - 1))
def test_pairs_of_narrow_codes_are_those_of_wide_ones(n_rows: int, n_cols: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, cols = (np.append(rng.integers(0, size, 50), [0, size - 1]) for size in (n_rows, n_cols))
    for wide in (np.int32, np.int64):
        numbers = pair_numbers(rows.astype(wide), cols.astype(wide), n_rows, n_cols)
        assert numbers.tolist() == [n_cols * int(i) + int(j) for i, j in zip(rows, cols, strict=True)]
        found = cells(rows.astype(wide), cols.astype(wide), n_rows, n_cols)
        assert np.array_equal(found.rows[found.of_record], rows)
        assert np.array_equal(found.cols[found.of_record], cols)


def test_crossed_levels_of_narrow_codes_are_told_apart() -> None:
    # 65,536 x 65,536 pairs: in 32 bits (1, 0) and (0, 0) would have one number
    each = np.arange(65_536)
    factor = Factor(each.astype(np.int32), each.astype(str).astype(object))
    turned = Factor(factor.codes[::-1].copy(), factor.categories)
    assert cross([factor, turned], "g").categories.size == each.size
