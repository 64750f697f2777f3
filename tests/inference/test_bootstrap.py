"""Parametric bootstrap: exact refits, the same replicates however they are computed, intervals by definition."""

import io
import pickle
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import load_case, load_data
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.errors import MMEError
from mme.inference.intervals import bootstrap as rooms
from mme.inference.intervals import refits
from mme.results.simulate import Simulator
from mme.search.loop import search
from mme.solution.estimates import Estimates

MODELS = [
    "sleepstudy_slope_reml",
    "cake_linear_ml",
    "penicillin_reml",
    "sim_weights_offset_reml",
    "sim_rankdef_reml",
    "oxboys_3x3_reml",
    "pastes_nested_ml",
]


def fitted(name: str) -> mme.Fit:
    return load_case(name).fit()


@pytest.fixture(scope="module")
def slopes() -> mme.Fit:
    return fitted("sleepstudy_slope_reml")


@pytest.fixture(scope="module")
def replicated(slopes):
    return slopes.bootstrap(300, seed=1, workers=1)


# -- the response exchanged ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_an_objective_with_another_response_is_the_objective_of_that_response(name):
    fit = fitted(name)
    rng = np.random.default_rng(0)
    y = fit.internals.model.y.mean() + 10.0 * rng.standard_normal(fit.nobs)
    exchanged, fresh = fit.internals.objective.with_response(y), Objective.of(fit.internals.model.with_response(y))
    for _ in range(5):
        theta = rng.uniform(0.0, 1.5, fit.internals.model.k)
        assert_allclose(exchanged(theta), fresh(theta), rtol=1e-12)
        one, other = Estimates(exchanged, theta), Estimates(fresh, theta)
        assert_allclose(one.beta, other.beta, rtol=1e-10)
        assert_allclose(one.sigma, other.sigma, rtol=1e-12)
        for b, c in zip(one.b, other.b, strict=True):
            assert_allclose(b, c, atol=1e-10 * np.abs(c).max())


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("absorb", [0, 1, None])
def test_every_engine_exchanges_the_response(absorb, dense):
    model = fitted("penicillin_reml").internals.model
    y = np.random.default_rng(1).standard_normal(model.n)
    plan = Plan(absorb, dense)
    exchanged = Objective.of(model, plan=plan).with_response(y)
    fresh = Objective.of(model.with_response(y), plan=plan)
    assert_allclose(exchanged([1.2, 3.0]), fresh([1.2, 3.0]), rtol=1e-12)


def test_an_exchanged_response_leaves_the_first_objective_as_it_was(slopes):
    before = slopes.internals.objective(slopes.theta)
    slopes.internals.objective.with_response(slopes.internals.model.y[::-1].copy())
    assert slopes.internals.objective(slopes.theta) == before
    assert_array_equal(slopes.internals.objective.model.y, slopes.internals.model.y)


@pytest.mark.parametrize("name", MODELS)
def test_a_replicate_is_the_fit_to_its_response(name):
    fit = fitted(name)
    boot = fit.bootstrap(3, seed=5, workers=1)
    simulator = Simulator(fit.internals.estimates)
    for i in range(3):
        rng = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(i,)))
        y = simulator(rng, 1)[:, 0]
        m = fit.internals.model
        again = mme.fit(y, m.X, m.terms, method=m.method, weights=m.weights, offset=m.offset)
        found = Estimates(again.internals.objective, boot.theta[i])
        assert_allclose(found.criterion, again.criterion, atol=1e-6)
        assert_allclose(boot.values[i][-again.beta.size :], again.beta, rtol=1e-3, atol=1e-4)
        assert boot.singular[i] == again.singular


# -- the same replicates ------------------------------------------------------------------------------------------


def test_replicates_depend_on_the_seed_alone(slopes, replicated):
    assert replicated.converged.all()
    fewer = slopes.bootstrap(40, seed=1, workers=1)
    assert_array_equal(fewer.singular, replicated.singular[:40])
    assert_allclose(fewer.values, replicated.values[:40], rtol=2e-5)  # these are searched together, those one by one
    assert_array_equal(slopes.bootstrap(40, seed=1, workers=2).values, fewer.values)
    assert not np.array_equal(slopes.bootstrap(40, seed=2, workers=1).values, fewer.values)
    unseeded = slopes.bootstrap(3, workers=1)
    assert_array_equal(slopes.bootstrap(3, seed=unseeded.seed, workers=1).values, unseeded.values)


