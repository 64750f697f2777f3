"""Structures of G: theta gives the covariance that the name promises, and the engine's criterion is the dense one."""

import numpy as np
import pytest
from dense import dense_fit
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.covariance import GStructure, structure
from mme.covariance.triangle import lower_factor
from mme.inference.comparison.nested import blocks

KINDS = ("homogeneous diagonal", "diagonal", "cs", "homogeneous cs", "ar1", "heterogeneous ar1", "unstructured")


class FactorAnalytic(GStructure):
    """G = l l' + diag(s)^2, as users may write it."""

    def __init__(self, q):
        self.q, self.k = q, 2 * q
        self.diagonal = np.arange(self.k) >= q

    def T(self, theta):
        loadings, own = np.split(theta, 2)
        return np.linalg.qr(np.vstack([loadings, np.diag(own)]), mode="r").T

    def nearest(self, H, floor):
        return np.tile(np.sqrt(np.maximum(np.diag(H), floor) / 2.0), 2)

    def per_row(self, of_columns, of_others):
        return np.tile(of_columns, 2)

    def names(self, term, columns):
        return tuple(f"{term}.{column}.{what}" for what in ("factor", "own") for column in columns)


class Common(GStructure):
    """G = a^2 11' + c^2 I: a part that all columns share, and one of each column's own."""

    k, diagonal, additive = 2, np.array([True, True]), True

    def __init__(self, q):
        self.q = q

    def T(self, theta):
        return lower_factor(np.column_stack([theta[0] * np.ones(self.q), theta[1] * np.eye(self.q)]))

    def nearest(self, H, floor):
        return np.sqrt(np.full(2, np.mean(np.maximum(np.diag(H), floor)) / 2))

    def per_row(self, of_columns, of_others):
        return np.full(2, np.exp(np.mean(np.log(of_columns))))

    def names(self, term, columns):
        return f"{term}.common", f"{term}.own"


def by_method(name, method):
    """FactorAnalytic(2) with one of its members replaced."""
    return type("Mine", (FactorAnalytic,), {name: method})(2)


@given(q=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
def test_ar1_correlations_are_powers_of_rho(q, seed):
    rng = np.random.default_rng(seed)
    part = structure("heterogeneous ar1", q, "g")
    theta = np.append(rng.uniform(0.1, 3.0, q), rng.normal())
    T = part.T(theta)
    lag = np.abs(np.subtract.outer(np.arange(q), np.arange(q)))
    np.testing.assert_allclose(T @ T.T, np.outer(theta[:q], theta[:q]) * np.cos(theta[-1]) ** lag, atol=1e-12)


@given(q=st.integers(2, 5), share=st.floats(0.0, 1.0))
def test_compound_symmetry_reaches_every_correlation_that_is_possible(q, share):
    part = structure("homogeneous cs", q, "g")
    rho = (share * q - 1.0) / (q - 1)
    T = part.T(np.array([2.0, part.w(rho)]))
    assert np.tril(T).tolist() == T.tolist()
    np.testing.assert_allclose(T @ T.T, 4.0 * (rho + (1.0 - rho) * np.eye(q)), atol=1e-10)


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_the_criterion_at_any_theta_is_the_dense_one(kind, seed):
    rng = np.random.default_rng(seed)
    n, J, q = 60, 8, 3
    groups = np.concatenate([np.arange(J), rng.integers(0, J, n - J)])
    Z, X = rng.standard_normal((n, q)), np.column_stack([np.ones(n), rng.standard_normal(n)])
    y = rng.standard_normal(n)
    term = mme.Term(groups, Z, covariance=kind)
    objective = mme.objective(y, X, [term])
    part = objective.model.structures[0]
    theta = rng.normal(size=part.k)
    dense = dense_fit(y, X, [(term.Z.toarray(), part.T(theta), None)])
    assert objective(theta) == pytest.approx(dense.criterion, abs=1e-9)


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_the_reported_theta_has_the_same_covariance_and_no_negative_standard_deviation(kind, seed):
    part = structure(kind, 4, "g")
    theta = np.random.default_rng(seed).normal(size=part.k)
    reported = part.canonical(theta)
    T, U = part.T(theta), part.T(reported)
    np.testing.assert_allclose(T @ T.T, U @ U.T, atol=1e-12)
    assert (reported[part.diagonal] >= 0.0).all()


def test_compound_symmetry_is_an_intercept_and_an_interaction():
    data = mme.load("Machines")
    nested = mme.lmer("score ~ Machine + (1 | Worker/Machine)", data)
    symmetric = mme.lmer("score ~ Machine + cs(0 + Machine | Worker, hom = TRUE)", data)
    assert symmetric.criterion == pytest.approx(nested.criterion, abs=1e-7)
    variance = sum(part.cov[0, 0] for part in nested.varcorr.values())
    assert symmetric.varcorr["Worker"].cov[0, 0] == pytest.approx(variance, rel=1e-4)
    assert symmetric.varcorr["Worker"].cov[0, 1] == pytest.approx(nested.varcorr["Worker"].cov[0, 0], rel=1e-4)


def test_structures_are_nested_in_the_unstructured_one():
    data = mme.load("Machines")
    free = mme.lmer("score ~ Machine + us(0 + Machine | Worker)", data).criterion
    for bar in ("cs", "ar1", "diag"):
        assert mme.lmer(f"score ~ Machine + {bar}(0 + Machine | Worker)", data).criterion > free - 1e-8


def test_a_structure_that_is_not_known_is_refused_with_those_that_are():
    groups = np.repeat(["a", "b", "c"], 4)
    with pytest.raises(mme.MMEError, match=r"term 'g': covariance 'toep' is not known; use one of 'unstructured'"):
        mme.fit(np.arange(12.0), np.ones((12, 1)), [mme.Term(groups, np.eye(12)[:, :2], covariance="toep")])


@given(q=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), related=st.booleans())
def test_a_structure_of_the_users_own_gives_the_dense_criterion_and_blups(q, seed, related):
    rng = np.random.default_rng(seed)
    n, J = 50, 7
    groups = np.concatenate([np.arange(J), rng.integers(0, J, n - J)])
    Z, X, y = rng.standard_normal((n, q)), np.ones((n, 1)), rng.standard_normal(n)
    B = rng.standard_normal((J, J))
    K = B @ B.T + np.eye(J) if related else None
    relationship = None if K is None else mme.Relationship(covariance=K, levels=np.arange(J))
    term = mme.Term(groups, Z, covariance=FactorAnalytic(q), relationship=relationship)
    loadings, own = rng.normal(size=q), rng.normal(size=q)
    fit = mme.fit(y, X, [term], theta=np.concatenate([loadings, own]))
    root = np.linalg.cholesky(np.outer(loadings, loadings) + np.diag(own**2))
    dense = dense_fit(y, X, [(term.Z.toarray(), root, K)])
    assert fit.criterion == pytest.approx(dense.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.ranef()["g"].to_numpy().ravel(), dense.b, atol=1e-8)
    pev = fit.pev()["g"]
    for g in range(J):
        at = slice(g * q, (g + 1) * q)
        np.testing.assert_allclose(pev[g], dense.pev[at, at], atol=1e-8)


