"""Whole fits with residual structures and relationships: nlme's maxima, and the breeders' dense references."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import PRIVATE, SHIPPED
from structured import cases, fit_case, reference

import mme
from mme.engine.objective import Objective
from mme.formula.design import design
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within
from mme.solution.estimates import Estimates

BREEDING = SHIPPED / "breeding"


def breeding(name: str) -> dict[str, Any]:
    """A stored breeding example."""
    packed = BREEDING / f"{name}.json.gz"
    return json.loads(
        gzip.decompress(packed.read_bytes()) if packed.exists() else (BREEDING / f"{name}.json").read_text()
    )


def animals() -> tuple[pd.DataFrame, mme.Pedigree]:
    """The simulated 2000 animals."""
    pedigree = pd.read_csv(BREEDING / "animal2000_pedigree.csv")
    return pd.read_csv(BREEDING / "animal2000_data.csv"), mme.Pedigree(pedigree.id, pedigree.sire, pedigree.dam)


@pytest.mark.filterwarnings("ignore::mme.MMEWarning")
@pytest.mark.parametrize("name", cases())
def test_a_fit_with_residual_structure_reaches_the_stored_maximum(name):
    stored, stem = reference(name), name.rsplit("_", 1)[0]
    fit = fit_case(name)
    dense = stored["dense"]
    # The search ends where a Newton step would gain 1e-8; the references' own gradients leave less than that.
    assert fit.criterion <= dense["objective"] + 1e-6
    assert fit.criterion == pytest.approx(dense["objective"], abs=1e-6)
    assert fit.optimum.converged
    if stem == "st_tlc_lme_exp":  # no serial correlation: its range is not determined
        return
    assert fit.sigma == pytest.approx(dense["sigma"], rel=2e-4)
    se = np.array(dense["se"])
    assert np.abs((fit.beta.to_numpy() - dense["beta"]) / se).max() < 2e-4
    np.testing.assert_allclose(fit.se, se, rtol=2e-4)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_animal_model_reaches_the_dense_likelihood(method):
    data, pedigree = animals()
    stored = breeding("animal2000")[method]
    fit = mme.lmer("y ~ x + herd + (1 | animal)", data, relationship={"animal": pedigree}, method=method)
    assert fit.criterion == pytest.approx(stored["objective"], abs=1e-7)
    assert fit.varcorr["animal"].cov[0, 0] == pytest.approx(stored["sigma2_a"], rel=1e-5)
    assert fit.sigma**2 == pytest.approx(stored["sigma2_e"], rel=1e-5)
    np.testing.assert_allclose(fit.beta, stored["beta"], atol=1e-5)
    if "u_all" in stored:  # animals without records included, in the order of the pedigree
        np.testing.assert_allclose(fit.ranef()["animal"].iloc[:, 0], stored["u_all"], atol=1e-5)


def test_the_standard_error_of_a_heritability_is_that_of_the_log_variance_ratio():
    data, pedigree = animals()
    stored = breeding("animal2000")["REML"]
    fit = mme.lmer("y ~ x + herd + (1 | animal)", data, relationship={"animal": pedigree})
    table = fit.heritability("animal")
    h2 = stored["h2"]
    assert table.loc["heritability", "estimate"] == pytest.approx(h2, rel=1e-5)
    # d h2 / d log(ratio) = h2 (1 - h2), and var(log ratio) = 2 / curvature of the criterion
    expected = h2 * (1.0 - h2) * np.sqrt(2.0 / stored["curvature_log_ratio"])
    assert table.loc["heritability", "se"] == pytest.approx(expected, rel=1e-4)


def shown(fit) -> list[list[str]]:
    """The cells of the summary's table of shares, its header left out."""
    table = fit.summary().partition("Shares of the variance of the records:\n")[2].partition("\n\n")[0]
    return [re.split(r"  +", line.strip()) for line in table.splitlines()[1:]]


