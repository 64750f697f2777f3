"""After a fit by iteration: what works, and what says that it is not there."""

import numpy as np
import pandas as pd
import pytest
from designs import ratings

import mme
from mme.numeric.limits import Limits, within


@pytest.fixture(scope="module")
def data():
    return pd.DataFrame(ratings(0))


@pytest.fixture(scope="module")
def fit(data):
    return mme.lmer("y ~ x + (1 | user) + (1 | item)", data, engine="iterative")


@pytest.fixture(scope="module")
def exact(data):
    return mme.lmer("y ~ x + (1 | user) + (1 | item)", data, engine="exact")


def test_the_engine_says_what_is_of_chance(fit):
    said = fit.engine.stochastic
    assert said.probes >= 30
    assert 0.0 < said.error <= 0.02
    assert said.criterion_error > 0.0
    text = str(fit.engine)
    assert "conjugate gradients" in text
    assert "standard errors of the exact estimates of the variances (95 %" in text


def test_summary_coefficients_predictions_and_draws_of_responses_work(fit, exact, data):
    assert "user" in fit.summary()
    table, other = fit.coefficients(), exact.coefficients()
    np.testing.assert_allclose(table["estimate"], other["estimate"], atol=1e-3)
    np.testing.assert_allclose(table["df"], other["df"], rtol=0.05)
    np.testing.assert_allclose(fit.predict(data.head(20)), exact.predict(data.head(20)), atol=2e-3)
    assert fit.simulate(2, seed=1).shape == (len(data), 2)
    np.testing.assert_allclose(fit.residuals, exact.residuals, atol=5e-3)
    np.testing.assert_allclose(fit.varcorr["user"].sd, exact.varcorr["user"].sd, rtol=2e-3)


@pytest.mark.parametrize(
    "ask",
    [
        lambda fit, data: fit.condvar(),
        lambda fit, data: fit.pev(),
        lambda fit, data: fit.reliability(),
        lambda fit, data: fit.leverage(),
        lambda fit, data: fit.predict(data.head(), interval="confidence"),
        lambda fit, data: fit.coefficients(ddf="kenward-roger"),
        lambda fit, data: fit.confint(method="profile"),
    ],
)
def test_what_needs_a_factor_says_so(fit, data, ask):
    with pytest.raises(mme.MMEError, match="engine='exact'"):
        ask(fit, data)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | user) + (1 | item)", "y ~ x + (x | user) + (x || item)"])
def test_variances_of_chosen_levels_are_those_of_the_exact_engine_at_the_same_parameters(data, formula):
    exact = mme.lmer(formula, data, engine="exact")
    fit = mme.lmer(formula, data, engine="iterative", theta=exact.theta)
    levels = {"item": [7, 3, 200], "user": [11]}
    for ask in ("condvar", "pev", "reliability"):
        found, chosen, whole = (
            getattr(fit, ask)(levels=levels),
            getattr(exact, ask)(levels=levels),
            getattr(exact, ask)(),
        )
        for name, labels in levels.items():
            np.testing.assert_allclose(found[name], chosen[name], rtol=1e-7, atol=1e-10)
            at = [list(exact.ranef()[name].index).index(label) for label in labels]
            np.testing.assert_allclose(chosen[name], np.asarray(whole[name])[at], rtol=1e-12)
    assert fit.reliability(levels=levels)["item"].index.tolist() == [7, 3, 200]


def test_levels_that_are_not_there_are_named(fit):
    with pytest.raises(mme.MMEError, match=r"levels: 'item' has no level '999'; its levels are '0', '1', '2', ..."):
        fit.pev(levels={"item": [1, 999]})
    with pytest.raises(mme.MMEError, match="levels: there is no term 'films'; the fit has 'user', 'item'"):
        fit.pev(levels={"films": [1]})
    with pytest.raises(mme.MMEError, match="levels are given by grouping factor"):
        fit.pev(levels=[1])


