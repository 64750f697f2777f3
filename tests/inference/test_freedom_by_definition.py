"""Degrees of freedom, tails and p-values of many tests by their definitions, at numbers given here."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from counting import entered
from fits import at
from scipy import stats

import mme
from mme.derivatives.variance_derivatives import profile_derivatives
from mme.inference.comparison.boundary import highest
from mme.inference.fixed.adjustments import by_p_alone, of_freedom
from mme.inference.fixed.reference import FTest, Normal, check_consistent, independent, reciprocal, two_sided
from mme.inference.fixed.satterthwaite import Satterthwaite, is_off, of_profile


def test_tails_are_those_of_t_and_f_and_of_their_limits():
    t = np.array([-40.0, -2.0, 0.0, 1.5, 3.0])
    np.testing.assert_allclose(two_sided(t, np.full(5, 7.0)), 2.0 * stats.t.sf(np.abs(t), 7.0), rtol=1e-10)
    np.testing.assert_allclose(two_sided(t, np.full(5, np.inf)), 2.0 * stats.norm.sf(np.abs(t)), rtol=1e-10)
    assert FTest(2.5, 3, 11.0).p == pytest.approx(stats.f.sf(2.5, 3, 11.0), rel=1e-10)
    assert FTest(2.5, 3, np.inf).p == pytest.approx(stats.chi2.sf(7.5, 3), rel=1e-10)


def test_degrees_of_freedom_are_reciprocals_and_infinite_where_nothing_is_estimated():
    found = reciprocal(np.array([0.25, 1e-11, 1e-13, 0.0, -1e-14, np.nan]))
    np.testing.assert_allclose(found, [4.0, 1e11, np.inf, np.inf, np.inf, np.nan])
    assert reciprocal(np.array(0.5)) == 2.0


def halves(*sd: float) -> np.ndarray:
    return np.diag(np.array(sd))


def test_the_wald_test_is_a_quadratic_form_whatever_the_rows():
    rng = np.random.default_rng(1)
    half, beta = rng.normal(size=(4, 4)), rng.normal(size=4)
    L = rng.normal(size=(2, 4))
    d = L @ beta
    expected = d @ np.linalg.solve(L @ half.T @ half @ L.T, d) / 2.0
    normal = Normal(beta, half)
    for rows in (L, np.vstack([L, L[0] - 2.0 * L[1]]), L * [[1e6], [1e-6]], np.vstack([L, 0.0 * L])):
        found = normal.f_test(rows, rows @ beta)
        assert (found.numerator, found.denominator) == (2, np.inf)
        assert pytest.approx(expected, rel=1e-8) == found.F
    np.testing.assert_allclose(normal.se(L), np.sqrt(np.diag(L @ normal.cov @ L.T)), rtol=1e-12)
    nothing = normal.f_test(np.zeros((1, 4)), np.zeros(1))
    assert nothing.numerator == 0
    assert np.isnan(nothing.F)


def test_independent_combinations_have_the_largest_variance_first_and_are_uncorrelated():
    half = np.random.default_rng(3).normal(size=(3, 3))
    along = independent(np.eye(3), np.arange(3.0), half)
    cov = along.weights @ half.T @ half @ along.weights.T
    np.testing.assert_allclose(cov, np.diag(along.sd**2), atol=1e-12)
    np.testing.assert_allclose(along.weights @ along.weights.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(along.difference, along.weights @ np.arange(3.0))
    assert (np.diff(along.sd) < 0.0).all()


def test_right_sides_are_those_of_one_beta():
    L, labels = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -3.0]]), ["first", "second", "third"]
    half = halves(1e-3, 1e3)
    check_consistent(L, np.array([1.0, 2.0, -4.0]), half, labels)
    check_consistent(L, np.array([1.0, 2.0, -4.0 + 1e-9]), half, labels)
    with pytest.raises(mme.MMEError, match=r"third is 2 x \(first\) \+ -3 x \(second\).* must be -4, and it is -4.1"):
        check_consistent(L, np.array([1.0, 2.0, -4.1]), half, labels)
    with pytest.raises(mme.MMEError, match=r"third is 1 x \(second\), so"):
        check_consistent(np.array([[1.0, 0], [0, 1], [0, 1]]), np.array([1.0, 2.0, 2.0001]), half, labels)


def with_slopes(slopes: list[float], share: float, flat: list[float] | None = None) -> Satterthwaite:
    """Uncorrelated estimates of unit variance, each with one variance parameter whose slope of the log is given."""
    k = len(slopes)
    diagonal = np.einsum("ij,jk->ijk", np.eye(k), np.eye(k)) * np.array(slopes)[:, None, None]
    none = np.zeros((k, 0)) if flat is None else np.array(flat)[:, None]
    return Satterthwaite(np.zeros(k), np.eye(k), np.eye(k), diagonal, 2.0 * np.eye(k), none, share, np.ones(k))


def test_satterthwaites_freedom_adds_what_sigma_and_the_other_variances_cost():
    slopes = [0.5, 0.1, 0.0]
    to = with_slopes(slopes, 0.05)
    np.testing.assert_allclose(to.df(np.eye(3)), 1.0 / (0.05 + np.square(slopes)), rtol=1e-12)
    np.testing.assert_allclose(to.df(7.0 * np.eye(3)), to.df(np.eye(3)), rtol=1e-12)
    mixed = np.array([[1.0, 2.0, 0.0]]) / np.sqrt(5.0)  # variances add, and so do their slopes
    g = np.array([0.5 * 1.0, 0.1 * 4.0]) / 5.0
    np.testing.assert_allclose(to.df(mixed), 1.0 / (0.05 + g @ g), rtol=1e-12)
    whole = np.array([[0.5, 0.1], [0.2, 0.0], [0.0, 0.3]])
    pieces = [whole[:, :1], whole[:, 1:]]
    np.testing.assert_allclose(to.df_in_pieces(pieces), to.df_of(whole), rtol=1e-12)


def test_freedom_that_depends_on_what_is_flat_is_nan_with_a_word_and_other_freedom_is_not():
    to = with_slopes([0.5, 0.1, 0.0], 0.05, flat=[0.0, 1.0, 0.0])
    with pytest.warns(mme.MMEWarning, match="degrees of freedom are not determined"):
        found = to.df(np.eye(3))
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny = replace(to, slopes=to.slopes * np.array([1.0, 1e-5, 1.0])[:, None, None])
        assert np.isfinite(tiny.df(np.eye(3))).all()
    weaker = replace(to, slopes=to.slopes * np.array([1.0, 1e-3, 1.0])[:, None, None])
    with pytest.warns(mme.MMEWarning, match="not determined"):
        assert np.isnan(weaker.df(np.eye(3)[[1]])).all()


@pytest.mark.parametrize(
    "df",
    [
        [5.0, 9.0],
        [5.0, 9.0, 30.0],
        [5.0, np.inf],
        [6.0, 6.0],
        [np.inf, np.inf],
        [2.0, 9.0],
        [1.5, 9.0],
        [1.5, 1.50001],
        [2.1, 3.0],
    ],
)
def test_the_denominator_of_f_gives_it_the_mean_of_its_squared_ts(df):
    """E[F] = d / (d - 2), and E[t^2] = df / (df - 2); two where a mean is infinite."""
    to = with_slopes(np.sqrt(1.0 / np.array(df)).tolist(), 0.0)
    sd = 1.0 + np.arange(len(df))[::-1] / 7.0  # distinct, so that the combinations are these
    to = replace(to, half=np.diag(sd), relative=np.diag(sd))
    found = to.f_test(np.eye(len(df)), np.ones(len(df)))
    assert pytest.approx(np.mean(1.0 / sd**2), rel=1e-12) == found.F
    assert found.numerator == len(df)
    if min(df) <= 2.0:
        assert found.denominator == 2.0
    elif np.ptp(df) == 0.0 or np.isinf(df).all():
        assert found.denominator == pytest.approx(df[0], rel=1e-12)
    else:
        mean = np.mean([1.0 if np.isinf(one) else one / (one - 2.0) for one in df])
        assert found.denominator / (found.denominator - 2.0) == pytest.approx(mean, rel=1e-9)


def test_the_denominator_of_f_is_two_where_a_mean_is_just_infinite_and_unknown_where_a_t_has_none():
    to = replace(with_slopes([1.0, 0.5], 0.0), A=np.eye(2), half=np.diag([2.0, 1.0]), relative=np.diag([2.0, 1.0]))
    assert to.df(np.eye(2)).tolist() == [2.0, 8.0]
    assert to.f_test(np.eye(2), np.ones(2)).denominator == 2.0
    nothing = to.f_test(np.zeros((1, 2)), np.zeros(1))
    assert (nothing.numerator, np.isnan(nothing.F), np.isnan(nothing.denominator)) == (0, True, True)
    with pytest.warns(mme.MMEWarning, match="not determined"):
        unknown = replace(to, flat=np.eye(2)[:, :1]).f_test(np.eye(2), np.ones(2))
    assert (unknown.numerator, np.isnan(unknown.denominator)) == (2, True)


def test_p_values_of_many_tests_are_those_of_their_definitions():
    p = np.array([0.03, 0.001, 0.2, 0.04, 0.9, 0.01])
    m, rank = p.size, stats.rankdata(p)
    steps = [max((m - r + 1) * q for q, r in zip(p, rank, strict=True) if r <= own) for own in rank]
    rates = np.array([min(q * m / r for q, r in zip(p, rank, strict=True) if r >= own) for own in rank])
    np.testing.assert_allclose(by_p_alone(p, "bonferroni"), np.minimum(m * p, 1.0), rtol=1e-12)
    np.testing.assert_allclose(by_p_alone(p, "holm"), np.minimum(steps, 1.0), rtol=1e-12)
    np.testing.assert_allclose(by_p_alone(p, "fdr"), rates, rtol=1e-12)
    harmonic = sum(1.0 / k for k in range(1, m + 1))
    np.testing.assert_allclose(by_p_alone(p, "by"), np.minimum(rates * harmonic, 1.0), rtol=1e-12)
    np.testing.assert_allclose(by_p_alone(p, "sidak"), 1.0 - (1.0 - p) ** m, rtol=1e-10)
    assert by_p_alone(np.array([0.5, 1.0]), "sidak")[1] == 1.0


@pytest.mark.parametrize("last", [1e3, np.inf])
@pytest.mark.parametrize("count", [5, 40])
def test_a_quantile_of_many_degrees_of_freedom_is_that_of_each(last, count):
    df = np.append(np.geomspace(3.0, 400.0, count), last)[::-1]
    found = of_freedom(lambda one: float(stats.t.isf(0.025, one)), df)
    np.testing.assert_allclose(found, stats.t.isf(0.025, df), rtol=1e-7)
    below = np.append(df, 0.5)
    np.testing.assert_allclose(of_freedom(lambda one: 1.0 / one, below), 1.0 / below, rtol=1e-12)


def test_the_top_of_a_parabola_is_found_between_points_and_an_end_is_itself():
    at = np.arange(12.0)
    tops = [5.3, 2.0, 8.49, 9.6]
    rows = np.array([3.0 - 0.7 * (at - top) ** 2 for top in tops])
    np.testing.assert_allclose(highest(rows), 3.0, rtol=1e-12)
    ends = np.array([4.0 - at, at - 7.0, np.r_[5.0, -at[1:]], -1.0 - at, np.full(12, 0.25)])
    np.testing.assert_allclose(highest(ends), [4.0, 4.0, 5.0, 0.0, 0.25], rtol=1e-12)


def fit_of(n: int, sigma: float | None = None) -> SimpleNamespace:
    """As much of a fit as the share of sigma takes."""
    return SimpleNamespace(
        objective=SimpleNamespace(constants=SimpleNamespace(n_effective=n), model=SimpleNamespace(sigma=sigma))
    )


H = np.array([[4.0, 1.0], [1.0, 3.0]])


def profile_of(hessian: np.ndarray, gradient: list[float], units: list[float]) -> SimpleNamespace:
    """The derivatives of a criterion by parameters of these units: hessian and gradient are by multiples of them."""
    u = np.array(units)
    none = np.zeros((0, 0))
    derivatives = {"hessian": hessian / np.outer(u, u), "gradient": np.array(gradient) / u}
    return SimpleNamespace(**derivatives, units=u, half=none, slopes=none)


@pytest.mark.parametrize("units", [[1.0, 1.0], [1e-4, 1e3]])
def test_the_covariance_of_what_was_estimated_is_twice_the_inverse_hessian(units):
    u = np.array(units)
    found = of_profile(fit_of(20), profile_of(H, [0.0, 0.0], units))
    np.testing.assert_allclose(found.A / np.outer(u, u), 2.0 * np.linalg.inv(H), rtol=1e-12)
    assert found.share == 1.0 / 20.0
    assert found.flat.shape == (2, 0)
    assert of_profile(fit_of(20, sigma=1.5), profile_of(H, [0.0, 0.0], units)).share == 0.0


@pytest.mark.parametrize("units", [[1.0, 1.0], [1e-4, 1e3]])
def test_a_direction_without_curvature_is_flat_and_has_no_variance(units):
    u = np.array(units)
    for lowest in (0.0, 1e-8, -1e-3):
        along = np.array([1.0, -1.0]) / np.sqrt(2.0)
        hessian = np.ones((2, 2)) + lowest * np.outer(along, along)
        found = of_profile(fit_of(20), profile_of(hessian, [0.0, 0.0], units))
        direction = found.flat[:, 0] / u
        np.testing.assert_allclose(np.abs(direction @ along), np.linalg.norm(direction), rtol=1e-2)
        np.testing.assert_allclose(found.A / np.outer(u, u), 0.5 * np.ones((2, 2)), rtol=2e-3)
    one, plain = (of_profile(fit_of(20), profile_of(np.diag([4.0, 0.0]), [0.0] * 2, own)) for own in (u, [1, 1]))
    np.testing.assert_allclose(one.A / np.outer(u, u), np.diag([0.5, 0.0]), atol=1e-12)
    np.testing.assert_allclose(np.abs(one.flat[:, 0]) / u, np.abs(plain.flat[:, 0]), rtol=1e-9)
    sharp = profile_of(np.array([[1.0, 0.999], [0.999, 1.0]]), [0.0, 0.0], units)
    assert of_profile(fit_of(20), sharp).flat.shape == (2, 0)  # weak, and yet determined


@pytest.mark.parametrize(("gain", "is_taken"), [(2e-7, False), (4e-7, True), (8e-7, True), (1.2e-6, False)])
def test_a_newton_step_is_taken_where_its_gain_shows_and_is_one_of_rounding(gain, is_taken):
    """A quadratic lies g'H^-1 g / 2 above its minimum, H^-1 g away."""
    g = np.array([1.0, -2.0])
    g *= np.sqrt(2.0 * gain / (g @ np.linalg.solve(H, g)))
    found = is_off(profile_of(H, g.tolist(), [1e-2, 10.0]))
    if is_taken:
        np.testing.assert_allclose(found / [1e-2, 10.0], -np.linalg.solve(H, g), rtol=1e-10)
    else:
        assert found is None


