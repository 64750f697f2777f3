"""Profiles of parameters that lie at their bound, to rounding, end there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.intervals.between import Fold
from mme.inference.intervals.deviance import Deviance, Point
from mme.inference.intervals.held import Maximum
from mme.inference.intervals.slices import hold_residual
from mme.numeric.by_values import bobyqa
from mme.numeric.counted import Counted
from mme.search.joint import Joint


@pytest.mark.parametrize("size", [1e-4, 1e-8, 1e-10])
@pytest.mark.parametrize("kind", ["compound symmetry at its lower bound", "at its upper", "one band", "AR(1)"])
def test_a_limit_that_is_the_bound_ends_the_profile(kind, size):
    rng = np.random.default_rng(1)
    J, m = (20, 4) if kind == "one band" else (6, 3)
    data = pd.DataFrame({"g": np.repeat(np.arange(J), m), "t": np.tile(np.arange(m), J)})
    noise = rng.normal(size=J * m)
    level = np.repeat(rng.normal(size=J), m)
    apart = noise - (1.0 - size) * pd.Series(noise).groupby(data["g"]).transform("mean")
    data["y"] = apart if "lower" in kind else level + size * noise
    residual = {"o": mme.Toeplitz("t", "g", bands=1), "A": mme.AR1("t", "g")}.get(kind[0], mme.CompoundSymmetry("g"))
    fit = mme.lmer("y ~ 1", data, residual=residual)
    (name,) = fit.residual
    low, high = fit.internals.model.residual.bounds[0]
    profile = fit.profile(name)
    lower, upper = profile.confint().loc[name]
    assert low <= lower <= profile.estimates[profile.names.index(name)] <= upper <= high
    edge = 0.5 / np.cos(np.pi / (m + 1))  # beyond it one band is not positive definite
    bound = low if "lower" in kind else edge if kind == "one band" else high
    assert abs((lower if "lower" in kind else upper) - bound) < 10.0 * size + 1e-12
    assert np.isfinite(profile.curves[name].zeta).all()


@pytest.fixture(scope="module")
def short_series():
    rng = np.random.default_rng([5, 0])
    data = pd.DataFrame({"g": np.repeat(np.arange(15), 3), "t": np.tile(np.arange(3), 15)})
    rng.random(90)
    data["x"] = rng.normal(size=45)
    data["y"] = rng.normal(size=45) + np.repeat(rng.normal(size=15), 3)
    return data


def _ends(profile, name, bounds):
    """Limits lie between the bounds, the estimate between the limits, and every knot is a number."""
    curve = profile.curves[name]
    lower, upper = profile.confint().loc[name]
    assert bounds[0] <= lower <= curve.estimate <= upper <= bounds[1]
    assert np.isfinite(curve.zeta).all()
    assert np.isfinite(curve.values).all()
    return lower, upper


def test_a_likelihood_that_ends_before_the_bound_of_a_parameter_ends_its_profile(short_series):
    """Beside an intercept one band falls to no likelihood of zero where R becomes singular, at -1/sqrt(2)."""
    fit = mme.lmer("y ~ x + (1 | g)", short_series, residual=mme.Toeplitz("t", "g", bands=1))
    lower, _ = _ends(fit.profile("rho1"), "rho1", (-1.0, 1.0))
    assert lower == pytest.approx(-np.sqrt(0.5), abs=1e-7)


def test_an_estimate_at_zero_with_knots_as_good_beside_it_has_limits(short_series):
    fit = mme.lmer("y ~ x + (1 | g)", short_series, residual=mme.Exponential("t", "g"))
    profile = fit.profile("range")
    # records one apart are uncorrelated to rounding: from there on down to zero the likelihood is the same number
    assert np.exp(-1.0 / profile.estimates[profile.names.index("range")]) < 1e-14
    lower, upper = _ends(profile, "range", (0.0, np.inf))
    assert lower == 0.0
    at = mme.lmer(
        "y ~ x + (1 | g)", short_series, residual=mme.Exponential("t", "g"), phi={"range": upper}, method="ML"
    )
    assert at.criterion - profile.deviance == pytest.approx(1.959964**2, abs=1e-3)


def test_a_profile_beside_a_parameter_at_its_bound_is_that_of_the_model_that_holds_it_there():
    rng, J, m = np.random.default_rng(3), 10, 8
    data = pd.DataFrame({"g": np.repeat(np.arange(J), m), "t": np.tile(np.arange(m), J), "x": rng.normal(size=J * m)})
    noise = rng.normal(size=(J, m))
    for j in range(1, m):
        noise[:, j] += 0.7 * noise[:, j - 1]
    data["y"] = data["x"] + noise.ravel() + np.repeat(rng.normal(size=J), m)
    bounded = mme.lmer("y ~ x + (1 | g)", data, residual=mme.AR1("t", "g"), bounds={"rho": (-0.5, 0.2)})
    held = mme.lmer("y ~ x + (1 | g)", data, residual=mme.AR1("t", "g"), phi={"rho": 0.2})
    assert bounded.criterion == pytest.approx(held.criterion, rel=1e-12)
    for name in ("x", "sigma"):
        np.testing.assert_allclose(bounded.profile(name).confint(), held.profile(name).confint(), rtol=1e-6)


def test_a_profile_of_a_deviation_beside_bounds_of_its_ratio_is_refused(short_series):
    fit = mme.lmer("y ~ x + (1 | g)", short_series, bounds={"g.(Intercept)": (0.0, 5.0)})
    with pytest.raises(mme.MMEError, match=r"beside bounds of g.\(Intercept\), its ratio to sigma"):
        fit.profile("sd_(Intercept)|g")


@pytest.mark.parametrize("size", [1.0, 1e4, 1e7, 1e8])
def test_the_parameters_of_a_knot_are_numbers_wherever_its_deviance_is(size):
    """At large variances of crossed factors Cholesky's factor may fail where the likelihood does not."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": rng.integers(0, 5, 16).astype(str), "h": rng.integers(0, 4, 16).astype(str)})
    data["y"] = rng.normal(size=16)
    fit = mme.lmer("y ~ 1 + (1 | g) + (1 | h)", data, method="ML")
    deviance = Deviance(Joint(fit.internals.model, fit.internals.objective))
    for theta in (size * np.array([1.0, 1.0]), size * np.array([1.0, 0.3]), np.array([size, 0.0])):
        at = Point(theta, np.zeros(0))
        assert np.isfinite(deviance(at))
        assert np.isfinite(deviance.parameters(at)).all()
        held = mme.lmer("y ~ 1 + (1 | g) + (1 | h)", data, method="ML", theta=theta)
        assert deviance.parameters(at)[2:] == pytest.approx([held.sigma, *held.beta], rel=1e-6)


