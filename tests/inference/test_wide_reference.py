"""Tests of many coefficients of a sparse X beside those of the same X, dense: any rows, few and many."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.fixed.methods import reference
from mme.inference.fixed.reference import Normal
from mme.numeric.limits import Limits, within
from tests.counting import entered
from tests.wide import SPARSE

LEVELS = 130


@pytest.fixture(scope="module")
def fits():
    rng = np.random.default_rng(5)
    f, g = np.repeat(np.arange(LEVELS), 3), rng.integers(0, 12, 3 * LEVELS)
    data = pd.DataFrame({"f": f.astype(str), "g": g, "x": rng.normal(size=f.size)})
    data["y"] = data["x"] + rng.normal(size=12)[g] + rng.normal(size=f.size)
    dense = mme.lmer("y ~ x + f + (1 | g)", data)
    with within(SPARSE):
        wide = mme.lmer("y ~ x + f + (1 | g)", data, start=dense.theta)
    assert wide.model.is_wide
    return dense.internals, wide.internals


Q = LEVELS - 2
UNIT, NEXT = np.eye(Q), np.diag(np.ones(Q - 1), -1)
DRAWN = np.random.default_rng(7).normal(size=(Q, Q))
# Hypotheses on the coefficients of f, or all of them but the first, and whether they span all of these.
MANY = {
    "each": (UNIT, True),
    "of other units": ((UNIT - NEXT) * np.geomspace(1e-4, 1e4, Q), True),
    "a triangle": (np.triu(DRAWN) + 5.0 * UNIT, True),
    "a triangle with a zero": (np.triu(UNIT - NEXT.T) - np.diag(UNIT[4]), False),
    "each after the one before": (UNIT - NEXT, True),
    "two that are one": (UNIT + np.outer(UNIT[3], UNIT[4]) + np.outer(UNIT[4], UNIT[3]), False),
    "a ring of differences": (UNIT - np.roll(UNIT, 1, axis=1), False),
    "some twice": (np.vstack([UNIT - NEXT, UNIT[:9]]), True),
    "all but five": (DRAWN[5:], False),
    "more than there are": (np.vstack([UNIT, UNIT[:3]])[:, 1:], True),
}


@pytest.mark.parametrize("name", MANY)
def test_the_test_of_many_rows_is_that_of_their_covariance_which_is_made_where_they_span_less(fits, name):
    dense, wide = fits
    own, spans = MANY[name]
    L = np.zeros((len(own), LEVELS + 1))
    L[:, LEVELS + 1 - own.shape[1] :] = own
    plain, to = Normal(dense.estimates.beta, dense.estimates.half), reference(wide, "satterthwaite")
    for share, shift in ((1.0, 0.0), (1.0 + 4e-6, 0.0), (1.0, 0.1)):
        if shift and len(own) > Q:
            continue  # no beta satisfies all
        difference = share * (L @ plain.beta) - shift * L.any(axis=1)
        found, expected = to.f_test(L, difference), plain.f_test(L, difference)
        assert (found.numerator, found.denominator) == (expected.numerator, np.inf)
        assert pytest.approx(expected.F, rel=1e-6) == found.F
        made = entered(lambda d=difference: to.f_test(L, d), type(wide.estimates.wide).covariance)
        assert made == int(not spans or share != 1.0 or shift != 0.0)


@pytest.mark.parametrize(("m", "columns"), [(150, 3), (4, 128), (2, 1), (1, 128)])
def test_degrees_of_freedom_of_few_rows_or_of_few_coefficients_are_those_of_a_dense_fit(fits, m, columns):
    dense, wide = fits
    L = np.zeros((m, LEVELS + 1))
    L[:, 2 : 2 + columns] = np.random.default_rng(m).normal(size=(m, columns))
    L[:, 1] = L[:, 2]  # of x, within levels, other degrees of freedom
    L = np.vstack([L, 0.0 * L[:1], 1e-3 * L[-1:]])
    L *= np.geomspace(1e-5, 1e2, len(L))[:, None]
    assert found_size(reference(wide, "none"), L) == min(m, columns + 1)
    found, expected = (reference(one, "satterthwaite") for one in (wide, dense))
    one, other = (to.f_test(L, L @ dense.estimates.beta) for to in (found, expected))
    assert (one.numerator, other.numerator) == (min(m, columns), min(m, columns))
    assert (one.F, one.denominator) == pytest.approx((other.F, other.denominator), rel=1e-4)
    some = L[L.any(axis=1)]
    np.testing.assert_allclose(found.df(some), expected.df(some), rtol=1e-4)
    np.testing.assert_allclose(found.se(L), expected.se(L), rtol=1e-7)
    made = found.half_of(some)
    np.testing.assert_allclose(made.T @ made, some @ expected.cov @ some.T, rtol=1e-6, atol=1e-9)
    nothing = found.se(np.zeros((2, LEVELS + 1)))
    assert nothing.tolist() == [0.0, 0.0]


def found_size(to, L):
    """Of how many functions of beta the covariance is made."""
    return to.narrowed(L)[1].beta.size


def test_degrees_of_freedom_of_all_are_computed_where_their_evaluations_are_few(fits):
    """Of one variance: at seven points, in the axes and in the columns of the user, an inverse and a factor each."""
    dense, wide = fits
    work = 2 * 7 * 3 * wide.engine.flops
    expected = reference(dense, "satterthwaite").every()
    with within(Limits(freedom_operations=work)):
        se, df = reference(wide, "satterthwaite").every()
    np.testing.assert_allclose(se, expected[0], rtol=1e-7)
    np.testing.assert_allclose(df, expected[1], rtol=1e-4)
    with (
        within(Limits(freedom_operations=0.99 * work)),
        pytest.warns(mme.MMEWarning, match="would take 14 evaluations"),
    ):
        assert np.isinf(reference(wide, "satterthwaite").every()[1]).all()
    se, df = reference(wide, "none").every()
    np.testing.assert_allclose(se, expected[0], rtol=1e-7)
    assert np.isinf(df).all()


def test_degrees_of_freedom_beside_the_minimum_are_those_of_the_minimum(fits):
    dense, wide = fits
    f, h = dense.objective, 1e-3 * dense.theta
    slope, curvature = (
        (f(dense.theta + h) - f(dense.theta - h)) / (2 * h),
        (f(dense.theta + h) - 2 * f(dense.theta) + f(dense.theta - h)) / h**2,
    )
    best = dense.theta - slope / curvature
    L = np.eye(LEVELS + 1)[:3]
    for sign in (-1.0, 1.0):
        theta = best + sign * np.sqrt(2.0 * 8e-7 / curvature)
        beside = replace(wide, optimum=replace(wide.optimum, theta=theta))
        found = reference(beside, "satterthwaite").df(L)
        np.testing.assert_allclose(found, reference(dense, "satterthwaite").df(L), rtol=2e-5)
