"""Leverage, deletion, residuals, shares of variance, small areas and the report on a troubled fit."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import SHIPPED, load_case, load_data
from fits import judged
from numpy.linalg import inv, solve
from scipy.linalg import block_diag

import mme
from mme.diagnosis.groups import group_hats
from mme.diagnosis.hat import Hat
from mme.diagnosis.levels import _shifts
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.numeric.limits import Limits, within
from mme.solution.gains import Pattern

REFERENCE = json.loads((SHIPPED / "diagnosis.json").read_text())
PEERS = [name for name in REFERENCE if name != "made_with"]


def arrays(fit):
    """Whitened X (kept columns), y - offset, V in units of sigma^2, and whitened R: all dense."""
    model = fit.internals.model
    R = np.eye(model.n)
    if model.residual is not None:
        R = model.residual.covariance(fit.optimum.phi, np.arange(model.n))
    w = np.ones(model.n) if model.weights is None else model.weights
    R = R / np.sqrt(np.outer(w, w))
    V = R.copy()
    for term, T in zip(model.terms, model.T(fit.theta), strict=True):
        K = np.eye(term.n_levels) if term.relationship is None else inv(term.relationship.precision.toarray())
        Z = term.Z.toarray()
        V += Z @ np.kron(K, T @ T.T) @ Z.T
    y = model.y if model.offset is None else model.y - model.offset
    return model.X[:, fit.internals.objective.basis.kept], y, V, R


def gls(X, y, V, keep):
    Vi, X = inv(V[np.ix_(keep, keep)]), X[keep]
    return solve(X.T @ Vi @ X, X.T @ Vi @ y[keep])


def dense_hat(fit):
    """dfitted / dy, with whitened records: R^-1/2 (I - R P) R^1/2 has the diagonal I - R^1/2 P R^1/2."""
    X, _, V, R = arrays(fit)
    Vi = inv(V)
    P = Vi - Vi @ X @ solve(X.T @ Vi @ X, X.T @ Vi)
    root = np.linalg.cholesky(R)
    return np.eye(len(R)) - root.T @ P @ root


def peer(name):
    case = load_case(name)
    return case.fit(theta=REFERENCE[name]["theta"]), case.data


# -- against lme4 and performance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PEERS)
def test_leverages_residuals_and_distances_of_records_are_lme4s(name):
    fit, _ = peer(name)
    expected = REFERENCE[name]
    found = {
        "hat": fit.leverage(),
        "cooks_distance": fit.cooks_distance(),
        "pearson": fit.scaled_residuals("pearson"),
    }
    for what, values in found.items():
        np.testing.assert_allclose(np.asarray(values)[fit.internals.rows.kept], expected[what], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PEERS)
def test_distances_of_groups_are_those_of_lme4_fitted_without_them_at_the_same_theta(name):
    fit, data = peer(name)
    known = {term.group for term in fit.internals.model.terms}
    for by, expected in REFERENCE[name]["by"].items():
        found = fit.cooks_distance(by=by if by in known else data[by])
        assert found.index.tolist() == sorted(expected)
        np.testing.assert_allclose(found, [expected[label] for label in found.index], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in PEERS if "r2" in REFERENCE[name]])
def test_r_squared_and_icc_are_those_of_performance(name):
    fit, _ = peer(name)
    expected = REFERENCE[name]
    assert fit.r2().to_dict() == pytest.approx(expected["r2"], rel=1e-9, abs=1e-12)
    assert fit.icc()["all"] == pytest.approx(expected["icc"]["adjusted"], rel=1e-9)
    assert fit.variance_shares()["share"].iloc[1:-1].sum() == pytest.approx(expected["icc"]["unadjusted"], rel=1e-9)


# -- against dense matrices -------------------------------------------------------------------------------------------


def crossed(weights=False, seed=1):
    """90 records of 12 x 7 x 3 crossed levels, some cells empty, a slope by the first factor."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.integers(0, 12, 90), rng.integers(0, 7, 90), rng.integers(0, 3, 90)
    x = rng.normal(size=90)
    y = 1.0 + x + rng.normal(size=12)[a] + 0.5 * rng.normal(size=7)[b] + rng.normal(size=90)
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "c": c, "w": rng.uniform(0.5, 2.0, 90) if weights else 1.0})


