"""Henderson's equations in their literal form: the BLUE and BLUP of generalised least squares, and its variances."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from counting import entered
from designs import labels, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
import mme.equations
from mme.numeric.factor import analyse
from mme.numeric.kernels import count_columns, elimination_tree, kernel, postorder, supernodes
from mme.numeric.limits import Limits, within
from mme.numeric.selected import selected_inverse
from mme.numeric.symbolic import column_counts

BREEDING = Path(__file__).parents[1] / "reference" / "breeding"


def gls(y, X, Z, G, R):
    """beta, b, var(beta), var(b_hat - b), -2 log restricted and full likelihood from V = Z G Z' + R."""
    V = Z @ G @ Z.T + R
    Vinv = np.linalg.inv(V)
    cov = np.linalg.inv(X.T @ Vinv @ X)
    beta = cov @ X.T @ Vinv @ y
    P = Vinv - Vinv @ X @ cov @ X.T @ Vinv
    n, p = X.shape
    ml = n * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + y @ P @ y
    reml = ml - p * np.log(2 * np.pi) - np.linalg.slogdet(cov)[1]
    return beta, G @ Z.T @ P @ y, cov, G - G @ Z.T @ P @ Z @ G, reml, ml


def spd(rng, size):
    """A symmetric positive definite matrix."""
    A = rng.normal(size=(size, size))
    return A @ A.T / size + np.eye(size)


FORMS = {
    "number": lambda rng, size: rng.uniform(0.5, 2.0),
    "vector": lambda rng, size: rng.uniform(0.5, 2.0, size=size),
    "matrix": spd,
    "sparse": lambda rng, size: (
        sp.csc_array(sp.diags_array([np.full(size - 1, 0.3), rng.uniform(1, 2, size)], offsets=[-1, 0]))
        @ sp.eye_array(size)
    ),
}


def symmetric(form):
    return form @ form.T if sp.issparse(form) else form


def dense(form, size):
    if sp.issparse(form):
        return form.toarray()
    return np.eye(size) * form if np.ndim(form) < 2 else form


def arrays(rng, n=30, p=3, J=7):
    X, g = rng.normal(size=(n, p)), labels(rng, n, J)
    if p:
        X[:, 0] = 1.0
    return rng.normal(size=n) + 5.0, X, (g[:, None] == np.arange(J)).astype(float)


