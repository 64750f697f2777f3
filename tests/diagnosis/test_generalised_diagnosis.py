"""What a diagnosis of a generalised fit finds, and that it finds nothing where nothing is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import mme
from mme.diagnosis.dispersion import reference
from tests.glmm import glmm_case, glmm_fit

GROUP = np.repeat(np.arange(30), 15)
N = GROUP.size


def fit_of(y: np.ndarray, family: Any = "poisson", **options: Any) -> mme.GeneralisedFit:
    """A random intercept of thirty groups."""
    x = np.random.default_rng(99).normal(size=N)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return mme.glmer("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": GROUP}), family, **options)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mean", [0.4, 6.0])
def test_counts_of_the_family_are_ordinary(seed: int, mean: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.poisson(mean * np.exp(0.5 * rng.normal(size=30))[GROUP])
    fit = fit_of(y)
    assert not fit.diagnose()
    found = reference(fit.internals)
    assert found is not None
    assert 0.8 < found.ratio < 1.25


def test_counts_that_spread_more_are_overdispersed() -> None:
    rng = np.random.default_rng(1)
    mean = 4.0 * np.exp(0.4 * rng.normal(size=30))[GROUP]
    fit = fit_of(rng.poisson(mean * rng.gamma(2.0, 0.5, N)))
    diagnosis = fit.diagnose()
    assert "overdispersion" in diagnosis.kinds
    assert "negative binomial" in str(diagnosis)
    found = reference(fit.internals)
    assert found is not None
    assert found.ratio == pytest.approx(1.0 + 4.0 / 2.0, rel=0.35)


def test_more_zeros_than_the_family_gives_are_found() -> None:
    rng = np.random.default_rng(2)
    y = rng.poisson(5.0 * np.exp(0.3 * rng.normal(size=30))[GROUP]) * rng.binomial(1, 0.7, N)
    assert "zero inflation" in fit_of(y).diagnose().kinds
    many = rng.poisson(20.0, N) * rng.binomial(1, 0.6, N)
    assert "zero inflation" in fit_of(many, mme.NegativeBinomial()).diagnose().kinds


def test_proportions_that_spread_more_are_overdispersed() -> None:
    rng = np.random.default_rng(3)
    p = expit(rng.normal(size=N) * 0.9)
    fit = fit_of(rng.binomial(20, p) / 20.0, "binomial", weights=np.full(N, 20.0))
    assert "overdispersion" in fit.diagnose().kinds


def test_few_binary_answers_a_level_ask_for_quadrature() -> None:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(150), 3)
    data = pd.DataFrame({"y": rng.binomial(1, expit(rng.normal(size=150)[g])), "g": g})
    fit = mme.glmer("y ~ 1 + (1 | g)", data)
    assert fit.diagnose().kinds == ("small groups",)
    assert "n_agq=9" in str(fit.diagnose())
    assert not mme.glmer("y ~ 1 + (1 | g)", data, n_agq=9).diagnose()


def test_single_binary_answers_do_not_tell_their_variance() -> None:
    y = np.random.default_rng(5).binomial(1, 0.4, 80)
    fit = mme.glmer("y ~ 1 + (1 | o)", pd.DataFrame({"y": y, "o": np.arange(80)}))
    assert "single answers" in fit.diagnose().kinds


def test_separation_singular_fits_and_few_levels_are_findings() -> None:
    with pytest.warns(mme.MMEWarning):
        separated = glmm_case("sep_quasi").fit()
    assert "separation" in separated.diagnose().kinds
    assert "f2lo" in str(separated.diagnose())
    herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "of": [14, 12, 9, 5, 21, 22]}
    kinds = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds).diagnose().kinds
    assert kinds == ("singular", "few levels")


def test_ordinary_reference_models_have_no_findings() -> None:
    assert not glmm_fit("contra_slope").diagnose()
