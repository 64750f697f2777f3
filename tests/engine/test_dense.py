"""The oracle proven: lme4's values at lme4's theta, closed forms, and Henderson's equations."""

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from cases import Case, load_case, load_data, load_worked, private_cases
from dense import dense_fit, design, exact_fit, lower_factor


def one(data: pd.DataFrame) -> np.ndarray:
    return np.ones((len(data), 1))


def columns(*names: str):
    """Build (n, 1 + len(names)): an intercept and numeric columns."""
    return lambda data: np.column_stack([np.ones(len(data)), *(data[name] for name in names)])


def treatment(*names: str):
    """Build an intercept, then numeric columns as they are and factors by treatment contrasts."""
    return lambda data: np.hstack(
        [one(data), pd.get_dummies(data[[*names]], drop_first=True, dtype=float).to_numpy()],
    )


def crossed(first: str, second: str):
    """Build the full product of two factors (or numeric columns) by treatment contrasts: 1, A, B, A:B in R's order."""

    def build(data: pd.DataFrame) -> np.ndarray:
        A, B = (pd.get_dummies(data[[name]], drop_first=True, dtype=float).to_numpy() for name in (first, second))
        product = [(A[:, i] * B[:, j])[:, None] for j in range(B.shape[1]) for i in range(A.shape[1])]
        return np.hstack([one(data), A, B, *product])

    return build


def labels(data: pd.DataFrame, factor: str) -> np.ndarray:
    """Label each row with the level of ``a`` or ``a:b``."""
    names = factor.split(":")
    return np.array([":".join(row) for row in data[names].itertuples(index=False)])


# name -> X, and the terms in lme4's order (most levels first): grouping factor, basis of the term
MODELS = {
    "dyestuff_reml": (one, [("Batch", one)]),
    "dyestuff_ml": (one, [("Batch", one)]),
    "dyestuff2_reml": (one, [("Batch", one)]),  # singular: theta = 0
    "sleepstudy_slope_reml": (columns("Days"), [("Subject", columns("Days"))]),
    "sleepstudy_slope_ml": (columns("Days"), [("Subject", columns("Days"))]),
    "sleepstudy_diag_reml": (columns("Days"), [("Subject", one), ("Subject", lambda d: d[["Days"]].to_numpy())]),
    "sleepstudy_noint_reml": (columns("Days"), [("Subject", lambda d: d[["Days"]].to_numpy())]),
    "penicillin_reml": (one, [("plate", one), ("sample", one)]),
    "pastes_nested_ml": (one, [("cask:batch", one), ("batch", one)]),
    "cake_int_reml": (crossed("recipe", "temperature"), [("recipe:replicate", one)]),
    "orthodont_slope_reml": (crossed("age", "Sex"), [("Subject", columns("age"))]),
    "machines_3x3_reml": (treatment("Machine"), [("Worker", treatment("Machine"))]),
    "sim_corr_pos1_reml": (columns("x"), [("grp", columns("x"))]),  # singular: correlation 1
    "sim_facslope_reml": (
        lambda d: treatment("f", "x")(d)[:, [0, 2, 3, 1]],
        [("grp", lambda d: pd.get_dummies(d["f"], dtype=float).to_numpy()), ("grp", lambda d: d[["x"]].to_numpy())],
    ),
    "sim_inter_slope_reml": (columns("x"), [("a:b", one), ("b", one), ("a", columns("x"))]),
    "sim_missing_reml": (treatment("x", "f"), [("grp", one)]),
    "sim_weights_ml": (columns("x"), [("grp", columns("x"))]),
    "sim_weights_offset_reml": (columns("x"), [("grp", columns("x"))]),
    "sim_offset_reml": (columns("x"), [("grp", one)]),
    "sim_singletons_slope_reml": (columns("x"), [("grp", columns("x"))]),
    "sim_q4_reml": (columns("x1", "x2", "x3"), [("grp", columns("x1", "x2", "x3"))]),
    "sim_q4_mixed_reml": (columns("x1", "x2", "x3"), [("grp", columns("x1", "x2")), ("item", one)]),
    "sim_bigoffset_base_reml": (columns("x"), [("grp", one)]),
    "tlc_int_reml": (crossed("group", "week"), [("id", one)]),
    "tlc_int_ml": (crossed("group", "week"), [("id", one)]),
    "tlc_slope_reml": (crossed("group", "week"), [("id", columns("weeknum"))]),
}
SHIPPED = [name for name in MODELS if not name.startswith("tlc")]


def arrays(case: Case):
    """Return y (offset subtracted), X, blocks at the case's theta, and weights."""
    fields, data = case.json, case.complete
    fixed, terms = MODELS[case.name]
    y = data[fields["formula"].split(" ~ ")[0]].to_numpy()
    if fields["offset"]:
        y = y - data[fields["offset"]].to_numpy()
    weights = data[fields["weights"]].to_numpy() if fields["weights"] else None
    blocks, used = [], 0
    for factor, basis in terms:
        U = basis(data)
        q = U.shape[1]
        size = q * (q + 1) // 2
        T = lower_factor(fields["theta"][used : used + size], q)
        used += size
        blocks.append((design(labels(data, factor), U), T, None))
    assert used == fields["n_theta"]
    return y, fixed(data), blocks, weights


