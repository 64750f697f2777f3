"""Variance functions of covariates and strata: which can be told from sigma and from each other, and which cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import mme
from mme.residual import Bound, Variance, bind
from mme.residual.product import multiplied
from mme.residual.sensitivity import Sensitivity

WAVE = np.array([1.0, -1.0, 0.5, -0.5, 0.3, -0.3])


@pytest.mark.parametrize("middle", [0.0, 45.0])
def test_a_power_is_told_from_sigma_where_logarithms_vary_by_more_than_rounding(middle):
    """exp(middle spread + wave), spread the standard deviation of the wave: its middle is at most 50 of them from 1."""
    spread = WAVE.std()
    with pytest.raises(mme.MMEError, match="the size of covariate does not vary"):
        bind(mme.PowerOfCovariate(np.exp(1e-12 * (middle * spread + WAVE))), np.asarray, 6)
    of = bind(mme.PowerOfCovariate(np.exp(1e-8 * (middle * spread + WAVE))), np.asarray, 6)
    sd = np.exp(of.log_sd(of.coordinates(np.array([1e8]))))
    np.testing.assert_allclose(sd, np.exp(middle * spread + WAVE), rtol=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_covariate_far_from_one_or_zero_is_refused_and_one_less_far_is_not(sign):
    for away, refused in ((45.0, False), (55.0, True)):
        logs = sign * away * WAVE.std() + WAVE
        for structure in (mme.PowerOfCovariate(np.exp(logs)), mme.ExponentialOfCovariate(logs)):
            if refused:
                with pytest.raises(mme.MMEError, match="would leave the range of doubles"):
                    bind(structure, np.asarray, 6)
            else:
                np.testing.assert_allclose(bind(structure, np.asarray, 6).logs, logs, rtol=1e-12)


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_an_exponent_is_told_from_sigma_where_a_covariate_varies_by_more_than_rounding_in_any_unit(unit):
    for by, said in ((0.0, "does not vary"), (1e-12, "does not vary"), (1e-8, "varies little about")):
        with pytest.raises(mme.MMEError, match=said):
            bind(mme.ExponentialOfCovariate(unit * (1.0 + by * WAVE)), np.asarray, 6)
    of = bind(mme.ExponentialOfCovariate(unit * WAVE), np.asarray, 6)
    np.testing.assert_allclose(of.log_sd(of.coordinates(np.array([2.0 / unit]))), 2.0 * WAVE, rtol=1e-12)


def test_a_covariate_of_zeros_has_no_exponent():
    with pytest.raises(mme.MMEError, match="covariate does not vary"):
        bind(mme.ExponentialOfCovariate(np.zeros(4)), np.asarray, 4)


def test_strata_are_fewer_than_records():
    assert bind(mme.Heterogeneous([1, 2, 3, 4, 4]), np.asarray, 5).k == 3
    assert bind(mme.Heterogeneous([1, 1, 2]), np.asarray, 3).k == 1


# --- which of several can be told apart ------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 400])
@pytest.mark.parametrize(("apart", "refused"), [(0.0, True), (4e-6, True), (1e-4, False), (1.0, False)])
def test_two_powers_are_told_apart_by_the_angle_between_their_logarithms_however_often_records_repeat(
    times, apart, refused
):
    """Unit vectors at an angle t have a Gram matrix of lowest eigenvalue 1 - cos t, here 8e-12 and 5e-9."""
    other = np.array([1.0, 1.0, -1.0, -1.0, 0.0, 0.0]) - WAVE * (WAVE[:4] @ [1, 1, -1, -1]) / (WAVE @ WAVE)
    other *= np.linalg.norm(WAVE) / np.linalg.norm(other)
    logs = [np.tile(one, times) for one in (WAVE, np.cos(apart) * WAVE + np.sin(apart) * other)]
    structures = [mme.PowerOfCovariate(np.exp(logs[0])), mme.ExponentialOfCovariate(logs[1])]
    if refused:
        with pytest.raises(mme.MMEError, match="some standard deviations stand twice"):
            bind(structures, np.asarray, 6 * times)
    else:
        assert bind(structures, np.asarray, 6 * times).names == ("power", "exponent")


@dataclass(frozen=True, eq=False)
class BoundLine(Variance):
    """sd = exp(x v + fixed), with so many other places for a search to look at."""

    v: np.ndarray
    places: int = 0
    begin: float = 0.0
    fixed: Any = 0.0

    def start(self, residual=None):
        return np.full(1, self.begin)

    def natural(self, x):
        return x

    def log_sd(self, x):
        return x[0] * self.v + self.fixed

    def elsewhere(self, x):
        return [np.array([float(i)]) for i in range(1, self.places + 1)]


@pytest.mark.parametrize("common", [2.0, 0.1, -0.7])
def test_a_standard_deviation_common_to_all_records_is_that_of_sigma(common):
    parts = [BoundLine(6, ("a",), WAVE), BoundLine(6, ("b",), np.full(6, common))]
    with pytest.raises(mme.MMEError, match="some standard deviations stand twice"):
        multiplied(parts, ["Line", "Line"])


@pytest.mark.parametrize("common", [0.0, 1.0])
def test_what_varies_beside_a_common_standard_deviation_counts_however_little(common):
    parts = [BoundLine(6, ("a",), WAVE), BoundLine(6, ("b",), common + 1e-9 * np.arange(6.0))]
    assert multiplied(parts, ["Line", "Line"]).names == ("a", "b")


@pytest.mark.parametrize("begin", [1.0, -3.0])
def test_standard_deviations_that_go_together_do_so_wherever_the_search_begins(begin):
    fixed = np.array([0.3, 2.0, -1.0, 0.4, 0.1, 5.0])
    parts = [BoundLine(6, ("a",), WAVE, begin=begin, fixed=fixed), BoundLine(6, ("b",), 2.0 * WAVE)]
    with pytest.raises(mme.MMEError, match="some standard deviations stand twice"):
        multiplied(parts, ["Line", "Line"])


def test_names_of_one_structure_are_unlike_and_left_where_they_are():
    alike, apart = BoundLine(6, ("a", "a"), WAVE), BoundLine(6, ("a", "b"), WAVE)
    assert multiplied([alike], ["Line"]).names == ("a", "a.1")
    assert multiplied([apart], ["Line"]) is apart


def places(*several: int) -> Bound:
    unit = np.eye(6)
    return multiplied([BoundLine(6, (f"p{i}",), unit[i], m) for i, m in enumerate(several)], ["Line"] * len(several))


@pytest.mark.parametrize(("several", "together"), [((4, 2), True), ((1, 1, 1), True), ((3, 3), False), ((7, 1), False)])
def test_up_to_fifteen_places_are_looked_at_together_and_of_more_one_part_at_a_time(several, together):
    """The place where the search is counts and is not looked at again."""
    of = places(*several)
    found = of.elsewhere(np.zeros(of.k))
    assert len(found) == (np.prod(np.add(several, 1)) - 1 if together else sum(several))
    assert np.any([np.count_nonzero(x) > 1 for x in found]) == together


def test_strata_keep_their_parameters_on_records_of_which_some_have_none():
    of = bind(mme.Heterogeneous(["u", "v", "w", "w"]), np.asarray, 4).on(np.array([0, 1, 1]))
    np.testing.assert_array_equal(of.log_sd(np.array([0.3, 0.7])), [0.0, 0.3, 0.3])
    np.testing.assert_array_equal(of.score(np.zeros(2), Sensitivity(np.array([1.0, 2.0, 5.0]))), [14.0, 0.0])
