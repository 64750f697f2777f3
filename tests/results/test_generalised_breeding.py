"""Breeding values, errors among levels and heritabilities of generalised fits: closed forms, and the linear model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mme
from mme.api.aliases import LINEAR
from tests.glmm import glmm_case, glmm_fit


@pytest.fixture(scope="module")
def threshold() -> tuple[pd.DataFrame, mme.Pedigree, mme.GeneralisedFit]:
    """A threshold model of 30 animals, the last ones inbred, some without records."""
    rng = np.random.default_rng(3)
    sire = [None] * 8 + [f"a{rng.integers(0, max(3, i - 4))}" for i in range(8, 30)]
    dam = [None] * 8 + [f"a{rng.integers(max(3, i - 4), i)}" for i in range(8, 30)]
    pedigree = mme.Pedigree([f"a{i}" for i in range(30)], sire, dam, hermaphrodite=True)
    animal = np.repeat([f"a{i}" for i in range(4, 30)], 6)
    u = rng.multivariate_normal(np.zeros(30), 1.5 * pedigree.A())
    y = (u[pedigree.positions(animal)] + rng.normal(size=animal.size) > 0.3).astype(int)
    data = pd.DataFrame({"y": y, "animal": animal})
    fit = mme.glmer("y ~ 1 + (1 | animal)", data, mme.Binomial(link="probit"), relationship={"animal": pedigree})
    return data, pedigree, fit


def test_breeding_values_are_the_modes_with_their_reliabilities(
    threshold: tuple[pd.DataFrame, mme.Pedigree, mme.GeneralisedFit],
) -> None:
    data, pedigree, fit = threshold
    table = fit.ebv()
    np.testing.assert_array_equal(table["ebv"], fit.ranef()["animal"]["(Intercept)"])
    np.testing.assert_array_equal(table["pev"], fit.pev()["animal"][:, 0, 0])
    prior = fit.varcorr["animal"].cov[0, 0] * (1.0 + table["inbreeding"])
    np.testing.assert_allclose(table["reliability"], 1.0 - table["pev"] / prior, rtol=1e-12)
    at = pedigree.positions(table.index.tolist())
    np.testing.assert_allclose(table["inbreeding"], np.diag(pedigree.A())[at] - 1.0, atol=1e-12)
    assert table["inbreeding"].max() > 0.0
    assert table["records"].sum() == len(data)


@pytest.mark.parametrize("name", ["cross_logit", "contra_slope"])
def test_errors_among_levels_are_those_of_the_equations_of_the_modes(name: str) -> None:
    """Lambda H^-1 Lambda' densely, and E Sigma E' of beta and theta beside it."""
    fit = glmm_fit(name)
    record, group = fit.internals, fit.internals.model.terms[0].group
    mode, J = record.searched.at.mode, 5
    levels = fit.ranef()[group].index[:J]
    Z = np.hstack([term.Z.toarray() for term in record.model.terms])
    G = [np.kron(np.eye(term.n_levels), fit.varcorr[term.name].cov) for term in record.model.terms]
    sizes = [len(one) for one in G]
    precision = np.zeros((sum(sizes), sum(sizes)))
    for start, one in zip(np.cumsum([0, *sizes[:-1]]), G, strict=True):
        precision[start : start + len(one), start : start + len(one)] = np.linalg.inv(one)
    whole = np.linalg.inv(Z.T @ (mode.density.observed[:, None] * Z) + precision)
    q = record.model.terms[0].q
    block = record.problem.blocks[0]
    moved = block.effects(np.moveaxis(record.estimates.moves.b[0][:, :, :J], 0, -1), record.searched.at.at.theta)
    E = moved.transpose(1, 2, 0).reshape(J * q, -1)  # (m, J, q), level by level
    found = fit.pev_matrix(group, levels=levels)
    np.testing.assert_allclose(found, whole[: J * q, : J * q] + E @ E.T, rtol=1e-7, atol=1e-9)
    own = fit.pev()[group][:J]
    np.testing.assert_allclose(found.to_numpy()[:q, :q], own[0], rtol=1e-9)


@pytest.mark.parametrize("name", ["cbpp_logit", "nested_pois"])
def test_average_differences_are_means_over_the_matrix(name: str) -> None:
    fit = glmm_fit(name)
    term = fit.internals.model.terms[0].name
    D = fit.pev_matrix(term, differences=True).to_numpy()
    mean = D.sum() / (len(D) * (len(D) - 1))
    assert fit.average_difference(term) == pytest.approx(mean, rel=1e-9)
    assert fit.cullis(term) == pytest.approx(1.0 - mean / (2.0 * fit.varcorr[term].cov[0, 0]), rel=1e-9)


def test_normal_responses_have_what_the_linear_model_has() -> None:
    data = mme.load("sleepstudy")
    linear = mme.lmer("Reaction ~ Days + (Days | Subject)", data, method="ML")
    fit = mme.glmer("Reaction ~ Days + (Days | Subject)", data, "gaussian")
    one, other = linear.heritability("Subject"), fit.heritability("Subject")
    assert list(one.index) == list(other.index)
    np.testing.assert_allclose(other["estimate"], one["estimate"], rtol=2e-6)
    np.testing.assert_allclose(other["se"], one["se"], rtol=1e-4)
    columns = ["prior", "of_blups", "mean_condvar"]
    np.testing.assert_allclose(fit.variances()[columns], linear.variances()[columns], rtol=1e-5, atol=1e-4)
    curves, at = (one.variance_curve(at={"Days": [0, 9]}) for one in (linear, fit))
    np.testing.assert_allclose(at["share"], curves["share"], rtol=1e-5)
    np.testing.assert_allclose(fit.curves(at={"Days": [4]})["ebv"], linear.curves(at={"Days": [4]})["ebv"], atol=1e-3)


def test_a_threshold_model_has_the_heritability_of_dempster_and_lerner(
    threshold: tuple[pd.DataFrame, mme.Pedigree, mme.GeneralisedFit],
) -> None:
    """h2 of the answers is h2 of the liability times z^2 / (p (1 - p)), z the density at the threshold."""
    _, _, fit = threshold
    latent, seen = fit.heritability("animal"), fit.heritability("animal", scale="response")
    V = fit.varcorr["animal"].cov[0, 0]
    assert latent["estimate"].iloc[0] == pytest.approx(V / (V + 1.0), rel=1e-12)
    t = fit.beta.iloc[0] / np.sqrt(V + 1.0)
    p, z = norm.cdf(t), norm.pdf(t)
    assert seen["estimate"].iloc[0] == pytest.approx(V / (V + 1.0) * z**2 / (p * (1.0 - p)), rel=1e-9)
    assert latent["se"].iloc[0] == pytest.approx(fit.vpredict("V_animal / (V_animal + V_dist)")["se"], rel=1e-6)
    data = threshold[0]
    two = mme.glmer(
        "y ~ 0 + (1 | animal)", data, mme.Ordinal(link="probit"), relationship={"animal": threshold[1]}
    ).heritability("animal", scale="response")
    assert len(two) == 2
    np.testing.assert_allclose(two["estimate"], seen["estimate"].iloc[0], rtol=1e-5)
    np.testing.assert_allclose(two["se"], seen["se"].iloc[0], rtol=1e-3)


def test_counts_have_the_heritability_of_their_closed_form() -> None:
    """With eta ~ N(m_i, s2): Psi = E y, V_P = E y + E exp(2 m + 2 s2) (1 + 1 / size) - (E y)^2."""
    fit = glmm_fit("quine_nb2")
    s2, size = fit.varcorr["cell"].cov[0, 0], fit.dispersion
    m = np.asarray(fit.predict(type="link", random=False))
    mean, square = np.exp(m + s2 / 2.0).mean(), np.exp(2.0 * m + 2.0 * s2).mean()
    V = mean + square * (1.0 + 1.0 / size) - mean**2
    assert fit.heritability("cell", scale="response")["estimate"].iloc[0] == pytest.approx(mean**2 * s2 / V, rel=1e-9)
    assert fit.heritability("cell")["estimate"].iloc[0] == pytest.approx(fit.icc()["cell"], rel=1e-9)


def test_a_wide_normal_under_a_log_link_loses_no_weight() -> None:
    """mu^3 of an inverse Gaussian grows like exp(3 eta): its weight is three standard deviations out."""
    fit = glmm_fit("pos_ig")
    held = mme.glmer(fit.formula, glmm_case("pos_ig").data, fit.family, theta=[2.5])
    s2, phi = 2.5**2, held.dispersion
    m = np.asarray(held.predict(type="link", random=False))
    mean = np.exp(m + s2 / 2.0).mean()
    V = np.exp(2.0 * m + 2.0 * s2).mean() + phi * np.exp(3.0 * m + 4.5 * s2).mean() - mean**2
    found = held.heritability("g", scale="response")["estimate"].iloc[0]
    assert found == pytest.approx(mean**2 * s2 / V, rel=1e-8)


def test_what_has_no_meaning_is_refused() -> None:
    fit = glmm_fit("cbpp_logit")
    with pytest.raises(mme.MMEError, match="there is no term 'hurd'"):
        fit.heritability("hurd")
    for name in LINEAR:
        with pytest.raises(AttributeError, match=f"no attribute '{name}': .*(normal|linear|generalised|pev)"):
            getattr(fit, name)
    with pytest.raises(mme.MMEError, match="method= is of scale='link'"):
        fit.heritability("herd", scale="response", method="delta")
    with pytest.raises(mme.MMEError, match="no random term is left"):
        fit.piepho("herd")
    with pytest.raises(mme.MMEError, match="not among the levels"):
        fit.pev_matrix(levels=["99"])
    answers = {"y": [0, 1, 2, 2, 1, 0], "g": [1, 1, 2, 2, 3, 3]}
    with pytest.raises(mme.MMEError, match="cauchit link has no latent variance"):
        mme.glmer("y ~ 0 + (1 | g)", answers, mme.Ordinal(link="cauchit"), theta=[1.0]).heritability("g")


def test_genotypes_as_fixed_effects_of_a_normal_response_give_piephos_heritability() -> None:
    data = mme.load("Oats")
    formula = "yield ~ nitro + (1 | Block) + (1 | Variety)"
    linear, fit = mme.lmer(formula, data, method="ML"), mme.glmer(formula, data, "gaussian")
    assert fit.piepho("Block") == pytest.approx(linear.piepho("Block"), rel=1e-5)
