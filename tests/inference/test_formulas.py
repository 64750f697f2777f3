"""Small formulas of inference, each against the one that its source prints."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import mme
from mme.inference.fixed.adjustments import LargestNormal
from mme.inference.fixed.generalised_means import prior_variance_of
from mme.inference.fixed.kenward_roger import denominator
from mme.inference.fixed.mean_tables import effect_sizes
from mme.inference.intervals.kinds import acceleration, basic, bca, percentile, quantiles, share_below, studentised
from mme.inference.responses.moderated import moderated


@pytest.mark.parametrize("q", [2, 3, 7])
@pytest.mark.parametrize(("A_1", "A_2"), [(0.3, 0.2), (0.05, 0.04), (1.1, 0.3), (0.02, 0.001)])
def test_degrees_of_freedom_and_scale_are_those_of_kenward_and_roger(q, A_1, A_2):
    """Equations (7) to (9) of the 1997 paper, as printed."""
    B = (A_1 + 6.0 * A_2) / (2.0 * q)
    g = ((q + 1) * A_1 - (q + 4) * A_2) / ((q + 2) * A_2)
    below = 3.0 * q + 2.0 * (1.0 - g)
    c_1, c_2, c_3 = g / below, (q - g) / below, (q + 2 - g) / below
    mean = 1.0 / (1.0 - A_2 / q)
    variance = 2.0 / q * (1.0 + c_1 * B) / ((1.0 - c_2 * B) ** 2 * (1.0 - c_3 * B))
    rho = variance / (2.0 * mean**2)
    m = 4.0 + (q + 2.0) / (q * rho - 1.0)
    np.testing.assert_allclose(denominator(A_1, A_2, q), (m, m / (mean * (m - 2.0))), rtol=1e-10)


def test_one_contrast_or_none_that_is_uncertain_keeps_its_scale():
    assert denominator(0.5, 0.5, 1) == (4.0, 1.0)
    assert denominator(0.0, 0.0, 3) == (np.inf, 1.0)


def test_a_balanced_stratum_has_its_own_degrees_of_freedom():
    """A_1 = 2 q^2 / m and A_2 = 2 q / m for q contrasts of one stratum whose mean square has m: F on q and m."""
    for q, m in ((2, 10.0), (4, 23.0)):
        np.testing.assert_allclose(denominator(2.0 * q**2 / m, 2.0 * q / m, q), (m, 1.0), rtol=1e-9)


def test_the_prior_variance_of_a_row_is_that_of_its_coefficients():
    """z'T T'z of one term; of one whose columns have levels of their own the squares apart."""
    rng = np.random.default_rng(1)
    T, z = [np.tril(rng.normal(size=(2, 2))), rng.normal(size=(3, 3))], [rng.normal(size=(5, q)) for q in (2, 3)]
    found = prior_variance_of(T, z, [False, True])
    joint = [float(row @ T[0] @ T[0].T @ row) for row in z[0]]
    apart = [sum(row[j] ** 2 * (T[1] @ T[1].T)[j, j] for j in range(3)) for row in z[1]]
    np.testing.assert_allclose(found, np.add(joint, apart), rtol=1e-12)


def test_effect_sizes_are_contrasts_over_sigma_with_the_error_of_both():
    import pandas as pd
    from scipy.stats import t

    table = pd.DataFrame({"estimate": [3.0, -1.0], "se": [0.5, 0.4], "df": [8.0, 12.0], "t": 0.0, "p": 0.5})
    found = effect_sizes(table, 2.0, 9.0, 0.9)
    d, df = np.array([1.5, -0.5]), np.array([8.0, 12.0])
    se = np.sqrt(np.array([0.25, 0.2]) ** 2 + d**2 / 18.0)
    half = t.ppf(0.95, df) * se
    np.testing.assert_allclose(found, np.column_stack([d, se, df, d - half, d + half]), rtol=1e-12)
    assert list(found) == ["effect_size", "se", "df", "lower", "upper"]
    with pytest.raises(mme.MMEError, match="of differences"):
        effect_sizes(table.rename(columns={"estimate": "ratio"}), 2.0, 9.0, 0.9)


def test_a_variance_is_squeezed_by_the_moments_of_log_f():
    """Smyth 2004, section 6.2, at the d and v0 that are returned; what has no variance stays as it is."""
    from scipy.special import digamma, polygamma

    rng = np.random.default_rng(2)
    df = rng.integers(3, 9, 400).astype(float)
    variance = 2.0 * 6.0 / rng.chisquare(6, 400) * rng.chisquare(df) / df
    given = np.concatenate([variance, [0.0, np.nan, 3.0]]), np.concatenate([df, [4.0, 4.0, 0.0]])
    found = moderated(*given)
    e = np.log(variance) - digamma(df / 2) + np.log(df / 2)
    np.testing.assert_allclose(polygamma(1, found.d / 2), e.var(ddof=1) - polygamma(1, df / 2).mean(), rtol=1e-6)
    np.testing.assert_allclose(np.log(found.v0), e.mean() + digamma(found.d / 2) - np.log(found.d / 2), rtol=1e-9)
    squeezed = (found.d * found.v0 + df * variance) / (found.d + df)
    np.testing.assert_allclose(found.variance[:400], squeezed, rtol=1e-12)
    np.testing.assert_allclose(found.df[:400], df + found.d, rtol=1e-12)
    np.testing.assert_array_equal(found.variance[400:], given[0][400:])
    np.testing.assert_array_equal(found.df[400:], given[1][400:])


def test_variances_that_are_alike_are_one_and_one_alone_is_itself():
    alike = moderated(np.array([2.0, 2.0, 2.0, 0.0]), np.full(4, 5.0))
    assert alike.d == np.inf
    np.testing.assert_allclose(alike.variance, [alike.v0] * 3 + [0.0], rtol=1e-15)
    one = moderated(np.array([2.0, np.nan]), np.full(2, 5.0))
    assert (one.variance[0], one.df[0], one.d) == (2.0, 5.0, 0.0)
    assert moderated(np.array([2.0, 3.0]), np.full(2, 5.0)).d == np.inf


# --- limits of replicates --------------------------------------------------------------------------------------------


def test_the_p_th_quantile_of_n_values_is_the_n_plus_one_p_th():
    """Of 9 values those at 1, 2.5 and 9; beyond the ends the ends."""
    values = np.append(np.arange(1.0, 10.0) ** 2, [np.nan, np.inf])[::-1]
    np.testing.assert_allclose(quantiles(values, np.array([0.1, 0.25, 0.9, 0.01, 0.99])), [1.0, 6.5, 81.0, 1.0, 81.0])
    assert np.isnan(quantiles(np.array([np.nan]), np.array([0.5]))).all()
    assert np.isnan(quantiles(values, np.array([np.nan, 0.5]))).all()
    np.testing.assert_allclose(percentile(values[:, None], 0.8), [[1.0, 81.0]])
    np.testing.assert_allclose(basic(np.array([20.0]), values[:, None], 0.8), [[-41.0, 39.0]])
    assert share_below(np.array([1.0, 2.0, 2.0, 5.0]), 2.0) == 0.5


def test_limits_of_bca_are_quantiles_moved_for_bias_and_skewness():
    """Davison and Hinkley 1997, equation (5.21)."""
    rng = np.random.default_rng(3)
    values, left = rng.exponential(size=(199, 1)), rng.exponential(size=(12, 1))
    found = bca(np.array([0.9]), values, left, 0.9)
    w, L = norm.ppf((values < 0.9).mean()), left.mean() - left
    a = (L**3).sum() / (6.0 * (L**2).sum() ** 1.5)
    ends = [norm.cdf(w + (w + z) / (1.0 - a * (w + z))) for z in norm.ppf([0.05, 0.95])]
    np.testing.assert_allclose(found[0], np.quantile(values, ends, method="weibull"), rtol=1e-9)
    assert acceleration(left[:, 0]) == pytest.approx(a, rel=1e-12)
    assert [acceleration(np.array(one)) for one in ([], [2.0], [2.0, np.nan], [3.0, 3.0])] == [0.0] * 4
    none = np.column_stack([values, np.full(199, np.nan)])
    assert np.isnan(bca(np.array([-1.0, 5.0]), none, np.repeat(left, 2, axis=1), 0.9)).all()


def test_studentised_limits_are_quantiles_of_t_turned_round_and_take_errors_of_nearly_all_replicates():
    rng = np.random.default_rng(4)
    u, se, u_of, se_of = np.array([1.0]), np.array([0.5]), rng.normal(size=(40, 1)), rng.uniform(1, 2, (40, 1))
    t = (u_of - 1.0) / se_of
    expected = 1.0 - 0.5 * np.quantile(t, [0.95, 0.05], method="weibull")
    np.testing.assert_allclose(studentised(u, se, u_of, se_of, 0.9)[0], expected, rtol=1e-12)
    for lost, known in ((2, True), (3, False)):  # of 40 five in a hundred are two
        some = np.where(np.arange(40)[:, None] < lost, np.nan, se_of)
        assert np.isfinite(studentised(u, se, u_of, some, 0.9)).all() == known


def test_the_largest_of_independent_normals_has_the_product_of_their_distributions():
    largest = LargestNormal.of(np.eye(3))
    q = np.array([0.5, 2.0, 3.1])
    np.testing.assert_allclose(largest.sf(q, np.full(3, np.inf)), 1.0 - (1.0 - 2.0 * norm.sf(q)) ** 3, rtol=2e-3)
