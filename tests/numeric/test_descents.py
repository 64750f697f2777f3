"""DescentsInStep in step end where descents one by one end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.numeric.descents import DescentsInStep
from mme.numeric.quasi_newton import descend


@dataclass(frozen=True)
class At:
    value: float
    g: np.ndarray

    def gradient(self) -> np.ndarray:
        return self.g


def _function(a: float, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Rosenbrock's valley, turned by a, without a value far to the left."""
    if x[0] < -3.0:
        return np.inf, np.full(2, np.nan)
    r = x[1] - a * x[0] ** 2
    return 10.0 * r * r + (1.0 - x[0]) ** 2, np.array([-40.0 * a * x[0] * r - 2.0 * (1.0 - x[0]), 20.0 * r])


def test_each_row_takes_the_steps_that_it_takes_by_itself() -> None:
    rng = np.random.default_rng(2)
    scale, x = rng.uniform(-2.0, 2.0, 40), rng.uniform(-2.5, 2.5, (40, 2))

    def all_of(rows: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [_function(scale[i], one) for i, one in zip(rows, at, strict=True)]
        return np.array([one[0] for one in found]), np.array([one[1] for one in found])

    begun = np.tile(0.01 * np.eye(2), (40, 1, 1))
    many = DescentsInStep(all_of, lambda rows, taken: None, x.copy(), begun, 1e-13, 3.0)
    many.descend(np.arange(40))
    assert (many.promised <= 1e-13).all()
    for i in range(40):

        def one(at: np.ndarray, a: float = scale[i]) -> At | None:
            found = _function(a, at)
            return At(*found) if np.isfinite(found[0]) else None

        first = one(x[i])
        assert first is not None
        alone = descend(one, x[i], first, 0.01 * np.eye(2), accepted=lambda x, at: None, tolerance=1e-13, most=3.0)
        np.testing.assert_allclose(many.x[i], alone.x, atol=1e-9)


def test_a_parameter_that_is_held_stays() -> None:
    def bowl(rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        A = np.array([[2.0, 0.6], [0.6, 1.0]])
        r = x - np.array([1.0, 2.0])
        return np.einsum("bi,ij,bj->b", r, A, r), 2.0 * r @ A

    many = DescentsInStep(bowl, lambda rows, taken: None, np.zeros((3, 2)), np.tile(np.eye(2), (3, 1, 1)), 1e-14, 3.0)
    many.descend(np.arange(3))
    np.testing.assert_allclose(many.x, [[1.0, 2.0]] * 3, atol=1e-6)
    rows = np.array([1])
    many.held(rows, 0)
    many.value[rows], many.g[rows] = bowl(rows, many.x[rows])
    many.descend(rows)
    np.testing.assert_allclose(many.x, [[1.0, 2.0], [0.0, 2.6], [1.0, 2.0]], atol=1e-6)