def assert_solves(solution, y, X, Z, Ginv, Rinv):
    G, R = np.linalg.inv(dense(Ginv, Z.shape[1])), np.linalg.inv(dense(Rinv, y.size))
    beta, b, cov, pev, reml, ml = gls(y, X, Z, G, R)
    np.testing.assert_allclose(solution.beta, beta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(solution.b, b, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(solution.beta_cov, cov, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(solution.pev(), np.diag(pev), rtol=1e-9)
    np.testing.assert_allclose(solution.fitted, X @ beta + Z @ b, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(solution.residuals, y - X @ beta - Z @ b, rtol=1e-9, atol=1e-9)
    assert abs(solution.criterion("REML") - reml) < 1e-9
    assert abs(solution.criterion("ML") - ml) < 1e-9
    coefficients = solution.equations.coefficients.toarray()
    assert abs(solution.logdet - np.linalg.slogdet(coefficients)[1]) < 1e-9


# -- the solution ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("Rinv", FORMS)
@pytest.mark.parametrize("Ginv", FORMS)
@settings(max_examples=5)
@given(seed=seeds)
def test_the_equations_give_generalised_least_squares_whatever_the_form_of_the_variances(Ginv, Rinv, seed):
    rng = np.random.default_rng(seed)
    y, X, Z = arrays(rng)
    Ginv, Rinv = symmetric(FORMS[Ginv](rng, Z.shape[1])), symmetric(FORMS[Rinv](rng, y.size))
    assert_solves(mme.solve(y, X, Z, Ginv=Ginv, Rinv=Rinv), y, X, Z, Ginv, Rinv)


@settings(max_examples=20)
@given(seed=seeds, p=st.integers(0, 4), sparse_X=st.booleans(), sparse_Z=st.booleans())
def test_X_and_Z_may_be_dense_or_sparse(seed, p, sparse_X, sparse_Z):
    rng = np.random.default_rng(seed)
    y, X, Z = arrays(rng, p=p)
    solution = mme.solve(y, sp.csc_matrix(X) if sparse_X else X, sp.coo_array(Z) if sparse_Z else Z, Ginv=0.5)
    assert_solves(solution, y, X, Z, 0.5, 1.0)


def test_no_Rinv_is_the_identity():
    y, X, Z = arrays(np.random.default_rng(1))
    one, other = mme.solve(y, X, Z, Ginv=0.5), mme.solve(y, X, Z, Ginv=0.5, Rinv=1.0)
    assert np.array_equal(one.beta, other.beta)
    assert np.array_equal(one.b, other.b)


def test_the_coefficient_matrix_and_right_hand_side_are_hendersons():
    rng = np.random.default_rng(2)
    y, X, Z = arrays(rng)
    Ginv, Rinv = spd(rng, 7), spd(rng, 30)
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=Ginv, Rinv=Rinv)
    C = np.hstack([X, Z])
    expected = C.T @ Rinv @ C
    expected[3:, 3:] += Ginv
    assert sp.issparse(eqs.coefficients)
    np.testing.assert_allclose(eqs.coefficients.toarray(), expected, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(eqs.rhs, C.T @ Rinv @ y, rtol=1e-13, atol=1e-12)


@given(seed=seeds)
def test_the_inverse_holds_the_joint_covariance_of_what_is_estimated_and_predicted(seed):
    """Henderson (1975): C^-1 = var(beta_hat, b_hat - b)."""
    rng = np.random.default_rng(seed)
    y, X, Z = arrays(rng)
    Ginv, Rinv = spd(rng, 7), rng.uniform(0.5, 2.0, size=30)
    solution = mme.solve(y, X, Z, Ginv=Ginv, Rinv=Rinv)
    inverse = np.linalg.inv(solution.equations.coefficients.toarray())
    np.testing.assert_allclose(solution.beta_cov, inverse[:3, :3], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(solution.pev(), np.diag(inverse)[3:], rtol=1e-9)


def test_conjugate_gradients_reach_the_direct_solution():
    rng = np.random.default_rng(3)
    y, X, Z = arrays(rng, n=200, J=40)
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=0.7)
    direct, iterated = eqs.solve(method="direct"), eqs.solve(method="iterative", tolerance=1e-12)
    assert direct.residual_norm < 1e-13
    assert iterated.residual_norm < 1e-11
    np.testing.assert_allclose(iterated.beta, direct.beta, rtol=1e-8)
    np.testing.assert_allclose(iterated.b, direct.b, atol=1e-8)
    with pytest.raises(mme.MMEError, match="solve\\(method='direct'\\)"):
        iterated.pev()


# -- many equations ----------------------------------------------------------------------------------------------------


def crossed(rng, n, J, K):
    g, h = labels(rng, n, J), labels(rng, n, K)
    Z = sp.hstack([sp.csr_array((np.ones(n), (np.arange(n), codes))) for codes in (g, h)], format="csr")
    return rng.normal(size=n), np.column_stack([np.ones(n), rng.normal(size=n)]), Z


@pytest.mark.parametrize(("J", "K"), [(250, 150), (600, 250)], ids=["400 effects", "850 effects"])
def test_prediction_error_variances_by_the_selected_inverse_are_those_of_the_whole_inverse(J, K):
    rng = np.random.default_rng(4)
    y, X, Z = crossed(rng, 3 * J, J, K)
    solution = mme.solve(y, X, Z, Ginv=rng.uniform(0.5, 2.0, size=J + K), Rinv=1.3)
    inverse = np.linalg.inv(solution.equations.coefficients.toarray())
    np.testing.assert_allclose(solution.pev(), np.diag(inverse)[2:], rtol=1e-10)
    np.testing.assert_allclose(solution.beta_cov, inverse[:2, :2], rtol=1e-9)


@given(seed=seeds, n=st.integers(1, 60), density=st.floats(0.0, 0.4))
def test_the_selected_inverse_of_any_pattern_is_that_of_the_dense_inverse(seed, n, density):
    rng = np.random.default_rng(seed)
    A = np.tril(np.where(rng.random((n, n)) < density, rng.normal(size=(n, n)), 0.0), -1)
    A = A + A.T + np.diag(np.abs(A + A.T).sum(axis=0) + 0.5)
    lower = sp.csc_array(np.tril(A))
    found = analyse(lower).factor(lower.data).inverse_entries(*lower.nonzero())
    np.testing.assert_allclose(found, np.linalg.inv(A)[lower.nonzero()], atol=1e-12)


@pytest.mark.parametrize("n", [97, 250])  # more columns than a run has, and more rows than a panel
def test_the_selected_inverse_of_a_full_matrix_is_its_inverse(n):
    A = spd(np.random.default_rng(n), n)
    lower = sp.csc_array(np.tril(A))
    found = analyse(lower).factor(lower.data).inverse_entries(*lower.nonzero())
    np.testing.assert_allclose(found, np.linalg.inv(A)[lower.nonzero()], atol=1e-11)


def test_loops_give_the_same_bits_plain_and_compiled():
    rng = np.random.default_rng(5)
    y, X, Z = crossed(rng, 200, 60, 30)
    factor = mme.solve(y, X, Z, Ginv=1.0).factor
    L, n = factor.L, factor.perm.size
    head = supernodes(L.indptr, L.indices, n)
    assert np.array_equal(kernel("supernodes", 10**9)(L.indptr, L.indices, n), head)
    assert np.unique(head).size < n
    compiled = kernel(selected_inverse, 10**9)
    assert compiled is not selected_inverse
    args = L.indptr, L.indices, L.data, head
    np.testing.assert_allclose(compiled(*args), selected_inverse(*args), rtol=1e-12, atol=1e-15)
    A = sp.tril(L)
    by_row, by_column = sp.csr_array(A), sp.csc_array(A)
    parent = elimination_tree(by_row.indptr, by_row.indices, n)
    assert np.array_equal(kernel("elimination_tree", 10**9)(by_row.indptr, by_row.indices, n), parent)
    order = postorder(parent)
    assert np.array_equal(kernel("postorder", 10**9)(parent), order)
    args = by_column.indptr, by_column.indices, parent, order
    assert np.array_equal(kernel("count_columns", 10**9)(*args), count_columns(*args))


@given(seed=seeds, n=st.integers(1, 40), density=st.floats(0.0, 0.4))
def test_columns_are_counted_as_elimination_fills_them(seed, n, density):
    rng = np.random.default_rng(seed)
    A = np.tril(rng.random((n, n)) < density, -1) | np.eye(n, dtype=bool)
    perm, filled = rng.permutation(n), (A | A.T)
    filled = filled[np.ix_(perm, perm)]
    for j in range(n):  # symbolic elimination, from its definition
        below = np.flatnonzero(filled[j + 1 :, j]) + j + 1
        filled[np.ix_(below, below)] = True
    assert np.array_equal(column_counts(sp.csc_array(A.astype(float)), perm), np.tril(filled).sum(axis=0))


@settings(max_examples=20)
@given(seed=seeds, J=st.integers(5, 40), K=st.integers(5, 40))
def test_the_forecast_of_the_factor_is_its_size(seed, J, K):
    y, X, Z = crossed(np.random.default_rng(seed), 100, J, K)
    solution = mme.solve(y, X, Z, Ginv=1.0)
    symbolic = solution.equations.symbolic
    stored, supernodal = solution.factor.L.nnz, getattr(symbolic, "supernodal", False)
    assert symbolic.nnz_L <= stored <= symbolic.nnz_L * (3 if supernodal else 1)  # merged supernodes store zeros


def test_a_factor_too_large_for_memory_is_refused_before_it_is_made():
    y, X, Z = crossed(np.random.default_rng(6), 300, 60, 40)
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=1.0)
    too_large = pytest.raises(mme.MemoryForecastError, match=r"factor of 102 equations would have [0-9,]+ entries")

    def refused():
        with within(Limits(memory=1000)), too_large:
            eqs.solve(method="direct")

    assert entered(refused, type(eqs.symbolic).factor) == 0
    assert entered(lambda: eqs.solve(method="direct"), type(eqs.symbolic).factor) == 1


def test_a_factor_too_large_for_memory_is_avoided_by_iteration():
    y, X, Z = crossed(np.random.default_rng(7), 300, 60, 40)
    direct = mme.solve(y, X, Z, Ginv=1.0)
    with within(Limits(memory=1000)):
        iterated = mme.MixedModelEquations(y, X, Z, Ginv=1.0).solve()
    assert iterated.factor.steps > 0
    np.testing.assert_allclose(iterated.b, direct.b, atol=1e-7)


def test_a_factor_that_did_not_fit_once_is_not_begun_at_a_second_solve():
    y, X, Z = crossed(np.random.default_rng(7), 300, 60, 40)
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=1.0)
    with within(Limits(memory=1000)):
        assert eqs.symbolic.bytes > 1000
        assert eqs.solve().factor.steps == eqs.solve().factor.steps
        assert eqs.with_variances(Ginv=2.0).solve().factor.steps > 0


def test_a_factor_that_would_take_hours_is_avoided_by_iteration_unless_asked_for():
    y, X, Z = crossed(np.random.default_rng(7), 300, 60, 40)
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=1.0)
    with within(Limits(factor_operations=eqs.symbolic.flops - 1.0)):
        assert eqs.solve().factor.steps > 0
        np.testing.assert_allclose(eqs.solve().b, eqs.solve(method="direct").b, atol=1e-7)
    with within(Limits(factor_operations=eqs.symbolic.flops)):
        assert eqs.solve().pev().min() > 0.0


@pytest.mark.parametrize("size", [6, 200])  # a simplicial factor and a supernodal one
def test_a_factor_counted_in_64_bits_is_the_same(size):
    cholmod = pytest.importorskip("mme.numeric.cholmod")
    lower = sp.csc_array(np.tril(spd(np.random.default_rng(7), size)))
    lower.indices, lower.indptr = lower.indices.astype(np.int32), lower.indptr.astype(np.int32)
    analysis = cholmod.CholmodAnalysis(lower)
    assert analysis.supernodal == (size > 6)
    short = analysis.factor(lower.data)
    with within(Limits(factor_entries_32_bits=0)), warnings.catch_warnings():
        warnings.simplefilter("error")  # CHOLMOD says when it has to convert integers
        long = cholmod.CholmodAnalysis(lower).factor(lower.data)
    assert (short.perm.dtype, long.perm.dtype) == (np.int32, np.int64)
    b = np.arange(lower.shape[0], dtype=float)
    np.testing.assert_allclose(long.solve(b), short.solve(b), rtol=1e-12)
    every = np.arange(lower.shape[0])
    np.testing.assert_allclose(long.inverse_entries(every, every), short.inverse_entries(every, every), rtol=1e-12)


def test_a_large_precision_is_factorised_when_its_determinant_is_asked_for():
    rng = np.random.default_rng(3)
    y, X, Z = arrays(rng)
    Ginv = spd(rng, 7)
    at_the_door = mme.solve(y, X, Z, Ginv=Ginv)
    indefinite = Ginv - 1.0001 * np.linalg.eigvalsh(Ginv)[0] * np.eye(7)
    with pytest.raises(mme.MMEError, match="Ginv is singular"):
        mme.MixedModelEquations(y, X, Z, Ginv=indefinite)
    with within(Limits(precision_entries_checked=10)):
        later = mme.solve(y, X, Z, Ginv=Ginv)
        unchecked = mme.MixedModelEquations(y, X, Z, Ginv=indefinite)
    assert later.equations._logdet_Ginv is None
    assert later.criterion() == at_the_door.criterion()
    with pytest.raises(mme.MMEError, match="Ginv is singular"):
        unchecked.logdet_Ginv  # noqa: B018


# -- other variances ---------------------------------------------------------------------------------------------------


def test_other_variances_keep_the_symbolic_analysis(monkeypatch):
    rng = np.random.default_rng(8)
    y, X, Z = crossed(rng, 200, 40, 20)
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=1.0)
    eqs.solve()
    other = eqs.with_variances(Ginv=np.repeat([0.2, 3.0], [40, 20]), Rinv=rng.uniform(0.5, 2.0, size=200))
    assert other.symbolic is eqs.symbolic
    anew = mme.MixedModelEquations(y, X, Z, Ginv=other.Ginv, Rinv=other.Rinv).solve()
    np.testing.assert_allclose(other.solve().b, anew.b, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(other.solve().pev(), anew.pev(), rtol=1e-12)


def test_other_variances_leave_the_first_equations_as_they_were():
    y, X, Z = arrays(np.random.default_rng(9))
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=1.0)
    before = eqs.coefficients.toarray()
    eqs.with_variances(Ginv=9.0, Rinv=0.1)
    assert np.array_equal(eqs.coefficients.toarray(), before)
    assert_solves(eqs.solve(), y, X, Z, 1.0, 1.0)