MODELS = {
    "one factor": ("y ~ x + (x | a)", {}, [0.8, 0.2, 0.5]),
    "two factors": ("y ~ x + (x | a) + (1 | b)", {}, [0.8, 0.2, 0.5, 0.6]),
    "three factors, slopes in two": ("y ~ x + (x | a) + (x | b) + (1 | c)", {}, [0.8, 0.2, 0.5, 0.6, -0.2, 0.3, 0.4]),
    "singular": ("y ~ x + (x | a) + (1 | b)", {}, [0.8, 0.4, 0.0, 0.0]),
    "two terms on a factor": ("y ~ x + (x || a) + (1 | b)", {}, [0.8, 0.5, 0.6]),
    "weights": ("y ~ x + (x | a) + (1 | b)", {"weights": "w"}, [0.8, 0.2, 0.5, 0.6]),
}


def model_fit(name):
    formula, options, theta = MODELS[name]
    return mme.lmer(formula, crossed(weights=bool(options)), theta=theta, **options)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dense", "a_product"), [(True, 1_000_000), (True, 0), (False, 0)])
def test_leverages_are_the_diagonal_of_the_dense_hat_matrix_whatever_is_absorbed(name, dense, a_product):
    """With P H_2 by panels, by pairs, or from H_2 on the pattern of K."""
    pieces = Limits(pair_product_cost=a_product, panel_numbers=40, pair_numbers=25)  # several panels, several lots
    fit = model_fit(name)
    expected = np.diag(dense_hat(fit))
    for absorb in [None, *range(len(fit.internals.objective.blocks))]:
        objective = Objective.of(fit.internals.model, phi=fit.internals.objective.phi, plan=Plan(absorb, dense))
        hat = Hat(objective, fit.theta, objective.evaluate(fit.theta))
        with within(pieces):
            np.testing.assert_allclose(hat.diagonal, expected, rtol=0, atol=1e-12)


def test_entries_on_a_pattern_are_found_where_numbers_of_half_width_would_overflow():
    m, row, col = 80_000, np.array([60_000, 70_000, 70_000]), np.array([10, 10, 60_000])
    pattern = Pattern(m, col * m + row, np.array([1.0, 2.0, 3.0]))
    i, j = np.array([[70_000, 10, 79_999], [60_000, 60_000, 79_999]], dtype=np.int32)
    values, known = pattern.entries(i, j)
    assert values[:2].tolist() == [3.0, 1.0]
    assert known.tolist() == [True, True, False]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("whole", [True, False])
def test_blocks_of_any_groups_are_those_of_the_dense_hat_matrix_whatever_is_absorbed(name, whole):
    """P H_2 P' made once, or for each group its own part."""
    cost = Limits() if whole else Limits(group_hat_cost=-1_000_000_000)
    fit = model_fit(name)
    expected, eighths = dense_hat(fit), np.arange(90) % 8
    for absorb in [None, *range(len(fit.internals.objective.blocks))]:
        objective = Objective.of(fit.internals.model, plan=Plan(absorb, True))
        at = objective.evaluate(fit.theta)
        U = Hat(objective, fit.theta, at).U
        with within(cost):
            found = list(group_hats(objective, fit.theta, at).of(eighths, np.array([0, 3, 7])))
        for records, H in found:
            assert (eighths[records] == eighths[records[0]]).all()
            among = expected[np.ix_(records, records)]
            np.testing.assert_allclose(H + U[records] @ U[records].T, among, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 60, 250_000])
def test_levels_of_any_sizes_leave_in_batches(batch):
    """The first record is of the largest level, which meets more than all of a batch of small ones."""
    rng = np.random.default_rng(12)
    data = pd.DataFrame({"a": np.repeat(np.arange(16), [14, *range(1, 6), *range(1, 6), 3, 3, 2, 2, 9])})
    data = data.assign(b=rng.permutation(len(data)) % 8, x=rng.normal(size=len(data)), y=rng.normal(size=len(data)))
    fit = mme.lmer("y ~ x + (1 | a) + (1 | b)", data, theta=[0.9, 0.6])
    assert fit.internals.model.terms[fit.internals.objective.plan.absorb].group == "a"
    X, y, V, _ = arrays(fit)
    with within(Limits(level_batch_numbers=batch)):
        moved, full = fit.dfbeta(by="a"), gls(X, y, V, np.arange(len(data)))
    for label in moved.index:
        shift = full - gls(X, y, V, np.flatnonzero(data["a"] != label))
        np.testing.assert_allclose(moved.loc[label], shift, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [3, 40])
