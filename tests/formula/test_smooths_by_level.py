"""Curves for each level of a factor: mgcv's by REML, dense algebra, and what a user does after the fit."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mme

EXPECTED = json.loads((Path(__file__).parents[1] / "reference" / "smooths_by_level.json").read_text())["fits"]
SAID = {False: "s(x, by = f)", True: "s(x, by = f, hom = TRUE)"}


def curves_of_three():
    """Values and labels in turn, and heights without a random number."""
    i = np.arange(180)
    x, f = (i * 7) % 20 / 2, np.array(list("ABC"))[i % 3]
    y = np.sin(x) * (f == "A") + x * (f == "B") + 2 * np.cos(x / 2) * (f == "C") + 0.3 * np.sin(1000 * i)
    return pd.DataFrame({"x": x, "f": f, "y": y, "z": np.cos(i)})


@pytest.mark.parametrize("expected", EXPECTED)
def test_curves_by_level_are_those_of_mgcv(expected):
    """mgcv's smooths have their line within them: an effective dimension more, each."""
    common = expected["common"]
    fit = mme.lmer(f"y ~ f + {SAID[common]}", curves_of_three())
    assert fit.sigma**2 == pytest.approx(expected["sigma2"], rel=1e-6)
    np.testing.assert_allclose(fit.fitted[:6], expected["fitted"], atol=1e-6)
    new = fit.predict({"x": [1.0, 12.0], "f": ["A", "C"]}, interval="confidence")
    np.testing.assert_allclose(new["fit"], expected["new"], atol=1e-6)
    np.testing.assert_allclose(new["se"], expected["se"], rtol=1e-5)
    dimensions = fit.effective_dimensions()
    own = [dimensions["s(x):f"]] if common else dimensions[["s(x).A", "s(x).B", "s(x).C"]]
    np.testing.assert_allclose(own, [sum(expected["edf"]) - 3] if common else np.array(expected["edf"]) - 1, atol=2e-3)


def test_the_criteria_of_own_and_of_common_variances_differ_by_as_much_as_mgcvs():
    own, common = (mme.lmer(f"y ~ f + {SAID[one]}", curves_of_three()).criterion for one in (False, True))
    assert common - own == pytest.approx(EXPECTED[1]["reml"] - EXPECTED[0]["reml"], abs=1e-5)


@pytest.mark.parametrize(
    "written",
    [("s(x, by = f)", "f:s(x)", "s(x):f"), ("ps(x, nseg = 6, by = f, hom = TRUE)", "f:ps(x, hom = TRUE, nseg = 6)")],
)
def test_a_product_with_a_factor_says_the_same(written):
    fits = [mme.lmer(f"y ~ f + {one}", curves_of_three()) for one in written]
    for fit in fits[1:]:
        assert fit.criterion == pytest.approx(fits[0].criterion, abs=1e-9)
        assert [term.name for term in fit.model.terms] == [term.name for term in fits[0].model.terms]


def two_fields():
    row, col = np.divmod(np.arange(120) % 60, 10)
    trial = np.repeat(["old", "new"], 60)
    y = np.sin(row / 2) * np.cos(col / 3) * (trial == "old") + np.cos(col / 4) + 0.2 * np.sin(991 * np.arange(120))
    return pd.DataFrame({"row": row + 1, "col": col + 1, "trial": trial, "y": y})


def test_a_surface_a_trial_has_five_smooths_each_and_the_criterion_of_their_covariance():
    data = two_fields()
    fit = mme.lmer("y ~ trial + ps(row, col, nseg = 2, by = trial)", data)
    parts = ["f(row)", "f(col)", "f(row):col", "f(col):row", "f(row, col)"]
    assert {term.name for term in fit.model.terms} == {f"{part}.{one}" for part in parts for one in ("old", "new")}
    V = fit.sigma**2 * np.eye(120)
    for term in fit.model.terms:
        Z, apart = term.Z.toarray(), (data["trial"] != term.name.rpartition(".")[2]).to_numpy()
        assert not Z[apart].any()
        V += np.asarray(fit.varcorr[term.name].cov)[0, 0] * Z @ Z.T
    one = (data["trial"] == "old").to_numpy(float)
    surface = data[["row", "col"]].assign(both=data["row"] * data["col"]).to_numpy(float)
    X = np.column_stack([np.ones(120), one, *(surface * one[:, None]).T, *(surface * (1 - one)[:, None]).T])
    y, XVX = data["y"].to_numpy(), X.T @ np.linalg.solve(V, X)
    r = y - X @ np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y))
    dense = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1] + r @ np.linalg.solve(V, r) + 112 * np.log(2 * np.pi)
    assert fit.criterion == pytest.approx(dense, abs=1e-6)
    assert fit.effective_dimensions().sum() == pytest.approx(120)


