"""Tables and intervals of replicates, written down by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import mme
from mme.inference.intervals.bootstrapped import Bootstrap
from mme.inference.intervals.kinds import bca
from mme.inference.intervals.wald_variances import squared
from mme.inference.power import extended, interval
from mme.inference.scanning.scan import Scan


@pytest.fixture(scope="module")
def replicates() -> Bootstrap:
    """Five replicates of two parameters: of the second one has no value, and one failed."""
    values = np.array([[1.0, 4.0], [2.0, np.nan], [4.0, 6.0], [5.0, 11.0], [np.nan, np.nan]])
    flags = np.array([True, False, False, True, False]), np.array([True, False, True, True, False])
    return Bootstrap(("a", "b"), ("t",), np.array([2.5, 8.0]), values, values[:, :1] ** 2, *flags, {"why": 1}, 7)


def test_a_summary_is_of_the_replicates_that_have_a_value(replicates):
    table = replicates.summary()
    np.testing.assert_allclose(table["bias"], [3.0 - 2.5, 7.0 - 8.0], rtol=1e-15)
    np.testing.assert_allclose(table["se"], [np.std([1, 2, 4, 5], ddof=1), np.std([4, 6, 11], ddof=1)], rtol=1e-14)
    assert table["n"].tolist() == [4, 3]
    assert table["estimate"].tolist() == [2.5, 8.0]
    assert (replicates.n, replicates.n_failed) == (5, 1)
    assert "5 replicates, seed 7: 2 singular, 1 not converged, 1 failed\n  1 x why" in repr(replicates)


def test_a_frame_of_replicates_has_a_row_each(replicates):
    frame = replicates.replicates
    assert list(frame) == ["a", "b", "theta_t", "singular", "converged"]
    np.testing.assert_array_equal(frame["theta_t"], replicates.values[:, 0] ** 2)
    assert frame["singular"].tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_normal_and_basic_intervals_are_about_the_estimate_less_its_bias_and_by_reflection(replicates, level):
    table, half = replicates.summary(), norm.ppf(0.5 + level / 2.0)
    middle = table["estimate"] - table["bias"]
    found = replicates.confint(level, "normal")
    np.testing.assert_allclose(found["lower"], middle - half * table["se"], rtol=1e-12)
    np.testing.assert_allclose(found["upper"], middle + half * table["se"], rtol=1e-12)
    percentile, basic = replicates.confint(level), replicates.confint(level, "basic")
    np.testing.assert_allclose(basic["lower"], 2.0 * replicates.estimates - percentile["upper"], rtol=1e-12)
    np.testing.assert_allclose(basic["upper"], 2.0 * replicates.estimates - percentile["lower"], rtol=1e-12)


@pytest.mark.parametrize("kind", ["bca", "studentised"])
def test_intervals_that_take_the_fit_are_refused_without_it(replicates, kind):
    with pytest.raises(mme.MMEError, match="takes the fit"):
        replicates.confint(kind=kind)


def test_inflation_is_the_median_of_chi_squares_over_that_of_the_distribution():
    import pandas as pd

    quantiles = norm.ppf(0.5 + np.linspace(0.05, 0.95, 19) / 2.0)  # of |t|, their median that of the distribution
    for times in (1.0, 1.3):
        scan = Scan(pd.DataFrame({"t": times * quantiles, "p": 2.0 * norm.sf(times * quantiles)}), 90.0)
        assert scan.inflation == pytest.approx(times**2, rel=1e-12)
        without = Scan(scan.table[["p"]], 90.0)
        assert without.inflation == pytest.approx(times**2, rel=1e-9)
        assert f"19 candidates on 90 df; inflation {times**2:.3f}" in repr(scan)
    assert len(scan.top(3)) == 3


def test_limits_of_variances_are_those_of_standard_deviations_squared():
    import pandas as pd

    table = pd.DataFrame({"lower": [0.5, -2.0, 1.0], "upper": [1.5, 3.0, 2.0]}, index=["sd_x|g", "x", "sigma"])
    found = squared(table)
    assert found.index.tolist() == ["var_x|g", "x", "sigma2"]
    np.testing.assert_array_equal(found, [[0.25, 2.25], [-2.0, 3.0], [1.0, 4.0]])


def test_the_profile_by_variances_is_that_of_deviations_at_their_squares():
    from mme.inference.intervals.wald_variances import of_variances

    within = {"sd_(Intercept)|Subject": (5.0, 45.0)}
    profile = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), bounds=within).profile()
    assert profile.curves["sd_(Intercept)|Subject"].bounds == (5.0, 45.0)
    squares = of_variances(profile)
    assert squares.names == ("var_(Intercept)|Subject", "sigma2", "(Intercept)", "Days")
    np.testing.assert_allclose(squares.estimates, profile.estimates ** [2, 2, 1, 1], rtol=1e-15)
    for name, own in zip(squares.names, profile.names, strict=True):
        curve, of, power = squares.curves[name], profile.curves[own], 1 if name == own else 2
        assert curve.name == name
        np.testing.assert_allclose(curve.estimate, of.estimate**power, rtol=1e-15)
        np.testing.assert_allclose(curve.bounds, np.array(of.bounds) ** power)
        np.testing.assert_allclose(curve.values, of.values**power, rtol=1e-15)
        np.testing.assert_array_equal(curve.zeta, of.zeta)
        np.testing.assert_allclose(curve.parameters, of.parameters ** [2, 2, 1, 1], rtol=1e-15)


def test_the_exact_interval_of_a_proportion_has_a_tail_on_either_side():
    from scipy.stats import binom

    low, high = interval(3, 12, 0.9)
    assert binom.sf(2, 12, low) == pytest.approx(0.05, rel=1e-9)
    assert binom.cdf(3, 12, high) == pytest.approx(0.05, rel=1e-9)
    assert interval(0, 5)[0] == 0.0
    assert interval(5, 5)[1] == 1.0


@pytest.mark.parametrize(
    ("size", "inner"),
    [(2, ["u", "v", "w", "x"]), (3, ["u", "v", "w", "x", "u.2", "v.2"]), (1, ["u", "v"])],
)
def test_copies_of_levels_have_inner_levels_of_their_own_only_where_there_are_copies(size, inner):
    """Plots within blocks; ``arm``, crossed with blocks, and ``block2``, as many levels as blocks, stay as they are."""
    import pandas as pd

    data = pd.DataFrame({"block": list("aabb"), "plot": list("uvwx"), "arm": [1, 2, 1, 2], "block2": list("ccdd")})
    found = extended(data, {"block": size}, ["plot", "arm", "block2", "block"])
    assert found["plot"].tolist() == inner
    assert found["arm"].tolist() == [1, 2] * size
    assert found["block2"].tolist() == ["c", "c", "d", "d", "c", "c"][: 2 * size]
    assert found["block"].tolist() == np.repeat(np.arange(1, size + 1), 2).tolist()


class Told:
    """What a fit behind replicates says, written down: ``a`` is above zero, ``b`` has no bounds."""

    bounds = (np.array([0.0, -np.inf]), np.array([np.inf, np.inf]))
    own, of_each = np.array([0.3, 2.0]), np.array([[0.2, 1.0], [0.4, 2.0], [0.3, 3.0], [0.5, 4.0], [np.nan, np.nan]])

    def without_groups(self) -> np.ndarray:
        return np.array([[2.0, 7.0], [2.5, 8.0], [4.5, 9.0]])

    def standard_errors(self, theta: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.own, self.of_each


def test_intervals_that_take_the_fit_are_made_of_what_it_says(replicates):
    values = np.column_stack([replicates.values[:, 0], [4.0, 5.0, 6.0, 11.0, np.nan]])
    told = replace(replicates, values=values, behind=Told())
    expected = bca(replicates.estimates, values, Told().without_groups(), 0.5)
    np.testing.assert_allclose(told.confint(0.5, "bca"), expected, rtol=1e-12)
    z_a = np.sort(np.log(values[:4, 0] / 2.5) / Told.of_each[:4, 0])
    z_b = np.sort((values[:4, 1] - 8.0) / Told.of_each[:4, 1])
    with_all = replace(told, values=values[:4], theta=values[:4, :1])
    with_all.behind.of_each = Told.of_each[:4]
    found = with_all.confint(0.2, "studentised")  # the second and the third of four
    np.testing.assert_allclose(found.loc["a"], 2.5 * np.exp(-0.3 * z_a[[2, 1]]), rtol=1e-12)
    np.testing.assert_allclose(found.loc["b"], 8.0 - 2.0 * z_b[[2, 1]], rtol=1e-12)


def test_one_replicate_has_no_standard_error(replicates):
    one = replace(replicates, values=replicates.values[:1])
    assert np.isnan(one.summary()["se"]).all()
    assert one.summary()["n"].tolist() == [1, 1]
