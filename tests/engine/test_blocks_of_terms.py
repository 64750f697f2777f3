"""Blocks of Z are the terms of the user: whitened, in axes and of unit size they have the covariance of these."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.engine.blocks import sizes_of_theta
from mme.engine.unpenalised import fixed_block
from mme.numeric.limits import Limits, within
from mme.residual import AR1, CompoundSymmetry

N = 30
RNG = np.random.default_rng(9)
G, H, ONE, X = np.arange(N) % 5, np.arange(N) // 8, np.ones(N), RNG.normal(3.0, 1.0, N)
Z = RNG.normal(size=(N, 3)) * [1.0, 20.0, 0.1]
Y, WEIGHTS = RNG.normal(size=N), RNG.uniform(0.3, 4.0, N)
SLOPES = np.column_stack([ONE, X])
# Terms on one factor each, with the columns of the term and T by theta.
DESIGNS = {
    "intercepts": ([(G, None, "unstructured")], [0.7]),
    "intercepts given as ones": ([(G, ONE[:, None], "unstructured")], [0.7]),
    "slopes": ([(G, SLOPES, "unstructured")], [0.7, -0.4, 0.5]),
    "slopes without correlation": ([(G, SLOPES, "diagonal")], [0.7, 0.5]),
    "three columns": ([(G, Z, "unstructured")], [0.7, -0.4, 0.1, 0.5, 0.2, 0.3]),
    "one variance": ([(G, Z, "homogeneous diagonal")], [0.7]),
    "one variance of one level": ([(np.zeros(N, dtype=int), Z, "homogeneous diagonal")], [-0.7]),
    "compound symmetry": ([(G, Z, "homogeneous cs")], [0.7, 0.3]),
    "two terms on a factor": ([(G, None, "unstructured"), (G, Z[:, :2], "unstructured")], [0.7, 0.5, -0.2, 0.4]),
    "slopes and a term beside them": (
        [(G, SLOPES, "unstructured"), (G, Z[:, :2], "unstructured")],
        [0.7, -0.4, 0.5, 0.5, -0.2, 0.4],
    ),
    "slopes of two, up or down": ([(G, 2.0 * np.resize([[1, 1], [-1, 1], [1, -1]], (N, 2)), "diagonal")], [0.7, 0.4]),
    "a column of twos": ([(G, 2.0 * ONE[:, None], "unstructured")], [0.7]),
    "one variance of a constant and a slope": ([(G, SLOPES, "homogeneous diagonal")], [0.7]),
    "a slope alone": ([(G, X[:, None], "unstructured")], [0.7]),
}


def objective(name, **options):
    terms, _ = DESIGNS[name]
    made = [mme.Term(g, U, name=f"t{t}", covariance=kind) for t, (g, U, kind) in enumerate(terms)]
    return mme.objective(Y, ONE[:, None], made, **options)


def dense(block):
    """Z of a block (n, J q), from its codes and columns."""
    rows = np.arange(N) if block.records is None else block.records
    columns = [np.ones(rows.size) if column is None else column for column in block.columns]
    out = np.zeros((N, block.J, block.q))
    np.add.at(out, (rows, block.codes), np.column_stack(columns))
    return out.reshape(N, -1)


def of_user(name):
    """Z of the user's columns (n, J, q)."""
    terms, _ = DESIGNS[name]
    U = np.column_stack([ONE if given is None else given for _, given, _ in terms])
    return np.equal.outer(terms[0][0], np.unique(terms[0][0]))[:, :, None] * U[:, None]


