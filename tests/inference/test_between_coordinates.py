"""Coordinates of parameters between bounds: where they begin, what they reach, and which others they leave alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mme
from mme.inference.intervals.between import Between
from mme.inference.intervals.deviance import Point
from mme.inference.intervals.question import Question

SLEEP = mme.load("sleepstudy")
FIRST, SLOPE, RATIO = "sd_(Intercept)|Subject", "sd_Days|Subject", "Subject.(Intercept)"
SCALE = np.array([2.0, 5.0])
WIDE = np.linspace(-40.0, 40.0, 801)


def between(bounds: dict, theta=(0.8, 0.2), sigma=30.0, phi=(), residual=None) -> Between:
    """Two deviations of a slope and an intercept, or of an intercept beside correlated residuals."""
    slopes = "1 | Subject" if residual else "Days || Subject"
    model = mme.lmer(f"Reaction ~ Days + ({slopes})", SLEEP, method="ML", bounds=bounds, residual=residual).internals
    own, k = model.model, model.model.k
    return Between(own.bounds, own.named, np.array(theta)[:k], np.array(phi), sigma, SCALE[:k])


def asked(of: Between, *, sigma_last: bool = False) -> Question:
    """All are free: theta times its scale, phi, and sigma over its estimate."""
    k, r = of.theta.size, of.phi.size

    def point(x: np.ndarray, value: float) -> Point:
        return Point(x[:k] / of.scale, x[k : k + r], of.sigma * float(x[-1]) if sigma_last else None, value=value)

    start = np.concatenate([of.theta * of.scale, of.phi, [1.0] * sigma_last])
    off = 0.01 * np.arange(1.0, start.size + 1.0)
    return Question("v", 0.0, (-np.inf, np.inf), 0.1, start, off, np.zeros(start.size, dtype=bool), point)


def folded(of: Between, *, sigma_last: bool = False) -> tuple[Question, Question]:
    """The question before and after."""
    k, r = of.theta.size, of.phi.size
    before, none = asked(of, sigma_last=sigma_last), [-1] * sigma_last
    thetas, phis = [*range(k), *[-1] * r, *none], [*[-1] * k, *range(r), *none]
    return before, of(before, np.array(thetas), np.array(phis), sigma_last)


def along(question: Question, j: int, value: float = 0.0) -> list[Point]:
    """Points where coordinate j goes far on both sides, and the others stay."""
    return [question.point(np.where(np.arange(question.start.size) == j, x, question.start), value) for x in WIDE]


def test_a_question_has_the_bounds_of_its_own_parameter_and_of_no_other():
    of = between({SLOPE: (2.0, 9.0), "sigma": (10.0, 60.0)})
    assert of.limited((0.0, np.inf), "natural", 1) == (2.0, 9.0)
    assert of.limited((3.0, 8.0), "natural", 1) == (3.0, 8.0)
    assert of.limited((0.0, np.inf), "natural", 0) == (0.0, np.inf)
    assert of.limited((0.0, np.inf), "sigma", 0) == (10.0, 60.0)
    assert of.limited((-1.0, 1.0), "phi", 1) == (-1.0, 1.0)
    assert (of.of_sigma, of.asks_for_sigma) == ((10.0, 60.0), True)
    variances = between({"V_res": (100.0, 3600.0)})
    assert (variances.of_sigma, variances.asks_for_sigma) == ((10.0, 60.0), False)


def test_a_deviation_is_refused_beside_bounds_of_its_own_ratio_alone():
    of = between({RATIO: (0.1, 2.0)})
    with pytest.raises(mme.MMEError, match="its ratio to sigma"):
        of.limited((0.0, np.inf), "natural", 0)
    assert of.limited((0.0, np.inf), "natural", 1) == (0.0, np.inf)
    assert of.limited((-1.0, 1.0), "phi", 0) == (-1.0, 1.0)
    assert of.limited((0.0, np.inf), "sigma", 0) == (0.0, np.inf)
    assert (of.of_sigma, of.asks_for_sigma) == ((0.0, np.inf), False)


@pytest.mark.parametrize("bounds", [(1.0, np.inf), (1.0, 70.0), (0.0, 31.0), (29.0, np.inf)])
def test_sigma_begins_at_its_estimate_and_goes_from_bound_to_bound(bounds):
    of = between({"sigma": bounds})
    before, after = folded(of, sigma_last=True)
    assert after.point(after.start, 0.3).sigma == pytest.approx(30.0, rel=1e-12)
    found = np.array([at.sigma for at in along(after, 2)])
    assert found.min() == pytest.approx(bounds[0], abs=0.5)
    assert found.min() >= bounds[0] * (1.0 - 1e-12)
    assert found.max() <= bounds[1] * (1.0 + 1e-12)
    assert found.max() >= min(bounds[1] - 0.5, 1000.0)
    np.testing.assert_array_equal(after.start[:2], before.start[:2])
    np.testing.assert_array_equal(after.even, [False, False, True])


def test_sigma_that_is_no_coordinate_or_has_no_bounds_leaves_the_question_as_it_is():
    for bounds, sigma_last in (({"sigma": (10.0, 60.0)}, False), ({RATIO: (0.1, 2.0)}, True)):
        before, after = folded(between(bounds), sigma_last=sigma_last)
        for name in ("start", "radius", "even"):
            np.testing.assert_array_equal(getattr(after, name)[1:], getattr(before, name)[1:])
        assert after.point(after.start, 0.0).sigma == before.point(before.start, 0.0).sigma


@pytest.mark.parametrize("bounds", [(20.0, 28.0), (20.0, np.inf), (0.0, 25.0)])
@pytest.mark.parametrize("shares", [0.01, 0.5, -1.0, 1.0, 2.0])
def test_a_deviation_goes_from_bound_to_bound_whatever_sigma_is(bounds, shares):
    of = between({FIRST: bounds})
    before, after = folded(of, sigma_last=True)
    begun = after.point(after.start, 0.4)
    np.testing.assert_allclose([*begun.theta, begun.sigma, begun.value], [*of.theta, of.sigma, 0.4], rtol=1e-12)
    moved = replace(after, start=np.append(after.start[:-1], shares))
    found = along(moved, 0)
    deviations = np.array([at.theta[0] * abs(at.sigma) for at in found])
    assert deviations.min() == pytest.approx(bounds[0], abs=0.5)
    assert deviations.min() >= bounds[0] * (1.0 - 1e-12)
    assert deviations.max() <= bounds[1] * (1.0 + 1e-12)
    assert deviations.max() >= min(bounds[1] - 0.5, 200.0)
    assert {(at.theta[1], at.sigma) for at in found} == {(before.start[1] / SCALE[1], shares * of.sigma)}
    at_zero = after.point(np.append(after.start[:-1], 0.0), 0.0)
    assert np.isfinite(at_zero.theta).all()
    assert at_zero.sigma == 0.0


@pytest.mark.parametrize("sigma_last", [True, False])
@pytest.mark.parametrize("bounds", [(0.7, 0.9), (0.7, np.inf), (0.0, 0.9)])
def test_a_ratio_goes_from_bound_to_bound_whatever_sigma_is(bounds, sigma_last):
    before, after = folded(between({RATIO: bounds}), sigma_last=sigma_last)
    found = np.array([at.theta for at in along(after, 0)])
    assert found[:, 0].min() == pytest.approx(bounds[0], abs=0.01)
    assert found[:, 0].max() >= min(bounds[1] - 0.01, 10.0)
    assert found[:, 0].min() >= bounds[0] * (1.0 - 1e-12)
    assert found[:, 0].max() <= bounds[1] * (1.0 + 1e-12)
    assert set(found[:, 1]) == {before.start[1] / SCALE[1]}
    at = after.point(np.append(after.start[:-1], 2.0), 0.0) if sigma_last else after.point(after.start, 0.0)
    assert at.theta[0] == pytest.approx(0.8, rel=1e-12)


@pytest.mark.parametrize("bounds", [(0.1, 0.6), (0.0, 0.6), (0.1, 1.0)])
def test_a_parameter_of_residuals_goes_from_bound_to_bound_or_to_its_own_end(bounds):
    residual = mme.Exponential("Days", "Subject", nugget=True)
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, method="ML", residual=residual)
    structure = fit.internals.model.residual
    phi = structure.coordinates(np.array([2.0, 0.3]))
    of = between({"nugget": bounds}, phi=phi, residual=residual)
    before, after = folded(of)
    begun = after.point(after.start, 0.0)
    np.testing.assert_allclose([*begun.theta, *begun.phi], [of.theta[0], *phi], rtol=1e-9)
    found = np.array([structure.natural(at.phi) for at in along(after, 2)])
    assert found[:, 1].min() == pytest.approx(bounds[0], abs=0.01)
    assert found[:, 1].max() == pytest.approx(bounds[1], abs=0.01)
    assert found[:, 1].min() >= bounds[0] - 1e-12
    assert found[:, 1].max() <= bounds[1] + 1e-12
    np.testing.assert_allclose(found[:, 0], 2.0, rtol=1e-12)
    np.testing.assert_array_equal(after.start[:2], before.start[:2])
    if bounds == (0.1, 1.0):  # the coordinate has no upper end: it is the root of the way from the lower
        way = phi[1] - structure.coordinates(np.array([2.0, 0.1]))[1]
        assert after.start[2] ** 2 == pytest.approx(way, rel=1e-9)


def test_a_first_step_moves_what_is_far_from_its_bound_by_its_radius_and_at_the_bound_by_a_quarter_of_it():
    """d(x^2) = 2 x dx: dx = off / (2 x), and sqrt(off) / 2 where x is zero."""
    of = between({FIRST: (15.0, np.inf)})
    before, after = folded(of, sigma_last=True)
    unit, off = of.sigma / SCALE[0], before.radius[0]
    x = np.sqrt((24.0 - 15.0) / unit)
    assert after.start[0] == pytest.approx(x, rel=1e-12)
    assert after.radius[0] == pytest.approx(off / (2.0 * x), rel=1e-12)
    one = after.point(after.start + after.radius * [1.0, 0.0, 0.0], 0.0)
    assert (one.theta[0] - of.theta[0]) * SCALE[0] == pytest.approx(off, rel=0.02)
    np.testing.assert_array_equal(after.start[1:], before.start[1:])
    np.testing.assert_array_equal(after.radius[1:], before.radius[1:])
    np.testing.assert_array_equal(after.even, [True, False, False])
    at_bound = replace(of, theta=np.array([15.0 / of.sigma, 0.2]))
    before, after = folded(at_bound, sigma_last=True)
    assert after.start[0] == 0.0
    one = after.point(after.start + after.radius * [1.0, 0.0, 0.0], 0.0)
    assert (one.theta[0] - at_bound.theta[0]) * SCALE[0] == pytest.approx(off / 4.0, rel=1e-9)


def test_beside_a_known_sigma_bounds_that_hold_nothing_back_leave_a_profile_as_it_is():
    data, sigma = SLEEP[SLEEP["Days"] < 4], 30.0
    free, kept = (
        mme.lmer("Reaction ~ Days + (1 | Subject)", data, method="ML", sigma=sigma, bounds=bounds)
        for bounds in (None, {FIRST: (5.0, 90.0)})
    )
    np.testing.assert_allclose(kept.profile("Days").confint(), free.profile("Days").confint(), rtol=1e-6)
