"""Intervals on the degrees of freedom of their own variances: of fixed effects, of predictions, of new records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import block_diag
from scipy.stats import norm
from scipy.stats import t as student

import mme
from mme.inference.fixed.quantiles import t_quantile
from mme.solution.estimates import Estimates
from mme.solution.joint import Entries
from mme.solution.prediction_error import Part


@pytest.fixture(scope="module")
def sleep():
    return mme.load("sleepstudy")


@pytest.fixture(scope="module")
def slopes(sleep):
    return mme.lmer("Reaction ~ Days + (Days | Subject)", sleep)


def six_groups(seed=6):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "arm": np.repeat(["c", "t"], 12)})
    data["y"] = rng.normal(size=6)[data["g"]] + rng.normal(size=24)
    return data


def dense_variance(fit, theta, s2, x, z, record=0.0):
    """var of x'(beta_hat - beta) + z'(b_hat - b), plus ``record`` s2, by n x n matrices at any variances."""
    model = fit.internals.model
    X = model.X[:, fit.internals.objective.basis.kept]
    Z = np.hstack([term.Z.toarray() for term in model.terms])
    G = block_diag(
        *(np.kron(np.eye(term.n_levels), T @ T.T) for term, T in zip(model.terms, model.T(theta), strict=True))
    )
    w = np.ones(model.n) if model.weights is None else model.weights
    Vinv = np.linalg.inv(Z @ G @ Z.T + np.diag(1 / w))
    left = x - z @ G @ Z.T @ Vinv @ X
    mean = z @ (G - G @ Z.T @ Vinv @ Z @ G) @ z + left @ np.linalg.inv(X.T @ Vinv @ X) @ left
    return s2 * (mean + record)


def dense_df(fit, v):
    """2 v^2 / var(v) for v(theta, sigma^2) by the delta method, numerically, from the fit's own criterion."""
    k, n_eff = fit.internals.model.k, fit.internals.objective.constants.n_effective
    at = np.append(fit.theta, fit.sigma**2)

    def criterion(p):
        there = Estimates(fit.internals.objective, p[:k])
        rest = there.criterion - n_eff * (1 + np.log(2 * np.pi * there.pwrss / n_eff))
        return rest + n_eff * np.log(2 * np.pi * p[k]) + there.pwrss / p[k]

    def f(p):
        return v(p[:k], p[k])

    h = np.append(np.full(k, 2e-3), 2e-3 * at[k])
    steps = np.diag(h)
    g = np.array([(8 * (f(at + e) - f(at - e)) - (f(at + 2 * e) - f(at - 2 * e))) / 12 for e in steps]) / h
    H = np.empty((k + 1, k + 1))
    for i, a in enumerate(steps):
        for j, b in enumerate(steps):
            ends = criterion(at + a + b), criterion(at - a - b), criterion(at + a - b), criterion(at - a + b)
            H[i, j] = (ends[0] + ends[1] - ends[2] - ends[3]) / (4 * h[i] * h[j])
    return 2 * f(at) ** 2 / (g @ (2 * np.linalg.inv(H)) @ g)


def rows_of(fit, rows):
    """x and z of records of the fit."""
    x = fit.internals.model.X[:, fit.internals.objective.basis.kept][rows]
    z = np.hstack([term.Z.toarray() for term in fit.internals.model.terms])[rows]
    return zip(x, z, strict=True)


def crossed(seed):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": rng.integers(0, 9, 90), "h": rng.integers(0, 6, 90), "x": rng.normal(size=90)})
    b = rng.normal(size=(9, 2))
    data["w"] = rng.uniform(0.5, 2.0, 90)
    data["y"] = b[data["g"], 0] + b[data["g"], 1] * data["x"] + rng.normal(size=6)[data["h"]] + rng.normal(size=90)
    return data


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x + (1 | g)", {}),
        ("y ~ x + (x | g)", {}),
        ("y ~ x + (x || g) + (1 | h)", {}),
        ("y ~ x + (1 | g) + (1 | h)", {"weights": "w"}),
        ("y ~ x + (1 | g) + (1 | h)", {"method": "ML"}),
    ],
)
def test_degrees_of_freedom_of_a_prediction_are_those_of_its_own_variance(formula, options):
    fit = mme.lmer(formula, crossed(1), **options)
    rows = [0, 17, 40]
    mean = fit.predict(interval="confidence").iloc[rows]
    record = fit.predict(interval="prediction").iloc[rows]
    own = np.ones(90) if fit.internals.model.weights is None else 1.0 / fit.internals.model.weights
    for i, (x, z) in enumerate(rows_of(fit, rows)):
        for table, more in ((mean, 0.0), (record, own[rows[i]])):
            expected = dense_df(fit, lambda theta, s2, x=x, z=z, more=more: dense_variance(fit, theta, s2, x, z, more))
            assert table["df"].iloc[i] == pytest.approx(expected, rel=5e-5)