def test_variances_of_another_pattern_are_analysed_anew():
    rng = np.random.default_rng(10)
    y, X, Z = arrays(rng)
    eqs = mme.MixedModelEquations(y, X, Z, Ginv=1.0)
    other = eqs.with_variances(Ginv=spd(rng, 7))
    assert other.symbolic is not eqs.symbolic
    assert_solves(other.solve(), y, X, Z, other.Ginv, 1.0)


# -- textbook cases ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mrode_animal", "inbred12"])
def test_animal_models_of_the_textbooks(name):
    """Mrode, Linear Models for the Prediction of Animal Breeding Values, example 3.1; a pedigree with inbreeding."""
    case = json.loads((BREEDING / f"{name}.json").read_text())
    ids = case["pedigree"]["id"]
    Z = (np.array(case["record_animal"])[:, None] == ids).astype(float)
    Ginv = np.array(case["Ainv"]) / case["sigma2_u"]
    solution = mme.solve(case["y"], np.array(case["X"]), Z, Ginv=Ginv, Rinv=1 / case["sigma2_e"])
    sigma2 = case["sigma2_e"]  # the reference multiplied the equations by it
    np.testing.assert_allclose(solution.equations.coefficients.toarray() * sigma2, case["C"], atol=1e-13)
    np.testing.assert_allclose(solution.equations.rhs * sigma2, case["rhs"], rtol=1e-13)
    np.testing.assert_allclose(solution.beta, case["beta"], rtol=1e-11)
    np.testing.assert_allclose(solution.b, case["u"], atol=1e-12)
    np.testing.assert_allclose(np.sqrt(np.diag(solution.beta_cov)), case["se_beta"], rtol=1e-11)
    np.testing.assert_allclose(solution.pev(), case["PEV"], rtol=1e-11)
    assert abs(solution.criterion("REML") - case["minus2_REML_at_given_variances"]) < 1e-10
    assert abs(solution.criterion("ML") - case["minus2_ML_at_given_variances"]) < 1e-10