def by_term(case: Case, fit):
    """Yield per term: lme4's BLUPs and conditional variances beside those of the dense fit, levels x q (x q)."""
    start, seen = 0, {}
    for factor, basis in MODELS[case.name][1]:
        q = basis(case.complete).shape[1]
        stored = case.json["ranef"][factor]
        J, first = len(stored["levels"]), seen.get(factor, 0)
        seen[factor] = first + q
        condvar = stored["condVar"]
        if stored["condVar_is_list_per_term"]:  # several terms on one factor: one entry each, in the order of the terms
            condvar = list(condvar.values())[0 if first == 0 else 1]
        entries = slice(start, start + J * q)
        start += J * q
        own = fit.condvar[entries, entries].reshape(J, q, J, q)[np.arange(J), :, np.arange(J), :]
        sd = np.sqrt(np.diag(fit.G)[entries]).reshape(J, q)
        yield (
            fit.b[entries].reshape(J, q),
            np.array(stored["values"])[:, first : first + q],
            own,
            np.reshape(condvar, (J, q, q)),
            np.maximum(sd, 1e-12),
        )


@pytest.mark.parametrize("name", [*SHIPPED, *private_cases("tlc")])
def test_dense_formulas_at_lme4s_theta_give_lme4s_fit(name):
    case = load_case(name)
    y, X, blocks, w = arrays(case)
    fit = dense_fit(y, X, blocks, w, case.method)
    fields, se = case.json, np.array(case.json["se"])
    # The references were checked to about 1e-12; what is left is rounding, measured in units of the parameter's own SE.
    assert fit.criterion == pytest.approx(fields["objective"], rel=0, abs=1e-10)
    assert fit.loglik == pytest.approx(fields["logLik"], rel=0, abs=1e-10)
    assert fit.sigma == pytest.approx(fields["sigma"], rel=1e-11)
    assert np.abs((fit.beta - fields["beta"]) / se).max() < 1e-9
    assert np.abs((fit.beta_cov - fields["vcov_beta"]) / np.outer(se, se)).max() < 1e-10
    for b, b_stored, condvar, condvar_stored, sd in by_term(case, fit):
        assert np.abs((b - b_stored) / sd).max() < 1e-9
        assert np.abs((condvar - condvar_stored) / (sd[:, :, None] * sd[:, None, :])).max() < 1e-10


@pytest.mark.parametrize("name", [*SHIPPED, *private_cases("tlc")])
def test_residuals_are_y_minus_fixed_and_random_parts(name):
    case = load_case(name)
    y, X, blocks, w = arrays(case)
    fit = dense_fit(y, X, blocks, w, case.method)
    residuals = y - X @ fit.beta - np.hstack([Z for Z, _, _ in blocks]) @ fit.b
    assert np.abs(residuals[:10] - case.json["resid_head"]).max() < 1e-9 * fit.sigma


@pytest.mark.parametrize("name", ["dyestuff_reml", "dyestuff_ml", "dyestuff2_reml", "machines_3x3_reml"])
def test_extended_precision_agrees_with_double_where_double_is_enough(name):
    case = load_case(name)
    y, X, blocks, w = arrays(case)
    double = dense_fit(y, X, blocks, w, case.method)
    criterion, sigma, beta = exact_fit(y, X, blocks, w, case.method)
    assert criterion == pytest.approx(double.criterion, rel=1e-13)
    assert sigma == pytest.approx(double.sigma, rel=1e-12)
    np.testing.assert_allclose(beta, double.beta, rtol=1e-11)


def test_extended_precision_agrees_with_double_on_every_argument():
    rng = np.random.default_rng(1)
    X, y, w = rng.normal(size=(24, 3)), rng.normal(size=24), rng.uniform(0.5, 2, size=24)
    K = np.cov(rng.normal(size=(4, 9)))
    Z = design(rng.permutation(np.repeat(np.arange(4), 6)), rng.normal(size=(24, 2)))
    blocks = [(Z, lower_factor([0.7, -0.4, 0.3], 2), K), (design(np.arange(24) % 3), np.array([[1.3]]), None)]
    for method in ("REML", "ML"):
        for sigma in (None, 0.8):
            double = dense_fit(y, X, blocks, w, method, sigma)
            criterion, sd, beta = exact_fit(y, X, blocks, w, method, sigma)
            assert criterion == pytest.approx(double.criterion, rel=1e-13)
            assert sd == pytest.approx(double.sigma, rel=1e-13)
            np.testing.assert_allclose(beta, double.beta, rtol=1e-11)


