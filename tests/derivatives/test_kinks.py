"""Degrees of freedom beside correlations that end at their range, near distances where their second slopes jump."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import mme

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "spherical": lambda h: np.where(h < 1.0, 1.0 - 1.5 * h + 0.5 * h**3, 0.0),
    "linear": lambda h: np.maximum(1.0 - h, 0.0),
}
SERIES, TIMES = 10, 12


def series(kind: str, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    apart = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))
    L = np.linalg.cholesky(FORMS[kind](apart / 4.3) + 1e-9 * np.eye(TIMES))
    y = np.concatenate([L @ rng.normal(size=TIMES) for _ in range(SERIES)])
    g, time = np.repeat(np.arange(SERIES), TIMES), np.tile(np.arange(TIMES) * 1.0, SERIES)
    return {"y": y, "x": rng.normal(size=y.size), "time": time, "g": g}


def dense_df(kind: str, data: dict[str, np.ndarray], at: float) -> list[float]:
    """2 v^2 / g'A g by short differences in log range and log sigma^2 of REML and of v, the criterion not profiled."""
    y, X = data["y"], np.column_stack([np.ones(SERIES * TIMES), data["x"]])
    D = np.abs(np.subtract.outer(data["time"], data["time"]))
    same = np.equal.outer(data["g"], data["g"])

    def parts(psi: np.ndarray) -> tuple[float, np.ndarray]:
        P = np.linalg.inv(np.exp(psi[1]) * FORMS[kind](D / np.exp(psi[0])) * same)
        C = np.linalg.inv(X.T @ P @ X)
        r = y - X @ (C @ (X.T @ P @ y))
        return float(-np.linalg.slogdet(P)[1] - np.linalg.slogdet(C)[1] + r @ P @ r), C.diagonal()

    P = np.linalg.inv(FORMS[kind](D / at) * same)
    r = y - X @ np.linalg.solve(X.T @ P @ X, X.T @ P @ y)
    origin, e = np.log([at, r @ P @ r / (y.size - 2)]), 1e-4 * np.eye(2)
    rise = np.array([[parts(origin + a + b)[0] - parts(origin + a - b)[0] for b in e] for a in e])
    fall = np.array([[parts(origin - a + b)[0] - parts(origin - a - b)[0] for b in e] for a in e])
    A = 2.0 * np.linalg.inv((rise - fall) / 4e-8)
    slopes = np.array([(parts(origin + a)[1] - parts(origin - a)[1]) / 2e-4 for a in e])
    return [2.0 * v**2 / float(s @ A @ s) for v, s in zip(parts(origin)[1], slopes.T, strict=True)]


@pytest.mark.parametrize(("kind", "seed"), [("spherical", 1), ("spherical", 5), ("spherical", 0), ("linear", 4)])
def test_degrees_of_freedom_do_not_average_over_a_distance_that_the_range_is_near(kind: str, seed: int) -> None:
    """Ranges of 4.966 and 4.023 are near whole distances: steps of .03 had 38.88 and 54.64 for 38.98 and 54.41."""
    data = series(kind, seed)
    fit = mme.lmer("y ~ x", data, residual=mme.Spatial(kind, ["time"], "g"))
    expected = dense_df(kind, data, fit.residual["range"])
    np.testing.assert_allclose(fit.coefficients(ddf="satterthwaite")["df"], expected, rtol=2e-5)