def test_the_summary_shows_the_stored_heritability_with_its_standard_error():
    data, pedigree = animals()
    stored = breeding("animal2000")["REML"]
    fit = mme.lmer("y ~ x + herd + (1 | animal)", data, relationship={"animal": pedigree})
    se = stored["h2"] * (1.0 - stored["h2"]) * np.sqrt(2.0 / stored["curvature_log_ratio"])
    assert shown(fit) == [["animal heritability", f"{stored['h2']:.3f}", f"{se:.3f}"]]
    assert f"{stored['h2']:.3f}" in fit._repr_html_()
    at_theta = mme.fit(data.y, fit.internals.model.X, list(fit.internals.model.terms), theta=fit.theta)
    assert shown(at_theta) == [["animal heritability", f"{at_theta.heritability('animal').iloc[0, 0]:.4f}"]]


def test_the_summary_shows_genetic_correlations_of_several_coefficients():
    data, pedigree = animals()
    fit = mme.lmer("y ~ x + (1 + x | animal)", data, relationship={"animal": pedigree})
    table = fit.heritability("animal")
    expected = [[f"{value:.3f}" for value in row] for row in table.to_numpy()]
    assert [row[-2:] for row in shown(fit)] == expected
    assert shown(fit)[-1][0] == "correlation (Intercept), x"
    assert table.iloc[-1, 0] == pytest.approx(fit.varcorr["animal"].corr[0, 1], abs=1e-12)


def test_a_summary_that_would_wait_for_a_large_factor_says_where_the_standard_errors_are():
    data, pedigree = animals()
    fit = mme.lmer("y ~ x + herd + (1 | animal)", data, relationship={"animal": pedigree})
    with within(Limits(summary_operations=1.0)):
        assert "local" not in vars(fit)
        assert len(shown(fit)[0]) == 2
        assert "local" not in vars(fit)
        assert "heritability('animal') computes them" in fit.summary()
        fit.heritability("animal")
        assert len(shown(fit)[0]) == 3


def test_a_heritability_of_zero_has_no_standard_error():
    pedigree = mme.Pedigree([f"o{i}" for i in range(6)], ["a", "a", "a", "b", "b", "b"], [None] * 6)
    y = np.array([1.0, 2.0, 3.0, 1.1, 2.1, 2.8])
    fit = mme.fit(y, np.ones((6, 1)), [mme.Term([f"o{i}" for i in range(6)], name="animal", relationship=pedigree)])
    assert fit.singular
    assert fit.heritability("animal").iloc[0, 0] == 0.0
    assert np.isnan(fit.heritability("animal").iloc[0, 1])
    assert shown(fit)[0][-1] == "NaN"


def test_the_fit_and_hendersons_equations_agree_on_an_animal_model():
    data, pedigree = animals()
    fit = mme.lmer("y ~ x + (1 | animal)", data, relationship={"animal": pedigree})
    term = fit.internals.model.terms[0]
    Ginv = pedigree.precision / fit.varcorr["animal"].cov[0, 0]
    equations = mme.MixedModelEquations(data.y, fit.internals.model.X, term.Z, Ginv=Ginv, Rinv=1.0 / fit.sigma**2)
    solution = equations.solve()
    np.testing.assert_allclose(solution.b, fit.ranef()["animal"].iloc[:, 0], atol=1e-10)
    np.testing.assert_allclose(solution.pev(), fit.pev()["animal"].ravel(), atol=1e-10)
    assert solution.criterion() == pytest.approx(fit.criterion, abs=1e-8)
    reliability = 1.0 - solution.pev() / ((1.0 + pedigree.inbreeding) * fit.varcorr["animal"].cov[0, 0])
    np.testing.assert_allclose(fit.reliability()["animal"].iloc[:, 0], reliability, atol=1e-10)
    iterated = equations.solve(method="iterative", tolerance=1e-12)
    assert iterated.residual_norm < 1e-11
    np.testing.assert_allclose(iterated.b, solution.b, atol=1e-9)
    with pytest.raises(mme.MMEError, match="without a factor"):
        iterated.pev()


