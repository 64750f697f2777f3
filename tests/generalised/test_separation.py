"""Likelihoods without a finite maximum: what is separated is named, and everything else is that of the limit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import mme
from tests.glmm import glmm_case

RNG = np.random.default_rng(1)
N = 200
GROUP, X = np.repeat(np.arange(20), 10), RNG.normal(size=N)
LEVEL = np.where(GROUP < 5, "a", np.where(GROUP < 10, "b", "c"))


def table(**columns: Any) -> pd.DataFrame:
    """Twenty groups of ten records."""
    return pd.DataFrame({"g": GROUP, "x": X, "f": LEVEL, **columns})


def quiet(*given: Any, **options: Any) -> mme.GeneralisedFit:
    """A fit whose warnings are looked at elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return mme.glmer(*given, **options)


def test_complete_separation_is_named() -> None:
    case = glmm_case("sep_complete")
    with pytest.warns(mme.MMEWarning, match=r"Complete separation.*120 of 120 records.*'x' to infinity"):
        fit = case.fit()
    assert fit.optimum.verdict == "no finite maximum"
    assert 0.0 <= fit.criterion < 1e-6
    assert np.isinf(fit.se).all()


def test_quasi_separation_names_its_level_and_ends_at_the_limit() -> None:
    case = glmm_case("sep_quasi")
    with pytest.warns(mme.MMEWarning, match=r"Quasi-complete.*'f2lo' to minus.*f2lo = 0 all 30 records are successes"):
        fit = case.fit()
    assert fit.criterion == pytest.approx(case.json["peers"]["glmmTMB"]["objective"], abs=1e-6)
    assert fit.varcorr["g"].sd[0] == pytest.approx(0.5797, abs=1e-4)
    assert "without bound: '(Intercept)' to infinity" in " ".join(fit.summary().split())


def test_what_is_not_separated_is_the_fit_without_the_separated_records() -> None:
    data = table(y=np.where(LEVEL == "b", 0, RNG.poisson(3.0 * np.exp(0.3 * np.sin(GROUP)), N)))
    fit, rest = quiet("y ~ x + f + (1 | g)", data, "poisson"), data[data["f"] != "b"]
    without = mme.glmer("y ~ x + f + (1 | g)", rest, "poisson")
    assert np.isinf(fit.se["fb"])
    assert fit.criterion == pytest.approx(without.criterion, abs=1e-8)
    common = list(without.beta.index)
    np.testing.assert_allclose(fit.beta[common], without.beta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fit.se[common], without.se, rtol=1e-4)
    np.testing.assert_allclose(fit.varcorr["g"].sd, without.varcorr["g"].sd, rtol=1e-4)


@pytest.mark.parametrize("se", ["hessian", "rx"])
@pytest.mark.parametrize("origin", [0.0, 40.0])
def test_standard_errors_beside_a_separated_column_are_those_without_its_records(se: str, origin: float) -> None:
    rng = np.random.default_rng(4)
    data = {
        "g": np.repeat(np.arange(16), 10),
        "x": origin + rng.normal(size=160),
        "z": np.tile([0.0] * 7 + [1.0] * 3, 16),
    }
    eta = 0.5 * (data["x"] - origin) + rng.normal(size=16)[data["g"]]
    data["y"] = np.where(data["z"] == 1.0, 1, rng.random(160) < 1.0 / (1.0 + np.exp(-eta)))
    fit, there = quiet("y ~ x + z + (1 | g)", data, "binomial"), data["z"] == 0.0
    alone = mme.glmer("y ~ x + (1 | g)", {name: values[there] for name, values in data.items()}, "binomial")
    table, own = fit.coefficients(se=se), alone.coefficients(se=se)
    assert np.isinf(table["se"]["z"])
    np.testing.assert_allclose(table["se"][own.index], own["se"], rtol=1e-4)
    np.testing.assert_allclose(table["estimate"][own.index], own["estimate"], atol=1e-5)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_records_that_are_all_zero_are_said_to_be_so(family: str) -> None:
    with pytest.warns(mme.MMEWarning, match=r"Complete separation.*'\(Intercept\)' to minus infinity"):
        fit = mme.glmer("y ~ x + (1 | g)", table(y=np.zeros(N)), family)
    assert np.isfinite(fit.beta).all()
    assert fit.fitted.max() < 1e-6


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_separation_is_found_for_every_link(link: str) -> None:
    with pytest.warns(mme.MMEWarning, match="separation"):
        mme.glmer("y ~ x + (1 | g)", table(y=(X > 0.0).astype(float)), mme.Binomial(link=link))