def test_a_common_curve_and_one_about_it_for_each_level_is_one_model():
    data = curves_of_three()
    fit = mme.lmer("y ~ s(x) + f + s(x, by = f, hom = TRUE)", data)
    Z = {term.name: term.Z.toarray() for term in fit.model.terms}
    V = fit.sigma**2 * np.eye(180)
    V += sum(np.asarray(fit.varcorr[name].cov)[0, 0] * columns @ columns.T for name, columns in Z.items())
    lines = [data["x"] * (data["f"] == one) for one in "ABC"]
    X = np.column_stack([*((data["f"] == one).to_numpy(float) for one in "ABC"), *lines])
    beta = np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, data["y"]))
    fitted = data["y"] - fit.sigma**2 * np.linalg.solve(V, data["y"] - X @ beta)
    np.testing.assert_allclose(fit.fitted, fitted, atol=1e-7)


@pytest.mark.parametrize("common", [False, True])
def test_what_follows_knows_the_curves(common, tmp_path):
    data = curves_of_three()
    fit = mme.lmer(f"y ~ f + {SAID[common]}", data)
    np.testing.assert_allclose(fit.predict(data.iloc[[7, 3]]), fit.fitted[[7, 3]], atol=1e-8)
    fit.save(tmp_path / "curves.mme")
    again = mme.load_fit(tmp_path / "curves.mme")
    np.testing.assert_allclose(again.predict(data.iloc[[7, 3]]), fit.fitted[[7, 3]], atol=1e-8)
    x, one = np.array([1.0, 12.0]), ["C", "C"]
    line = fit.predict({"x": x, "f": one}, random=False)
    table = fit.curves("s(x):f" if common else "s(x).C", at={"x": x})
    curve = table.loc["C" if common else "all", "ebv"].to_numpy()
    np.testing.assert_allclose(line + curve, fit.predict({"x": x, "f": one}), atol=1e-10)
    if not common:
        np.testing.assert_allclose(fit.curves("s(x).C", at={"x": x, "f": one})["ebv"], curve)
        assert not fit.curves("s(x).C", at={"x": x, "f": ["A", "A"]})["ebv"].any()
    bare = mme.lmer("y ~ f", data)
    assert fit.update(". ~ . - f:s(x)" if not common else ". ~ . - f:s(x, hom = TRUE)").criterion == bare.criterion


def test_counts_have_curves_by_level_too():
    data = curves_of_three().assign(n=lambda d: np.round(np.exp(1 + 0.2 * d["y"])))
    fit = mme.glmer("n ~ f + ps(x, nseg = 4, by = f)", data, family="poisson")
    one = mme.glmer("n ~ ps(x, nseg = 4)", data[data["f"] == "A"], family="poisson")
    assert fit.varcorr["f(x).A"].cov == pytest.approx(np.asarray(one.varcorr["f(x)"].cov), rel=1e-3, abs=1e-8)
    new = {"x": [2.0, 3.3], "f": ["A", "A"]}
    np.testing.assert_allclose(fit.predict(new), one.predict({"x": [2.0, 3.3]}), rtol=1e-4)


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (
            "s(x, by = z)",
            "'z' holds numbers, and a smooth has a curve for each level of a factor: write by = factor(z)",
        ),
        ("z:ps(x)", "'z' holds numbers"),
        ("s(x, hom = TRUE)", "write s(x, by = f, hom = TRUE)"),
        ("s(x, by = f, hom = 2)", "hom must be TRUE or FALSE"),
        ("s(x, by = f + z)", "'f + z' is not a grouping factor"),
        ("f * s(x)", "a curve a level of a factor is f + s(x, by = f)"),
        ("s(x, by = one)", "has the one level 'u'; leave it out"),
    ],
)
def test_what_is_no_curve_by_level_is_refused_in_words(right, said):
    with pytest.raises(mme.MMEError, match=re.escape(said)):
        mme.lmer(f"y ~ {right}", curves_of_three().assign(one="u"))
