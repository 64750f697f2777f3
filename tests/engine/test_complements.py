"""What absorption leaves, listed, summed or solved by iteration: M = Lambda'Z'V_1^-1 Z Lambda + K^-1."""

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.engine.iteration import AVERAGED, EXACT, IterativeFactor, signs
from mme.engine.lambdas import sandwich
from mme.engine.objective import Objective
from mme.engine.operator import SchurOperator
from mme.engine.plan import Plan
from mme.engine.pls import Factors, without_columns, without_fixed
from mme.errors import MMEError
from mme.model.problem import build_model
from mme.numeric.conjugate import conjugate_gradients
from mme.numeric.limits import Limits, within

N = 48
RNG = np.random.default_rng(4)
G, H, K = RNG.permutation(np.arange(N) % 11), RNG.permutation(np.arange(N) % 5), RNG.permutation(np.arange(N) % 4)
X, Y, U = np.column_stack([np.ones(N), RNG.normal(size=N)]), RNG.normal(size=N), RNG.normal(size=(N, 2))
PEDIGREE = mme.Pedigree(np.arange(5), [None, None, 0, 0, 2], [None, None, 1, 1, 3])
# Columns of the absorbed factor and of the others, and theta.
DESIGNS = {
    "intercepts": ((None, None), [0.8, 1.3], None),
    "slopes absorbed": ((U, None), [0.8, -0.2, 0.6, 1.3], None),
    "slopes in both": ((U, U), [0.8, -0.2, 0.6, 1.3, 0.4, 0.7], None),
    "three factors": ((None, U, None), [0.8, 1.3, 0.4, 0.7, 0.5], None),
    "related levels": ((None, U, None), [0.8, 1.3, 0.4, 0.7, 0.5], PEDIGREE),
}
PLANS = {
    "dense": Plan(0, True),
    "sparse": Plan(0, False),
    "summed": Plan(0, True, summed=True),
    "iterative": Plan(0, False, summed=True, iterative=True),
}


def objective(name, plan):
    columns, theta, related = DESIGNS[name]
    of = zip("ghk", (G, H, K), columns, (None, related, None), strict=False)
    terms = [mme.Term(codes, Z, name=word, relationship=known) for word, codes, Z, known in of]
    return Objective.of(build_model(Y, X, terms), plan=plan), np.array(theta)


def dense(block):
    """Z of a block (n, J q), level-major."""
    columns = [np.ones(N) if column is None else column for column in block.columns]
    out = np.zeros((N, block.J, block.q))
    out[np.arange(N), block.codes] = np.column_stack(columns)
    return out.reshape(N, -1)


def by_definition(f, theta):
    """M (m, m), Lambda'Z'V_1^-1 N, log|I + A A'|, Lambda, and the penalty."""
    first, rest = f.blocks[0], f.blocks[1:]
    Z, T = dense(first), first.T(theta)
    V = np.eye(N) + Z @ np.kron(np.eye(first.J), T @ T.T) @ Z.T
    Lambda = scipy.linalg.block_diag(*(np.kron(np.eye(one.J), one.T(theta)) for one in rest))
    known = [np.eye(one.J) if one.relationship is None else one.relationship.precision.toarray() for one in rest]
    penalty = scipy.linalg.block_diag(*(np.kron(P, np.eye(one.q)) for P, one in zip(known, rest, strict=True)))
    ZL = np.hstack([dense(one) for one in rest]) @ Lambda
    M = ZL.T @ np.linalg.solve(V, ZL) + penalty
    return M, ZL.T @ np.linalg.solve(V, f.basis.N.T), np.linalg.slogdet(V)[1], Lambda, penalty


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", DESIGNS)
def test_the_factor_of_what_is_left_is_that_of_its_definition(name, plan):
    f, theta = objective(name, PLANS[plan])
    M, rhs, of_levels, _, _ = by_definition(f, theta)
    at = f.evaluate(theta)
    V = RNG.normal(size=(len(M), 3))
    exact = plan != "iterative"
    assert at.logdet_levels == pytest.approx(of_levels, rel=1e-12)
    assert_allclose(at.rest.solve(V), np.linalg.solve(M, V), atol=1e-12 if exact else 1e-8)
    assert_allclose(at.rest.solve(V[:, 0]), np.linalg.solve(M, V[:, 0]), atol=1e-12 if exact else 1e-8)
    solved = at.rest.backward(at.R_ZN) if exact else at.solved
    assert_allclose(solved, np.linalg.solve(M, rhs), atol=1e-12 if exact else 1e-8)
    within_levels = at.border @ at.border.T
    V1 = dense(f.blocks[0]) @ np.kron(np.eye(f.blocks[0].J), f.blocks[0].T(theta))
    rows = f.basis.N @ np.linalg.solve(np.eye(N) + V1 @ V1.T, f.basis.N.T) - rhs.T @ np.linalg.solve(M, rhs)
    assert_allclose(within_levels, rows, atol=1e-12 if exact else 1e-8)
    if exact:
        assert at.rest.logdet == pytest.approx(np.linalg.slogdet(M)[1], rel=1e-12)
    else:
        assert at.R_ZN.shape == (0, f.basis.m)  # there is no factor


