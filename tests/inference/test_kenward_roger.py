"""Kenward and Roger's tests: pbkrtest's on every reference case, and the definition by n x n matrices."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from cases import lme4_case_names, load_case, load_data, private_cases
from dense import design
from fits import at
from oracles import kenward_roger
from scipy.special import fdtrc

import mme
from mme.inference.fixed.kenward_roger import kenward_roger as of_terms

# Differences against products of dense matrices: truncation of a polynomial on a tenth of the way to a singularity.
SAME = 1e-6
# A search ends within this many standard errors of the minimum; the adjusted covariance moves by twice as much.
SEARCHED = 1.5e-4


@pytest.fixture(scope="module", params=[*lme4_case_names(), *private_cases("tlc")])
def compared(request):
    """The stored values, the fit as it was searched, and the same fit at the stored theta."""
    case = load_case(request.param)
    if "kenward_roger" not in case.json:
        pytest.skip("the reference has no Kenward-Roger tests")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = case.fit()
        return case.json["kenward_roger"], fit, at(fit, case.json["theta"])


def test_adjusted_covariance_is_that_of_pbkrtest_on_the_boundary_too(compared):
    stored, searched, same = compared
    cov = np.array(stored["vcov_adj"])
    size = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    # y near 1e9 leaves lme4 seven digits of sigma
    weak = 1e-7 if searched.internals.model.y.mean() > 1e8 else 0.0
    np.testing.assert_allclose(same.kenward_roger.cov / size, cov / size, rtol=0, atol=SAME + weak)
    np.testing.assert_allclose(searched.kenward_roger.cov / size, cov / size, rtol=0, atol=SAME + 2 * SEARCHED)


def test_degrees_of_freedom_t_and_p_are_those_of_pbkrtest(compared):
    stored, searched, same = compared
    table = same.coefficients(ddf="kenward-roger")
    t, df, p = (np.array(stored[name]) for name in ("t", "df", "p"))
    np.testing.assert_allclose(table["df"], df, rtol=SAME)
    np.testing.assert_allclose(table["se"], stored["se"], rtol=SAME)
    np.testing.assert_allclose(table["t"], t, rtol=SAME)
    kept = p > 0.0
    steep = np.abs(np.log(fdtrc(1.0, df, (t * (1 + 1e-4)) ** 2)[kept] / p[kept])) / 1e-4  # of log p in log t
    assert (np.abs(table["p"].to_numpy()[kept] / p[kept] - 1) <= 1e-7 + 2 * SAME * (1 + steep)).all()
    np.testing.assert_allclose(searched.coefficients(ddf="kenward-roger")["df"], df, rtol=1e-5)


# -- the definition ----------------------------------------------------------------------------------------------------


def symmetric_units(q):
    """The matrices whose weighted sum is any symmetric one."""
    for a in range(q):
        for b in range(a, q):
            E = np.zeros((q, q))
            E[a, b] = E[b, a] = 1.0
            yield E


def parts_of(Z, q, K=None):
    """dV / dG_ab of one term, level-major."""
    K = np.eye(Z.shape[1] // q) if K is None else K
    return [Z @ np.kron(K, E) @ Z.T for E in symmetric_units(q)]


def table(seed=2, n=60):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 8, n), rng.integers(0, 5, n)
    x = rng.standard_normal(n)
    X = np.column_stack([np.ones(n), x, rng.standard_normal((n, 2))])
    y = X.sum(axis=1) + rng.standard_normal(8)[g] + 0.7 * rng.standard_normal(8)[g] * x + rng.standard_normal(5)[h]
    return y + rng.standard_normal(n), X, g, h, np.column_stack([np.ones(n), x]), rng.uniform(0.5, 2.0, n)


L = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0], [0.0, 1.0, 0.0, 2.0]])


@pytest.mark.parametrize(
    "theta",
    [
        [0.9, 0.3, 0.6, 0.8],
        [0.9, 0.3, 0.0, 0.8],  # a correlation of one
        [0.0, 0.0, 0.0, 0.0],
        [1e-4, 0.0, 30.0, 0.8],
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_covariance_degrees_of_freedom_and_scale_are_those_of_the_definition(theta, weighted):
    y, X, g, h, Z, w = table()
    w = w if weighted else np.ones_like(w)
    fit = mme.fit(y, X, [mme.Term(g, Z), mme.Term(h, name="h")], weights=w if weighted else None)
    fit = at(fit, theta)
    Zg, Zh = design(g, Z), design(h)
    T = fit.internals.model.T(fit.theta)
    V = Zg @ np.kron(np.eye(8), T[0] @ T[0].T) @ Zg.T + Zh @ Zh.T * theta[3] ** 2 + np.diag(1 / w)
    parts = [*parts_of(Zg, 2), *parts_of(Zh, 1), np.diag(1 / w)]
    for rows in (L[:1], L[:2], L):
        cov, df, scale = kenward_roger(X, V, parts, rows)
        test = fit.kenward_roger.f_test(rows, rows @ fit.kenward_roger.beta)
        np.testing.assert_allclose(fit.kenward_roger.cov, fit.sigma**2 * cov, rtol=SAME, atol=SAME * np.abs(cov).max())
        d = rows @ fit.internals.estimates.beta
        wald = d @ np.linalg.solve(rows @ fit.kenward_roger.cov @ rows.T, d) / len(rows)
        assert (test.F, test.denominator, test.scale) == pytest.approx((scale * wald, df, scale), rel=SAME)


@pytest.mark.parametrize("theta", [1.4, 0.0])
def test_related_levels_are_those_of_the_definition(theta):
    rng = np.random.default_rng(4)
    J, n = 24, 40
    B = rng.standard_normal((J, 3))
    K = B @ B.T + 0.3 * np.eye(J)
    codes = rng.integers(0, J, n)
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    y = X.sum(axis=1) + (np.linalg.cholesky(K) @ rng.standard_normal(J))[codes] + rng.standard_normal(n)
    fit = at(mme.fit(y, X, [mme.Term(codes, relationship=related(K))]), [theta])
    A = K[np.ix_(codes, codes)]
    cov, df, _ = kenward_roger(X, theta**2 * A + np.eye(n), [A, np.eye(n)], np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(fit.kenward_roger.cov, fit.sigma**2 * cov, rtol=1e-5)
    assert fit.kenward_roger.df(np.eye(2))[0] == pytest.approx(df, rel=1e-5)


@pytest.mark.parametrize("k", [1, 2])
def test_a_known_residual_variance_is_no_parameter(k):
    y, X, g, _, _, w = table()
    factors = [g, np.arange(y.size) % 7][:k]
    fit = mme.fit(y, X, [mme.Term(one, name=f"f{i}") for i, one in enumerate(factors)], sigma=1.0, weights=w)
    G = [design(one) @ design(one).T for one in factors]
    V = sum(theta**2 * one for theta, one in zip(fit.theta, G, strict=True)) + np.diag(1 / w)
    cov, df, scale = kenward_roger(X, V, G, L[:2])
    test = fit.kenward_roger.f_test(L[:2], L[:2] @ fit.kenward_roger.beta)
    np.testing.assert_allclose(fit.kenward_roger.cov, cov, rtol=SAME, atol=SAME * np.abs(cov).max())
    assert (test.denominator, test.scale) == pytest.approx((df, scale), rel=SAME)


def test_variances_that_are_given_leave_the_tests_of_generalised_least_squares():
    y, X, g, _, _, _ = table()
    given = mme.fit(y, X, [mme.Term(g)], theta=[0.8])
    np.testing.assert_allclose(given.kenward_roger.cov, given.beta_cov, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(given.coefficients(ddf="kenward-roger")["df"], 56.0, rtol=1e-12)
    test = given.kenward_roger.f_test(L[:2], L[:2] @ given.kenward_roger.beta)
    assert (test.denominator, test.scale) == pytest.approx((56.0, 1.0), rel=1e-12)  # exact


def test_one_contrast_is_t_squared():
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))
    row = fit.coefficients(ddf="kenward-roger").loc["Days"]
    test = fit.contrast([0, 1], joint=True, ddf="kenward-roger").iloc[0]
    assert test["F"] == pytest.approx(row["t"] ** 2, rel=1e-12)
    assert test["den_df"] == pytest.approx(row["df"], rel=1e-12)
    assert test["p"] == pytest.approx(row["p"], rel=1e-10)


# -- what cannot be had ------------------------------------------------------------------------------------------------


def test_maximum_likelihood_is_refused_with_the_reason():
    data = load_data("Orthodont")
    with pytest.raises(mme.MMEError, match="REML"):
        mme.lmer("distance ~ age + (1 | Subject)", data, method="ML").coefficients(ddf="kenward-roger")


def test_compound_symmetry_of_the_residuals_is_a_random_intercept():
    """In a balanced design observed and expected information are one at the estimates."""
    data = load_data("Orthodont")
    marginal = mme.lmer("distance ~ age + Sex", data, residual=mme.CompoundSymmetry("Subject"))
    random = mme.lmer("distance ~ age + Sex + (1 | Subject)", data)
    one, other = (fit.coefficients(ddf="kenward-roger") for fit in (marginal, random))
    np.testing.assert_allclose(one[["se", "df"]], other[["se", "df"]], rtol=1e-4)


def test_a_term_written_twice_has_the_degrees_of_freedom_of_the_term():
    y, X, g, _, _, _ = table()
    once, twice = (mme.fit(y, X, [mme.Term(g)] * times) for times in (1, 2))
    found, expected = (fit.coefficients(ddf="kenward-roger") for fit in (twice, once))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def between(seed=3, J=6, m=60):
    """A mean and a slope, J groups of m, and the same groups but for one record."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), m)
    X = np.column_stack([np.ones(g.size), rng.standard_normal(g.size)])
    y = X.sum(axis=1) + rng.standard_normal(J)[g] + rng.standard_normal(g.size)
    return y, X, g, np.where(np.arange(g.size) == 5, 1, g)