def test_one_factor_of_three_columns_has_the_maximum_of_the_unstructured_covariance():
    data = mme.load("Machines")
    cells = (data["Machine"].to_numpy()[:, None] == np.array(["A", "B", "C"])).astype(float)
    kinds = (FactorAnalytic(3), "unstructured")
    one, free = (mme.fit(data["score"], cells, [mme.Term(data["Worker"], cells, covariance=kind)]) for kind in kinds)
    assert one.criterion == pytest.approx(free.criterion, abs=1e-6)
    np.testing.assert_allclose(one.varcorr["g"].cov, free.varcorr["g"].cov, rtol=2e-3)
    assert one.dof == free.dof
    assert one.theta_names == ("g.x1.factor", "g.x2.factor", "g.x3.factor", "g.x1.own", "g.x2.own", "g.x3.own")
    np.testing.assert_allclose(one.coefficients()["df"], free.coefficients()["df"], rtol=2e-3)
    adjusted = one.coefficients("kenward-roger")
    np.testing.assert_allclose(adjusted["df"], one.coefficients("kenward-roger-linear")["df"], rtol=1e-9)


def test_a_likelihood_profile_does_not_depend_on_how_the_covariance_is_written():
    data = mme.load("Machines")
    cells = (data["Machine"].to_numpy()[:, None] == np.array(["A", "B", "C"])).astype(float)
    one, free = (
        mme.fit(data["score"], cells, [mme.Term(data["Worker"], cells, covariance=kind)], method="ML")
        for kind in (FactorAnalytic(3), "unstructured")
    )
    own, other = (fit.confint("profile", parameters=["sigma", "x1"]) for fit in (one, free))
    np.testing.assert_allclose(own, other, rtol=1e-3)
    lower, upper = one.confint("profile", parameters="g.x1.factor").to_numpy()[0]
    assert lower < one.theta[0] * one.sigma < upper


