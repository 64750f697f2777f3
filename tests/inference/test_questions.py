"""Questions to a likelihood: one parameter is held, and what is free around it leads back to the maximum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import mme
from mme.inference.intervals.held import Maximum
from mme.search.joint import Joint

SLEEP = mme.load("sleepstudy").query("Subject in ['308', '309', '310', '330', '331', '332', '333', '334']")
SLEEP = SLEEP.assign(Subject=SLEEP["Subject"].astype(str), ms=1000.0 * SLEEP["Days"], small=1e-4 * SLEEP["Reaction"])
FITS = {
    "a slope in small units": ("Reaction ~ ms + (ms | Subject)", {}),
    "a response in small units": ("small ~ Days + (1 | Subject)", {}),
    "two terms": ("Reaction ~ Days + (Days || Subject)", {}),
    "one deviation held": ("Reaction ~ Days + (Days || Subject)", {"hold": {"sd_Days|Subject": 4.0}}),
    "the other deviation held": ("Reaction ~ Days + (Days || Subject)", {"hold": {"sd_(Intercept)|Subject": 20.0}}),
    "sigma known": ("Reaction ~ Days + (Days || Subject)", {"sigma": 30.0}),
    "sigma between bounds": ("Reaction ~ Days + (1 | Subject)", {"bounds": {"sigma": (35.0, 60.0)}}),
    "correlated errors": (
        "Reaction ~ Days + (1 | Subject)",
        {"residual": mme.Exponential("Days", "Subject", nugget=True), "bounds": {"nugget": (0.05, 0.9)}},
    ),
    "errors by half": (
        "Reaction ~ Days + (1 | Subject)",
        {"residual": [mme.AR1("Days", "Subject"), mme.PowerOfCovariate("late")]},
    ),
}
SLEEP = SLEEP.assign(late=1.0 + (SLEEP["Days"] > 4))


@pytest.fixture(scope="module", params=FITS)
def maximum(request) -> Maximum:
    formula, options = FITS[request.param]
    own = mme.lmer(formula, SLEEP, method="ML", **options).internals
    return Maximum.of(Joint(own.model, own.objective), own.theta, own.optimum.phi, own.fixed_names)


def minus_twice_log_density(maximum: Maximum, values: np.ndarray) -> float:
    """-2 log N(y; X beta, Z G Z' + sigma^2 R) of the parameters as they are printed."""
    of, model = dict(zip(maximum.names, values, strict=True)), maximum.model
    sigma = of.get("sigma", model.sigma)
    V = np.zeros((model.n, model.n))
    for term in model.terms:
        Z = np.ones((model.n, 1)) if term.covariates is None else term.covariates
        sd = np.array([of[f"sd_{name}|Subject"] for name in term.columns])
        C = np.eye(sd.size)
        for name, value in of.items():
            if name.startswith("cor_") and sd.size == 2:
                C[0, 1] = C[1, 0] = value
        V += np.equal.outer(term.codes, term.codes) * (Z @ (np.outer(sd, sd) * C) @ Z.T)
    structure = model.residual
    R = np.eye(model.n)
    if structure is not None:
        phi = structure.coordinates(np.array([of[name] for name in structure.names]))
        R = structure.covariance(phi, np.arange(model.n))
    mean = model.X @ values[len(values) - model.X.shape[1] :]
    return float(-2.0 * multivariate_normal(mean, V + sigma**2 * R).logpdf(model.y))


def held_of(maximum: Maximum) -> dict[str, float]:
    """Deviations that are held, and at what."""
    model = maximum.model
    own = [] if model.held is None else zip(maximum.names, model.held.values.tolist(), strict=False)
    return {name: value for name, value in own if not np.isnan(value)}


def test_beside_a_held_deviation_sigma_is_free_and_at_zero_there_is_a_point(maximum):
    """All deviations are free but those that are held and the one that is asked for."""
    held = held_of(maximum)
    for name in [] if not held else maximum.names[:3]:
        if name in held:
            continue
        question = maximum.question(name)
        assert question.start.size == 3 - len(held) - 1
        at_zero = question.point(np.append(question.start[:-1], 0.0), question.estimate)
        assert np.isfinite(at_zero.theta).all()
    for name in [] if not held else maximum.names[3:]:
        assert maximum.question(name).start.size == 3 - len(held)


def test_at_the_estimate_a_question_leads_back_to_the_maximum(maximum):
    for name, value in zip(maximum.names, maximum.values, strict=True):
        question = maximum.question(name)
        assert question.estimate == value
        assert question.bounds[0] <= value <= question.bounds[1]
        found = maximum.deviance.parameters(question.point(question.start, value))
        np.testing.assert_allclose(found, maximum.values, rtol=1e-6, atol=1e-9 * np.abs(maximum.values).max())


def test_wherever_the_others_stand_the_parameter_has_its_value_and_the_deviance_is_that_of_the_density(maximum):
    rng, held = np.random.default_rng(1), held_of(maximum)
    for name, estimate in zip(maximum.names, maximum.values, strict=True):
        if name in held:
            continue  # it is held as it is
        at, question = maximum.names.index(name), maximum.question(name)
        low, high = question.bounds
        for step in rng.normal(size=(3, question.start.size)):
            value = float(np.clip(estimate + rng.normal() * question.step, low + 1e-3, high - 1e-3))
            point = question.point(question.start + step * question.radius, value)
            found = maximum.deviance.parameters(point)
            assert found[at] == pytest.approx(value, rel=1e-9)
            for one, stays in held.items():
                assert found[maximum.names.index(one)] == pytest.approx(stays, rel=1e-9)
            expected = minus_twice_log_density(maximum, found)
            assert maximum.deviance(point) == pytest.approx(expected, rel=1e-9)


def test_steps_and_radii_are_of_the_size_of_what_the_likelihood_says(maximum):
    """Half a standard error along a fixed effect raises the deviance by a quarter; no first step by more than three."""
    p = maximum.se.size
    for at, name in enumerate(maximum.names):
        question = maximum.question(name)
        base = maximum.deviance(question.point(question.start, question.estimate))
        points = [question.point(question.start, question.estimate + by * question.step) for by in (-1.0, 1.0)]
        points += [question.point(question.start + own, question.estimate) for own in np.diag(question.radius)]
        rises = np.array([maximum.deviance(point) for point in points]) - base
        stays = maximum.model.held is not None or maximum.between is not None
        assert (rises[2 if stays else 0 :] > 5e-4).all()
        assert (rises < 3.0).all()
        if at >= len(maximum.names) - p:
            np.testing.assert_allclose(rises[:2], 0.25, rtol=0.01)