def test_shifts_of_padded_levels_are_those_of_the_inverse(n):
    """Few records and many effects, or the other way round."""
    rng = np.random.default_rng(n)
    Z, U, e = (rng.normal(size=(4, n, *size)) / (3.0 * np.sqrt(n)) for size in ((6,), (3,), ()))
    root = rng.normal(size=(4, 6, 6)) / 3
    S = root @ root.transpose(0, 2, 1)
    found = _shifts(Z, S, U, e)
    for g in range(4):
        expected = U[g].T @ solve(np.eye(n) - Z[g] @ S[g] @ Z[g].T - U[g] @ U[g].T, e[g])
        np.testing.assert_allclose(found[g], expected, rtol=0, atol=1e-12)
    U[2] = 0.0
    U[2, :, 0] = 1.0 / np.sqrt(n)
    assert np.isnan(_shifts(np.zeros_like(Z), S, U, e)).any(axis=1).tolist() == [False, False, True, False]


def test_leverages_are_between_zero_and_one_and_add_up_to_the_parameters_spent():
    fit = model_fit("two factors")
    h = fit.leverage()
    assert h.between(0.0, 1.0).all()
    G = block_diag(
        *(
            np.kron(np.eye(t.n_levels), T @ T.T)
            for t, T in zip(fit.internals.model.terms, fit.internals.model.T(fit.theta), strict=True)
        )
    )
    X, _, V, _ = arrays(fit)
    Z = np.hstack([term.Z.toarray() for term in fit.internals.model.terms])
    P = inv(V) - inv(V) @ X @ solve(X.T @ inv(V) @ X, X.T @ inv(V))
    assert h.sum() == pytest.approx(2.0 + np.trace(G @ Z.T @ P @ Z), rel=1e-11)  # tr H = p + tr(G Z'PZ)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("whole", [True, False])
def test_changes_of_beta_are_those_of_fits_without_the_record_or_group(name, whole):
    """By the whole inverse of the remainder, or by absorbing the groups anew where it would not fit."""
    entries = Limits() if whole else Limits(group_hat_entries=-1)
    fit = model_fit(name)
    data, (X, y, V, _) = crossed(), arrays(fit)
    every = np.arange(len(y))
    full = gls(X, y, V, every)
    moved = fit.dfbeta()
    assert moved.columns.tolist() == ["(Intercept)", "x"]
    for i in (0, 17, 55):
        np.testing.assert_allclose(moved.iloc[i], full - gls(X, y, V, np.delete(every, i)), rtol=0, atol=1e-11)
    for by in ("a", "b", pd.Series(np.arange(90) % 8, name="eighth"), data["c"]):
        codes = data[by].to_numpy() if isinstance(by, str) and by in data else np.asarray(by)
        if isinstance(by, str) and by not in {term.group for term in fit.internals.model.terms}:
            continue
        with within(entries):
            moved, distance = fit.dfbeta(by=by), fit.cooks_distance(by=by)
        for label in moved.index:
            shift = full - gls(X, y, V, every[codes != label])
            np.testing.assert_allclose(moved.loc[label], shift, rtol=0, atol=1e-11)
            expected = shift @ solve(fit.beta_cov.to_numpy(), shift) / 2.0
            assert distance[label] == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("large", [0, 8])
@pytest.mark.parametrize("steps", [0, 300])
def test_large_groups_are_left_out_in_steps_or_by_an_evaluation_and_small_ones_by_their_own_matrices_alike(
    name, large, steps
):
    fit = model_fit(name)
    expected = {by: fit.dfbeta(by=by) for by in ("a", "b") if by in {term.group for term in fit.internals.model.terms}}
    eighths = np.arange(90) % 8
    with within(Limits(large_group=large, large_group_steps=steps)):
        for by, table in expected.items():
            np.testing.assert_allclose(fit.dfbeta(by=by), table, rtol=0, atol=1e-12)
    with within(Limits(large_group=11 if large else 0, large_group_steps=steps)):  # of eighths two are larger than 11
        found = fit.dfbeta(by=eighths)
    np.testing.assert_allclose(found, fit.dfbeta(by=eighths), rtol=0, atol=1e-12)