def many_records_a_group() -> pd.DataFrame:
    """The natural unit of theta is far below one: 200 records in each of eight groups tell much of it."""
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(8), 200), rng.normal(size=1600)
    return pd.DataFrame({"g": g, "x": x, "y": x + 0.1 * rng.normal(size=8)[g] + rng.normal(size=1600)})


@pytest.mark.parametrize(
    ("formula", "data", "off"),
    [
        ("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), 1e-4),
        ("y ~ x + (1 | g)", many_records_a_group(), 8e-6),
    ],
)
def test_freedom_near_the_minimum_is_that_of_the_minimum_and_far_from_it_that_of_the_point(formula, data, off):
    fit = mme.lmer(formula, data)
    best = fit.theta + 0.0
    for _ in range(3):  # to the last digits
        best = best - 0.5 * _slope(fit, best) / ((_slope(fit, best + 1e-4) - _slope(fit, best - 1e-4)) / 4e-4)
    exact, near, far = (at(fit, best * (1.0 + one)) for one in (0.0, off, 3e-2))
    np.testing.assert_allclose(near.satterthwaite.df(np.eye(2)), exact.satterthwaite.df(np.eye(2)), rtol=1e-6)
    assert np.abs(far.satterthwaite.df(np.eye(2)) / exact.satterthwaite.df(np.eye(2)) - 1.0).max() > 1e-3
    near, far = (at(fit, best * (1.0 + one)) for one in (off, 3e-2))
    made = [entered(lambda fit=fit: fit.satterthwaite, profile_derivatives) for fit in (near, far)]
    assert made == [2, 1]  # at the point, and at the minimum where that is near


@pytest.mark.parametrize(("gain", "times"), [(0.0, 1), (1e-8, 2), (0.8e-6, 2), (1.2e-6, 1)])
def test_derivatives_are_taken_anew_where_the_minimum_is_near_and_not_here(gain, times):
    """Of a balanced layout the minimum is that of the analysis of variance; D'' d^2 / 2 is what a step d gains."""
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    y = fit.internals.model.y.reshape(6, 5)
    between, within = 5.0 * y.mean(axis=1).var(ddof=1), y.var(axis=1, ddof=1).mean()
    best = np.array([np.sqrt((between / within - 1.0) / 5.0)])
    curvature = (_slope(fit, best + 1e-3) - _slope(fit, best - 1e-3)) / 2e-3
    beside = at(fit, best + np.sqrt(2.0 * gain / curvature))
    assert entered(lambda: beside.satterthwaite, profile_derivatives) == times


def _slope(fit: mme.Fit, theta: np.ndarray) -> float:
    f = fit.internals.objective
    return (f(theta + 1e-4) - f(theta - 1e-4)) / 2e-4