@pytest.mark.parametrize("name", ["dyestuff_reml", "dyestuff_ml", "dyestuff2_reml", "dyestuff2_ml"])
def test_extended_precision_meets_the_closed_form_of_a_balanced_one_way_layout(name):
    case = load_case(name)
    exact = case.json["exact"]
    data = case.data
    block = (design(data["Batch"]), np.array([[exact["theta"]]]), None)
    criterion, sigma, _ = exact_fit(data["Yield"].to_numpy(), one(data), [block], method=case.method)
    assert criterion == pytest.approx(exact["objective"], rel=1e-15)
    assert sigma == pytest.approx(exact["sigma"], rel=1e-15)


@pytest.mark.parametrize("stem", ["dyestuff", "dyestuff2", "sim_ratio_tiny", "sim_ratio_huge"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_stored_closed_forms_are_those_of_the_mean_squares(stem, method):
    """Balanced one-way: theta^2 = (MSB (1 or 1 - 1/J) / MSE - 1) / n, cut at zero."""
    case = load_case(f"{stem}_{method}")
    response = case.json["formula"].split(" ~ ")[0]
    groups = list(case.data.groupby(case.json["theta_names"][0].split(".")[0])[response])
    with mp.workdps(60):
        values = [[mp.mpf(v) for v in group.tolist()] for _, group in groups]
        J, n = len(values), len(values[0])
        means = [mp.fsum(v) / n for v in values]
        grand = mp.fsum(means) / J
        between = n * mp.fsum((m - grand) ** 2 for m in means)
        within = mp.fsum((x - m) ** 2 for v, m in zip(values, means, strict=True) for x in v)
        freedom = J - 1 if method == "reml" else J
        sigma2 = within / (J * (n - 1))
        theta2 = (between / freedom / sigma2 - 1) / n
        if theta2 < 0:
            theta2, sigma2 = mp.mpf(0), (between + within) / (freedom + J * (n - 1))
        assert float(mp.sqrt(theta2)) == pytest.approx(case.json["exact"]["theta"], rel=1e-15)
        assert float(mp.sqrt(sigma2)) == pytest.approx(case.json["exact"]["sigma"], rel=1e-15)
        se = mp.sqrt(sigma2 * (1 + n * theta2) / (n * J))
        assert float(se) == pytest.approx(case.json["exact"]["se_mean"], rel=1e-15)


def test_extended_precision_is_blind_to_a_shift_of_the_response():
    case = load_case("dyestuff_reml")
    y, X, blocks, _ = arrays(case)
    shifted, base = (exact_fit(y + shift, X, blocks)[0] for shift in (2.0**40, 0.0))  # 2^40: the sums are exact
    assert shifted == base


@pytest.mark.parametrize("name", ["sleepstudy_slope_reml", "sim_weights_ml", "sim_inter_slope_reml"])
def test_blup_and_pev_are_those_of_hendersons_equations(name):
    """( C' Rinv C + diag(0, Ginv) ) [beta; b] = C' Rinv y, and the inverse holds beta_cov and PEV."""
    case = load_case(name)
    y, X, blocks, w = arrays(case)
    fit = dense_fit(y, X, blocks, w, case.method)
    p = X.shape[1]
    C = np.hstack([X, *(Z for Z, _, _ in blocks)])
    Rinv = np.diag(np.ones(y.size) if w is None else w) / fit.sigma**2
    coefficients = C.T @ Rinv @ C
    coefficients[p:, p:] += np.linalg.inv(fit.G)
    solution = np.linalg.solve(coefficients, C.T @ Rinv @ y)
    inverse = np.linalg.inv(coefficients)
    np.testing.assert_allclose(solution[:p], fit.beta, rtol=1e-9)
    np.testing.assert_allclose(solution[p:], fit.b, rtol=0, atol=1e-9 * np.abs(fit.b).max())
    np.testing.assert_allclose(inverse[:p, :p], fit.beta_cov, rtol=1e-8)
    np.testing.assert_allclose(inverse[p:, p:], fit.pev, rtol=0, atol=1e-9 * np.abs(fit.G).max())


@pytest.mark.parametrize("model", ["model1", "model2", "model3"])
def test_worked_tables_of_group_means_and_their_shrunken_predictions_are_consistent(model):
    worked = load_worked()["worked0"][model]
    data = load_data(worked["data"])
    block = (design(data["g"]), np.array([[worked["theta"]]]), None)
    fit = dense_fit(data["y"].to_numpy(), one(data), [block])
    np.testing.assert_allclose(data.groupby("g")["y"].mean(), worked["fe"], rtol=1e-12)
    np.testing.assert_allclose(fit.beta + fit.b, worked["re_tight"], rtol=1e-12)
    assert fit.criterion == pytest.approx(worked["REMLcrit"], rel=0, abs=1e-10)


def test_without_random_terms_it_is_weighted_least_squares():
    rng = np.random.default_rng(2)
    X, y, w = rng.normal(size=(20, 2)), rng.normal(size=20), rng.uniform(0.5, 2, size=20)
    fit = dense_fit(y, X, [], w)
    root = np.sqrt(w)
    beta, rss, _, _ = np.linalg.lstsq(root[:, None] * X, root * y)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-12)
    assert fit.sigma == pytest.approx(np.sqrt(rss[0] / 18), rel=1e-12)
    assert fit.b.size == 0
