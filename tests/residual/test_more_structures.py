"""Structures of fields, distances and products: R by its definition, its inverse, and its derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from residuals import MORE, bound, designs

import mme
from mme.numeric.differences import slopes
from mme.residual import bind


@pytest.mark.parametrize("name", MORE)
@settings(max_examples=8)
@given(data=designs)
def test_whitening_covariance_and_natural_parameters_are_those_of_R(name, data):
    example = MORE[name](data)
    structure, R = bound(example), example.R
    x, every = structure.coordinates(example.natural), np.arange(data.n)
    tolerance = 1e-12 * np.linalg.cond(R)
    np.testing.assert_allclose(structure.natural(x), example.natural, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(structure.covariance(x, every), R, rtol=1e-9, atol=1e-12)
    W = structure.whiten(x, np.eye(data.n)).T
    np.testing.assert_allclose(W @ R @ W.T, np.eye(data.n), atol=tolerance * 10)
    np.testing.assert_allclose(structure.logdet(x), np.linalg.slogdet(R)[1], atol=tolerance * data.n)
    rows = data.rng.normal(size=(2, data.n))
    np.testing.assert_allclose(structure.colour(x, structure.whiten(x, rows)), rows, atol=tolerance * 100)
    np.testing.assert_allclose(structure.whiten_transposed(x, rows), rows @ W, atol=1e-9 * np.abs(W).max())
    np.testing.assert_allclose(structure.precision_diagonal(x), (W**2).sum(axis=0), rtol=1e-9)
    assert np.isfinite(structure.whiten(x * 1e3, rows)).all()
    assert np.isfinite(structure.logdet(x * -1e3))


@pytest.mark.parametrize("name", MORE)
@settings(max_examples=4)
@given(data=designs)
def test_derivatives_are_those_of_R(name, data):
    example = MORE[name](data)
    structure = bound(example)
    x, v = structure.coordinates(example.natural), data.rng.normal(size=data.n)

    def whole(t):
        return structure.covariance(x + 0.1 * t, np.arange(data.n)).ravel()

    D = 10.0 * slopes(whole, np.zeros(structure.k)).reshape(structure.k, data.n, data.n)
    size = (1.0 + np.abs(D).max()) * np.abs(v).sum()
    np.testing.assert_allclose(structure.changes(x, v), D @ v, atol=(1e-4 if "spherical" in name else 1e-7) * size)


@pytest.mark.parametrize(("kind", "half"), [("linear", 1 - 0.5), ("spherical", 1 - 1.5 * 0.5 + 0.5 * 0.5**3)])
def test_records_further_apart_than_the_range_are_uncorrelated(kind, half):
    """Places 0, 1 and 3.5 of a line; the range is 2."""
    of = bind(mme.Spatial(kind, [[0.0, 1.0, 3.5]], ["a"] * 3), np.asarray, 3)
    R = of.covariance(of.coordinates(np.array([2.0])), np.arange(3))
    np.testing.assert_allclose(R, [[1.0, half, 0.0], [half, 1.0, 0.0], [0.0, 0.0, 1.0]], atol=1e-12)


def test_a_coordinate_of_a_field_is_called_one():
    data = {"y": np.arange(12.0) ** 2, "row": np.tile([0, 1, 2], 4), "col": list("abcabdabeabf")}
    for column in ("col", data["col"]):
        with pytest.raises(mme.MMEError, match=r"AR1 x AR1: coordinate .*must be numeric, got text"):
            mme.lmer("y ~ 1", data, residual=mme.AR1("row") * mme.AR1(column))


def test_a_nugget_is_told_from_a_correlation_by_the_lags_of_any_two_groups():
    """(1 - nu) rho^h at one lag h is one number; at two, those of two groups of one size, two."""
    group = ["a", "a", "b", "b"]
    assert bind(mme.AR1([1, 2, 1, 3], group).with_nugget(), np.asarray, 4).names == ("rho", "nugget")
    with pytest.raises(mme.MMEError, match="cannot be identified"):
        bind(mme.AR1([1, 2, 1, 2], group).with_nugget(), np.asarray, 4)


def test_a_range_and_a_nugget_are_told_apart_by_three_records_at_one_gap_and_not_by_pairs():
    """Of three, the first and the last are two gaps apart."""
    assert bind(mme.Exponential([1, 2, 3], ["a"] * 3, nugget=True), np.asarray, 3).names == ("range", "nugget")
    with pytest.raises(mme.MMEError, match="cannot be told apart"):
        bind(mme.Exponential([1, 2, 1, 2], ["a", "a", "b", "b"], nugget=True), np.asarray, 4)


def test_a_range_and_a_nugget_are_told_apart_by_two_distances_or_two_records_of_a_place():
    """(1 - nu) c(h / range) at one distance h is one number; records of one place add 1 - nu."""

    def spatial(x):
        return bind(mme.Spatial("exponential", [x], ["a", "a", "a", "b", "b", "b"], nugget=True), np.asarray, 6)

    pairs = mme.Spatial("exponential", [[1, 2, 1, 2]], ["a", "a", "b", "b"], nugget=True)
    with pytest.raises(mme.MMEError, match="all pairs of records are 1 apart, one record a place"):
        bind(pairs, np.asarray, 4)
    assert spatial([1, 2, 3, 1, 2, 3]).names == spatial([1, 1, 2, 1, 2, 2]).names == ("range", "nugget")


@pytest.mark.parametrize("kind", [mme.Exponential, lambda t, g, **how: mme.Spatial("matern", [t], g, **how)])
def test_with_nugget_says_what_the_argument_says(kind):
    times, groups = [1, 2, 4, 1, 3, 4], ["a"] * 3 + ["b"] * 3
    said, given = kind(times, groups).with_nugget(), kind(times, groups, nugget=True)
    one, other = (bind(structure, np.asarray, 6) for structure in (said, given))
    x, every = np.array([0.3, -0.2]), np.arange(6)
    assert one.names == other.names == ("range", "nugget")
    np.testing.assert_array_equal(one.covariance(x, every), other.covariance(x, every))


def test_complete_series_of_three_tell_the_parameters_of_arma_apart_and_pairs_do_not():
    assert bind(mme.ARMA([1, 2, 3], ["a"] * 3), np.asarray, 3).k == 2
    with pytest.raises(mme.MMEError, match="1 steps apart"):
        bind(mme.ARMA([1, 2, 1, 2], ["a", "a", "b", "b"]), np.asarray, 4)


def test_a_matern_correlation_of_smoothness_one_half_is_the_exponential_with_its_slopes():
    places, v = np.random.default_rng(1).normal(size=(2, 12)), np.arange(12.0)
    one = bind(mme.Spatial("matern", list(places), ["a"] * 12, smoothness=0.5), np.asarray, 12)
    other = bind(mme.Spatial("exponential", list(places), ["a"] * 12), np.asarray, 12)
    x, every = np.array([0.3]), np.arange(12)
    np.testing.assert_allclose(one.covariance(x, every), other.covariance(x, every), rtol=1e-13)
    np.testing.assert_allclose(one.changes(x, v), other.changes(x, v), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("structure", "begins"),
    [
        (mme.AR1("t", "g"), [0.3]),
        (mme.AR1("t", "g").with_nugget(), [0.3, 0.2]),
        (mme.ARMA("t", "g"), [0.5, -0.2]),
        (mme.Exponential("t", "g"), [-1.0 / np.log(0.3)]),
        (mme.Exponential("t", "g", nugget=True), [-1.0 / np.log(0.3), 0.2]),
        (mme.CompoundSymmetry("g"), [0.3]),
        (mme.Toeplitz("t", "g"), [0.3, 0.3**2, 0.3**3]),
        (mme.Toeplitz("t", "g", bands=2), [0.3, 0.0]),
        (mme.AnteDependence("t", "g"), [0.3, 0.3, 0.3, 1.0, 1.0, 1.0]),
        (mme.Unstructured("t", "g"), [*[0.3] * 6, 1.0, 1.0, 1.0]),
        (mme.AR1("t") * mme.AR1("g"), [0.3, 0.3]),
        (mme.Heterogeneous("t"), [1.0, 1.0, 1.0]),
        (mme.PowerOfCovariate("v"), [0.0]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_search_begins_at_correlations_of_neighbours_of_three_tenths_and_a_nugget_of_two(structure, begins):
    """Before anything is known of the residuals; variances are equal."""
    columns = {"t": np.tile(np.arange(4), 6), "g": np.repeat(np.arange(6), 4), "v": np.linspace(1.0, 2.0, 24)}
    of = bind(structure, columns.__getitem__, 24)
    np.testing.assert_allclose(of.natural(of.start()), begins, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("structure", [mme.Unstructured("t", "g"), mme.AnteDependence("t", "g")], ids=["us", "ante"])
def test_many_parameters_of_residuals_need_no_fixed_effects(structure):
    """Without X, REML is ML; derivatives of an empty covariance of beta are empty."""
    rng = np.random.default_rng(0)
    data = {"y": rng.normal(size=40), "t": np.tile(np.arange(4), 10), "g": np.repeat(np.arange(10), 4)}
    reml, ml = (mme.lmer("y ~ 0", data, residual=structure, method=method) for method in ("REML", "ML"))
    assert reml.criterion == pytest.approx(ml.criterion, abs=1e-8)
    assert "Residual structure" in str(reml.summary())
    assert reml.coefficients().shape == (0, 5)


def test_structures_are_printed_as_one_writes_them():
    c = np.arange(3)[1]
    assert repr(mme.AR1(c, np.str_("g"))) == "AR1(time=1, group='g')"
    assert repr(mme.Toeplitz("t", [np.str_("a"), "b"], bands=c)) == "Toeplitz(occasion='t', group=['a', 'b'], bands=1)"
    product = mme.AR1("t", "g") * mme.Heterogeneous("f")
    assert repr(product) == "AR1(time='t', group='g') * Heterogeneous(stratum='f')"
    assert repr(product.by("arm")) == "(AR1(time='t', group='g') * Heterogeneous(stratum='f')).by('arm')"
    assert repr(mme.AR1("t", "g").with_nugget()) == "AR1(time='t', group='g').with_nugget()"
    assert repr(mme.CompoundSymmetry(np.arange(1000))).startswith("CompoundSymmetry(group=array([ 0, 1, 2,")
    assert len(repr(mme.CompoundSymmetry(np.arange(1000)))) < 90
