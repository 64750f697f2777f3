"""Dominance, metafounders and genomic relationships: theorems, and definitions entry by entry."""

import numpy as np
import pytest
import scipy.sparse as sp

import mme
from mme.relationship.genomic import tuned, vanraden


def dense(K):
    return np.linalg.inv(K.precision.toarray())


@pytest.fixture(scope="module")
def markers():
    rng = np.random.default_rng(1)
    return rng.binomial(2, rng.uniform(0.1, 0.9, 80), size=(30, 80)).astype(float)


# -- dominance ---------------------------------------------------------------------------------------------------------


def test_dominance_of_double_first_cousins_is_a_sixteenth():
    """Falconer & Mackay, table 9.3: full sibs 1/4, double first cousins 1/16, all others here nothing."""
    animal = ["s1", "s2", "d1", "d2", "x", "y", "h"]
    sire = ["A", "A", "C", "C", "s1", "s2", "s1"]
    dam = ["B", "B", "D", "D", "d1", "d2", "E"]
    D = mme.dominance(mme.Pedigree(animal, sire, dam), animal)
    expected = np.eye(7)
    expected[0, 1] = expected[1, 0] = expected[2, 3] = expected[3, 2] = 0.25
    expected[4, 5] = expected[5, 4] = 1 / 16
    np.testing.assert_allclose(dense(D), expected, atol=1e-12)


def test_dominance_is_its_definition_and_serves_as_a_random_term():
    rng = np.random.default_rng(2)
    sire = [None] * 8 + [f"a{rng.integers(0, 4)}" for _ in range(20)]
    dam = [None] * 8 + [f"a{rng.integers(4, 8)}" for _ in range(20)]
    names = [f"a{i}" for i in range(28)]
    pedigree = mme.Pedigree(names, sire, dam)
    A, D = pedigree.A(names), dense(mme.dominance(pedigree))
    at = {name: i for i, name in enumerate(names)}
    for i in range(8, 28):
        for j in range(8, i):
            s, d, k, m = at[sire[i]], at[dam[i]], at[sire[j]], at[dam[j]]
            assert D[i, j] == pytest.approx(0.25 * (A[s, k] * A[d, m] + A[s, m] * A[d, k]), abs=1e-12)
    data = {"y": rng.normal(size=60), "animal": [names[i] for i in rng.integers(8, 28, 60)]}
    data["genet"] = data["animal"]
    related = {"animal": pedigree, "genet": mme.dominance(pedigree)}
    fit = mme.lmer("y ~ 1 + (1 | animal) + (1 | genet)", data, relationship=related, theta=[0.8, 0.5])
    place = [at[one] for one in data["animal"]]
    V = (0.64 * A + 0.25 * D)[np.ix_(place, place)] + np.eye(60)
    one, Vinv, y = np.ones(60), np.linalg.inv(V), np.asarray(data["y"])
    assert fit.beta.iloc[0] == pytest.approx(one @ Vinv @ y / (one @ Vinv @ one), rel=1e-10)


# -- metafounders ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_bases():
    rng = np.random.default_rng(3)
    sire = ["m1", "m1", "m1", "m2", "m2", "m2"] + [f"a{rng.integers(0, i)}" for i in range(6, 20)]
    dam = ["m1", "m1", "m1", "m2", "m2", "m2"] + [f"a{rng.integers(0, i)}" for i in range(6, 19)] + ["m2"]
    names = [f"a{i}" for i in range(20)]
    return names, sire, dam


def test_one_metafounder_is_the_pedigree_shrunk_towards_its_base(two_bases):
    """Legarra et al. 2015: A(gamma) = (1 - gamma / 2) A + gamma 11'."""
    names, sire, dam = two_bases
    sire, dam = ([one.replace("m2", "m1") for one in parents] for parents in (sire, dam))
    with pytest.warns(mme.MMEWarning):
        pedigree = mme.Pedigree(names, sire, dam, unknown_groups=["m1"])
    K, A = dense(mme.metafounders(pedigree, 0.6)), pedigree.A()
    np.testing.assert_allclose(K[:20, :20], 0.7 * A + 0.6, atol=1e-10)
    np.testing.assert_allclose(K[20], 0.6, atol=1e-10)


