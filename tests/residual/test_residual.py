"""Residual structures: whitening and log-determinant against dense R, their coordinates, and what they refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from residuals import (
    MORE,
    STRUCTURES,
    Records,
    bound,
    designs,
    every_structure,
    exponential_nugget,
    heterogeneous,
    power,
    records,
    same,
    seeds,
    unstructured,
)

from mme.errors import MMEError, MMEWarning
from mme.residual import (
    AR1,
    AnteDependence,
    Bound,
    CompoundSymmetry,
    Exponential,
    Heterogeneous,
    PowerOfCovariate,
    Spatial,
    Structure,
    Toeplitz,
    Unstructured,
    Variance,
    bind,
)

# --- R ---------------------------------------------------------------------------------------------------------------


@every_structure
@given(data=designs)
def test_whitening_makes_inner_products_those_of_the_inverse_of_R(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x = structure.coordinates(example.natural)
    rows = data.rng.normal(size=(4, data.n))
    before = rows.copy()
    white = structure.whiten(x, rows)
    inner = rows @ np.linalg.solve(example.R, rows.T)
    scale = np.sqrt(np.outer(np.diag(inner), np.diag(inner)))
    np.testing.assert_allclose(white @ white.T / scale, inner / scale, atol=1e-12 * np.linalg.cond(example.R))
    np.testing.assert_array_equal(rows, before)


@every_structure
@given(data=designs)
def test_the_transposed_whitening_and_the_diagonal_of_the_inverse_are_those_of_the_definition(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x = structure.coordinates(example.natural)
    rows = data.rng.normal(size=(4, data.n))
    before, tolerance = rows.copy(), 1e-12 * np.linalg.cond(example.R)
    found = structure.whiten_transposed(x, structure.whiten(x, rows))
    expected, precision = rows @ np.linalg.inv(example.R), np.diag(np.linalg.inv(example.R))
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(structure.precision_diagonal(x), precision, atol=tolerance * precision.max())
    np.testing.assert_allclose(
        structure.whiten_transposed(x, rows),
        Bound.whiten_transposed(structure, x, rows),
        atol=tolerance * precision.max(),
    )
    np.testing.assert_allclose(
        structure.precision_diagonal(x), Bound.precision_diagonal(structure, x), atol=tolerance * precision.max()
    )
    np.testing.assert_array_equal(rows, before)


@every_structure
@given(data=designs)
def test_the_log_determinant_is_that_of_R(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    logdet = structure.logdet(structure.coordinates(example.natural))
    assert logdet == pytest.approx(np.linalg.slogdet(example.R)[1], abs=1e-12 * data.n * np.linalg.cond(example.R))


@every_structure
@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 1e8, 1e300])
def test_nothing_leaves_the_doubles_however_far_the_coordinates_go(name, size):
    data = records(5, 8, 4, True)
    structure = bound(STRUCTURES[name](data))
    rng = np.random.default_rng(6)
    for x in (
        np.full(structure.k, size),
        np.full(structure.k, -size),
        *(size * rng.choice([-1.0, 0.5, 1.0], (6, structure.k))),
    ):
        assert np.isfinite(structure.logdet(x))
        assert np.isfinite(structure.natural(x)).all()
        assert np.isfinite(structure.whiten(x, data.rng.normal(size=(2, data.n)))).all()


@pytest.mark.parametrize("name", [*STRUCTURES, *MORE])
def test_natural_parameters_lie_within_their_bounds(name):
    data = records(5, 8, 4, True)
    structure = bound((STRUCTURES | MORE)[name](data))
    low, high = np.transpose(structure.bounds)
    rng = np.random.default_rng(1)
    found = np.array([structure.natural(x) for x in 3.0 * rng.normal(size=(40, structure.k))])
    assert (found >= low).all()
    assert (found <= high).all()


@pytest.mark.parametrize("bands", [1, 2, None])
def test_no_correlation_at_any_lag_has_coordinates_of_zero(bands):
    toeplitz = bind(Toeplitz(np.tile(np.arange(4), 3), np.repeat(np.arange(3), 4), bands), np.asarray, 12)
    np.testing.assert_array_equal(toeplitz.coordinates(np.zeros(toeplitz.k)), np.zeros(toeplitz.k))


@pytest.mark.parametrize("seed", range(3))
def test_a_search_starts_where_neighbours_at_the_median_gap_have_a_correlation_of_three_tenths(seed):
    """Gaps of any length and number: one long one, or zeros, which are no gaps, do not move the start."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice([1.0, 2.0, 3.0, 7.0, 40.0], (6, 5), p=[0.1, 0.3, 0.3, 0.2, 0.1])
    times, groups = np.cumsum(gaps, axis=1), np.repeat(np.arange(6), 5)
    middle = float(np.sort(gaps[:, 1:].ravel())[11])  # of 24 the lower one
    ar1 = bind(AR1(times.ravel(), groups), np.asarray, 30)
    assert ar1.natural(ar1.start())[0] ** middle == pytest.approx(0.3, rel=1e-12)
    nugget = bind(Exponential(np.append(times, times[:, -1]), np.append(groups, range(6)), nugget=True), np.asarray, 36)
    assert np.exp(-middle / nugget.natural(nugget.start())[0]) == pytest.approx(0.3, rel=1e-12)