def test_without_random_effects_a_prediction_is_the_contrast_that_it_is(slopes, sleep):
    new = pd.DataFrame({"Days": [0.0, 3.5, 20.0]})
    L = np.column_stack([np.ones(3), new["Days"]])
    for ddf in ("satterthwaite", "kenward-roger", "none"):
        table = slopes.predict(new, random=False, interval="confidence", ddf=ddf)
        expected = slopes.contrast(L, ddf=ddf)
        assert_allclose(table[["se", "df"]], expected[["se", "df"]], rtol=1e-12)
        half = student.ppf(0.975, np.minimum(expected["df"], 1e10)) * expected["se"]
        assert_allclose(table["upper"], expected["estimate"] + half, rtol=1e-9)


def test_intervals_and_p_values_are_by_one_distribution():
    fit = mme.lmer("y ~ arm + (1 | g)", six_groups())
    for ddf in ("satterthwaite", "kenward-roger", "none"):
        table, limits = fit.coefficients(ddf), fit.confint(ddf=ddf)
        half = student.ppf(0.975, np.minimum(table["df"], 1e10)) * table["se"]
        assert_allclose(limits["upper"], table["estimate"] + half, rtol=1e-9)
        for level in (0.5, 0.9):
            at = fit.confint(level=1.0 - table.loc["armt", "p"], ddf=ddf).loc["armt"]
            assert np.abs(at).min() < 1e-7, level  # the interval at level 1 - p ends at zero
    assert_allclose(fit.confint(), fit.confint(ddf="satterthwaite"))


def test_an_interval_with_no_variance_in_the_random_effects_is_that_of_least_squares():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": np.arange(12.0), "g": np.tile(np.arange(3), 4), "y": rng.normal(size=12)})
    fit = mme.lmer("y ~ x + (1 | g)", data, theta=[0.0])
    X = np.column_stack([np.ones(12), data["x"]])
    beta = np.linalg.lstsq(X, data["y"], rcond=None)[0]
    s2 = ((data["y"] - X @ beta) ** 2).sum() / 10
    h = np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)
    for interval, variance in (("confidence", s2 * h), ("prediction", s2 * (1 + h))):
        table = fit.predict(interval=interval)
        assert_allclose(table["df"], 10.0, rtol=1e-12)
        assert_allclose(table["upper"] - table["fit"], student.ppf(0.975, 10) * np.sqrt(variance), rtol=1e-9)


def test_a_record_of_known_residual_scale_has_the_normal_distribution_at_given_theta(sleep):
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", sleep, theta=[1.2], sigma=30.0)
    table = fit.predict(interval="prediction")
    assert np.isinf(table["df"]).all()
    assert_allclose(table["upper"] - table["fit"], norm.ppf(0.975) * table["se"], rtol=1e-12)


def test_a_new_level_is_as_uncertain_as_the_variance_of_the_levels(slopes):
    new = pd.DataFrame({"Days": [0.0, 9.0], "Subject": ["new", "308"]})
    table = slopes.predict(new, new_levels="population", interval="confidence")
    x = np.array([1.0, 0.0])

    def variance(theta, s2):
        T = slopes.internals.model.T(theta)[0]
        return dense_variance(slopes, theta, s2, x, np.zeros(36), (T @ T.T)[0, 0])

    assert table["se"].iloc[0] ** 2 == pytest.approx(variance(slopes.theta, slopes.sigma**2), rel=1e-9)
    assert table["df"].iloc[0] == pytest.approx(dense_df(slopes, variance), rel=5e-5)
    assert table["df"].iloc[0] < 18.0 < table["df"].iloc[1]


