"""The scale of a transformed response: which inverses are known, which ratios, the deviations that means take."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.inference.fixed.response_scale import deviation, response_scale, total_sd

DATA = {"y": np.linspace(0.1, 0.8, 12), "x": np.arange(12.0) % 5, "g": np.arange(12) % 4, "h": np.arange(12) // 6}


def back(response: str, bias_adjust: object = False, terms: str = "1"):
    fit = mme.lmer(f"{response} ~ {terms}", DATA, theta=[0.7] if "|" in terms else None)
    return fit, response_scale(fit.internals, "response", bias_adjust)


@pytest.mark.parametrize(
    ("response", "ratio"),
    [
        *(("log(y)", "ratio"), ("np.log(y)", "ratio"), ("((log(y)))", "ratio"), ("I(log(y))", "ratio")),
        *(("log2(y)", None), ("log10(y)", None), ("log(y, 3)", None), ("log(y / (1 - y))", "odds_ratio")),
        *(("sqrt(y)", None), ("I(1 / y)", None), ("I(y^0.5)", None), ("I(y^2)", None), ("1/y", None)),
        *(("log1p(y)", None), ("log(y + 2)", None), ("exp(y)", None)),
    ],
)
def test_a_ratio_of_responses_is_what_exp_of_a_difference_of_logarithms_is(response, ratio):
    fit, found = back(response)
    np.testing.assert_allclose(found.mean(fit.internals.model.y), DATA["y"], rtol=1e-10)
    assert found.ratio == ratio
    if ratio == "ratio":
        a, b = found.mean(np.array([1.3, 0.4]))
        assert a / b == pytest.approx(np.exp(0.9), rel=1e-12)


@pytest.mark.parametrize(
    "response",
    [
        *("y", "log(y / (2 - y))", "log(y / (1 - x / 9))", "log(y / (3 + y))", "I(2 / y)", "abs(y)"),
        *("log(2 * y)", "log(y + x)", "sqrt(y + 1)", "log10(y + 1)", "log(y, x + 2)", "I(y * 2)", "I(2^y)"),
    ],
)
def test_a_transform_whose_inverse_is_not_known_is_refused(response):
    with pytest.raises(mme.MMEError, match=r"the inverse of .* is not known"):
        back(response)


def test_a_scale_is_a_word_and_that_of_the_model_has_no_way_back():
    fit = mme.lmer("log(y) ~ 1", DATA)
    assert response_scale(fit.internals, "link", False) is None
    with pytest.raises(mme.MMEError, match="scale must be 'link'"):
        response_scale(fit.internals, "mu", False)


def test_a_mean_of_squares_is_the_square_and_the_variance():
    """E (eta + sigma z)^2 = eta^2 + sigma^2, with the slope 2 eta; E of 1 / exp by the lognormal."""
    eta = np.array([0.5, 1.0, 3.0])
    _, found = back("sqrt(y)", 0.25)
    np.testing.assert_allclose(found.mean(eta), eta**2 + 0.25**2, rtol=1e-12)
    np.testing.assert_allclose(found.slope(eta), 2.0 * eta, rtol=1e-12)
    _, doubled = back("log2(y)", 0.25)
    np.testing.assert_allclose(doubled.mean(eta), 2.0**eta * np.exp((0.25 * np.log(2.0)) ** 2 / 2.0), rtol=1e-12)


def test_the_deviation_of_a_mean_is_total_residual_none_or_given():
    terms = "x + (1 | g)"
    fit, found = back("log(y)", True, terms)
    total = np.sqrt(fit.sigma**2 * (1.0 + 0.7**2))
    assert total_sd(fit.internals) == pytest.approx(total, rel=1e-12)
    assert found.sigma == pytest.approx(total, rel=1e-12)
    assert back("log(y)", "total", terms)[1].sigma == pytest.approx(total, rel=1e-12)
    assert back("log(y)", "residual", terms)[1].sigma == pytest.approx(fit.sigma, rel=1e-12)
    assert back("log(y)", False, terms)[1].sigma == back("log(y)", 0.0, terms)[1].sigma == 0.0
    assert back("log(y)", 0.5, terms)[1].sigma == 0.5
    for wrong in (-0.1, "all", None):
        with pytest.raises(mme.MMEError, match="bias_adjust must be False"):
            back("log(y)", wrong, terms)


def test_a_deviation_of_effect_sizes_is_known_on_as_many_degrees_of_freedom_as_it_has():
    by_g, by_h = (mme.lmer(f"y ~ x + (1 | {g})", DATA, theta=[0.7]).internals for g in "gh")
    plain = mme.lm("y ~ x", DATA).internals
    for fit, levels in ((by_g, 4), (by_h, 2)):
        assert deviation(fit, "total") == (pytest.approx(fit.sigma * np.sqrt(1.49), rel=1e-12), levels - 1.0)
        assert deviation(fit, "residual") == (fit.sigma, 10.0)
    assert deviation(plain, "total") == deviation(plain, "residual") == (plain.sigma, 10.0)
    assert deviation(plain, 0.5) == (0.5, np.inf)
    few = mme.lm("y ~ x", {"y": [1.0, 2.0, 4.0], "x": [0.0, 1.0, 2.0]}).internals
    assert deviation(few, "residual") == (few.sigma, 1.0)
    for wrong in (0.0, -1.0, "all"):
        with pytest.raises(mme.MMEError, match="effect_size must be"):
            deviation(plain, wrong)
