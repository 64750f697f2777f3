"""Where variances are zero, correlations and ranges mean nothing: they are held, and disturb nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme
from mme.generalised.idle import idle

WORDS = ("cs(0 + f | g)", "ar1(0 + factor(t) | g)", "ou(0 + t | g)")


def records(seed: int, n: int = 120) -> pd.DataFrame:
    """Counts that no factor tells apart."""
    rng = np.random.default_rng(seed)
    table = {"g": rng.integers(12, size=n), "x": rng.standard_normal(n), "f": rng.choice(list("abc"), n)}
    table |= {"t": rng.integers(4, size=n)}
    return pd.DataFrame(table | {"y": rng.poisson(np.exp(0.5 + 0.3 * table["x"]))})


@pytest.mark.parametrize("search", ["gradient", "derivative-free"])
@pytest.mark.parametrize("word", WORDS)
def test_without_variance_standard_errors_are_those_of_the_model_without_the_term(word: str, search: str) -> None:
    table = records(10)
    fit = mme.glmer(f"y ~ x + {word}", table, "poisson", search=search)
    assert fit.optimum.verdict == "minimum on the boundary"
    assert (fit.theta[fit.internals.model.diagonal] == 0.0).all()
    mu = np.asarray(fit.fitted)
    X = np.column_stack([np.ones(len(table)), table["x"]])
    information = X.T @ (mu[:, None] * X)  # of Poisson's generalised linear model
    np.testing.assert_allclose(fit.se, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-5)
    assert "positive definite" not in fit.summary()


@pytest.mark.parametrize("word", WORDS)
def test_parameters_that_mean_nothing_have_no_standard_error(word: str) -> None:
    fit = mme.glmer(f"y ~ x + {word}", records(10), "poisson")
    assert fit.confint("wald").drop(["(Intercept)", "x"]).isna().all(axis=None)


def test_a_range_that_goes_to_zero_is_a_limit_and_no_missing_minimum() -> None:
    table = records(1)
    fit = mme.glmer("y ~ x + ou(0 + t | g)", table, "poisson")
    apart = mme.glmer("y ~ x + (1 | g:t)", table, "poisson")
    assert fit.optimum.bound == "ou(t | g).range at its limit (zero)"
    assert abs(fit.criterion - apart.criterion) < 1e-8
    np.testing.assert_allclose(fit.se, apart.se, rtol=1e-5)
    assert np.isnan(fit.confint("wald").loc["range|ou(t | g)"]).all()
    assert "at its limit" in [finding.kind for finding in fit.diagnose()]
    assert "bound of the link" not in [finding.kind for finding in fit.diagnose()]


@pytest.mark.parametrize(
    ("theta", "held"),
    [([0.0, 0.0, 0.5], [False, False, True]), ([0.0, 2.0, 0.5], [False, False, True]), ([1.0, 2.0, 0.5], [False] * 3)],
)
def test_a_correlation_means_nothing_beside_a_standard_deviation_of_zero(theta: list[float], held: list[bool]) -> None:
    table = records(3)
    table["f"] = table["f"].where(table["f"] != "c", "a")
    problem = mme.glmer("y ~ x + cs(0 + f | g)", table, "poisson").internals.problem
    assert idle(problem, np.array(theta)).tolist() == held
