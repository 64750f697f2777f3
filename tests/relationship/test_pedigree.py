"""A^-1, inbreeding and log|A| of a pedigree are those of the relationship matrix, and so are its groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cases import PRIVATE, load_case, private_cases
from hypothesis import given
from hypothesis import strategies as st
from pedigrees import columns, load_breeding, load_table, random_parents, relationship_matrix, selection

import mme.relationship.inbreeding
from mme.equations import solve
from mme.errors import MMEWarning
from mme.numeric.kernels import _compiled
from mme.numeric.limits import Limits, within
from mme.relationship.loops import generations
from mme.relationship.pedigree import Pedigree

sizes = st.integers(1, 30)
seeds = st.integers(0, 2**32 - 1)


def pedigree_of(parents, order=None, **options):
    return Pedigree(*columns(parents, order), hermaphrodite=True, **options)


# ---- theorems ----


@given(n=sizes, seed=seeds, sexes=st.booleans())
def test_everything_is_that_of_the_relationship_matrix(n, seed, sexes):
    parents = random_parents(n, seed, sexes)
    A = relationship_matrix(parents)
    pedigree = pedigree_of(parents)
    np.testing.assert_allclose(pedigree.A(), A, atol=1e-14)
    np.testing.assert_allclose(pedigree.inbreeding, A.diagonal() - 1, atol=1e-14)
    np.testing.assert_allclose(pedigree.diagonal, A.diagonal(), atol=1e-14)
    np.testing.assert_allclose(pedigree.Ainv @ A, np.eye(n), atol=1e-11)
    np.testing.assert_allclose(pedigree.logdet, np.linalg.slogdet(A)[1], atol=1e-11)


@given(n=sizes, seed=seeds)
def test_the_order_of_rows_only_orders_the_levels(n, seed):
    parents = random_parents(n, seed)
    order = np.random.default_rng(seed).permutation(n)
    first, second = pedigree_of(parents), pedigree_of(parents, order)
    assert second.levels.tolist() == [first.levels[i] for i in order]
    np.testing.assert_array_equal(second.inbreeding, first.inbreeding[order])
    np.testing.assert_allclose(second.Ainv.toarray(), first.Ainv.toarray()[np.ix_(order, order)], atol=1e-13)
    np.testing.assert_allclose(second.logdet, first.logdet, atol=1e-12)


@given(n=st.integers(1, 60), seed=seeds, sexes=st.booleans())
def test_the_walks_of_a_large_pedigree_give_the_table_of_a_small_one(n, seed, sexes):
    parents = random_parents(n, seed, sexes, window=12)
    table = pedigree_of(parents)
    subset = np.random.default_rng(seed).choice(table.levels, n // 2 + 1)
    with within(Limits(tabular_animals=0, relationship_columns=3)):
        walked = pedigree_of(parents)
        np.testing.assert_allclose(walked.inbreeding, table.inbreeding, atol=1e-14)
        np.testing.assert_allclose(walked.A(), table.A(), atol=1e-14)
        np.testing.assert_allclose(walked.A(subset), table.A(subset), atol=1e-14)


def test_compiled_walks_agree_with_the_table():
    parents = random_parents(4000, seed=1, window=300)
    pedigree = pedigree_of(parents)
    first = pedigree.parents_first
    A = mme.relationship.inbreeding.tabular(*first.parents, np.ones(4000))
    np.testing.assert_allclose(pedigree.inbreeding[first.order], A.diagonal() - 1, atol=1e-13)
    assert pedigree.inbreeding.max() > 0.2
    subset = pedigree.animals[[5, 3999, 17, 2500]]
    at = first.rank[[5, 3999, 17, 2500]]
    np.testing.assert_allclose(pedigree.A(subset), A[np.ix_(at, at)], atol=1e-13)


def test_compiled_generations_are_those_of_the_plain_loop():
    sire, dam = np.array([-1, 0, 0, 3 - 1, -1]), np.array([-1, -1, 1, 4, -1])
    for loop in (generations, _compiled(generations)):
        generation, circle = loop(sire, dam)
        assert generation.tolist() == [0, 1, 2, 3, 0]
        assert circle.size == 0


def test_selfing_halves_the_mendelian_variance_each_time():
    pedigree = Pedigree(["a", "b", "c"], [None, "a", "b"], [None, "a", "b"], hermaphrodite=True)
    assert pedigree.inbreeding.tolist() == [0.0, 0.5, 0.75]
    assert pedigree.mendelian.tolist() == [1.0, 0.5, 0.25]
    np.testing.assert_allclose(pedigree.Ainv @ pedigree.A(), np.eye(3), atol=1e-14)


def test_the_inverse_is_exactly_symmetric_and_sparse():
    pedigree = pedigree_of(random_parents(500, seed=3))
    assert abs(pedigree.Ainv - pedigree.Ainv.T).max() == 0
    assert pedigree.Ainv.nnz <= 9 * 500
    assert pedigree.precision is pedigree.Ainv
    assert pedigree.Ainv.has_sorted_indices


# ---- reference values ----


@pytest.mark.parametrize("name", ["mrode_animal", "inbred12"])
def test_textbook_pedigrees_and_solutions(name):
    case = load_breeding(name)
    table = case["pedigree"]
    pedigree = Pedigree(table["id"], table["sire"], table["dam"], hermaphrodite=True)
    np.testing.assert_allclose(pedigree.A(), case["A"], atol=1e-15)
    np.testing.assert_allclose(pedigree.Ainv.toarray(), case["Ainv"], atol=1e-14)
    np.testing.assert_allclose(pedigree.inbreeding, case["inbreeding"], atol=1e-15)
    Z = selection(case["record_animal"], pedigree.levels)
    solution = solve(
        case["y"], np.array(case["X"]), Z, Ginv=pedigree.Ainv / case["sigma2_u"], Rinv=1 / case["sigma2_e"]
    )
    np.testing.assert_allclose(solution.beta, case["beta"], rtol=1e-11)
    np.testing.assert_allclose(solution.b, case["u"], atol=1e-11)
    np.testing.assert_allclose(solution.pev(), case["PEV"], rtol=1e-11)
    reliability = 1 - solution.pev() / (pedigree.diagonal * case["sigma2_u"])
    np.testing.assert_allclose(reliability, case["reliability"], rtol=1e-9)


def test_a_shuffled_file_gives_the_same_animals():
    case, table = load_breeding("inbred12"), load_table("inbred12_shuffled_pedigree")
    with pytest.warns(MMEWarning, match="'a05'.* sire in one place and dam in another"):
        pedigree = Pedigree(table["id"], table["sire"], table["dam"])
    at = [pedigree.levels.tolist().index(label) for label in case["pedigree"]["id"]]
    np.testing.assert_allclose(pedigree.inbreeding[at], case["inbreeding"], atol=1e-15)
    np.testing.assert_allclose(pedigree.Ainv.toarray()[np.ix_(at, at)], case["Ainv"], atol=1e-14)
    np.testing.assert_allclose(pedigree.A(case["pedigree"]["id"]), case["A"], atol=1e-15)


def test_two_thousand_animals():
    case, table = load_breeding("animal2000"), load_table("animal2000_pedigree")
    data = load_table("animal2000_data")
    pedigree = Pedigree(table["id"], table["sire"], table["dam"])
    assert pedigree.levels.tolist() == table["id"].tolist()
    np.testing.assert_allclose(pedigree.inbreeding, case["inbreeding"], atol=1e-14)
    np.testing.assert_allclose(pedigree.logdet, case["logdet_A"], rtol=1e-12)
    reml = case["REML"]
    X = np.column_stack([np.ones(len(data)), data["x"], pd.get_dummies(data["herd"], drop_first=True, dtype=float)])
    Z = selection(data["animal"], pedigree.levels)
    solution = solve(data["y"], X, Z, Ginv=pedigree.Ainv / reml["sigma2_a"], Rinv=1 / reml["sigma2_e"])
    np.testing.assert_allclose(solution.b, reml["u_all"], atol=1e-9)
    np.testing.assert_allclose(solution.criterion("REML"), reml["objective"], rtol=1e-11)


@pytest.mark.parametrize("name", ["bivariate_full", "bivariate_missing"])
def test_two_traits_by_the_kronecker_product(name):
    case = load_breeding(name)
    table = case["pedigree"]
    pedigree = Pedigree(table["id"], table["sire"], table["dam"])
    y = np.array([case["y1"], case["y2"]], dtype=float)
    seen = np.flatnonzero(np.isfinite(y.ravel()))
    sex = selection(case["sex"], ["M", "F"])
    X = np.kron(np.eye(2), sex)[seen]
    Z = np.kron(np.eye(2), selection(case["animal"], pedigree.levels))[seen]
    R = np.kron(case["R0"], np.eye(y.shape[1]))[np.ix_(seen, seen)]
    Ginv = np.kron(np.linalg.inv(case["G0"]), pedigree.Ainv.toarray())
    solution = solve(y.ravel()[seen], X, Z, Ginv=Ginv, Rinv=np.linalg.inv(R))
    np.testing.assert_allclose(solution.beta, case["beta"], rtol=1e-10)
    np.testing.assert_allclose(solution.b, case["u"], atol=1e-10)
    np.testing.assert_allclose(solution.pev(), case["PEV"], rtol=1e-10)


@pytest.mark.parametrize("name", private_cases("milk_id"))
def test_the_likelihood_of_milk_yield_with_its_pedigree(name):
    case = load_case(name)
    table = pd.read_csv(PRIVATE / case.json["pedigree"], dtype="str")
    pedigree = Pedigree(table["id"], table["sire"], table["dam"])
    ids = case.json["ids"]
    A = pedigree.A(ids)
    F = A.diagonal() - 1
    assert F.max() == case.json["inbreeding_max"]
    assert int((pedigree.inbreeding > 0).sum()) == case.json["n_inbred"]
    np.testing.assert_array_equal(F, pedigree.inbreeding[pedigree.positions(ids)])
    cow = selection(case.data["id"].astype(str), ids)
    herd = pd.get_dummies(case.data["herd"], dtype=float).to_numpy()
    variance = case.json["sigma2"]
    V = variance["id"] * cow @ A @ cow.T + variance["herd"] * herd @ herd.T
    V[np.diag_indices_from(V)] += case.json["sigma2_e"]
    X = np.column_stack([np.ones(len(cow)), case.data[["lact", "logdim"]].astype(float)])
    r = case.data["milk"].to_numpy(float) - X @ case.json["beta"]
    deviance = len(r) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
    np.testing.assert_allclose(deviance, case.json["objective"], rtol=1e-11)


# ---- groups of unknown parents ----


def with_groups(n, seed):
    """A random pedigree whose unknown parents are groups g0 and g1, and its twin with a phantom founder for each."""
    parents = random_parents(n, seed)
    rng = np.random.default_rng(seed)
    grouped, phantoms, group_of = {}, {}, {}
    for animal, pair in parents.items():
        named, ghosts = list(pair), list(pair)
        for k in (0, 1):
            if pair[k] is None:
                named[k], ghosts[k] = f"g{rng.integers(2)}", f"phantom{len(group_of)}"
                group_of[ghosts[k]] = named[k]
        grouped[animal], phantoms[animal] = tuple(named), tuple(ghosts)
    phantoms |= dict.fromkeys(group_of, (None, None))
    return grouped, phantoms, group_of


@given(n=st.integers(2, 20), seed=seeds)
def test_the_inverse_with_groups_is_that_of_westell_quaas_and_van_vleck(n, seed):
    grouped, phantoms, group_of = with_groups(n, seed)
    groups = sorted(set(group_of.values()))
    pedigree = pedigree_of(grouped, unknown_groups=groups)
    A = relationship_matrix({i: tuple(p if p in grouped else None for p in pair) for i, pair in grouped.items()})
    # Phantom parents are founders with the mean of their group: E(a) = T_phantom (their group means).
    everyone = list(phantoms)
    P = np.array([[0.5 * phantoms[i].count(j) for j in everyone] for i in everyone])
    T = np.linalg.inv(np.eye(len(everyone)) - P)
    Q = np.array(
        [[sum(T[i, everyone.index(f)] for f, h in group_of.items() if h == g) for g in groups] for i in range(n)]
    )
    np.testing.assert_allclose(pedigree.Q, Q, atol=1e-13)
    np.testing.assert_allclose(pedigree.Q.sum(axis=1), 1, atol=1e-13)
    Ainv = np.linalg.inv(A)
    expected = np.block([[Ainv, -Ainv @ Q], [-Q.T @ Ainv, Q.T @ Ainv @ Q]])
    np.testing.assert_allclose(pedigree.Ainv.toarray(), expected, atol=1e-10)
    assert pedigree.levels.tolist() == [*grouped, *groups]
    np.testing.assert_allclose(pedigree.logdet, np.linalg.slogdet(A)[1], atol=1e-10)
    np.testing.assert_allclose(pedigree.inbreeding, A.diagonal() - 1, atol=1e-13)
    assert np.isnan(pedigree.diagonal[n:]).all()


@given(n=st.integers(2, 20), seed=seeds, variance=st.floats(0.01, 100))
def test_random_groups_are_the_covariance_of_animals_that_include_them(n, seed, variance):
    grouped, _, group_of = with_groups(n, seed)
    groups = sorted(set(group_of.values()))
    pedigree = pedigree_of(grouped, unknown_groups=groups, group_variance=variance)
    Q, S = pedigree.Q, variance * np.eye(len(groups))
    K = np.block([[pedigree.A() + Q @ S @ Q.T, Q @ S], [S @ Q.T, S]])
    np.testing.assert_allclose(pedigree.precision @ K, np.eye(n + len(groups)), atol=1e-8)
    np.testing.assert_allclose(pedigree.logdet, np.linalg.slogdet(K)[1], atol=1e-8)
    np.testing.assert_allclose(pedigree.diagonal, K.diagonal(), rtol=1e-12)


def test_fixed_groups_solve_as_columns_of_x():
    """u* = Q g + a with g fixed: the transformed equations give the estimates of y = Xb + ZQg + Za + e."""
    grouped, _, group_of = with_groups(20, 5)
    groups = sorted(set(group_of.values()))
    pedigree = pedigree_of(grouped, unknown_groups=groups)
    rng = np.random.default_rng(0)
    Z = selection(rng.choice(pedigree.animals, 60), pedigree.animals)
    y = rng.normal(size=60)
    plain = solve(y, Z @ pedigree.Q, Z, Ginv=np.linalg.inv(pedigree.A()))
    coefficients = pedigree.Ainv.toarray()
    coefficients[:20, :20] += Z.T @ Z
    transformed = np.linalg.solve(coefficients, np.append(Z.T @ y, np.zeros(len(groups))))
    np.testing.assert_allclose(transformed[20:], plain.beta, atol=1e-9)
    np.testing.assert_allclose(transformed[:20], pedigree.Q @ plain.beta + plain.b, atol=1e-9)
