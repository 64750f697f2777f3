"""Small designs that were never met: what a fit takes does not grow with their levels, and shapes are remembered."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.engine.families import lower_triangle, of_sizes, places_of
from mme.engine.meetings import everywhere
from tests.counting import calls, entered


def _slopes(J: int, seed: int) -> tuple[np.ndarray, np.ndarray, mme.Term]:
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(J), 10), np.tile(np.arange(10.0), J) + rng.uniform(0.0, 0.1, 10 * J)
    X = np.column_stack([np.ones(x.size), x])
    y = X @ [250.0, 10.0] + 25.0 * rng.standard_normal(J)[g] + 6.0 * rng.standard_normal(J)[g] * x
    return y + 25.0 * rng.standard_normal(y.size), X, mme.Term(g, X)


def _crossed(seed: int) -> tuple[np.ndarray, np.ndarray, list[mme.Term]]:
    rng = np.random.default_rng(seed)
    a, b = rng.permuted(np.repeat(np.arange(24), 6)), rng.permuted(np.repeat(np.arange(6), 24))
    y = 0.8 * rng.standard_normal(24)[a] + 1.9 * rng.standard_normal(6)[b] + 0.5 * rng.standard_normal(144)
    return y, np.ones((144, 1)), [mme.Term(a), mme.Term(b)]


def test_calls_of_a_fit_of_a_new_design_do_not_grow_with_its_levels() -> None:
    for J in (18, 36):
        mme.fit(*_slopes(J, 0)[:2], [_slopes(J, 0)[2]])
    small, large = ((J, _slopes(J, 1)) for J in (18, 36))
    counts = [calls(lambda one=one: mme.fit(one[0], one[1], [one[2]])) for _, one in (small, large)]
    assert counts[1] <= 1.1 * counts[0]


def test_places_are_made_once_for_designs_of_one_shape_and_criteria_are_their_own() -> None:
    of_sizes.cache_clear()
    mme.fit(*_crossed(0))
    y, X, terms = _crossed(1)
    assert entered(lambda: mme.fit(y, X, terms), lower_triangle, places_of) == 0
    found = mme.fit(y, X, terms)
    V = np.eye(y.size)
    for term, theta in zip(terms, found.theta, strict=True):
        Z = term.Z.toarray()
        V += theta**2 * Z @ Z.T
    inverse = np.linalg.inv(V)
    A = X.T @ inverse @ X
    P = inverse - inverse @ X @ np.linalg.solve(A, X.T @ inverse)
    n = y.size - 1
    dense = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] + n * (1.0 + np.log(2.0 * np.pi * (y @ P @ y) / n))
    assert found.criterion == pytest.approx(dense, abs=1e-8)


@pytest.mark.parametrize("sizes", [((5, 1),), ((3, 2),), ((4, 1), (3, 2))])
def test_places_of_sizes_are_those_of_all_pairs_of_effects(sizes: tuple[tuple[int, int], ...]) -> None:
    m = sum(J * q for J, q in sizes)
    row, col, _ = of_sizes(sizes).triangle
    assert set(zip(row.tolist(), col.tolist(), strict=True)) == {(i, j) for j in range(m) for i in range(j, m)}
    assert (np.diff(col * m + row) > 0).all()


def test_blocks_everywhere_are_the_lower_triangle_or_all() -> None:
    same, other = everywhere(True, 4, 4), everywhere(False, 2, 3)
    assert sorted(np.column_stack([same.rows, same.cols]).tolist()) == [[i, j] for i in range(4) for j in range(i + 1)]
    assert np.column_stack([other.rows, other.cols]).tolist() == [[i, j] for i in range(2) for j in range(3)]
    assert other.find(other.rows, other.cols).tolist() == list(range(6))