def test_related_levels_have_their_part_in_leverage_and_deletion():
    rng = np.random.default_rng(3)
    animals = [f"a{i}" for i in range(12)]
    K = 0.6 * np.eye(12) + 0.4 * np.exp(-0.3 * np.abs(np.subtract.outer(np.arange(12), np.arange(12))))
    relationship = mme.Relationship(covariance=K, levels=animals)
    g = rng.integers(0, 10, 60)  # two levels have no record
    data = pd.DataFrame(
        {"y": rng.normal(size=60), "x": rng.normal(size=60), "animal": np.array(animals)[g], "h": g % 4}
    )
    fit = mme.lmer("y ~ x + (1 | animal) + (1 | h)", data, relationship={"animal": relationship}, theta=[0.9, 0.5])
    np.testing.assert_allclose(fit.leverage(), np.diag(dense_hat(fit)), rtol=0, atol=1e-12)
    X, y, V, _ = arrays(fit)
    moved = fit.dfbeta(by="animal")
    for bounds in (Limits(large_group=5), Limits(group_hat_entries=-1)):
        with within(bounds):
            found = fit.dfbeta(by="animal")
        np.testing.assert_allclose(found, moved, rtol=0, atol=1e-12)
    assert len(moved) == np.unique(g).size
    full = gls(X, y, V, np.arange(60))
    for label in moved.index:
        shift = full - gls(X, y, V, np.flatnonzero(data["animal"] != label))
        np.testing.assert_allclose(moved.loc[label], shift, rtol=0, atol=1e-11)


def test_with_correlated_residuals_a_leverage_is_that_of_the_whitened_record_and_groups_leave_whole():
    data = load_data("Orthodont").assign(visit=lambda table: (table["age"] - 6.0) / 2.0)
    fit = mme.lmer("distance ~ age + (1 | Subject)", data, residual=mme.AR1("visit", "Subject"))
    white = fit.internals.model.residual.whiten(fit.optimum.phi, np.eye(fit.nobs)).T
    X, y, V, _ = arrays(fit)
    P = inv(V) - inv(V) @ X @ solve(X.T @ inv(V) @ X, X.T @ inv(V))
    np.testing.assert_allclose(fit.leverage(), 1.0 - np.diag(inv(white).T @ P @ inv(white)), rtol=0, atol=1e-11)
    moved, full = fit.dfbeta(by="Subject"), gls(X, y, V, np.arange(fit.nobs))
    for label in moved.index[:5]:
        shift = full - gls(X, y, V, np.flatnonzero(data["Subject"] != label))
        np.testing.assert_allclose(moved.loc[label], shift, rtol=0, atol=1e-10)
    with pytest.raises(mme.MMEError, match="correlated across the groups of 'age'"):
        fit.dfbeta(by=data["age"])


def test_a_group_without_which_a_fixed_effect_cannot_be_estimated_has_no_distance():
    data = crossed()
    data["treated"] = (data["a"] == 4).astype(float)
    fit = mme.lmer("y ~ x + treated + (1 | a)", data, theta=[0.7])
    distance = fit.cooks_distance(by="a")
    assert distance.isna().tolist() == [label == 4 for label in distance.index]
    fit = mme.lmer("y ~ x + treated + (1 | a) + (1 | b)", data, theta=[0.7, 0.4])
    assert fit.dfbeta(by="a").isna().any(axis=1).tolist() == [label == 4 for label in distance.index]


@pytest.mark.parametrize("large", [0, 1000])
def test_a_group_of_the_other_factor_that_holds_a_fixed_effect_has_no_distance_either(large):
    """Its residuals are orthogonal to what is lost, so that steps along them do not see it."""
    data = crossed()
    data["treated"] = (data["b"] == 2).astype(float)
    fit = mme.lmer("y ~ x + treated + (1 | a) + (1 | b)", data, theta=[0.7, 0.4])
    assert fit.internals.model.terms[fit.internals.objective.plan.absorb].group == "a"
    with within(Limits(large_group=large)):
        moved = fit.dfbeta(by="b")
    assert moved.isna().any(axis=1).tolist() == [label == 2 for label in moved.index]


def test_an_unknown_grouping_factor_and_labels_of_the_wrong_length_are_refused():
    fit = model_fit("two factors")
    with pytest.raises(
        mme.MMEError, match=r"by='z' is no grouping factor of the fit \(they are 'a', 'b'\), nor a column"
    ):
        fit.cooks_distance(by="z")
    with pytest.raises(mme.MMEError, match=r"by has shape \(3,\) for the 90 rows"):
        fit.cooks_distance(by=[1, 2, 3])


