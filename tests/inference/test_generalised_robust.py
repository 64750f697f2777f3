"""The sandwich of a generalised fit: scores of clusters by differences of each cluster's own dense criterion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.linalg import inv, slogdet, solve
from scipy.linalg import block_diag

import mme
from mme.errors import MMEError
from mme.family.base import Family
from mme.generalised.quadrature import Quadrature
from mme.generalised.scores import gradients_by_cluster
from mme.inference.fixed.generalised_robust import robust_reference
from mme.numeric.limits import limits, within


def laplace(family: Family, y, X, Z, T, beta, tau) -> float:
    """-2 log L of one level, by Newton steps on dense arrays."""
    data, M, u = family.observe(y, None, "y"), Z @ T, np.zeros(T.shape[0])
    for _ in range(25):
        at = family.at(data, X @ beta + M @ u, tau)
        H = M.T @ (at.observed[:, None] * M) + np.eye(u.size)
        step = solve(H, M.T @ at.slope - u)
        u = u + step
        if np.abs(step).max() < 1e-9:  # the next one would be its square
            break
    at = family.at(data, X @ beta + M @ u, tau)
    return -2.0 * at.value.sum() + u @ u + slogdet(M.T @ (at.observed[:, None] * M) + np.eye(u.size))[1]


def drawn(family: Family) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(24), rng.integers(8, 14, 24))
    x = rng.normal(size=g.size) + 2.0
    eta = 0.3 + 0.3 * x + 0.6 * rng.normal(size=24)[g] + 0.7 * rng.normal(size=24)[g] * (x - 2.0)
    y = family.draw(eta, np.ones(g.size), np.full(len(family.parameters), 0.5), rng)
    return {"y": y, "x": x, "g": g, "c": g // 2, "h": rng.integers(0, 5, g.size)}


@pytest.mark.parametrize("cluster", [None, "c"])
@pytest.mark.parametrize("terms", ["(1 | g)", "(x | g)"])
@pytest.mark.parametrize("family", [mme.Binomial(link="probit"), mme.Poisson(), mme.NegativeBinomial()], ids=str)
def test_the_sandwich_is_that_of_dense_scores(family: Family, terms: str, cluster: str | None) -> None:
    data = drawn(family)
    fit = mme.glmer(f"y ~ x + {terms}", data, family)
    X, codes = fit.model.X, data["g"] if cluster is None else data[cluster]
    Z, k, tau = (X if "x" in terms else X[:, :1]), fit.theta.size, fit.optimum.tau
    at = np.concatenate([fit.theta, fit.beta, tau])

    def criterion(psi: np.ndarray, c: int) -> float:
        T = np.array([[psi[0], 0.0], [psi[1], psi[2]]]) if k == 3 else psi[:1, None]
        levels = np.unique(data["g"][codes == c])
        own = [data["g"] == g for g in levels]
        return sum(laplace(family, data["y"][i], X[i], Z[i], T, psi[k : k + 2], psi[k + 2 :]) for i in own)

    step = 1e-5 * np.eye(at.size)
    F = np.array([[(criterion(at + s, c) - criterion(at - s, c)) / 2e-5 for s in step] for c in np.unique(codes)])
    np.testing.assert_allclose(F.sum(axis=0), 0.0, atol=1e-4)
    cov = (inv(fit.hessian) @ F.T @ F @ inv(fit.hessian))[k : k + 2, k : k + 2]
    m = len(F)
    for kind, factor in (("CR0", 1.0), ("CR1", m / (m - 1.0))):
        table = fit.coefficients(robust=kind, cluster=cluster)
        np.testing.assert_allclose(table["se"], np.sqrt(factor * np.diag(cov)), rtol=1e-5)
        difference = fit.contrast([[1.0, -1.0]], robust=kind, cluster=cluster)["se"].iloc[0]
        np.testing.assert_allclose(difference**2, factor * np.array([1, -1]) @ cov @ [1, -1], rtol=2e-5)
    assert fit.test("x = 0", robust="CR1", cluster=cluster)["se"].iloc[0] == pytest.approx(table["se"]["x"])
    assert fit.anova(robust="CR1", cluster=cluster)["chisq"].iloc[-1] == pytest.approx(table["z"]["x"] ** 2)


@pytest.mark.parametrize("terms", ["(1 | c/g)", "(1 | c) + (0 + x | g)", "(x | c) + (1 | g)"])
@pytest.mark.parametrize("whole", [True, False], ids=["dense", "sparse"])
@pytest.mark.parametrize("family", [mme.Binomial(link="probit"), mme.NegativeBinomial()], ids=str)
def test_the_sandwich_of_several_factors_is_that_of_dense_scores(family: Family, whole: bool, terms: str) -> None:
    data = drawn(family)
    with within(limits() if whole else replace(limits(), dense_effects=0)):
        fit = mme.glmer(f"y ~ x + {terms}", data, family)
        table = fit.coefficients(robust="CR0", cluster="c")
    X, tau, codes = fit.model.X, fit.optimum.tau, data["c"]
    at = np.concatenate([fit.theta, fit.beta, tau])
    k = fit.theta.size

    def criterion(psi: np.ndarray, c: int) -> float:
        own, blocks, Z = codes == c, [], []
        for T, term in zip(fit.model.T(psi[:k]), fit.model.terms, strict=True):
            columns = np.ones((X.shape[0], 1)) if term.covariates is None else term.covariates
            for level in np.unique(term.codes[own]):
                Z.append(np.where((term.codes == level)[:, None], columns, 0.0)[own])
                blocks.append(T)
        return laplace(family, data["y"][own], X[own], np.hstack(Z), block_diag(*blocks), psi[k : k + 2], psi[k + 2 :])

    step = 1e-5 * np.eye(at.size)
    F = np.array([[(criterion(at + s, c) - criterion(at - s, c)) / 2e-5 for s in step] for c in np.unique(codes)])
    free = np.isfinite(np.diag(fit.hessian))  # a variance of zero is held
    np.testing.assert_allclose(F[:, free].sum(axis=0), 0.0, atol=2e-4)
    root = F[:, free] @ inv(fit.hessian[np.ix_(free, free)])
    of_beta = root[:, free[:k].sum() :][:, :2]
    np.testing.assert_allclose(table["se"], np.linalg.norm(of_beta, axis=0), rtol=2e-5)


@pytest.mark.parametrize("terms", ["(1 | g)", "(x | g)"])
@pytest.mark.parametrize("family", [mme.Binomial(), mme.NegativeBinomial()], ids=str)
def test_the_sandwich_by_quadrature_is_that_of_differences_of_its_levels(family: Family, terms: str) -> None:
    data = drawn(family)
    fit = mme.glmer(f"y ~ x + {terms}", data, family, n_agq=7)
    found = fit.internals.searched
    rows = gradients_by_cluster(found.at, data["g"])
    np.testing.assert_allclose(rows.sum(axis=0), found.at.gradient(), atol=1e-9)
    assert isinstance(found.at, Quadrature)
    x = found.at.at.x

    def by_level(at: np.ndarray) -> np.ndarray:
        one = found.criterion.at(found.criterion.point(at))
        assert one is not None
        levels = one.laplace
        assert isinstance(levels, Quadrature)
        logdet = sum(2.0 * np.log(row[-1]) for row in levels.factor.by_level().L)
        return logdet - 2.0 * levels._sums

    for j, step in enumerate(1e-5 * np.eye(x.size)):
        np.testing.assert_allclose(rows[:, j], (by_level(x + step) - by_level(x - step)) / 2e-5, rtol=1e-5, atol=1e-5)
    k, table = found.at.at.theta.size, fit.coefficients(robust="CR0")
    H = inv(fit.internals.estimates.hessian)
    cov = fit.internals.problem.beta_of_gamma @ (H @ rows.T @ rows @ H)[k : k + 2, k : k + 2]
    np.testing.assert_allclose(table["se"] ** 2, np.diag(cov @ fit.internals.problem.beta_of_gamma.T), rtol=1e-6)


def test_means_slopes_and_joint_tests_take_the_sandwich() -> None:
    data = drawn(mme.Poisson())
    data["f"] = np.where(data["x"] > 2.0, "b", "a")
    fit = mme.glmer("y ~ f + x + (1 | c/g)", data, "poisson")
    to = {"robust": "CR1", "cluster": "c"}
    table = fit.coefficients(**to)
    pair = fit.means("f", pairs=True, **to).iloc[0]
    assert pair["se"] == pytest.approx(table["se"]["fb"])
    assert fit.trends("x", **to)["se"].iloc[0] == pytest.approx(table["se"]["x"])
    assert fit.joint_tests(**to)["chisq"]["x"] == pytest.approx(table["z"]["x"] ** 2)
    plain, averaged = fit.means("f", **to), fit.means("f", random="average", **to)
    # log E exp(eta + b) = eta + (G_c + G_g) / 2: with what theta leaves uncertain by the sandwich of all parameters
    theta, joint = fit.theta, robust_reference(fit.internals, "CR1", data["c"], "c").joint
    np.testing.assert_allclose(averaged["mean"] - plain["mean"], 0.5 * (theta**2).sum(), rtol=1e-6)
    L = np.array([[1.0, 0.0, data["x"].mean()], [1.0, 1.0, data["x"].mean()]])
    by_theta = np.tile(fit.internals.searched.at.at.theta, (2, 1))
    J = np.hstack([by_theta, L @ fit.internals.problem.beta_of_gamma])[:, fit.internals.searched.free]
    np.testing.assert_allclose(averaged["se"], np.linalg.norm(joint @ J.T, axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("formula", "how", "given", "said"),
    [
        ("y ~ x + (1 | g)", {}, {"robust": "CR2"}, "'CR0' or 'CR1'.*normal records"),
        ("y ~ x + (1 | g)", {}, {"cluster": "g"}, "goes with robust='CR1'"),
        ("y ~ x + (1 | g)", {}, {"robust": "CR1", "se": "rx"}, "leave se= out"),
        ("y ~ x + (1 | c)", {}, {"robust": "CR1", "cluster": "g"}, "joins levels of 'g'"),
        ("y ~ x + (1 | c) + (1 | h)", {}, {"robust": "CR1", "cluster": "c"}, "'h' joins levels of 'c'"),
        ("y ~ x + (1 | g)", {"n_agq": 0}, {"robust": "CR1"}, "fit with n_agq=1"),
        ("y ~ x + (1 | g)", {"theta": [0.5]}, {"robust": "CR1"}, "the search ended with 'given"),
    ],
)
def test_what_has_no_sandwich_is_refused_with_the_reason(formula: str, how: dict, given: dict, said: str) -> None:
    fit = mme.glmer(formula, drawn(mme.Poisson()), "poisson", **how)
    with pytest.raises(MMEError, match=said):
        fit.coefficients(**given)


def test_two_clusters_are_enough_and_one_is_not() -> None:
    data = drawn(mme.Poisson())
    data |= {"half": data["g"] // 12, "all": np.zeros_like(data["g"])}
    fit = mme.glmer("y ~ x + (1 | g)", data, "poisson")
    as_it_is, of_few = (fit.coefficients(robust=kind, cluster="half")["se"] for kind in ("CR0", "CR1"))
    np.testing.assert_allclose(of_few, np.sqrt(2.0) * as_it_is, rtol=1e-12)
    with pytest.raises(MMEError, match="needs two clusters or more, and 'all' has one"):
        fit.coefficients(robust="CR1", cluster="all")
