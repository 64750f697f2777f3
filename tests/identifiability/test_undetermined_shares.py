"""A variance that is held at zero because the data do not determine it is no estimate of a share."""

import numpy as np
import pytest

import mme


@pytest.fixture(scope="module")
def sleep():
    data = mme.load("sleepstudy")
    return data.assign(half=data["Subject"].astype(int) % 2)


def test_the_share_of_a_factor_within_the_fixed_effects_is_unknown(sleep):
    fit = mme.lmer("Reaction ~ Days + factor(half) + (Days | Subject) + (1 | half)", sleep)
    without = mme.lmer("Reaction ~ Days + factor(half) + (Days | Subject)", sleep)
    assert np.isnan(fit.icc()["half"])
    assert fit.variance_shares().loc["half"].isna().all()
    np.testing.assert_allclose(fit.icc()[["Subject", "all"]], without.icc(), rtol=1e-6)
    np.testing.assert_allclose(fit.variance_shares().drop("half"), without.variance_shares(), rtol=1e-6)
    np.testing.assert_allclose(fit.r2(), without.r2(), rtol=1e-6)


def test_shares_of_terms_that_cannot_be_told_apart_are_unknown_and_their_sum_is_not(sleep):
    fit = mme.lmer("Reaction ~ Days + (1 | Subject) + (Days | Subject)", sleep)
    one = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    assert fit.icc().drop("all").isna().all()
    assert fit.icc()["all"] == pytest.approx(one.icc()["all"], rel=1e-6)
    np.testing.assert_allclose(fit.r2(), one.r2(), rtol=1e-6)


def test_shares_of_variances_of_zero_are_zero():
    data = mme.load("Dyestuff2")
    assert mme.lmer("Yield ~ 1 + (1 | Batch)", data).icc().to_dict() == {"Batch": 0.0, "all": 0.0}