# -- residuals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["y ~ x + (x | a)", "y ~ x + (1 | a)", "y ~ x + (x || a)"])
@pytest.mark.parametrize("weighted", [False, True])
def test_decorrelated_residuals_have_the_quadratic_form_of_v_inverse_within_every_group(formula, weighted):
    data = crossed(weighted)
    k = {"y ~ x + (x | a)": [0.8, 0.2, 0.5], "y ~ x + (1 | a)": [0.8], "y ~ x + (x || a)": [0.8, 0.5]}[formula]
    fit = mme.lmer(formula, data, theta=k, weights="w" if weighted else None)
    X, y, V, _ = arrays(fit)
    r = y - X @ fit.beta.to_numpy()
    found = fit.scaled_residuals("decorrelated").to_numpy()
    for level in range(12):
        here = np.flatnonzero(data["a"] == level)
        expected = r[here] @ inv(V[np.ix_(here, here)]) @ r[here] / fit.sigma**2
        assert found[here] @ found[here] == pytest.approx(expected, rel=1e-11)


def test_every_kind_of_residual_is_what_its_definition_says():
    data = load_data("Orthodont").assign(visit=lambda table: (table["age"] - 6.0) / 2.0)
    residual = [mme.AR1("visit", "Subject"), mme.Heterogeneous("Sex")]
    fit = mme.lmer("distance ~ age + (1 | Subject)", data, residual=residual)
    e = data["distance"] - fit.fitted
    R = fit.internals.model.residual.covariance(fit.optimum.phi, np.arange(fit.nobs))
    np.testing.assert_allclose(fit.scaled_residuals("response"), e, atol=1e-12)
    np.testing.assert_allclose(
        fit.scaled_residuals("marginal"), data["distance"] - fit.predict(random=False), atol=1e-12
    )
    np.testing.assert_allclose(fit.scaled_residuals("pearson"), e / (fit.sigma * np.sqrt(np.diag(R))), atol=1e-12)
    normalised = fit.scaled_residuals("normalised")
    assert normalised @ normalised == pytest.approx(e @ solve(R, e) / fit.sigma**2, rel=1e-11)
    np.testing.assert_allclose(fit.scaled_residuals(), normalised / np.sqrt(1.0 - fit.leverage()), rtol=1e-11)
    with pytest.raises(mme.MMEError, match="kind must be one of 'response', 'pearson'"):
        fit.scaled_residuals("deviance")


def test_standardised_residuals_have_variance_one_for_every_record():
    fit = model_fit("two factors")
    X, _, V, _ = arrays(fit)
    P = inv(V) - inv(V) @ X @ solve(X.T @ inv(V) @ X, X.T @ inv(V))
    variance = np.diag(P @ V @ P)  # of e / sigma, R = I
    np.testing.assert_allclose(variance, 1.0 - fit.leverage(), rtol=0, atol=1e-11)


def test_decorrelated_residuals_of_crossed_factors_are_refused():
    with pytest.raises(mme.MMEError, match="one grouping factor with independent levels; this fit has a, b"):
        model_fit("two factors").scaled_residuals("decorrelated")


def test_answers_by_record_have_the_users_rows():
    data = load_data("sim_missing").set_axis([f"row{i}" for i in range(200)])
    fit = mme.lmer("y ~ x + f + (1 | grp)", data)
    for values in (fit.leverage(), fit.cooks_distance(), fit.scaled_residuals(), fit.dfbeta()):
        assert values.index.equals(data.index)
        assert int(np.isnan(np.asarray(values)).reshape(200, -1).any(axis=1).sum()) == fit.n_dropped
    assert fit.cooks_distance(by=data["grp"]).index.equals(fit.cooks_distance(by="grp").index)


# -- shares of the variance -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_shares_of_the_terms_are_traces_of_their_part_of_v(name):
    fit = model_fit(name)
    X, _, _, R = arrays(fit)
    table = fit.variance_shares()
    for term, part in zip(fit.internals.model.terms, fit.varcorr.values(), strict=True):
        Z = term.Z.toarray()
        expected = np.trace(Z @ np.kron(np.eye(term.n_levels), part.cov) @ Z.T) / fit.nobs
        assert table.loc[term.name, "variance"] == pytest.approx(expected, rel=1e-12)
    assert table.loc["residual", "variance"] == pytest.approx(fit.sigma**2 * np.trace(R) / fit.nobs, rel=1e-12)
    assert table.loc["fixed effects", "variance"] == pytest.approx(np.var(X @ fit.beta, ddof=1), rel=1e-12)
    assert table["share"].sum() == pytest.approx(1.0)


