"""What means are of, as several packages spell it, and names that look like products and are columns."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.fixed.wanted import wanted, wanted_by

rng = np.random.default_rng(1)
DATA = pd.DataFrame(
    {
        "A": np.tile(list("pq"), 12),
        "B": np.repeat(list("stu"), 8),
        "k": np.arange(24) % 4,
        "v:w": np.repeat(list("ab"), 12),
        "m | n": rng.normal(size=24),
        "y": rng.normal(size=24),
    }
)
FIT = mme.lm("y ~ A + B + factor(k) + `v:w` + `m | n` + log(k + 1)", DATA).internals


@pytest.mark.parametrize(
    ("factors", "by", "own", "within"),
    [
        ("A", [], ["A"], []),
        (["A", "B"], [], ["A", "B"], []),
        ("A:B", [], ["A", "B"], []),
        ("A * B", [], ["A", "B"], []),
        ("A + B:k", [], ["A", "B", "k"], []),
        ("A | B", [], ["A"], ["B"]),
        ("A | B:k", [], ["A"], ["B", "k"]),
        ("~ A:B | k", [], ["A", "B"], ["k"]),
        ("~A", "B:k", ["A"], ["B", "k"]),
        (["A | B", "k"], ["v:w"], ["A", "k"], ["v:w", "B"]),
        ("v:w", "m | n", ["v:w"], ["m | n"]),
        ("factor(k)", [], ["factor(k)"], []),
        ("factor(k):A", [], ["factor(k)", "A"], []),
        ("A B", [], ["A B"], []),
        ("m | n", [], ["m | n"], []),
    ],
)
def test_cells_are_products_and_what_stands_behind_a_bar_they_are_within(factors, by, own, within):
    assert wanted(FIT, factors, by) == (own, within)
    assert wanted_by(FIT, by) == within[: len(wanted_by(FIT, by))]


def test_names_of_a_fit_that_knows_no_factors_stay_as_they_are():
    assert wanted(SimpleNamespace(specification=None), "A:B", ["C*D"]) == (["A:B"], ["C*D"])


def test_contrasts_to_the_left_of_a_formula_have_an_argument_of_their_own():
    with pytest.raises(
        mme.MMEError, match=r"write \('A \| B', contrast='pairwise'\)|write \('A', contrast='pairwise'\)"
    ):
        wanted(FIT, "pairwise ~ A | B", [])
