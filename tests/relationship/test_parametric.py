"""Relationships with parameters: the dense likelihood, that of a residual structure by another engine, and kriging."""

import numpy as np
import pandas as pd
import pytest
from dense import dense_fit
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.files.export import as_dict
from mme.numeric.limits import Limits, within
from mme.relationship.ornstein import ornstein_uhlenbeck
from mme.relationship.parametric import Parametric


class Map(Parametric):
    """Conditional autoregression of unknown strength, as users may write it: K^-1 = D - rho W, rho = tanh x."""

    names = ("rho",)

    def __init__(self, adjacency, levels):
        W = np.asarray(adjacency, dtype=float)
        self.levels, self.D = np.asarray(levels), W.sum(axis=0)
        self.rows, self.cols = np.nonzero(np.tril(W + np.eye(len(W))))
        self.W = W[self.rows, self.cols]
        self.scaled = np.linalg.eigvalsh(W / np.sqrt(np.outer(self.D, self.D)))

    def starts(self):
        return np.array([[0.5], [2.0]])

    def natural(self, x):
        return np.tanh(x)

    def coordinates(self, natural):
        return np.arctanh(natural)

    @property
    def bounds(self):
        return ((-1.0, 1.0),)

    def values_at(self, x):
        return np.where(self.rows == self.cols, self.D[self.rows], -np.tanh(x[0]) * self.W)

    def logdet_at(self, x):
        return -np.log(self.D).sum() - np.log1p(-np.tanh(x[0]) * self.scaled).sum()