def machines_by_worker():
    data = mme.load("Machines")
    cells = (data["Machine"].to_numpy()[:, None] == np.array(["A", "B", "C"])).astype(float)
    X = np.column_stack([np.ones(len(data)), cells[:, 1:]])
    both = mme.Term(data["Worker"], cells, covariance=Common(3))
    pairs = data["Worker"].astype(str) + ":" + data["Machine"].astype(str)
    apart = [mme.Term(data["Worker"], name="worker"), mme.Term(pairs, name="cell")]
    return mme.fit(data["score"], X, [both]), mme.fit(data["score"], X, apart)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_a_structure_that_adds_up_has_the_tests_of_the_terms_that_it_adds(ddf):
    one, apart = machines_by_worker()
    assert one.criterion == pytest.approx(apart.criterion, abs=1e-6)
    np.testing.assert_allclose(one.coefficients(ddf).to_numpy(), apart.coefficients(ddf).to_numpy(), rtol=1e-3)


def test_natural_parameters_of_the_users_own_structure_are_profiled_like_those_of_the_terms_that_it_adds():
    one, apart = machines_by_worker()
    own = one.confint("profile", parameters=["g.common", "g.own"])
    other = apart.confint("profile", parameters=["sd_(Intercept)|worker", "sd_(Intercept)|cell"])
    np.testing.assert_allclose(own.to_numpy(), other.to_numpy(), rtol=1e-3)
    replicates = one.bootstrap(3, seed=1, workers=1)
    assert replicates.names[:3] == ("g.common", "g.own", "sigma")
    assert replicates.converged.all()


def test_a_fit_with_a_structure_of_the_users_own_is_saved_by_the_name_of_its_class(tmp_path):
    groups, x = np.repeat(np.arange(6), 5), np.tile(np.arange(5.0), 6)
    term = mme.Term(groups, np.column_stack([np.ones(30), x]), covariance=FactorAnalytic(2))
    fit = mme.fit(np.sin(np.arange(30.0) ** 2), np.ones((30, 1)), [term], theta=np.ones(4))
    fit.save(tmp_path / "fit.mme")
    with pytest.raises(mme.MMEError, match=r"a class of its writer's own, 'FactorAnalytic': give the class"):
        mme.load_fit(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme", structures=[FactorAnalytic])
    assert again.criterion == fit.criterion
    assert again.theta_names == fit.theta_names
    assert again.coefficients().equals(fit.coefficients())


def test_comparisons_see_a_structure_of_the_users_own_as_one_block_with_all_its_parameters():
    groups, rng = np.repeat(np.arange(6), 6), np.random.default_rng(1)
    term = mme.Term(groups, rng.normal(size=(36, 4)), covariance=FactorAnalytic(4))
    model = mme.fit(rng.normal(size=36), np.ones((36, 1)), [term], theta=np.ones(8)).internals.model
    assert [(block.q, block.k) for block in blocks(model)] == [(4, 8)]


def test_what_is_no_class_of_a_structure_is_refused_before_a_file_is_read(tmp_path):
    twin = type("FactorAnalytic", (GStructure,), {})
    for classes, message in (
        ([FactorAnalytic(2)], "a list of classes derived from "),
        (int, "a list of classes derived from "),
        ([FactorAnalytic, twin], "structures has two classes named FactorAnalytic"),
    ):
        with pytest.raises(mme.MMEError, match=message):
            mme.load_fit(tmp_path / "none.mme", structures=classes)


def test_a_structure_that_holds_code_is_not_saved(tmp_path):
    held = FactorAnalytic(2)
    held.link = np.exp
    term = mme.Term(np.repeat(np.arange(6), 5), np.tile(np.eye(2), (15, 1)), covariance=held)
    fit = mme.fit(np.sin(np.arange(30.0) ** 2), np.ones((30, 1)), [term], theta=np.ones(4))
    with pytest.raises(mme.MMEError, match=r"FactorAnalytic of your own cannot be saved with its attribute 'link'"):
        fit.save(tmp_path / "fit.mme")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (FactorAnalytic, "is the class FactorAnalytic; give an object of it"),
        (object(), "an object of a class derived from mme.GStructure; got object"),
        (FactorAnalytic(3), "FactorAnalytic is for q = 3 columns, the term has 2"),
        (by_method("k", property(lambda self: 0, lambda self, k: None)), "k must be a whole number of parameters"),
        (by_method("__init__", lambda self, q: setattr(self, "q", q)), "Mine lacks k and diagonal"),
        (
            by_method("names", lambda self, term, columns: ("a",)),
            r"names\(\) must give 4 different names, got \('a',\)",
        ),
        (
            by_method("nearest", lambda self, H, floor: np.ones(3)),
            r"nearest\(I, floor\) must be finite numbers of shape",
        ),
        (
            by_method("nearest", lambda self, H, floor: np.full(4, np.nan)),
            r"nearest\(I, floor\) must be finite numbers",
        ),
        (
            by_method("per_row", lambda self, columns, others: columns),
            r"per_row\(ones, 1.0\) must be finite numbers of",
        ),
        (by_method("T", lambda self, theta: np.eye(3)), r"T\(theta\) must be finite numbers of shape \(2, 2\)"),
        (by_method("T", lambda self, theta: np.ones((2, 2))), r"T\(theta\) must be lower triangular"),
        (by_method("canonical", lambda self, theta: 2.0 * theta), r"canonical\(theta\) gives another covariance"),
    ],
)
def test_a_structure_that_lacks_something_is_refused_by_the_names_of_term_and_class(given, message):
    term = mme.Term(np.repeat([0, 1, 2], 4), np.random.default_rng(0).standard_normal((12, 2)), covariance=given)
    with pytest.raises(mme.MMEError, match=f"term 'g': covariance .*{message}"):
        mme.fit(np.arange(12.0), np.ones((12, 1)), [term])