@pytest.mark.parametrize("name", sorted({*STRUCTURES, *MORE} - {"a user's, by its blocks"}))
def test_a_structure_is_linear_where_its_matrices_span_one_more_dimension_than_it_has_parameters(name):
    """Multiples of R are combinations of k + 1 matrices then; by other functions of the parameters they are not."""
    structure = bound((STRUCTURES | MORE)[name](records(5, 8, 4, True)))
    x, every = np.random.default_rng(1).normal(size=(structure.k + 8, structure.k)), np.arange(structure.n)
    sizes = np.linalg.svd([structure.covariance(one, every).ravel() for one in x], compute_uv=False)
    assert (np.count_nonzero(sizes > 1e-9 * sizes[0]) == structure.k + 1) == structure.is_linear


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("exponential", {}),
        ("spherical", {}),
        ("gaussian", {}),
        ("rational quadratic", {}),
        ("matern", {"smoothness": 0.4}),
        ("matern", {"smoothness": 1.5}),
    ],
)
def test_towards_the_intrinsic_limit_all_differences_between_records_keep_their_ratios(kind, options):
    """1 - f(h / r) is (h / r)^p there, and the nugget falls by the same power: variograms differ by a factor alone."""
    data = records(5, 8, 4, True)
    places = [data.time, data.covariate]
    field = bind(Spatial(kind, places, data.group, nugget=True, **options), np.asarray, data.n)
    (direction,) = field.intrinsic
    members = np.flatnonzero(data.group == data.group[0])
    nearer, farther = (1.0 - field.covariance(field.start() + far * direction, members) for far in (5.0, 7.0))
    off = np.triu_indices(members.size, 1)
    ratio = farther[off] / nearer[off]
    np.testing.assert_allclose(ratio / ratio[0], 1.0, atol=0.01)
    assert ratio[0] < 0.5


def test_as_many_covariances_as_records_are_refused():
    """Two standard deviations and three correlations: of five records nothing is left for sigma."""
    full = Unstructured([1, 2, 3, 1, 2, 3], [1, 1, 1, 2, 2, 2])
    assert len(bind(full, np.asarray, 6).names) == 5
    with pytest.raises(MMEError, match="5 parameters for 5 records"):
        bind(Unstructured([1, 2, 3, 1, 2], [1, 1, 1, 2, 2]), np.asarray, 5)


# R is singular before a band reaches its bounds; a user's structure without bounds says that there are none; the
# smoothness of Matern ends where its correlations are Gaussian to rounding.
BEFORE_THEIR_BOUNDS = {"Toeplitz, bands", "a user's, by its blocks", "Spatial Matern, its smoothness"}


@pytest.mark.parametrize("name", sorted({*STRUCTURES, *MORE} - BEFORE_THEIR_BOUNDS))
def test_natural_parameters_come_as_near_to_their_bounds_as_one_likes(name):
    """Where coordinates go without end, alone and together."""
    structure = bound((STRUCTURES | MORE)[name](records(5, 8, 4, True)))
    rng = np.random.default_rng(1)
    directions = rng.choice([-1.0, 0.0, 1.0], (300, structure.k))
    found = np.array([structure.natural(x) for x in 15.0 * directions])
    for bounds, ends in zip(np.transpose(structure.bounds), (found.min(axis=0), found.max(axis=0)), strict=True):
        assert np.where(np.isinf(bounds), ends * np.sign(bounds) > 10.0, np.abs(ends - bounds) < 1e-3).all()


