"""Where a search would wait long for its factors, ``engine="auto"`` does without, and says so."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from designs import ratings
from wide import SPARSE

import mme
import mme.search.loop as loop
from mme.numeric.limits import Limits, within

FORMULA = "y ~ x + (1 | user) + (1 | item)"
# A factor of 210 items: 3.1e6 operations.
AWAITED = Limits(awaited_operations=1e6)


@pytest.fixture(scope="module")
def data():
    return ratings(3)


def test_a_search_that_would_wait_goes_by_iteration_within_the_error_that_it_states(data):
    exact = mme.lmer(FORMULA, data)
    with within(AWAITED):
        fit = mme.lmer(FORMULA, data)
        assert "engine='exact'" in str(fit.engine)
        assert "Cholesky" in mme.lmer(FORMULA, data, engine="exact").engine.remainder
    assert "conjugate gradients" in fit.engine.remainder
    apart = fit.theta - exact.theta
    error = float(np.sqrt(0.5 * apart @ exact.optimum.hessian @ apart))
    assert error < fit.engine.stochastic.error + 1e-3
    assert fit.engine.stochastic.error <= 0.02


def test_it_is_the_fit_that_engine_iterative_gives_and_stays_it(data, tmp_path):
    asked = mme.lmer(FORMULA, data, engine="iterative")
    with within(AWAITED):
        fit = mme.lmer(FORMULA, data)
    assert fit.theta == pytest.approx(asked.theta, rel=1e-6)
    assert fit.beta.to_numpy() == pytest.approx(asked.beta.to_numpy(), rel=1e-6)
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    assert again.engine.remainder == fit.engine.remainder
    assert again.criterion == pytest.approx(fit.criterion, rel=1e-9)
    assert fit.refit(data["y"]).engine.remainder == fit.engine.remainder


def test_what_takes_one_factor_or_needs_one_is_exact(data):
    with within(AWAITED):
        assert "Cholesky" in mme.lmer(FORMULA, data, theta=[0.7, 0.5]).engine.remainder
        assert "Cholesky" in mme.lmer(FORMULA, data, hold={"V_user": 0.5}).engine.remainder


def test_a_wide_X_whose_errors_take_a_factor_waits_four_times_as_long(data):
    items = sp.csr_array((np.ones(2500), (np.arange(2500), data["item"])), shape=(2500, 210))
    X = sp.csr_array(sp.hstack([data["x"][:, None], items]))
    given = data["y"], X, [mme.Term(data["user"], name="user")]
    with within(SPARSE):
        exact = mme.fit(*given)
    operations = exact.internals.objective.flops
    with within(dataclasses.replace(SPARSE, awaited_operations=operations / 2.0)):
        assert np.isfinite(mme.fit(*given).se).all()
    with within(dataclasses.replace(SPARSE, awaited_operations=operations / 8.0)):
        fit = mme.fit(*given)
    assert "conjugate gradients" in fit.engine.remainder
    assert np.asarray(fit.beta) == pytest.approx(np.asarray(exact.beta), abs=1e-2)


def test_a_search_whose_probes_leave_too_much_to_chance_is_made_again_with_factors(data, monkeypatch):
    monkeypatch.setattr(loop, "TOLERATED", 0.0)
    exact = mme.lmer(FORMULA, data)
    with within(dataclasses.replace(AWAITED, most_probes=30)):
        fit = mme.lmer(FORMULA, data)
    assert fit.engine.stochastic is None
    assert fit.criterion == pytest.approx(exact.criterion, abs=1e-7)
