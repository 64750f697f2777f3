"""Variance as a power of the fitted mean: a fixed point, and the likelihood at it."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mme

BODYWEIGHT = Path(__file__).parents[3] / "shared" / "field" / "data" / "bodyweight.csv"


def growing(seed=1):
    rng = np.random.default_rng(seed)
    g, x = np.divmod(np.arange(120), 6)
    mean = 5.0 + 2.0 * x + rng.normal(size=20)[g]
    return pd.DataFrame({"g": g, "x": x, "y": mean + 0.2 * mean**0.8 * rng.normal(size=120)})


@pytest.mark.parametrize("random", [True, False])
def test_the_fit_is_that_of_a_covariate_that_is_its_own_fitted_values(random):
    data = growing()
    fit = mme.lmer("y ~ x + (1 | g)", data, residual=mme.PowerOfMean(random=random))
    data["mean"] = fit.predict(random=random)
    again = mme.lmer("y ~ x + (1 | g)", data, residual=mme.PowerOfCovariate("mean"))
    assert fit.criterion == pytest.approx(again.criterion, abs=1e-6)
    assert fit.residual["power"] == pytest.approx(again.residual["power"], abs=1e-4)
    np.testing.assert_allclose(fit.fitted, again.fitted, rtol=1e-6)
    assert fit.sigma == pytest.approx(again.sigma, rel=1e-4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + (1 | g)", "y ~ x * f"])
def test_the_criterion_is_never_above_that_of_equal_variances(seed, formula):
    """At any mean the power may be zero, so that a fixed point is no higher; means of 100 have powers of 100."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(8), 5)
    mean = 100.0 + 0.3 * (seed % 3) * rng.normal(size=8)[g]
    data = pd.DataFrame({"g": g, "x": rng.normal(size=40), "f": rng.choice(list("ab"), 40)})
    data["y"] = mean + rng.normal(size=40)
    fit = mme.lmer(formula, data, residual=mme.PowerOfMean())
    equal = mme.lmer(formula, data)
    assert fit.criterion <= equal.criterion + 1e-6
    logs = np.log(np.abs(fit.fitted))
    at = np.exp(logs.mean() * fit.residual["power"]) if abs(logs.mean()) <= 50.0 * logs.std() else 1.0
    assert 0.5 < fit.sigma * at / equal.sigma < 2.0


def test_a_power_of_a_mean_that_does_not_vary_is_said_to_be_open():
    data = growing()
    with pytest.warns(mme.MMEWarning, match="the fitted values do not vary"):
        fit = mme.lmer("y ~ 1 + (1 | g)", data, residual=mme.PowerOfMean(random=False))
    assert fit.criterion == pytest.approx(mme.lmer("y ~ 1 + (1 | g)", data).criterion, abs=1e-8)
    assert fit.optimum.verdict == "flat"
    assert "the power of them is not determined" in str(fit.optimum)


def test_it_goes_with_a_correlation_and_into_a_file(tmp_path):
    data = growing()
    fit = mme.lmer("y ~ x", data, residual=mme.AR1("x", "g") * mme.PowerOfMean())
    assert list(fit.residual) == ["rho", "power"]
    fit.save(tmp_path / "mean.mme")
    assert mme.load_fit(tmp_path / "mean.mme").criterion == fit.criterion
    held = mme.lmer("y ~ x", data, residual=mme.AR1("x", "g") * mme.PowerOfMean(), phi={"power": 0.0})
    assert held.criterion == pytest.approx(mme.lmer("y ~ x", data, residual=mme.AR1("x", "g")).criterion, abs=1e-6)


def test_a_mean_of_zero_is_refused():
    data = growing()
    data["y"] -= data["y"].mean()
    data["y"] *= data["x"] > 0
    data["two"] = np.where(data["x"] < 3, -1.0, 1.0)
    with pytest.raises(mme.MMEError, match=re.escape("PowerOfMean: a fitted value is")):
        mme.lmer(
            "y ~ 0 + two:x + (1 | g)",
            data.assign(y=data["y"] * (data["x"] > 0)),
            residual=mme.PowerOfMean(random=False),
        )


def test_the_fixed_point_is_reached_where_the_variance_is_nearly_all_between_groups():
    data = mme.load("Orthodont")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mme.lmer("distance ~ age + (1 | Subject)", data, residual=mme.PowerOfMean())
    again = mme.lmer(
        "distance ~ age + (1 | Subject)", data.assign(mean=fit.fitted), residual=mme.PowerOfCovariate("mean")
    )
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-6)
    np.testing.assert_allclose(again.fitted, fit.fitted, rtol=1e-6)


@pytest.mark.skipif(not BODYWEIGHT.exists(), reason="needs nlme's BodyWeight")
def test_body_weights_of_rats_have_nlmes_likelihood():
    """Pinheiro and Bates 2000, section 5.2.2: varPower() of the fitted values, -570.9607."""
    data = pd.read_csv(BODYWEIGHT, dtype={"Rat": str, "Diet": str})
    fit = mme.lmer("weight ~ Time * Diet + (Time | Rat)", data, residual=mme.PowerOfMean())
    assert fit.loglik == pytest.approx(-570.9607, abs=1e-4)
