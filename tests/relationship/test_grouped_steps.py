"""Single-step with groups of unknown parents: the densities that the transformed equations are of, by dense algebra."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pedigrees import columns, dense_h, random_parents, relationship_matrix

import mme
from mme.relationship.genomic import vanraden

seeds = st.integers(0, 10_000)


class Herd:
    """A pedigree with two groups, A and Q by definition, and markers of some animals."""

    def __init__(self, seed: int, n: int = 18, **options) -> None:
        rng = np.random.default_rng(seed)
        self.parents = random_parents(n, seed, unknown=0.3)
        sides = iter(rng.permutation(np.arange(2 * n)) % 2)
        pairs = {i: [f"g{next(sides)}" if p is None else p for p in pair] for i, pair in self.parents.items()}
        fractions = {"g0": np.array([1.0, 0.0]), "g1": np.array([0.0, 1.0])}
        for i, (sire, dam) in pairs.items():
            fractions[i] = 0.5 * (fractions[sire] + fractions[dam])
        self.A, self.Q = relationship_matrix(self.parents), np.array([fractions[i] for i in self.parents])
        self.pedigree = mme.Pedigree(*columns(pairs), unknown_groups=["g0", "g1"], hermaphrodite=True, **options)
        self.at = rng.permutation(n)[: n // 2]
        self.markers = np.vstack([rng.integers(0, 3, (n // 2 - 1, 20)), np.arange(20) % 3])
        self.G = 0.9 * vanraden(self.markers) + 0.1 * self.A[np.ix_(self.at, self.at)]
        self.H = dense_h(self.A, self.at, self.G)

    def joined(self, groups: str = "full", **options) -> mme.Relationship:
        labels = self.pedigree.animals[self.at]
        return mme.single_step(
            self.pedigree, None, labels, markers=self.markers, groups=groups, alpha=0.9, beta=0.1, **options
        )


def quadratic(L: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The precision by which L u ~ N(0, variance) counts."""
    return np.asarray(L.T @ np.linalg.solve(variance, L))


@given(seed=seeds, variance=st.sampled_from([None, 0.4]), cored=st.booleans())
def test_the_full_form_is_the_density_of_what_varies_about_the_groups(seed, variance, cored):
    herd = Herd(seed, group_variance=variance)
    found = herd.joined(**({"core": herd.pedigree.animals[herd.at].tolist()} if cored else {}))
    expected = quadratic(np.hstack([np.eye(18), -herd.Q]), herd.H)
    expected[18:, 18:] += 0.0 if variance is None else np.eye(2) / variance
    np.testing.assert_allclose(found.precision.toarray(), expected, atol=1e-7)
    given_groups = np.linalg.inv(found.given_groups.precision.toarray())
    np.testing.assert_allclose(given_groups[:18, :18], herd.H, atol=1e-7)
    if variance is None:
        assert found.logdet == pytest.approx(np.linalg.slogdet(herd.H)[1], abs=1e-7)
    else:
        K = np.linalg.inv(expected)
        assert found.logdet == pytest.approx(np.linalg.slogdet(K)[1], abs=1e-7)
        np.testing.assert_allclose(found.diagonal, K.diagonal(), atol=1e-7)


@given(seed=seeds, variance=st.sampled_from([None, 0.4]))
def test_the_altered_form_has_the_genotyped_of_gs_base_and_the_others_follow(seed, variance):
    herd = Herd(seed, group_variance=variance)
    at, others, A, Q = herd.at, np.setdiff1d(np.arange(18), herd.at), herd.A, herd.Q
    B = A[np.ix_(others, at)] @ np.linalg.inv(A[np.ix_(at, at)])
    genotyped, following = np.zeros((9, 20)), np.zeros((9, 20))
    genotyped[np.arange(9), at] = following[np.arange(9), others] = 1.0
    following[:, at], following[:, 18:] = -B, -(Q[others] - B @ Q[at])
    expected = quadratic(genotyped, herd.G)
    expected += quadratic(following, A[np.ix_(others, others)] - B @ A[np.ix_(at, others)])
    expected[18:, 18:] += 0.0 if variance is None else np.eye(2) / variance
    found = herd.joined("altered")
    np.testing.assert_allclose(found.precision.toarray(), expected, atol=1e-7)
    assert not found.Q[at].any()
    logdet = np.linalg.slogdet(herd.H)[1] if variance is None else -np.linalg.slogdet(expected)[1]
    assert found.logdet == pytest.approx(logdet, abs=1e-6)


