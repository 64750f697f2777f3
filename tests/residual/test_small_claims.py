"""What single structures say of themselves: of the mean, of a random intercept, at zero and far from it."""

import warnings

import numpy as np
import pytest
from residuals import MORE, STRUCTURES, bound, records, same

import mme
from mme.numeric.differences import slopes
from mme.residual import bind

FOUR = ["a", "a", "b", "b"]


def test_by_level_the_powers_alone_are_of_the_mean():
    structure = bind(mme.PowerOfMean().by(list("uuvvww")), np.asarray, 6)
    assert structure.of_mean.tolist() == [True, True, True, False, False]
    fitted = np.array([1.0, 2.0, 3.0, 5.0, 2.0, 7.0])
    x = np.array([0.4, -0.3, 0.2, 0.7, -0.5])
    about = structure.about(fitted, fitted)
    expected = np.exp(np.repeat([0.0, 0.7, -0.5], 2)) * fitted ** np.repeat(about.natural(x)[:3], 2)
    level = np.exp(about.log_sd(x)) / expected
    np.testing.assert_allclose(level, np.repeat(level[::2], 2), rtol=1e-12)  # up to the scale of each level's mean


def test_a_constant_mean_leaves_the_power_as_it_was_before_there_were_means():
    before = bind(mme.PowerOfMean(), np.asarray, 4)
    after = before.about(np.full(4, 3.0), np.full(4, 3.0))
    x = np.array([0.7])
    np.testing.assert_array_equal(after.natural(x), before.natural(x))
    np.testing.assert_array_equal(after.log_sd(x), np.zeros(4))


@pytest.mark.parametrize(
    ("times", "groups"),
    [([0, 1, 5, 6], FOUR), ([0, 1, 5, 7], FOUR), ([0, 2, 5, 7], FOUR), ([0, 1, 2], ["a"] * 3), ([0, 1, 5], "aab")],
)
def test_an_exponential_correlation_absorbs_an_intercept_where_all_pairs_are_equally_far_apart(times, groups):
    structure = bind(mme.Exponential(times, list(groups)), np.asarray, len(times))
    R = structure.covariance(structure.start(), np.arange(len(times)))
    apart = R[np.triu_indices(len(times), 1)]
    together = apart[np.equal.outer(list(groups), list(groups))[np.triu_indices(len(times), 1)]]
    assert structure.absorbs_intercept == bool(np.ptp(together) < 1e-12)


@pytest.mark.parametrize("name", [*STRUCTURES, *MORE])
def test_a_structure_absorbs_an_intercept_where_its_covariances_grow_alike_along_its_parameters(name):
    """sigma^2 R moves by 11' within groups: that is a combination of R and its derivatives, or it is not."""
    data = records(5, 8, 4, True)
    structure = bound((STRUCTURES | MORE)[name](data))
    x, every = structure.start() + 0.3 * np.random.default_rng(1).normal(size=structure.k), np.arange(data.n)
    origin, alike = np.zeros(structure.k), same(data).ravel().astype(float)
    D = slopes(lambda t: structure.covariance(x + 0.1 * t, every).ravel(), origin).reshape(structure.k, -1)
    A = np.vstack([structure.covariance(x, every).reshape(1, -1), D]).T
    left = alike - A @ np.linalg.lstsq(A, alike, rcond=None)[0]
    assert structure.absorbs_intercept == (np.abs(left).max() < 1e-6)


def test_no_structure_by_level_absorbs_an_intercept_of_one_variance():
    own = mme.CompoundSymmetry(list("aabbccdd"))
    assert bind(own, np.asarray, 8).absorbs_intercept
    assert not bind(own.by(list("uuuuvvvv")), np.asarray, 8).absorbs_intercept


def banded(T: int = 5):
    return bind(mme.Toeplitz(np.arange(T), ["a"] * T, bands=2), np.asarray, T)


def test_beyond_the_last_coordinate_a_banded_matrix_depends_on_its_direction_alone():
    structure, x = banded(), np.array([3.0, -1.0])
    far = structure.natural(1e6 * x)
    assert np.isfinite(far).all()
    np.testing.assert_allclose(structure.natural(2e6 * x), far, rtol=1e-12)
    near = structure.natural(0.1 * x)
    assert np.abs(far).max() > np.abs(near).max()


def test_a_banded_matrix_has_slopes_where_nothing_is_correlated():
    structure, zero = banded(), np.zeros(2)
    found = structure.matrix_slopes(zero)
    np.testing.assert_allclose(structure.coordinates(zero), zero)
    R = slopes(lambda x: structure.covariance(x, np.arange(5)).ravel(), zero).reshape(2, 5, 5)
    np.testing.assert_allclose(found, R, atol=1e-8)


def test_two_lags_tell_the_two_parameters_of_an_arma_apart_and_one_does_not():
    assert bind(mme.ARMA([1, 2, 1, 3], FOUR), np.asarray, 4).k == 2
    with pytest.raises(mme.MMEError, match="are 2 steps apart"):
        bind(mme.ARMA([1, 3, 2, 4], FOUR), np.asarray, 4)


@pytest.mark.parametrize(("occasions", "missed"), [([1, 1, 2, 3], "'2'"), ([1, 2, 3, 3], "'3'")])
def test_an_occasion_that_no_group_shares_with_earlier_ones_is_named(occasions, missed):
    groups = ["a", "b", "c", "c"] if missed == "'2'" else ["a", "a", "b", "c"]
    with pytest.raises(mme.MMEError, match=f"both before {missed} and from it on"):
        bind(mme.AnteDependence(occasions, groups), np.asarray, 4)


@pytest.mark.parametrize("natural", [[2.0, 0.6], [0.5, 2.5]])
def test_coordinates_of_a_range_beside_a_searched_smoothness_are_those_of_both(natural):
    places = np.random.default_rng(1).uniform(size=(2, 9))
    structure = bind(mme.Spatial("matern", list(places), smoothness=None), np.asarray, 9)
    np.testing.assert_allclose(structure.natural(structure.coordinates(np.array(natural))), natural, rtol=1e-12)


@pytest.mark.parametrize(("words", "is_doubtful"), [(["one", "two", "three"], True), (["one", "two"], False)])
def test_an_order_by_the_alphabet_is_doubted_where_it_is_another_model(words, is_doubtful):
    occasions, groups = [*words, *reversed(words)], np.repeat(["a", "b"], len(words))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", mme.MMEWarning)
        bind(mme.AnteDependence(occasions, groups), np.asarray, len(groups))
    assert ["alphabetical order" in str(one.message) for one in said] == [True] * is_doubtful
