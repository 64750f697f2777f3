"""Breeding values in one table, and heritabilities of means by differences: dense algebra, and what is published."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.linalg import inv

import mme
from mme.residual import AR1

FIELDS = Path(__file__).parents[1] / "reference" / "fields"


@pytest.fixture(scope="module")
def herd():
    """Forty animals, of which some are inbred, some without records and some with several."""
    rng = np.random.default_rng(3)
    sire = [None] * 6 + [f"a{rng.integers(0, max(3, i - 4))}" for i in range(6, 40)]
    dam = [None] * 6 + [f"a{rng.integers(max(3, i - 4), i)}" for i in range(6, 40)]
    pedigree = mme.Pedigree([f"a{i}" for i in range(40)], sire, dam, hermaphrodite=True)
    animal = np.repeat([f"a{i}" for i in range(4, 40)], rng.integers(1, 4, 36))
    data = pd.DataFrame({"animal": animal, "x": rng.normal(size=animal.size)})
    u = rng.multivariate_normal(np.zeros(40), pedigree.A())
    data["y"] = 10 + data["x"] + u[pedigree.positions(animal)] + rng.normal(size=len(data))
    return data, pedigree


def error_covariance(fit, Z, G, R):
    """var(b_hat - b) = G - G Z'P Z G."""
    X = fit.internals.model.X
    Vinv = inv(Z @ G @ Z.T + R)
    P = Vinv - Vinv @ X @ inv(X.T @ Vinv @ X) @ X.T @ Vinv
    return G - G @ Z.T @ P @ Z @ G


def test_the_table_has_what_the_equations_say_of_each_animal(herd):
    data, pedigree = herd
    fit = mme.lmer("y ~ x + (1 | animal)", data, relationship={"animal": pedigree})
    table, A = fit.ebv(), pedigree.A()
    at = pedigree.positions(table.index.tolist())
    variance = fit.varcorr["animal"].cov[0, 0]
    Z = np.eye(40)[pedigree.positions(data["animal"])]
    C = error_covariance(fit, Z, variance * A, fit.sigma**2 * np.eye(len(data)))
    np.testing.assert_allclose(table["pev"], np.diag(C)[at], rtol=1e-8)
    reliability = 1 - np.diag(C) / (variance * np.diag(A))
    np.testing.assert_allclose(table["reliability"], reliability[at], rtol=1e-7)
    np.testing.assert_allclose(table["accuracy"] ** 2, table["reliability"], rtol=1e-12)
    np.testing.assert_allclose(table["inbreeding"], np.diag(A)[at] - 1, atol=1e-12)
    assert table["inbreeding"].max() > 0.0
    assert table["ebv"].equals(fit.ranef()["animal"]["(Intercept)"].rename("ebv"))
    counts = data["animal"].value_counts()
    assert table["records"].tolist() == [counts.get(one, 0) for one in table.index]


def test_several_coefficients_have_a_row_each():
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    table = fit.ebv("Subject")
    assert table.index.names == ["Subject", "effect"]
    assert table.loc[("308", "Days"), "ebv"] == fit.ranef()["Subject"].loc["308", "Days"]
    assert table["records"].iloc[:2].tolist() == [10, 9]  # Days is zero once


def test_functions_of_a_random_regression_on_legendre_polynomials_have_reliabilities(herd):
    """The value at a day, and the sum over days: 1 - w'PEV w / (K_gg w'G w), by the whole error covariance."""
    data, pedigree = herd
    t = np.random.default_rng(7).uniform(-1, 1, len(data))
    data = data.assign(p0=np.sqrt(0.5), p1=np.sqrt(1.5) * t)
    fit = mme.lmer("y ~ x + (0 + p0 + p1 | animal)", data, relationship={"animal": pedigree}, theta=[1.0, 0.4, 0.6])
    day = np.linspace(-1, 1, 5)
    basis = np.column_stack([np.full(5, np.sqrt(0.5)), np.sqrt(1.5) * day])
    table = fit.ebv(of={"middle": basis[2], "all": basis.sum(axis=0)})
    A, G = pedigree.A(), fit.varcorr["animal"].cov
    Z = np.zeros((len(data), 80))
    at = pedigree.positions(data["animal"])
    for a, column in enumerate(("p0", "p1")):
        Z[np.arange(len(data)), 2 * at + a] = data[column]
    C = error_covariance(fit, Z, np.kron(A, G), fit.sigma**2 * np.eye(len(data)))
    for label, w in (("middle", basis[2]), ("all", basis.sum(axis=0))):
        own = table.xs(label, level="function")
        pev = np.array([w @ C[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] @ w for i in range(40)])
        place = pedigree.positions(own.index.tolist())
        np.testing.assert_allclose(own["pev"], pev[place], rtol=1e-8)
        np.testing.assert_allclose(own["reliability"], (1 - pev / (np.diag(A) * (w @ G @ w)))[place], rtol=1e-7)
        np.testing.assert_allclose(own["ebv"], fit.ranef()["animal"].to_numpy() @ w, rtol=1e-10)
    with pytest.raises(mme.MMEError, match="needs 2 finite weights"):
        fit.ebv(of={"middle": [1.0]})


