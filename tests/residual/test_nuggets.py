"""Errors beside a correlation: where they can be told from it, and R where nothing else is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import mme
from mme.residual import ByGroup, bind
from mme.residual.nugget import BoundNugget, with_nugget


def pairs(lags: list[int]):
    times, groups = np.ravel([[0, lag] for lag in lags]), np.repeat(np.arange(len(lags)), 2)
    return bind(mme.AR1(times, groups).with_nugget(), np.asarray, times.size)


@pytest.mark.parametrize("others", [1, 8, 30, 150])
def test_one_pair_at_another_lag_tells_a_nugget_from_a_correlation_however_many_there_are_at_one(others):
    """(1 - nu) rho^h at one lag h is one number; at two, two."""
    with pytest.raises(mme.MMEError, match="cannot be identified"):
        pairs([1] * others + [1])
    assert pairs([1] * others + [2]).names == pairs([2] + [1] * others).names == ("rho", "nugget")


@pytest.mark.parametrize("large", [30, 500])
def test_a_long_group_tells_a_nugget_from_a_correlation_wherever_it_stands(large):
    for sizes in ([2, 2, large], [large, 2, 2], [2] * 250 + [3]):
        times = np.concatenate([np.arange(size) for size in sizes])
        of = bind(mme.AR1(times, np.repeat(np.arange(len(sizes)), sizes)).with_nugget(), np.asarray, times.size)
        assert of.names == ("rho", "nugget")


@pytest.mark.parametrize("nugget", [300.0, -300.0, 0.0])
def test_where_the_correlation_is_one_R_is_all_ones_beside_the_nugget(nugget):
    """Singular without one; what keeps its root finite is of the size of rounding."""
    of = bind(mme.AR1([1, 2, 3, 5]).within(["a"] * 4).with_nugget(), np.asarray, 4)
    x = np.array([300.0, nugget])
    share = of.natural(x)[1]
    L = of.colour(x, np.eye(4)).T
    np.testing.assert_allclose(L @ L.T, (1.0 - share) * np.ones((4, 4)) + share * np.eye(4), rtol=0.0, atol=1e-13)
    assert np.isfinite(of.whiten(x, np.eye(4))).all()
    np.testing.assert_allclose(of.colour(x, of.whiten(x, np.eye(4))), np.eye(4), atol=1e-6)


def test_an_error_stands_beside_a_correlation_before_the_variances():
    columns = {"t": [1, 2, 4, 1, 2, 4], "g": [1, 1, 1, 2, 2, 2], "f": list("uvvuvv"), "v": [1.0, 2, 3, 4, 5, 6]}
    correlation = mme.AR1("t", "g")
    scaled = correlation * mme.Heterogeneous("f")
    for of in (mme.Heterogeneous("f"), mme.PowerOfMean(), scaled, correlation * mme.PowerOfCovariate("v")):
        with pytest.raises(mme.MMEError, match="say it before the variances"):
            bind(of.with_nugget(), columns.__getitem__, 6)
    assert bind(correlation.with_nugget(), columns.__getitem__, 6).names == ("rho", "nugget")


# --- correlations of several parameters ------------------------------------------------------------------------------


def field(a, b, group=None):
    return bind((mme.AR1(a, group) * mme.AR1(b, group)).with_nugget(), np.asarray, len(a))


def test_a_field_beside_errors_has_its_parameters_first_and_the_nugget_last():
    a, b = (one.ravel() for one in np.meshgrid(np.arange(4), np.arange(3)))
    of, natural = field(a, b), np.array([0.6, -0.3, 0.25])
    x = of.coordinates(natural)
    np.testing.assert_allclose(x, [np.arctanh(0.6), np.arctanh(-0.3), np.log(1.0 / 3.0)], rtol=1e-12)
    np.testing.assert_allclose(of.natural(x), natural, rtol=1e-12)
    C = 0.6 ** np.abs(np.subtract.outer(a, a)) * (-0.3) ** np.abs(np.subtract.outer(b, b))
    np.testing.assert_allclose(of.covariance(x, np.arange(12)), 0.75 * C + 0.25 * np.eye(12), atol=1e-13)


def test_a_coordinate_that_only_small_groups_vary_in_tells_its_correlation():
    """A long line of a field, and a square: along the line the second coordinate is everywhere the same."""
    a, b = np.append(np.arange(30), [0, 0, 1, 1]), np.append(np.zeros(30), [0, 1, 0, 1])
    group = np.repeat([0, 1], [30, 4])
    with np.errstate(invalid="raise", divide="raise"):
        assert len(field(a, b, group).names) == 3


@dataclass(frozen=True, eq=False)
class Slow(ByGroup):
    """exp(-lag exp(unit x)), with another place to look at beside any."""

    unit: float
    times: np.ndarray

    def start(self, residual=None):
        return np.zeros(self.k)

    def natural(self, x):
        return np.exp(-self.unit * x)

    def elsewhere(self, x):
        return [x + 7.0]

    def block(self, x, members):
        lag = np.abs(np.subtract.outer(self.times[members], self.times[members]))
        return np.exp(-lag * np.exp(self.unit * x[0]))


@pytest.mark.parametrize("unit", [1e-8, 1e-3, 1.0])
def test_whether_a_nugget_can_be_told_does_not_depend_on_the_unit_of_coordinates(unit):
    codes, apart, alike = np.zeros(3, dtype=int), np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0])
    assert with_nugget(Slow(3, ("range",), codes, unit, apart)).names == ("range", "nugget")
    with pytest.raises(mme.MMEError, match="cannot be identified"):
        with_nugget(Slow(2, ("range",), codes[:2], unit, alike))


def test_a_parameter_that_changes_nothing_is_not_identified():
    codes, times = np.zeros(4, dtype=int), np.array([0.0, 1.0, 3.0, 7.0])
    with np.errstate(invalid="raise", divide="raise"), pytest.raises(mme.MMEError, match="cannot be identified"):
        with_nugget(Slow(4, ("range", "idle"), codes, 1.0, times))
    assert with_nugget(Slow(4, ("range",), codes, 1.0, times)).k == 2


@pytest.mark.parametrize("k", [1, 2, 3])
def test_places_to_look_at_beside_a_nugget_are_those_of_the_correlation_as_it_is(k):
    codes, x = np.zeros(3, dtype=int), np.arange(k + 1.0)
    of = BoundNugget(3, ("?",) * (k + 1), codes, Slow(3, ("?",) * k, codes, 1.0, np.arange(3.0)))
    assert [at.tolist() for at in of.elsewhere(x)] == [[*(x[:k] + 7.0), logit] for logit in (-2.0, 1.0)]


class Apart(Slow):
    """exp(-lag exp(x_0) - lag^2 (x_1 - x_0)^2): where coordinates are alike, as at the start, x_1 changes nothing."""

    def block(self, x, members):
        lag = np.abs(np.subtract.outer(self.times[members], self.times[members]))
        return np.exp(-lag * np.exp(x[0]) - (lag * (x[1] - x[0])) ** 2)


def test_whether_a_nugget_can_be_told_is_seen_where_coordinates_differ():
    times = np.array([0.0, 0.5, 1.1, 2.0, 3.5])
    assert with_nugget(Apart(5, ("range", "curve"), np.zeros(5, dtype=int), 1.0, times)).k == 3