def test_processes_that_share_no_memory_make_the_same_replicates(slopes):
    apart = rooms.bootstrap(slopes.internals, 8, 1, 2, False, start_method="spawn")
    assert_array_equal(apart.values, slopes.bootstrap(8, seed=1, workers=1).values)


def test_a_sparse_factor_is_never_forked(slopes):
    """CHOLMOD's threads do not survive a fork: the model is assembled anew in each process."""
    model = fitted("penicillin_reml").internals.model
    sparse = Objective.of(model, plan=Plan(0, False))
    assert sparse.system.elimination.analysis is not None
    assert refits.safe_start_method(sparse) == "spawn"
    related = mme.Term(np.arange(40) // 2, relationship=mme.Relationship(precision=np.eye(20), levels=np.arange(20)))
    assert refits.safe_start_method(mme.objective(np.arange(40.0) % 7, np.ones((40, 1)), [related])) == "spawn"
    if sys.platform == "linux":
        assert refits.safe_start_method(slopes.internals.objective) == "fork"
        assert refits.safe_start_method(Objective.of(model, plan=Plan(0, True))) == "fork"
    refitter = refits.Refitter(model, np.array([1.0, 3.0]), np.zeros(0), sparse.plan, False, 1, sparse)
    other = pickle.loads(pickle.dumps(refitter))
    assert other.known is None
    assert_array_equal(other(range(2))[0], refitter(range(2))[0])


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import mme\n"
        "from mme.inference.intervals import bootstrap\n"
        "fit = mme.lmer('Reaction ~ Days + (1 | Subject)', mme.load('sleepstudy'))\n"
        "try:\n"
        "    bootstrap.bootstrap(fit.internals, 4, 1, 2, False, start_method='spawn')\n"
        "except mme.MMEError as error:\n"
        "    print(error)\n"
    )
    root = Path(mme.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        cwd=root,
        timeout=300,
        check=False,
        env={"PYTHONPATH": str(root), "PATH": ""},
    )
    assert "put the call under  if __name__ == '__main__':  or use workers=1" in run.stdout


# -- what the replicates say --------------------------------------------------------------------------------------


def test_replicates_scatter_about_the_estimates_as_the_standard_errors_say(slopes, replicated):
    table = replicated.summary()
    assert_allclose(table.loc[["(Intercept)", "Days"], "se"], slopes.se, rtol=0.12)
    bias = table["bias"] / table["se"]
    assert (np.abs(bias[["(Intercept)", "Days"]]) < 4.0 / np.sqrt(300)).all()
    assert_allclose(table.loc["sigma", "se"], slopes.sigma / np.sqrt(2.0 * 144.0), rtol=0.12)
    assert (table["n"] == 300).all()


def test_intervals_by_their_definitions(replicated):
    values, estimates = replicated.values, replicated.estimates
    ordered = np.sort(values, axis=0)
    # quantile p is the (n + 1) p-th of n: 0.05 * 301 = 15.05
    low = ordered[14] + 0.05 * (ordered[15] - ordered[14])
    high = ordered[284] + 0.95 * (ordered[285] - ordered[284])
    percentile = replicated.confint(0.9)
    assert_allclose(percentile, np.column_stack([low, high]), rtol=1e-12)
    basic = replicated.confint(0.9, "basic")
    assert_allclose(basic, np.column_stack([2 * estimates - high, 2 * estimates - low]), rtol=1e-12)
    normal = replicated.confint(0.9, "normal")
    middle, se = 2 * estimates - values.mean(axis=0), values.std(axis=0, ddof=1)
    assert_allclose(normal, np.column_stack([middle - 1.6448536 * se, middle + 1.6448536 * se]), rtol=1e-7)


