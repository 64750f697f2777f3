"""P-values of several tests and quantiles of t, by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from mme.inference.fixed.adjustments import by_p_alone, of_freedom
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.reference import reciprocal


def by_definition(p: np.ndarray, adjust: str) -> np.ndarray:
    """R's p.adjust, entry by entry: the largest multiple among smaller p, or the smallest one among larger p."""
    m = p.size
    harmonic = sum(1.0 / i for i in range(1, m + 1))
    place = np.argsort(np.argsort(p, kind="stable"), kind="stable") + 1  # 1 for the smallest
    match adjust:
        case "bonferroni":
            return np.minimum(m * p, 1.0)
        case "sidak":
            return 1.0 - (1.0 - p) ** m
        case "holm":
            return np.array(
                [min(1.0, max((m - place[j] + 1) * p[j] for j in range(m) if place[j] <= i)) for i in place]
            )
    by = harmonic if adjust == "by" else 1.0
    multiples = by * m / place * p
    return np.array([min(1.0, multiples[place >= i].min()) for i in place])


@pytest.mark.parametrize("adjust", ["bonferroni", "sidak", "holm", "fdr", "by"])
@pytest.mark.parametrize(
    "p",
    [[0.01, 0.04, 0.03, 0.005, 0.5], [0.2, 0.2, 0.01], [0.9, 0.8, 0.7, 1.0], [1e-9, 1e-4, 0.02, 0.021, 0.3, 0.04]],
)
def test_p_values_of_several_tests_are_those_of_the_definition(p, adjust):
    p = np.array(p)
    np.testing.assert_allclose(by_p_alone(p, adjust), by_definition(p, adjust), rtol=1e-7)


def test_p_adjust_of_R():
    """p.adjust(c(.01, .02, .03, .04, .05), "BY" and "holm"), R 4.3."""
    p = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    np.testing.assert_allclose(by_p_alone(p, "by"), np.full(5, 0.1141667), rtol=1e-6)
    np.testing.assert_allclose(by_p_alone(p, "holm"), [0.05, 0.08, 0.09, 0.09, 0.09], rtol=1e-12)


@pytest.mark.parametrize(
    "df",
    [
        np.array([4.0, 4.0, 4.0]),
        np.array([1.0, 2.5, 30.0, np.inf]),
        np.linspace(2.0, 40.0, 20_000),
        np.concatenate([np.linspace(2.0, 1e6, 20_000), [0.5, 1.0, 1.9]]),
        np.append(np.full(20_000, 7.5), 1.5),
        np.append(np.full(20_000, 9.5), 9.5),
    ],
    ids=["alike", "few", "many", "many, some small", "many alike beside a small one", "all alike"],
)
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_half_the_width_of_an_interval_is_a_quantile_of_t_however_many_there_are(df, level):
    some = np.unique(np.linspace(0, df.size - 1, 300).astype(int))
    expected = t_distribution.ppf(0.5 + level / 2.0, df[some])
    np.testing.assert_allclose(t_quantile(level, df)[some], expected, rtol=1e-11)


@pytest.mark.parametrize(
    "df",
    [np.array([4.0]), np.linspace(0.1, 1.9, 20_000), np.concatenate([np.linspace(2.0, 50.0, 20_000), [0.05, 0.3]])],
    ids=["one", "many small", "two small beside many"],
)
def test_quantiles_of_less_than_two_degrees_of_freedom_are_not_interpolated(df):
    some = np.append(np.arange(0, df.size, 500), np.arange(df.size)[-2:])
    np.testing.assert_allclose(t_quantile(0.9, df)[some], t_distribution.ppf(0.95, df[some]), rtol=1e-10)


def test_many_narrow_intervals_have_quantiles_of_their_own_size():
    df = np.linspace(2.0, 40.0, 20_000)
    np.testing.assert_allclose(t_quantile(1e-3, df)[::100], t_distribution.ppf(0.5005, df[::100]), rtol=1e-9)


def test_no_degrees_of_freedom_have_no_quantiles():
    assert t_quantile(0.95, np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("many", [5, 80])
def test_a_quantile_of_many_different_degrees_of_freedom_is_that_of_each(many):
    df = np.append(np.linspace(1.5, 60.0, many), [1.5, np.inf])

    def quantile(one: float) -> float:
        return float(f_distribution.ppf(0.9, 2, min(one, 1e10)))

    np.testing.assert_allclose(of_freedom(quantile, df), [quantile(one) for one in df], rtol=1e-6)


def test_one_over_nothing_is_without_end():
    np.testing.assert_array_equal(reciprocal(np.array([4.0, 0.0, -1e-30, 0.5]))[[0, 1, 3]], [0.25, np.inf, 2.0])
    np.testing.assert_array_equal(reciprocal(np.array([4.0, 0.5])), [0.25, 2.0])


@pytest.mark.parametrize("df", [[1.2, 1.5], [np.nan, 1.2], [0.4, np.inf], [3.0, 4.0, np.nan]])
def test_quantiles_of_a_few_degrees_of_freedom_below_two_or_unknown_are_those_of_t(df):
    np.testing.assert_allclose(t_quantile(0.95, np.array(df)), t_distribution.ppf(0.975, df), rtol=1e-10)
