"""A known matrix by its inverse, from markers, from a map, or from pedigree and markers together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from pedigrees import columns, dense_h, random_parents, relationship_matrix

from mme.errors import MMEError
from mme.relationship.genomic import genomic_relationship, vanraden
from mme.relationship.known import Relationship
from mme.relationship.pedigree import Pedigree
from mme.relationship.single_step import single_step

sizes = st.integers(1, 15)
seeds = st.integers(0, 2**32 - 1)


def random_covariance(n, seed):
    Z = np.random.default_rng(seed).normal(size=(n, n + 3))
    return Z @ Z.T / n


def labels(n):
    return [f"v{i}" for i in range(n)]


@given(n=sizes, seed=seeds, sparse=st.booleans())
def test_a_covariance_and_its_inverse_are_one_relationship(n, seed, sparse):
    K = random_covariance(n, seed)
    wrap = sp.csr_array if sparse else np.asarray
    by_covariance = Relationship(covariance=wrap(K), levels=labels(n))
    by_precision = Relationship(precision=wrap(np.linalg.inv(K)), levels=labels(n))
    for relationship in (by_covariance, by_precision):
        assert relationship.levels.tolist() == labels(n)
        np.testing.assert_allclose(relationship.precision @ K, np.eye(n), atol=1e-9)
        np.testing.assert_allclose(relationship.logdet, np.linalg.slogdet(K)[1], atol=1e-9)
        np.testing.assert_allclose(relationship.diagonal, K.diagonal(), rtol=1e-9)


@given(part_sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5), seed=seeds)
def test_unrelated_parts_stay_apart_in_the_inverse(part_sizes, seed):
    blocks = [random_covariance(size, seed + k) for k, size in enumerate(part_sizes)]
    n = sum(part_sizes)
    order = np.random.default_rng(seed).permutation(n)
    K = sp.block_diag(blocks).toarray()[np.ix_(order, order)]
    relationship = Relationship(covariance=K, levels=labels(n))
    assert relationship.precision.nnz == sum(size**2 for size in part_sizes)
    np.testing.assert_allclose(relationship.precision @ K, np.eye(n), atol=1e-9)
    np.testing.assert_allclose(relationship.logdet, np.linalg.slogdet(K)[1], atol=1e-9)


def test_a_pedigree_is_the_relationship_of_its_inverse():
    pedigree = Pedigree(*columns(random_parents(80, seed=2)))
    relationship = Relationship(precision=pedigree.Ainv, levels=pedigree.levels)
    np.testing.assert_allclose(relationship.logdet, pedigree.logdet, rtol=1e-12)
    np.testing.assert_allclose(relationship.diagonal, pedigree.diagonal, rtol=1e-12)


def test_a_frame_brings_its_own_levels():
    K = pd.DataFrame([[2.0, 1.0], [1.0, 2.0]], index=["a", "b"], columns=["a", "b"])
    assert Relationship(covariance=K).levels.tolist() == ["a", "b"]
    with pytest.raises(MMEError, match="other labels on its columns"):
        Relationship(covariance=K[["b", "a"]])


def test_integer_levels_stay_integers():
    assert Relationship(precision=np.eye(2), levels=[7, 5]).levels.dtype == np.int64


def test_a_ridge_mends_a_singular_covariance():
    K = np.ones((3, 3))
    for singular in (K, sp.csc_array(K)):
        with pytest.raises(MMEError, match=r"singular or not positive definite: 'v1'.* \(ridge=0\.01\)"):
            Relationship(covariance=singular, levels=labels(3))
        mended = Relationship(covariance=singular, levels=labels(3), ridge=0.5)
        np.testing.assert_allclose(mended.precision @ (K + 0.5 * np.eye(3)), np.eye(3), atol=1e-14)
        np.testing.assert_allclose(mended.diagonal, 1.5)


def test_a_singular_part_is_named_by_its_level():
    K = sp.block_diag([np.eye(2), np.ones((2, 2))]).toarray()[np.ix_([3, 0, 2, 1], [3, 0, 2, 1])]
    with pytest.raises(MMEError, match="'c' is determined by other levels"):
        Relationship(covariance=K, levels=["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": ["a", "b"]}, "either precision= .* or covariance="),
        ({"precision": np.eye(2), "covariance": np.eye(2), "levels": ["a", "b"]}, "not both"),
        ({"precision": np.eye(2), "levels": ["a", "b"], "ridge": 0.1}, "ridge is added to a covariance"),
        ({"covariance": np.eye(2), "levels": ["a", "b"], "ridge": -1}, "ridge must be"),
        ({"precision": np.eye(2)}, "levels= must name the rows of the precision"),
        ({"precision": np.eye(2), "levels": ["a"]}, r"must be \(1, 1\) for the 1 levels, got \(2, 2\)"),
        ({"precision": np.eye(2), "levels": ["a", "a"]}, "'a' occurs more than once"),
        ({"precision": np.eye(2), "levels": ["a", None]}, "1 of 2 labels are missing"),
        ({"precision": [[1, 0], [0.5, 1]], "levels": ["a", "b"]}, r"not symmetric: 0 at \('a', 'b'\), 0.5 across"),
        ({"precision": [[1, np.nan], [np.nan, 1]], "levels": ["a", "b"]}, "missing or infinite"),
        ({"precision": [["x"]], "levels": ["a"]}, "numeric"),
        ({"precision": [[1, 2], [2, 1]], "levels": ["a", "b"]}, "precision is singular or not positive definite"),
        ({"precision": [[1, 0], [0, 0]], "levels": ["a", "b"]}, r"definite \(at 'b'\)"),
        ({"precision": [[1, -1], [-1, 1]], "levels": ["a", "b"]}, r"intrinsic autoregression \(ICAR\)"),
        ({"covariance": [[1, 2], [2, 1]], "levels": ["a", "b"]}, "covariance is singular or not positive definite"),
        ({"precision": np.zeros((0, 0)), "levels": []}, "labels are missing"),
    ],
)
def test_what_is_no_relationship_is_refused(arguments, message):
    with pytest.raises(MMEError, match=message):
        Relationship(**arguments)


# ---- maps ----


@given(n=st.integers(2, 12), seed=seeds, rho=st.floats(-0.95, 0.95))
def test_an_area_given_its_neighbours_has_rho_times_their_mean(n, seed, rho):
    rng = np.random.default_rng(seed)
    W = np.triu(rng.random((n, n)) < 0.4, 1).astype(float)
    W[0, 1:] = 1  # everybody has a neighbour
    W += W.T
    car = Relationship.car(W, labels(n), rho=rho)
    K = np.linalg.inv(car.precision.toarray())
    others = np.arange(1, n)
    regression = K[0, others] @ np.linalg.inv(K[np.ix_(others, others)])
    np.testing.assert_allclose(regression, rho * W[0, others] / W[0].sum(), atol=1e-9)
    np.testing.assert_allclose(car.logdet, np.linalg.slogdet(K)[1], atol=1e-9)


def test_maps_that_have_no_covariance():
    W = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    with pytest.raises(MMEError, match="'v2' without neighbours"):
        Relationship.car(W, labels(3))
    with pytest.raises(MMEError, match=r"rho must lie between -1 and 1, got 1\. At 1 \(intrinsic CAR\)"):
        Relationship.car(W, labels(3), rho=1)
    with pytest.raises(MMEError, match="zero on the diagonal"):
        Relationship.car(np.eye(3), labels(3))


# ---- markers ----


@given(n=st.integers(2, 10), m=st.integers(1, 30), seed=seeds)
def test_genomic_relationships_are_vanradens_first_method(n, m, seed):
    rng = np.random.default_rng(seed)
    M = rng.integers(0, 3, (n, m)).astype(float)
    M[0, 0], M[1, 0] = 0, 2  # one marker varies
    p = M.mean(axis=0) / 2
    G = sum(np.outer(M[:, j] - 2 * p[j], M[:, j] - 2 * p[j]) for j in range(m)) / sum(2 * q * (1 - q) for q in p)
    np.testing.assert_allclose(vanraden(M), G, atol=1e-12)
    np.testing.assert_allclose(vanraden(M).sum(axis=0), 0, atol=1e-12)
    K = genomic_relationship(M, labels(n), blend=0.1)
    np.testing.assert_allclose(K.precision @ (0.9 * G + 0.1 * np.eye(n)), np.eye(n), atol=1e-9)


def test_a_missing_genotype_counts_as_the_mean_of_the_others():
    M = np.array([[0, 1.0], [np.nan, 2], [2, 1], [1, 0]])
    filled = M.copy()
    filled[1, 0] = 1.0
    np.testing.assert_allclose(vanraden(M), vanraden(filled), atol=1e-15)


def test_frequencies_of_the_base_may_be_given():
    M = np.array([[0, 1], [2, 2], [1, 0]])
    p = np.array([0.3, 0.6])
    Z = M - 2 * p
    np.testing.assert_allclose(vanraden(M, frequencies=p), Z @ Z.T / (2 * p @ (1 - p)))


def test_blending_with_a_pedigree_takes_its_relationships():
    pedigree = Pedigree(["a", "b", "c"], ["s", "s", None], [None] * 3)
    M = np.array([[0, 1, 2], [1, 1, 0], [2, 0, 1]])
    K = genomic_relationship(M, ["c", "a", "b"], blend=0.2, pedigree=pedigree)
    np.testing.assert_allclose(
        K.precision @ (0.8 * vanraden(M) + 0.2 * pedigree.A(["c", "a", "b"])), np.eye(3), atol=1e-12
    )


@pytest.mark.parametrize(
    ("markers", "options", "message"),
    [
        ([[0, 3]], {}, "row 0, column 1 is 3"),
        ([[0, -1]], {}, "0 to 2"),
        ([[1, np.nan], [1, np.nan]], {}, r"markers 1 \(columns\) are missing for everybody"),
        ([[2, 0], [2, 0]], {}, "none of them varies"),
        ([0, 1], {}, "must be a matrix"),
        ([["a"]], {}, "must be numbers"),
        ([[0], [1], [2]], {}, "2 levels for 3 rows"),
        ([[0], [2]], {"blend": 0.0}, r"singular.* Add a ridge"),
        ([[0], [2]], {"blend": 2.0}, "blend must lie"),
        ([[0], [2]], {"method": "yang"}, "'vanraden'"),
        ([[0], [2]], {"frequencies": [0.5, 0.5]}, "1 numbers between 0 and 1"),
    ],
)
def test_markers_that_say_nothing_are_refused(markers, options, message):
    with pytest.raises(MMEError, match=message):
        genomic_relationship(markers, ["a", "b"], **options)


# ---- single step ----


@given(n=st.integers(3, 25), seed=seeds)
def test_the_single_step_inverse_is_that_of_h(n, seed):
    rng = np.random.default_rng(seed)
    parents = random_parents(n, seed)
    A = relationship_matrix(parents)
    at = rng.permutation(n)[: n // 2]
    G = vanraden(np.vstack([rng.integers(0, 3, (at.size - 1, 20)), np.arange(20) % 3]), frequencies=np.full(20, 0.5))
    pedigree = Pedigree(*columns(parents))
    H = single_step(pedigree, G, pedigree.levels[at], alpha=0.9, beta=0.1)
    expected = dense_h(A, at, 0.9 * G + 0.1 * A[np.ix_(at, at)])
    assert H.levels.tolist() == pedigree.levels.tolist()
    np.testing.assert_allclose(H.precision @ expected, np.eye(n), atol=1e-8)
    np.testing.assert_allclose(H.logdet, np.linalg.slogdet(expected)[1], atol=1e-8)
    np.testing.assert_allclose(H.diagonal, expected.diagonal(), rtol=1e-8)


def test_scaled_inverses_have_the_logdet_of_what_they_make():
    pedigree = Pedigree(*columns(random_parents(12, seed=4)))
    genotyped = pedigree.levels[[3, 8, 5]]
    G = np.array([[1.1, 0.3, 0.1], [0.3, 0.9, 0.0], [0.1, 0.0, 1.0]])
    H = single_step(pedigree, G, genotyped, alpha=1.0, beta=0.0, tau=1.2, omega=0.7)
    correction = np.zeros((12, 12))
    correction[np.ix_([3, 8, 5], [3, 8, 5])] = 1.2 * np.linalg.inv(G) - 0.7 * np.linalg.inv(pedigree.A(genotyped))
    np.testing.assert_allclose(H.precision.toarray(), pedigree.Ainv.toarray() + correction, atol=1e-12)
    np.testing.assert_allclose(H.logdet, -np.linalg.slogdet(H.precision.toarray())[1], atol=1e-11)


def test_markers_that_agree_with_the_pedigree_change_nothing():
    pedigree = Pedigree(*columns(random_parents(40, seed=6)))
    genotyped = pedigree.levels[::3]
    H = single_step(pedigree, pedigree.A(genotyped), genotyped)
    np.testing.assert_allclose(H.precision.toarray(), pedigree.Ainv.toarray(), atol=1e-11)
    np.testing.assert_allclose(H.logdet, pedigree.logdet, atol=1e-11)


def test_what_single_step_cannot_join():
    pedigree = Pedigree(["a", "b"], ["s", "s"], [None, None])
    with pytest.raises(MMEError, match="'z': not among the 3 animals"):
        single_step(pedigree, np.eye(2), ["a", "z"])
    with pytest.raises(MMEError, match=r"G must be \(2, 2\)"):
        single_step(pedigree, np.eye(3), ["a", "b"])
    with pytest.raises(MMEError, match="symmetric"):
        single_step(pedigree, [[1, 0], [0.3, 1]], ["a", "b"])
    with pytest.raises(MMEError, match="distinct"):
        single_step(pedigree, np.eye(2), ["a", "a"])
    with pytest.raises(MMEError, match=r"alpha G \+ beta A22 is singular .*'b'"):
        single_step(pedigree, np.ones((2, 2)), ["a", "b"], alpha=1.0, beta=0.0)
    with pytest.raises(MMEError, match="precision is singular"):
        single_step(pedigree, np.eye(2), ["a", "b"], omega=50.0)