def test_bootstrap_and_profile_intervals_agree_where_both_are_good(slopes):
    boot = slopes.confint("bootstrap", n=300, seed=1, workers=1)
    profile = slopes.confint("profile")
    assert list(boot.index) == list(profile.index)
    width = (profile["upper"] - profile["lower"])[["sigma", "(Intercept)", "Days"]]
    error = np.abs(boot - profile).loc[width.index].max(axis=1) / width
    assert (error < 0.12).all()
    basic = slopes.confint("bootstrap", n=300, seed=1, workers=1, kind="basic")
    assert_allclose(basic + boot[["upper", "lower"]].to_numpy(), 2 * slopes_estimates(slopes), rtol=1e-10)


def slopes_estimates(fit: mme.Fit) -> np.ndarray:
    component = fit.varcorr["Subject"]
    values = [component.sd[0], component.corr[1, 0], component.sd[1], fit.sigma, *fit.beta]
    return np.array(values)[:, None] * np.ones(2)


def test_the_frame_of_replicates(slopes, replicated):
    frame = replicated.replicates
    assert list(frame.columns) == [
        "sd_(Intercept)|Subject",
        "cor_Days.(Intercept)|Subject",
        "sd_Days|Subject",
        "sigma",
        "(Intercept)",
        "Days",
        "theta_Subject.(Intercept)",
        "theta_Subject.Days.(Intercept)",
        "theta_Subject.Days",
        "singular",
        "converged",
    ]
    assert_allclose(frame["theta_Subject.(Intercept)"] * frame["sigma"], frame["sd_(Intercept)|Subject"], rtol=1e-12)
    assert frame["converged"].all()
    assert "300 replicates, seed 1:" in repr(replicated)


def test_singular_refits_are_counted_and_kept():
    fit = fitted("dyestuff2_reml")
    boot = fit.bootstrap(60, seed=3, workers=1)
    assert 20 < boot.singular.sum() < 60  # the true variance is zero
    assert (boot.values[boot.singular, 0] < 1e-3).all()
    assert boot.n_failed == 0
    assert f"{boot.singular.sum()} singular" in repr(boot)


def test_failed_refits_are_counted_not_hidden(slopes):
    calls = [0]

    def unlucky(*arguments):
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise MMEError("no residual variance is left")
        return search(*arguments)

    boot = rooms.bootstrap(slopes.internals, 9, 1, 1, False, searching=unlucky)
    assert boot.n_failed == 3
    assert boot.failures == {"no residual variance is left": 3}
    assert np.isnan(boot.values[2::3]).all()
    assert "3 failed" in repr(boot)
    assert "0 not converged" in repr(boot)
    assert boot.confint().notna().all(axis=None)
    assert (boot.summary()["n"] == 6).all()


def test_a_given_theta_stays_given():
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), theta=[1.2])
    boot = fit.bootstrap(5, seed=1, workers=1)
    assert_array_equal(boot.theta, 1.2)
    assert boot.values[:, 1].std() > 0.0


def test_progress_is_reported(slopes):
    seen = []
    slopes.bootstrap(20, seed=1, workers=1, progress=lambda done, n: seen.append((done, n)))
    assert seen[-1] == (20, 20)
    assert seen == sorted(seen)
    with redirect_stderr(io.StringIO()) as text:
        slopes.bootstrap(20, seed=1, workers=1, progress=True)
    assert "20/20" in text.getvalue()
    assert text.getvalue().endswith("\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be a whole number, at least 1; got 0"),
        ({"n": 1.5}, "n must be a whole number"),
        ({"workers": 0}, "workers must be a whole number"),
    ],
)
def test_what_cannot_be_done_is_said(slopes, options, message):
    with pytest.raises(MMEError, match=message):
        slopes.bootstrap(**options)


def test_kinds_and_levels_are_checked(replicated):
    with pytest.raises(MMEError, match="kind must be one of 'percentile', 'basic', 'normal', 'bca', 'studentised'"):
        replicated.confint(kind="bc")
    with pytest.raises(MMEError, match="level must lie between 0 and 1"):
        replicated.confint(95)


# -- draws --------------------------------------------------------------------------------------------------------


