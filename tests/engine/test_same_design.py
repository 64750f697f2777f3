"""Small models of one design, fitted one after another: what is kept of a design changes no number of any fit."""

import numpy as np
import pytest

import mme
from mme.numeric.limits import Limits, within

N = 48
rng = np.random.default_rng(15)
x, g, h = rng.normal(size=N), np.repeat(np.arange(8), 6), np.tile(np.arange(6), 8)
X = np.column_stack([np.ones(N), x])
Y = rng.normal(size=(3, N)) + rng.normal(size=8)[g] + x * rng.normal(size=8)[g]

DESIGNS = {
    "an intercept": lambda: (X, [mme.Term(g, name="g")], {}),
    "a slope": lambda: (X, [mme.Term(g, X, name="g")], {}),
    "a slope of its own": lambda: (X, [mme.Term(g, name="g"), mme.Term(g, x[:, None], name="g", columns=["x"])], {}),
    "unequal levels": lambda: (X, [mme.Term(np.minimum(g, 5), X, name="g")], {}),
    "crossed": lambda: (X, [mme.Term(g, name="g"), mme.Term(h, name="h")], {}),
    "crossed, a slope": lambda: (X, [mme.Term(g, X, name="g"), mme.Term(h, name="h")], {}),
    "maximum likelihood": lambda: (X, [mme.Term(g, name="g")], {"method": "ML"}),
    "weights": lambda: (X, [mme.Term(g, X, name="g")], {"weights": 1.0 + h}),
    "an offset": lambda: (X, [mme.Term(g, name="g")], {"offset": 0.1 * h}),
    "a known sigma": lambda: (X, [mme.Term(g, name="g")], {"sigma": 1.3}),
    "no fixed effects": lambda: (np.zeros((N, 0)), [mme.Term(g, name="g")], {}),
    "a dropped column": lambda: (np.column_stack([X, 2.0 * x]), [mme.Term(g, name="g")], {}),
    "a column of zeros and ones": lambda: (X, [mme.Term(g, name="g"), mme.Term(h == 0, name="first")], {}),
}


def fit(y, design):
    columns, terms, options = design()
    return mme.fit(y, columns, terms, **options)


def alone(y, design):
    """The fit of a design of which nothing is known."""
    with within(Limits(designs_known=0)):
        return fit(y, design)


def numbers(one):
    at = one.optimum
    ranef = [table.to_numpy() for table in one.ranef().values()]
    return [at.theta, at.criterion, at.evaluations, at.hessian, at.gradient, one.beta.to_numpy(), one.sigma, *ranef]


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_met_before_gives_the_numbers_of_one_met_first_to_the_last_bit(name):
    fits = [fit(y, DESIGNS[name]) for y in Y]
    for one, y in zip(fits, Y, strict=True):
        other = alone(y, DESIGNS[name])
        assert one.optimum.verdict == other.optimum.verdict
        for found, wanted in zip(numbers(one), numbers(other), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("records", [200, 1200])
def test_no_digit_is_lost_beside_effects_a_thousand_times_as_large_as_residuals(records):
    level = np.arange(records) % 12
    large = 3e3 * np.cos(level) + rng.normal(size=(2, records))

    def design():
        return np.ones((records, 1)), [mme.Term(level, name="g")], {}

    fits = [fit(y, design) for y in large]
    for found, wanted in zip(fits, [alone(y, design) for y in large], strict=True):
        assert found.optimum.criterion == wanted.optimum.criterion
        np.testing.assert_array_equal(found.theta, wanted.theta)


SIBS = mme.Relationship(covariance=0.5 * np.eye(8) + 0.5, levels=range(8))
CHANGED = {
    "a covariate": lambda: (X, [mme.Term(g, X + 0.1 * np.eye(N, 2), name="g")], {}),
    "a fixed column": lambda: (X + 0.1 * np.eye(N, 2), [mme.Term(g, X, name="g")], {}),
    "a label": lambda: (X, [mme.Term(np.where(np.arange(N) == 0, 1, g), X, name="g")], {}),
    "weights": lambda: (X, [mme.Term(g, X, name="g")], {"weights": np.where(np.arange(N) == 0, 2.0, 1.0)}),
    "the method": lambda: (X, [mme.Term(g, X, name="g")], {"method": "ML"}),
    "the structure": lambda: (X, [mme.Term(g, X, name="g", covariance="diagonal")], {}),
    "sigma": lambda: (X, [mme.Term(g, X, name="g")], {"sigma": 1.0}),
    "a relationship": lambda: (X, [mme.Term(g, name="g", relationship=SIBS)], {}),
    "what is held": lambda: (X, [mme.Term(g, name="g")], {"hold": {"V_g": 0.5}}),
    "bounds": lambda: (X, [mme.Term(g, name="g")], {"bounds": {"V_g": (0.1, 0.2)}}),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_design_that_differs_in_anything_is_another(name):
    known = [fit(Y[0], DESIGNS[one]).optimum.criterion for one in ("a slope", "an intercept")]
    found, wanted = fit(Y[0], CHANGED[name]), alone(Y[0], CHANGED[name])
    assert found.optimum.criterion == wanted.optimum.criterion
    assert found.optimum.criterion not in known
    np.testing.assert_array_equal(found.theta, wanted.theta)


def test_within_other_limits_a_design_is_met_for_the_first_time():
    usual = fit(Y[0], DESIGNS["crossed"])
    with within(Limits(dense_whatever_fill=0, nearly_dense=1e9, fill_of_absorption=1e9)):
        sparse = fit(Y[0], DESIGNS["crossed"])
    assert usual.engine.remainder != sparse.engine.remainder
    assert fit(Y[0], DESIGNS["crossed"]).engine.remainder == usual.engine.remainder


def test_names_are_those_of_the_fit_whatever_the_design_was_called_before():
    fit(Y[0], DESIGNS["a slope"])
    labels = np.array([f"subject {level}" for level in g], dtype=object)
    named = mme.fit(Y[1], X, [mme.Term(labels, X, name="g", columns=["one", "dose"])])
    assert named.theta_names == ("g.one", "g.dose.one", "g.dose")
    assert list(named.ranef()["g"].index) == sorted(set(labels))


def test_a_response_without_residuals_is_refused_in_a_design_met_before():
    fit(Y[0], DESIGNS["a slope"])
    with pytest.raises(mme.MMEError, match="exactly"):
        fit(X @ [1.0, 2.0], DESIGNS["a slope"])
