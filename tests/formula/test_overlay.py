"""Several labels of a record whose effects are of one kind: overlay(), against the dense covariance."""

import numpy as np
import pandas as pd
import pytest

import mme


def diallel(seed=4, lines=12):
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(lines) for j in range(lines) if i != j and rng.random() < 0.5]
    data = pd.DataFrame(pairs * 2, columns=["sire", "dam"])
    g = 2 * rng.normal(size=lines)
    data["y"] = 5 + g[data["sire"]] + g[data["dam"]] + rng.normal(size=len(data))
    data["x"] = rng.normal(size=len(data))
    return data


def incidence(data, columns, weights, levels):
    return sum(
        w * np.equal.outer(data[c].to_numpy(), levels).astype(float) for c, w in zip(columns, weights, strict=True)
    )


def criterion(y, X, V):
    """-2 log restricted likelihood, sigma^2 profiled out."""
    XVX = X.T @ np.linalg.solve(V, X)
    r = y - X @ np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y))
    m = len(y) - X.shape[1]
    return (
        np.linalg.slogdet(V)[1]
        + np.linalg.slogdet(XVX)[1]
        + m * (1 + np.log(2 * np.pi * (r @ np.linalg.solve(V, r)) / m))
    )


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_parents_of_a_diallel_have_one_variance(weight):
    data, second = diallel(), "dam" if weight == 1.0 else f"{weight} * dam"
    fit = mme.lmer(f"y ~ x + (1 | overlay(sire, {second}))", data)
    levels = fit.ranef()["sire"].index.to_numpy()
    Z, X, y = (
        incidence(data, ["sire", "dam"], [1.0, weight], levels),
        np.column_stack([np.ones(len(data)), data["x"]]),
        data["y"],
    )
    t = fit.theta[0]
    at = [criterion(y, X, np.eye(len(y)) + s**2 * Z @ Z.T) for s in (t * 0.999, t, t * 1.001)]
    assert fit.criterion == pytest.approx(at[1], abs=1e-8)
    assert at[1] < min(at[0], at[2])
    V = fit.sigma**2 * (np.eye(len(y)) + t**2 * Z @ Z.T)
    P = np.linalg.inv(V) - np.linalg.solve(V, X) @ np.linalg.solve(X.T @ np.linalg.solve(V, X), np.linalg.solve(V, X).T)
    G = fit.varcorr["sire"].cov[0, 0]
    np.testing.assert_allclose(fit.ranef()["sire"].iloc[:, 0], G * Z.T @ P @ y, rtol=1e-8)
    np.testing.assert_allclose(fit.pev()["sire"][:, 0, 0], G - G**2 * np.diag(Z.T @ P @ Z), rtol=1e-8)
    np.testing.assert_allclose(fit.pev_matrix("sire"), G * np.eye(12) - G**2 * Z.T @ P @ Z, atol=1e-10)
    np.testing.assert_allclose(fit.predict(data.head(4)), fit.fitted[:4])
    assert fit.ebv("sire")["records"].sum() == 2 * len(data)
    table = fit.pev_matrix("sire", differences=True).to_numpy()
    assert fit.average_difference("sire") == pytest.approx(table[np.triu_indices(12, 1)].mean())
    assert fit.cullis("sire") == pytest.approx(1 - fit.average_difference("sire") / (2 * G))


def test_all_that_is_asked_of_a_fit_knows_one_coefficient(tmp_path):
    data = diallel()
    fit = mme.lmer("y ~ x + (1 | overlay(sire, dam))", data)
    assert fit.varcorr["sire"].cov.shape == (1, 1)
    assert fit.heritability("sire").shape == (1, 2)
    assert fit.heritability("sire").iloc[0, 0] == pytest.approx(
        fit.vpredict("V_sire / (2 * V_sire + V_res)")["estimate"]
    )
    assert len(fit.variances()) == 1
    assert list(fit.tidy()["group"].dropna()) == ["sire", "residual"]
    assert fit.anova(ddf="kenward-roger").shape[0] == 1
    assert "overlay(sire, dam)" in fit.ranova().to_string()
    fit.save(tmp_path / "fit.mme")
    pd.testing.assert_frame_equal(mme.load_fit(tmp_path / "fit.mme").varcorr.to_frame(), fit.varcorr.to_frame())
    with pytest.raises(mme.MMEError, match="several levels a record"):
        fit.shrinkage()


