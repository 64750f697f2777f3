"""Unstructured covariances: where a search begins by moments, and where likelihoods have no maximum."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pytest

import mme
from mme.residual import bind


def of_pairs(pairs: list[tuple[int, int]], **options):
    """Groups of two records each at the occasions of a pair."""
    occasion, group = np.ravel(pairs), np.repeat(np.arange(len(pairs)), 2)
    return bind(mme.Unstructured(occasion, group, **options), np.asarray, occasion.size)


def drawn(C: np.ndarray) -> np.ndarray:
    """The correlations of pairs, all drawn to zero until the lowest eigenvalue is a tenth."""
    lowest = np.linalg.eigvalsh(C)[0]
    return (0.9 / (1.0 - lowest) * C).T[np.triu_indices(len(C), 1)]


def test_correlations_of_different_groups_that_make_no_matrix_are_drawn_to_zero():
    """Of 1, 1 and -1 the eigenvalues are -1, 2, 2."""
    of = of_pairs([(0, 1), (1, 2), (0, 2)] * 2)
    e = np.array([1.0, 1, 1, 1, 1, -1] * 2)
    np.testing.assert_allclose(of.natural(of.start(e)), [0.45, -0.45, 0.45, 1.0, 1.0], rtol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_correlation_of_moments_beyond_one_is_one(sign):
    """Sums of squares are over all groups that have an occasion: 5 and 5, of products over those that have both: 9."""
    of = of_pairs([(0, 1), (1, 2), (0, 2)] * 2, equal_variances=True)
    e = np.array([3.0, sign * 3, 1, 1, 1, -1] * 2)
    r = 1.0 / np.sqrt(5.0)
    C = np.array([[1.0, sign, -r], [sign, 1.0, r], [-r, r, 1.0]])
    np.testing.assert_allclose(of.natural(of.start(e)), drawn(C), rtol=1e-12)


def test_a_pair_of_occasions_in_one_group_alone_has_the_product_of_its_residuals():
    of = of_pairs([(0, 1), (0, 2), (0, 2), (1, 2), (1, 2), (1, 2)])
    e = np.array([1.0, 0.6, 1, 0.1, 1, -0.3, 0.6, 0.2, -0.6, 0.2, 0.6, 0.3])
    S = np.diag([1.0, 0.36, np.mean(np.square([0.1, 0.3, 0.2, 0.2, 0.3]))])
    S[0, 1], S[0, 2], S[1, 2] = 0.6, (0.1 - 0.3) / 2, (0.12 - 0.12 + 0.18) / 3
    S = np.triu(S) + np.triu(S, 1).T
    sd = np.sqrt(S.diagonal())
    found = of.natural(of.start(e))
    np.testing.assert_allclose(found, [*drawn(S / np.outer(sd, sd)), *sd[1:] / sd[0]], rtol=1e-12)


def whole_and_pairs(T: int, whole: int, **options):
    """So many complete groups, and one of each pair of occasions."""
    groups = [tuple(range(T))] * whole + list(combinations(range(T), 2))
    occasion, group = np.concatenate(groups), np.repeat(np.arange(len(groups)), list(map(len, groups)))
    return bind(mme.Unstructured(occasion, group, **options), np.asarray, occasion.size)


SIZES = [(3, 1), (3, 2), (4, 2), (4, 3)]


@pytest.mark.filterwarnings("ignore::mme.errors.MMEWarning")
@pytest.mark.parametrize(("T", "whole"), SIZES)
def test_a_sum_that_does_not_vary_is_all_that_is_changed_of_the_moments(T, whole):
    """a'e / sd = 0 in the complete groups: its variance is 1e-12 there, all that is orthogonal to a as at the start."""
    of = whole_and_pairs(T, whole)
    for seed in range(3):
        e = np.random.default_rng(seed).standard_normal(of.n) * np.array([1.0, 3.0, 0.5, 2.0])[of.occasions]
        C, R = (of.covariance(x, np.arange(T)) for x in (of.start(e), of.singular(e)))
        sd = np.sqrt(C.diagonal())
        C, R = C / np.outer(sd, sd), R / np.outer(sd, sd)
        a = np.linalg.svd(e[: whole * T].reshape(whole, T) / sd)[2][-1]
        P = np.eye(T) - np.outer(a, a)
        scale = np.trace(P @ R) / np.trace(P @ C)
        np.testing.assert_allclose(P @ R @ P, scale * P @ C @ P, rtol=1e-8, atol=1e-10 * scale)
        np.testing.assert_allclose(a @ R @ a, 1e-12 * scale, rtol=0.01)
        np.testing.assert_allclose(P @ R @ a, 0.0, atol=1e-10 * scale)


@pytest.mark.filterwarnings("ignore::mme.errors.MMEWarning")
@pytest.mark.parametrize(("T", "whole"), SIZES)
def test_with_one_variance_a_sum_need_not_vary_unless_one_weight_exceeds_all_others_together(T, whole):
    """a'C a = 0 takes |a_i| <= sum of the others: the vectors a_i u_i of unit u_i close a polygon."""
    of, found = whole_and_pairs(T, whole, equal_variances=True), []
    for seed in range(20):
        e = np.random.default_rng(seed).standard_normal(of.n)
        a = np.linalg.svd(e[: whole * T].reshape(whole, T))[2][-1]
        most, others = np.abs(a).max(), np.abs(a).sum() - np.abs(a).max()
        if abs(most / others - 1.0) > 0.1:
            x = of.singular(e)
            found.append(x is not None)
            assert found[-1] == (most < others)
            assert x is None or abs(a @ of.covariance(x, np.arange(T)) @ a - 1e-12) < 1e-14
    assert len(set(found)) == 2


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([(0, 1, 2)] * 3, False),
        ([(0, 1, 2)] * 2, True),  # fewer than occasions
        ([(0, 1, 2), (0, 1), (1, 2)], False),
        ([(0, 1, 2, 3), (0, 1, 2, 3), (0, 1)], True),
        ([(0, 1, 2), (0, 1, 3), (0, 2, 3)], False),  # fewer, and none of them complete
    ],
)
def test_fewer_groups_than_occasions_of_which_one_is_complete_are_pointed_out(groups, said):
    occasion, group = np.concatenate(groups), np.repeat(np.arange(len(groups)), list(map(len, groups)))
    structure = mme.Unstructured(occasion, group, equal_variances=True)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", mme.MMEWarning)
        bind(structure, np.asarray, occasion.size)
    assert ["the likelihood has no maximum" in str(one.message) for one in found] == [True] * said
