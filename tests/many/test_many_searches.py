"""Many responses searched together: each has the optimum, estimates and degrees of freedom that it has by itself."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.many.adjoint import slopes
from mme.many.curvature import criterion_of
from mme.many.layout import KEPT, MERGED, F, put_response
from mme.many.searches import Searches
from mme.numeric.limits import Limits, within

MODELS = [
    ("Dyestuff", "Yield ~ 1 + (1 | Batch)", {}),
    ("Dyestuff2", "Yield ~ 1 + (1 | Batch)", {}),
    ("sleepstudy", "Reaction ~ Days + (Days | Subject)", {}),
    ("sleepstudy", "Reaction ~ Days + (Days || Subject)", {"method": "ML"}),
    ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", {}),
    ("Pastes", "strength ~ 1 + (1 | batch) + (1 | sample)", {}),
    ("Oats", "yield ~ nitro * Variety + (1 | Block / Variety)", {}),
    ("Machines", "score ~ Machine + (1 | Worker / Machine)", {"sigma": 1.0}),
    ("Orthodont", "distance ~ age * Sex + (age | Subject)", {}),
]


def _fit(name, formula, options):
    data = mme.load(name)
    return mme.lmer(formula, data, **options)


@pytest.mark.parametrize(("name", "formula", "options"), MODELS)
def test_each_response_ends_where_it_ends_by_itself(name, formula, options):
    fit = _fit(name, formula, options)
    Y = fit.simulate(60, seed=3)
    many = fit.refit(Y)
    for i in range(0, 60, 6):
        alone = fit.refit(Y.iloc[:, i] if hasattr(Y, "iloc") else Y[:, i], start_here=False)
        assert many.criterion[i] == pytest.approx(alone.criterion, abs=1e-7)
        np.testing.assert_allclose(many.beta[i], alone.beta, atol=1e-4 * float(np.max(alone.se)))
        assert many.sigma[i] == pytest.approx(alone.sigma, rel=1e-4)
        assert many.singular[i] == bool(alone.optimum.boundary)
        T, own = fit.internals.model.T(many.theta[i]), fit.internals.model.T(alone.theta)
        for one, other in zip(T, own, strict=True):
            np.testing.assert_allclose(one @ one.T, other @ other.T, atol=2e-3 * max(1.0, np.abs(other).max() ** 2))


@pytest.mark.parametrize(("name", "formula", "options"), MODELS[:5])
def test_errors_and_degrees_of_freedom_are_those_of_each_fit(name, formula, options):
    fit = _fit(name, formula, options)
    searches = Searches.of(fit.internals.objective)
    Y = np.ascontiguousarray(np.asarray(fit.simulate(8, seed=5)).T)
    p = len(fit.beta)
    found = searches.search(Y, np.eye(p), freedom=True)
    for i, y in enumerate(Y):
        alone = fit.refit(y)
        np.testing.assert_allclose(np.sqrt(found.variances[i]), alone.se, rtol=2e-5)
        np.testing.assert_allclose(found.df[i], alone.coefficients()["df"], rtol=2e-4)


def test_results_do_not_depend_on_threads_nor_on_what_is_handled_at_a_time():
    fit = _fit(*MODELS[2])
    Y = fit.simulate(150, seed=1)
    one, two = fit.refit(Y, workers=1), fit.refit(Y, workers=2)
    with within(Limits(response_numbers=20_000)):
        pieces = fit.refit(Y, workers=1)
    for other in (two, pieces):
        np.testing.assert_allclose(other.criterion, one.criterion, rtol=1e-12)
    np.testing.assert_array_equal(two.theta, one.theta)


def test_a_level_of_a_million_million_changes_the_intercept_alone():
    fit = _fit(*MODELS[2])
    Y = np.asarray(fit.simulate(60, seed=2))
    here, far = fit.refit(Y), fit.refit(Y + 1e9)
    np.testing.assert_allclose(far.criterion, here.criterion, atol=1e-5)
    np.testing.assert_allclose(far.beta[:, 0] - 1e9, here.beta[:, 0], atol=1e-5)


def test_models_of_another_kind_are_refitted_one_by_one():
    data = mme.load("Orthodont")
    fit = mme.lmer("distance ~ age + (1 | Subject)", data, residual=mme.Exponential("age", "Subject", nugget=False))
    assert Searches.of(fit.internals.objective) is None
    Y = fit.simulate(3, seed=1)
    many = fit.refit(Y)
    alone = fit.refit(np.asarray(Y)[:, 1])
    assert many.criterion[1] == pytest.approx(alone.criterion, abs=1e-8)
    assert many[1].criterion == pytest.approx(alone.criterion, abs=1e-8)


def test_bootstrap_of_replicates_together_is_that_of_each_by_itself():
    fit = _fit(*MODELS[2])
    together = fit.bootstrap(60, seed=4)
    with within(Limits(responses_together=10**9)):
        alone = fit.bootstrap(60, seed=4, workers=1)
    np.testing.assert_allclose(together.values[:, -2:], alone.values[:, -2:], rtol=1e-8)
    np.testing.assert_allclose(together.values, alone.values, atol=2e-3 * np.nanstd(alone.values, axis=0).max())
    np.testing.assert_array_equal(together.singular, alone.singular)


def test_what_cannot_be_refitted_says_why():
    fit = _fit(*MODELS[2])
    Y = np.array(fit.simulate(3, seed=1))
    Y[4, 1] = np.nan
    with pytest.raises(mme.MMEError, match="response 1 has nan in row 4"):
        fit.refit(Y)
    Y[:, 1] = 7.0
    with pytest.raises(mme.MMEError, match="response 1: the fixed effects fit"):
        fit.refit(Y)
    with pytest.raises(mme.MMEError, match="170 rows for the 180 rows"):
        fit.refit(np.zeros((170, 2)))


def test_a_saddle_at_zero_is_left():
    fit = _fit(*MODELS[0])
    batches = np.repeat(np.arange(6.0), 5)
    y = np.asarray(fit.simulate(60, seed=1)) + 1e4 * batches[:, None]
    assert not fit.refit(y).singular.any()


def test_crossed_slopes_whose_remainder_is_a_larger_matrix():
    subject, item = (part.ravel() for part in np.meshgrid(np.arange(12), np.arange(8), indexing="ij"))
    design = {"subject": subject, "item": item, "x": (subject + item) % 2 - 0.5}
    formula, varcorr = "~ x + (x | subject) + (x | item)", {"subject": [1.0, 0.7], "item": [0.8, 0.5]}
    y = mme.simulate_model(formula, design, beta=[0.0, 1.0], varcorr=varcorr, nsim=61, seed=1)
    fit = mme.lmer("y " + formula, {**design, "y": y[60]})
    many = fit.refit(np.asarray(y)[:, :60])
    again = fit.refit(np.asarray(y)[:, :60])
    np.testing.assert_array_equal(many.theta, again.theta)
    for i in range(0, 60, 12):
        assert many.criterion[i] == pytest.approx(fit.refit(np.asarray(y)[:, i]).criterion, abs=1e-6)


def test_crossed_factors_without_balance_are_searched_together():
    rng = np.random.default_rng(4)
    design = {name: rng.integers(0, levels, 150) for name, levels in (("a", 17), ("b", 13), ("c", 5))}
    design["x"] = rng.normal(size=150)
    formula = "~ x + (x | a) + (1 | b) + (1 | c)"
    truth = {"a": [1.0, 0.5], "b": [0.8], "c": [0.3]}
    y = np.asarray(mme.simulate_model(formula, design, beta=[0.0, 1.0], varcorr=truth, nsim=60, seed=1))
    fit = mme.lmer("y " + formula, {**design, "y": y[:, 0]})
    assert Searches.of(fit.internals.objective) is not None
    many = fit.refit(y)
    for i in range(0, 60, 12):
        assert many.criterion[i] == pytest.approx(fit.refit(y[:, i], start_here=False).criterion, abs=1e-6)


def _designed(seed):
    """Two crossed factors, all their cells or most, and covariates that are even, odd or random over these."""
    rng = np.random.default_rng(seed)
    a, b = (
        part.ravel()
        for part in np.meshgrid(*(np.arange(k) for k in rng.integers(5, 9, 2) * 2 - seed % 2), indexing="ij")
    )
    times = int(rng.integers(1, 3))
    a, b = np.tile(a, times), np.tile(b, times)
    kept = np.sort(rng.permutation(a.size)[: a.size - int(rng.choice([0, 0, 0, 3]))])
    even = (a + b) % 2
    of_x = [even - 0.5, even, a % 2, b % 3, (a * 2 + b) % 4, rng.normal(size=a.size), b % 2 + a % 2]
    x, z = (np.asarray(of_x[i], dtype=float)[kept] for i in (seed // 2 % 7, rng.integers(7)))
    return {"a": a[kept], "b": b[kept], "c": (a + b)[kept] % 5, "x": x, "z": z, "y": rng.normal(size=kept.size)}


@pytest.mark.parametrize(
    ("formula", "k"),
    [
        ("x + (x | a) + (1 | b)", 4),
        ("x * z + (x | a) + (z | b)", 6),
        ("x + (x || a) + (x || b)", 4),
        ("z + (0 + x | a) + (1 | b) + (1 | c)", 3),
        ("x + (x + z | a) + (1 | b)", 7),
        ("1 + (1 | a) + (1 | b) + (1 | a:c)", 3),
    ],
)
@pytest.mark.filterwarnings("ignore::mme.MMEWarning")
def test_the_compiled_criterion_is_that_of_the_objective(formula, k):
    compiled = 0
    for seed in range(14):
        objective = mme.lmer("y ~ " + formula, _designed(seed), theta=np.ones(k)).internals.objective
        searches = Searches.of(objective)
        if searches is None:  # covariates that are alike within all levels leave variances to be told apart
            continue
        compiled += 1
        objective, layout = searches.objective, searches.shared.design
        at, design, room = layout.at, layout.design, layout.room.copy()
        put_response(searches.shared.sums(objective.basis.N[-1:])[0], at, room)
        for most in (0.9, 2.3):
            x = layout.unit * np.linspace(0.4, most, layout.unit.size)
            assert criterion_of(x, at, design, room) == pytest.approx(objective(x), abs=1e-8), (formula, seed)
    assert compiled > 7


def _crossed(rows=slice(None)):
    one, two = (part.ravel()[rows] for part in np.meshgrid(np.arange(10), np.arange(9), indexing="ij"))
    data = {"one": one, "two": two, "x": (one + two) % 2 - 0.5}
    return mme.lmer("y ~ x + (x | one) + (x | two)", {**data, "y": np.sin(np.arange(one.size) ** 2)})


@pytest.mark.parametrize("kind", ["alone", "merged", "turned", "wide"])
def test_slopes_are_those_of_the_criterion_of_the_objective(kind):
    data = mme.load("sleepstudy" if kind == "alone" else "Machines")
    fits = {
        "alone": lambda: mme.lmer("Reaction ~ Days + (Days | Subject)", data),
        "merged": lambda: mme.lmer("score ~ Machine + (1 | Worker / Machine)", data, method="ML"),
        "turned": _crossed,
        "wide": lambda: _crossed(np.flatnonzero(np.random.default_rng(1).random(90) < 0.8)),
    }
    searches = Searches.of(fits[kind]().internals.objective)
    objective, layout = searches.objective, searches.shared.design
    at, design, room = layout.at, layout.design, layout.room.copy()
    put_response(searches.shared.sums(objective.basis.N[-1:])[0], at, room)
    x = layout.unit * np.linspace(0.9, 1.7, layout.unit.size)
    found = np.empty(x.size)
    assert (at[KEPT] > 0) == (kind == "wide")
    assert at[at[MERGED] : at[MERGED] + at[F]].any() == (kind in ("merged", "turned"))
    assert criterion_of(x, at, design, room) == pytest.approx(objective(x), abs=1e-8)
    slopes(at, design, room, found)
    for i, h in enumerate(1e-5 * layout.unit):
        step = np.eye(x.size)[i] * h
        by_values = (objective(x + step) - objective(x - step)) / (2.0 * h)
        assert found[i] * layout.unit[i] == pytest.approx(by_values * layout.unit[i], abs=1e-5)


# Designs in which a search from the lowest start alone ends in a higher valley for the response named.
VALLEYS = [(28, "~ f + (x | g)", 18), (82, "~ f + (x | g)", 7), (70, "~ f + (x | g) + (1 | h)", 0)]


@pytest.mark.parametrize(("seed", "formula", "hard"), VALLEYS)
def test_no_response_ends_above_its_own_search(seed, formula, hard):
    rng = np.random.default_rng(seed)
    g, h, n = rng.integers(3, 12), rng.integers(2, 8), int(rng.integers(20, 90))
    data = {"g": rng.integers(0, g, n), "h": rng.integers(0, h, n), "x": rng.normal(size=n)}
    data["f"] = rng.choice(list("abc"), n)
    of_g, of_h = (rng.normal(size=(J, 30)) * rng.gamma(1, 1, 30) * rng.choice([0, 1, 1, 5], 30) for J in (g, h))
    Y = rng.normal(size=(n, 30)) + of_g[data["g"]] + of_h[data["h"]] * data["x"][:, None]
    chosen = [hard, *range(0, 30, 6)]
    many = mme.lmer_many(formula, data, Y[:, chosen], ddf="none", method="ML")
    for j, criterion in zip(chosen, many.fits["criterion"], strict=True):
        alone = mme.lmer(f"y {formula}", data | {"y": Y[:, j]}, method="ML")
        assert criterion <= alone.criterion + 1e-7