def ring(J):
    """Areas round a lake, and a bridge."""
    W = np.roll(np.eye(J), 1, axis=0)
    W = W + W.T
    W[0, J // 2] = W[J // 2, 0] = 1.0
    return W


def correlations(series, times, scale):
    return np.exp(-np.abs(np.subtract.outer(times, times)) / scale) * np.equal.outer(series, series)


def simulated(seed, S=6, m=14, scale=4.0):
    """Records of several series at uneven times, two at the same one: process, measurement error, a covariate."""
    rng = np.random.default_rng(seed)
    series, times = np.repeat([f"s{i}" for i in range(S)], m), np.sort(rng.uniform(0.0, 20.0, (S, m)), axis=1).ravel()
    times[3] = times[2]
    x = rng.standard_normal(S * m)
    K = correlations(series, times, scale) + 1e-10 * np.eye(S * m)
    y = 1.0 + 2.0 * x + 1.5 * np.linalg.cholesky(K) @ rng.standard_normal(S * m) + 0.6 * rng.standard_normal(S * m)
    return pd.DataFrame({"y": y, "x": x, "s": series, "t": times})


@given(
    seed=st.integers(0, 2**32 - 1),
    q=st.integers(1, 3),
    other=st.booleans(),
    log_scale=st.floats(-3.0, 5.0),
    method=st.sampled_from(["REML", "ML"]),
)
@settings(max_examples=40)
def test_effects_of_a_process_have_the_dense_likelihood_and_variances(seed, q, other, log_scale, method):
    rng = np.random.default_rng(seed)
    n, scale = 30, float(np.exp(log_scale))
    series, times = rng.integers(0, 3, n), rng.integers(0, 12, n) * 0.7
    series[:2], times[:2] = 0, (0.0, 0.7)
    X, y = np.column_stack([np.ones(n), rng.standard_normal(n)]), rng.standard_normal(n)
    term = mme.Term.ou(times, series, None if q == 1 else rng.standard_normal((n, q)))
    process = term.relationship
    root = np.tril(rng.normal(size=(q, q)))
    theta = np.append(root.T[np.triu_indices(q)], process.coordinates(np.array([scale])))
    terms = [term]
    blocks = [(term.Z.toarray(), root, correlations(process.series, process.times, scale))]
    if other:
        terms.append(mme.Term(rng.integers(0, 4, n), name="h"))
        theta = np.append(theta, 0.7)
        blocks.append((terms[1].Z.toarray(), np.array([[0.7]]), None))
    dense = dense_fit(y, X, blocks, method=method)
    assert mme.objective(y, X, terms, method=method)(theta) == pytest.approx(dense.criterion, abs=1e-7)
    fit = mme.fit(y, X, terms, method=method, theta=theta)
    assert fit.criterion == pytest.approx(dense.criterion, abs=1e-7)
    size = term.n_levels * q
    np.testing.assert_allclose(fit.ranef()[term.name].to_numpy().ravel(), dense.b[:size], atol=1e-7)
    for found, expected in ((fit.condvar(), dense.condvar), (fit.pev(), dense.pev)):
        for g in range(term.n_levels):
            at = slice(g * q, (g + 1) * q)
            np.testing.assert_allclose(found[term.name][g], expected[at, at], atol=1e-7)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_process_beside_measurement_error_is_an_exponential_residual_with_a_nugget(seed, method):
    data = simulated(seed)
    process = mme.lmer("y ~ x + ou(t | s)", data, method=method)
    residual = mme.lmer("y ~ x", data, method=method, residual=mme.Exponential("t", "s", nugget=True))
    assert process.criterion == pytest.approx(residual.criterion, abs=1e-6)
    np.testing.assert_allclose(process.beta, residual.beta, atol=1e-4)
    np.testing.assert_allclose(process.se, residual.se, rtol=1e-3)
    assert process.relationships["ou(t | s)"]["range"] == pytest.approx(residual.residual["range"], rel=5e-3)
    variance = process.varcorr["ou(t | s)"].cov[0, 0]
    assert process.sigma**2 / (variance + process.sigma**2) == pytest.approx(residual.residual["nugget"], rel=5e-3)
    assert process.dof == residual.dof


def test_the_profile_of_a_range_is_that_of_the_residual_structure():
    """The deviance with the range held, by a grid over the nugget of the other engine."""
    data = simulated(1)
    fit = mme.lmer("y ~ x + ou(t | s)", data, method="ML")
    low, high = fit.profile("range|ou(t | s)").confint().loc["range|ou(t | s)"]
    assert low < fit.relationships["ou(t | s)"]["range"] < high
    X = np.column_stack([np.ones(len(data)), data["x"]])
    term = mme.Term.ou(data["t"], data["s"])
    f = mme.objective(data["y"], X, [term], method="ML")
    for limit in (low, high):
        x = term.relationship.coordinates(np.array([limit]))[0]
        held = min(f([sd, x]) for sd in np.geomspace(0.5, 8.0, 400))
        assert held - fit.criterion == pytest.approx(1.959964**2, abs=0.01)


def test_new_times_are_predicted_by_kriging_between_and_beyond_the_old_ones():
    data = simulated(4)
    fit = mme.lmer("y ~ x + ou(t | s)", data)
    new = pd.DataFrame(
        {"x": [0.0, 1.0, 0.0, 2.0], "s": ["s0", "s0", "s1", "zz"], "t": [0.37, 25.0, data["t"][15], 1.0]}
    )
    with pytest.raises(mme.MMEError, match=r"did not see: 'zz:1'"):
        fit.predict(new)
    table = fit.predict(new, new_levels="population", interval="prediction")
    scale, variance = fit.relationships["ou(t | s)"]["range"], fit.varcorr["ou(t | s)"].cov[0, 0]
    both = pd.concat([data, new], ignore_index=True)
    K = variance * correlations(both["s"].to_numpy(), both["t"].to_numpy(), scale)
    n, X = len(data), np.column_stack([np.ones(len(both)), both["x"]])
    Vinv = np.linalg.inv(K[:n, :n] + fit.sigma**2 * np.eye(n))
    weights = K[n:, :n] @ Vinv
    np.testing.assert_allclose(table["fit"], X[n:] @ fit.beta + weights @ (data["y"] - X[:n] @ fit.beta), atol=1e-9)
    left = X[n:] - weights @ X[:n]
    of_beta = np.einsum("ij,jk,ik->i", left, np.linalg.inv(X[:n].T @ Vinv @ X[:n]), left)
    kriging = variance - np.einsum("ij,ij->i", weights, K[n:, :n])
    np.testing.assert_allclose(table["se"], np.sqrt(kriging + of_beta + fit.sigma**2), rtol=1e-8)


def test_levels_without_records_leave_the_likelihood_as_it_is():
    _, process = ornstein_uhlenbeck(["a", "a", "b"], [0.0, 2.0, 1.0], "g")
    longer = process.extended(np.array(["a:1", "a:9", "c:1", "a:2"], dtype=object))
    assert longer.levels.tolist() == ["a:0", "a:2", "b:1", "a:1", "a:9"]
    x = process.coordinates(np.array([3.0]))
    K = np.linalg.inv(longer.precision_at(x).toarray())
    np.testing.assert_allclose(K[:3, :3], np.linalg.inv(process.precision_at(x).toarray()), atol=1e-12)
    np.testing.assert_allclose(K, correlations(longer.series, longer.times, 3.0), atol=1e-12)


def test_draws_have_the_covariance_of_the_process():
    data = simulated(5, S=1, m=6)
    term = mme.Term.ou(data["t"], data["s"])
    theta = np.array([2.0, term.relationship.coordinates(np.array([5.0]))[0]])
    fit = mme.fit(data["y"], np.ones((6, 1)), [term], sigma=1.0, theta=theta)
    draws = fit.simulate(40_000, seed=1)
    expected = 4.0 * correlations(data["s"].to_numpy(), data["t"].to_numpy(), 5.0) + np.eye(6)
    np.testing.assert_allclose(np.cov(draws), expected, atol=5.0 * 5.0 * np.sqrt(2.0 / 40_000))


def test_a_fit_with_a_process_is_saved_and_predicts_new_times_again(tmp_path):
    data = simulated(6)
    fit = mme.lmer("y ~ x + ou(0 + t | s)", data)
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    new = {"x": [0.0], "s": ["s2"], "t": [33.0]}
    assert again.criterion == fit.criterion
    assert again.relationships == fit.relationships
    assert again.predict(new).tolist() == fit.predict(new).tolist()


def test_what_is_asked_of_a_fit_works_with_a_process():
    data = simulated(7)
    fit = mme.lmer("y ~ x + ou(t | s)", data)
    free = mme.lmer("y ~ x", data, residual=mme.Exponential("t", "s", nugget=True))
    np.testing.assert_allclose(fit.coefficients()["df"], free.coefficients()["df"], rtol=0.02)
    assert "Relationship of ou(t | s): range" in fit.summary()
    assert "Shares of the variance" not in fit.summary()
    assert set(fit.tidy(ddf="none")["term"]) > {"range", "sd (Intercept)"}
    prior, pev = fit.varcorr["ou(t | s)"].cov[0, 0], fit.pev()["ou(t | s)"].ravel()
    np.testing.assert_allclose(fit.reliability()["ou(t | s)"].iloc[:, 0], 1.0 - pev / prior, atol=1e-12)
    refit = fit.refit(data["y"])
    assert as_dict(fit.internals)["relationships"] == fit.relationships
    adjusted = fit.coefficients("kenward-roger")
    np.testing.assert_allclose(adjusted["df"], fit.coefficients("kenward-roger-linear")["df"], rtol=1e-9)
    assert refit.criterion == pytest.approx(fit.criterion, abs=1e-7)
    assert fit.bootstrap(4, seed=1, workers=1).confint().shape[0] == 5


@pytest.mark.parametrize("large", [0, 1000])  # by evaluations of their own, by downdates
def test_fixed_effects_without_a_series_are_those_of_the_other_series(large):
    data = simulated(7)
    fit = mme.lmer("y ~ x + ou(t | s)", data)
    left = data[data["s"] != "s0"]
    X, term = np.column_stack([np.ones(len(left)), left["x"]]), mme.Term.ou(left["t"], left["s"])
    x = term.relationship.coordinates(np.array([fit.relationships["ou(t | s)"]["range"]]))
    without = mme.fit(left["y"], X, [term], theta=np.append(fit.theta[0], x))
    with within(Limits(large_group=large)):
        moved = fit.dfbeta(by=data["s"]).loc["s0"]
    np.testing.assert_allclose(moved, fit.beta.to_numpy() - without.beta.to_numpy(), atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), rho=st.floats(-0.95, 0.95))
