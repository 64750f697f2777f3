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


def lines() -> list[mme.Fit]:
    """A mean, a steep line, and noise beside it."""
    rng = np.random.default_rng(7)
    x, z = rng.normal(size=(2, 12))
    data = {"x": x, "z": z, "y": 3.0 * x + rng.normal(size=12)}
    return [mme.lm(f"y ~ {one}", data, method="ML") for one in ("1", "x", "x + z")]


def test_each_ratio_is_compared_with_its_own_draws_and_all_are_counted():
    told: list[tuple[int, int]] = []
    table = mme.anova(*lines(), test="bootstrap", n=600, seed=2, progress=lambda *one: told.append(one))
    assert table["p"].iloc[1] == 1 / 601
    F = np.expm1(table["chisq"].iloc[2] / 12) * 9
    assert table["p"].iloc[2] == pytest.approx(f.sf(F, 1, 9), abs=4.0 * table["p_error"].iloc[2])
    assert table["n"].tolist() == [0, 600, 600]
    assert told == sorted(told)
    assert told[0][0] < 600
    assert told[-1] == (1200, 1200)


def test_a_ratio_that_every_draw_equals_has_p_of_one():
    one = lines()[1]
    table = mme.anova(one, one, test="bootstrap", n=20, seed=1)
    assert (table["chisq"].iloc[1], table["p"].iloc[1]) == (0.0, 1.0)
