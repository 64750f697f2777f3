"""Fields on whole grids, with a plot missing or none; what is read in another form; what is refused, and why."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.residual import bind

DIRECTIONS = {
    "exponential": ({}, [1.0, -1.0]),
    "spherical": ({}, [1.0, -1.0]),
    "gaussian": ({}, [1.0, -2.0]),
    "rational quadratic": ({}, [1.0, -2.0]),
    "matern": ({"smoothness": 0.4}, [1.0, -0.8]),
}


@pytest.mark.parametrize("missing", [[], [5], [0, 7], [1, 4, 5, 6, 9]])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("axes", [2, 3])
def test_a_field_on_a_grid_has_the_product_of_its_correlations(axes, shuffled, missing):
    """Two fields of 4 x 3 (x 2) plots; a place without a record stands between others in the first of them."""
    rng = np.random.default_rng(2)
    shape = (2, 4, 3, 2)[: axes + 1]
    group, *places = (one.ravel() for one in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    kept = np.setdiff1d(np.arange(group.size), missing)
    kept = rng.permutation(kept) if shuffled else kept
    group, *places = (one[kept] for one in (group, *places))
    factors = mme.AR1(places[0], group) * mme.AR1(places[1])
    of = bind(factors if axes == 2 else factors * mme.Exponential(0.7 * places[2]), np.asarray, kept.size)
    natural = np.array([0.6, -0.4, 1.3][:axes])
    x = of.coordinates(natural)
    R = np.equal.outer(group, group) * 1.0
    for a, place in enumerate(places):
        lag = np.abs(np.subtract.outer(place, place))
        R *= natural[a] ** lag if a < 2 else np.exp(-0.7 * lag / natural[2])
    W = of.whiten(x, np.eye(kept.size)).T
    np.testing.assert_allclose(W @ R @ W.T, np.eye(kept.size), atol=1e-12)
    np.testing.assert_allclose(of.logdet(x), np.linalg.slogdet(R)[1], rtol=1e-11)
    np.testing.assert_allclose(of.covariance(x, np.arange(kept.size)), R, atol=1e-13)
    np.testing.assert_allclose(of.matrix(x).toarray(), W, atol=1e-13)
    rows = rng.normal(size=(2, kept.size))
    np.testing.assert_allclose(of.colour(x, of.whiten(x, rows)), rows, atol=1e-11)
    np.testing.assert_allclose(of.whiten_transposed(x, rows), rows @ W, atol=1e-12)
    np.testing.assert_allclose(of.precision_diagonal(x), np.linalg.inv(R).diagonal(), rtol=1e-10)


@pytest.mark.parametrize("kind", DIRECTIONS)
def test_ranges_and_nugget_go_together_to_the_limit_by_the_power_of_a_correlation_near_zero(kind):
    options, direction = DIRECTIONS[kind]
    places = np.random.default_rng(1).uniform(size=(2, 9))
    of = bind(mme.Spatial(kind, list(places), ["a"] * 9, nugget=True, **options), np.asarray, 9)
    np.testing.assert_allclose(of.intrinsic, [direction], rtol=1e-15)
    apart = mme.Spatial(kind, list(places), ["a"] * 9, nugget=True, isotropic=False, **options)
    np.testing.assert_allclose(bind(apart, np.asarray, 9).intrinsic, [[1.0, *direction]], rtol=1e-15)
    assert bind(mme.Spatial(kind, list(places), ["a"] * 9, **options), np.asarray, 9).intrinsic == []


@pytest.mark.parametrize(("reach", "nearest"), [(2.0, np.log(1.5)), (1.1, np.log(1.1)), (3.9, np.log(4.0 / 3.9))])
def test_a_kink_is_as_far_as_the_nearest_distance_shorter_or_longer(reach, nearest):
    of = bind(mme.Spatial("spherical", [[0.0, 1.0, 4.0, 4.0]], ["a"] * 4, nugget=True), np.asarray, 4)
    found = of.smooth_within(of.coordinates(np.array([reach, 0.3])))
    np.testing.assert_allclose(found, [nearest, np.inf], rtol=1e-12)


def test_coordinates_of_places_are_columns_of_a_table_or_of_an_array_alike():
    import pandas as pd

    places = np.random.default_rng(3).uniform(size=(8, 2))
    frame = pd.DataFrame(places, columns=["east", "north"])
    x, every = np.array([0.2]), np.arange(8)
    forms = [list(places.T), places, frame]
    found = [bind(mme.Spatial("gaussian", one), np.asarray, 8).covariance(x, every) for one in forms]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    one, other = (bind(mme.Spatial("linear", at), np.asarray, 8) for at in (places[:, 0], [places[:, 0]]))
    np.testing.assert_array_equal(one.covariance(x, every), other.covariance(x, every))


PAIRS = ["a", "a", "b", "b"]
REFUSED = {
    "correlation is positive definite along a line alone": lambda: mme.Spatial("linear", [[1, 2, 3, 4], [1, 2, 1, 2]]),
    "give at least one and at most 3": lambda: mme.Spatial("gaussian", [[1.0, 2, 3, 4]] * 4),
    "the levels 'u' and 'v' of": lambda: mme.AR1([1, 2, 1, 2], PAIRS).by(["u", "u", "u", "v"]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_refused_is_refused_for_its_reason(reason):
    with pytest.raises(mme.MMEError, match=reason):
        bind(REFUSED[reason](), np.asarray, 4)


def test_factors_of_a_product_take_one_record_a_cell_and_the_variances_of_one_of_them():
    """Two traits at three times of three subjects; one record stands twice."""
    subject, trait, time = (one.ravel() for one in np.meshgrid(range(3), range(2), range(3), indexing="ij"))
    product = mme.Unstructured(trait, subject) * mme.AR1(time, subject)
    of = bind(product, np.asarray, 18)
    assert of.names == ("cor.1.0", "sd.1/sd.0", "rho")
    traits = np.array([[1.0, 0.3 * 1.5], [0.3 * 1.5, 1.5**2]])
    lag = np.abs(np.subtract.outer(time, time))
    R = np.equal.outer(subject, subject) * traits[np.ix_(trait, trait)] * 0.6**lag
    x = of.coordinates(np.array([0.3, 1.5, 0.6]))
    np.testing.assert_allclose(of.covariance(x, np.arange(18)), R, atol=1e-13)
    np.testing.assert_allclose(of.logdet(x), np.linalg.slogdet(R)[1], rtol=1e-11)
    with pytest.raises(mme.MMEError, match="variances of two factors cannot be told apart"):
        bind(mme.Unstructured(trait, subject) * mme.AnteDependence(time, subject), np.asarray, 18)
    twice = [np.append(one, one[4]) for one in (subject, trait, time)]
    with pytest.raises(mme.MMEError, match="two records are of one cell of all factors"):
        bind(mme.Unstructured(twice[1], twice[0]) * mme.AR1(twice[2], twice[0]), np.asarray, 19)


def test_three_factors_have_the_product_of_their_covariances_each_by_parameters_of_its_own():
    subject, trait, time, site = (one.ravel() for one in np.meshgrid(*map(range, (4, 3, 3, 3)), indexing="ij"))
    product = mme.Unstructured(trait, subject) * mme.Toeplitz(time, subject, bands=1) * mme.ARMA(site, subject)
    of = bind(product, np.asarray, 108)
    natural = np.array([0.3, -0.2, 0.4, 1.5, 0.7, 0.35, 0.6, 0.2])
    x = of.coordinates(natural)
    np.testing.assert_allclose(of.natural(x), natural, rtol=1e-9)
    C, sd = np.array([[1.0, 0.3, -0.2], [0.3, 1.0, 0.4], [-0.2, 0.4, 1.0]]), np.array([1.0, 1.5, 0.7])
    by_time = np.eye(3) + 0.35 * (np.eye(3, k=1) + np.eye(3, k=-1))
    first = (1 + 0.6 * 0.2) * (0.6 + 0.2) / (1 + 2 * 0.6 * 0.2 + 0.2**2)
    by_site = np.array([[1.0, first, 0.6 * first], [first, 1.0, first], [0.6 * first, first, 1.0]])
    R = np.kron(np.eye(4), np.kron(np.outer(sd, sd) * C, np.kron(by_time, by_site)))
    np.testing.assert_allclose(of.covariance(x, np.arange(108)), R, atol=1e-12)
    np.testing.assert_allclose(of.log_sd(x), 0.5 * np.log(R.diagonal()), atol=1e-12)
    assert len(of.bounds) == len(of.start()) == of.radius().size == of.k == 8


@pytest.mark.parametrize("rho", [[0.5, -0.6], [0.5, 1.2], [1.0, 0.5], [0.2, -0.95, 0.9], [1.0], [-1.0], [0.5, -0.5]])
def test_correlations_by_lag_that_no_process_has_are_refused(rho):
    """Each leaves a partial autocorrelation of one or more; of the first it is (-.6 - .25) / .75 = -1.13."""
    T = len(rho) + 1
    of = bind(mme.Toeplitz(np.tile(np.arange(T), 3), np.repeat(np.arange(3), T)), np.asarray, 3 * T)
    with pytest.raises(mme.MMEError, match="not positive definite"):
        of.coordinates(np.array(rho))