def covariance(name, f):
    """T of the user's columns, by the structures of the terms."""
    theta, parts = np.array(DESIGNS[name][1]), []
    for structure in f.model.structures:
        parts.append(structure.T(theta[: structure.k]))
        theta = theta[structure.k :]
    q, T, at = sum(map(len, parts)), np.zeros((sum(map(len, parts)),) * 2), 0
    for part in parts:
        T[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    assert at == q
    return T


ACROSS = {"residual": AR1(np.arange(N) % 8, H), "phi": {"rho": 0.4}}
WHITENINGS = {
    "": {},
    "weights": {"weights": WEIGHTS},
    "a structure across levels": ACROSS,
    "a structure and weights": {**ACROSS, "weights": WEIGHTS},
}


@pytest.mark.parametrize("held", [10**6, 0], ids=["", "by panels"])
@pytest.mark.parametrize("whitening", WHITENINGS)
@pytest.mark.parametrize("name", DESIGNS)
def test_a_block_has_the_covariance_of_its_terms_whatever_its_axes_and_units(name, whitening, held):
    with within(Limits(held_rows=held, dense_whatever_fill=10**6)):
        if "one level" in name and "structure" in whitening:
            return  # it is refused beside a structure of the residuals
        f = objective(name, **WHITENINGS[whitening])
        theta, U = np.array(DESIGNS[name][1]), of_user(name)
        (block,), W = f.blocks, f.whitening(np.eye(N)).T
        own, T = dense(block), covariance(name, f)
    K = np.eye(block.J)
    expected = W @ U.reshape(N, -1) @ np.kron(K, T @ T.T) @ U.reshape(N, -1).T @ W.T
    S, u = block.T(theta), RNG.normal(size=(4, block.q))
    assert_allclose(own @ np.kron(K, S @ S.T) @ own.T, expected, atol=1e-10 * np.abs(expected).max())
    assert_allclose(block.effects(u @ S.T, theta), u @ np.abs(T).T if "one level" in name else u @ T.T, atol=1e-10)
    assert_allclose(block.effects(block.moved(u[0]), theta), u[0], rtol=1e-9)
    assert_allclose(block.covariance(S @ S.T, theta), T @ T.T, atol=1e-10)
    pairs, back = RNG.normal(size=(2, block.q, block.q)), block.effects(np.eye(block.q), theta)
    assert_allclose(block.covariance(pairs, theta), back.T @ pairs @ back, rtol=1e-9, atol=1e-9)  # of two levels
    inside = block.viewed(inside=True)
    if block.C is not None and block.turn is None:  # theta is of the axes there
        assert_allclose(block.C @ (inside.T(theta) / block.scale[:, None]) * block.scale[:, None], S, atol=1e-12)
        assert_allclose(inside.viewed(inside=False).T(theta), S, atol=0)
    for view in (block, inside):
        thetas = np.array([theta, 1.2 * theta, theta])
        one_by_one = np.array([view.T(one) for one in thetas])
        assert_allclose(view.many_T(thetas), one_by_one, atol=1e-12 * np.abs(one_by_one).max())
        assert view.viewed(inside=view.inside) is view
    size = np.linalg.norm(own.reshape(N, block.J, block.q), axis=(0, 1)) / np.sqrt(N)
    if "one variance" in name:
        size = np.sqrt(np.mean(size**2))
    assert_allclose(size, 1.0, rtol=1e-12)
    # rows of the user's columns become those of the block's
    plain = U.reshape(-1, block.q)
    assert_allclose(W @ block.rows(plain).reshape(N, -1), own, atol=1e-9)
    rows = RNG.normal(size=(2, N))
    assert_allclose(block.sums(rows).reshape(-1, 2), own.T @ rows.T, atol=1e-10)
    if block.entries is None:
        gram = np.einsum("nja,njb->jab", own.reshape(N, block.J, -1), own.reshape(N, block.J, -1))
        assert_allclose(block.gram, gram, atol=1e-10)
    whole = np.linalg.norm((W @ U.reshape(N, -1)).reshape(N, block.J, -1), axis=(0, 1)) / np.sqrt(N)
    if not whitening or block.q == 1:  # the axes are orthogonal before weights
        whole = np.full(block.q, np.sqrt(np.mean(whole**2))) if "one var" in name else whole
        assert_allclose(block.size, whole, rtol=1e-9)
    if block.is_spherical:
        assert_array_equal([block.n_weights, block.rank], [3, 3])
    else:
        assert_array_equal([block.n_weights, block.rank], [block.q**2, block.q])


def test_terms_on_one_factor_are_one_block_unless_it_has_one_level():
    """Coefficients of one level have singular values of their own: those of two terms never share them."""
    one, two = np.zeros(N, dtype=int), np.arange(N) % 2
    for g, covariance, members in ((two, None, [(0, 1)]), (one, "homogeneous diagonal", [(0,), (1,)])):
        terms = [mme.Term(g, U, name=f"t{k}", covariance=covariance or "diagonal") for k, U in enumerate((SLOPES, Z))]
        assert [block.terms for block in mme.objective(Y, ONE[:, None], terms).blocks] == members


def test_entries_of_theta_are_measured_by_the_column_that_they_multiply():
    """T[i, j] multiplies column i; parameters that multiply none count as they are."""
    f = objective("two terms on a factor")
    sizes = np.sqrt(np.mean(np.column_stack([ONE, Z[:, :2]]) ** 2, axis=0))
    assert_allclose(sizes_of_theta(f.blocks, 4), sizes[[0, 1, 2, 2]], rtol=1e-9)
    assert_array_equal(sizes_of_theta((), 2), 1.0)
    series = mme.objective(Y, ONE[:, None], [mme.Term.ou(np.arange(N) % 8, H, name="s")])
    assert_array_equal(sizes_of_theta(series.blocks, 2), 1.0)


@pytest.mark.parametrize("whitening", ["", "a structure across levels"])
def test_cells_of_two_blocks_sum_to_their_products(whitening):
    made = [mme.Term(G, SLOPES, name="g"), mme.Term(np.arange(N) % 4, name="h")]
    with within(Limits(dense_whatever_fill=10**6)):
        f = mme.objective(Y, ONE[:, None], made, **WHITENINGS[whitening])
    one, other = f.blocks
    left, right = dense(one).reshape(N, one.J, -1), dense(other).reshape(N, other.J, -1)
    products = np.einsum("nja,nkb->jkab", left, right)
    cells = one.cells(other)
    blocks = np.zeros_like(products)
    blocks[cells.rows, cells.cols] = cells.sums(one.columns, other.columns)
    assert_allclose(blocks, products, atol=1e-12)
    for block, Z in ((one, left), (other, right)):
        cells, own = block.own_cells(), np.einsum("nja,nkb->jkab", Z, Z)
        blocks = np.zeros_like(own)
        blocks[cells.rows, cells.cols] = cells.sums(block.columns, block.columns)
        lower = np.tril(np.ones((block.J, block.J)))[:, :, None, None]
        assert_allclose(blocks * lower, own * lower, atol=1e-12)
        assert (cells.rows >= cells.cols).all()


def test_cells_of_columns_with_levels_of_their_own_sum_to_their_products():
    """A term of two labels a record, beside itself, a term, and columns of X that meet on records."""
    two, one = mme.objective(
        Y, ONE[:, None], [mme.Term((G, (G + 1 + H) % 5), SLOPES, name="two"), mme.Term(H, name="h")]
    ).blocks
    F = np.equal.outer(G, np.arange(5)) + 2.0 * np.equal.outer(H, np.arange(5))
    Z = np.zeros((N, two.J, 2))
    for a, column in enumerate(two.columns):
        Z[np.arange(N), two.codes[a], a] = 1.0 if column is None else column
    fixed = fixed_block(sp.csc_array(F))
    assert two.by_column
    assert fixed.has_many
    for left, right, L, R in (
        (two, two, Z, Z),
        (two, one, Z, dense(one)[:, :, None]),
        (one, two, dense(one)[:, :, None], Z),
        (two, fixed, Z, F[:, :, None]),
        (fixed, two, F[:, :, None], Z),
    ):
        cells = left.own_cells() if left is right else left.cells(right)
        blocks = np.zeros((left.J, right.J, left.q, right.q))
        blocks[cells.rows, cells.cols] = cells.sums(left.columns, right.columns)
        assert_allclose(blocks, np.einsum("nja,nkb->jkab", L, R), atol=1e-12)
    rows = RNG.normal(size=(2, N))
    assert_allclose(two.sums(rows), np.einsum("nja,mn->jam", Z, rows), atol=1e-12)
    assert_array_equal(two.by_record.codes, G)


@pytest.mark.parametrize("name", ["intercepts", "slopes"])
def test_entries_of_one_record_and_level_are_added_up_behind_those_of_its_own_level(name):
    """Groups of eight records, whitened together, meet five levels: some records of a group have the same."""
    with within(Limits(dense_whatever_fill=10**6)):
        f = objective(name, residual=CompoundSymmetry(H), phi={"rho": 0.4})
    (block,), W = f.blocks, f.whitening(np.eye(N)).T
    joined = np.abs(W) @ np.equal.outer(G, np.arange(5))
    assert block.codes.size == np.count_nonzero(joined) < np.count_nonzero(W)
    assert_array_equal(block.codes[block.entries.own], G)
    T, U = covariance(name, f), of_user(name).reshape(N, -1)
    S, own = block.T(np.array(DESIGNS[name][1])), dense(block)
    expected = W @ U @ np.kron(np.eye(5), T @ T.T) @ U.T @ W.T
    assert_allclose(own @ np.kron(np.eye(5), S @ S.T) @ own.T, expected, atol=1e-10)
