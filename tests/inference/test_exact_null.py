"""The exact distribution of a restricted likelihood ratio: maxima, spectra and draws of designs worked by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

import mme
from mme.inference.comparison.boundary import VarianceTest, highest, spectrum


def one_way(sizes: list[int], weight: float | np.ndarray = 1.0, seed: int = 3, **options: object) -> mme.Fit:
    """Groups of these sizes about one mean."""
    g = np.repeat(np.arange(len(sizes)), sizes)
    y = np.random.default_rng(seed).normal(size=g.size)
    weights = np.broadcast_to(weight, g.size).copy()
    return mme.fit(y, np.ones((g.size, 1)), [mme.Term(g, name="g")], weights=weights, **options)


# -- the highest of a row -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1.6, 2.0, 2.3, 3.5, 4.9, 5.4])
@pytest.mark.parametrize("bend", [1e-6, 1.0, 1e6])
def test_the_highest_of_a_parabola_is_its_vertex_between_the_points(at, bend):
    """Of eight points 0 ... 7, the first of which stands apart."""
    row = bend * (50.0 - (np.arange(8.0) - at) ** 2)
    row[0] = 0.0
    assert_allclose(highest(row[None]), 50.0 * bend, rtol=1e-12)


def test_the_highest_is_that_of_the_points_where_no_parabola_goes_through():
    rows = np.array(
        [
            [0.0, -1.0, -2.0, -3.0, -4.0],  # at lambda = 0
            [0.0, 3.0, 2.0, 1.0, 0.0],  # beside it, at another distance than the others have
            [0.0, 1.0, 2.0, 3.0, 4.0],  # at the end
            [0.0, 2.0, 2.0, 2.0, 1.0],  # flat
            [-1e-16, -1.0, -2.0, -3.0, -4.0],  # rounding
        ]
    )
    with np.errstate(all="raise"):
        assert_allclose(highest(rows), [0.0, 3.0, 4.0, 2.0, 0.0], rtol=0, atol=0)


def test_the_highest_beside_the_last_point_is_of_a_parabola():
    assert_allclose(highest(np.array([[0.0, 1.0, 3.0, 4.0, 4.0 - 1e-3]])), 4.0 + 0.999**2 / (8.0 * 1.001), rtol=1e-12)


# -- draws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1e-12, 1e12])
def test_the_null_knows_no_unit_of_weights(weight):
    sizes = [2, 3, 4, 7]
    own, other = (mme.exact_rlrt(one_way(sizes, w), 300, seed=5) for w in (1.0, weight))
    assert_allclose(other.null, own.null, rtol=1e-6, atol=1e-9)
    assert_allclose(other.statistic, own.statistic, rtol=1e-6, atol=1e-9)


def test_draws_of_two_eigenvalues_have_their_supremum_over_lambda():
    """A pair and a single record beside x = (1, -1, 0): Z'PZ = diag(2, 1), which leaves nothing within groups.

    2 log((a + b) / (a / (1 + lambda) + b / (1 + 2 lambda))) - log(1 + lambda) - log(1 + 2 lambda).
    """
    g, x = np.array([0, 0, 1]), np.array([[1.0], [-1.0], [0.0]])
    fit = mme.fit(np.array([0.5, 0.9, -0.8]), x, [mme.Term(g, name="g")])
    values, counts = spectrum(fit.internals.objective)
    assert_allclose(values, [1.0, 2.0])
    assert_allclose(counts, 1.0)
    n, rng = 200, np.random.default_rng(11)
    squares = rng.chisquare(np.ones(2), (n, 2))

    def less(log_lambda: float, a: float, b: float) -> float:
        one, two = 1.0 + np.exp(log_lambda), 1.0 + 2.0 * np.exp(log_lambda)
        return float(np.log(one * two) - 2.0 * np.log((a + b) / (a / one + b / two)))

    grid = np.linspace(-20.0, 20.0, 81)
    tops = []
    for a, b in squares.tolist():
        best = grid[np.argmin([less(one, a, b) for one in grid])]
        found = minimize_scalar(less, bounds=(best - 1.0, best + 1.0), args=(a, b), method="bounded")
        tops.append(max(-found.fun, 0.0))
    assert_allclose(mme.exact_rlrt(fit, n, seed=11).null, np.sort(tops), atol=1e-4)


def test_p_counts_the_draws_that_are_as_large_and_the_statistic_among_them():
    fit = one_way([5] * 6, seed=8)
    test = mme.exact_rlrt(fit, 400, seed=2)
    assert test.null.size == 400
    assert test.p == pytest.approx((1 + (test.null >= test.statistic).sum()) / 401, rel=1e-12)
    assert (np.diff(test.null) >= 0.0).all()
    assert test.error == pytest.approx(np.sqrt(test.p * (1.0 - test.p) / 400), rel=1e-12)
    assert test.reference == "exact distribution, 400 draws"


def test_the_statistic_is_what_the_criterion_gains_and_at_least_zero():
    apart, alike = one_way([5] * 6, seed=8), one_way([5] * 6, seed=3)
    for fit, gains in ((apart, True), (alike, False)):
        model = fit.internals.model
        without = mme.fit(model.y, model.X, [], weights=model.weights)
        gained = without.criterion - fit.criterion
        assert (gained > 1e-6) == gains
        for test in (mme.exact_rlrt(fit, 10, seed=1), mme.variance_test(fit), mme.variance_test(fit, without)):
            assert test.statistic == pytest.approx(max(gained, 0.0), abs=1e-9)


def test_of_many_draws_none_is_left_out_or_stands_twice():
    """They are made some thousands at a time."""
    null = mme.exact_rlrt(one_way([2, 3, 4, 5, 6, 7, 8, 9]), 30_000, seed=4).null
    assert null.size == 30_000
    assert np.unique(null[null > 1e-6]).size == (null > 1e-6).sum()
    assert 0.4 < (null > 1e-6).mean() < 0.5


def test_a_p_of_draws_has_the_error_of_a_share_and_a_mixture_none():
    assert VarianceTest(1.0, 0.2, "", np.zeros(100)).error == pytest.approx(0.04, rel=1e-12)
    assert VarianceTest(1.0, 0.2, "").error == 0.0


def test_draws_are_ten_thousand_where_nothing_else_is_asked_and_one_is_enough():
    fit = one_way([2, 3, 4])
    assert mme.exact_rlrt(fit, seed=1).null.size == 10_000
    assert mme.exact_rlrt(fit, 1, seed=1).null.size == 1


# -- spectra ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("small", [1e-8, 1e-4, 1.0])
def test_an_eigenvalue_counts_however_small_the_weights_of_its_group(small):
    """Z'PZ = diag(w_g) - w w' / sum w, of singles of weight w_g."""
    sums = np.array([1.0, 2.0, 3.0, small])
    fit = one_way([2] * 4, np.repeat(sums / 2.0, 2))
    dense = np.linalg.eigvalsh(np.diag(sums) - np.outer(sums, sums) / sums.sum())[1:]
    values, counts = spectrum(fit.internals.objective)
    assert_allclose(values, dense, rtol=1e-6)
    assert_allclose(counts, 1.0)


def test_equal_groups_have_one_eigenvalue_their_size_as_often_as_they_differ():
    values, counts = spectrum(one_way([4] * 6).internals.objective)
    assert_allclose(values, [4.0])
    assert_allclose(counts, [5.0])


def test_eigenvalues_that_differ_by_a_millionth_are_two():
    values, counts = spectrum(one_way([1] * 3, np.array([1.0, 2.0, 3.0])).internals.objective)
    close = spectrum(one_way([1] * 3, np.array([1.0, 1.000_004, 1.000_008])).internals.objective)
    assert values.size == close[0].size == 2
    assert_allclose(counts, close[1])


def test_many_equal_groups_are_counted():
    """2,000 groups of one, and of two: levels of one size are merged, and share all eigenvalues but one."""
    sizes = np.repeat([1, 2], 2000)
    values, counts = spectrum(one_way(sizes.tolist()).internals.objective)
    assert_allclose(values[[0, -1]], [1.0, 2.0])
    assert_allclose(counts, [1999.0, 1.0, 1999.0])


def test_without_fixed_effects_the_eigenvalues_are_the_sizes_of_groups():
    g = np.repeat(np.arange(5), [1, 2, 2, 3, 3])
    fit = mme.fit(np.random.default_rng(1).normal(size=11), np.zeros((11, 0)), [mme.Term(g, name="g")])
    values, counts = spectrum(fit.internals.objective)
    assert_allclose(values, [1.0, 2.0, 3.0])
    assert_allclose(counts, [1.0, 2.0, 2.0])


# -- what it is not for -------------------------------------------------------------------------------------------


def refused() -> dict[str, mme.Fit]:
    rng = np.random.default_rng(4)
    g, h = np.repeat(np.arange(8), 4), np.tile(np.arange(4), 8)
    data = {"y": rng.normal(size=8)[g] + rng.normal(size=32), "g": g, "h": h, "x": rng.normal(size=32)}
    related = mme.Relationship(covariance=np.eye(8) + 0.2, levels=np.arange(8))
    return {
        "has 2 parameters of 2 random terms": mme.lmer("y ~ 1 + (1 | g) + (1 | h)", data),
        "has 2 parameters of 1 random terms": mme.lmer("y ~ x + diag(x | g)", data),
        "term 'g' has 2 with a common variance": mme.lmer("y ~ x + diag(x | g, hom = TRUE)", data),
        "not available with related levels": mme.lmer("y ~ 1 + (1 | g)", data, relationship={"g": related}),
        "not available with a residual structure": mme.lmer("y ~ 1 + (1 | g)", data, residual=mme.AR1("h", "g")),
        "not available with sigma=": mme.lmer("y ~ 1 + (1 | g)", data, sigma=1.0),
        "needs a fit by REML": mme.lmer("y ~ 1 + (1 | g)", data, method="ML"),
        "theta was given": mme.lmer("y ~ 1 + (1 | g)", data, theta=[1.0]),
    }


def test_a_fit_of_as_many_parameters_differs_by_no_variance():
    rng = np.random.default_rng(4)
    g, h = np.repeat(np.arange(8), 4), np.tile(np.arange(4), 8)
    y = rng.normal(size=8)[g] + rng.normal(size=4)[h] + rng.normal(size=32)
    fits = [mme.fit(y, np.ones((32, 1)), [mme.Term(one, name="g")]) for one in (g, 7 - g)]
    with pytest.raises(mme.MMEError, match="do not differ by a variance"):
        mme.variance_test(*fits)


def test_models_that_the_exact_distribution_does_not_know_are_refused():
    for message, fit in refused().items():
        with pytest.raises(mme.MMEError, match=message):
            mme.exact_rlrt(fit, 10)