@settings(max_examples=20)
def test_a_map_of_unknown_strength_has_the_dense_likelihood(seed, rho):
    rng = np.random.default_rng(seed)
    J, n = 9, 40
    areas, W = rng.integers(0, J, n), ring(J)
    term = mme.Term(areas, relationship=Map(W, np.arange(J)))
    y, X = rng.standard_normal(n), np.ones((n, 1))
    K = np.linalg.inv(np.diag(W.sum(axis=0)) - rho * W)
    dense = dense_fit(y, X, [(np.eye(J)[areas], np.array([[1.3]]), K)])
    fit = mme.fit(y, X, [term], theta=[1.3, np.arctanh(rho)])
    assert fit.criterion == pytest.approx(dense.criterion, abs=1e-9)
    np.testing.assert_allclose(fit.pev()["g"].ravel(), np.diag(dense.pev), atol=1e-9)
    np.testing.assert_allclose(
        fit.reliability()["g"].iloc[:, 0], 1.0 - np.diag(dense.pev) / np.diag(dense.G), atol=1e-8
    )


def test_the_strength_of_a_map_is_found_where_a_grid_of_fixed_ones_has_its_minimum():
    rng = np.random.default_rng(3)
    J, W = 60, ring(60)
    K = np.linalg.inv(np.diag(W.sum(axis=0)) - 0.9 * W)
    areas = np.repeat(np.arange(J), 4)
    y = 2.0 * (np.linalg.cholesky(K) @ rng.standard_normal(J))[areas] + rng.standard_normal(areas.size)
    fit = mme.fit(y, np.ones((y.size, 1)), [mme.Term(areas, relationship=Map(W, np.arange(J)))])
    found = fit.relationships["g"]["rho"]
    assert 0.5 < found < 0.999

    def criterion(rho):
        fixed = mme.Relationship.car(W, np.arange(J), rho=rho)
        return mme.fit(y, np.ones((y.size, 1)), [mme.Term(areas, relationship=fixed)]).criterion

    assert fit.criterion == pytest.approx(criterion(found), abs=1e-6)
    assert fit.criterion < min(criterion(found - 0.02), criterion(found + 0.5 * (1.0 - found)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logdet_at": lambda self, x: 0.0}, r"logdet_at\(\[0.5\]\) is 0; log\|K\| of values_at\(\) is -"),
        ({"values_at": lambda self, x: np.ones(3)}, r"values_at\(\[0.5\]\) must be 19 finite numbers"),
        ({"starts": lambda self: np.ones(1)}, r"starts\(\) must be finite, of shape \(m, 1\)"),
        ({"natural": lambda self, x: 0.5}, r"natural\(\[0.5\]\) must have shape \(1,\)"),
    ],
)
def test_a_relationship_that_is_wrong_is_refused_by_its_name(change, message):
    wrong = type("Mine", (Map,), change)(ring(9), np.arange(9))
    with pytest.raises(mme.MMEError, match=f"grouping factor 'g': relationship Mine: {message}"):
        mme.Term(np.arange(9), relationship=wrong)


