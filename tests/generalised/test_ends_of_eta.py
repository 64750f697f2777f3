"""Optima where a link ends, and criteria that fall where a mode ceases to be."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

import mme
from mme.generalised.scores import gradients_by_cluster
from mme.generalised.wall import Walled

G = np.repeat(np.arange(8), 4)
Y = np.array([5, 2, 3, 3, 2, 1, 0, 0, 2, 4, 2, 0, 0, 0, 1, 1, 4, 0, 1, 1, 0, 2, 3, 0, 0, 0, 0, 0, 2, 3, 1, 0])
X = np.random.default_rng(3).normal(size=32)
DATA = {"y": Y, "x": X, "g": G}
FORMULA = "y ~ x + (1 | g)"
IDENTITY = mme.Poisson(link="identity")


@pytest.fixture(scope="module")
def fit() -> mme.GeneralisedFit:
    return mme.glmer(FORMULA, DATA, IDENTITY)


def modes(psi: np.ndarray) -> tuple[float, np.ndarray]:
    """-2 log L by Laplace, zeros going on to negative means, and eta at the modes: by Newton, level by level."""
    theta, fixed, u = psi[0], psi[1] + psi[2] * X, np.zeros(8)
    for _ in range(50):
        eta = fixed + theta * u[G]
        safe = np.where(eta == 0.0, 1e-300, eta)
        slope = np.where(Y > 0, Y / safe, 0.0) - 1.0
        H = 1.0 + theta**2 * np.bincount(G, np.where(Y > 0, Y / safe / safe, 0.0))
        step, t = (theta * np.bincount(G, slope) - u) / H, 1.0
        while ((fixed + theta * (u + t * step)[G])[Y > 0] <= 0.0).any() and t > 1e-9:
            t *= 0.5
        u = u + t * step
    eta = fixed + theta * u[G]
    logs = np.where(Y > 0, Y * np.log(np.where(Y > 0, np.maximum(eta, 1e-300), 1.0)), 0.0)
    value = -2.0 * float(np.sum(logs - eta - scipy.special.gammaln(Y + 1.0))) + u @ u + np.log(H).sum()
    return value, eta


def test_the_optimum_at_the_end_of_the_link_is_that_of_a_constrained_minimiser(fit: mme.GeneralisedFit) -> None:
    end = scipy.optimize.minimize(
        lambda psi: modes(psi)[0],
        [0.4, 1.5, 0.0],
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda psi: modes(psi)[1][Y == 0]},
        options={"ftol": 1e-13, "maxiter": 200},
    )
    eta = modes(end.x)[1]
    assert eta.min() == pytest.approx(0.0, abs=1e-8)  # the bound holds the optimum
    assert fit.criterion == pytest.approx(end.fun, abs=1e-6)
    np.testing.assert_allclose([*fit.theta, *fit.beta], end.x, atol=2e-4)
    assert fit.optimum.verdict == "minimum on the boundary"
    assert fit.optimum.bound == "eta of 1 record at zero, the end of the identity link"
    assert not fit.singular
    assert "At its bound: eta of 1 record" in " ".join(fit.summary().split())
    assert "bound of the link" in fit.diagnose().kinds


def test_what_comes_after_a_fit_at_the_end_of_the_link(fit: mme.GeneralisedFit, tmp_path: Path) -> None:
    assert np.isfinite(fit.se).all()
    assert fit.fitted.min() > 0.0
    assert fit.criterion_at(theta=fit.theta) == pytest.approx(fit.criterion, abs=1e-9)
    other = mme.glmer(FORMULA, DATA, IDENTITY, search="derivative-free")
    assert other.criterion == pytest.approx(fit.criterion, abs=1e-6)
    assert other.optimum.bound == fit.optimum.bound
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    assert again.summary() == fit.summary()
    limits = fit.confint("profile", parameters="x")
    assert again.confint("profile", parameters="x").equals(limits)
    assert limits.loc["x", "lower"] < fit.beta["x"] < limits.loc["x", "upper"]
    assert again.refit(Y).criterion == pytest.approx(fit.criterion, abs=1e-6)


def test_standard_errors_hold_the_bound(fit: mme.GeneralisedFit) -> None:
    """The bound is eta of record i zero: moved along it, the Hessian of the criterion is that of the reported ones."""
    psi = np.array([*fit.theta, *fit.beta])
    i = int(np.argmin(modes(psi)[1]))

    def on_the_bound(free: np.ndarray) -> np.ndarray:
        start = scipy.optimize.brentq(
            lambda b: modes(np.array([free[0], b, free[1]]))[1][i], psi[1] - 0.1, psi[1] + 0.1, xtol=1e-14
        )
        return np.array([free[0], start, free[1]])

    at, h = psi[[0, 2]], np.array([1e-2, 1e-2])
    values = {(a, b): modes(on_the_bound(at + h * [a, b]))[0] for a in (-1, 0, 1) for b in (-1, 0, 1)}
    across = (values[1, 1] - values[1, -1] - values[-1, 1] + values[-1, -1]) / 4.0
    H = np.array(
        [
            [values[1, 0] + values[-1, 0] - 2.0 * values[0, 0], across],
            [across, values[0, 1] + values[0, -1] - 2.0 * values[0, 0]],
        ]
    )
    se = np.sqrt(2.0 * np.linalg.inv(H / np.outer(h, h))[1, 1])
    assert fit.se["x"] == pytest.approx(se, rel=2e-3)


def test_inverse_gaussian_means_can_be_infinite() -> None:
    rng = np.random.default_rng(8)
    x = np.append(np.tile([0.0, 1.0, 2.0], 8)[:-1], 3.0)
    y = rng.wald(np.array([0.1, 5.0, 5.0, 50.0])[x.astype(int)], 100.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = {"y": y, "x": x, "g": np.repeat(np.arange(6), 4)}
        fit = mme.glmer("y ~ x + (1 | g)", data, mme.InverseGaussian("inverse"))
    assert "end of the inverse link" in fit.optimum.bound
    assert np.isfinite([fit.criterion, *fit.beta, *fit.se]).all()


@pytest.fixture(scope="module")
def steep() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(12)
    groups, size = int(rng.integers(4, 12)), int(rng.integers(3, 8))
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=g.size) * rng.choice([0.1, 1, 100])
    mean = rng.uniform(0.3, 4) + 0.5 * (x > 0) + rng.uniform(0, 0.6, groups)[g]
    rng.poisson(mean)
    for _ in range(2):
        rng.gamma(2, mean / 2)
    rng.wald(mean, 2 * mean)
    return {"y": rng.wald(mean, 2 * mean), "x": x, "g": g}


def test_a_minimum_is_found_beside_where_a_mode_ceases_to_be(steep: dict[str, np.ndarray]) -> None:
    fit = mme.glmer("y ~ x + (1 | g)", steep, mme.InverseGaussian(link="identity"))
    assert fit.optimum.converged
    assert np.abs(fit.optimum.gradient).max() < 1e-4
    assert fit.optimum.verdict.startswith("minimum")


@pytest.mark.slow
def test_where_there_is_none_that_is_said(steep: dict[str, np.ndarray]) -> None:
    with pytest.warns(mme.MMEWarning, match="curvature at a mode vanishes.*laplace='expected'"):
        fit = mme.glmer("y ~ x + (x | g)", steep, mme.InverseGaussian(link="identity"))
    assert fit.optimum.verdict == "no finite maximum"


def test_the_scores_of_clusters_are_the_gradient_with_the_pull_of_a_record_at_its_bound(
    fit: mme.GeneralisedFit,
) -> None:
    searched = fit.internals.searched
    walled = searched.criterion.at(searched.at.at)
    assert isinstance(walled, Walled)
    assert np.count_nonzero(walled.pull) == 1
    rows = gradients_by_cluster(walled, G)
    np.testing.assert_allclose(rows.sum(axis=0), walled.gradient(), atol=1e-9)
    np.testing.assert_allclose(rows.sum(axis=0), 0.0, atol=1e-3)
    assert np.abs(searched.at.gradient()).max() > 1.0  # F alone still falls beyond the bound
