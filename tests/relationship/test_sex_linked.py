"""Sex-linked relationships: alleles dropped through the pedigree one by one, and Hamilton's numbers."""

import numpy as np
import pytest

import mme


@pytest.fixture(scope="module")
def flock():
    """Thirty animals; even ones are females, parents may be related or unknown."""
    rng = np.random.default_rng(5)
    names = [f"a{i}" for i in range(30)]
    sire = [None] * 6 + [f"a{2 * rng.integers(0, i // 2) + 1}" if i % 5 else None for i in range(6, 30)]
    dam = [None] * 6 + [f"a{2 * rng.integers(0, i // 2)}" if i % 7 else None for i in range(6, 30)]
    return names, sire, dam


def gametic(names, sire, dam):
    """S from the identity of alleles: a female has one of her sire's and one of her dam's two, a male of his dam's."""
    G, held = np.zeros((0, 0)), {}
    for i, name in enumerate(names):
        sources = [[held[dam[i]][0], held[dam[i]][1]] if dam[i] else []]
        if i % 2 == 0:
            sources.append([held[sire[i]][0]] if sire[i] else [])
        mine = []
        for source in sources:
            row = G[source].mean(axis=0) if source else np.zeros(len(G))
            G = np.block([[G, row[:, None]], [row[None], np.ones((1, 1))]])
            mine.append(len(G) - 1)
        held[name] = mine
    S = np.array([[sum(G[a, b] for a in held[x] for b in held[y]) / 2 for y in names] for x in names])
    return S


@pytest.mark.parametrize("dosage", [1.0, 2.0])
def test_it_is_the_identity_of_alleles(flock, dosage):
    names, sire, dam = flock
    found = mme.sex_linked(mme.Pedigree(names, sire, dam), names[::2], dosage=dosage)
    copies = np.where(np.arange(30) % 2 == 0, 1.0, dosage)
    S = gametic(names, sire, dam) * np.outer(copies, copies)
    assert found.levels.tolist() == names
    np.testing.assert_allclose(np.linalg.inv(found.precision.toarray()), S, atol=1e-10)
    np.testing.assert_allclose(found.diagonal, np.diag(S), atol=1e-12)
    assert found.logdet == pytest.approx(np.linalg.slogdet(S)[1], abs=1e-9)


def test_sexes_that_contradict_the_pedigree_are_refused(flock):
    names, sire, dam = flock
    pedigree = mme.Pedigree(names, sire, dam)
    with pytest.raises(mme.MMEError, match="sires among the females"):
        mme.sex_linked(pedigree, names)
    with pytest.raises(mme.MMEError, match="dams that are not"):
        mme.sex_linked(pedigree, [])
