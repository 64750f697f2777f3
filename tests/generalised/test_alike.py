"""Records that are alike are one: the criterion, its constant and the fit are those of all records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mme
from mme.numeric.limits import Limits, within

APART = Limits(merged_records=10**9)


def answers() -> dict[str, Any]:
    """1,500 records of a factor design with an offset, trials and weights."""
    rng = np.random.default_rng(3)
    n = 1500
    g, x, h = rng.integers(0, 12, n), rng.integers(0, 2, n), rng.integers(0, 4, n)
    off, m = 0.3 * rng.integers(0, 2, n), rng.integers(1, 5, n)
    eta = -0.3 + 0.5 * x + 0.6 * rng.normal(size=12)[g] + 0.4 * rng.normal(size=4)[h]
    p = 1.0 / (1.0 + np.exp(-eta))
    return {
        "g": g,
        "x": x,
        "h": h,
        "off": off,
        "m": m,
        "w": rng.integers(0, 3, n),
        "y": (rng.random(n) < p).astype(int),
        "s": rng.binomial(m, p),
        "k": rng.poisson(np.exp(eta)),
        "share": np.round(8.0 * rng.beta(3.0 * p, 3.0 - 3.0 * p) + 0.5) / 10.0,
        "grade": rng.integers(0, 3, n) + x,
    }


@pytest.mark.parametrize(
    ("formula", "family", "options"),
    [
        ("y ~ x + (1 | g)", "binomial", {"offset": "off"}),
        ("cbind(s, m - s) ~ x + (x | g)", "binomial", {}),
        ("y ~ x + (1 | g) + (1 | h)", mme.Binomial(link="cloglog"), {"laplace": "expected"}),
        ("k ~ x + (1 | g)", "poisson", {"weights": "w"}),
        ("k ~ x + (1 | g)", mme.Poisson(link="sqrt"), {"n_agq": 5}),
        ("y ~ x + (1 | g)", "binomial", {"n_agq": 0}),
        ("k ~ x + (1 | g)", mme.NegativeBinomial(), {"weights": "w"}),
        ("share ~ x + (1 | g)", mme.Beta(), {}),
        ("grade ~ x + (1 | g)", mme.Ordinal(), {}),
    ],
)
def test_counts_of_records_give_the_fit_of_all(formula: str, family: Any, options: dict[str, Any]) -> None:
    data = answers()
    one = mme.glmer(formula, data, family, **options)
    with within(APART):
        other = mme.glmer(formula, data, family, **options)
        _ = other.engine
    assert one.engine.different is not None
    assert one.engine.different < 900
    assert f"{one.engine.different} different records" in str(one.engine)
    assert other.engine.different is None
    assert one.criterion == pytest.approx(other.criterion, abs=1e-9)
    np.testing.assert_allclose(one.beta, other.beta, atol=1e-7)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-7)
    np.testing.assert_allclose(one.fitted, other.fitted, atol=1e-6)


def test_another_response_of_the_same_records_is_counted_anew() -> None:
    data = answers()
    fit = mme.glmer("y ~ x + (1 | g)", data, "binomial")
    other = fit.refit(1 - data["y"])
    assert other.engine.different == fit.engine.different
    assert other.criterion == pytest.approx(fit.criterion, abs=1e-8)
    np.testing.assert_allclose(other.beta, -fit.beta, atol=1e-6)
    counts = mme.glmer("k ~ x + (1 | g)", data, mme.NegativeBinomial())
    shuffled = counts.refit(np.random.default_rng(0).permutation(data["k"]))
    with within(APART):
        apart = mme.glmer("k ~ x + (1 | g)", data, mme.NegativeBinomial())
        known = apart.refit(np.random.default_rng(0).permutation(data["k"]))
    assert shuffled.criterion == pytest.approx(known.criterion, abs=1e-8)


def test_records_that_differ_are_passed_over_as_they_are() -> None:
    data = answers() | {"z": np.random.default_rng(1).normal(size=1500)}
    assert mme.glmer("y ~ z + (1 | g)", data, "binomial").engine.different is None
    assert mme.glmer("share ~ x + (1 | g)", data, mme.Gamma(link="log")).engine.different is None
