"""Regression splines: the bases cr() and cc() against formulaic's, and by what defines them."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.formula.splines import cc, cr

X = np.round(np.random.default_rng(1).normal(size=80), 1)
NEW = np.linspace(-6, 6, 50)
CASES = [
    {"df": 4},
    {"df": 7},
    {"df": 5, "constraints": "center"},
    {"knots": [-0.5, 0.0, 0.7]},
    {"knots": [-0.5, 0.1, 0.7], "constraints": "center"},
]


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("spline", [cr, cc])
def test_columns_are_those_of_formulaic_and_so_is_what_is_remembered(spline, options):
    theirs = pytest.importorskip("formulaic").transforms.TRANSFORMS[spline.__name__]
    kept: dict = {}
    ours: dict = {}
    for x in (X, NEW):
        columns = theirs(x, _state=kept, extrapolation="extend", **options)
        expected = np.column_stack([columns[j] for j in columns])
        np.testing.assert_allclose(spline(ours, x, **options).values, expected, atol=1e-13)
    # What was saved when formulaic made the columns serves as well.
    old = {name: one.tolist() if isinstance(one, np.ndarray) else one for name, one in kept.items()}
    np.testing.assert_allclose(spline(old, NEW, **options).values, expected, atol=1e-13)


def test_a_natural_spline_is_straight_beyond_its_knots_and_one_at_each():
    state: dict = {}
    cr(state, X, df=5)
    knots = np.asarray(state["knots"])
    np.testing.assert_allclose(cr(state, knots).values, np.eye(5), atol=1e-14)
    beyond = cr(state, knots[-1] + np.array([1.0, 2.0, 3.0])).values
    np.testing.assert_allclose(np.diff(beyond, 2, axis=0), 0, atol=1e-13)


@pytest.mark.parametrize("df", [2, 3, 6])
def test_a_cyclic_spline_comes_back_smoothly(df):
    state: dict = {}
    cc(state, X, df=df)
    low, high = state["knots"][0], state["knots"][-1]
    step = 1e-4 * np.array([-1.0, 0.0, 1.0])
    np.testing.assert_allclose(cc(state, high + step).values, cc(state, low + step).values, atol=1e-12)
    slopes = [np.diff(cc(state, low + at).values, axis=0) for at in (step[:2], step[1:])]
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-7)
    assert np.abs(slopes[0]).max() > 1e-6


def test_centred_columns_sum_to_zero_over_the_data_of_the_fit():
    state: dict = {}
    np.testing.assert_allclose(cr(state, X, df=4, constraints="center").values.sum(axis=0), 0, atol=1e-12)
    assert np.abs(cr(state, NEW).values.sum(axis=0)).max() > 0.1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cr({}, X), r"cr\(\) takes df or knots"),
        (lambda: cr({}, X, df=4, knots=[0.0]), r"cr\(\) takes df or knots"),
        (lambda: cr({}, X, df=1), r"cr\(\): df must be at least 2, got 1"),
        (lambda: cc({}, X, df=2.5), "whole number"),
        (lambda: cr({}, X, knots=[99.0]), "inside of"),
        (lambda: cr({}, np.ones(5), df=3), "does not vary"),
        (lambda: cr({}, X, df=4, constraints="centre"), 'must be "center"'),
        (lambda: cr({}, X, df=4, constraints=[1, 2]), "2 numbers for 5 columns"),
    ],
)
def test_what_cannot_be_a_spline_is_refused_in_words(call, said):
    with pytest.raises(mme.MMEError, match=said):
        call()


def test_a_formula_takes_them_and_predicts_its_own_rows():
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ cr(Days, df=4) + (1 | Subject)", data)
    assert fit.beta.index[1:].tolist() == [f"cr(Days, df = 4){j}" for j in (1, 2, 3)]
    np.testing.assert_allclose(fit.predict(data), fit.fitted, rtol=1e-12)