def test_a_fit_that_was_saved_is_solved_by_the_same_engine_and_knows_its_error(fit, tmp_path):
    fit.save(tmp_path / "fit.mme")
    read = mme.load_fit(tmp_path / "fit.mme")
    assert read.engine.remainder == fit.engine.remainder
    assert read.engine.stochastic == fit.engine.stochastic
    assert read.criterion == fit.criterion
    np.testing.assert_allclose(read.beta, fit.beta, rtol=1e-12)


def ratio(data, engine):
    """The likelihood-ratio test of x."""
    small, large = (
        mme.lmer(f"y ~ {x} + (1 | user) + (1 | item)", data, engine=engine, method="ML") for x in ("1", "x")
    )
    return mme.anova(small, large)


def test_likelihood_ratios_are_those_of_the_exact_engine_where_the_error_of_the_criterion_is_small(data):
    found, exact = ratio(data, "iterative"), ratio(data, "exact")
    assert found["chisq"].iloc[1] == pytest.approx(exact["chisq"].iloc[1], abs=0.05)


def test_likelihood_ratios_are_refused_where_the_error_of_the_criterion_matters(data):
    item = ((data["user"] + np.arange(len(data)) % 3) % 260).to_numpy()  # levels meet their neighbours alone
    along = data.assign(item=item, y=data["y"] + np.random.default_rng(1).standard_normal(260)[item])
    with pytest.raises(mme.MMEError, match=r"criterion.*engine='exact'"):
        ratio(along, "iterative")


def test_the_words_of_engine_are_checked(data):
    with pytest.raises(mme.MMEError, match="engine must be 'auto', 'exact' or 'iterative', got 'fast'"):
        mme.lmer("y ~ x + (1 | user) + (1 | item)", data, engine="fast")
    with pytest.raises(mme.MMEError, match="independent residuals"):
        mme.lmer("y ~ x + (1 | user)", data, engine="iterative", residual=mme.CompoundSymmetry("item"))


def test_auto_is_exact_until_a_factor_takes_too_many_operations_or_too_much_memory(data):
    formula = "y ~ x + (1 | user) + (1 | item)"
    assert "Cholesky" in mme.lmer(formula, data).engine.remainder
    with within(Limits(dense_operations=1e5)):
        fit = mme.lmer(formula, data)
        assert "conjugate gradients" in fit.engine.remainder
        assert any("operations" in reason for reason in fit.engine.reasons)
        assert "Cholesky" in mme.lmer(formula, data, engine="exact").engine.remainder


def test_auto_is_iterative_where_a_factor_does_not_fit_the_memory(data):
    bytes_of_factor = 8 * 210 * 210
    with within(Limits(dense_whatever_fill=0, memory=bytes_of_factor - 10_000)):
        fit = mme.lmer("y ~ x + (1 | user) + (1 | item)", data)
        assert "conjugate gradients" in fit.engine.remainder
        with pytest.raises(mme.MemoryForecastError, match="engine='iterative' needs no factor"):
            mme.lmer("y ~ x + (1 | user) + (1 | item)", data, engine="exact")


def test_one_factor_has_nothing_to_iterate(data):
    assert mme.lmer("y ~ x + (1 | user)", data, engine="iterative").engine.remainder == "none"


def test_auto_is_iterative_where_workers_move_between_all_firms_and_exact_where_they_stay_near():
    rng = np.random.default_rng(1)
    worker = rng.integers(3000, size=9000)
    y, X, first = rng.standard_normal(9000), np.ones((9000, 1)), np.arange(3000) // 5
    with within(Limits(dense_up_to=100, dense_whatever_fill=0, dense_operations=1e6)):
        for far, engine in ((600, "conjugate gradients"), (2, "CHOLMOD")):
            firm = (first[worker] + rng.integers(far, size=9000)) % 600
            fit = mme.fit(y, X, [mme.Term(worker, name="worker"), mme.Term(firm, name="firm")], theta=[0.5, 0.5])
            assert engine in fit.engine.remainder
