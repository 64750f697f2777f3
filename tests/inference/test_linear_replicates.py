"""What a bootstrap of a linear model is made of: pieces of work, groups, bounds, and what is given throughout."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import mme
from mme.generalised.sparse import SparseEquations
from mme.inference.intervals.generalised_bootstrap import _safe_start_method
from mme.inference.intervals.profile import _all_of_it, _curve, _in_full
from mme.inference.intervals.refits import parameters_of, replicates, safe_start_method

RNG = np.random.default_rng(5)
G, T = np.repeat(np.arange(8), 5), np.tile(np.arange(5), 8)
DATA = pd.DataFrame(
    {
        "g": np.array(list("abcdefgh"))[G],
        "half": np.where(G < 4, "first", "second"),
        "one": "all",
        "t": T,
        "late": 1.0 + (T > 2),
        "x": RNG.normal(size=40),
        "y": RNG.normal(size=8)[G] + RNG.normal(size=40),
    }
)


def stream(seed: int) -> np.random.Generator:
    """That of the second replicate."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))


@pytest.mark.parametrize(("n", "least"), [(10, 1), (10, 3), (1, 5), (1000, 1), (1000, 250)])
def test_pieces_of_work_are_all_numbers_in_order_of_which_each_has_at_least_so_many(n, least):
    def worker(numbers: range) -> tuple[np.ndarray, list[str]]:
        return np.array(numbers), []

    pieces = [rows for rows, _ in replicates(worker, n, 1, "fork", least)]
    np.testing.assert_array_equal(np.concatenate(pieces), np.arange(n))
    assert all(piece.size >= least for piece in pieces[:-1])
    assert len(pieces) <= 17  # sixteen, and what is left


@pytest.mark.parametrize("related", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_processes_do_not_share_what_cholmod_has_made(sparse, related):
    """Its threads do not survive a fork: neither of a sparse factor nor of the relationship that is drawn from."""
    terms = [SimpleNamespace(relationship=None), SimpleNamespace(relationship="A" if related else None)]
    fork = "fork" if sys.platform == "linux" and not sparse and not related else "spawn"
    model = SimpleNamespace(terms=terms)
    for rest, dense in (((1,), False),) if sparse else (((), False), ((), True), ((1,), True)):
        of = SimpleNamespace(rest=rest, plan=SimpleNamespace(dense=dense), model=model)
        assert safe_start_method(of) == fork
    equations = object.__new__(SparseEquations) if sparse else None
    assert _safe_start_method(SimpleNamespace(equations=equations, model=model)) == fork


def test_parameters_have_the_bounds_of_their_kind():
    fit = mme.lmer("y ~ x + (1 | g)", DATA, residual=mme.AR1("t", "g"))
    low, high = fit.bootstrap(1, seed=1, workers=1).behind.bounds
    assert low.tolist() == [0.0, 0.0, -1.0, -np.inf, -np.inf]
    assert high.tolist() == [np.inf, np.inf, 1.0, np.inf, np.inf]


def test_what_is_given_of_the_residuals_has_no_replicates_and_what_is_not_has(capfd):
    residual = [mme.AR1("t", "g"), mme.PowerOfCovariate("late")]
    whole = mme.lmer("y ~ x + (1 | g)", DATA, residual=residual)
    first, second = list(whole.residual)
    for given, free in ((first, second), (second, first)):
        fit = mme.lmer("y ~ x + (1 | g)", DATA, residual=residual, phi={given: 0.2})
        boot = fit.bootstrap(2, seed=1, workers=1)
        is_nan = dict(zip(boot.names, np.isnan(boot.values).all(axis=0).tolist(), strict=True))
        assert {name for name, nan in is_nan.items() if nan} == {given}
        own, errors = boot.behind.standard_errors(boot.theta, boot.values)
        refit = fit.refit(fit.simulate(seed=stream(1)).iloc[:, 0])
        np.testing.assert_allclose(boot.values[1, -2:], refit.beta, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(errors[1, -2:], refit.se, rtol=1e-4)
        np.testing.assert_allclose(own[-2:], fit.se, rtol=1e-12)
        assert np.isfinite(boot.values[:, boot.names.index(free)]).all()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("theta", [0.3, 2.0])
def test_parameters_at_a_theta_are_those_of_the_fit_with_it(theta):
    of = mme.lmer("y ~ x + late + (1 | g)", DATA[:-7]).internals.objective
    held = mme.lmer("y ~ x + late + (1 | g)", DATA[:-7], theta=[theta])
    found = parameters_of(of, np.array([theta]))
    np.testing.assert_allclose(found, [theta * held.sigma, held.sigma, *held.beta], rtol=1e-9)


def test_groups_are_drawn_and_left_out_by_the_factor_that_is_named():
    fit = mme.lmer("y ~ x + (1 | g)", DATA)
    boot = fit.bootstrap(3, draws="cases", by=DATA["half"], seed=2, workers=1)
    assert boot.converged.all()
    left = boot.behind.without_groups()
    expected = [mme.lmer("y ~ x + (1 | g)", DATA[DATA["half"] != half]).beta for half in ("first", "second")]
    np.testing.assert_allclose(left[:, -2:], expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(mme.MMEError, match="two groups at the least, and there is one"):
        fit.bootstrap(3, draws="cases", by=DATA["one"], seed=2, workers=1)


def test_a_model_without_random_effects_draws_its_records():
    fit = mme.lm("y ~ x", DATA)
    drawn = stream(3).integers(0, 40, 40)
    boot = fit.bootstrap(2, draws="cases", seed=3, workers=1)
    np.testing.assert_allclose(boot.values[1, -2:], mme.lm("y ~ x", DATA.iloc[drawn]).beta, rtol=1e-6)


def test_curves_without_knots_have_their_bounds_for_limits():
    whole = SimpleNamespace(names=("sd", "cor"), bounds=((0.0, np.inf), (-1.0, 1.0)))
    maximum = SimpleNamespace(names=("sd", "cor"), values=np.array([0.0, np.nan]))
    for curve in (_all_of_it(whole, "cor"), _curve(maximum, "cor", 7.0, 1.96)):
        assert (curve.values.shape, curve.zeta.shape, curve.parameters.shape) == ((0,), (0,), (0, 2))
        assert (curve.bounds, curve.complete) == ((-1.0, 1.0), (True, True))
        assert [curve.limit(-1.96), curve.limit(1.96)] == [-1.0, 1.0]


def test_a_parameter_is_named_without_its_term_where_that_is_told_by_the_name():
    names = ("rho.row|ar1(row):ar1(col)", "rho.col|ar1(row):ar1(col)", "range|a", "range|b", "x", "x|a")
    for short, full in (("rho.row", names[0]), ("rho.col", names[1]), ("x", "x"), ("range", "range"), ("z", "z")):
        assert _in_full(short, names) == full