def test_mrodes_printed_solutions():
    case = json.loads((BREEDING / "mrode_animal.json").read_text())
    Z = (np.array(case["record_animal"])[:, None] == case["pedigree"]["id"]).astype(float)
    solution = mme.solve(case["y"], np.array(case["X"]), Z, Ginv=np.array(case["Ainv"]) / 20, Rinv=1 / 40)
    assert solution.beta.round(3).tolist() == [4.359, 3.404]  # printed 4.358 by cutting
    assert solution.b.round(3).tolist() == [0.098, -0.019, -0.041, -0.009, -0.186, 0.177, -0.249, 0.183]


# -- bad input ---------------------------------------------------------------------------------------------------------

Y, X, Z = arrays(np.random.default_rng(11), n=12, p=2, J=3)
SINGULAR = np.ones((3, 3))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Ginv": 0.0}, "Ginv is singular"),
        ({"Ginv": -1.0}, "Ginv is singular or not positive definite"),
        ({"Ginv": np.array([1.0, 0.0, 1.0])}, "Ginv is singular"),
        ({"Ginv": SINGULAR}, "Ginv is singular"),
        ({"Ginv": -np.eye(3)}, "Ginv is singular or not positive definite"),
        ({"Ginv": np.diag([1.0, 1.0, -1.0])}, "Ginv is singular or not positive definite"),
        ({"Ginv": np.array([1.0, np.nan, 1.0])}, "Ginv"),
        ({"Ginv": np.full((3, 3), np.inf)}, "Ginv has missing or infinite values"),
        ({"Ginv": np.eye(4)}, "Ginv must be \\(3, 3\\) for the 3 random effects, got \\(4, 4\\)"),
        ({"Ginv": np.ones(4)}, "Ginv has 4 values for 3 random effects"),
        ({"Ginv": np.eye(3) + np.eye(3, k=1)}, "Ginv is not symmetric"),
        ({"Ginv": sp.csc_array((3, 3))}, "Ginv is singular"),
        ({"Rinv": 0.0}, "Rinv is singular"),
        ({"Rinv": np.append(np.ones(11), 0.0)}, "Rinv is singular"),
        ({"Rinv": np.ones(11)}, "Rinv has 11 values for 12 records"),
        ({"Rinv": np.ones((12, 12))}, "Rinv is singular"),
        ({"Rinv": np.tri(12)}, "Rinv is not symmetric"),
        ({"y": Y[:11]}, "X must have a row for each of the 11 records"),
        ({"y": np.append(Y[:11], np.nan)}, "y has 1 missing or infinite values"),
        ({"y": np.zeros((12, 2))}, "y must be one-dimensional"),
        ({"y": []}, "y must be one-dimensional and not empty"),
        ({"y": ["a"] * 12}, "y must be numeric"),
        ({"X": X[:11]}, "X must have a row for each of the 12 records, got shape \\(11, 2\\)"),
        ({"X": np.full((12, 2), np.inf)}, "X has missing or infinite values"),
        ({"X": [["a", "b"]] * 12}, "X must be "),
        ({"Z": Z[:11]}, "Z must have a row for each of the 12 records, got shape \\(11, 3\\)"),
        ({"Z": np.where(Z == 1.0, np.nan, Z)}, "Z has missing or infinite values"),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " ") if isinstance(value, dict) else "",
)
def test_bad_input_is_named(changed, message):
    given = {"y": Y, "X": X, "Z": Z, "Ginv": 1.0, "Rinv": None, **changed}
    with pytest.raises(mme.MMEError, match=message):
        mme.MixedModelEquations(given["y"], given["X"], given["Z"], Ginv=given["Ginv"], Rinv=given["Rinv"])


