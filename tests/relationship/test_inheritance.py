"""Relationships of selfed lines, of bulls by grandsires, of interacting loci, and of many genotyped animals."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mme
from mme.numeric.limits import Limits, within
from mme.relationship.apy import inverse_among
from mme.relationship.bases import OfPedigree
from mme.relationship.genomic import vanraden


def dense(K):
    return np.linalg.inv(K.precision.toarray())


def lines(n=60, founders=8, seed=1):
    rng = np.random.default_rng(seed)
    sire, dam = ([None] * founders + [int(rng.integers(0, i)) for i in range(founders, n)] for _ in range(2))
    return sire, dam, rng.integers(0, 4, n).astype(float)


@pytest.mark.parametrize("walked", [False, True])
def test_selfed_lines_are_those_of_a_pedigree_with_every_generation(walked):
    sire, dam, t = lines()
    rows, last = [], {}
    for i, generations in enumerate(t):
        rows.append((f"{i}.0", *(None if one is None else last[one] for one in (sire[i], dam[i]))))
        rows += [(f"{i}.{k}", f"{i}.{k - 1}", f"{i}.{k - 1}") for k in range(1, int(generations) + 1)]
        last[i] = rows[-1][0]
    whole = mme.Pedigree(*zip(*rows, strict=True), hermaphrodite=True).A(list(last.values()))
    with within(Limits(tabular_animals=0 if walked else 3000, relationship_columns=4)):
        short = mme.Pedigree(range(60), sire, dam, hermaphrodite=True, selfed=t)
        np.testing.assert_allclose(short.A(), whole, atol=1e-13)
        np.testing.assert_allclose(short.inbreeding, np.diag(whole) - 1, atol=1e-13)
        np.testing.assert_allclose(dense(short), whole, atol=1e-11)
        np.testing.assert_allclose(short.A(range(9), [50, 3]), whole[:9][:, [50, 3]], atol=1e-13)
        assert short.logdet == pytest.approx(np.linalg.slogdet(whole)[1])


def test_a_doubled_haploid_is_completely_inbred_and_half_of_its_variance_lies_within_its_cross():
    pedigree = mme.Pedigree(["h", "k"], ["a", "a"], ["b", "b"], selfed=[np.inf, np.inf])
    np.testing.assert_allclose(pedigree.inbreeding, [1, 1, 0, 0])
    np.testing.assert_allclose(pedigree.A(["h", "k"]), [[2.0, 0.5], [0.5, 2.0]])
    with pytest.raises(mme.MMEError, match="selfed must be 1 numbers of generations"):
        mme.Pedigree(["h"], ["a"], ["b"], selfed=[-1])


def test_clones_share_a_label_and_differ_by_what_is_not_additive():
    """Ramets of a genet: V = s2_a A + s2_c I among genets, s2_e within, from a pedigree of genets and their label."""
    rng = np.random.default_rng(2)
    genet = np.repeat([f"g{i}" for i in range(12)], 3)
    family = mme.Pedigree(
        [f"g{i}" for i in range(12)], [f"s{i % 3}" for i in range(12)], [f"d{i % 4}" for i in range(12)]
    )
    data = {"y": rng.normal(size=36), "genet": genet, "clone": [f"c{one}" for one in genet]}
    fit = mme.lmer("y ~ 1 + (1 | genet) + (1 | clone)", data, relationship={"genet": family}, theta=[0.7, 0.5])
    columns = pd.get_dummies(genet, dtype=float)
    Z = columns.to_numpy()
    V = np.eye(36) + Z @ (0.49 * family.A(list(columns)) + 0.25 * np.eye(12)) @ Z.T
    one, y = np.ones(36), np.asarray(data["y"])
    mean = one @ np.linalg.solve(V, y) / (one @ np.linalg.solve(V, one))
    assert fit.beta.iloc[0] == pytest.approx(mean)


def test_bulls_by_their_grandsires_are_those_of_a_pedigree_with_a_dam_of_their_own():
    rng = np.random.default_rng(1)
    bull = [f"b{i}" for i in range(40)]
    sire = [None] * 5 + [f"b{rng.integers(0, i)}" if rng.random() < 0.9 else None for i in range(5, 40)]
    father = [None] * 5 + [f"b{rng.integers(0, i)}" if rng.random() < 0.8 else "0" for i in range(5, 40)]
    K = mme.maternal_grandsires(bull, sire, father)
    dams = [f"d{one}" for one in bull]
    whole = mme.Pedigree(bull + dams, sire + father, dams + [None] * 40).A(bull)
    np.testing.assert_allclose(dense(K), whole, atol=1e-12)
    np.testing.assert_allclose(K.diagonal, np.diag(whole))
    assert K.logdet == pytest.approx(np.linalg.slogdet(whole)[1])
    pair = mme.maternal_grandsires([3], [1], [2])
    assert pair.levels.tolist() == [3, 1, 2]
    assert 1 / pair.precision.toarray()[0, 0] == pytest.approx(11 / 16)  # Henderson 1975


def test_interactions_are_products_entry_by_entry():
    family = mme.Pedigree(list("abcxyz"), [None] * 3 + ["a", "a", "x"], [None] * 3 + ["b", "b", "c"])
    A, D = family.A(), dense(mme.dominance(family))
    np.testing.assert_allclose(dense(mme.epistatic(family, "AA")), A * A, atol=1e-12)
    np.testing.assert_allclose(dense(mme.epistatic(family, "AD")), A * D, atol=1e-12)
    np.testing.assert_allclose(dense(mme.epistatic(family, "AAD", ["x", "z"])), (A * A * D)[np.ix_([3, 5], [3, 5])])
    assert np.mean(np.diag(dense(mme.epistatic([A, A], animals=list("abcxyz"))))) == pytest.approx(1)
    for wrong, message in (
        ((family, "AX"), "letters A and D"),
        (([A],), "two matrices or more"),
        (([A, A],), "animals= must name"),
        (([A, A[:2]], "AA", list("abcxyz")), r"must be \(6, 6\)"),
    ):
        with pytest.raises(mme.MMEError, match=message):
            mme.epistatic(*wrong)


@pytest.fixture(scope="module")
def herd():
    """200 animals of four generations, the last 60 of them and some ancestors genotyped."""
    rng = np.random.default_rng(5)
    sire, dam = [0] * 30, [0] * 30
    for g in range(30, 200):
        low = max(1, g - 60)
        sire.append(int(rng.integers(low, g)))
        dam.append(int(rng.integers(low, g)))
    pedigree = mme.Pedigree(range(1, 201), sire, dam, hermaphrodite=True)
    genotyped = sorted({*range(120, 170), *rng.choice(119, 30, replace=False) + 1})
    return pedigree, rng.permutation(genotyped).tolist(), rng.binomial(2, 0.4, (len(genotyped), 150)).astype(float)


def test_the_inverse_of_A22_is_what_elimination_leaves(herd):
    pedigree, genotyped, _ = herd
    A22 = pedigree.A(genotyped)
    inverse, logdet = inverse_among(OfPedigree(pedigree), pedigree.positions(genotyped))
    np.testing.assert_allclose(inverse.toarray(), np.linalg.inv(A22), atol=1e-10)
    assert logdet == pytest.approx(np.linalg.slogdet(A22)[1])
    everybody, whole = inverse_among(OfPedigree(pedigree), np.arange(200))
    np.testing.assert_allclose(everybody.toarray(), pedigree.Ainv.toarray(), atol=1e-12)
    assert whole == pytest.approx(pedigree.logdet)


@pytest.mark.parametrize("tune", [False, True, "blended"])
def test_a_core_of_everybody_is_single_step_itself(herd, tune):
    pedigree, genotyped, markers = herd
    H = mme.single_step(pedigree, vanraden(markers), genotyped, tune=tune)
    core = mme.single_step(pedigree, None, genotyped, markers=markers, core=genotyped, tune=tune)
    np.testing.assert_allclose(core.precision.toarray(), H.precision.toarray(), atol=1e-8)
    assert core.logdet == pytest.approx(H.logdet)


def test_outside_the_core_animals_are_independent_given_it(herd):
    pedigree, genotyped, markers = herd
    core = genotyped[:25]
    apy = mme.single_step(pedigree, None, genotyped, markers=markers, core=core)
    same = mme.single_step(pedigree, vanraden(markers), genotyped, core=core)
    np.testing.assert_allclose(apy.precision.toarray(), same.precision.toarray(), atol=1e-9)
    A22, at = pedigree.A(genotyped), pedigree.positions(genotyped)
    G = 0.95 * vanraden(markers) + 0.05 * A22
    c, others = np.arange(25), np.arange(25, len(genotyped))
    P = G[np.ix_(others, c)] @ np.linalg.inv(G[np.ix_(c, c)])
    approximate = np.zeros_like(G)
    approximate[np.ix_(c, c)] = G[np.ix_(c, c)]
    approximate[np.ix_(others, c)] = P @ G[np.ix_(c, c)]
    approximate[np.ix_(c, others)] = approximate[np.ix_(others, c)].T
    own = np.diag(G)[others] - np.einsum("ij,ij->i", P, G[np.ix_(others, c)])
    approximate[np.ix_(others, others)] = P @ G[np.ix_(c, others)] + np.diag(own)
    correction = np.zeros((200, 200))
    correction[np.ix_(at, at)] = np.linalg.inv(approximate) - np.linalg.inv(A22)
    np.testing.assert_allclose(apy.precision.toarray(), pedigree.Ainv.toarray() + correction, atol=1e-8)
    assert apy.logdet == pytest.approx(-np.linalg.slogdet(apy.precision.toarray())[1])
    assert isinstance(apy.precision, sp.csc_array)


def test_a_core_is_chosen_by_number_by_share_or_by_name(herd):
    pedigree, genotyped, markers = herd
    made = [mme.single_step(pedigree, None, genotyped, markers=markers, core=20, seed=s).precision for s in (1, 1, 2)]
    assert abs(made[0] - made[1]).max() == 0.0
    assert abs(made[0] - made[2]).max() > 0.0
    share = mme.single_step(pedigree, None, genotyped, markers=markers, core="60%")
    values = np.linalg.eigvalsh(vanraden(markers))[::-1]
    wanted = int(np.searchsorted(np.cumsum(values), 0.6 * values.sum()) + 1)
    number = mme.single_step(pedigree, None, genotyped, markers=markers, core=wanted)
    assert abs(share.precision - number.precision).max() == 0.0
    for core, message in (
        ("all", "not genotyped"),
        ("140%", "a share of the variance"),
        (0, "at least 1"),
        (500, "500 animals of 80 genotyped"),
        ([999], "999 not genotyped"),
        (genotyped[:2] * 2, "distinct"),
    ):
        with pytest.raises(mme.MMEError, match=message):
            mme.single_step(pedigree, None, genotyped, markers=markers, core=core)
    with within(Limits(memory=2**14)), pytest.raises(mme.MemoryForecastError, match="with a core of 20, would take"):
        mme.single_step(pedigree, None, genotyped, markers=markers, core=20)
    with pytest.raises(mme.MMEError, match="either G or markers="):
        mme.single_step(pedigree, vanraden(markers), genotyped, markers=markers)
    with pytest.raises(mme.MMEError, match="80 genotyped animals for 79 rows"):
        mme.single_step(pedigree, None, genotyped, markers=markers[1:], core=20)


def test_a_selection_index_is_that_of_hazel():
    """Mrode's example of an own record and a dam's: b = P^-1 G w, accuracy by b'Gw / w'Cw."""
    P, G = np.array([[100.0, 12.5], [12.5, 100.0]]), np.array([[25.0], [12.5]])
    index = mme.selection_index(P, G, [2.0], C=[[25.0]], intensity=1.4)
    b = np.linalg.solve(P, G[:, 0] * 2)
    np.testing.assert_allclose(index.weights, b)
    assert index.accuracy == pytest.approx(np.sqrt(b @ G[:, 0] * 2 / 100.0))
    assert index.gain == pytest.approx(1.4 * np.sqrt(b @ P @ b))
    traits = pd.DataFrame([[20.0, 18.0], [18.0, 40.0]], index=["w", "p"], columns=["w", "p"])
    whole = pd.DataFrame([[60.0, 29.0], [29.0, 70.0]], index=["w", "p"], columns=["w", "p"])
    assert mme.selection_index(whole, traits, {"p": 1.0, "w": 2.0}).response.index.tolist() == ["w", "p"]
    for arguments, message in (
        ((P, G, [1.0, 2.0]), "t = 2 weights"),
        ((np.ones((2, 2)), np.eye(2), [1.0, 1.0]), "not positive definite"),
        ((P, G, [1.0]), r"C must be \(1, 1\)"),
        ((whole, traits, {"p": 1.0}), "'w' is on one side"),
    ):
        with pytest.raises(mme.MMEError, match=message):
            mme.selection_index(*arguments)


def test_what_pedigree_files_write_for_an_unknown_parent_is_no_founder():
    pedigree = mme.Pedigree(list("abcd"), ["0", "NA", ".", ""], [0, None, np.nan, "."])
    assert pedigree.animals.tolist() == list("abcd")
    assert mme.Pedigree(["NA", "b"], [None, "NA"], [None, "."]).A(["NA", "b"])[0, 1] == 0.5  # an animal of that name
    assert mme.maternal_grandsires(["a"], ["."], ["NA"]).levels.tolist() == ["a"]


def test_rows_of_a_genomic_matrix_with_names_find_their_animals(herd):
    pedigree, genotyped, markers = herd
    G = pd.DataFrame(vanraden(markers), index=genotyped, columns=genotyped)
    H = mme.single_step(pedigree, G.to_numpy(), genotyped).precision
    turned = G.sample(frac=1.0, random_state=1).sample(frac=1.0, axis=1, random_state=2)
    for core in (None, genotyped):
        again = mme.single_step(pedigree, turned, genotyped, core=core).precision
        assert abs(again - H).max() < 1e-8
    with pytest.raises(mme.MMEError, match=f"G has no rows for {genotyped[0]}"):
        mme.single_step(pedigree, G.rename(index={genotyped[0]: "x"}), genotyped)
    wrong = G.to_numpy().copy()
    wrong[0, 1] += 1.0
    with pytest.raises(mme.MMEError, match=f"G is not symmetric: .* at \\({genotyped[0]}, {genotyped[1]}\\)"):
        mme.single_step(pedigree, wrong, genotyped, core=20)


@pytest.mark.parametrize("terms", [["g"], ["g", "h"]])
def test_prediction_errors_between_levels_are_the_inverse_of_the_equations(terms):
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.normal(size=60), "x": rng.normal(size=60), "g": rng.integers(0, 12, 60)})
    data["h"] = rng.integers(0, 5, 60)
    bars = {"g": "(1 + x | g)", "h": "(1 | h)"}
    theta = {"g": [0.8, 0.2, 0.5], "h": [0.6]}
    fit = mme.lmer(
        f"y ~ x + {' + '.join(bars[t] for t in terms)}", data, theta=np.concatenate([theta[t] for t in terms])
    )
    W, priors = [np.column_stack([np.ones(60), data["x"]])], [np.zeros((2, 2))]
    for term in fit.model.terms:
        W.append(term.Z.toarray())
        priors.append(np.kron(np.eye(term.n_levels), np.linalg.inv(fit.varcorr[term.name].cov)))
    inverse = np.linalg.inv(np.hstack(W).T @ np.hstack(W) / fit.sigma**2 + sp.block_diag(priors).toarray())
    start = 2
    for term in fit.model.terms:
        end = start + term.n_levels * term.q
        np.testing.assert_allclose(fit.pev_matrix(term.name), inverse[start:end, start:end], atol=1e-12)
        start = end
    some = fit.pev_matrix("g", levels=[7, 3])
    pd.testing.assert_frame_equal(some, fit.pev_matrix("g").loc[some.index, some.columns])
    with pytest.raises(mme.MMEError, match="99: not among the levels of 'g'"):
        fit.pev_matrix("g", levels=[99])
    with pytest.raises(mme.MMEError, match="differences are of one coefficient"):
        fit.pev_matrix("g", differences=True)