def test_the_icc_of_a_random_intercept_is_the_correlation_of_two_records_of_a_group():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff"))
    _, _, V, _ = arrays(fit)
    assert fit.icc()["Batch"] == pytest.approx(V[0, 1] / V[0, 0], rel=1e-12)


@pytest.mark.parametrize(("method", "beside"), [("REML", "mean_pev"), ("ML", "mean_condvar")])
@pytest.mark.parametrize("formula", ["Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)"])
def test_the_prior_variance_is_that_of_the_blups_plus_what_is_left_unknown(method, beside, formula):
    table = mme.lmer(formula, load_data("sleepstudy"), method=method).variances()
    # at the optimum, which the search meets to a part in 1e4 of a standard error
    scale = table["prior"].abs().max()
    np.testing.assert_allclose(table["of_blups"] + table[beside], table["prior"], rtol=2e-4, atol=1e-5 * scale)
    diagonal = table["term2"].isna()
    assert (table["of_blups"] < table["prior"])[diagonal].all()
    assert (table["mean_condvar"] <= table["mean_pev"])[diagonal].all()


# -- small areas ------------------------------------------------------------------------------------------------------


def areas_fit(method, known):
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(9), 1 if known else [2, 3, 4, 2, 5, 6, 3, 2, 4])
    x = rng.normal(size=g.size)
    w = 1.0 / rng.uniform(0.3, 1.5, g.size)
    y = 2.0 + x + rng.normal(size=9)[g] + rng.normal(size=g.size) / np.sqrt(w)
    X = pd.DataFrame({"one": 1.0, "x": x})
    options = {"sigma": 1.0} if known else {}
    return mme.fit(y, X, [mme.Term(g, name="area")], method=method, weights=w, theta=[0.8], **options), X, w, g


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_mean_squared_error_of_small_areas_is_that_of_prasad_and_rao(method, known):
    fit, X, w, g = areas_fit(method, known)
    X, Z = X.to_numpy(), fit.internals.model.terms[0].Z.toarray()
    s = np.array([fit.varcorr["area"].cov[0, 0], fit.sigma**2])
    means = np.array([X[g == level].mean(axis=0) for level in range(9)])
    parts = [Z @ Z.T, np.diag(1.0 / w)][: 1 if known else 2]  # dV / ds
    V = s[0] * Z @ Z.T + s[1] * np.diag(1.0 / w)
    Vi, Phi = inv(V), inv(X.T @ inv(V) @ X)
    information = 0.5 * np.array([[np.trace(Vi @ A @ Vi @ B) for B in parts] for A in parts])
    c = 0.5 * solve(information, [-np.trace(Phi @ X.T @ Vi @ A @ Vi @ X) for A in parts])

    def pieces(s):
        """g1 and the coefficients of the predictor of v at variances s."""
        V = s[0] * Z @ Z.T + s[1] * np.diag(1.0 / w)
        b = s[0] * Z.T @ inv(V)
        return s[0] - np.einsum("gi,ig->g", b, Z * s[0]), b

    g1, b = pieces(s)
    g2 = np.einsum("gi,ij,gj->g", means - b @ X, Phi, means - b @ X)
    slopes, gradient = [], []
    for j in range(len(parts)):
        h = 1e-4 * s[j] * np.eye(2)[j]
        (up, b_up), (down, b_down) = pieces(s + h), pieces(s - h)
        slopes.append((b_up - b_down) / (2.0 * h[j]))
        gradient.append((up - down) / (2.0 * h[j]))
    slopes = np.array(slopes)
    g3 = np.einsum("jgi,ik,lgk,jl->g", slopes, V, slopes, inv(information))
    expected = g1 + g2 + 2.0 * g3 - (c @ np.array(gradient) if method == "ML" else 0.0)

    found = fit.eblup_mse()
    np.testing.assert_allclose(found["g1"], g1, rtol=1e-10)
    np.testing.assert_allclose(found["g2"], g2, rtol=1e-9)
    np.testing.assert_allclose(found["g3"], g3, rtol=1e-6)  # central differences
    np.testing.assert_allclose(found["mse"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["g1"] + found["g2"], _pev_of_means(fit, means), rtol=1e-9)
    np.testing.assert_allclose(found["estimate"], means @ fit.beta + fit.internals.estimates.b[0][:, 0], rtol=1e-12)


def _pev_of_means(fit, means):
    """var(x'beta_hat + v_hat - x'beta - v) from Henderson's equations."""
    Z, w = fit.internals.model.terms[0].Z.toarray(), fit.internals.model.weights
    C = np.hstack([fit.internals.model.X, Z])
    A = C.T @ (w[:, None] * C) / fit.sigma**2
    A[2:, 2:] += np.eye(9) / fit.varcorr["area"].cov[0, 0]
    L = np.hstack([means, np.eye(9)])
    return np.einsum("gi,ij,gj->g", L, inv(A), L)


def test_population_means_of_the_areas_are_matched_by_level():
    fit, *_ = areas_fit("REML", False)
    means = pd.DataFrame({"x": np.linspace(-1, 1, 9), "one": 1.0}, index=range(9))
    expected = fit.eblup_mse(means[["one", "x"]].to_numpy())
    pd.testing.assert_frame_equal(fit.eblup_mse(means.sample(frac=1.0, random_state=1)), expected)
    named = means.rename_axis("area").reset_index()
    pd.testing.assert_frame_equal(fit.eblup_mse(named), expected)
    pd.testing.assert_frame_equal(fit.eblup_mse(named.to_dict("list")), expected)
    with pytest.raises(mme.MMEError, match="no row of 8"):
        fit.eblup_mse(means.drop(index=8))
    with pytest.raises(mme.MMEError, match="no column 'x': it needs the columns one, x"):
        fit.eblup_mse(means[["one"]])
    with pytest.raises(mme.MMEError, match=r"X must be finite, 9 levels of 'area' x 2 columns"):
        fit.eblup_mse(np.ones((4, 2)))


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_means_of_the_formulas_columns_serve_and_areas_without_records_are_synthetic(method):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"area": np.repeat(list("abcdefgh"), 5), "x": rng.normal(5, 1, 40)})
    data["y"] = 3.0 + data["x"] + rng.normal(size=8).repeat(5) + rng.normal(size=40)
    fit = mme.lmer("y ~ I(x^2) + (1 | area)", data, method=method)
    means = data.groupby("area")[["x"]].mean()
    X = np.column_stack([np.ones(8), means["x"] ** 2])
    pd.testing.assert_frame_equal(fit.eblup_mse(means), fit.eblup_mse(X))
    more = pd.concat([means, pd.DataFrame({"x": [4.0, 6.0]}, index=["z", "k"])])
    found = fit.eblup_mse(more)
    pd.testing.assert_frame_equal(found.iloc[:8], fit.eblup_mse(X))
    rows, s_v = np.array([[1.0, 16.0], [1.0, 36.0]]), float(fit.varcorr["area"].cov[0, 0])
    V = fit.beta_cov.to_numpy()
    np.testing.assert_allclose(found["estimate"][8:], rows @ fit.beta, rtol=1e-12)
    np.testing.assert_allclose(found["g1"][8:] + found["g2"][8:], s_v + np.diag(rows @ V @ rows.T), rtol=1e-9)
    assert (found["gamma"][8:] == 0).all()
    # an area with next to no weight is an area without a record
    light = pd.concat([data, pd.DataFrame({"area": ["z"], "x": [4.0], "y": [7.0]})])
    w = np.append(np.ones(40), 1e-9)
    beside = mme.lmer("y ~ I(x^2) + (1 | area)", light, method=method, weights=w, theta=fit.theta, sigma=fit.sigma)
    limit = beside.eblup_mse(more.drop(index="k")).loc["z"]
    known = mme.lmer("y ~ I(x^2) + (1 | area)", data, method=method, theta=fit.theta, sigma=fit.sigma)
    near = known.eblup_mse(more).loc["z"]
    np.testing.assert_allclose(near[["estimate", "g1", "g2"]], limit[["estimate", "g1", "g2"]], rtol=1e-6)
    np.testing.assert_allclose(near["mse"], limit["mse"], rtol=1e-5)
    np.testing.assert_allclose(found["cv"], np.sqrt(found["mse"]) / found["estimate"], rtol=1e-12)


