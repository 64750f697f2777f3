"""Evaluations by orthogonal factors alone are those of dense algebra: log|M|, and the triangle of X and y."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from wide import SPARSE, Records, sparse

import mme
from mme.engine.orthogonal import Orthogonal, Spare, exceeds, is_steep
from mme.engine.pls import evaluate
from mme.numeric.limits import Limits, within

N = 36
RNG = np.random.default_rng(8)
G, H, TIME = np.arange(N) % 7, np.arange(N) // 8, np.arange(N) % 9
X, Y, WEIGHTS = np.column_stack([np.ones(N), RNG.normal(size=N)]), RNG.normal(size=N), RNG.uniform(0.5, 2.0, N)
PEDIGREE = mme.Pedigree(np.arange(7), [None, None, 0, 0, 0, 2, 2], [None, None, 1, 1, 1, 3, 4])


def indicators(codes):
    return np.equal.outer(codes, np.unique(codes)).astype(float)


def by_series():
    """Five series of nine times, of which the covariance falls with the distance."""
    gap = np.abs(np.subtract.outer(TIME, TIME))
    return np.equal.outer(H, H) * np.exp(-gap / 2.5)


RANGE = float(mme.Term.ou(TIME, H, name="s").relationship.coordinates(np.array([2.5]))[0])
SLOPES = np.column_stack([np.ones(N), X[:, 1]])
TRIANGLE = np.array([[0.7, 0.0], [-0.3, 0.5]])
SIDE_BY_SIDE = (indicators(G)[:, :, None] * SLOPES[:, None]).reshape(N, -1)
ROW, COL = np.arange(N) % 6, np.arange(N) // 6 % 4
FIELD = mme.Term.field({"row": ROW, "col": COL}).relationship
PLOTS = [f"{row}:{col}" for row, col in zip(ROW, COL, strict=True)]
BY_FIELD = 0.5 ** np.abs(np.subtract.outer(ROW, ROW)) * 0.7 ** np.abs(np.subtract.outer(COL, COL))
# Terms, theta, and the covariance of the records by them, in units of sigma^2.
DESIGNS = {
    "crossed": (
        lambda: [mme.Term(G, name="g"), mme.Term(H, name="h")],
        [0.8, 1.3],
        0.64 * np.equal.outer(G, G) + 1.69 * np.equal.outer(H, H),
    ),
    "slopes beside a factor": (
        lambda: [mme.Term(H, name="h"), mme.Term(G, SLOPES, name="g")],
        [1.3, 0.7, -0.3, 0.5],
        SIDE_BY_SIDE @ np.kron(np.eye(7), TRIANGLE @ TRIANGLE.T) @ SIDE_BY_SIDE.T + 1.69 * np.equal.outer(H, H),
    ),
    "related beside a factor": (
        lambda: [mme.Term(G, name="g", relationship=PEDIGREE), mme.Term(H, name="h")],
        [0.8, 1.3],
        0.64 * indicators(G) @ np.linalg.inv(PEDIGREE.Ainv.toarray()) @ indicators(G).T + 1.69 * np.equal.outer(H, H),
    ),
    "series beside a factor": (
        lambda: [mme.Term.ou(TIME, H, name="s"), mme.Term(G, name="g")],
        [0.9, RANGE, 0.8],
        0.81 * by_series() + 0.64 * np.equal.outer(G, G),
    ),
    "slopes of a field beside a factor": (  # K has a root in closed form
        lambda: [mme.Term(PLOTS, SLOPES, name="f", relationship=FIELD), mme.Term(H, name="h")],
        [0.7, -0.3, 0.5, *FIELD.coordinates(np.array([0.5, 0.7])), 1.3],
        BY_FIELD * (SLOPES @ TRIANGLE @ TRIANGLE.T @ SLOPES.T) + 1.69 * np.equal.outer(H, H),
    ),
}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
@pytest.mark.parametrize("name", DESIGNS)
def test_both_ways_by_orthogonal_factors_are_those_of_the_dense_covariance(name, weights):
    """log|M| + log|K| = log|W V|, and the triangle is the factor of N'V^-1 N."""
    make, theta, covariance = DESIGNS[name]
    theta = np.array(theta)
    f = mme.objective(Y, X, make(), weights=weights)
    root = np.ones(N) if weights is None else np.sqrt(weights)
    V = np.eye(N) + root[:, None] * covariance * root
    T, rows = f.factors(theta), f.basis.N
    given = sum(block.logdet_K for block in f.blocks)
    expected = rows @ np.linalg.solve(V, rows.T)
    for far in (False, True):
        logdet, border = f.orthogonal.triangle(T.each(f.plan.absorb), theta, far=far)
        assert logdet + T.logdet_K + given == pytest.approx(np.linalg.slogdet(V)[1], abs=1e-10)
        assert_allclose(border @ border.T, expected, atol=1e-12)
        assert_allclose(border, np.tril(border), atol=0)
    at, usual = f.orthogonal.evaluation(f.system, T, theta, f.plan.absorb is not None), evaluate(f.system, T)
    assert at.logdet_M == pytest.approx(usual.logdet_M, abs=1e-10)
    assert_allclose(at.border, usual.border, atol=1e-12)
    assert_allclose(at.rest.backward(at.R_ZN), usual.rest.backward(usual.R_ZN), atol=1e-12)
    assert_allclose(at.levels.A, usual.levels.A, atol=0)


