"""Where a search would wait long for its factors, ``engine="auto"`` does without, and says so."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from designs import ratings
from wide import SPARSE

import mme
import mme.search.loop as loop
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.engine.without_factor import is_awaited
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


def test_a_search_is_awaited_where_only_a_factor_serves():
    """Whatever its operations: where an engine is named, of one factor, and beside what iteration does not know."""
    rng, n = np.random.default_rng(1), 60
    g, h, y, X = rng.integers(0, 9, n), rng.integers(0, 7, n), rng.normal(size=n), np.ones((n, 1))
    terms = [mme.Term(g, name="g"), mme.Term(h, name="h")]
    free = mme.objective(y, X, terms)
    given = {
        "an engine is named": dataclasses.replace(free, model=free.model.beside(engine="exact")),
        "it is iterative already": Objective.of(
            free.model, plan=dataclasses.replace(free.plan, summed=True, iterative=True)
        ),
        "nothing is absorbed": Objective.of(free.model, plan=Plan(None, False)),
        "one factor": mme.objective(y, X, terms[:1]),
        "a residual structure": mme.objective(y, X, terms, residual=mme.AR1(np.arange(n)), phi={"rho": 0.3}),
        "a parameter is held": mme.fit(y, X, terms, hold={"V_g": 0.5}).internals.objective,
        "bounds": mme.fit(y, X, terms, bounds={"V_g": (0.1, 2.0)}).internals.objective,
        "two labels a record": mme.objective(y, X, [terms[0], mme.Term((h, (h + 1 + g % 2) % 7), name="h")]),
    }
    with within(Limits(awaited_operations=0.0)):
        assert is_awaited(free)
        for name, objective in given.items():
            assert not is_awaited(objective), name
    for share, awaited in ((1.0, False), (0.99, True)):
        with within(Limits(awaited_operations=share * free.flops)):
            assert is_awaited(free) == awaited
