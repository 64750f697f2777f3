"""Likelihood ratios with a simulated reference: exact where theory gives the distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, f

import mme

SLEEP = mme.load("sleepstudy")


def test_p_of_the_fixed_effects_of_few_groups_is_that_of_the_exact_f_test():
    """Without random effects the ratio is n log(1 + F df / (n - p)), and F is exact: of nine records far from chi2."""
    rng = np.random.default_rng(5)
    data = {"g": np.repeat(["a", "b", "c", "d"], [3, 2, 2, 2]), "y": rng.normal(size=9)}
    small, large = (mme.lm(f"y ~ {one}", data, method="ML") for one in ("1", "g"))
    table = mme.anova(small, large, test="bootstrap", n=1000, seed=1)
    ratio, error = table["chisq"].iloc[1], table["p_error"].iloc[1]
    F = np.expm1(ratio / 9) * 5 / 3
    assert table["p"].iloc[1] == pytest.approx(f.sf(F, 3, 5), abs=4.0 * error)
    assert abs(chi2.sf(ratio, 3) - f.sf(F, 3, 5)) > 4.0 * error
    assert error == pytest.approx(np.sqrt(table["p"].iloc[1] * (1.0 - table["p"].iloc[1]) / 1000), rel=1e-12)
    assert table["n"].tolist() == [0, 1000]


def test_a_variance_at_the_edge_has_the_mixture():
    data = {"g": np.repeat(np.arange(60), 6), "y": np.random.default_rng(2).normal(size=360)}
    small, large = mme.lm("y ~ 1", data), mme.lmer("y ~ 1 + (1 | g)", data)
    table = mme.anova(small, large, test="bootstrap", n=400, seed=1)
    ratio = table["chisq"].iloc[1]
    mixture = 0.5 * chi2.sf(ratio, 1) if ratio > 0 else 1.0
    assert table["p"].iloc[1] == pytest.approx(mixture, abs=0.1)


def test_a_seed_gives_the_same_and_several_models_stand_in_order():
    formulas = ("1 + (1 | Subject)", "Days + (1 | Subject)", "Days + (Days | Subject)")
    fits = [mme.lmer(f"Reaction ~ {one}", SLEEP, method="ML") for one in formulas]
    one = mme.anova(*fits, test="bootstrap", n=60, seed=3)
    two = mme.anova(*reversed(fits), test="bootstrap", n=60, seed=3, workers=1)
    np.testing.assert_allclose(one["p"], two["p"])
    assert one["p"].iloc[1:].tolist() == [1 / 61, 1 / 61]


def test_generalised_models_are_compared_too():
    cbpp = mme.load("cbpp")
    small, large = (
        mme.glmer(f"cbind(incidence, size - incidence) ~ {one} + (1 | herd)", cbpp, family="binomial")
        for one in ("1", "period")
    )
    assert mme.anova(small, large, test="bootstrap", n=60, seed=3)["p"].iloc[1] == 1 / 61


def test_what_is_done_before_an_interruption_is_kept():
    def stop(done, _):
        if done >= 250:
            raise KeyboardInterrupt

    fits = [mme.lmer(f"Reaction ~ {one} + (1 | Subject)", SLEEP, method="ML") for one in ("1", "Days")]
    with pytest.warns(mme.MMEWarning, match="250 of 1000"):
        table = mme.anova(*fits, test="bootstrap", n=1000, seed=1, progress=stop)
    assert table["n"].tolist() == [0, 250]


def test_wrong_input_says_what_is_needed():
    fits = [mme.lmer(f"Reaction ~ {one} + (1 | Subject)", SLEEP, method="ML") for one in ("1", "Days")]
    with pytest.raises(mme.MMEError, match="'chisq' or 'bootstrap'"):
        mme.anova(*fits, test="boot")
    with pytest.raises(mme.MMEError, match="boundary"):
        mme.anova(*fits, test="bootstrap", boundary=True)
    with pytest.raises(mme.MMEError, match="seed"):
        mme.anova(*fits, seed=1)
    other = mme.lmer("Reaction ~ I(Days ** 2) + (1 | Subject)", SLEEP, method="ML")
    with pytest.raises(mme.MMEError, match="not nested"):
        mme.anova(fits[1], other, test="bootstrap", n=60)