@pytest.mark.parametrize("plan", ["dense", "sparse", "summed"])
@pytest.mark.parametrize("name", DESIGNS)
def test_what_is_selected_of_the_inverse_stands_where_it_belongs(name, plan):
    """H = Lambda M^-1 Lambda': its diagonal blocks, and B_g H B_g' of every absorbed level."""
    f, theta = objective(name, PLANS[plan])
    M, _, _, Lambda, penalty = by_definition(f, theta)
    whole = Lambda @ np.linalg.inv(M) @ Lambda.T
    schur, T = f.system.rest.schur, f.factors(theta).rest
    H = schur.selected(f.evaluate(theta).rest, T)
    start = 0
    for t, block in enumerate(f.blocks[1:]):
        at = np.arange(start, start + block.J * block.q).reshape(block.J, block.q)
        expected = whole[at[:, :, None], at[:, None, :]]
        assert_allclose(schur.diagonal_blocks(H, t), expected, atol=1e-12)
        start += block.J * block.q
    first = f.blocks[0]
    Q = np.zeros((N, first.J, first.q))
    for g in range(first.J):
        rows = first.codes == g
        R = f.system.absorbed.levels.R[:, :, g]
        Q[rows, g] = np.linalg.solve(R.T, dense(first).reshape(N, first.J, -1)[rows, g].T).T
    B = np.einsum("nga,nm->gam", Q, np.hstack([dense(one) for one in f.blocks[1:]]))
    through = f.system.rest.through(H if plan != "summed" else schur.of_whole(H), f.system.absorbed.levels)
    assert_allclose(through, np.einsum("gai,ij,gbj->abg", B, whole, B), atol=1e-11)
    u = RNG.normal(size=len(M))
    assert schur.penalty_of(u) == pytest.approx(u @ penalty @ u, rel=1e-12)
    family, offsets = schur.by_family(schur.of_whole(whole)), f.system.rest.offsets
    for one in schur.families:
        blocks = one.blocks(family)
        rows, cols = offsets[one.t_row] + one.rows * one.shape[0], offsets[one.t_col] + one.cols * one.shape[1]
        for i, j in np.ndindex(one.shape):
            assert_allclose(blocks[:, i, j], whole[rows + i, cols + j], atol=1e-15)
    if plan == "summed":
        assert_allclose(np.concatenate(schur.precision_diagonals), np.concatenate(_diagonals(f)), atol=0)


def _diagonals(f):
    """The diagonal of K^-1 of each block that is left."""
    return [
        np.ones(one.J) if one.relationship is None else one.relationship.precision.diagonal() for one in f.blocks[1:]
    ]


@pytest.mark.parametrize("name", DESIGNS)
def test_the_operator_of_the_iterative_engine_is_the_matrix_and_its_preconditioner_the_diagonal_blocks(name):
    f, theta = objective(name, PLANS["iterative"])
    M, _, _, Lambda, penalty = by_definition(f, theta)
    operator, offsets = f.evaluate(theta).rest.operator, f.system.rest.offsets
    assert isinstance(operator, SchurOperator)
    V = RNG.normal(size=(len(M), 2))
    S = np.linalg.solve(Lambda.T, M - penalty) @ np.linalg.inv(Lambda)
    assert_allclose(operator.product(V), M @ V, atol=1e-11)
    assert_allclose(operator.moved(V), Lambda @ V, atol=1e-13)
    assert_allclose(operator.without_penalty(V), S @ V, atol=1e-11)
    P, ones = np.zeros_like(M), []
    for t, (block, start) in enumerate(zip(f.blocks[1:], offsets[:-1], strict=True)):
        for j in range(block.J):
            at = slice(start + j * block.q, start + (j + 1) * block.q)
            P[at, at] = M[at, at]
            assert_allclose(operator.information[t][j], S[at, at], atol=1e-11)
            assert_allclose(operator.inverses[t][j], np.linalg.inv(M[at, at]), atol=1e-11)
            assert_allclose(operator.halves[t][j], np.linalg.cholesky(M[at, at]), atol=1e-11)
        for a in range(block.q):
            ones.append(np.zeros(len(M)))
            ones[-1][start + a : start + block.J * block.q : block.q] = 1.0 / np.sqrt(block.J)
    assert_allclose(operator.precondition(V), np.linalg.solve(P, V), atol=1e-11)
    assert_allclose(operator.shared, np.array(ones).T, atol=1e-15)
    # log|M| of each probe by functions of P^-1/2 M P^-1/2, less what has mean zero
    L = np.linalg.cholesky(P)
    values, vectors = np.linalg.eigh(np.linalg.solve(L, np.linalg.solve(L, M).T))
    shared = np.linalg.qr(L.T @ operator.shared)[0]
    with within(Limits(probes=6)):
        factor = IterativeFactor(operator)
        z = signs(len(M), 6)
        assert_array_equal(np.abs(z), 1.0)
        assert_array_equal(signs(len(M), 2, 3), z[:, 3:5])
        z = z - shared @ (shared.T @ z)
        forms = [((vectors.T @ part) ** 2).T @ (np.log(values) - values + 1.0) for part in (shared, z)]
        expected = np.linalg.slogdet(P)[1] + forms[0].sum() + forms[1]
        assert_allclose(factor.logdets, expected, rtol=1e-6)
        assert factor.logdet == pytest.approx(expected.mean(), rel=1e-6)
        error = np.sqrt(((factor.logdets - factor.logdets.mean()) ** 2).sum() / 5 / 6 * 5 / 3)
        assert factor.logdet_error == pytest.approx(error, rel=1e-9)


