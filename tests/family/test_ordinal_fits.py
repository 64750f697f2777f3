"""Fits of ordered categories: thresholds stand for the intercept."""

from __future__ import annotations

import numpy as np
import pytest

import mme


def records():
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(30), 8), rng.normal(size=240)
    eta = 0.8 * x + rng.normal(size=30)[g] * 0.7
    y = np.digitize(eta + rng.logistic(size=240), [-1.0, 0.5, 1.4])
    return {"y": y, "x": x, "g": g}


def test_two_categories_are_a_binary_fit_with_its_intercept_turned():
    data = records()
    data["y"] = (data["y"] > 1).astype(int)
    binary = mme.glmer("y ~ x + (1 | g)", data, "binomial")
    ordinal = mme.glmer("y ~ 0 + x + (1 | g)", data, "ordinal")
    assert ordinal.criterion == pytest.approx(binary.criterion, abs=1e-8)
    assert ordinal.beta["x"] == pytest.approx(binary.beta["x"], abs=1e-5)
    assert ordinal.internals.parameters["0|1"] == pytest.approx(-binary.beta["(Intercept)"], abs=1e-5)


def test_thresholds_are_the_same_whatever_the_labels_of_the_categories():
    data = records()
    fit = mme.glmer("y ~ 0 + x + (1 | g)", data, "ordinal")
    other = mme.glm_fit(10 * data["y"], data["x"][:, None], [mme.Term(data["g"], name="g")], "ordinal")
    assert list(fit.internals.parameters) == ["0|1", "1|2", "2|3"]
    assert list(other.internals.parameters) == ["0|10", "10|20", "20|30"]
    np.testing.assert_allclose([*other.internals.parameters.values()], [*fit.internals.parameters.values()], atol=1e-6)


def test_an_intercept_is_left_to_the_thresholds():
    one, other = (mme.glmer(f"y ~ {fixed} + (1 | g)", records(), "ordinal") for fixed in ("x", "0 + x"))
    assert one.criterion == pytest.approx(other.criterion, abs=1e-10)
    assert one.fixed_names == other.fixed_names == ("x",)