def test_a_pattern_that_is_no_lower_triangle_is_refused():
    wrong = Map(ring(9), np.arange(9))
    wrong.rows, wrong.cols = wrong.cols, wrong.rows
    with pytest.raises(mme.MMEError, match="must be a lower triangle, each place once, with all 9 of its diagonal"):
        mme.Term(np.arange(9), relationship=wrong)


def test_a_fit_with_a_relationship_of_the_users_own_is_saved_by_the_name_of_its_class(tmp_path):
    fit = mme.fit(
        np.sin(np.arange(18.0)),
        np.ones((18, 1)),
        [mme.Term(np.arange(18) % 9, relationship=Map(ring(9), np.arange(9)))],
        theta=[1.0, 0.5],
    )
    fit.save(tmp_path / "fit.mme")
    with pytest.raises(mme.MMEError, match=r"a class of its writer's own, 'Map': give the class"):
        mme.load_fit(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme", structures=[Map])
    assert again.relationships == fit.relationships
    assert again.ranef()["g"].equals(fit.ranef()["g"])


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ ou(t + x | s)", "ou() takes one time"),
        ("y ~ ou(t || s)", "ou() takes one time"),
        ("y ~ ou(1 | s)", "ou() takes one time"),
        ("y ~ ou(t | s/x)", "ou() takes one factor of series"),
        ("y ~ ou(t | s, hom = TRUE)", "ou() takes no 'hom'"),
        ("y ~ ou(s | s)", "the time of ou(s | s)"),
        ("y ~ x + 2 * ou(t | s)", "a random term"),
    ],
)
def test_a_process_that_cannot_be_is_refused_with_the_place(formula, message):
    with pytest.raises(mme.MMEError) as caught:
        mme.lmer(formula, simulated(1))
    assert message in str(caught.value)


def test_series_of_one_time_each_carry_no_range():
    data = simulated(1).drop_duplicates("s")
    with pytest.raises(mme.MMEError, match=r"no two levels of its relationship are neighbours .* its range"):
        mme.lmer("y ~ 1 + ou(t | s)", data)


def test_missing_times_are_left_out_and_predicted_as_missing():
    data = simulated(8)
    gaps = data.assign(t=data["t"].where(np.arange(len(data)) % 10 != 5))
    fit = mme.lmer("y ~ x + ou(t | s)", gaps)
    assert fit.n_dropped == int(gaps["t"].isna().sum())
    same = mme.lmer("y ~ x + ou(t | s)", gaps.dropna())
    assert fit.criterion == same.criterion
    assert np.isnan(fit.predict(gaps)).tolist() == gaps["t"].isna().tolist()
    np.testing.assert_allclose(fit.predict(gaps.dropna()), same.fitted, atol=1e-10)


def test_an_evaluation_of_a_long_series_is_linear_in_its_length():
    """By the entries of the factor: two a level."""
    n = 5000
    rng = np.random.default_rng(0)
    term = mme.Term.ou(np.cumsum(rng.exponential(size=n)), np.zeros(n, dtype=int))
    objective = mme.objective(rng.standard_normal(n), np.ones((n, 1)), [term])
    assert objective.engine.nnz_L == 2 * n - 1