def test_two_metafounders_are_the_tabular_method(two_bases):
    names, sire, dam = two_bases
    Gamma = np.array([[0.7, 0.2], [0.2, 0.5]])
    with pytest.warns(mme.MMEWarning):
        found = mme.metafounders(mme.Pedigree(names, sire, dam, unknown_groups=["m1", "m2"]), Gamma)
    at = {"m1": 0, "m2": 1} | {name: i + 2 for i, name in enumerate(names)}
    K = np.zeros((22, 22))
    K[:2, :2] = Gamma
    for i in range(2, 22):
        s, d = at[sire[i - 2]], at[dam[i - 2]]
        K[i, :i] = K[:i, i] = 0.5 * (K[s, :i] + K[d, :i])
        K[i, i] = 1 + 0.5 * K[s, d]
    order = [at[one] for one in found.levels.tolist()]
    np.testing.assert_allclose(dense(found), K[np.ix_(order, order)], atol=1e-10)
    np.testing.assert_allclose(found.diagonal, np.diag(K)[order], atol=1e-12)
    assert found.logdet == pytest.approx(np.linalg.slogdet(K)[1], abs=1e-9)
    assert found.precision.nnz < 22 * 12


def test_metafounders_that_are_none_or_do_not_fit_are_refused(two_bases):
    names, sire, dam = two_bases
    with pytest.raises(mme.MMEError, match="name them as unknown_groups"):
        mme.metafounders(mme.Pedigree(["a"], ["s"], ["d"]), 0.5)
    with pytest.warns(mme.MMEWarning):
        pedigree = mme.Pedigree(names, sire, dam, unknown_groups=["m1", "m2"])
    with pytest.raises(mme.MMEError, match="2 x 2"):
        mme.metafounders(pedigree, 0.5)
    with pytest.raises(mme.MMEError, match="no variance of their own"):
        mme.metafounders(pedigree, np.diag([2.5, 2.5]))


# -- markers -----------------------------------------------------------------------------------------------------------


def test_the_second_method_weighs_markers_by_their_own_variance(markers):
    p = markers.mean(axis=0) / 2
    expected = sum(np.outer(z, z) / (2 * q * (1 - q)) for z, q in zip((markers - 2 * p).T, p, strict=True)) / 80
    np.testing.assert_allclose(vanraden(markers, method=2), expected, atol=1e-12)
    with_constant = np.column_stack([markers, np.full(30, 2.0)])
    np.testing.assert_allclose(vanraden(with_constant, method=2), expected, atol=1e-12)
    K = mme.genomic_relationship(markers, range(30), method="vanraden2", blend=0.1)
    np.testing.assert_allclose(dense(K), 0.9 * expected + 0.1 * np.eye(30), atol=1e-9)


def test_missing_genotypes_count_as_the_mean_with_given_frequencies_too(markers):
    holes = markers.copy()
    holes[::3, ::4] = np.nan
    p = np.full(80, 0.4)
    filled = np.where(np.isnan(holes), 0.8, holes)
    for method in (1, 2):
        np.testing.assert_allclose(
            vanraden(holes, frequencies=p, method=method), vanraden(filled, frequencies=p, method=method), atol=1e-12
        )


def test_tuning_gives_the_means_of_A22_and_single_step_takes_it(markers):
    names = [f"a{i}" for i in range(30)]
    pedigree = mme.Pedigree(names, [None] * 10 + names[:20], [None] * 10 + [names[(3 * i) % 10] for i in range(20)])
    A22, G = pedigree.A(names[10:]), vanraden(markers)[10:, 10:]
    found = tuned(G, A22)
    assert np.diag(found).mean() == pytest.approx(np.diag(A22).mean())
    assert found.mean() == pytest.approx(A22.mean())
    one = mme.single_step(pedigree, G, names[10:], tune=True)
    np.testing.assert_allclose(
        one.precision.toarray(), mme.single_step(pedigree, found, names[10:]).precision.toarray()
    )


def test_snp_blup_is_gblup(markers):
    """b = Z a of marker effects a ~ N(0, s^2 / k I) has the BLUP of b ~ N(0, s^2 Z Z' / k); k = 2 sum p (1 - p)."""
    rng = np.random.default_rng(4)
    p = np.full(80, 0.35)  # of the base: G is regular
    Z, k = markers - 2 * p, 80 * 2 * 0.35 * 0.65
    rows = rng.integers(0, 30, 70)
    y, X = rng.normal(size=70) + Z[rows] @ rng.normal(size=80) / 5, np.ones((70, 1))
    of_animals = sp.csr_array((np.ones(70), (np.arange(70), rows)), shape=(70, 30))
    G = vanraden(markers, frequencies=p)
    gblup = mme.solve(y, X, of_animals, Ginv=np.linalg.inv(1.7 * G))
    snp = mme.solve(y, X, of_animals @ Z, Ginv=k / 1.7 * np.eye(80))
    np.testing.assert_allclose(gblup.b, Z @ snp.b, atol=1e-9)
    np.testing.assert_allclose(gblup.beta, snp.beta, rtol=1e-9)
