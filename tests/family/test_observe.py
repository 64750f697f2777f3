"""What a response may be, and what is said of one that cannot be used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mme import (
    Beta,
    Binomial,
    Gamma,
    Gaussian,
    InverseGaussian,
    MMEError,
    MMEWarning,
    NegativeBinomial,
    Ordinal,
    Poisson,
    Tweedie,
)
from mme.family.binomial import both
from mme.family.words import family_of


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 1],
        np.array([0.0, 1.0, 1.0]),
        [False, True, True],
        np.array(["no", "yes", "yes"]),
        np.array(["no", "yes", "yes"], dtype=object),
        pd.Series(["no", "yes", "yes"]),
        pd.Series([False, True, True]),
        pd.Categorical(["b", "a", "a"], categories=["b", "c", "a"]),
        np.array([[0, 1], [1, 0], [1, 0]]),
        pd.DataFrame({"s": [0, 1, 1], "f": [1, 0, 0]}),
    ],
)
def test_binary_answers_are_read_in_all_their_forms(y):
    data = Binomial().observe(y, None, "y")
    assert data.y.tolist() == [0.0, 1.0, 1.0]
    assert data.weights.tolist() == [1.0, 1.0, 1.0]


def test_proportions_with_trials_are_successes_and_failures():
    by_share = Binomial().observe([0.25, 1.0, 0.0], [8, 3, 0], "y")
    by_columns = Binomial().observe(np.array([[2, 6], [3, 0], [0, 0]]), None, "y")
    for data in (by_share, by_columns):
        np.testing.assert_array_equal(both(data), [[2, 3, 0], [6, 0, 0]])


def test_proportions_of_huge_trials_have_whole_failures():
    data = Binomial().observe([(1e9 - 3) / 1e9], [1e9], "y")
    assert both(data)[1].tolist() == [3.0]


def test_levels_of_the_response_are_kept_the_success_last():
    assert Binomial().observe(["yes", "no"], None, "y").levels == ("no", "yes")


@pytest.mark.parametrize(
    ("family", "y", "weights", "message"),
    [
        (Binomial(), [0, 2, 1], None, "'y' must be between 0 and 1: record 1 has 2; "),
        (Binomial(), [0, 0.5, 1], None, "'y' must be 0 or 1: record 1 has 0.5; give the numbers of trials"),
        (Binomial(), ["a", "b", "c"], None, "'y' has 3 levels (a, b, c): the binomial family takes two"),
        (Binomial(), [[1, -1]], None, "at least 0 in both columns: record 0 has -1"),
        (Binomial(), [[1, 0.5]], None, "whole in both columns: record 0 has 0.5"),
        (Binomial(), [[1, 1, 1]], None, "two columns, successes and failures, got 3"),
        (Binomial(), [0, np.nan], None, "must be a number: record 1 has nan"),
        (Binomial(), ["a", None], None, "must be a label: record 1 has nan"),
        (Binomial(), [0, 1], [1, -1], "weights must be at least 0 and finite: record 1 has -1"),
        (Binomial(), [0, 1], [1], "weights has 1 values for 2 records"),
        (Poisson(), [0, 1.5, 2.5], None, "'y' must be a whole number: record 1 has 1.5 (2 such values); the poisson"),
        (Poisson(), [0, -1], None, "'y' must be at least 0: record 1 has -1"),
        (Gamma(), [0.0, 1.0], None, "'y' must be positive: record 0 has 0; the Gamma family is of positive values"),
        (InverseGaussian(), [1.0, -1.0], None, "'y' must be positive: record 1 has -1"),
        (Beta(), [0.5, 1.0], None, "'y' must be strictly between 0 and 1: record 1 has 1"),
        (Tweedie(), [0.0, -1.0], None, "'y' must be at least 0: record 1 has -1"),
        (NegativeBinomial(), [0.5], None, "'y' must be a whole number: record 0 has 0.5"),
        (Gaussian(), [0.5, np.inf], None, "'y' must be finite: record 1 has inf"),
        (Ordinal(), [2, 2], None, "'y' has one category"),
        (Ordinal(), np.linspace(0, 1, 200), None, "'y' has 200 different values"),
        (Poisson(), ["a", "b"], None, "response 'y' must be numeric, got text (a)"),
    ],
)
def test_a_response_that_cannot_be_used_is_named(family, y, weights, message):
    with pytest.raises(MMEError) as caught:
        family.observe(y, weights, "y")
    assert message in str(caught.value)


def test_proportions_whose_successes_are_not_whole_are_warned_of():
    with pytest.warns(MMEWarning, match=r"record 0: 0.3 of 4 is 1.2 successes"):
        Binomial().observe([0.3, 0.25], [4, 4], "y")


def test_ordered_categories_are_in_their_order():
    ordered = pd.Categorical(["low", "high", "mid"], categories=["low", "mid", "high"], ordered=True)
    data = Ordinal().observe(ordered, None, "y")
    assert data.y.tolist() == [0.0, 2.0, 1.0]
    assert Ordinal().parameter_names(data) == ("low|mid", "mid|high")
    assert Ordinal().parameter_names(Ordinal().observe([3, 10, 2.0], None, "y")) == ("2|3", "3|10")


def test_text_whose_order_is_that_of_the_alphabet_is_warned_of():
    with pytest.warns(MMEWarning, match="in the order high < low < mid"):
        Ordinal().observe(["low", "mid", "high"], None, "y")


@pytest.mark.parametrize(
    "word", ["binomial", "Binomial", "POISSON", "Gamma", "gaussian", "inverse.gaussian", "nbinom2", "nbinom1"]
)
def test_words_in_any_case_are_families(word):
    assert family_of(word).name == word.lower()


def test_a_wrong_word_or_link_is_answered_with_the_right_ones():
    with pytest.raises(MMEError, match=r"family must be one of 'binomial', .*got 'quasi'"):
        family_of("quasi")
    with pytest.raises(MMEError, match=r"the poisson family has the links 'log', 'sqrt', 'identity'; got 'logit'"):
        Poisson(link="logit")
    with pytest.raises(MMEError, match=r"the binomial family has the links 'logit'.*; got 'log'"):
        Binomial(link="log")
