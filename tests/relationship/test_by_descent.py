"""Relationships are those of gametes: each copies one of two of its parent, and two are alike where they are one copy.

The oracle knows no recursion of relationships: it follows every gamete, through every generation of selfing, and a
metafounder k is a pool of them with the coancestry Gamma_kk / 2.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pedigrees import Parents, columns, dense_h

import mme
from mme.relationship.genomic import vanraden

seeds = st.integers(0, 2**32 - 1)
LABELS = {"text": "a{}".format, "digits": str, "numbers": int}


def coancestries(parents: Parents, generations: dict[object, int], Gamma: np.ndarray, pools: list[object]):
    """Between the gametes of all animals, two each, and the pools after them."""
    held, G = {}, np.zeros((0, 0))

    def add(row: np.ndarray) -> int:
        nonlocal G
        G = np.block([[G, row[:, None]], [row[None], np.ones((1, 1))]])
        return len(G) - 1

    for k, pool in enumerate(pools):
        held[pool] = [add(Gamma[k, :k] / 2)] * 2
        G[-1, -1] = Gamma[k, k] / 2
    for animal, pair in parents.items():
        mine = [add(np.zeros(len(G)) if one is None else G[held[one]].mean(axis=0)) for one in pair]
        for _ in range(generations.get(animal, 0)):
            mine = [add(G[mine].mean(axis=0)), add(G[mine].mean(axis=0))]
        held[animal] = mine
    of = [held[one] for one in (*parents, *pools)]
    return np.array([[G[np.ix_(a, b)].sum() / 2 for b in of] for a in of])


def family(rng: np.random.Generator, pools: list[object], selfing: bool) -> tuple[Parents, list[int]]:
    """Parents among the seven animals before, pools, or nobody; and an order of rows in which they come anyhow."""
    label, parents = LABELS[rng.choice(list(LABELS))], {}
    n = int(rng.integers(2, 14))
    for i in range(n):
        pair = []
        for sex in (0, 1):
            before = [j for j in range(max(0, i - 7), i) if selfing or j % 2 == sex]
            drawn = rng.random()
            pair.append(label(int(rng.choice(before))) if before and drawn < 0.6 else None)
            if pools and not pair[-1] and drawn < 0.9:
                pair[-1] = pools[rng.integers(len(pools))]
        parents[label(i)] = (pair[0], pair[1])
    return parents, rng.permutation(n).tolist()


@given(seed=seeds, selfing=st.booleans())
def test_metafounders_are_pools_of_gametes_through_any_selfing(seed, selfing):
    rng = np.random.default_rng(seed)
    parents, order = family(rng, ["u", "v"], True)
    parents = {one: ("u", "v") if k == 0 else pair for k, (one, pair) in enumerate(parents.items())}
    generations = {one: int(rng.integers(0, 3)) * selfing for one in parents}
    L = rng.normal(scale=0.4, size=(2, 2))
    Gamma = L @ L.T / max(1.0, (L**2).sum()) + 0.05 * np.eye(2)
    rows = columns(parents, order)
    selfed = [generations[one] for one in rows[0]]
    pedigree = mme.Pedigree(*rows, unknown_groups=["u", "v"], hermaphrodite=True, selfed=selfed)
    K, at = mme.metafounders(pedigree, Gamma), [0] * (len(order) + 2)
    whole = coancestries(parents, generations, Gamma, ["u", "v"])
    at = [*order, len(order), len(order) + 1]
    expected = whole[np.ix_(at, at)]
    np.testing.assert_allclose(K.precision @ expected, np.eye(len(at)), atol=1e-8)
    np.testing.assert_allclose(K.diagonal, expected.diagonal(), rtol=1e-12)
    assert K.logdet == pytest.approx(np.linalg.slogdet(expected)[1], abs=1e-8)


@given(seed=seeds)
def test_a_bull_has_gametes_of_its_sire_and_of_a_daughter_of_its_grandsire(seed):
    rng = np.random.default_rng(seed)
    bulls, order = family(rng, [], True)
    parents: Parents = {}
    for bull, (sire, grandsire) in bulls.items():
        if grandsire is not None:
            parents["dam", bull] = (grandsire, None)
        parents[bull] = (sire, None if grandsire is None else ("dam", bull))
    whole = coancestries(parents, {}, np.zeros((0, 0)), [])
    K = mme.maternal_grandsires(*columns(bulls, order))
    at = [list(parents).index(one) for one in K.levels.tolist()]
    np.testing.assert_allclose(K.precision @ whole[np.ix_(at, at)], np.eye(len(at)), atol=1e-8)


# -- single-step: H by its definition, G blended and tuned by the equations of the means -----------------------------


def solved(G: np.ndarray, A22: np.ndarray) -> np.ndarray:
    """a + b G of the means of A22, by two equations in a and b."""
    a, b = np.linalg.solve([[1.0, np.diag(G).mean()], [1.0, G.mean()]], [np.diag(A22).mean(), A22.mean()])
    return np.asarray(a + b * G)


def proven_and_young(G: np.ndarray, core: np.ndarray) -> np.ndarray:
    """G where those outside the core are independent given it, of the same diagonal."""
    P = G[:, core] @ np.linalg.inv(G[np.ix_(core, core)])
    told = P @ G[core]
    outside = np.setdiff1d(np.arange(len(G)), core)
    told[outside, outside] = G[outside, outside]
    return told


def genotypes(rng: np.random.Generator, m: int) -> np.ndarray:
    """Of m animals at 12 loci, some missing."""
    markers = rng.integers(0, 3, (m, 12)).astype(float)
    markers[0] = np.arange(12) % 3  # somebody differs from somebody
    markers[1:][rng.random((m - 1, 12)) < 0.1] = np.nan
    return markers


@given(seed=seeds, tune=st.sampled_from([False, True, "blended"]), share=st.sampled_from([0.95, 0.7]))
def test_single_step_is_h_by_its_definition_with_a_core_and_without(seed, tune, share):
    rng = np.random.default_rng(seed)
    parents, order = family(rng, [], bool(rng.integers(2)))
    pedigree = mme.Pedigree(*columns(parents, order), hermaphrodite=True)
    A = coancestries(parents, {}, np.zeros((0, 0)), [])[np.ix_(order, order)]
    n, m = len(order), int(rng.integers(2, len(order) + 1))
    of = rng.permutation(n)[:m]
    markers = genotypes(rng, m)
    core = rng.permutation(m)[: int(rng.integers(1, m + 1))] if rng.integers(2) else None
    labels = [(str if rng.integers(2) else type(one))(one) for one in pedigree.levels[of].tolist()]
    named = {} if core is None else {"core": [labels[i] for i in core]}
    H = mme.single_step(pedigree, None, labels, markers=markers, alpha=share, beta=1.05 - share, tune=tune, **named)
    A22 = A[np.ix_(of, of)]
    G = share * (solved(vanraden(markers), A22) if tune is True else vanraden(markers)) + (1.05 - share) * A22
    G = solved(G, A22) if tune == "blended" else G
    G = G if core is None else proven_and_young(G, core)
    expected = dense_h(A, of, G)
    np.testing.assert_allclose(H.precision @ expected, np.eye(n), atol=1e-6)
    assert H.logdet == pytest.approx(np.linalg.slogdet(expected)[1], abs=1e-6)


@given(seed=seeds, tune=st.sampled_from([False, True, "blended"]), cored=st.booleans())
def test_single_step_with_metafounders_is_h_among_pools_of_gametes(seed, tune, cored):
    rng = np.random.default_rng(seed)
    parents, order = family(rng, ["u", "v"], True)
    parents = {one: ("u", "v") if k == 0 else pair for k, (one, pair) in enumerate(parents.items())}
    L = rng.normal(scale=0.4, size=(2, 2))
    Gamma = L @ L.T / max(1.0, (L**2).sum()) + 0.05 * np.eye(2)
    pedigree = mme.Pedigree(*columns(parents, order), unknown_groups=["u", "v"], hermaphrodite=True)
    whole, n = coancestries(parents, {}, Gamma, ["u", "v"]), len(order)
    K = whole[np.ix_([*order, n, n + 1], [*order, n, n + 1])]
    of = rng.permutation(n)[: int(rng.integers(2, n + 1))]
    markers, core = genotypes(rng, of.size), rng.permutation(of.size)[: int(rng.integers(1, of.size + 1))]
    labels = pedigree.animals[of].tolist()
    named = {"core": [labels[i] for i in core]} if cored else {}
    H = mme.single_step(pedigree, None, labels, markers=markers, gamma=Gamma, alpha=0.9, beta=0.1, tune=tune, **named)
    Z, A22 = np.where(np.isnan(markers), 0.0, markers - 1.0), K[np.ix_(of, of)]
    G = 0.9 * (solved(Z @ Z.T / 6, A22) if tune is True else Z @ Z.T / 6) + 0.1 * A22
    G = solved(G, A22) if tune == "blended" else G
    expected = dense_h(K, of, proven_and_young(G, core) if cored else G)
    assert H.levels.tolist() == pedigree.levels.tolist()
    np.testing.assert_allclose(H.precision @ expected, np.eye(n + 2), atol=1e-6)
    assert H.logdet == pytest.approx(np.linalg.slogdet(expected)[1], abs=1e-6)


@pytest.mark.parametrize("tune", [True, "blended"])
@pytest.mark.parametrize("core", [None, 1])
def test_the_base_of_one_genotyped_animal_cannot_be_told(tune, core):
    pedigree = mme.Pedigree(["a", "b"], ["s", "s"], [None, None])
    with pytest.raises(mme.MMEError, match="one genotyped animal"):
        mme.single_step(pedigree, [[1.1]], ["a"], tune=tune, core=core)


def test_what_has_no_genomic_relationship_of_its_own_is_named():
    twins = mme.Pedigree(["a", "b"], ["s", "s"], ["d", "d"], identical_to=[None, "a"])
    with pytest.raises(mme.MMEError, match="'a', 'b' share one"):
        mme.single_step(twins, np.eye(2), ["a", "b"])
    with pytest.raises(mme.MMEError, match="without any the relationship is the pedigree"):
        mme.single_step(twins, np.zeros((0, 0)), [])
    half = mme.Pedigree(["a", "b", "c"], ["s", "s", "s"], [None] * 3)
    G = np.outer([1, 2, 1], [1, 2, 1]) / 3 + np.outer([1, 0, 1], [1, 0, 1]) / 5  # c is a again
    with pytest.raises(mme.MMEError, match="outside the core is determined by it"):
        mme.single_step(half, G, ["a", "b", "c"], alpha=1.0, beta=0.0, core=["a", "b"])


def test_selfed_lines_have_dominance_and_sex_linkage_by_rows_of_their_own():
    lines = mme.Pedigree(["x", "y"], ["a", "a"], ["b", "b"], selfed=[2, 0])
    with pytest.raises(mme.MMEError, match="'x' are selfed="):
        mme.dominance(lines)
    with pytest.raises(mme.MMEError, match="selfed lines"):
        mme.sex_linked(lines, ["b", "x"])
