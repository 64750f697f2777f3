"""Times that are whole numbers of steps, or nearly; fitted means of which a power can be told, or hardly."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mme
from mme.residual import bind

PAIRS = ["a", "a", "b", "b"]


# --- steps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [mme.AR1, mme.ARMA])
@pytest.mark.parametrize("off", [-1e-7, 1e-7])
def test_times_a_ten_millionth_of_a_step_off_are_whole_and_a_ten_thousandth_off_are_not(kind, off):
    """As computed times are, which stand at the times that they are next to; sums and products leave less."""
    times, group = np.array([1.0, 2.0 + off, 4.0, 1.0, 3.0, 4.0]), ["a"] * 3 + ["b"] * 3
    near, whole = (bind(kind(one, group), np.asarray, 6) for one in (times, np.rint(times)))
    x, rows = whole.start() - 0.9, np.random.default_rng(1).normal(size=(2, 6))
    np.testing.assert_array_equal(near.covariance(x, np.arange(6)), whole.covariance(x, np.arange(6)))
    np.testing.assert_allclose(near.whiten(x, rows), whole.whiten(x, rows), rtol=1e-14)
    np.testing.assert_array_equal(near.changes(x, rows[0]), whole.changes(x, rows[0]))
    times[1] = 2.0 + 1e3 * off
    with pytest.raises(mme.MMEError, match="whole numbers of steps"):
        bind(kind(times, group), np.asarray, 6)


@pytest.mark.parametrize(("common", "said"), [(1, None), (2, "which cannot be negative"), (3, r"rho\^3; number")])
def test_a_common_step_is_pointed_out_with_what_it_does_to_the_sign(common, said):
    """Of gaps of two and three steps there is none."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", mme.MMEWarning)
        bind(mme.AR1(common * np.array([0, 2, 0, 3]), PAIRS), np.asarray, 4)
    assert len(warned) == (said is not None)
    if said is not None:
        with pytest.warns(mme.MMEWarning, match=said):
            bind(mme.AR1(common * np.array([0, 2, 0, 3]), PAIRS), np.asarray, 4)


def test_a_correlation_is_negative_across_odd_gaps_alone_in_any_order_of_the_records():
    times, group = np.array([6.0, 0.0, 1.0, 4.0, 3.0, 9.0, 5.0]), np.array([0, 0, 0, 0, 1, 1, 1])
    of = bind(mme.AR1(times, group), np.asarray, 7)
    R = np.equal.outer(group, group) * (-0.6) ** np.abs(np.subtract.outer(times, times))
    x = of.coordinates(np.array([-0.6]))
    W = of.whiten(x, np.eye(7)).T
    np.testing.assert_allclose(W @ R @ W.T, np.eye(7), atol=1e-14)


@pytest.mark.parametrize(
    ("times", "group", "absorbs"),
    [([0, 1, 5, 6], "aabb", True), ([0, 1, 5, 7], "aabb", False), ([0, 1, 2], "aaa", False), ([0, 2, 9], "aab", True)],
)
def test_AR1_absorbs_an_intercept_where_all_pairs_are_equally_far_apart(times, group, absorbs):
    """One covariance in all is what a random intercept shifts; of three records the first and last have another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        of = bind(mme.AR1(times, list(group)), np.asarray, len(times))
    assert of.absorbs_intercept == absorbs


# --- means -----------------------------------------------------------------------------------------------------------


def at_mean(fitted, population=None, random=True):
    of = bind(mme.PowerOfMean(random=random), np.asarray, len(fitted))
    fitted = np.asarray(fitted, dtype=float)
    return of.about(fitted, fitted if population is None else np.asarray(population, dtype=float))


@pytest.mark.parametrize("random", [True, False])
def test_standard_deviations_are_the_power_of_the_fitted_values_or_of_those_of_the_population(random):
    fitted, population = np.array([-1.0, 2.0, 5.0]), np.array([3.0, -0.5, 1.0])
    of = at_mean(fitted, population, random)
    x = of.coordinates(np.array([1.5]))
    np.testing.assert_allclose(np.exp(of.log_sd(x)), np.abs(fitted if random else population) ** 1.5, rtol=1e-12)


@pytest.mark.parametrize(("away", "is_scaled"), [(49.0, False), (51.0, True)])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_means_beyond_fifty_standard_deviations_from_one_are_in_units_of_their_geometric_mean(sign, away, is_scaled):
    """Logarithms of spread one half."""
    logs = 0.5 * np.array([-1.0, 1.0, 1.0, -1.0])
    of = at_mean(np.exp(0.5 * sign * away + logs))
    x = of.coordinates(np.array([2.0]))
    np.testing.assert_allclose(of.log_sd(x), 2.0 * logs + (0.0 if is_scaled else sign * away), atol=1e-11)


def test_means_that_vary_by_a_millionth_have_a_power_and_by_rounding_none():
    x = np.array([0.3])
    few, none = (at_mean(5.0 * np.array([1.0, 1.0 + by])) for by in (1e-6, 1e-10))
    np.testing.assert_allclose(np.diff(few.log_sd(x)), few.natural(x)[0] * 1e-6, rtol=1e-5)
    np.testing.assert_array_equal(none.log_sd(x), 0.0)
    assert few.start(np.array([1.0, 2.0]))[0] > 0.0
    np.testing.assert_array_equal(none.start(np.array([1.0, 2.0])), [0.0])


def test_means_of_a_ten_billionth_of_the_largest_have_a_power_and_smaller_ones_are_refused():
    of = at_mean([1.0, 1e-10])
    np.testing.assert_allclose(of.log_sd(of.coordinates(np.array([1.0]))), [0.0, -10.0 * np.log(10.0)], atol=1e-9)
    for tiny in (1e-13, 0.0, np.nan):
        with pytest.raises(mme.MMEError, match="PowerOfMean: a fitted value is"):
            at_mean([1.0, tiny])
