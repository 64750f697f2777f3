"""Z'r of several rows together, by indicators of levels or one by one, is that of each row."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.generalised.problem import Problem
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within


@pytest.mark.parametrize("most", [0, 10**6])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_rows_together_are_transposed_as_each_by_itself(rows: int, most: int) -> None:
    rng = np.random.default_rng(rows)
    g, h, x = rng.integers(5, size=40), rng.integers(3, size=40), rng.standard_normal(40)
    y, X = rng.integers(2, size=40).astype(float), np.ones((40, 1))
    terms = [mme.Term(g, np.column_stack([np.ones(40), x]), name="g"), mme.Term(h, name="h")]
    family = mme.Binomial()
    columns = Problem(build_model(y, X, terms, sigma=1.0), family, family.observe(y, None, "y")).columns
    R = rng.standard_normal((rows, 40))
    with within(Limits(numbers_of_indicators=most)):
        found = columns.transposed_rows(R)
    for i, row in enumerate(R):
        for together, alone in zip(found, columns.transposed(row), strict=True):
            assert together[i] == pytest.approx(alone, rel=1e-13, abs=1e-13)
    assert [one.shape for one in found] == [(rows, block.q, block.J) for block in columns.blocks]
