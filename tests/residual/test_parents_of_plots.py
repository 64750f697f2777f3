"""What a plot of a field depends on: the earlier ones that its regression on all of them gives a coefficient."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.residual.grid import build_grid


def parents(grid) -> dict[int, set[int]]:
    """By record."""
    found = {int(i): set(row[row >= 0].tolist()) for i, row in zip(grid.whole, grid.corners, strict=True)}
    return found | {int(i): set(row.tolist()) for at, rows in grid.broken for i, row in zip(at, rows, strict=True)}


def covariance(shape, rng) -> np.ndarray:
    """Of fields in which each place is the sum of random multiples of its neighbours before it, and noise."""
    places = np.array(list(np.ndindex(*shape)))
    steps = places[:, None] - places[None]
    weights = np.where(((steps >= 0) & (steps <= 1)).all(axis=2), rng.uniform(0.2, 0.9, 2 * [len(places)]), 0.0)
    np.fill_diagonal(weights, 0.0)
    root = np.linalg.inv(np.eye(len(places)) - weights)
    return root @ root.T


def with_a_coefficient(V, order) -> dict[int, set[int]]:
    """Of each record those before it that its regression on all of these gives one."""
    found = {}
    for place, record in enumerate(order):
        before = order[:place]
        on = np.linalg.solve(V[np.ix_(before, before)], V[before, record])
        found[int(record)] = set(before[np.abs(on) > 1e-9].tolist())
    return found


@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (3, 3, 3), (2, 2, 2, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_a_plot_depends_on_all_that_have_a_coefficient_in_its_regression_on_those_before_it(shape, seed):
    """Of two fields, each with a fifth of its places empty but with all rows and columns."""
    rng, size = np.random.default_rng(seed), int(np.prod(shape))
    there = rng.permutation(2 * size)[: int(1.6 * size)]
    codes, *places = np.unravel_index(there, (2, *shape))
    assert all(np.unique(one[codes == c]).size == m for one, m in zip(places, shape, strict=True) for c in (0, 1))
    V = np.kron(np.eye(2), covariance(shape, rng))[np.ix_(there, there)]
    grid = build_grid(codes, [one.astype(float) for one in places])
    np.testing.assert_array_equal(grid.order, np.argsort(there))
    found = parents(grid)
    assert all(on <= found[record] for record, on in with_a_coefficient(V, grid.order).items())
    assert len(found) == there.size


@pytest.mark.parametrize("hole", range(12))
@pytest.mark.parametrize("is_reversed", [False, True])
def test_around_an_empty_place_a_plot_depends_on_no_other(is_reversed, hole):
    rng, there = np.random.default_rng(1), np.setdiff1d(np.arange(12), hole)
    there = there[::-1] if is_reversed else there
    V, places = covariance((3, 4), rng), np.unravel_index(there, (3, 4))
    grid = build_grid(np.zeros(11, dtype=int), [one.astype(float) for one in places])
    assert parents(grid) == with_a_coefficient(V[np.ix_(there, there)], grid.order)


def test_empty_places_that_no_plot_comes_after_lead_to_none():
    """Eight plots in the first row, two and one empty place in the others: row 0 matters near the empty place alone."""
    row, column = np.array([0] * 8 + [1, 2, 2]), np.array([*range(8), 0, 0, 1])
    found = parents(build_grid(np.zeros(11, dtype=int), [row.astype(float), column.astype(float)]))
    assert found[10] == {0, 1, 2, 8, 9}


@pytest.mark.parametrize(("m", "is_grid"), [(68, True), (69, False)])
def test_a_grid_has_no_more_than_twenty_places_a_record_and_two_thousand(m, is_grid):
    """The first row and column: 68^2 = 4,624 < 20 * 135 + 2,000, 69^2 = 4,761 > 20 * 137 + 2,000."""
    row, column = np.append(np.arange(float(m)), np.zeros(m - 1)), np.append(np.zeros(m), np.arange(1.0, m))
    if is_grid:
        assert build_grid(np.zeros(2 * m - 1, dtype=int), [row, column]).whole.size == 2 * m - 1
        return
    with pytest.raises(mme.MMEError, match="137 records make a grid of 69 x 69 places"):
        build_grid(np.zeros(2 * m - 1, dtype=int), [row, column])
