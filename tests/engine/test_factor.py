"""One protocol for Cholesky factors: dense, by CHOLMOD, by SuperLU; each gives what linear algebra says."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from designs import seeds
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.dense import DenseFactor, cholesky_in_place
from mme.numeric.factor import analyse, factorise
from mme.numeric.limits import Limits, within
from mme.numeric.superlu import SuperLUAnalysis
from mme.numeric.symbolic import pattern_of_factor

ROOT = Path(__file__).parents[2]


def by_lapack(lower):
    return DenseFactor(cholesky_in_place(lower.toarray(order="F")))


def by_cholmod(lower):
    return pytest.importorskip("mme.numeric.cholmod").CholmodAnalysis(lower).factor(lower.data)


def by_superlu(lower):
    return SuperLUAnalysis(lower).factor(lower.data)


BACKENDS = pytest.mark.parametrize("factor_of", [by_lapack, by_cholmod, by_superlu])


def lower_triangle(A):
    lower = sp.csc_array(sp.tril(A))
    lower.sort_indices()
    return lower


def positive_definite(seed, n, density):
    """Make a matrix that is diagonally dominant, as a sparse one with about this share of entries."""
    rng = np.random.default_rng(seed)
    A = np.tril(np.where(rng.random((n, n)) < density, rng.normal(size=(n, n)), 0.0), -1)
    A = A + A.T
    return A + np.diag(np.abs(A).sum(axis=0) + 0.5)


patterns = {"seed": seeds, "n": st.integers(1, 40), "density": st.floats(0.0, 0.4)}


@BACKENDS
@given(**patterns)
def test_every_backend_gives_what_linear_algebra_says(factor_of, seed, n, density):
    A, b = positive_definite(seed, n, density), np.random.default_rng(seed).normal(size=(n, 3))
    lower, inverse = lower_triangle(A), np.linalg.inv(A)
    factor = factor_of(lower)
    assert abs(factor.logdet - np.linalg.slogdet(A)[1]) < 1e-11 * n
    np.testing.assert_allclose(factor.solve(b), inverse @ b, atol=1e-11)
    np.testing.assert_allclose(factor.solve(b[:, 0]), inverse @ b[:, 0], atol=1e-11)
    forward = factor.forward(b)
    np.testing.assert_allclose(forward.T @ forward, b.T @ inverse @ b, atol=1e-10)
    roots = factor.backward(np.eye(n))
    np.testing.assert_allclose(roots @ roots.T, inverse, atol=1e-11)
    np.testing.assert_allclose(factor.backward(forward), inverse @ b, atol=1e-11)
    np.testing.assert_allclose(factor.inverse(), inverse, atol=1e-11)
    np.testing.assert_allclose(factor.inverse_entries(*lower.nonzero()), inverse[lower.nonzero()], atol=1e-11)
    order = factor.perm
    permuted = np.linalg.cholesky(A[np.ix_(order, order)])
    np.testing.assert_allclose(factor.pivots, permuted.diagonal() ** 2, rtol=1e-10)
    none = np.zeros((n, 0))
    assert factor.solve(none).shape == factor.forward(none).shape == factor.backward(none).shape == (n, 0)


@BACKENDS
@given(**patterns)
def test_entries_that_happen_to_be_zero_stay_on_the_pattern(factor_of, seed, n, density):
    """As where a variance is zero: the inverse is asked for on the whole pattern."""
    lower = lower_triangle(positive_definite(seed, n, density))
    row, col = lower.indices, np.repeat(np.arange(n), np.diff(lower.indptr))
    gone = (row != col) & (np.random.default_rng(seed).random(row.size) < 0.5)
    lower.data[gone] = 0.0
    A = lower.toarray()
    inverse = np.linalg.inv(A + np.tril(A, -1).T)
    np.testing.assert_allclose(factor_of(lower).inverse_entries(row, col), inverse[row, col], atol=1e-11)


@BACKENDS
@given(**patterns, share=st.floats(0.0, 0.9))
def test_a_matrix_that_is_not_positive_definite_has_no_factor(factor_of, seed, n, density, share):
    A = positive_definite(seed, n, density)
    A -= (1.0 + share) * np.linalg.eigvalsh(A)[-1 if seed % 2 else 0] * np.eye(n)
    if share > 0.01 and (np.abs(np.linalg.eigvalsh(A)) > 1e-6).all():
        with pytest.raises(NotPositiveDefiniteError):
            factor_of(lower_triangle(A))


@BACKENDS
@pytest.mark.parametrize("A", [[[0.0, 1.0], [1.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [[1.0, np.nan], [np.nan, 1.0]]])
def test_exchanged_singular_and_missing_matrices_have_no_factor(factor_of, A):
    lower = sp.csc_array(np.tril(np.array(A)) + 2.0 * np.tri(2))
    lower.data -= 2.0  # zeros are entries too
    lower.sort_indices()
    with pytest.raises(NotPositiveDefiniteError):
        factor_of(lower)


@given(**patterns)
def test_the_pattern_of_the_factor_is_what_elimination_fills(seed, n, density):
    A = positive_definite(seed, n, density) != 0.0
    perm = np.random.default_rng(seed).permutation(n)
    filled = A[np.ix_(perm, perm)]
    for j in range(n):  # symbolic elimination, from its definition
        below = np.flatnonzero(filled[j + 1 :, j]) + j + 1
        filled[np.ix_(below, below)] = True
    indptr, rows = pattern_of_factor(lower_triangle(A.astype(float)), perm)
    found = sp.csc_array((np.ones(rows.size), rows, indptr), shape=(n, n))
    assert np.array_equal(found.toarray() > 0.0, np.tril(filled))
    assert found.has_sorted_indices


@given(**patterns)
def test_the_factor_of_superlu_is_a_factor_with_the_forecast_entries(seed, n, density):
    A = positive_definite(seed, n, density)
    analysis = SuperLUAnalysis(lower_triangle(A))
    factor = analysis.factor(lower_triangle(A).data)
    np.testing.assert_allclose((factor.L @ factor.L.T).toarray(), A[np.ix_(factor.perm, factor.perm)], atol=1e-11)
    assert factor.L.nnz == analysis.nnz_L


@pytest.mark.parametrize("choice", ["cholmod", "superlu"])
def test_an_analysis_is_pickled_with_its_pattern(choice, monkeypatch):
    if choice == "cholmod":
        pytest.importorskip("sksparse")
    monkeypatch.setenv("MME_FACTOR", choice)
    lower = lower_triangle(positive_definite(3, 20, 0.2))
    analysis = analyse(lower)
    twin = pickle.loads(pickle.dumps(analysis))
    assert twin.is_of(lower)
    assert twin.description == analysis.description
    assert twin.description.lower().startswith(choice)
    assert twin.factor(lower.data).logdet == analysis.factor(lower.data).logdet


def test_the_environment_names_a_backend_that_there_is(monkeypatch):
    monkeypatch.setenv("MME_FACTOR", "umfpack")
    with pytest.raises(mme.MMEError, match="MME_FACTOR must be 'cholmod' or 'superlu', got 'umfpack'"):
        factorise(sp.eye_array(3))


# -- without scikit-sparse ---------------------------------------------------------------------------------------------

HIDDEN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "sksparse":
            raise ModuleNotFoundError("No module named 'sksparse'")

sys.meta_path.insert(0, Hidden())
"""
CROSSED = """
import json, warnings
import numpy as np
import mme
rng = np.random.default_rng(4)
user = rng.integers(0, 400, 3000)
item = (user + rng.integers(0, 4, 3000)) % 400  # of the neighbourhood
y = rng.normal(size=400)[user] + rng.normal(size=400)[item] + rng.normal(size=3000)
terms = [mme.Term(user, name="user"), mme.Term(item, name="item")]
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    simple = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    before = len(said)
    fits = [mme.fit(y + i, np.ones((3000, 1)), terms) for i in range(2)]
pev = float(fits[0].internals.estimates.pev[1].sum())
print(json.dumps({
    "simple": simple.criterion, "criterion": fits[0].criterion, "theta": fits[0].theta.tolist(), "pev": pev,
    "remainder": fits[0].engine.remainder, "before": before, "said": [str(one.message) for one in said],
}))
"""


