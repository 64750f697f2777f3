"""Valleys of the parameters of residuals: a search ends no higher than beside values that are held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mme
from mme.residual import Variance


def series(seed: int, groups: int = 7, size: int = 7, rho: float = 0.5) -> pd.DataFrame:
    """Autoregressive series about levels of their own, with a covariate that spreads them."""
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(groups), size), np.tile(np.arange(size), groups)
    e = rng.normal(size=g.size)
    for i in np.flatnonzero(t).tolist():
        e[i] = rho * e[i - 1] + np.sqrt(1.0 - rho**2) * e[i]
    v = np.exp(0.7 * rng.normal(size=g.size))
    return pd.DataFrame(
        {"g": g, "t": t, "x": rng.normal(size=g.size), "v": v, "y": e + 2.0 * rng.normal(size=groups)[g]}
    )


@pytest.mark.parametrize("kind", ["spherical", "linear"])
@pytest.mark.parametrize("seed", range(2))
def test_a_correlation_that_ends_at_a_distance_has_no_lower_valley_between_two_others(seed: int, kind: str) -> None:
    """The criterion bends where the range passes a distance: there is one valley for each, or fewer."""
    data, residual = series(seed), mme.Spatial(kind, ["t"], "g")
    found = mme.lmer("y ~ x + (1 | g)", data, residual=residual)
    for one in (0.9, *np.arange(1.1, 8.0, 0.6).tolist(), 12.0, 30.0):
        beside = mme.lmer("y ~ x + (1 | g)", data, residual=residual, phi={"range": one})
        assert found.criterion <= beside.criterion + 1e-6


@pytest.mark.parametrize("rho", [-0.6, 0.3, 0.8])
def test_an_autoregression_with_moving_average_has_no_lower_valley_at_other_signs(rho: float) -> None:
    data, residual = series(5, rho=rho), mme.ARMA("t", "g")
    found = mme.lmer("y ~ 1 + (1 | g)", data, residual=residual)
    for phi in (-0.99, -0.7, -0.2, 0.2, 0.7, 0.99):
        for theta in (-0.95, -0.5, 0.0, 0.5, 0.95):
            beside = mme.lmer("y ~ 1 + (1 | g)", data, residual=residual, phi={"phi": phi, "theta": theta})
            assert found.criterion <= beside.criterion + 1e-6


def test_growth_of_children_has_nlmes_lowest_correlations_of_alternating_signs() -> None:
    """Orthodont, corARMA(form = ~ 1 | Subject, p = 1, q = 1): nlme ends at phi = -1, 0.67 below the valley at 0.96."""
    data = mme.load("Orthodont")
    data = data.assign(visit=data.groupby("Subject").cumcount())
    fit = mme.lmer("distance ~ age * Sex + (1 | Subject)", data, residual=mme.ARMA("visit", "Subject"))
    assert fit.loglik >= -216.0266104 - 1e-6
    assert fit.optimum.verdict == "minimum on the boundary"
    assert fit.residual["phi"] == pytest.approx(-1.0, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_equal_correlations_of_either_sign_are_limits_of_an_autoregression_with_moving_average(seed: int) -> None:
    """phi to -1, theta to 1: corr = -c (-1)^lag, which is compound symmetry of records with signs in turn."""
    data = series(seed, rho=0.0)
    turns = np.where(data.t % 2, -1.0, 1.0)
    arma = mme.fit(turns * data.y, turns[:, None], [], residual=mme.ARMA(data.t, data.g))
    alternating = mme.fit(data.y, np.ones((len(data), 1)), [], residual=mme.CompoundSymmetry(data.g))
    assert alternating.residual["rho"] > 0.3
    assert arma.criterion <= alternating.criterion + 1e-5


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_the_unit_of_a_covariate_of_the_variance_changes_nothing_but_sigma(unit: float) -> None:
    """sd = sigma (c v)^d: beside the random effects what matters is the typical residual, not the one where v = 1."""
    data = series(2).assign(w=lambda d: d.v * unit)
    residual = mme.AR1("t", "g") * mme.PowerOfCovariate("w")
    fit = mme.lmer("y ~ x + (1 | g)", data, residual=residual)
    plain = mme.lmer("y ~ x + (1 | g)", data, residual=mme.AR1("t", "g") * mme.PowerOfCovariate("v"))
    assert fit.optimum.verdict == plain.optimum.verdict
    assert fit.optimum.evaluations < 200
    assert_allclose(fit.criterion, plain.criterion, atol=1e-6)
    assert_allclose(fit.residual["power"], plain.residual["power"], atol=1e-4)
    assert_allclose(fit.se, plain.se, rtol=1e-4)


def test_correlations_of_fewer_groups_than_occasions_beside_effects_that_cross_them_have_no_finite_maximum() -> None:
    """Whitened records have an entry for each level of h; far out the criterion is evaluated by orthogonal factors."""
    rng, T, J = np.random.default_rng(2), 5, 4
    g, t = np.repeat(np.arange(J), T), np.tile(np.arange(T), J)
    data = pd.DataFrame(
        {"y": rng.normal(size=T * J) + rng.normal(size=J)[g], "g": g, "t": t, "h": np.arange(T * J) % 3}
    )
    with pytest.warns(mme.MMEWarning, match="the likelihood has no maximum"):
        fit = mme.lmer("y ~ 1 + (1 | h)", data, residual=mme.Unstructured("t", "g", equal_variances=True))
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.evaluations < 3000


# Series 22: valleys of strong correlations beside powers of the other sign are 8.1 and 2.3 lower than the first.
@pytest.mark.parametrize(
    ("formula", "residual"),
    [
        ("y ~ x + (0 + x | g)", mme.CompoundSymmetry("g") * mme.ExponentialOfCovariate("v")),
        ("y ~ 1 + (1 | g)", mme.AR1("t", "g") * mme.PowerOfCovariate("v")),
    ],
)
def test_a_correlation_beside_a_power_has_no_lower_valley_at_others_of_both(formula: str, residual: object) -> None:
    data = series(22, groups=4, size=4)
    data["y"] *= data.v**-0.8
    found = mme.lmer(formula, data, residual=residual)
    power = found.internals.model.residual.names[1]
    for rho in (-0.2, 0.2, 0.6, 0.9):
        for delta in (-2.0, -1.0, 0.0, 1.0, 2.0):
            beside = mme.lmer(formula, data, residual=residual, phi={"rho": rho, power: delta})
            assert found.criterion <= beside.criterion + 1e-6


def test_powers_that_fit_records_exactly_beside_the_others_are_no_minimum() -> None:
    """Of three fixed effects three records have no residuals as exp(delta v) goes to zero there: digits end first."""
    data = pd.DataFrame(
        {
            "y": [0.22, 0.08, 0.73, 1.88, 1.41, -0.51, -0.07, 0.08, -1.06, -1.64, -0.26, -1.69, -1.98, -0.85],
            "x": [2.01, -0.7, -0.44, 0.16, -0.82, 1.44, -0.62, 0.71, 0.24, -0.5, 0.37, 0.35, -0.43, 0.69],
            "v": [6.04, 0.37, 1.16, 0.47, 0.4, 0.59, 0.63, 0.39, 0.34, 0.86, 0.53, 0.68, 1.42, 0.93],
            "g": [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4],
            "f": list("baabbaabbbaaba"),
        }
    )
    residual = mme.CompoundSymmetry("g") * mme.ExponentialOfCovariate("v")
    fit = mme.lmer("y ~ x + f", data, method="ML", residual=residual)
    assert fit.optimum.verdict == "no finite maximum"
    held = mme.lmer("y ~ x + f", data, method="ML", residual=residual, phi={"rho": 0.6, "exponent": -3.0})
    assert held.criterion > fit.criterion + 5.0


class UpTo(mme.RStructure):
    """Standard deviations exp(delta v), which raises where delta is beyond a number."""

    def __init__(self, end: float, error: Exception) -> None:
        self.end, self.error = end, error

    def bind(self, column: object, n: int) -> BoundUpTo:
        return BoundUpTo(n, ("delta",), np.asarray(column("v")), self.end, self.error)


@dataclass(frozen=True, eq=False)
class BoundUpTo(Variance):
    """UpTo with its column."""

    v: np.ndarray
    end: float
    error: Exception

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        return np.zeros(1)

    def natural(self, x: np.ndarray) -> np.ndarray:
        return x

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        if x[0] / self.end > 1.0:
            raise self.error
        return x[0] * self.v


@pytest.mark.parametrize(
    "error", [ValueError("no such delta"), RuntimeError("no end"), ZeroDivisionError(), mme.MMEError("too far")]
)
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + (1 | g)"])
def test_a_users_structure_that_raises_somewhere_ends_no_fit(error: Exception, formula: str) -> None:
    """Beyond the optimum nothing changes; before it, that is where the search ends."""
    data = series(3).assign(v=lambda d: np.minimum(d.v, 3.0))
    data["y"] *= np.exp(-0.4 * data.v)
    free = mme.lmer(formula, data, residual=mme.ExponentialOfCovariate("v"))
    best = free.residual["exponent"]
    beyond = mme.lmer(formula, data, residual=UpTo(-0.05 * np.sign(best), error))
    assert beyond.criterion == pytest.approx(free.criterion, abs=1e-6)
    before = mme.lmer(formula, data, residual=UpTo(0.5 * best, error))
    assert before.residual["delta"] == pytest.approx(0.5 * best, abs=1e-3)
    assert before.criterion > free.criterion


@pytest.mark.parametrize("seed", range(2))
def test_an_exponential_correlation_with_a_nugget_has_no_lower_valley_at_longer_ranges(seed: int) -> None:
    data, residual = series(seed, groups=5, size=5), mme.Exponential("t", "g", nugget=True)
    found = mme.lmer("y ~ x", data, residual=residual)
    for one in (0.3, 1.0, 3.0, 20.0, 300.0):
        for nugget in (0.01, 0.2, 0.7):
            beside = mme.lmer("y ~ x", data, residual=residual, phi={"range": one, "nugget": nugget})
            assert found.criterion <= beside.criterion + 1e-6
