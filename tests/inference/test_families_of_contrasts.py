"""Families of contrasts: limits and p-values are of one distribution, each family has its own."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

import mme
from mme.inference.fixed.adjustments import adjusted, adjustment_of, critical_values, of_freedom
from mme.inference.fixed.comparisons import Comparisons, comparisons_of, wanted_contrast
from mme.inference.fixed.means import Means
from mme.inference.fixed.reference import two_sided

QUICK = ["sidak", "bonferroni", "scheffe", "none"]
AT_ONCE = ["tukey", "mvt", "dunnett", *QUICK]
rng = np.random.default_rng(4)


def means(*factors: int, n_by: int = 0) -> Means:
    """Means of all combinations of factors of so many levels, in this order."""
    levels = tuple(product(*([f"{'abcd'[k]}{j}" for j in range(size)] for k, size in enumerate(factors))))
    return Means(np.eye(len(levels)), 0.0, levels, tuple("ABCD"[: len(factors)]), n_by)


def half_of(found: Comparisons) -> np.ndarray:
    """F of the contrasts, of means that are correlated."""
    F = np.random.default_rng(3).normal(size=(6, found.C.shape[1]))
    return np.asarray((found.C @ F.T).T)


@pytest.mark.parametrize(
    ("adjust", "df", "level", "unit"),
    [
        *(("tukey", df, 0.8, 1.0) for df in (7.0, np.inf)),
        *((word, 7.0, 0.9, 1e-9) for word in ("mvt", "dunnett")),
        *product(QUICK, (7.0, np.array([3.0, 8.5, np.inf])), (0.95, 0.8), (1e-9, 1e9)),
    ],
)
def test_at_the_limit_of_an_interval_the_p_value_is_the_rest_of_its_level(adjust, df, level, unit):
    found, df = comparisons_of(means(3), "pairwise"), np.broadcast_to(df, 3)
    half = unit * half_of(found)
    t = critical_values(found, df, np.full(3, True), level, adjust, half)
    p = adjusted(found, t * [1.0, -1.0, 1.0], df, two_sided(t, df), adjust, half)
    assert_allclose(p, 1.0 - level, rtol=1e-6)


@pytest.mark.parametrize("adjust", AT_ONCE)
def test_a_family_of_one_contrast_is_not_adjusted(adjust):
    found, df, t = comparisons_of(means(2), "pairwise"), np.array([5.0]), np.array([2.3])
    p = two_sided(t, df)
    half = half_of(found)
    assert_allclose(adjusted(found, t, df, p, adjust, half), p, rtol=1e-10)
    width = critical_values(found, df, np.array([True]), 0.9, adjust, half)
    assert_allclose(width, t_distribution.ppf(0.95, 5.0), rtol=1e-10)


@pytest.mark.parametrize(("adjust", "factor"), [("bonferroni", 2.0), ("holm", 2.0), ("none", 1.0)])
def test_of_two_contrasts_the_smaller_p_is_doubled_and_families_are_apart(adjust, factor):
    """Three means within each of two levels of another factor: of a family of two the third is not known."""
    found = comparisons_of(means(2, 3, n_by=1), "pairwise")
    p = np.array([0.01, 0.3, np.nan, 0.02, 0.4, np.nan])
    df = np.full(6, 9.0)
    t = t_distribution.isf(p / 2.0, df)
    out = adjusted(found, t, df, p, adjust, half_of(found))
    assert_allclose(out[[0, 3]], factor * p[[0, 3]], rtol=1e-12)
    assert np.isnan(out[[2, 5]]).all()
    width = critical_values(found, df, ~np.isnan(p), 0.95, adjust, half_of(found))
    assert_allclose(width[[0, 1, 3, 4]], t_distribution.isf(0.025 / factor, 9.0), rtol=1e-10)
    assert np.isnan(width[[2, 5]]).all()


@pytest.mark.parametrize("adjust", ["tukey", "sidak", "scheffe", "fdr"])
def test_a_family_beside_others_is_as_if_it_stood_alone(adjust):
    both, one = comparisons_of(means(2, 3, n_by=1), "pairwise"), comparisons_of(means(3), "pairwise")
    half, df = half_of(both), np.full(6, 6.0)
    t = np.array([1.0, 2.0, 3.0, 2.5, 0.5, 1.5])
    p = two_sided(t, df)
    together = adjusted(both, t, df, p, adjust, half)
    widths = critical_values(both, df, np.full(6, True), 0.9, adjust, half)
    for at in (slice(0, 3), slice(3, 6)):
        assert_allclose(together[at], adjusted(one, t[at], df[at], p[at], adjust, half[:, at]), rtol=1e-10)
        alone = critical_values(one, df[at], np.full(3, True), 0.9, adjust, half[:, at])
        assert_allclose(widths[at], alone, rtol=1e-10)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_scheffes_degrees_of_freedom_are_those_of_independent_contrasts(unit):
    """Of contrasts of which one is zero, one depends on others, and one nearly does."""
    found = comparisons_of(means(4), "pairwise")
    a, b = unit * np.eye(2)
    for columns, rank in (
        ([a, b, 0.0 * a, a + b, a - b, -a], 2),
        ([a, a + 1e-6 * b, 0.0 * a, a, a, a], 2),
        ([a, 2.0 * a, 0.0 * a, -a, 1e-7 * a, a], 1),
    ):
        half, df, t = np.array(columns).T, np.full(6, 11.0), np.linspace(1.0, 3.0, 6)
        p = adjusted(found, t, df, two_sided(t, df), "scheffe", half)
        assert_allclose(p, f_distribution.sf(t**2 / rank, rank, 11.0), rtol=1e-10)


@pytest.mark.parametrize("adjust", AT_ONCE)
def test_one_comparison_has_the_p_value_of_its_own_test_far_out_too(adjust):
    """Where integrals over the range of two means, or over one, have no digits left."""
    data = pd.DataFrame({"f": np.repeat(["a", "b"], 16), "y": np.repeat([0.0, 40.0], 16) + np.tile([1.0, -1.0], 16)})
    found = mme.lm("y ~ f", data).means("f", pairs=True, adjust=adjust)
    t = 40.0 / np.sqrt(32.0 / 30.0 * 2.0 / 16.0)
    assert_allclose(found["p"], 2.0 * t_distribution.sf(t, 30), rtol=1e-9, atol=0.0)


def test_tukeys_is_of_pairs_alone_and_other_spellings_are_known():
    pairs, others = (comparisons_of(means(3), word) for word in ("pairwise", "sequential"))
    assert adjustment_of(pairs, "HSD") == adjustment_of(pairs, None) == "tukey"
    assert adjustment_of(others, "BH") == "fdr"
    with pytest.raises(mme.MMEError, match="for all pairs of means"):
        adjustment_of(others, "tukey")
    for unknown in ("lsd", 3, ["holm"]):
        with pytest.raises(mme.MMEError, match="adjust must be one of"):
            adjustment_of(pairs, unknown)


@pytest.mark.parametrize("least", [0.2, 1.2, 2.5])
@pytest.mark.parametrize("many", [3, 60])
def test_critical_values_of_many_degrees_of_freedom_are_those_of_each_wherever_the_others_are(least, many):
    df = np.concatenate([[least], np.linspace(2.6, 40.0, many), [np.inf, 2.6]])

    def quantile(one: float) -> float:
        return float(t_distribution.ppf(0.99, one))

    assert_allclose(of_freedom(quantile, df), [quantile(one) for one in df], rtol=1e-5)


def test_pairs_say_which_mean_is_first_and_which_second():
    found = comparisons_of(means(2, 3, n_by=1), "pairwise")
    for k, first, second in (pair for family in found.pairs() for pair in family):
        row = found.C[[k]].toarray()[0]
        assert (row[first], row[second], np.abs(row).sum()) == (1.0, -1.0, 2.0)
    assert [pair[0] for family in found.pairs() for pair in family] == list(range(6))
    assert [len(family) for family in found.pairs()] == [3, 3]


def test_contrasts_are_named_by_the_levels_that_they_are_within():
    found = comparisons_of(means(2, 2, n_by=1), "pairwise")
    assert found.index.tolist() == [("a0", "b0 - b1"), ("a1", "b0 - b1")]
    assert found.index.names == ["A", "contrast"]
    assert found.families == (slice(0, 1), slice(1, 2))
    with pytest.raises(mme.MMEError, match="there are no two levels of B to compare"):
        comparisons_of(means(2, 1, n_by=1), "pairwise")


def test_interaction_contrasts_are_products_whatever_the_number_of_factors():
    for sizes in ((2, 2), (2, 2, 2)):
        found = comparisons_of(means(*sizes), "pairwise", crossed=True)
        expected = np.ones(1)
        for _ in sizes:
            expected = np.kron(expected, [1.0, -1.0])
        assert_allclose(found.C.toarray(), [expected])
    mixed = comparisons_of(means(2, 3), ["pairwise", "sequential"], crossed=True)
    assert_allclose(mixed.C.toarray(), np.kron([1.0, -1.0], [[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]]))
    with pytest.raises(mme.MMEError, match="a family for each of 2 factors"):
        comparisons_of(means(2, 3), ["pairwise"], crossed=True)
    some = means(2, 2)
    with pytest.raises(mme.MMEError, match="some do not occur"):
        comparisons_of(Means(some.L[:3], 0.0, some.levels[:3], some.names, 0), "pairwise", crossed=True)


def test_which_contrasts_are_asked_for():
    assert wanted_contrast(False, None, False) is None
    assert wanted_contrast(True, None, False) == wanted_contrast(False, None, True) == "pairwise"
    assert wanted_contrast(True, "pairwise", False) == "pairwise"
    own = {"a": [1.0, -1.0]}
    assert wanted_contrast(False, own, False) is own
    for pairs, contrast, crossed in ((True, "sequential", False), (True, own, False), (False, own, True)):
        with pytest.raises(mme.MMEError):
            wanted_contrast(pairs, contrast, crossed)


def test_critical_values_are_interpolated_between_the_least_and_the_most_degrees_of_freedom():
    df = np.linspace(2.6, 4.0, 60)
    found = of_freedom(lambda one: float(t_distribution.ppf(0.99, one)), df)
    assert_allclose(found, t_distribution.ppf(0.99, df), rtol=1e-10)
