"""The iterative engine where covariances are singular: variances of zero, correlations of one, related levels alike."""

import numpy as np
import pandas as pd
import pytest

import mme
from mme.numeric.limits import Limits, within


def table(seed, of_x):
    """Records of 120 x 20 levels without an intercept of the first factor: slopes on x, or nothing."""
    rng = np.random.default_rng(seed)
    n, a, b = 1500, 120, 20
    data = pd.DataFrame({"a": rng.integers(a, size=n), "b": rng.integers(b, size=n), "x": rng.standard_normal(n)})
    data["k"] = np.array(["p", "q", "r"])[rng.integers(3, size=n)]
    effects = of_x * rng.standard_normal(a)[data.a] * data.x + rng.standard_normal(b)[data.b]
    return data.assign(y=1.0 + 0.3 * data.x + effects + rng.standard_normal(n))


def related(b):
    K = 0.5 ** np.abs(np.subtract.outer(np.arange(b), np.arange(b)))
    return mme.Relationship(covariance=K, levels=np.arange(b))


CASES = {
    "slopes without intercepts": ("y ~ x + (x | a) + (1 | b)", 0.4, {}),
    "a correlation of one": ("y ~ x + (1 | a) + cs(0 + k | b)", 0.0, {}),
    "related levels that are alike": ("y ~ x + (1 | b) + (1 | c)", 0.0, {"relationship": {"c": related(30)}}),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_singular_covariances_are_found_as_by_the_exact_engine(kind, seed):
    formula, of_x, options = CASES[kind]
    data = table(seed, of_x)
    data["c"] = np.random.default_rng(seed + 10).integers(30, size=len(data))
    exact, fit = (mme.lmer(formula, data, engine=engine, **options) for engine in ("exact", "iterative"))
    assert fit.optimum.converged, fit.optimum.reason
    assert fit.engine.stochastic.error < 0.03
    there = mme.lmer(formula, data, engine="exact", theta=fit.theta, **options)
    assert there.criterion == pytest.approx(exact.criterion, abs=1e-3)


def test_steps_that_come_to_no_end_state_no_error():
    with within(Limits(probed_steps=2)):
        fit = mme.lmer("y ~ x + (1 | a) + (1 | b)", table(1, 0.4), engine="iterative")
    assert not fit.optimum.converged
    assert "came to no end" in fit.optimum.reason
    assert "is not known: " in str(fit.engine.stochastic)
