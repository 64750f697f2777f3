"""Profiles of likelihoods with several valleys: zeta falls outwards only where the likelihood itself does."""

import warnings

import numpy as np
import pytest
from fuzz.problems import problem

import mme
from mme.inference.intervals.deviance import Deviance, Point
from mme.search.joint import Joint


def profiled(number, name):
    """The profile of one parameter of a small problem, and the fit by ML."""
    given = problem(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        fit = mme.lmer(given.formula, given.table, **given.options)
        return fit, fit.profile([name])


# Some knots of each were in a valley of the other parameters above the lowest: zeta fell by 0.03 to 0.55 after them.
STUCK = [
    (32, "cor_x.(Intercept)|g"),
    (33, "sd_ff1|g"),
    (43, "sd_x|g"),
    (54, "cor_ff1.(Intercept)|g"),
    (63, "ff1"),
    (89, "cor_x.(Intercept)|g"),
    (95, "sd_u|h"),
    (95, "cor_u.(Intercept)|h"),
]


@pytest.mark.parametrize(("number", "name"), STUCK)
def test_a_profile_follows_the_lowest_valley(number, name):
    curve = profiled(number, name)[1].curves[name]
    assert np.diff(curve.zeta).min() > -1e-4
    assert not curve.turns


def test_where_zeta_falls_no_start_finds_a_lower_deviance():
    fit, profile = profiled(95, "sigma")
    curve, record = profile.curves["sigma"], fit.internals
    falls = np.flatnonzero(np.diff(curve.zeta) < -1e-4)
    assert falls.size
    assert curve.turns
    objective = record.objective.by_ml()
    deviance = Deviance(Joint(objective.model, objective))
    rng = np.random.default_rng(0)
    for i in {*falls.tolist(), *(falls + 1).tolist()}:
        sigma, rise = float(curve.values[i]), float(curve.zeta[i] ** 2)
        lowest = min(_descended(deviance, sigma, start) for start in rng.normal(size=(12, 4)) * [2.0, 2.0, 1.0, 2.0])
        assert lowest - profile.deviance > rise - 1e-6


def _descended(deviance, sigma, start):
    from scipy.optimize import minimize

    def f(theta):
        return deviance(Point(theta, np.zeros(0), sigma=sigma))

    return minimize(f, start, method="Nelder-Mead", options={"maxiter": 2000, "xatol": 1e-6, "fatol": 1e-8}).fun