def test_a_held_deviation_is_theta_times_sigma_and_theta_is_a_number_where_sigma_is_none(short_series):
    fit = mme.lmer("y ~ x + (1 | g)", short_series)
    own = fit.internals
    maximum = Maximum.of(Joint(own.model, own.objective), fit.theta, np.zeros(0), own.fixed_names)
    question = maximum.question("sd_(Intercept)|g")
    for sigma in (0.3, 1.0, 2.5):
        at = question.point(np.append(question.start[:-1], sigma / maximum.sigma), 0.7)
        assert at.sigma == pytest.approx(sigma, rel=1e-15)
        assert at.theta * at.sigma == pytest.approx([0.7], rel=1e-12)
    assert np.isfinite(question.point(np.append(question.start[:-1], 0.0), 0.7).theta).all()


@pytest.mark.parametrize("z", [3.0, 18.7, 40.0, 1e3])
def test_what_is_free_beside_a_held_correlation_has_room_however_near_to_one_it_is(z):
    """A first step of zero is none for a search: near one a correlation does not move with its coordinate."""
    structure = mme.Unstructured(["a", "b", "c"] * 3, np.repeat([1, 2, 3], 3)).bind(np.asarray, 9)
    for x in (np.array([-0.5493, -0.5493, -z, 0.0, 0.0]), np.array([z, z, 0.1, 0.0, 0.0])):
        for at in range(structure.k):
            held = hold_residual(structure, x, at)
            assert (held.radius > 0.0).all()
            reason = bobyqa(Counted(lambda free: float(free @ free), held.start, None), held.start, held.radius)
            assert "invalid" not in reason


def test_correlations_beside_a_held_one_begin_with_steps_of_about_a_hundredth():
    """A tenth of the radius of their coordinates, as it moves them: correlations of 0.7 to 0.9 move by less."""
    structure = mme.Unstructured(["a", "b", "c"] * 3, np.repeat([1, 2, 3], 3)).bind(np.asarray, 9)
    for at in range(3):
        radius = hold_residual(structure, np.array([0.9, 0.9, 0.9, 0.2, -0.3]), at).radius[:2]
        assert ((radius > 0.005) & (radius < 0.02)).all()


@pytest.mark.parametrize("name", ["sd_(Intercept)|Subject", "sd_Days|Subject", "sigma", "Days"])
@pytest.mark.parametrize(
    "bounds", [{"sigma": (20.0, 100.0)}, {"sd_Days|Subject": (2.0, 90.0)}, {"sd_(Intercept)|Subject": (5.0, 30.0)}]
)
def test_a_question_beside_bounds_begins_at_the_estimate(name, bounds):
    """Whatever is bounded, each of its coordinates begins where the maximum stands: none is moved to another."""
    fit = mme.lmer("Reaction ~ Days + (Days || Subject)", mme.load("sleepstudy"), method="ML", bounds=bounds)
    own = fit.internals
    question = Maximum.of(Joint(own.model, own.objective), fit.theta, np.zeros(0), own.fixed_names).question(name)
    at = question.point(question.start, question.estimate)
    np.testing.assert_allclose(at.theta, fit.theta, rtol=1e-6)
    assert at.sigma in (None, pytest.approx(fit.sigma, rel=1e-6))


