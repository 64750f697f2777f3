"""Quadratic forms of candidates, and what is asked of means, trends and steps, by dense algebra or by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

import mme
from mme.inference.scanning.forms import Forms

RNG = np.random.default_rng(8)
N = 60
DATA = pd.DataFrame(
    {
        "x": RNG.normal(size=N) + 3.0,
        "g": RNG.choice(list("abcdefgh"), N),
        "h": RNG.choice(list("uvwxyz"), N),
        "f": RNG.choice(["p", "q", "r"], N),
        "t": np.arange(N),
        "w": RNG.uniform(0.5, 3.0, N),
        "off": RNG.normal(size=N),
    }
)
DATA["y"] = 2.0 + 0.7 * DATA["x"] + RNG.normal(size=8)[DATA["g"].map(ord) - 97] + RNG.normal(size=N)
DATA["series"] = DATA["t"] % 6
MODELS = {
    "one term": ("y ~ x + (1 | g)", {}),
    "crossed, weighted": ("y ~ x + f + (x | g) + (1 | h)", {"weights": "w"}),
    "no random effects": ("y ~ x", {"residual": mme.AR1("t", "series")}),
    "beside correlated errors": ("y ~ x + (1 | h)", {"residual": mme.Exponential("t", "series")}),
}


def covariance(fit: mme.Fit) -> np.ndarray:
    """V / sigma^2 of the records, by definition."""
    model = fit.internals.model
    V = np.diag(1.0 / np.ones(N) if model.weights is None else 1.0 / model.weights)
    if model.residual is not None:
        V = model.residual.covariance(fit.internals.optimum.phi, np.arange(N))
    for term, T in zip(model.terms, model.T(fit.theta), strict=True):
        Z = np.ones((N, 1)) if term.covariates is None else term.covariates
        V = V + np.equal.outer(term.codes, term.codes) * (Z @ T @ T.T @ Z.T)
    return V


@pytest.mark.parametrize("name", MODELS)
def test_forms_of_candidates_are_those_of_P(name):
    """P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1."""
    formula, options = MODELS[name]
    data = DATA.assign(t=DATA["t"] // 6) if "residual" in options else DATA
    fit = mme.lmer(formula, data, **options)
    X, V = np.asarray(fit.internals.model.X), covariance(fit)
    W = np.linalg.inv(V)
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
    columns, y = np.random.default_rng(1).normal(size=(6, N)) + 2.0, DATA["y"].to_numpy()
    forms = Forms(fit.internals.estimates)
    squares, along = forms.of(columns)
    np.testing.assert_allclose(squares, np.einsum("bi,ij,bj->b", columns, P, columns), rtol=1e-8)
    np.testing.assert_allclose(along, columns @ P @ y, rtol=1e-7, atol=1e-9)
    pairs = columns.reshape(3, 2, N)
    S, s = forms.joint(pairs)
    for two, found, of_y in zip(pairs, S, s, strict=True):
        whole, beside = two @ P @ two.T, two @ P @ y
        unit = np.diag(whole) ** -0.5
        np.testing.assert_allclose(found, whole * np.outer(unit, unit), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(of_y, beside * unit, rtol=1e-7, atol=1e-9)
    rough, same = forms.roughly(columns)
    np.testing.assert_allclose(same, along, rtol=1e-7, atol=1e-9)
    if not fit.internals.model.terms:  # without random effects M is P
        np.testing.assert_allclose(rough, squares, rtol=1e-8)
    lost, _ = forms.of(X.T)
    assert np.isnan(lost).all()
    assert np.isnan(forms.roughly(X.T)[0]).all()


def test_a_slope_is_the_coefficient_whatever_offset_stands_beside_it():
    fit = mme.lmer("y ~ x + f + offset(off) + (1 | g)", DATA)
    slope, own = fit.trends("x").iloc[0], fit.coefficients().loc["x"]
    np.testing.assert_allclose(slope.to_numpy()[:2].astype(float), own.to_numpy()[:2], rtol=1e-9)
    curved = mme.lmer("y ~ log(x) * f + offset(off) + (1 | g)", DATA)
    several = curved.trends("x", by="f", at={"x": [2.0, 3.5]})
    b = curved.coefficients()["estimate"]
    slopes = b["log(x)"] + np.array([0.0, b["log(x):fq"], b["log(x):fr"]])
    expected = np.sort(np.concatenate([slopes / 2.0, slopes / 3.5]))
    np.testing.assert_allclose(np.sort(several.iloc[:, 0]), expected, rtol=1e-7)


def test_limits_of_probabilities_of_categories_are_symmetric_in_logits():
    rng = np.random.default_rng(9)
    g, x = rng.integers(0, 10, 150), rng.normal(size=150)
    eta = 0.6 * x + rng.normal(size=10)[g] + rng.logistic(size=150)
    grade = pd.Categorical.from_codes(np.digitize(eta, [-0.5, 1.0]), ["a", "b", "c"], ordered=True)
    fit = mme.glmer("grade ~ x + (1 | g)", pd.DataFrame({"g": g, "x": x, "grade": grade}), mme.Ordinal())
    for level in (0.95, 0.8):
        table = fit.means("x", at={"x": [-1.0, 2.0]}, scale="response", level=level)
        P, half = table["mean"], norm.ppf(0.5 + level / 2.0) * table["se"] / (table["mean"] * (1.0 - table["mean"]))
        np.testing.assert_allclose(table["lower"], expit(logit(P) - half), rtol=1e-9)
        np.testing.assert_allclose(table["upper"], expit(logit(P) + half), rtol=1e-9)


def test_boundaries_are_of_fits_with_the_same_weights_offset_and_sigma():
    one = mme.lmer("y ~ x + (1 | g)", DATA, method="ML", weights="w")
    for options in ({"weights": 1.0 / DATA["w"]}, {}):
        other = mme.lmer("y ~ 1 + (1 | g)", DATA, method="ML", **options)
        with pytest.raises(mme.MMEError, match="different weights"):
            mme.anova(one, other, boundary=True)
    offsets = [mme.lmer(f"y ~ {f} + (1 | g)", DATA, method="ML") for f in ("x + offset(off)", "1 + offset(2 * off)")]
    known = [mme.lmer(f"y ~ {f} + (1 | g)", DATA, method="ML", sigma=s) for f, s in (("x", 1.0), ("1", 2.0))]
    for word, fits in (("offset", offsets), ("sigma", known)):
        with pytest.raises(mme.MMEError, match=f"different {word}"):
            mme.anova(*fits, boundary=True)
    same = [mme.lmer(f"y ~ {f} + (1 | g)", DATA, method="ML", weights="w") for f in ("x", "1")]
    assert np.isfinite(mme.anova(*same, boundary=True)["p"].iloc[1])


def test_a_step_takes_away_the_random_term_that_says_least_wherever_it_stands():
    rng = np.random.default_rng(3)
    g, h = np.repeat(np.arange(20), 10), np.tile(np.arange(10), 20)
    y = 2.0 * rng.normal(size=20)[g] + rng.normal(size=200)
    data = pd.DataFrame({"y": y, "g": g.astype(str), "h": h.astype(str)})
    for formula in ("y ~ 1 + (1 | g) + (1 | h)", "y ~ 1 + (1 | h) + (1 | g)"):
        with pytest.warns(mme.MMEWarning, match="chosen by its p-values"):
            found = mme.lmer(formula, data).step()
        gone = found.random["eliminated"]
        assert gone["(1 | h)"] == 1.0
        assert gone["(1 | g)"] == 0.0
