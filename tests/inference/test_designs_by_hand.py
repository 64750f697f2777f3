"""Designs of other sizes, tests of a power, and intervals of a proportion: by hand, or by their definition."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

import mme
from mme.inference.power import effect_weights, extended, interval, p_value, sizes_of


def design() -> pd.DataFrame:
    """Three schools of 2, 1 and 3 rows, seven rooms nested in them, two arms across."""
    return pd.DataFrame(
        {
            "school": ["n", "n", "s", "w", "w", "w"],
            "room": [1, 2, 3, 4, 4, 5],
            "arm": list("abaaba"),
            "x": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        }
    )


@pytest.mark.parametrize("k", [0, 1, 4, 9, 10])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_the_interval_of_a_proportion_ends_where_as_extreme_a_count_has_half_of_the_rest(k, level):
    """Clopper and Pearson: P(K >= k) at the lower end, and P(K <= k) at the upper, are (1 - level) / 2."""
    low, high = interval(k, 10, level)
    tail = (1.0 - level) / 2.0
    if k > 0:
        assert_allclose(binom.sf(k - 1, 10, low), tail, rtol=1e-9)
    else:
        assert low == 0.0
    if k < 10:
        assert_allclose(binom.cdf(k, 10, high), tail, rtol=1e-9)
    else:
        assert high == 1.0


def test_the_interval_has_a_level_of_95_percent_where_none_is_given():
    assert_allclose(interval(1, 1), (0.025, 1.0), rtol=1e-12)
    assert_allclose(interval(0, 1), (0.0, 0.975), rtol=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1, np.float64(0.25)])
def test_a_probability_is_a_p_value(p):
    assert p_value(p) == p
    assert isinstance(p_value(p), float)


def test_no_number_is_a_p_value_of_a_fit_that_failed():
    assert np.isnan(p_value(float("nan")))


@pytest.mark.parametrize("p", [-1e-9, 1.0 + 1e-9, -0.5, 1.5, np.inf, -np.inf, "0.5", None, [0.5]])
def test_anything_else_is_no_p_value(p):
    with pytest.raises(mme.MMEError, match="must return a p-value"):
        p_value(p)


def test_the_weights_of_a_test_are_one_of_an_effect_or_those_given():
    names = ("(Intercept)", "x", "z")
    assert effect_weights("z", names) == {"z": 1.0}
    assert effect_weights({"x": 2, "z": -0.5}, names) == {"x": 2.0, "z": -0.5}
    assert effect_weights(dict.fromkeys(names, 1), names) == dict.fromkeys(names, 1.0)
    assert all(isinstance(one, float) for one in effect_weights({"x": 2}, names).values())


def test_sizes_are_whole_numbers_of_each_factor():
    assert sizes_of(None) == {}
    assert sizes_of({}) == {}
    assert sizes_of({"g": 1, "h": (2, 3), "i": np.array([4, 5]), "j": range(6, 8)}) == {
        "g": [1],
        "h": [2, 3],
        "i": [4, 5],
        "j": [6, 7],
    }
    with pytest.raises(mme.MMEError, match="extend 'h' must be a whole number"):
        sizes_of({"g": 1, "h": [2, 0]})


@pytest.mark.parametrize(
    ("size", "schools", "x"),
    [
        (1, [1, 1], [0.1, 0.2]),
        (2, [1, 1, 2], [0.1, 0.2, 0.3]),
        (3, [1, 1, 2, 3, 3, 3], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        (5, [1, 1, 2, 3, 3, 3, 4, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.1, 0.2, 0.3]),
    ],
)
def test_level_k_has_the_rows_of_the_kth_there_is_in_turn(size, schools, x):
    made = extended(design(), {"school": size})
    assert made.columns.tolist() == ["school", "room", "arm", "x"]
    assert made["school"].tolist() == schools
    assert made["x"].tolist() == x
    assert made.index.tolist() == list(range(len(x)))


def test_each_copy_has_its_own_levels_of_what_is_nested():
    made = extended(design(), {"school": 8}, ("school", "room", "arm", "nowhere"))
    rooms = {"": list("123445"), ".2": list("123445"), ".3": list("123")}
    assert made["room"].tolist() == [one + copy for copy, some in rooms.items() for one in some]
    assert made["arm"].tolist() == [*"abaaba", *"abaaba", *"aba"]
    assert extended(design(), {"school": 8})["room"].tolist() == [1, 2, 3, 4, 4, 5, 1, 2, 3, 4, 4, 5, 1, 2, 3]


@pytest.mark.parametrize("size", [2, 3])
def test_what_is_nested_keeps_its_levels_where_nothing_is_copied(size):
    made = extended(design(), {"school": size}, ("school", "room"))
    assert made["room"].tolist() == [1, 2, 3, 4, 4, 5][: len(made)]


def test_a_factor_of_one_level_in_each_is_not_nested():
    """The same levels by another name, and what has fewer levels, are no levels of a copy's own."""
    table = design().assign(town=list("NNSWWW"), region=list("uuuvvv"))
    made = extended(table, {"school": 4}, ("school", "town", "region"))
    assert made["town"].tolist() == [*"NNSWWW", *"NN"]
    assert made["region"].tolist() == [*"uuuvvv", *"uu"]


def test_a_factor_of_which_one_level_lies_in_two_is_not_nested():
    made = extended(design().assign(room=[1, 2, 3, 4, 5, 3]), {"school": 4}, ("school", "room"))
    assert made["room"].tolist() == [1, 2, 3, 4, 5, 3, 1, 2]


def test_two_factors_are_extended_one_after_the_other():
    """Three schools of the two there are, then three arms of the two."""
    crossed = pd.DataFrame({"school": ["n", "n", "s", "s"], "arm": list("abab"), "x": [1, 2, 3, 4]})
    made = extended(crossed, {"school": 3, "arm": 3}, ("school", "arm"))
    assert sorted(zip(made["school"], made["arm"], made["x"], strict=True)) == [
        (1, 1, 1),
        (1, 2, 2),
        (1, 3, 1),
        (2, 1, 3),
        (2, 2, 4),
        (2, 3, 3),
        (3, 1, 1),
        (3, 2, 2),
        (3, 3, 1),
    ]


def test_an_extended_factor_is_not_nested_in_another():
    made = extended(design(), {"school": 6, "room": 10}, ("school", "room"))
    assert sorted(set(made["room"])) == list(range(1, 11))


def test_a_factor_that_is_not_there_is_named():
    with pytest.raises(mme.MMEError, match="no column 'class' to extend; there are school, room, arm, x"):
        extended(design(), {"class": 3})


def test_the_design_that_is_given_stays_as_it_is():
    given = design()
    extended(given, {"school": 8}, ("school", "room"))
    pd.testing.assert_frame_equal(given, design())
