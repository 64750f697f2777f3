"""The sandwich of a generalised fit: scores of clusters by differences of each cluster's own dense criterion."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.linalg import inv, slogdet, solve

import mme
from mme.errors import MMEError
from mme.family.base import Family


def laplace(family: Family, y, X, Z, T, beta, tau) -> float:
    """-2 log L of one level, by Newton steps on dense arrays."""
    data, M, u = family.observe(y, None, "y"), Z @ T, np.zeros(T.shape[0])
    for _ in range(25):
        at = family.at(data, X @ beta + M @ u, tau)
        H = M.T @ (at.observed[:, None] * M) + np.eye(u.size)
        u = u + solve(H, M.T @ at.slope - u)
    at = family.at(data, X @ beta + M @ u, tau)
    return -2.0 * at.value.sum() + u @ u + slogdet(M.T @ (at.observed[:, None] * M) + np.eye(u.size))[1]


def drawn(family: Family) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(24), rng.integers(8, 14, 24))
    x = rng.normal(size=g.size) + 2.0
    eta = 0.3 + 0.3 * x + 0.6 * rng.normal(size=24)[g] + 0.7 * rng.normal(size=24)[g] * (x - 2.0)
    y = family.draw(eta, np.ones(g.size), np.full(len(family.parameters), 0.5), rng)
    return {"y": y, "x": x, "g": g, "c": g // 2}


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


@pytest.mark.parametrize(
    ("formula", "how", "given", "said"),
    [
        ("y ~ x + (1 | g)", {}, {"robust": "CR2"}, "'CR0' or 'CR1'.*normal records"),
        ("y ~ x + (1 | g)", {}, {"cluster": "g"}, "goes with robust='CR1'"),
        ("y ~ x + (1 | g)", {}, {"robust": "CR1", "se": "rx"}, "leave se= out"),
        ("y ~ x + (1 | c)", {}, {"robust": "CR1", "cluster": "g"}, "joins levels of 'g'"),
        ("y ~ x + (1 | c/g)", {}, {"robust": "CR1", "cluster": "c"}, "for one grouping factor"),
        ("y ~ x + (1 | g)", {"n_agq": 5}, {"robust": "CR1"}, "fit with n_agq=1"),
        ("y ~ x + (1 | g)", {"theta": [0.5]}, {"robust": "CR1"}, "the search ended with 'given"),
    ],
)
def test_what_has_no_sandwich_is_refused_with_the_reason(formula: str, how: dict, given: dict, said: str) -> None:
    fit = mme.glmer(formula, drawn(mme.Poisson()), "poisson", **how)
    with pytest.raises(MMEError, match=said):
        fit.coefficients(**given)