def fresh(code, **environment):
    """What a fresh interpreter prints, read as JSON."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "MME_FACTOR"} | environment,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def without():
    return fresh(HIDDEN + CROSSED)


def test_without_scikit_sparse_the_same_numbers_come_by_superlu(without):
    assert without["remainder"].startswith("SuperLU")
    other = fresh(CROSSED)
    assert abs(without["simple"] - other["simple"]) < 1e-9
    assert abs(without["criterion"] - other["criterion"]) < 1e-7
    np.testing.assert_allclose(without["theta"], other["theta"], atol=1e-6)
    np.testing.assert_allclose(without["pev"], other["pev"], rtol=1e-5)


def test_without_scikit_sparse_it_is_said_once_and_only_where_a_sparse_factor_is_made(without):
    assert without["before"] == 0
    assert len(without["said"]) == 1
    assert "scikit-sparse is not installed: sparse factors are made by SciPy's SuperLU" in without["said"][0]


def test_a_backend_that_was_asked_for_is_taken_in_silence_or_missed_in_words():
    assert fresh(CROSSED, MME_FACTOR="superlu")["said"] == []
    missed = """
try:
    mme.solve([1.0, 2.0], np.ones((2, 1)), np.eye(2), Ginv=1.0)
except mme.MMEError as error:
    print(json.dumps(str(error)))
"""
    head = "import json, mme\nimport numpy as np\n"
    assert "MME_FACTOR=cholmod needs scikit-sparse" in fresh(HIDDEN + head + missed, MME_FACTOR="cholmod")


def test_a_field_is_ordered_by_nested_dissection_where_that_takes_fewer_operations():
    pytest.importorskip("sksparse")
    from mme.numeric.cholmod import CholmodAnalysis

    chain = sp.diags_array([-np.ones(39), 2.5 * np.ones(40), -np.ones(39)], offsets=[-1, 0, 1])
    grid = sp.csc_array(sp.tril(sp.kron(chain, sp.eye_array(40)) + sp.kron(sp.eye_array(40), chain)))
    grid.sort_indices()
    plain = CholmodAnalysis(grid)
    with within(Limits(dear_order=0)):
        other = CholmodAnalysis(grid)
    assert "AMD" in plain.description
    assert other.flops <= plain.flops
    one, two = plain.factor(grid.data), other.factor(grid.data)
    assert two.logdet == pytest.approx(one.logdet, rel=1e-13)
    some = np.arange(0, 1600, 7)
    np.testing.assert_allclose(two.inverse_entries(some, some), one.inverse_entries(some, some), rtol=1e-11)


def test_the_inverse_on_the_pattern_is_made_once_for_all_its_entries():
    lower = sp.csc_array(sp.tril(sp.diags_array([-np.ones(9), 3.0 * np.ones(10), -np.ones(9)], offsets=[-1, 0, 1])))
    lower.sort_indices()
    factor = analyse(lower).factor(lower.data)
    dense = np.linalg.inv((lower + sp.tril(lower, -1).T).toarray())
    for i, j in ((np.arange(10), np.arange(10)), (np.arange(1, 10), np.arange(9)), (np.arange(9), np.arange(1, 10))):
        np.testing.assert_allclose(factor.inverse_entries(i, j), dense[i, j], rtol=1e-12)