@settings(max_examples=40)
@given(seed=seeds, p=st.integers(1, 4))
def test_a_column_of_X_that_others_determine_is_named(seed, p):
    rng = np.random.default_rng(seed)
    y, columns, Z = arrays(rng, n=40, p=p)
    names = [f"column{j}" for j in range(p)]
    frame = pd.DataFrame(columns, columns=names)
    frame["copy"] = columns @ rng.normal(size=p)
    with pytest.raises(mme.MMEError, match=r"not linearly independent .*column.*depends on others"):
        mme.solve(y, frame, Z, Ginv=1.0)


def test_a_column_of_X_that_others_determine_is_named_among_many_equations():
    rng = np.random.default_rng(13)
    for _ in range(4):
        y, columns, Z = crossed(rng, 1600, 400, 300)
        frame = pd.DataFrame(np.column_stack([columns, columns @ rng.normal(size=2)]), columns=["one", "x", "copy"])
        with pytest.raises(mme.MMEError, match=r"\(column copy depends on others\)"):
            mme.solve(y, frame, Z, Ginv=1.0)


@settings(max_examples=40)
@given(seed=seeds, rank=st.integers(1, 5))
def test_an_inverse_variance_that_rounding_alone_makes_regular_is_singular(seed, rank):
    rng = np.random.default_rng(seed)
    y, X, Z = arrays(rng, J=6)
    A = rng.normal(size=(6, rank))
    with pytest.raises(mme.MMEError, match="Ginv is singular"):
        mme.solve(y, X, Z, Ginv=A @ A.T)