def test_levels_of_one_answer_have_an_infinite_variance() -> None:
    with pytest.warns(mme.MMEWarning, match="Every level of 'g' has one answer alone"):
        fit = mme.glmer("y ~ 1 + (1 | g)", table(y=(GROUP % 2).astype(float)), "binomial")
    assert fit.optimum.verdict == "no finite maximum"


@pytest.mark.parametrize("steep", [2.0, 8.0])
def test_steep_data_are_not_said_to_be_separated(steep: float) -> None:
    y = np.random.default_rng(5).binomial(1, 1.0 / (1.0 + np.exp(-steep * X)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mme.glmer("y ~ x + f + (1 | g)", table(y=y), "binomial")
    assert fit.optimum.converged
    assert np.isfinite(fit.se).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 40))
def test_separation_is_found_exactly_where_a_linear_program_finds_it(seed: int, n: int) -> None:
    """The program of all records, which knows nothing of the search."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (n, 2)).astype(float)
    y = (x @ rng.normal(size=2) + rng.normal(size=n) > 0.0).astype(float)
    D = np.column_stack([np.ones(n), x])
    if np.linalg.matrix_rank(D) < 3:
        return
    S = (2.0 * y - 1.0)[:, None] * D
    known = -linprog(-S.sum(axis=0), A_ub=-S, b_ub=np.zeros(n), bounds=(-1, 1)).fun > 1e-7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        fit = mme.glm_fit(y, D, [mme.Term(np.arange(n) % 4)], "binomial")
    pure = "one answer alone" in fit.optimum.separation
    assert pure or (fit.optimum.verdict == "no finite maximum") == known


def test_huge_counts_and_tiny_probabilities_are_fitted_to_the_end() -> None:
    rng = np.random.default_rng(3)
    b = 0.2 * rng.normal(size=20)[GROUP]
    large = mme.glmer("y ~ x + (1 | g)", table(y=rng.poisson(1e9 * np.exp(0.1 * X + b)).astype(float)), "poisson")
    assert large.beta["x"] == pytest.approx(0.1, abs=1e-5)
    small = table(s=rng.poisson(3.0 * np.exp(0.2 * X + b)), f=np.full(N, 10**12))
    tiny = mme.glmer("cbind(s, f) ~ x + (1 | g)", small, "binomial")
    counts = mme.glmer("s ~ x + (1 | g)", small, "poisson")
    np.testing.assert_allclose(tiny.beta["x"], counts.beta["x"], rtol=1e-6)
    np.testing.assert_allclose(tiny.fitted * 1e12, counts.fitted, rtol=1e-6)
    for fit in (large, tiny):
        assert fit.optimum.converged
        assert np.isfinite(fit.se).all()


def test_weights_of_zero_count_for_nothing_and_not_all_of_them_may_be_zero() -> None:
    data = table(y=np.random.default_rng(2).poisson(3.0, N).astype(float))
    weights = np.where(GROUP == 3, 0.0, 1.0)
    fit = mme.glmer("y ~ x + (1 | g)", data, "poisson", weights=weights)
    without = mme.glmer("y ~ x + (1 | g)", data[GROUP != 3], "poisson")
    assert fit.criterion == pytest.approx(without.criterion, abs=1e-9)
    np.testing.assert_allclose(fit.beta, without.beta, rtol=1e-6, atol=1e-8)
    without_a = mme.glmer("y ~ f + (1 | g)", data, "poisson", weights=np.where(LEVEL == "b", 0.0, 1.0))
    assert without_a.dropped == ("fb",)
    rest = mme.glmer("y ~ f + (1 | g)", data[LEVEL != "b"], "poisson")
    np.testing.assert_allclose(without_a.beta, rest.beta, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(without_a.se, rest.se, rtol=1e-5)
    with pytest.raises(mme.MMEError, match="all weights are zero"):
        mme.glmer("y ~ x + (1 | g)", data, "poisson", weights=np.zeros(N))


def hard(seed: int) -> tuple[str, pd.DataFrame, str, np.ndarray | None]:
    """A formula, records, family and weights: few records, steep effects, columns of any size."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 80))
    J = int(rng.integers(2, max(3, n // 2)))
    g, h = rng.integers(0, J, n), rng.integers(0, 3, n)
    x, f = rng.normal(size=n) * 10.0 ** rng.integers(-3, 4), rng.choice(list("abc"), n)
    family, scale = str(rng.choice(["binomial", "poisson"])), rng.choice([0.3, 1, 3, 10])
    eta = np.clip(scale * (rng.normal(size=J)[g] + 0.5 * (f == "a")) - rng.choice([0, 3]), -30, 20)
    y = rng.binomial(1, 1 / (1 + np.exp(-eta))) if family == "binomial" else rng.poisson(np.exp(eta))
    weights = rng.choice([0.0, 1.0, 2.0], n) if rng.choice([None, "w"]) is not None else None
    right = ["1 + (1|g)", "x + (1|g)", "f + (1|g)", "x + f + (x|g)", "x + (1|g) + (1|h)", "f*x + (x||g)"]
    return f"y ~ {rng.choice(right)}", pd.DataFrame({"y": y, "x": x, "f": f, "g": g, "h": h}), family, weights


@pytest.mark.parametrize("seed", [8, 37, 1054, 1097, 1197, 5096, 5233, *range(100, 112)])
def test_nothing_is_nan_in_silence(seed: int) -> None:
    formula, data, family, weights = hard(seed)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            fit = mme.glmer(formula, data, family, weights=weights)
        except mme.MMEError:
            return
        numbers = [*fit.se, *fit.predict(interval="confidence")["se"]]
        fit.summary()
    assert np.isfinite([fit.criterion, *fit.beta, *fit.predict()]).all()
    warned = [one for one in said if issubclass(one.category, mme.MMEWarning)]
    assert len(warned) == len(said)
    assert warned or not np.isnan(numbers).any()


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_categories_that_a_column_decides_are_separated(link: str) -> None:
    with pytest.warns(mme.MMEWarning, match="Complete separation: every record is in its category"):
        fit = mme.glmer("y ~ x + (1 | g)", table(y=np.digitize(X, [-0.5, 0.0, 0.5])), mme.Ordinal(link=link))
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.criterion == pytest.approx(0.0, abs=1e-5)
    fit.summary()


def test_variances_that_grow_without_end_are_no_minimum_and_are_named() -> None:
    rng, n = np.random.default_rng(72), 40
    data = pd.DataFrame({"g": rng.integers(7, size=n), "x": rng.normal(size=n), "f": rng.choice(list("abc"), n)})
    eta = 0.5 * data["x"] + rng.normal(size=7)[data["g"]] + (data["f"] == "b") * rng.normal(size=7)[data["g"]]
    data["y"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
    with pytest.warns(mme.MMEWarning, match=r"standard deviations of .* of 'fb' by 'g' on the scale of the logit link"):
        fit = mme.glmer("y ~ x + f + (f | g)", data)
    assert fit.optimum.verdict == "no finite maximum"
    assert quiet("y ~ x + f + (1 | g)", data, "binomial").optimum.verdict.startswith("minimum")
    with pytest.warns(mme.MMEWarning, match=r"standard deviations of .* of 'fb' by 'g' on the scale of the logit link"):
        assert mme.glmer("y ~ x + f + (0 + f | g)", data).optimum.verdict == "no finite maximum"


@pytest.mark.parametrize("origin", [0.0, 2012.0, 1e5])
@pytest.mark.parametrize("family", ["poisson", "binomial", "nbinom2"])
def test_a_covariate_far_from_zero_makes_no_variance_endless(family: str, origin: float) -> None:
    """A slope of calendar years has an intercept at year 0, of a standard deviation of hundreds."""
    rng, n = np.random.default_rng(1), 120
    g, t = rng.integers(0, 6, n), rng.integers(-2, 4, n)
    counts = rng.poisson(np.exp(0.4 + (0.3 * rng.normal(size=6))[g] + (0.3 * rng.normal(size=6))[g] * t))
    y = np.minimum(counts, 1) if family == "binomial" else counts
    fit = quiet("y ~ 1 + (year | g)", {"y": y, "g": g, "year": t + origin}, family)
    about_zero = quiet("y ~ 1 + (t | g)", {"y": y, "g": g, "t": t}, family)
    assert fit.optimum.verdict == about_zero.optimum.verdict
    assert fit.criterion == pytest.approx(about_zero.criterion, abs=1e-6)