def test_kenward_rogers_variance_of_a_prediction_adds_twice_what_estimating_the_variances_adds():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), rng.integers(2, 6, 12))})
    data["x"] = rng.normal(size=len(data))
    data["y"] = rng.normal(size=12)[data["g"]] + rng.normal(size=len(data))
    fit = mme.lmer("y ~ x + (1 | g)", data)
    X, Z = fit.internals.model.X, fit.internals.model.terms[0].Z.toarray()
    gamma = np.array([fit.theta[0] ** 2, 1.0]) * fit.sigma**2
    parts = [Z @ Z.T, np.eye(len(data))]
    Vinv = np.linalg.inv(gamma[0] * parts[0] + gamma[1] * parts[1])
    P = Vinv - Vinv @ X @ np.linalg.inv(X.T @ Vinv @ X) @ X.T @ Vinv
    W = 2 * np.linalg.inv([[np.trace(P @ A @ P @ B) for B in parts] for A in parts])
    z = np.eye(12)[data["g"]]

    def v(g, i, record):
        return dense_variance(fit, [np.sqrt(g[0] / g[1])], g[1], X[i], z[i], record)

    h = 1e-3 * gamma
    for record, interval in ((0.0, "confidence"), (1.0, "prediction")):
        table = fit.predict(interval=interval, ddf="kenward-roger")
        for i in (0, 10, 30):
            steps = np.diag(h)
            u = np.array([(v(gamma + e, i, record) - v(gamma - e, i, record)) for e in steps]) / (2 * h)
            curve = np.array(
                [
                    [
                        v(gamma + a + b, i, record)
                        + v(gamma - a - b, i, record)
                        - v(gamma + a - b, i, record)
                        - v(gamma - a + b, i, record)
                        for b in steps
                    ]
                    for a in steps
                ]
            ) / (4 * np.outer(h, h))
            plain = v(gamma, i, record)
            assert table["se"].iloc[i] ** 2 == pytest.approx(plain - (W * curve).sum(), rel=1e-5)
            assert table["df"].iloc[i] == pytest.approx(2 * plain**2 / (u @ W @ u), rel=1e-5)


def test_kenward_rogers_variance_of_an_area_is_near_that_of_prasad_and_rao():
    # theirs has the information without what the fixed effects take of it
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(40), 4), "x": rng.normal(size=160)})
    data["y"] = rng.normal(size=40)[data["g"]] + rng.normal(size=160)
    fit = mme.lmer("y ~ x + (1 | g)", data)
    new = pd.DataFrame({"x": data.groupby("g")["x"].mean().to_numpy(), "g": np.arange(40)})
    X = pd.DataFrame({"(Intercept)": 1.0, "x": new["x"].to_numpy()}, index=new["g"])
    table = fit.predict(new, interval="confidence", ddf="kenward-roger")
    assert_allclose(table["se"] ** 2, fit.eblup_mse(X)["mse"], rtol=0.01)


def test_kenward_roger_needs_what_its_tests_need(sleep):
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", sleep, method="ML")
    with pytest.raises(mme.MMEError, match="is for REML"):
        fit.predict(interval="confidence", ddf="kr")


def test_correlated_residuals_have_their_part_in_the_degrees_of_freedom():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(10), 5), "t": np.tile(np.arange(5), 10)})
    data["v"] = np.where(data["t"] > 2, "late", "early")
    data["y"] = rng.normal(size=10)[data["g"]] + rng.normal(size=50) * np.where(data["t"] > 2, 2.0, 1.0)
    fit = mme.lmer("y ~ t + (1 | g)", data, residual=mme.Heterogeneous("v"))
    table = fit.predict(interval="prediction")
    late, early = table[data["v"] == "late"]["df"], table[data["v"] == "early"]["df"]
    assert late.max() < 30.0 < 49.0
    assert early.notna().all()
    assert_allclose(
        fit.predict(interval="confidence", random=False)["df"],
        fit.contrast(fit.internals.model.X)["df"],
        rtol=1e-9,
    )
    # a late record's own variance: 20 records' worth
    assert late.iloc[0] == pytest.approx(20.0, rel=0.35)


def test_the_level_and_the_words_are_checked_before_anything_is_computed(slopes):
    for options, said in (({"ddf": "residual"}, "ddf must be"), ({"level": 1.5}, "level must lie between 0 and 1")):
        with pytest.raises(mme.MMEError, match=said):
            slopes.predict(interval="confidence", **options)
        with pytest.raises(mme.MMEError, match=said):
            slopes.confint(**options)