@given(seed=seeds, variance=st.sampled_from([None, 0.05]))
def test_the_form_of_A_alone_adds_to_the_pedigree_what_markers_say_beyond_it(seed, variance):
    herd = Herd(seed, group_variance=variance)
    expected = quadratic(np.hstack([np.eye(18), -herd.Q]), herd.A)
    expected[18:, 18:] += 0.0 if variance is None else np.eye(2) / variance
    within = np.ix_(herd.at, herd.at)
    expected[within] += np.linalg.inv(herd.G) - np.linalg.inv(herd.A[within])
    if np.linalg.eigvalsh(expected)[0] < 1e-9:
        with pytest.raises(mme.MMEError, match=r"groups='A' gives no covariance: G\^-1 - A22"):
            herd.joined("A")
        return
    found = herd.joined("A")
    np.testing.assert_allclose(found.precision.toarray(), expected, atol=1e-7)
    assert found.logdet == pytest.approx(-np.linalg.slogdet(expected)[1], abs=1e-6)


@pytest.mark.parametrize(("method", "form"), [("REML", "full"), ("ML", "full"), ("REML", "altered")])
def test_a_fit_with_fixed_groups_is_that_with_their_fractions_in_x(method, form):
    herd, rng = Herd(4, n=30), np.random.default_rng(1)
    labels = herd.pedigree.animals.tolist()
    animal = np.append(np.arange(30), rng.integers(30, size=60))
    y = np.linalg.cholesky(herd.H)[animal] @ rng.normal(size=30) + rng.normal(size=90) + herd.Q[animal] @ [3.0, -1.0]
    data = pd.DataFrame({"y": y, "animal": [labels[i] for i in animal], "x": rng.normal(size=90)})
    A_2 = herd.A[:, herd.at]
    F = herd.Q - (form == "altered") * A_2 @ np.linalg.solve(A_2[herd.at], herd.Q[herd.at])
    data[["q0", "q1"]] = F[animal]
    fit = mme.lmer("y ~ 0 + x + (1 | animal)", data, relationship={"animal": herd.joined(form)}, method=method)
    plain = mme.Relationship(covariance=herd.H, levels=labels)
    other = mme.lmer("y ~ 0 + x + q0 + q1 + (1 | animal)", data, relationship={"animal": plain}, method=method)
    assert fit.fixed_names == ("x", "animal.g0", "animal.g1")
    assert fit.criterion == pytest.approx(other.criterion, abs=1e-7)
    np.testing.assert_allclose(fit.beta, other.beta, rtol=1e-4)
    blups = other.ranef()["animal"].to_numpy()[:, 0] + F @ other.beta.to_numpy()[1:]
    np.testing.assert_allclose(fit.ranef()["animal"].to_numpy()[:, 0], [*blups, *other.beta[1:]], atol=1e-3)
    assert fit.ebv()["inbreeding"].iloc[:30].to_numpy(float) == pytest.approx(herd.H.diagonal() - 1.0)


def test_what_single_step_with_groups_cannot_be_told():
    herd = Herd(2)
    with pytest.raises(mme.MMEError, match="groups must be 'full', 'altered' or 'A', got 'both'"):
        herd.joined("both")
    with pytest.raises(mme.MMEError, match="frequencies are of markers="):
        mme.single_step(herd.pedigree, herd.G, herd.pedigree.animals[herd.at], frequencies=np.full(20, 0.5))
    with pytest.raises(mme.MMEError, match="name them as unknown_groups"):
        mme.single_step(mme.Pedigree(["a"], ["s"], ["d"]), [[1.0]], ["a"], gamma=0.5)
