"""Residual variances over many decades, against rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import mme


def exact_criterion(X, y, weights, reml):
    """REML criterion or ML deviance of y ~ N(X beta, sigma^2 / weights), in rational numbers but for logarithms."""
    n, p = len(y), len(X[0])
    A = [
        [sum(w * Fraction(a[i]) * Fraction(a[j]) for w, a in zip(weights, X, strict=True)) for j in range(p)]
        for i in range(p)
    ]
    b = [sum(w * Fraction(a[i]) * Fraction(t) for w, a, t in zip(weights, X, y, strict=True)) for i in range(p)]
    squares = sum(w * Fraction(t) ** 2 for w, t in zip(weights, y, strict=True))
    rows, logdet = [[*row, right] for row, right in zip(A, b, strict=True)] + [[*b, squares]], 0.0
    for j in range(p):
        logdet += log_of(rows[j][j])
        for i in range(j + 1, p + 1):
            share = rows[i][j] / rows[j][j]
            rows[i] = [one - share * other for one, other in zip(rows[i], rows[j], strict=True)]
    d = n - p if reml else n
    logs = reml * logdet - sum(map(log_of, weights))
    return logs + d * (1.0 + math.log(2.0 * math.pi / d) + log_of(rows[p][p]))


def log_of(ratio):
    return math.log(ratio.numerator) - math.log(ratio.denominator)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("power", [2, 20, 25, -25, -40])
def test_columns_that_large_weights_hide_stay_in_the_model(method, power):
    rng = np.random.default_rng(3)
    octaves = np.array([1, 1, 0, 0, 0, -1, 0, 0, 0, 0])
    data = pd.DataFrame(
        {"v": 2.0**octaves, "x": rng.integers(-4, 5, 10), "f": np.tile(["a", "b"], 5), "y": rng.integers(-9, 9, 10)}
    )
    fit = mme.lmer("y ~ x + f", data, method=method, residual=mme.PowerOfCovariate("v"), phi={"power": float(power)})
    weights = [Fraction(1, 4) ** (power * octave) for octave in octaves.tolist()]
    X = np.column_stack([np.ones(10, dtype=int), data.x, data.f == "b"]).tolist()
    assert len(fit.beta) == 3
    assert fit.criterion == pytest.approx(exact_criterion(X, data.y.tolist(), weights, method == "REML"), abs=1e-6)
