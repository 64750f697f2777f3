"""Families of contrasts: polynomials by exact fractions, differences and effects by what they say of means."""

from fractions import Fraction
from math import gcd, lcm

import numpy as np
import pytest

import mme
from mme.inference.fixed.families import coefficients, interaction, polynomial

MEANS = np.array([2.0, 3.0, 5.0, 11.0])
NAMES = ["a", "b", "c", "d"]


def by_gram_schmidt(m: int, degrees: int) -> list[list[int]]:
    """Powers of the level, each less its projections on those before, in the least whole numbers."""
    found = [[Fraction(1)] * m]
    for degree in range(1, degrees + 1):
        power = [Fraction(i) ** degree for i in range(m)]
        for one in found:
            share = sum(a * b for a, b in zip(power, one, strict=True)) / sum(a * a for a in one)
            power = [a - share * b for a, b in zip(power, one, strict=True)]
        found.append(power)
    whole = [[int(a * lcm(*(b.denominator for b in row))) for a in row] for row in found[1:]]
    return [[a // gcd(*row) for a in row] for row in whole]


@pytest.mark.parametrize("m", [1, 2, 3, 5, 7, 8, 17, 18, 40, 101])
def test_polynomials_are_orthogonal_powers_in_the_least_whole_numbers(m):
    found, names = polynomial([str(level) for level in range(m)])
    assert found.tolist() == by_gram_schmidt(m, min(6, m - 1))
    assert found.shape == (min(6, m - 1), m)
    assert names == ["linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6"][: m - 1]


def test_the_contrasts_of_thirty_means_are_in_whole_numbers():
    y = 3.0 + 0.5 * np.arange(30.0) ** 3
    data = {"f": [f"{level:02}" for level in range(30)] * 2, "y": np.concatenate([y - 1.0, y + 1.0])}
    found = mme.lm("y ~ f", data).means("f", contrast="poly")["estimate"]
    expected = np.array(by_gram_schmidt(30, 3), dtype=float) @ y
    np.testing.assert_allclose(found.iloc[:3], expected, rtol=1e-9)
    np.testing.assert_allclose(found.iloc[3:], 0.0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("family", "against", "expected"),
    [
        ("pairwise", None, {"a - b": -1, "a - c": -3, "a - d": -9, "b - c": -2, "b - d": -8, "c - d": -6}),
        ("reference", None, {"b - a": 1, "c - a": 3, "d - a": 9}),
        ("reference", "c", {"a - c": -3, "b - c": -2, "d - c": 6}),
        ("sequential", None, {"b - a": 1, "c - b": 2, "d - c": 6}),
        ("effect", None, {"a effect": -3.25, "b effect": -2.25, "c effect": -0.25, "d effect": 5.75}),
        ({"last": {"d": 1.0}, "ends": [1, 0, 0, -1]}, None, {"last": 11, "ends": -9}),
    ],
)
def test_families_compare_what_their_names_say(family, against, expected):
    C, names = coefficients(family, NAMES, against)
    assert dict(zip(names, (C @ MEANS).tolist(), strict=True)) == expected


def test_interactions_are_differences_of_differences_of_any_two_families():
    cells = np.arange(12.0).reshape(3, 4) ** 2
    C, names = interaction(["sequential", "reference"], [["p", "q", "r"], NAMES])
    own, other = coefficients("sequential", ["p", "q", "r"], None), coefficients("reference", NAMES, None)
    np.testing.assert_allclose(C @ cells.ravel(), (own[0] @ cells @ other[0].T).ravel())
    assert names == [f"{one} : {two}" for one in own[1] for two in other[1]]


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ([1.0, -1.0], "needs 4 finite numbers"),
        ([1.0, -1.0, np.inf, 0.0], "needs 4 finite numbers"),
        ({"a": 1.0, "z": -1.0}, "'z' is no level; they are 'a', 'b', 'c', 'd'"),
    ],
)
def test_coefficients_of_ones_own_are_one_a_mean(own, problem):
    with pytest.raises(mme.MMEError, match=problem):
        coefficients({"mine": own}, NAMES, None)


def test_a_family_and_its_reference_are_named():
    with pytest.raises(mme.MMEError, match="reference='z' is no level"):
        coefficients("reference", NAMES, "z")
    with pytest.raises(mme.MMEError, match="contrast must be one of 'pairwise'"):
        coefficients("pairs of all", NAMES, None)
