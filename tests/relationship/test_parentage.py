"""Pedigree files as people have them: labels of any kind, unknown parents, and slips that are named."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mme.errors import MemoryForecastError, MMEError, MMEWarning
from mme.numeric.limits import Limits, within
from mme.relationship.pedigree import Pedigree


@pytest.mark.parametrize("unknown", [None, np.nan, "", "0", 0, pd.NA, float("nan")])
def test_every_way_to_write_an_unknown_parent(unknown):
    pedigree = Pedigree(["a", "b", "c"], [unknown, unknown, "a"], [unknown, unknown, "b"])
    assert pedigree.levels.tolist() == ["a", "b", "c"]
    assert pedigree.sire.tolist() == [-1, -1, 0]
    assert pedigree.dam.tolist() == [-1, -1, 1]


def test_zero_is_an_animal_where_one_has_that_name():
    assert Pedigree([0, 1], [None, 0], [None, None]).sire.tolist() == [-1, 0]
    assert Pedigree(["0", "1"], ["", "0"], ["", ""]).sire.tolist() == [-1, 0]


@pytest.mark.parametrize(
    "columns",
    [
        (np.array([3, 1, 2]), np.array([1, 0, 0]), np.array([2, 0, 0])),
        (pd.Series([3, 1, 2]), pd.Series([1, np.nan, np.nan]), pd.Series([2, np.nan, np.nan])),
        (
            pd.Series([3, 1, 2], dtype="Int64"),
            pd.Series([1, pd.NA, pd.NA], dtype="Int64"),
            pd.Series([2, pd.NA, pd.NA], dtype="Int64"),
        ),
        ((3, 1, 2), (1, None, None), (2, None, None)),
        ([3.0, 1.0, 2.0], np.array([1, np.nan, np.nan]), [2, 0, 0]),
    ],
)
def test_integer_labels_however_they_come(columns):
    pedigree = Pedigree(*columns)
    assert pedigree.levels.tolist() == [3, 1, 2]
    assert (pedigree.sire.tolist(), pedigree.dam.tolist()) == ([1, -1, -1], [2, -1, -1])


def test_text_labels_from_categoricals_and_arrow_strings():
    pl = pytest.importorskip("polars")
    frame = {"id": ["c", "a"], "sire": ["a", None], "dam": ["b", None]}
    for table in (pd.DataFrame(frame), pd.DataFrame(frame).astype("category"), pl.DataFrame(frame)):
        pedigree = Pedigree(table["id"], table["sire"], table["dam"])
        assert pedigree.levels.tolist() == ["c", "a", "b"]
        assert pedigree.sire.tolist() == [1, -1, -1]


def test_parents_without_a_row_follow_as_founders_in_order_of_appearance():
    pedigree = Pedigree(["x", "y"], ["s2", "s1"], ["d", "x"])
    assert pedigree.levels.tolist() == ["x", "y", "s2", "s1", "d"]
    assert pedigree.inbreeding.tolist() == [0.0] * 5
    assert repr(pedigree) == "Pedigree(5 animals, 3 of them founders)"


def test_large_columns_read_as_small_ones_do():
    n = 30_000
    rng = np.random.default_rng(0)
    sire = np.where(np.arange(n) > 100, rng.integers(0, 50, n), -1)
    dam = np.where(np.arange(n) > 100, rng.integers(50, 100, n), -1)
    names = np.array([f"x{i}" for i in range(n)] + [None], dtype=object)
    of_text = Pedigree(names[:-1], names[sire], names[dam])
    of_numbers = Pedigree(np.arange(n) + 1, sire + 1, dam + 1)
    for pedigree in (of_text, of_numbers):
        np.testing.assert_array_equal(pedigree.sire, sire)
        np.testing.assert_array_equal(pedigree.dam, dam)
    assert of_text.levels[7] == "x7"
    np.testing.assert_allclose(of_text.logdet, of_numbers.logdet)


def test_a_pedigree_of_founders_is_the_identity():
    for n in (1, 5, 4000):
        pedigree = Pedigree(range(1, n + 1), [0] * n, [0] * n)
        assert (pedigree.Ainv.nnz, pedigree.logdet) == (n, 0.0)
        assert (pedigree.Ainv.diagonal() == 1).all()


# ---- slips, named ----


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "c", None), ("b", "a", None), ("c", "b", None)], r"loop: ('\w' -> ){3}'\w' \(parent -> offspring\)"),
        ([("a", "a", None)], "'a': the animal is its own parent"),
        ([("a", None, None), ("b", "a", "b")], "'b': the animal is its own parent"),
        ([("a", "s", "d"), ("b", None, None), ("a", "s", "e")], "'a': two rows of the animal give different parents"),
        ([("a", "s", "d"), ("a", None, "d")], "'a': two rows of the animal give different parents"),
        ([(None, "s", "d"), ("b", None, None)], r"rows 0 \(counted from 0\): the animal itself has no label"),
        ([("", "s", "d"), ("b", None, None)], "no label"),
        ([("012", 7, 9), ("007", None, None)], "are like '007', sire labels like 7: text and numbers"),
        ([(12, "A7", "9"), (7, None, None)], "labels are like 7, sire labels like 'A7'"),
    ],
)
def test_slips_are_refused_with_the_animal_named(rows, message):
    with pytest.raises(MMEError, match=message):
        Pedigree(*zip(*rows, strict=True))


@pytest.mark.parametrize("sires", [[7, None], ["7", None], [7.0, np.nan], ["7.0", None]])
@pytest.mark.parametrize("animals", [["12", "7"], [12, 7], [12.0, 7.0]])
def test_an_animal_is_the_same_as_text_and_as_a_number(animals, sires):
    pedigree = Pedigree(animals, sires, [None, None])
    assert pedigree.sire.tolist() == [1, -1]
    assert len(pedigree.levels) == 2
    assert pedigree.positions([7]).tolist() == pedigree.positions(["7"]).tolist() == [1]


def test_the_loop_shown_is_a_loop():
    parents = {"a": "c", "b": "a", "c": "b", "d": "c", "e": None}
    with pytest.raises(MMEError) as caught:
        Pedigree(list(parents), list(parents.values()), [None] * 5)
    circle = re.findall(r"'(\w)'", str(caught.value))
    assert circle[0] == circle[-1]
    assert all(parents[child] == parent for parent, child in pairwise(circle))


def test_a_long_loop_is_shown_by_its_ends():
    n = 1000
    with pytest.raises(MMEError, match=r"-> \.\.\. ->") as caught:
        Pedigree(range(1, n + 1), [n, *range(1, n)], [None] * n)
    assert len(str(caught.value)) < 300


def test_a_sire_that_is_also_a_dam_is_a_warning_unless_allowed():
    rows = ["a", "b", "c"], [None, "a", "b"], [None, None, "a"]
    with pytest.warns(MMEWarning, match="'a': sire in one place and dam in another") as caught:
        Pedigree(*rows)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pedigree(*rows, hermaphrodite=True)


def test_repeated_rows_that_agree_count_once():
    pedigree = Pedigree(["a", "b", "a"], ["s", "a", "s"], [None] * 3)
    assert pedigree.levels.tolist() == ["a", "b", "s"]
    assert pedigree.sire.tolist() == [2, 0, -1]


def test_columns_that_do_not_fit():
    with pytest.raises(MMEError, match=r"one entry a row, got \{'animal': 2, 'sire': 1, 'dam': 2\}"):
        Pedigree(["a", "b"], ["s"], [None, None])
    with pytest.raises(MMEError, match="no rows"):
        Pedigree([], [], [])
    with pytest.raises(MMEError, match="one-dimensional"):
        Pedigree(np.zeros((2, 2), int), [0, 0], [0, 0])
    with pytest.raises(MMEError, match="sire: a column of labels is needed, got None"):
        Pedigree(["a"], None, None)
    with pytest.raises(MMEError, match="'sire' must be one-dimensional, got 1 rows of several values"):
        Pedigree(["a"], [["b"]], [None])
    with pytest.raises(MMEError, match="'sire' holds lists or other objects"):
        Pedigree(["a"], [{"b": 1}], [None])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a"], "'a' has a row as an animal"),
        (["g", "g"], "distinct"),
        (["g", "h"], "'h' stands for nobody's parent"),
    ],
)
def test_groups_that_cannot_be(groups, message):
    with pytest.raises(MMEError, match=message):
        Pedigree(["a", "b"], ["g", "a"], [None, None], unknown_groups=groups)


@pytest.mark.parametrize("variance", [0, -1.0, np.inf, np.nan])
def test_a_variance_of_groups_must_be_positive(variance):
    with pytest.raises(MMEError, match="group_variance"):
        Pedigree(["a"], ["g"], [None], unknown_groups=["g"], group_variance=variance)


def test_completely_inbred_parents_leave_no_inverse():
    n = 60
    line = Pedigree(range(1, n + 1), range(n), range(n), hermaphrodite=True)
    with pytest.raises(MMEError, match=r"A is singular: the parents of \d+, .* completely inbred"):
        _ = line.Ainv


def test_a_subset_must_be_of_the_pedigree():
    pedigree = Pedigree(["a"], ["s"], [None])
    with pytest.raises(MMEError, match="'z': not among the 2 animals"):
        pedigree.A(["a", "z"])


def test_a_matrix_that_would_not_fit_is_refused():
    with within(Limits(memory=7)), pytest.raises(MemoryForecastError, match="A among 2 animals"):
        Pedigree(["a"], ["s"], [None]).A()


def test_groups_that_are_text_beside_animals_that_are_numbers_are_no_mistake():
    pedigree = Pedigree([1, 2, 3], [None, None, 1], ["g", "g", "g"], unknown_groups=["g"])
    assert pedigree.levels.tolist() == ["1", "2", "3", "g"]