@every_structure
@given(data=designs)
def test_covariance_and_log_sd_are_those_of_R(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x = structure.coordinates(example.natural)
    index = data.rng.permutation(data.n)[: max(2, data.n // 2)]
    np.testing.assert_allclose(structure.covariance(x, index), example.R[np.ix_(index, index)], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.exp(2 * structure.log_sd(x)), np.diag(example.R), rtol=1e-11)


@every_structure
@given(data=designs)
def test_the_general_covariance_by_whitening_equals_the_closed_form(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x = structure.coordinates(example.natural)
    index = data.rng.permutation(data.n)[: max(2, data.n // 3)]
    general = Bound.covariance(structure, x, index)
    atol = 1e-12 * np.linalg.cond(example.R) * np.abs(example.R).max()
    np.testing.assert_allclose(general, structure.covariance(x, index), atol=atol)


@every_structure
@given(data=designs)
def test_colouring_undoes_whitening(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x = structure.coordinates(example.natural)
    rows = data.rng.normal(size=(3, data.n))
    for colour in (structure.colour, lambda x, rows: Bound.colour(structure, x, rows)):
        back = colour(x, structure.whiten(x, rows))
        np.testing.assert_allclose(back, rows, atol=1e-13 * np.linalg.cond(example.R))


@every_structure
@given(data=designs)
def test_entries_that_a_structure_knows_are_all_those_of_its_whitening_each_record_first(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    if structure.entries is None:
        return
    x, (rows, cols) = structure.coordinates(example.natural), structure.entries
    W = np.zeros((data.n, data.n))
    W[rows, cols] = structure.entry_values(x)
    np.testing.assert_allclose(W.T, structure.whiten(x, np.eye(data.n)), rtol=1e-13, atol=1e-300)
    assert (np.diff(rows) >= 0).all()
    np.testing.assert_array_equal(cols[np.flatnonzero(np.diff(rows, prepend=-1))], np.arange(data.n))


@every_structure
@given(data=designs)
def test_whitening_does_not_mix_groups(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    group = np.arange(data.n) if structure.group is None else structure.group
    if structure.group is not None:
        np.testing.assert_array_equal(group, np.unique(data.group, return_inverse=True)[1])
    white = structure.whiten(structure.coordinates(example.natural), np.eye(data.n))
    assert (white[~np.equal.outer(group, group)] == 0.0).all()


@every_structure
@given(data=designs, seed=seeds)
def test_the_order_of_the_records_does_not_matter(name, data, seed):
    order = np.random.default_rng(seed).permutation(data.n)
    state = data.rng.bit_generator.state
    one = STRUCTURES[name](data)
    data.rng.bit_generator.state = state
    columns = (data.group, data.step, data.time, data.occasion)
    moved = Records(data.rng, *(c[order] for c in columns), data.T, data.stratum[order], data.covariate[order])
    other = STRUCTURES[name](moved)
    np.testing.assert_array_equal(one.natural, other.natural)
    r = np.random.default_rng(seed).normal(size=(1, data.n))
    a, b = bound(one), bound(other)
    x = a.coordinates(one.natural)
    np.testing.assert_allclose((a.whiten(x, r) ** 2).sum(), (b.whiten(x, r[:, order]) ** 2).sum(), rtol=1e-10)
    assert a.logdet(x) == pytest.approx(b.logdet(x), rel=1e-11, abs=1e-11)


# --- coordinates -----------------------------------------------------------------------------------------------------


@every_structure
@given(data=designs)
def test_coordinates_and_natural_parameters_are_inverse_to_each_other(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    assert structure.k == len(structure.names) == example.natural.size
    x = structure.coordinates(example.natural)
    np.testing.assert_allclose(structure.natural(x), example.natural, rtol=1e-8, atol=1e-10)
    x = data.rng.normal(size=structure.k)
    np.testing.assert_allclose(structure.coordinates(structure.natural(x)), x, rtol=1e-7, atol=1e-7)


@every_structure
@given(data=designs, size=st.sampled_from([3.0, 15.0, 40.0, 1e3]))
def test_any_coordinates_are_a_valid_R(name, data, size):
    """Far out R is singular to all digits; what is computed stays finite, so that a search comes back."""
    structure = bound(STRUCTURES[name](data))
    x = size * data.rng.uniform(-1, 1, structure.k)
    with np.errstate(over="ignore"):
        assert np.isfinite(structure.logdet(x))
        assert np.isfinite(structure.whiten(x, data.rng.normal(size=(2, data.n)))).all()


@every_structure
@given(data=designs, reach=st.floats(0, 6))
def test_the_criterion_is_smooth_in_the_coordinates_also_near_their_bounds(name, data, reach):
    """Second differences at steps h and h/2 along a line agree to O(h^2): no kink, no rounding larger than expected."""
    structure = bound(STRUCTURES[name](data))
    x = data.rng.uniform(-1, 1, structure.k)
    x[int(data.rng.integers(structure.k))] = reach * data.rng.choice([-1, 1])
    direction = data.rng.normal(size=structure.k)
    direction /= np.linalg.norm(direction)

    def f(t: float) -> float:
        return structure.logdet(x + t * direction) / data.n

    def second(h: float) -> float:
        return (f(h) + f(-h) - 2 * f(0.0)) / h**2

    h = 0.004
    one, half, quarter = second(h), second(h / 2), second(h / 4)
    assert abs(half - quarter) < 0.35 * abs(one - half) + 1e-3


@every_structure
@given(data=designs)
def test_a_start_is_an_ordinary_point(name, data):
    structure = bound(STRUCTURES[name](data))
    residual = data.rng.normal(size=data.n) * np.where(data.stratum == "m", 3.0, 1.0)
    for x in (structure.start(), structure.start(residual), structure.start(np.zeros(data.n))):
        assert x.shape == structure.radius().shape == (structure.k,)
        assert np.abs(x).max() < 10
        R = structure.covariance(x, np.arange(data.n))
        assert np.linalg.eigvalsh(R)[0] > 1e-3 * np.diag(R).min()


def test_moments_start_variances_and_correlations_near_the_truth():
    data = records(1, J=400, T=4, shuffled=True)
    for name in ("Unstructured", "Heterogeneous", "PowerOfCovariate", "Heterogeneous x power"):
        example = STRUCTURES[name](data)
        structure = bound(example)
        truth = structure.coordinates(example.natural)
        residual = structure.colour(truth, data.rng.normal(size=(1, data.n)))[0]
        np.testing.assert_allclose(structure.start(residual), truth, atol=0.3)


# --- theorems --------------------------------------------------------------------------------------------------------


@given(data=designs, rho=st.floats(0.01, 0.95))
def test_AR1_with_positive_rho_is_Exponential(data, rho):
    one, other = (kind(data.step, data.group).bind(np.asarray, data.n) for kind in (AR1, Exponential))
    a, b = one.coordinates(np.array([rho])), other.coordinates(np.array([-1 / np.log(rho)]))
    rows = data.rng.normal(size=(2, data.n))
    np.testing.assert_allclose(one.whiten(a, rows), other.whiten(b, rows), rtol=1e-9, atol=1e-12)
    assert one.logdet(a) == pytest.approx(other.logdet(b), rel=1e-9, abs=1e-10)


@given(data=designs)
def test_a_vanishing_nugget_leaves_Exponential(data):
    plain = Exponential(data.time, data.group).bind(np.asarray, data.n)
    nugget = Exponential(data.time, data.group, nugget=True).bind(np.asarray, data.n)
    x = data.rng.normal(size=1)
    rows = data.rng.normal(size=(2, data.n))
    np.testing.assert_allclose(nugget.whiten(np.append(x, -60.0), rows), plain.whiten(x, rows), rtol=1e-9, atol=1e-12)


@given(data=designs, nugget=st.floats(0.05, 0.95))
def test_a_very_long_range_with_a_nugget_is_compound_symmetry(data, nugget):
    long = Exponential(data.time, data.group, nugget=True).bind(np.asarray, data.n)
    common = CompoundSymmetry(data.group).bind(np.asarray, data.n)
    a, b = long.coordinates(np.array([1e13, nugget])), common.coordinates(np.array([1 - nugget]))
    r = data.rng.normal(size=(1, data.n))
    assert (long.whiten(a, r) ** 2).sum() == pytest.approx((common.whiten(b, r) ** 2).sum(), rel=1e-9)
    assert long.logdet(a) == pytest.approx(common.logdet(b), rel=1e-9, abs=1e-9)


@given(data=designs, rho=st.floats(-0.9, 0.9))
def test_Toeplitz_contains_AR1(data, rho):
    wide = Toeplitz(data.occasion, data.group).bind(np.asarray, data.n)
    markov = AR1(data.occasion, data.group).bind(np.asarray, data.n)
    a = wide.coordinates(rho ** np.arange(1, data.T))
    np.testing.assert_allclose(a[1:], 0.0, atol=1e-10)
    r = data.rng.normal(size=(1, data.n))
    b = markov.coordinates(np.array([rho]))
    assert (wide.whiten(a, r) ** 2).sum() == pytest.approx((markov.whiten(b, r) ** 2).sum(), rel=1e-9)


@given(data=designs)
def test_a_random_intercept_is_absorbed_where_it_is_said_to_be(data):
    """R + t 11' by group, scaled to the first variance, is the same structure at other parameters."""
    for name in ("CompoundSymmetry", "Unstructured", "Unstructured, equal variances", "Toeplitz"):
        example = STRUCTURES[name](data)
        structure = bound(example)
        assert structure.absorbs_intercept
        first = np.flatnonzero(data.occasion == 0)[0]
        sum_ = (example.R + 0.7 * same(data)) / (example.R[first, first] + 0.7)
        x = structure.coordinates(_natural(structure, data, sum_))
        np.testing.assert_allclose(structure.covariance(x, np.arange(data.n)), sum_, rtol=1e-8, atol=1e-10)
    assert not bound(exponential_nugget(data)).absorbs_intercept


def _natural(structure: Bound, data: Records, R: np.ndarray) -> np.ndarray:
    """The parameters of R, read off a complete group."""
    sizes = np.bincount(data.group)
    members = np.flatnonzero(data.group == np.argmax(sizes))
    members = members[np.argsort(data.occasion[members])]
    block = R[np.ix_(members, members)]
    sd = np.sqrt(np.diag(block))
    C = block / np.outer(sd, sd)
    if structure.names == ("rho",):
        return C[1:2, 0]
    if structure.names[0] == "rho1":
        return C[1:, 0]
    correlations = C.T[np.triu_indices(data.T, 1)]
    return correlations if structure.k == correlations.size else np.append(correlations, sd[1:] / sd[0])


def test_a_negative_common_correlation_reaches_its_bound():
    structure = CompoundSymmetry(["a"] * 4 + ["b"] * 2).bind(np.asarray, 6)
    assert structure.natural(np.array([-200.0]))[0] == pytest.approx(-1 / 3, abs=1e-12)
    near = structure.coordinates(np.array([-1 / 3 + 1e-9]))
    assert structure.logdet(near) == pytest.approx(np.log(4 / 3) * 3 + np.log(3e-9) + np.log(8 / 9), rel=1e-6)


def test_a_gap_of_an_even_number_of_steps_has_a_positive_correlation_and_an_odd_one_a_negative():
    structure = AR1([0, 1, 3, 7], list("aaaa")).bind(np.asarray, 4)
    R = structure.covariance(structure.coordinates(np.array([-0.5])), np.arange(4))
    np.testing.assert_allclose(R[0], [1, -0.5, -0.125, -(0.5**7)], rtol=1e-12)
    np.testing.assert_allclose(R[2, 3], 0.5**4, rtol=1e-12)


def test_records_at_one_time_are_allowed_with_a_nugget():
    structure = Exponential([0.0, 0.0, 2.0], list("aaa"), nugget=True).bind(np.asarray, 3)
    x = structure.coordinates(np.array([1.0, 0.25]))
    R = structure.covariance(x, np.arange(3))
    assert R[0, 1] == pytest.approx(0.75)
    np.testing.assert_allclose(
        structure.whiten(x, np.eye(3)) @ structure.whiten(x, np.eye(3)).T, np.linalg.inv(R), rtol=1e-12
    )


def test_a_long_series_with_a_nugget_keeps_its_digits():
    """20 000 records a thousandth of the range apart: innovations by the scalar Kalman recursion are the reference."""
    n, length, nugget = 20_000, 1.0, 0.3
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(0.001, n))
    structure = Exponential(times, np.zeros(n), nugget=True).bind(np.asarray, n)
    x = structure.coordinates(np.array([length, nugget]))
    r = rng.normal(size=n)
    mean, variance, white, logdet = 0.0, 1 - nugget, np.empty(n), 0.0
    for i in range(n):
        if i:
            a = np.exp(-(times[i] - times[i - 1]) / length)
            mean, variance = a * mean, a**2 * variance + (1 - nugget) * -np.expm1(2 * np.log(a))
        innovation = variance + nugget
        white[i] = (r[i] - mean) / np.sqrt(innovation)
        logdet += np.log(innovation)
        mean, variance = mean + variance / innovation * (r[i] - mean), variance * nugget / innovation
    np.testing.assert_allclose(structure.whiten(x, r[None])[0], white, rtol=1e-9, atol=1e-11)
    assert structure.logdet(x) == pytest.approx(logdet, rel=1e-11)


@given(data=designs)
def test_many_patterns_at_once_and_one_by_one_are_the_same(data):
    """More groups than patterns, or not: which way a batch is whitened does not show."""
    times = 40
    T, n = data.T, data.n
    repeated = Records(
        data.rng,
        np.concatenate([data.group + 1000 * i for i in range(times)]),
        *(np.tile(c, times) for c in (data.step, data.time, data.occasion)),
        T,
        np.tile(data.stratum, times),
        np.tile(data.covariate, times),
    )
    one = bound(unstructured(data))
    many = bound(unstructured(repeated))
    x, r = data.rng.normal(size=one.k), data.rng.normal(size=(3, n))
    np.testing.assert_allclose(many.whiten(x, np.tile(r, times))[:, :n], one.whiten(x, r), rtol=1e-9, atol=1e-11)
    assert many.logdet(x) == pytest.approx(times * one.logdet(x), rel=1e-11)


def test_occasions_are_ordered_by_their_numbers_even_as_text():
    occasions, groups = np.array(["10", "9", "1", "1", "9", "10"]), np.array([1, 1, 1, 2, 2, 2])
    assert Unstructured(occasions, groups).bind(np.asarray, 6).names[-2:] == ("sd.9/sd.1", "sd.10/sd.1")
    with pytest.warns(MMEWarning, match="one step apart, but they are 1, 9, 10; Exponential"):
        structure = Toeplitz(occasions, groups).bind(np.asarray, 6)
    R = structure.covariance(structure.coordinates(np.array([0.5, 0.1])), np.arange(3))
    np.testing.assert_allclose(R[0], [1.0, 0.5, 0.1], atol=1e-12)


def test_columns_are_asked_for_by_name():
    table = {"week": np.array([0.0, 1.0, 4.0]), "id": np.array(["a", "a", "a"])}
    structure = bind(AR1("week", "id"), lambda name: table[name], 3)
    np.testing.assert_allclose(structure.natural(structure.coordinates(np.array([0.4]))), 0.4)


# --- what users bring ------------------------------------------------------------------------------------------------


class Twins(Structure):
    """Pairs with a common correlation, written with no more than is needed."""

    def __init__(self, pair: Any) -> None:
        self.pair = pair

    def bind(self, column: Any, n: int) -> BoundTwins:
        return BoundTwins(n, ("rho",), np.asarray(column(self.pair)))


@dataclass(frozen=True, eq=False)
class BoundTwins(Bound):
    pair: np.ndarray

    @property
    def group(self) -> np.ndarray:
        return self.pair

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        return np.zeros(1)

    def natural(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        total = (rows[:, ::2] + rows[:, 1::2]) / np.sqrt(2 * (1 + np.tanh(x)))
        difference = (rows[:, ::2] - rows[:, 1::2]) / np.sqrt(2 * (1 - np.tanh(x)))
        return np.stack([total, difference], axis=2).reshape(rows.shape)

    def logdet(self, x: np.ndarray) -> float:
        return float(self.n / 2 * np.log(1 - np.tanh(x[0]) ** 2))


def test_a_structure_of_the_users_own_has_the_rest_for_nothing():
    pair = np.repeat(np.arange(3), 2)
    strata = np.tile(["f", "m"], 3)
    structure = bind([Twins(pair), Heterogeneous(strata)], np.asarray, 6)
    x = np.array([np.arctanh(0.6), np.log(2.0)])
    np.testing.assert_allclose(structure.covariance(x, np.array([1, 0])), [[4.0, 1.2], [1.2, 1.0]], rtol=1e-12)
    with pytest.raises(NotImplementedError, match="BoundTwins has no inverse"):
        structure.coordinates(np.array([0.6, 2.0]))


# --- refusals --------------------------------------------------------------------------------------------------------

PAIRS = ["a", "a", "b", "b"]
REFUSED = [
    (AR1([1, 1, 1, 2], PAIRS), "group has 2 records of level 'a' at the same time"),
    (
        AR1([1, 2.5, 1, 2], PAIRS),
        "whole numbers of steps, but two neighbours in a group are 1.5 apart; use Exp",
    ),
    (AR1([1, np.nan, 1, 2], PAIRS), "AR1: time has 1 missing or infinite values"),
    (AR1(["x", "y", "x", "y"], PAIRS), "AR1: time must be numeric, got text"),
    (AR1(np.array(["2020-01-01"] * 4, dtype="M8[D]"), PAIRS), "AR1: group has 2 records of level 'a' at the same time"),
    (AR1([1, 2, 3], PAIRS), "AR1: time has 3 values for 4 records"),
    (AR1([1, 2, 3, 4], ["a", "a"]), "AR1: group has 2 values for 4 records"),
    (AR1([[1], [2], [3], [4]], PAIRS), r"AR1: time has shape (4, 1) for 4 records"),
    (AR1([1, 2, 3, 4], ["a", "b", "c", "d"]), "every group has a single record"),
    (AR1([1, 2, 3, 4], ["a", None, "b", "b"]), "grouping factor 'group': 1 of 4 labels are missing"),
    (Exponential([0.5, 0.5, 1, 2], PAIRS), "at the same time (1 such repetitions in all); average them, or say nugget"),
    (Exponential([1, 2, 1, 2], PAIRS, nugget=True), "are 1 apart: range and nugget cannot be told apart"),
    (Exponential([1, 1, 2, 2], PAIRS, nugget=True), "time does not differ between the records of any group"),
    (Exponential([1e200, 1, 1, 2], PAIRS), "values of size 1e+200"),
    (CompoundSymmetry(["a"] * 4), "the one level 'a': a correlation common to all records"),
    (CompoundSymmetry(list("abcd")), "every group has a single record"),
    (Unstructured([1, 1, 1, 2], PAIRS), "group has 2 records of level 'a' at the same occasion"),
    (Unstructured([1, 1, 1, 1], PAIRS), "occasion has the one level '1'; a covariance needs two"),
    (Unstructured([1, 2, 3, 4], PAIRS), "4 levels, whose covariances are 9 parameters for 4 records"),
    (Unstructured(["x"] * 2 + ["y"] * 2, list("abcd")), "every group has a single record"),
    (Toeplitz([1, 2, 1, 2], PAIRS, bands=0), "bands must be a whole number of at least 1, or None; got 0"),
    (Toeplitz([1, 2, 2, 3], PAIRS), "no group has two records 2 steps of occasion apart, so that rho2 cannot"),
    (Toeplitz([1, 3, 2, 4], PAIRS), "no group has two neighbouring levels of occasion; use Exponential"),
    (Heterogeneous(["f"] * 4), "stratum has one level ('f') in the records used"),
    (Heterogeneous(list("abcd")), "4 levels for 4 records"),
    (PowerOfCovariate([1, 0, 2, 0]), "covariate is zero in 2 records"),
    (PowerOfCovariate([3, -3, 3, 3]), "the size of covariate does not vary"),
    (PowerOfCovariate([2001, 2002, 2003, 2004]), "factor of only 1.001 about 2002"),
    (PowerOfCovariate([1, np.inf, 2, 3]), "covariate has 1 missing or infinite"),
    ([CompoundSymmetry(PAIRS), AR1([1, 2, 1, 2], PAIRS)], "got CompoundSymmetry and AR1"),
    (
        [Heterogeneous(["u", "v", "u", "v"]), Heterogeneous([2, 1, 2, 1])],
        "Heterogeneous and Heterogeneous some standard",
    ),
    ([Unstructured([1, 2, 1, 2], PAIRS), Heterogeneous(["u", "v", "u", "v"])], "Unstructured and Heterogeneous some"),
    ("ar1", "got 'ar1'"),
    ([], "got []"),
    ([AR1], "residual= takes a structure with its columns, such as mme.AR1('time', 'group')"),
]


@pytest.mark.parametrize(("residual", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_cannot_be_fitted_is_refused_with_its_reason(residual, message):
    with pytest.raises(MMEError, match=re.escape(message)):
        bind(residual, np.asarray, 4)


def test_messages_name_the_users_columns_and_levels():
    table = {"week": np.array([3.0, 3.0, 1.0]), "child": np.array([7, 7, 8])}
    with pytest.raises(MMEError, match=r"AR1: group 'child' has 2 records of level '7' at the same time 'week'"):
        AR1("week", "child").bind(table.get, 3)
    with pytest.raises(MMEError, match=r"stratum 'child' has 3 values for 4 records"):
        Heterogeneous("child").bind(table.get, 4)


def test_pairs_of_occasions_that_are_never_seen_together_are_named():
    occasion, group = ["a", "b", "b", "c", "a", "b", "b", "c"], np.repeat([1, 2, 3, 4], 2)
    with pytest.raises(MMEError, match=r"no group has both 'a' and 'c' of occasion \(1 such pairs\)"):
        Unstructured(occasion, group).bind(np.asarray, 8)


def test_correlations_that_are_not_positive_definite_have_no_coordinates():
    occasion, group = np.tile([1, 2, 3], 3), np.repeat([1, 2, 3], 3)
    impossible = np.array([0.9, -0.9, 0.9])
    for structure, natural in [
        (Unstructured(occasion, group, equal_variances=True), impossible),
        (Toeplitz(occasion, group), impossible[:2]),
        (Toeplitz(occasion, group, bands=1), impossible[:1]),
        (AnteDependence(occasion, group), np.array([0.5, 1.0, 1.0, 1.0])),
    ]:
        with pytest.raises(MMEError, match=r"not positive definite|between -1 and 1"):
            structure.bind(np.asarray, 9).coordinates(natural)


def test_a_band_of_nothing_is_the_identity():
    """Zero, and coordinates below all rounding, are ordinary points."""
    structure = Toeplitz(np.tile([1, 2, 3], 3), np.repeat([1, 2, 3], 3), bands=1).bind(np.asarray, 9)
    rows = np.arange(9.0)[None]
    for tiny in (0.0, 1e-305, -1e-305, 1e-90):
        assert structure.logdet(np.array([tiny])) == pytest.approx(0.0, abs=1e-14)
        np.testing.assert_allclose((structure.whiten(np.array([tiny]), rows) ** 2).sum(), (rows**2).sum(), rtol=1e-14)
        np.testing.assert_allclose(structure.natural(np.array([tiny])), tiny / 2.0, rtol=1e-12)


@pytest.mark.parametrize(("T", "steps"), [(3, 2), (12, 8)])
def test_coordinates_of_a_band_are_its_correlations_over_a_root_of_its_determinant(T, steps):
    """sinh(z / s) = rho |C|^(-1 / 2s), s = min(T - 1, 8): what the docstring says, and fits by coordinates rely on."""
    structure = Toeplitz(np.arange(T), np.zeros(T, dtype=int), bands=1).bind(np.asarray, T)
    rho = np.array([0.45])
    det = np.linalg.det(np.eye(T) + 0.45 * (np.eye(T, k=1) + np.eye(T, k=-1)))
    np.testing.assert_allclose(np.sinh(structure.coordinates(rho) / steps), rho * det ** (-0.5 / steps), rtol=1e-12)


@pytest.mark.parametrize("bands", [2, 3, 4, 99])
def test_as_many_bands_as_there_are_lags_or_more_are_a_whole_toeplitz_matrix(bands):
    whole, banded = (
        Toeplitz(np.tile([1, 2, 3], 3), np.repeat([1, 2, 3], 3), b).bind(np.asarray, 9) for b in (None, bands)
    )
    assert banded.names == whole.names == ("rho1", "rho2")
    x = whole.coordinates(np.array([0.4, 0.3]))
    assert banded.logdet(x) == whole.logdet(x)


@pytest.mark.parametrize("sd", [(1.0, 3.0), (5.0, 0.2)])
def test_a_structure_by_level_begins_at_the_ratio_of_root_mean_squares(sd):
    arm = np.repeat([0, 1], 6)
    bound = AR1(np.tile(np.arange(3), 4), np.repeat(np.arange(4), 3)).by(arm).bind(np.asarray, 12)
    residual = np.random.default_rng(1).standard_normal(12) * np.repeat(sd, 6)
    of_arm = [np.sqrt(np.mean(residual[arm == one] ** 2)) for one in (0, 1)]
    ratio = bound.natural(bound.start(residual))[bound.names.index("sd.1/sd.0")]
    np.testing.assert_allclose(ratio, of_arm[1] / of_arm[0], rtol=1e-12)


@pytest.mark.parametrize(("one", "other"), [(1, 2), (1, 6), (1, 9), (1, 30), (200, 201)])
def test_a_nugget_is_refused_where_there_is_one_lag_and_taken_where_there_are_two(one, other):
    """One lag has one correlation, (1 - nu) rho^lag; two have two, be they far apart (.9^30 = .04) or nearly one."""
    pair = np.repeat(np.arange(4), 2)
    alike, apart = np.tile([0, other], 4), np.array([0, one, 0, other] * 2)
    with pytest.raises(MMEError, match="cannot be identified"):
        AR1(alike, pair).with_nugget().bind(np.asarray, 8)
    assert AR1(apart, pair).with_nugget().bind(np.asarray, 8).names == ("rho", "nugget")


def test_times_in_steps_of_two_are_pointed_out():
    with pytest.warns(MMEWarning, match=r"steps of 2, .* rho\^2, which cannot be negative; number the occasions"):
        AR1([8, 10, 12, 14], ["a"] * 4).bind(np.asarray, 4)


def test_hundreds_of_occasions_are_pointed_out():
    T, J = 51, 60
    with pytest.warns(MMEWarning, match="51 levels, whose covariances are 1325 parameters"):
        structure = Unstructured(np.tile(np.arange(T), J), np.repeat(np.arange(J), T)).bind(np.asarray, T * J)
    assert structure.k == 1325


@given(data=designs)
def test_a_variance_structure_says_so(data):
    assume(data.n > 4)
    assert isinstance(bound(heterogeneous(data)), Variance)
    assert bound(power(data)).group is None