@pytest.mark.parametrize("theta", [2000.0, 20000.0])
def test_a_series_beside_a_variance_that_is_far_has_the_log_determinant_of_both(theta):
    """log|V|, whether V is formed or the variance is far: K of the series has its part in it."""
    make = DESIGNS["series beside a factor"][0]
    f, at = mme.objective(Y, X, make()), np.array([0.9, RANGE, theta])
    V = np.eye(N) + 0.81 * by_series() + theta**2 * np.equal.outer(G, G)
    T = f.factors(at)
    assert f.is_large(T)
    assert abs(T.logdet_K) > 1.0
    logdet, border = f.triangle(at)
    assert logdet + sum(block.logdet_K for block in f.blocks) == pytest.approx(np.linalg.slogdet(V)[1], abs=1e-6)
    assert_allclose(border @ border.T, f.basis.N @ np.linalg.solve(V, f.basis.N.T), atol=1e-6)


def test_columns_of_a_wide_X_have_no_variance_to_add():
    records = Records(2, n=60, schools=6, pupils=5)
    theta = np.array([0.8, 0.5])
    with within(SPARSE):
        f = mme.objective(records.y, sparse(records.X("factor")), records.terms("crossed"))
        for view in (f, f.given_beta):
            T = view.factors(theta)
            usual = evaluate(view.system, T)
            for far in (False, True):
                logdet, border = view.orthogonal.triangle(T.each(view.plan.absorb), theta, far=far)
                assert_allclose(border @ border.T, usual.border @ usual.border.T, atol=1e-10)
                assert logdet == pytest.approx(usual.logdet_M, abs=1e-9)


def test_a_large_model_has_no_orthogonal_factors():
    f = mme.objective(Y, X, DESIGNS["crossed"][0]())
    width = 7 + 5 + 2 + 1
    blocks = f.spare.blocks
    for most, found in ((N * width**2 / 10.0, True), (N * width**2 / 10.0 - 1.0, False)):
        with within(Limits(orthogonal_operations=most)):
            assert (Orthogonal.of(blocks, f.basis) is not None) == (found and width**3 <= most)
    with within(Limits(orthogonal_operations=width**3)):
        assert Spare(blocks, f.basis).orthogonal is not None
    with within(Limits(orthogonal_operations=width**3 - 1)):
        assert Spare(blocks, f.basis).orthogonal is None


def test_a_large_model_is_one_of_many_coefficients_not_levels():
    f = mme.objective(Y, X, DESIGNS["slopes beside a factor"][0]())
    width = 7 * 2 + 5 + 2 + 1
    for less, found in ((0, True), (1, False)):
        with within(Limits(orthogonal_operations=width**3 - less)):
            assert (Orthogonal.of(f.spare.blocks, f.basis) is not None) == found


def test_variances_are_far_where_ten_million_records_a_level_would_say_so():
    """T^2 n / J = 1e7 is as far as a Cholesky factor goes; any entry of any block, of either sign."""
    f = mme.objective(Y, X, DESIGNS["slopes beside a factor"][0]())
    T = [np.zeros((block.q, block.q)) for block in f.spare.blocks]
    assert not f.spare.is_far(T)
    for b, block in enumerate(f.spare.blocks):
        edge = np.sqrt(1e7 * block.J / N)
        for place in {(0, 0), (block.q - 1, 0)}:
            for value in (edge, -edge):
                moved = [one.copy() for one in T]
                moved[b][place] = 0.999 * value
                assert not f.spare.is_far(moved)
                moved[b][place] = 1.001 * value
                assert f.spare.is_far(moved)
    assert not exceeds(np.array([[3.0]]), 3.0)
    assert not exceeds(np.array([[3.0, -3.0]]), 3.0)


def test_a_relationship_is_steep_by_the_largest_entry_of_its_inverse():
    assert is_steep(np.array([1.0, 1.01e7]), 10)
    assert not is_steep(np.array([1.0, 0.99e7]), 10)
    assert not is_steep(np.array([1.0, -1e9]), 10)
    assert not is_steep(None, 10)
    assert not is_steep(np.zeros(0), 0)
    with within(Limits(orthogonal_operations=10.0 * 10**3)):
        assert is_steep(np.array([1e8]), 10)
        assert not is_steep(np.array([1e8]), 11)