@pytest.mark.parametrize("bar", ["cs(0 + Machine | Worker, hom = TRUE)", "ar1(0 + Machine | Worker)"])
def test_the_summary_shows_correlations_of_a_pattern_with_one_variance(bar):
    fit = mme.lmer(f"score ~ Machine + {bar}", mme.load("Machines"))
    assert f"{fit.varcorr['Worker'].corr[1, 0]:.2f}" in fit.summary().partition("MachineB")[2].splitlines()[0]


@pytest.mark.parametrize("kind", ["homogeneous cs", "cs", "ar1", "heterogeneous ar1"])
@pytest.mark.parametrize("w", [0.0, np.pi])
def test_a_correlation_at_its_bound_is_an_ordinary_value(kind, w):
    part = structure(kind, 3, "g")
    theta = np.append(np.arange(1.0, part.k), w)
    T, below, above = (part.T(theta + np.eye(part.k)[-1] * step) for step in (0.0, -1e-3, 1e-3))
    assert np.isfinite(T).all()
    assert part.edge(theta)[-1]
    assert not part.edge(theta)[:-1].any()
    np.testing.assert_allclose(below @ below.T, above @ above.T, atol=1e-12)
    assert np.linalg.eigvalsh(T @ T.T)[0] == pytest.approx(0.0, abs=1e-12)


def test_a_fit_with_a_correlation_of_one_is_a_singular_one_and_found_soon():
    rng = np.random.default_rng(4)
    groups, z = np.repeat(np.arange(12), 5), np.tile(np.arange(5.0), 12)
    Z = np.column_stack([np.ones(60), z])
    y = (Z * rng.standard_normal(12)[groups, None]).sum(axis=1) + 0.3 * rng.standard_normal(60)
    fit = mme.fit(y, Z, [mme.Term(groups, Z, covariance="homogeneous cs")])
    assert fit.singular
    assert fit.optimum.boundary == ("g.rho",)
    assert fit.optimum.evaluations < 60


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_derivatives_in_closed_form_are_those_of_differences(kind, seed):
    rng, part = np.random.default_rng(seed), structure(kind, 4, "g")
    theta, weights, unit = rng.normal(size=part.k), rng.normal(size=(4, 4)), np.exp(rng.normal(size=part.k))
    theta, weights = np.where(np.abs(theta) < 0.1, 0.5, theta), weights + weights.T
    for closed, differences in ((part.slopes, GStructure.slopes), (part.curvature, GStructure.curvature)):
        given_weights = () if closed == part.slopes else (weights,)
        of_order_one = theta * unit
        expected = differences(part, of_order_one, unit, *given_weights)
        np.testing.assert_allclose(closed(of_order_one, unit, *given_weights), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("q", [2, 3, 4])
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_the_triangle_of_a_singular_covariance_is_one_whatever_root_it_comes_from(q, rank):
    """A A' = A U (A U)': dependent rows have zero columns, so that nothing is left to turn."""
    rng = np.random.default_rng(10 * q + rank)
    for dependent in range(q):
        A = rng.normal(size=(q, min(rank, q))) @ rng.normal(size=(min(rank, q), q))
        A[dependent] = A[0] * (dependent > 0)  # zero, or as the first
        T = lower_factor(A)
        np.testing.assert_allclose(T @ T.T, A @ A.T, atol=1e-12)
        U = np.linalg.qr(rng.normal(size=(q, q)))[0]
        np.testing.assert_allclose(lower_factor(A @ U), T, atol=1e-12)
        assert (T.diagonal() >= 0.0).all()
        assert not T[:, T.diagonal() == 0.0].any()