def test_no_point_of_a_question_beside_bounds_of_a_deviation_lies_beyond_them():
    """A deviation is theta times sigma: sigma is among the coordinates though the model has it at its best."""
    name, (low, high) = "sd_Days|Subject", (2.0, 7.0)
    fit = mme.lmer(
        "Reaction ~ Days + (Days || Subject)", mme.load("sleepstudy"), method="ML", bounds={name: (low, high)}
    )
    own = fit.internals
    question = Maximum.of(Joint(own.model, own.objective), fit.theta, np.zeros(0), own.fixed_names).question("Days")
    rng = np.random.default_rng(1)
    for step in rng.normal(size=(20, question.start.size)):
        at = question.point(question.start + step, question.estimate)
        assert low * (1.0 - 1e-12) <= at.theta[1] * abs(at.sigma) <= high * (1.0 + 1e-12)


def test_a_parameter_of_residuals_is_kept_between_its_own_bounds_and_theta_is_left_alone():
    rng = np.random.default_rng(3)
    g, t = np.repeat(np.arange(20), 5), np.tile(np.arange(5.0), 20)
    y = rng.normal(size=20)[g] + rng.normal(size=100)
    residual = mme.Exponential(t, g, nugget=True)
    fit = mme.fit(y, np.ones((100, 1)), [mme.Term(g, name="g")], residual=residual, bounds={"nugget": (0.1, 0.6)})
    own = fit.internals
    question = Maximum.of(Joint(own.model, own.objective), fit.theta, fit.optimum.phi, own.fixed_names).question(
        own.fixed_names[0]
    )
    structure = own.model.residual
    begun = question.point(question.start, question.estimate)
    np.testing.assert_allclose([*begun.theta, *begun.phi], [*fit.theta, *fit.optimum.phi], rtol=1e-6)
    for step in rng.normal(size=(20, 3)):
        at = question.point(question.start + step, question.estimate)
        assert 0.1 - 1e-12 <= structure.natural(at.phi)[1] <= 0.6 + 1e-12
        np.testing.assert_allclose([*at.theta, at.phi[0]], question.start[:2] + step[:2], rtol=1e-12)


@pytest.mark.parametrize("bounds", [(2.0, 5.0), (-4.0, -1.0), (3.0, np.inf), (-np.inf, -2.0), (0.0, np.inf)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_a_value_between_bounds_has_a_coordinate_that_leads_to_it_and_all_others_stay_between(bounds, share):
    ends = np.clip(bounds, -30.0, 30.0)
    value = ends[0] + share * (ends[1] - ends[0])
    fold = Fold.near(*bounds, value, 0.7)
    assert fold(fold.at(value)) == pytest.approx(value, rel=1e-9, abs=1e-12)
    found = np.array([fold(x) for x in np.linspace(-9.0, 9.0, 50)])
    assert (found >= bounds[0] - 1e-12).all()
    assert (found <= bounds[1] + 1e-12).all()
    assert fold(0.3) == fold(-0.3)


@pytest.mark.parametrize("bounds", [(0.1, 0.8), (0.1, np.inf)])
def test_a_ratio_between_bounds_stays_there_beside_whatever_is_held(bounds):
    data, ratio = mme.load("sleepstudy"), "Subject.(Intercept)"
    own = mme.lmer("Reaction ~ Days + (1 | Subject)", data, method="ML", bounds={ratio: bounds}).internals
    maximum = Maximum.of(Joint(own.model, own.objective), own.theta, np.zeros(0), own.fixed_names)
    for name in ("sigma", "Days"):
        question = maximum.question(name)
        begun = question.point(question.start, question.estimate)
        np.testing.assert_allclose(begun.theta, own.theta, rtol=1e-6)
        found = [question.point(np.array([x]), question.estimate).theta[0] for x in np.linspace(-3.0, 3.0, 41)]
        assert min(found) >= bounds[0] * (1.0 - 1e-12)
        assert max(found) <= bounds[1] * (1.0 + 1e-12)
        assert np.ptp(found) > 0.5


@pytest.mark.parametrize(
    ("bounds", "value", "nearer"),
    [((2.0, 5.0), 3.0, 2.0), ((2.0, 5.0), 3.5, 2.0), ((2.0, 5.0), 4.0, 5.0), ((-5.0, -1.0), -2.0, -1.0)],
)
def test_a_coordinate_is_zero_at_the_bound_that_is_nearer_and_in_the_middle_at_the_lower(bounds, value, nearer):
    assert Fold.near(*bounds, value, 0.7)(0.0) == nearer


def test_a_value_beyond_a_bound_by_rounding_has_the_coordinate_of_the_bound():
    for fold in (Fold.near(2.0, 5.0, 3.0, 0.7), Fold.near(2.0, 5.0, 4.0, 0.7)):
        assert fold(fold.at(5.0 + 1e-9)) == pytest.approx(5.0, rel=1e-14)
        assert fold(fold.at(2.0 - 1e-9)) == pytest.approx(2.0, rel=1e-14)