def test_a_column_of_X_that_the_random_effects_determine_is_no_trouble():
    """b has a prior: group indicators in X and in Z are told apart."""
    y, _, Z = arrays(np.random.default_rng(12))
    assert_solves(mme.solve(y, Z, Z, Ginv=2.0), y, Z, Z, 2.0, 1.0)


def test_a_method_that_does_not_exist_is_refused():
    solution = mme.solve(Y, X, Z, Ginv=1.0)
    with pytest.raises(mme.MMEError, match="method must be 'REML' or 'ML', got 'reml'"):
        solution.criterion("reml")
    with pytest.raises(mme.MMEError, match="method must be 'auto', 'direct' or 'iterative'"):
        solution.equations.solve(method="lu")


# -- effects that Ginv leaves fixed ------------------------------------------------------------------------------------


def groups_of_unknown_parents():
    animals = [1, 2, 3, 4, 5, 6]
    pedigree = mme.Pedigree(animals, ["g", "h", 1, 1, 3, 3], ["g", "h", 2, 2, 4, 4], unknown_groups=["g", "h"])
    return pedigree, mme.Term([3, 4, 5, 6, 1, 2], name="animal", relationship=pedigree).Z


def test_a_singular_inverse_solves_where_the_equations_have_full_rank():
    pedigree, Z = groups_of_unknown_parents()
    y, X = np.array([3.0, 4.0, 6.0, 5.0, 1.0, 2.0]), np.array([[1.0], [-1.0], [1.0], [-1.0], [2.0], [0.5]])
    solution = mme.solve(y, X, Z, Ginv=pedigree.Ainv / 2)
    C = np.hstack([X, Z.toarray()])
    coefficients = C.T @ C
    coefficients[1:, 1:] += pedigree.Ainv.toarray() / 2
    inverse = np.linalg.inv(coefficients)
    np.testing.assert_allclose(np.append(solution.beta, solution.b), inverse @ C.T @ y, atol=1e-12)
    np.testing.assert_allclose(solution.pev(), np.diag(inverse)[1:], atol=1e-12)
    # the same as Q in X: Henderson's equations of the animals alone
    plain = mme.solve(y, np.hstack([X, Z[:, :6] @ pedigree.Q]), Z[:, :6], Ginv=mme.Pedigree(*_founders()).Ainv / 2)
    np.testing.assert_allclose(solution.beta, plain.beta[:1], atol=1e-12)
    np.testing.assert_allclose(solution.b[:6], plain.b + pedigree.Q @ plain.beta[1:], atol=1e-12)
    with pytest.raises(mme.MMEError, match=r"criterion is then that of mme\.fit"):
        solution.criterion()