def test_groups_that_differ_in_one_record_are_told_apart():
    """Of their information, scaled to a unit diagonal, the least eigenvalue is below a hundredth."""
    y, X, g, h = between()
    fit = at(mme.fit(y, X, [mme.Term(g), mme.Term(h, name="h")]), [0.05, 0.06])
    parts = [design(g) @ design(g).T, design(h) @ design(h).T, np.eye(y.size)]
    V = 0.05**2 * parts[0] + 0.06**2 * parts[1] + parts[2]
    cov, df, scale = kenward_roger(X, V, parts, np.eye(2))
    test = fit.kenward_roger.f_test(np.eye(2), fit.kenward_roger.beta)
    np.testing.assert_allclose(fit.kenward_roger.cov, fit.sigma**2 * cov, rtol=1e-5)
    assert (test.denominator, test.scale) == pytest.approx((df, scale), rel=1e-4)


def related(K):
    levels = np.arange(len(K))
    logdet, diagonal = np.linalg.slogdet(K)[1], np.diag(K)
    return SimpleNamespace(levels=levels, precision=sp.csc_array(np.linalg.inv(K)), logdet=logdet, diagonal=diagonal)


@pytest.mark.parametrize(
    ("J", "m", "shared", "is_told"),
    [(6, 10, 0.0, True), (6, 10, 1e-7, True), (6, 10, 1e-3, False), (30, 4, 4e-7, True), (30, 4, 2e-6, False)],
)
def test_variances_that_only_the_mean_tells_apart_are_not_determined(J, m, shared, is_told):
    """G = I and G = I + s 11': what all levels share is the mean's, and its variance depends on which of them it is."""
    y, X, g, _ = between(J=J, m=m)
    other = mme.Term(g, name="related", relationship=related(np.eye(J) + shared))
    fit = at(mme.fit(y, X, [mme.Term(g), other]), [0.5, 0.6])
    if is_told:
        parts = [design(g) @ design(g).T, np.eye(y.size)]
        _, df, _ = kenward_roger(X, 0.61 * parts[0] + parts[1], parts, np.eye(2)[:1])
        assert of_terms(fit.internals).df(np.eye(2))[0] == pytest.approx(df, rel=1e-5)
    else:
        with pytest.warns(mme.MMEWarning, match="the data do not tell the variances apart"):
            assert np.isnan(of_terms(fit.internals).df(np.eye(2))).all()


def test_variances_that_move_the_information_of_the_mean_in_its_curvature_alone_are_not_determined():
    """G = I + s (1b' + b1') with 1'b = 0, balanced: at G = I the mean's information stands still along b, and bends."""
    y, X, g, _ = between(m=10)
    b = np.array([1.0, -1.0, 0.5, -0.5, 0.0, 0.0])
    other = mme.Term(g, name="related", relationship=related(np.eye(6) + 0.05 * np.add.outer(b, b)))
    fit = at(mme.fit(y, X[:, :1], [mme.Term(g), other]), [0.5, 0.0])
    with pytest.warns(mme.MMEWarning, match="the data do not tell the variances apart"):
        assert np.isnan(of_terms(fit.internals).df(np.eye(1))).all()
