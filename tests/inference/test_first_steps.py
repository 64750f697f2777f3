"""How far a question steps first, and how far off its others may be: by formulas of errors and of units."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import mme
from mme.inference.intervals.around import Around, around
from mme.inference.intervals.generalised_held import GeneralisedMaximum
from mme.inference.intervals.held import Maximum
from mme.inference.intervals.slices import hold_residual
from mme.search.joint import Joint

SLEEP = mme.load("sleepstudy")


def maximum(formula: str, **options) -> Maximum:
    own = mme.lmer(formula, SLEEP, method="ML", **options).internals
    return Maximum.of(Joint(own.model, own.objective), own.theta, own.optimum.phi, own.fixed_names)


def test_sigma_steps_by_half_its_standard_error():
    """Var(log sigma) = 1 / (2 n) where theta is held: half of it is a quarter of the deviance."""
    of = maximum("Reaction ~ Days + (1 | Subject)")
    asked, n = of.question("sigma"), len(SLEEP)
    assert asked.step == pytest.approx(0.5 * of.sigma / np.sqrt(2.0 * n), rel=1e-9)
    base = of.deviance(asked.point(asked.start, of.sigma))
    rises = [of.deviance(asked.point(asked.start, of.sigma + by * asked.step)) - base for by in (-1.0, 1.0)]
    np.testing.assert_allclose(rises, 0.25, rtol=0.1)


@pytest.mark.parametrize("options", [{}, {"bounds": {"sd_Days|Subject": (1.0, 90.0)}}])
def test_sigma_beside_a_deviation_is_in_units_of_its_estimate_and_its_own_error_off(options):
    of = maximum("Reaction ~ Days + (Days || Subject)", **options)
    for name in ["sd_(Intercept)|Subject", *(["Days"] if options else [])]:
        asked = of.question(name)
        assert asked.start[-1] == 1.0
        assert asked.radius[-1] == pytest.approx(1.0 / np.sqrt(2.0 * len(SLEEP)), rel=1e-12)
        assert not asked.even[-1]  # at zero there is no likelihood
        for share in (0.5, 1.2, 3.0):
            at = asked.point(np.append(asked.start[:-1], share), asked.estimate)
            assert at.sigma == pytest.approx(share * of.sigma, rel=1e-12)


def test_a_correlation_steps_by_a_tenth():
    assert maximum("Reaction ~ Days + (Days | Subject)").question("cor_Days.(Intercept)|Subject").step == 0.1


@pytest.mark.parametrize("formula", ["Reaction ~ Days + (Days || Subject)", "Reaction ~ Days + (Days | Subject)"])
def test_half_a_standard_error_of_a_slopes_deviation_is_about_a_quarter_of_the_deviance(formula):
    of = maximum(formula)
    asked = of.question("sd_Days|Subject")
    base = of.deviance(asked.point(asked.start, asked.estimate))
    for by in (-1.0, 1.0):
        assert 0.12 < of.deviance(asked.point(asked.start, asked.estimate + by * asked.step)) - base < 0.4


@pytest.mark.parametrize("off", [1e-6, 1e-3])
def test_what_is_given_by_its_root_is_as_far_off_as_its_square(off):
    """(x + r)^2 - x^2 = off where that is small, r^2 = off / 4 where x is zero; orthonormal columns have no unit."""
    of = maximum("Reaction ~ Days + (Days | Subject)")
    at = of.names.index("cor_Days.(Intercept)|Subject")
    made = around(of.model, of.theta, at, of.scale, np.full(3, off))
    assert made.rooted.all()
    np.testing.assert_allclose((made.start + made.radius) ** 2 - made.start**2, off, rtol=0.01)
    zero = around(of.model, np.zeros(3), at, of.scale, np.full(3, off))
    np.testing.assert_array_equal(zero.start, 0.0)
    np.testing.assert_allclose(zero.radius**2, off / 4.0, rtol=1e-9)
    deviation = around(of.model, of.theta, 0, of.scale, np.full(3, off))
    assert deviation.held.moved.all()
    np.testing.assert_array_equal(deviation.scale, 1.0)


def test_the_range_of_a_process_has_no_unit_of_a_column_beside_a_held_deviation():
    rng, t, x = np.random.default_rng(2), np.repeat(np.arange(12.0), 6), np.tile(np.linspace(-1.0, 1.0, 6), 12)
    y = rng.normal(size=12).cumsum()[t.astype(int)] + x * rng.normal(size=12)[t.astype(int)] + rng.normal(size=72)
    term = mme.Term.ou(t, np.zeros(72, dtype=int), np.column_stack([np.ones(72), 5.0 * x]))
    own = mme.fit(y, np.ones((72, 1)), [term], method="ML").internals
    of = Maximum.of(Joint(own.model, own.objective), own.theta, own.optimum.phi, own.fixed_names)
    for at in range(3):
        made = around(of.model, of.theta, at, of.scale, of.radius)
        assert (made.scale[-1], made.start[-1]) == (1.0, of.theta[-1])


@pytest.mark.parametrize(("value", "expected"), [(3.0, 0.3), (-3.0, 0.3), (1e-5, 1e-6), (0.0, 1e-9)])
def test_what_has_no_units_steps_by_a_tenth_of_itself_and_never_by_nothing(value, expected):
    for bounds, step in (((0.0, np.inf), expected), ((-np.inf, np.inf), expected), ((-1.0, 1.0), 0.1)):
        part = SimpleNamespace(times_sigma=[False], natural_bounds=np.array([bounds]))
        around = Around(part, 0, slice(0, 1), None, *[np.zeros(0)] * 1, None, *[np.zeros(0)] * 5, 7.0)
        assert around.step(value) == pytest.approx(step, rel=1e-12)


def test_a_parameter_of_residuals_steps_as_a_tenth_of_the_radius_of_its_coordinate_moves_it():
    of = maximum("Reaction ~ Days + (1 | Subject)", residual=mme.AR1("Days", "Subject"))
    (name,) = of.model.residual.names
    structure, phi = of.model.residual, of.phi
    beside = structure.natural(phi + 0.1 * structure.radius())
    assert of.question(name).step == pytest.approx(abs(float(beside[0] - structure.natural(phi)[0])), rel=1e-9)
    np.testing.assert_allclose(of.question("Days").radius[-1:], 0.1 * structure.radius(), rtol=1e-12)
    far = replace(of, phi=np.array([40.0]), values=np.where(np.array(of.names) == name, 1.0, of.values))
    assert far.question(name).step == 1e-8  # it is one to rounding, wherever its coordinate is


def test_what_is_free_beside_a_held_parameter_of_residuals_is_as_far_off_as_a_tenth_of_a_radius_moves_it():
    alone = mme.AR1("Days", "Subject")
    data = SLEEP.assign(half=np.where(SLEEP["Days"] > 4, "late", "early"))
    both = [alone, mme.Heterogeneous("half")]
    structure = mme.lmer("Reaction ~ Days + (1 | Subject)", data, method="ML", residual=both)
    structure = structure.internals.model.residual
    x = np.array([0.4, 0.3])
    for at in range(2):
        np.testing.assert_allclose(
            hold_residual(structure, x, at).radius, np.delete(0.1 * structure.radius(), at), rtol=1e-12
        )
    joint = mme.Unstructured(["a", "b", "c"] * 3, np.repeat([1, 2, 3], 3)).bind(np.asarray, 9)
    x = np.array([0.9, 0.5, 0.2, 0.2, -0.3])
    moved = [joint.natural(x + step)[j] - joint.natural(x)[j] for j, step in enumerate(np.diag(0.1 * joint.radius()))]
    np.testing.assert_allclose(hold_residual(joint, x, 0).radius[:2], np.abs(moved)[1:3], rtol=1e-9)


def fitted(hessian: np.ndarray) -> SimpleNamespace:
    """What a description of a maximum reads of a generalised fit: theta, two gamma and no tau."""
    psi, free = np.array([0.5, 1.0, 2.0]), np.ones(3, dtype=bool)
    problem = SimpleNamespace(
        sizes=lambda: np.array([2.0]), family=SimpleNamespace(parameter_names=lambda data: ()), data=None
    )
    model = mme.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, method="ML").internals.model
    searched = SimpleNamespace(at=SimpleNamespace(at=SimpleNamespace(x=psi)), free=np.flatnonzero(free))
    return SimpleNamespace(
        model=model,
        problem=problem,
        searched=searched,
        estimates=SimpleNamespace(hessian=hessian),
        fixed_names=("(Intercept)", "Days"),
        optimum=SimpleNamespace(tau=np.zeros(0)),
    )


CURVED = np.array([[90.0, 0.1, 0.0], [0.1, 0.4, 0.2], [0.0, 0.2, 5.0]])


def test_a_hessian_that_is_curved_along_all_parameters_is_kept_however_little():
    found = GeneralisedMaximum.of(fitted(CURVED))
    np.testing.assert_array_equal(found.hessian, CURVED)
    np.testing.assert_allclose(found.radius, 2.0 * np.sqrt(2.0 / 90.0), rtol=1e-12)


@pytest.mark.parametrize("entry", [0.0, -3.0, np.nan, np.inf])
def test_a_hessian_that_is_not_gives_way_to_the_sizes_of_the_columns(entry):
    """Three tenths are a standard error of theta times its size, and of the others."""
    for at in range(3):
        hessian = CURVED.copy()
        hessian[at, at] = entry
        found = GeneralisedMaximum.of(fitted(hessian))
        np.testing.assert_allclose(found.hessian, np.diag(2.0 * (np.array([2.0, 1.0, 1.0]) / 0.3) ** 2), rtol=1e-12)
        np.testing.assert_allclose(found.radius, 0.3, rtol=1e-12)


@pytest.mark.parametrize(("curvature", "radius"), [(1e-6, 0.3), (8.0 / 0.01**2, 0.01), (1e20, 1e-3)])
def test_theta_is_its_error_off_but_between_a_thousandth_and_three_tenths(curvature, radius):
    found = GeneralisedMaximum.of(fitted(np.diag([curvature, 1.0, 1.0])))
    np.testing.assert_allclose(found.radius, radius, rtol=1e-12)


def test_the_error_of_a_parameter_is_the_most_that_an_error_of_another_moves_it_and_never_zero():
    """By exp(a) - b / 100, an error upwards of each; what nothing moves: a hundred-millionth of its size, or of one."""
    found = GeneralisedMaximum.of(fitted(np.diag([8.0, 50.0, 2.0])))

    class Read(GeneralisedMaximum):
        def values(self, psi: np.ndarray) -> np.ndarray:
            return np.array([np.exp(psi[1]) - 0.01 * psi[2], 0.3, -40.0])

    of = Read(found.fit, np.zeros(3), found.hessian, found.scale, found.radius, found.names)
    assert of.error(0, 1.0) == pytest.approx(np.exp(0.2) - 1.0, rel=1e-12)
    assert of.error(1, 0.3) == pytest.approx(1e-8, rel=1e-12)
    assert of.error(2, -40.0) == pytest.approx(4e-7, rel=1e-12)