def _founders():
    return [1, 2, 3, 4, 5, 6], [None, None, 1, 1, 3, 3], [None, None, 2, 2, 4, 4]


def test_what_a_singular_inverse_leaves_confounded_is_named():
    pedigree, Z = groups_of_unknown_parents()
    y = np.array([3.0, 4.0, 6.0, 5.0, 1.0, 2.0])
    with pytest.raises(mme.MMEError, match=r"columns of X mean and random effects 0, 1, 2, .* \(counted"):
        mme.solve(y, pd.DataFrame({"x": [1.0, 2, 3, 1, 2, 5], "mean": 1.0}), Z, Ginv=pedigree.Ainv)
    far = mme.Pedigree([1, 2, 3], ["g", "far", 1], ["g", "far", 1], unknown_groups=["g", "far"], hermaphrodite=True)
    Z = mme.Term([1, 3, 1], name="animal", relationship=far).Z
    with pytest.raises(mme.MMEError, match=r"1 combination.*confounded are random effects 1, 4 \(counted from 0\)"):
        mme.solve([1.0, 2.0, 3.0], np.array([[1.0], [2.0], [0.0]]), Z, Ginv=far.Ainv)
    with pytest.raises(mme.MMEError, match="give it sparse"):
        mme.solve([1.0, 2.0, 3.0], np.array([[1.0], [2.0], [0.0]]), Z, Ginv=far.Ainv.toarray())