def test_slopes_and_relationships_go_with_it_and_a_label_may_be_missing():
    data = diallel()
    data["dam"] = data["dam"].astype(object).where(data.index % 5 != 0, None)
    rng = np.random.default_rng(1)
    K = np.cov(rng.normal(size=(12, 30))) + 0.2 * np.eye(12)
    related = {"sire": mme.Relationship(covariance=K, levels=range(12))}
    fit = mme.lmer("y ~ x + (x | overlay(sire, dam))", data, relationship=related, theta=[0.8, 0.3, 0.5])
    Z0 = incidence(data, ["sire", "dam"], [1.0, 1.0], np.arange(12))
    T = np.array([[0.8, 0.0], [0.3, 0.5]])
    Z = np.stack([Z0, Z0 * data["x"].to_numpy()[:, None]], axis=2).reshape(len(data), -1)
    V = np.eye(len(data)) + Z @ np.kron(K, T @ T.T) @ Z.T
    X = np.column_stack([np.ones(len(data)), data["x"]])
    assert fit.criterion == pytest.approx(criterion(data["y"].to_numpy(), X, V), abs=1e-7)
    assert fit.ranef()["sire"].shape == (12, 2)


def test_direct_and_social_effects_are_correlated():
    rng = np.random.default_rng(6)
    pen = np.repeat(np.arange(30), 3)
    pig = np.arange(90) % 45
    mates = np.array([[pig[j] for j in range(90) if pen[j] == pen[i] and j != i] for i in range(90)])
    data = pd.DataFrame({"y": rng.normal(size=90), "pig": pig, "m1": mates[:, 0], "m2": mates[:, 1], "pen": pen})
    fit = mme.lmer("y ~ 1 + (1 | str(pig, overlay(m1, m2)))", data, theta=[0.8, -0.2, 0.4])
    levels = np.arange(45)
    Z = np.stack([incidence(data, ["pig"], [1], levels), incidence(data, ["m1", "m2"], [1, 1], levels)], axis=2)
    T = np.array([[0.8, 0.0], [-0.2, 0.4]])
    Z = Z.reshape(90, -1)
    V = np.eye(90) + Z @ np.kron(np.eye(45), T @ T.T) @ Z.T
    assert fit.criterion == pytest.approx(criterion(data["y"].to_numpy(), np.ones((90, 1)), V), abs=1e-8)
    assert fit.varcorr["pig"].names == ("pig", "m1")
    np.testing.assert_allclose(fit.varcorr["pig"].cov, fit.sigma**2 * T @ T.T)


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        ("overlay(sire)", "takes two columns or more"),
        ("overlay(sire, dam:x)", "takes columns; make one of 'dam:x'"),
        ("overlay(sire, dam + x)", "is not a grouping factor"),
        ("overlay(sire, dam, k = 2)", "takes two columns or more"),
    ],
)
def test_what_is_no_overlay_is_said_with_its_place(bar, message):
    with pytest.raises(mme.FormulaError, match=message):
        mme.lmer(f"y ~ x + (1 | {bar})", diallel())


def test_legendre_polynomials_are_orthonormal_and_keep_their_range():
    x, w = np.polynomial.legendre.leggauss(12)
    from mme.formula.splines import legendre

    state = {}
    values = legendre(state, x, 4, intercept=True, lower=-1, upper=1).values
    np.testing.assert_allclose(values.T @ (w[:, None] * values), np.eye(5), atol=1e-12)
    sleep = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ legendre(Days, 2) + (legendre(Days, 1) | Subject)", sleep)
    by_hand = mme.lmer("Reaction ~ Days + I(Days^2) + (Days | Subject)", sleep)
    assert fit.loglik - by_hand.loglik == pytest.approx(0.5 * (by_hand.criterion - fit.criterion), abs=1e-9)
    np.testing.assert_allclose(fit.fitted, by_hand.fitted, atol=1e-3)
    np.testing.assert_allclose(fit.predict(sleep.tail(3)), fit.fitted[-3:])
    with pytest.raises(mme.MMEError, match="does not vary"):
        mme.lmer("y ~ legendre(one, 2) + (1 | sire)", diallel().assign(one=1.0))


def test_curves_are_functions_of_the_coefficients():
    sleep = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (legendre(Days, 2, intercept = TRUE) - 1 | Subject)", sleep)
    curve = fit.curves(at={"Days": [0, 4.5, 9]})
    assert curve.index.names == ["Subject", "Days"]
    phi = np.array([np.sqrt(0.5), 0.0, -0.5 * np.sqrt(2.5)])
    b, G = fit.ranef()["Subject"].to_numpy(), fit.varcorr["Subject"].cov
    np.testing.assert_allclose(curve.xs(4.5, level="Days")["ebv"], b @ phi)
    pev = np.einsum("a,gab,b->g", phi, fit.pev()["Subject"], phi)
    np.testing.assert_allclose(curve.xs(4.5, level="Days")["reliability"], 1 - pev / (phi @ G @ phi))
    shares = fit.variance_curve(at={"Days": [0, 4.5]})
    assert shares.loc[4.5, "Subject"] == pytest.approx(phi @ G @ phi)
    assert shares.loc[4.5, "share"] == pytest.approx(phi @ G @ phi / (phi @ G @ phi + fit.sigma**2))
    with pytest.raises(mme.MMEError, match="at= lacks 'Days'"):
        fit.curves(at={"day": [1]})
    with pytest.raises(mme.MMEError, match="columns of one length"):
        fit.curves(at={"Days": [1, 2], "x": [1]})