def test_intervals_of_predictions_cover_what_they_say_with_six_groups():
    rng, covered, total = np.random.default_rng(11), {"satterthwaite": 0, "none": 0}, 0
    data = six_groups()
    for _ in range(100):
        b = rng.normal(size=6)
        data["y"] = b[data["g"]] + rng.normal(size=24)
        fit = mme.lmer("y ~ arm + (1 | g)", data)
        for ddf in covered:
            low, high = fit.confint(ddf=ddf).loc["armt"]
            covered[ddf] += low <= 0.0 <= high
        total += 1
    assert covered["satterthwaite"] / total > 0.92 > covered["none"] / total


def test_rows_are_read_once_for_each_derivative_in_pieces_of_bounded_size(slopes, sleep):
    new = pd.concat([sleep] * 60, ignore_index=True)  # more than one piece
    table = slopes.predict(new, interval="prediction")
    assert_allclose(table.iloc[-180:], slopes.predict(sleep, interval="prediction"), rtol=1e-12)


def test_no_prediction_has_fewer_degrees_of_freedom_than_the_least_known_variance():
    from mme.prediction.freedom import _least_df, _moved

    for seed, formula in ((1, "y ~ x + (x | g)"), (2, "y ~ x + (1 | g) + (1 | h)"), (3, "y ~ x + (x || g) + (1 | h)")):
        fit = mme.lmer(formula, crossed(seed))
        if fit.singular:
            continue
        least = _least_df(
            fit.internals, fit.satterthwaite, _moved(fit.internals, fit.satterthwaite, fit.internals.estimates)
        )
        df = [fit.predict(interval=interval)["df"].min() for interval in ("confidence", "prediction")]
        assert 0.0 < least <= min(df) * (1.0 + 1e-5)
        new = pd.DataFrame({"x": [0.0, 5.0], "g": [-1, -2], "h": [-1, -2]})
        new = fit.predict(new, new_levels="population", interval="confidence")["df"].min()
        assert least <= new * (1.0 + 1e-5)
        assert least > 0.3 * new  # a bound that says something


def test_quantiles_of_many_intervals_are_those_of_each():
    df = np.exp(np.random.default_rng(1).uniform(0.0, 12.0, 30_000))
    df[:2] = np.inf
    expected = np.where(np.isinf(df), norm.ppf(0.975), student.ppf(0.975, np.minimum(df, 1e9)))
    assert_allclose(t_quantile(0.95, df), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (1 | g)",
        "y ~ x + (x | g)",
        "y ~ w + x + (x | g) + (1 | h)",
        "y ~ x + (w | g)",
        "y ~ 0 + x + (1 + w | g)",
    ],
)
@pytest.mark.parametrize("interval", ["confidence", "prediction"])
def test_intervals_of_many_rows_are_those_of_the_rows_by_themselves(formula, interval):
    rng = np.random.default_rng(17)
    data = pd.DataFrame({"x": 2000 + rng.normal(size=200), "w": rng.normal(size=200)})
    data["g"], data["h"] = rng.integers(0, 12, 200), rng.integers(0, 5, 200)
    data["y"] = data["x"] + rng.normal(size=12)[data["g"]] + rng.normal(size=5)[data["h"]] + rng.normal(size=200)
    fit = mme.lmer(formula, data)
    many = pd.DataFrame({"x": 2000 + rng.normal(size=20_000), "w": rng.normal(size=20_000)})
    many["g"], many["h"] = rng.integers(0, 14, 20_000), rng.integers(0, 6, 20_000)
    found = fit.predict(many, interval=interval, new_levels="population").iloc[::997]
    alone = fit.predict(many.iloc[::997], interval=interval, new_levels="population")
    assert_allclose(found, alone, rtol=1e-9)


def test_a_slope_beside_its_fixed_one_has_an_entry_a_pair_of_columns():
    rng = np.random.default_rng(3)
    n, change = 5_000, rng.normal(size=(4, 4))
    X = rng.normal(size=(n, 3)) @ change[:3, :3]
    codes = rng.integers(0, 30, n)
    fit = mme.fit(rng.normal(size=n), X, [mme.Term(codes, X[:, :2], name="g")])
    origin = fit.internals.estimates.in_axes
    block = origin.objective.blocks[0]
    inside, beside = (
        Entries(origin, X, [Part(0, codes, block.rows(z))], []) for z in (X[:, :2], X[:, :2] + rng.normal(size=(n, 2)))
    )
    widths = [
        entries._tables(np.split(np.zeros((1, entries.size)), [9], axis=1))[1][0].table.shape[1]
        for entries in (inside, beside)
    ]
    assert widths == [2 * 3 // 2 + 2 * 1, 2 * 3 // 2 + 2 * 3]
