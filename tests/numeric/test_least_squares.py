"""Small systems: the shortest of all least squares solutions, of full rank or less."""

from __future__ import annotations

import numpy as np
import pytest

from mme.numeric.lapack import least_squares


@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-7, 1e-12, 0.0])
@pytest.mark.parametrize("m", [1, 4, 9])
def test_least_squares_is_the_shortest_solution_without_small_singular_values(m: int, smallest: float) -> None:
    rng = np.random.default_rng(m)
    U, V = (np.linalg.qr(rng.standard_normal((m, m)))[0] for _ in range(2))
    s = np.linspace(1.0, 2.0, m)
    s[0] = smallest if m > 1 else 1.0
    A, b = (U * s) @ V, rng.standard_normal(m)
    kept = s > 1e-10 * s.max()
    expected = V.T[:, kept] @ ((U.T @ b)[kept] / s[kept])
    assert least_squares(A, b, 1e-10) == pytest.approx(expected, rel=1e-12 / max(s[kept].min(), 1e-7), abs=1e-14)