@pytest.mark.parametrize("name", ["bivariate_full", "bivariate_missing"])
def test_two_traits_give_the_textbook_solutions_with_and_without_missing_records(name):
    stored = breeding(name)
    pedigree = mme.Pedigree(*(stored["pedigree"][column] for column in ("id", "sire", "dam")))
    wide = zip(stored["animal"], stored["sex"], stored["y1"], stored["y2"], strict=True)
    rows = [(animal, sex, trait, y) for animal, sex, *ys in wide for trait, y in zip(("t1", "t2"), ys, strict=True)]
    data = pd.DataFrame(rows, columns=["animal", "sex", "trait", "y"])
    parts = design(
        "y ~ 0 + trait:sex + (0 + trait | animal)", data, relationship={"animal": pedigree}, also=("trait", "animal")
    )
    G, R = np.array(stored["G0"]), np.array(stored["R0"])
    sigma = np.sqrt(R[0, 0])
    model = build_model(
        parts.y,
        parts.X,
        parts.terms,
        sigma=sigma,
        residual=mme.Unstructured("trait", "animal"),
        column=parts.column,
        x_names=parts.x_names,
    )
    assert model.residual is not None
    phi = model.residual.coordinates(np.array([R[0, 1] / np.sqrt(R[0, 0] * R[1, 1]), np.sqrt(R[1, 1] / R[0, 0])]))
    T = np.linalg.cholesky(G) / sigma
    at = Estimates(Objective.of(model, phi=phi), np.array([T[0, 0], T[1, 0], T[1, 1]]))
    assert at.criterion == pytest.approx(stored["minus2_REML"], abs=1e-9)
    names = dict(zip(parts.x_names, at.beta, strict=True))
    order = ["traitt1:sexM", "traitt1:sexF", "traitt2:sexM", "traitt2:sexF"]
    np.testing.assert_allclose([names[column] for column in order], stored["beta"], atol=1e-10)
    np.testing.assert_allclose(at.b[0].T.ravel(), stored["u"], atol=1e-10)
    np.testing.assert_allclose(np.einsum("gii->ig", at.pev[0]).ravel(), stored["PEV"], atol=1e-10)


@pytest.mark.skipif(not (Path(PRIVATE) / "data" / "milk.csv").exists(), reason="milk: its data cannot be redistributed")
@pytest.mark.parametrize("name", ["milk_id_herd_ml"])
def test_milk_yield_with_pedigree_and_herd_reaches_the_dense_likelihood(name):
    stored = json.loads((PRIVATE / "breeding" / f"{name}.json").read_text())
    data = pd.read_csv(PRIVATE / "data" / "milk.csv", dtype={"id": str, "herd": str})
    pedigree = mme.Pedigree(*(pd.read_csv(PRIVATE / "breeding" / "milk_pedigree.csv", dtype=str).T.to_numpy()))
    fit = mme.lmer(stored["formula"], data, relationship={"id": pedigree}, method="ML")
    assert fit.criterion == pytest.approx(stored["objective"], abs=1e-6)
    np.testing.assert_allclose(fit.theta, stored["theta"], rtol=1e-4)
    effects = fit.ranef()["id"].iloc[:, 0]
    # The stored u are too large by the factor sigma_e^2.
    np.testing.assert_allclose(
        effects[stored["ids"]], np.array(stored["u_id"]) / stored["sigma2_e"], rtol=0.0, atol=0.1
    )


def test_an_animal_that_the_pedigree_does_not_know_is_named():
    pedigree = mme.Pedigree(["a", "b"], [None, "a"], [None, None])
    data = {"y": [1.0, 2.0, 4.0], "animal": ["a", "b", "zz"]}
    with pytest.raises(mme.MMEError, match=r"'animal': 1 of 3 levels are not in its relationship \('zz'\)"):
        mme.lmer("y ~ 1 + (1 | animal)", data, relationship={"animal": pedigree})


def test_what_cannot_be_told_apart_is_refused():
    data = mme.load("Orthodont")
    with pytest.raises(mme.MMEError, match="cannot be told apart"):
        mme.lmer("distance ~ age + (1 | Subject)", data, residual=mme.CompoundSymmetry("Subject"))
    with pytest.raises(mme.MMEError, match="no column 'when'"):
        mme.lmer("distance ~ age + (1 | Subject)", data, residual=mme.AR1("when", "Subject"))