@pytest.mark.parametrize("residual", [None, AR1("visit", "plot")], ids=["independent", "AR1"])
def test_cullis_is_by_the_average_variance_of_a_difference(residual):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"gen": rng.integers(0, 9, 60), "block": np.repeat(np.arange(6), 10)})
    data["plot"], data["visit"], data["w"] = np.repeat(np.arange(20), 3), np.tile([1, 2, 3], 20), rng.uniform(1, 3, 60)
    data["y"] = rng.normal(size=9)[data["gen"]] + rng.normal(size=6)[data["block"]] + rng.normal(size=60)
    fit = mme.lmer("y ~ 1 + (1 | gen) + (1 | block)", data, weights="w", residual=residual)
    by = {term.name: term.Z.toarray() for term in fit.internals.model.terms}
    rho = 0.0 if residual is None else fit.internals.residual["rho"]
    lag = np.abs(np.subtract.outer(data["visit"].to_numpy(), data["visit"].to_numpy()))
    C = np.where(np.equal.outer(data["plot"].to_numpy(), data["plot"].to_numpy()), rho**lag, 0.0)
    R = fit.sigma**2 * C / np.sqrt(np.outer(data["w"], data["w"])) + fit.varcorr["block"].cov[0, 0] * (
        by["block"] @ by["block"].T
    )
    variance = fit.varcorr["gen"].cov[0, 0]
    E = error_covariance(fit, by["gen"], variance * np.eye(9), R)
    v = np.mean([E[i, i] + E[j, j] - 2 * E[i, j] for i in range(9) for j in range(i)])
    assert fit.cullis("gen") == pytest.approx(1 - v / (2 * variance), rel=1e-8)


def test_piepho_of_a_balanced_design_is_its_repeatability_and_so_is_cullis():
    """Complete blocks: both are sigma_g^2 / (sigma_g^2 + sigma^2 / r)."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"gen": np.tile(np.arange(8), 4), "block": np.repeat(np.arange(4), 8)})
    data["y"] = 2 * rng.normal(size=8)[data["gen"]] + rng.normal(size=4)[data["block"]] + rng.normal(size=32)
    fit = mme.lmer("y ~ 1 + (1 | gen) + (1 | block)", data)
    variance = fit.varcorr["gen"].cov[0, 0]
    expected = variance / (variance + fit.sigma**2 / 4)
    assert fit.piepho("gen") == pytest.approx(expected, rel=1e-5)
    assert fit.cullis("gen") == pytest.approx(expected, rel=1e-8)


def test_john_alpha_is_as_published():
    """The variance .142902 and Cullis's heritability .809 that agridat's page on john.alpha prints."""
    fit = mme.lmer("yield ~ rep + (1 | gen) + (1 | rep:block)", pd.read_csv(FIELDS / "john.alpha.csv"))
    assert fit.varcorr["gen"].cov[0, 0] == pytest.approx(0.142902, abs=2e-6)
    assert fit.cullis("gen") == pytest.approx(0.809, abs=5e-4)


def test_what_cannot_be_told_is_refused_by_name():
    crossed = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mme.load("Penicillin"))
    with pytest.raises(mme.MMEError, match="name the random term, one of 'plate', 'sample'"):
        crossed.ebv()
    with pytest.raises(mme.MMEError, match="no random term 'animal'"):
        crossed.cullis("animal")
    slopes = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    with pytest.raises(mme.MMEError, match="has 2 coefficients"):
        slopes.cullis("Subject")
