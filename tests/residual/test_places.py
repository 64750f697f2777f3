"""Places of a field as they are given: their unit, their form, many records of one, pairs that are alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mme
from mme.residual import bind

PLACES = np.random.default_rng(8).uniform(size=(2, 10))
KINDS = [
    ("exponential", {"nugget": True}),
    ("gaussian", {"isotropic": False}),
    ("spherical", {}),
    ("matern", {"smoothness": None}),
]


def field(kind, places, **options):
    return bind(mme.Spatial(kind, list(places), **options), np.asarray, np.shape(places)[1])


@pytest.mark.parametrize("unit", [1e-14, 1.0, 1e9])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_ranges_begin_and_are_in_the_unit_of_the_places(kind, options, unit):
    one, other, every = field(kind, PLACES, **options), field(kind, unit * PLACES, **options), np.arange(10)
    ranges = np.array([name.startswith("range") for name in one.names])
    x = one.start()
    np.testing.assert_allclose(other.start(), x, rtol=1e-12)
    np.testing.assert_allclose(other.natural(x), one.natural(x) * np.where(ranges, unit, 1.0), rtol=1e-12)
    np.testing.assert_allclose(other.covariance(x, every), one.covariance(x, every), rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-14, 1.0, 1e9])
def test_pairs_that_are_alike_but_for_rounding_have_no_range_beside_a_nugget(unit):
    """Twelve pairs along a circle, each a third of a unit apart; of one pair a ten millionth farther."""
    angle, pair = np.linspace(0.1, 3.0, 12), np.repeat(np.arange(12), 2)
    apart = np.column_stack([np.zeros(12), np.full(12, unit / 3.0)])
    places = [((np.arange(12) * unit)[:, None] + apart * turn(angle)[:, None]).ravel() for turn in (np.cos, np.sin)]
    with pytest.raises(mme.MMEError, match="apart, one record a place: range and nugget cannot be told apart"):
        bind(mme.Spatial("gaussian", places, pair, nugget=True), np.asarray, 24)
    places[0][-1] += 1e-7 * unit
    assert bind(mme.Spatial("gaussian", places, pair, nugget=True), np.asarray, 24).k == 2


def test_records_that_are_all_at_one_place_by_group_have_no_range():
    with pytest.raises(mme.MMEError, match="the coordinates do not differ between the records of any group"):
        bind(mme.Spatial("gaussian", [[0.0, 0.0, 3.0, 3.0]], list("aabb"), nugget=True), np.asarray, 4)


def test_many_records_of_a_place_do_not_move_the_first_range():
    """The lower tenth of the distances between places: those of zero are none."""
    once, twice = (field("gaussian", np.repeat(PLACES, m, axis=1), nugget=True) for m in (1, 4))
    np.testing.assert_allclose(twice.natural(twice.start()), once.natural(once.start()), rtol=0.02)


def test_the_first_range_is_some_lower_distances_of_all_groups_and_of_no_two_groups():
    """Three groups far from each other: a median of all pairs, groups aside, would be near a hundred."""
    places, group = np.repeat([0.0, 100.0, 200.0], 4) + np.tile([0.0, 1.0, 2.0, 3.0], 3), np.repeat([0, 1, 2], 4)
    shuffled = np.random.default_rng(1).permutation(12)
    of = bind(mme.Spatial("exponential", [places[shuffled]], group[shuffled]), np.asarray, 12)
    np.testing.assert_allclose(of.natural(of.start()), np.exp(0.5), rtol=1e-12)
    end = bind(mme.Spatial("spherical", [places[shuffled]], group[shuffled]), np.asarray, 12)
    np.testing.assert_allclose(end.natural(end.start()), 4.0, rtol=1e-12)


@pytest.mark.parametrize("smoothness", [0.0, -1.0, 50.001, np.nan, "1", [1.0]])
def test_a_smoothness_beyond_fifty_or_not_above_zero_is_refused(smoothness):
    with pytest.raises(mme.MMEError, match="smoothness must be a number between 0 and 50"):
        mme.Spatial("matern", ["x"], smoothness=smoothness)


@pytest.mark.parametrize("smoothness", [0.01, 1, 50])
def test_a_smoothness_up_to_fifty_is_taken(smoothness):
    assert field("matern", PLACES, smoothness=smoothness).names == ("range",)


def test_a_smoothness_that_is_searched_goes_to_fifty_and_to_hardly_any():
    of = field("matern", PLACES, smoothness=None)
    ends = [of.natural(np.array([0.0, far]))[1] for far in (-100.0, 100.0)]
    np.testing.assert_allclose(ends, [np.exp(-4.0), 50.0], rtol=1e-12)
    with pytest.raises(mme.MMEError, match="smoothness is of kind 'matern', not of 'gaussian'"):
        field("gaussian", PLACES, smoothness=None)


def test_ranges_along_coordinates_are_called_by_their_columns_or_numbered():
    frame = pd.DataFrame(PLACES.T, columns=["east", "north"])
    given = {
        ("range.1", "range.2"): list(PLACES),
        ("range.east", "range.north"): frame,
        ("range.east", "range.2"): [frame["east"], PLACES[1]],
    }
    for names, places in given.items():
        assert bind(mme.Spatial("gaussian", places, isotropic=False), np.asarray, 10).names == names
    by_name = mme.Spatial("gaussian", ["north", "east"], isotropic=False, nugget=True)
    assert bind(by_name, frame.__getitem__, 10).names == ("range.north", "range.east", "nugget")


def test_a_table_of_polars_and_a_list_of_numbers_are_coordinates_too():
    x, every = np.array([0.2]), np.arange(10)
    expected = field("gaussian", PLACES).covariance(x, every)
    table = bind(mme.Spatial("gaussian", pl.DataFrame(PLACES.T, schema=["east", "north"])), np.asarray, 10)
    np.testing.assert_array_equal(table.covariance(x, every), expected)
    forms = ([PLACES[0]], PLACES[0], PLACES[0].tolist(), tuple(PLACES[0].tolist()), "east")
    read = {"east": PLACES[0]}
    found = [
        bind(mme.Spatial("linear", one), lambda c: read.get(c) if isinstance(c, str) else np.asarray(c), 10)
        for one in forms
    ]
    for one in found[1:]:
        np.testing.assert_array_equal(one.covariance(x, every), found[0].covariance(x, every))


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_ranges_and_smoothness_are_positive_and_a_nugget_is_a_share(kind, options):
    of = field(kind, PLACES, **options)
    expected = [(0.0, 1.0) if name == "nugget" else (0.0, np.inf) for name in of.names]
    assert list(of.bounds) == expected


def test_a_search_of_the_smoothness_begins_at_that_and_the_range_of_one_that_is_given():
    of, given = (field("matern", PLACES, smoothness=nu) for nu in (None, 1.5))
    np.testing.assert_allclose(of.natural(of.start()), [*given.natural(given.start()), 1.5], rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "options", "power"),
    [("linear", {}, 1.0), ("matern", {"smoothness": 1.5}, 2.0), ("matern", {"smoothness": 0.75}, 1.5)],
)
def test_beside_a_nugget_a_range_goes_to_its_limit_by_the_power_of_the_correlation_near_zero(kind, options, power):
    """1 - f(h) is of the order of h: along a line; of h^2: of a smooth field; of h^(2 nu) between."""
    of = field(kind, PLACES[:1], nugget=True, **options)
    (direction,) = of.intrinsic
    np.testing.assert_array_equal(direction, [1.0, -power])
    near, far = (1.0 - of.covariance(of.start() + t * direction, np.arange(10)) for t in (8.0, 9.0))
    off = ~np.eye(10, dtype=bool)
    np.testing.assert_allclose(far[off] / near[off], np.exp(-power), rtol=0.02)
