"""Profiles written down by hand: limits, zeta between knots, and where a profile ends."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy.stats import norm

import mme
from mme.inference.intervals.curves import Curve, Profile, quantile

Z = float(norm.ppf(0.975))
VALUES = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
# A straight line through the estimate, 3, whose ends are at the 95 % limits to the last bit.
LINE = Curve("b", 3.0, (0.0, 9.0), VALUES, Z * np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), VALUES[:, None], (False, False))
NONE = Curve("c", np.nan, (-1.0, 1.0), np.zeros(0), np.zeros(0), np.zeros((0, 1)), (True, True))


def profile_of(*curves: Curve) -> Profile:
    return Profile({curve.name: curve for curve in curves}, ("b",), np.array([3.0]), 7.0)


@pytest.mark.parametrize("share", [-1.0, -0.8, -0.1, 0.1, 0.3, 1.0])
def test_limits_on_a_line_are_the_estimate_and_so_many_standard_errors(share):
    assert LINE.limit(share * Z) == pytest.approx(3.0 + 2.0 * share, rel=1e-12)
    assert LINE.zeta_at([3.0 + 2.0 * share])[0] == pytest.approx(share * Z, rel=1e-12)


def test_zeta_is_known_from_the_first_knot_to_the_last():
    found = LINE.zeta_at([0.99, 1.0, 1.5, 4.5, 5.0, 5.01])
    np.testing.assert_allclose(found, Z * np.array([np.nan, -1.0, -0.75, 0.75, 1.0, np.nan]), rtol=1e-12)


@pytest.mark.parametrize("zeta", [-3.0, -0.5, 0.5, 3.0])
def test_a_limit_that_is_not_reached_is_the_bound_and_nan_where_the_likelihood_rises_first(zeta):
    assert NONE.limit(zeta) == np.sign(zeta)
    if abs(zeta) > Z:
        assert LINE.limit(zeta) == (9.0 if zeta > 0.0 else 0.0)
        for lower in ((True, False), (False, True)):
            assert np.isnan(replace(LINE, lower=lower).limit(zeta)) == lower[zeta > 0.0]


def test_the_first_crossing_counts_where_zeta_turns_back():
    turning = replace(LINE, values=np.arange(7.0), zeta=np.array([-3.0, -1.0, 0.0, 1.0, 0.5, 1.5, 3.0]))
    assert 3.0 < turning.limit(1.2) < 5.0
    assert turning.limit(0.9) < 3.0


@pytest.mark.parametrize(("fall", "turns"), [(0.0, False), (1e-5, False), (1e-3, True), (0.5, True)])
def test_a_curve_turns_where_zeta_falls_by_more_than_rounding(fall, turns):
    assert replace(LINE, zeta=np.array([-2.0, -1.0, 0.0, 1.0, 1.0 - fall])).turns == turns
    assert not LINE.turns


@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
def test_the_quantile_leaves_half_of_the_rest_on_either_side(level):
    assert norm.cdf(quantile(level)) == pytest.approx(0.5 + level / 2.0, rel=1e-12)


def test_intervals_are_a_row_a_curve_also_where_the_last_knot_is_the_limit_and_where_there_is_none():
    table = profile_of(LINE, NONE).confint()
    assert table.index.tolist() == ["b", "c"]
    np.testing.assert_allclose(table, [[1.0, 5.0], [-1.0, 1.0]], rtol=1e-12)
    assert list(table) == ["lower", "upper"]


@pytest.mark.parametrize("side", [0, 1])
def test_a_curve_that_ends_before_its_limit_says_so_unless_it_ends_at_its_bound(side):
    kept = slice(1, None) if side == 0 else slice(None, -1)
    short = replace(LINE, values=VALUES[kept], zeta=LINE.zeta[kept], parameters=LINE.parameters[kept])
    this, other = (side == 0, side == 1), (side == 1, side == 0)
    for complete in ((False, False), other):
        with pytest.raises(mme.MMEError, match=r"the profile of b ends before zeta = 1\.96"):
            profile_of(replace(short, complete=complete)).confint()
    expected = [1.0, 5.0]
    expected[side] = (0.0, 9.0)[side]
    np.testing.assert_allclose(profile_of(replace(short, complete=this)).confint(), [expected], rtol=1e-12)
    expected[side] = np.nan
    np.testing.assert_allclose(profile_of(replace(short, lower=this)).confint(), [expected], rtol=1e-12)


def test_a_frame_has_a_row_a_knot_and_none_where_there_are_none():
    twice = replace(LINE, name="a", bounds=(-inf, inf))
    frame = profile_of(LINE, NONE, twice).to_frame()
    assert list(frame) == ["parameter", "value", "zeta", "b"]
    assert frame.index.tolist() == list(range(10))
    assert frame["parameter"].tolist() == ["b"] * 5 + ["a"] * 5
    np.testing.assert_array_equal(frame["value"], frame["b"])
    np.testing.assert_array_equal(frame["zeta"], np.tile(LINE.zeta, 2))
    assert list(profile_of().to_frame()) == list(frame)
    assert profile_of().to_frame().empty


@pytest.mark.parametrize("level", [1e-17, 0.5, 0.999])
def test_the_lower_limit_of_a_curve_without_knots_is_its_lower_bound_at_every_level(level):
    assert Profile({"c": NONE}, ("c",), np.array([np.nan]), 0.0).confint(level).loc["c", "lower"] == -1.0