def covariance_of_draws(fit: mme.Fit, n: int) -> np.ndarray:
    draws = Simulator(fit.internals.estimates)(np.random.default_rng(0), n)
    return np.cov(draws)


def test_related_levels_are_drawn_related():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((4, 6))
    K = A @ A.T / 6 + 0.1 * np.eye(4)
    g = np.tile(np.arange(4), 3)
    Z = np.column_stack([np.ones(12), np.repeat([0.0, 1.0, 2.0], 4)])
    term = mme.Term(g, Z, name="g", relationship=mme.Relationship(covariance=K, levels=np.arange(4)))
    T = np.array([[1.5, 0.0], [0.5, 0.8]])
    fit = mme.fit(rng.standard_normal(12), np.ones((12, 1)), [term], theta=[1.5, 0.5, 0.8], sigma=0.7)
    full = fit.internals.model.terms[0].Z.toarray()
    V = 0.49 * (full @ np.kron(K, T @ T.T) @ full.T + np.eye(12))
    assert_allclose(covariance_of_draws(fit, 40_000), V, atol=0.03 * V.max())


def test_residuals_are_drawn_with_their_structure_and_weights():
    rng = np.random.default_rng(2)
    t, g = np.tile(np.arange(4), 3), np.repeat(np.arange(3), 4)
    order = rng.permutation(12)
    w = rng.uniform(0.5, 2.0, 12)
    fit = mme.fit(
        rng.standard_normal(12), np.ones((12, 1)), [], weights=w, residual=mme.AR1(t[order], g[order]), sigma=1.0
    )
    rho = fit.residual["rho"] if "rho" in fit.residual else next(iter(fit.residual.values()))
    same = np.equal.outer(g[order], g[order])
    R = np.where(same, rho ** np.abs(np.subtract.outer(t[order], t[order])), 0.0)
    V = R / np.sqrt(np.outer(w, w))
    assert_allclose(covariance_of_draws(fit, 40_000), V, atol=0.03 * V.max())


def test_a_variance_function_scales_the_draws():
    rng = np.random.default_rng(3)
    stratum = np.repeat(["a", "b"], 20)
    y = np.where(stratum == "a", 1.0, 3.0) * rng.standard_normal(40)
    fit = mme.fit(y, np.ones((40, 1)), [], residual=mme.Heterogeneous(stratum))
    draws = Simulator(fit.internals.estimates)(np.random.default_rng(0), 4000)
    ratio = draws[stratum == "b"].std() / draws[stratum == "a"].std()
    assert_allclose(ratio, np.exp(fit.internals.model.residual.log_sd(fit.internals.objective.phi)).max(), rtol=0.02)


def test_a_residual_structure_is_fitted_again_in_each_replicate():
    data = load_data("Orthodont")
    fit = mme.lmer("distance ~ age + (1 | Subject)", data, residual=mme.Heterogeneous("Sex"))
    boot = fit.bootstrap(6, seed=1, workers=2)
    assert boot.n_failed == 0
    assert np.ptp(boot.theta) > 0.0
    (name,) = fit.residual
    assert np.ptp(boot.replicates[name]) > 0.0
    assert_allclose(boot.summary().loc[name, "estimate"], fit.residual[name])
    assert isinstance(boot.replicates, pd.DataFrame)


@pytest.mark.parametrize("held", ["range", "nugget"])
def test_a_residual_parameter_that_is_given_has_no_spread_and_the_others_have(held):
    data = load_data("Orthodont")
    residual, given = mme.Exponential("age", "Subject", nugget=True), {"range": 5.0, "nugget": 0.3}
    fit = mme.lmer("distance ~ age", data, residual=residual, phi={held: given[held]})
    spread = fit.bootstrap(4, seed=1, workers=1).replicates[["range", "nugget"]].std()
    assert np.isnan(spread[held])
    assert spread.drop(held).item() > 0.0


def test_independent_residuals_are_the_numbers_drawn(slopes):
    z = np.random.default_rng(0).standard_normal((slopes.nobs, 3))
    assert_array_equal(Simulator(slopes.internals.estimates)._noise(z), z)