def test_mean_squared_errors_of_other_models_than_one_random_intercept_are_refused():
    with pytest.raises(mme.MMEError, match=r"one random intercept.*this fit has \(\(Intercept\) \+ x \| a\)"):
        model_fit("one factor").eblup_mse()


# -- the report on a troubled fit -------------------------------------------------------------------------------------

SOUND = [
    *("sleepstudy_slope_reml", "penicillin_reml", "pastes_nested_reml", "machines_3x3_reml", "oats_nitro_reml"),
    *("orthodont_slope_ml", "sim_singletons_reml", "sim_badscale_reml", "sim_bigoffset_reml", "sim_ratio_tiny_reml"),
    *("sim_missing_reml", "sim_weights_ml", "oxboys_3x3_reml", "cake_int_reml"),
]


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_said_of_a_sound_fit(name):
    diagnosis = load_case(name).fit().diagnose()
    assert not diagnosis
    assert diagnosis.kinds == ()
    assert "Nothing unusual" in str(diagnosis)


def troubled(seed=0):
    """200 records of 20 groups; years far from zero, a factor of three levels, one nearly of single records."""
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(20), 10), np.tile(np.arange(10.0), 20)
    x = rng.normal(size=200)
    return pd.DataFrame(
        {
            "y": 5.0
            + x
            + rng.normal(size=20)[g]
            + (t - 4.5) * (1.0 + 0.3 * rng.normal(size=20)[g])
            + rng.normal(size=200),
            "x": x,
            "year": 2000.0 + t,
            "g": g,
            "again": 100 + g,
            "three": g % 3,
            "single": np.where(np.arange(200) < 6, np.arange(200) // 2, np.arange(200)),
            "big": 1e7 * rng.normal(size=200),
            "double": 2.0 * x + 3.0,
            "exact": x + g + 1e-6 * rng.normal(size=200),
        }
    )


@pytest.mark.parametrize(
    ("formula", "kind", "words"),
    [
        ("y ~ year + (1 | three)", "few levels", "'three' has 3 levels"),
        ("y ~ year + (1 | g) + (1 | single)", "few repeats", "Only 3 of the 197 levels of 'single' have more than one"),
        ("y ~ x + big + (1 | g)", "scales", "the standard deviation of 'big' is 9.9e+06, that of 'x' 0.96"),
        ("y ~ year + (year | g)", "origin", "centre it: year - 2004"),
        ("y ~ x + double + (1 | g)", "dropped columns", "double = 3 (Intercept) + 2 x"),
        ("exact ~ x + (1 | g)", "nearly exact", "sigma is"),
        ("year ~ 1 + (1 | g)", "singular", "the variance of (Intercept) by g is zero"),
        ("y ~ x + (1 | g) + (1 | again)", "same effects", "| g) and ((Intercept) | again) describe the same"),
    ],
)
def test_each_trouble_is_named_with_its_numbers(formula, kind, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        diagnosis = mme.lmer(formula, troubled()).diagnose()
    assert kind in diagnosis.kinds
    found = next(finding for finding in diagnosis if finding.kind == kind)
    assert words in f"{found.found} {found.remedy}"
    assert found.meaning
    assert str(diagnosis).count("Meaning:") == str(diagnosis).count("To try:") == len(diagnosis)
    assert diagnosis._repr_html_().count("<li>") == len(diagnosis)


def test_a_flat_criterion_names_the_parameters_that_are_not_determined_and_a_failed_search_says_so():
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))
    hessian = np.array([[1.0, 0.0, 0.0], [0.0, 4.0, 2.0], [0.0, 2.0, 1.0]])  # (0, 1, -2) is flat
    flat = judged(fit, replace(fit.optimum, verdict="flat", flat=1, hessian=hessian))
    (finding,) = flat.diagnose()
    assert finding.kind == "flat"
    assert "do not determine Subject.Days.(Intercept), Subject.Days." in finding.found
    lost = judged(fit, replace(fit.optimum, verdict="not converged", expected_decrease=3.0))
    assert lost.diagnose().kinds == ("not converged",)


def test_single_records_are_no_trouble_where_the_residual_variance_is_known():
    fit, *_ = areas_fit("REML", True)
    assert "few repeats" not in fit.diagnose().kinds


def test_what_was_given_is_not_judged():
    fit = mme.lmer("y ~ x + (1 | three)", troubled(), theta=[0.0])
    assert fit.diagnose().kinds == ()


@pytest.mark.parametrize("family", [None, "poisson"])
def test_a_record_with_a_column_of_its_own_has_no_standardised_residual(family):
    """Its leverage is one but for rounding, which made of zero over zero a number or infinity."""
    data = pd.DataFrame({"y": np.arange(24) % 5 + 1, "g": np.arange(24) % 6, "f": ["one"] + ["rest"] * 23})
    fit = mme.lmer("y ~ f + (1 | g)", data) if family is None else mme.glmer("y ~ f + (1 | g)", data, family)
    assert list(np.flatnonzero(fit.scaled_residuals().isna())) == [0]
    assert list(np.flatnonzero(fit.cooks_distance().isna())) == [0]