def test_a_solve_that_does_not_come_to_an_end_says_how_far_it_came():
    f, theta = objective("slopes in both", PLANS["iterative"])
    factor = f.evaluate(theta).rest
    b = RNG.normal(size=(factor.m, 2))
    assert factor.solved(b, AVERAGED).residual <= AVERAGED
    with within(Limits(solver_steps=1)):
        with pytest.raises(MMEError, match="in 1 steps"):
            factor.solved(b, AVERAGED)
        assert factor.solved(b, 0.9).residual <= 0.9


def test_a_solve_has_failed_where_more_than_a_hundred_thousandth_is_left():
    f, theta = objective("slopes in both", PLANS["iterative"])
    factor, left = f.evaluate(theta).rest, []
    b, operator = RNG.normal(size=(factor.m, 2)), factor.operator
    for most in range(1, 12):
        found = conjugate_gradients(operator.product, operator.precondition, b, tolerance=EXACT, most=most)
        left.append(found.residual)
        with within(Limits(solver_steps=most)):
            if found.residual > 1e-5:
                with pytest.raises(MMEError, match="did not reach a residual of 1e-10"):
                    factor.solved(b, EXACT)
            else:
                assert factor.solved(b, EXACT).residual == found.residual
    assert any(1e-5 < one < 0.1 for one in left)
    assert left[-1] < 1e-5


TRIANGLES = {
    "a number": 0.7 * np.eye(1),
    "a number times the identity": 0.7 * np.eye(3),
    "equal ends": np.diag([0.7, 0.2, 0.7]),
    "equal diagonal": 0.7 * np.eye(3) + np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 0, 0]]),
    "different diagonal": np.diag([0.7, 0.2, -0.4]),
}


@pytest.mark.parametrize("right", TRIANGLES)
@pytest.mark.parametrize("left", TRIANGLES)
def test_blocks_between_two_factors_are_multiplied_on_both_sides(left, right):
    left, right = TRIANGLES[left], TRIANGLES[right]
    blocks = RNG.normal(size=(4, len(left), len(right)))
    expected = np.einsum("ia,cab,bj->cij", left.T, blocks, right)
    sandwich(left.T, blocks, right)
    assert_allclose(blocks, expected, atol=1e-15)


def test_factors_without_columns_have_no_rows_of_them():
    """Of the absorbed block and the others, in the order of the model; columns of X keep no variance of their own."""
    each = [np.tril(RNG.normal(size=(q, q))) for q in (2, 1, 3)]
    gone = (np.array([True, False]), np.array([False]), np.array([False, True, True]))
    for absorb in (None, 0, 2):
        rest = [one for b, one in enumerate(each) if b != absorb]
        T = Factors(np.zeros((1, 1)) if absorb is None else each[absorb], rest, None, 1.5)
        found = without_columns(T, absorb, gone)
        expected = [one * ~within[:, None] for one, within in zip(each, gone, strict=True)]
        if absorb is not None:
            assert_array_equal(found.absorbed, expected.pop(absorb))
        assert all(map(np.array_equal, found.rest, expected))
        assert len(found.each(absorb)) == 3
        assert found.logdet_K == 1.5
    penalty, T = np.arange(7.0), Factors(each[0], [each[2], np.ones((1, 1))])
    found = without_fixed(T, penalty, 3)
    assert_array_equal(found.penalty, [0.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0])
    assert_array_equal(penalty, np.arange(7.0))
    assert_array_equal(found.rest[1], np.zeros((1, 1)))
    assert found.rest[0] is each[2]
    assert_array_equal(
        without_fixed(Factors(each[0], T.rest, 2.0 * penalty), penalty, 2).penalty[:5], 2.0 * penalty[:5]
    )
