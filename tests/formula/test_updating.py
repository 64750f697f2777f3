"""Formulas changed by formulas, by the rules of R's ``update.formula``."""

import warnings

import pytest

import mme
from mme.formula.updating import updated

# R 4.2.2: update(old, change), its "- 1" written as "0 +", random terms last.
UPDATED = [
    ("y ~ a*b + (1|g)", "~ . - a:b", "y ~ a + b + (1 | g)"),
    ("y ~ a*b + (1|g)", "~ . - a", "y ~ b + a:b + (1 | g)"),
    ("y ~ x + (1|g)", "~ . + I(x^2)", "y ~ x + I(x^2) + (1 | g)"),
    ("y ~ x + (1|g)", ". ~ . + I(x^2)", "y ~ x + I(x^2) + (1 | g)"),
    ("y ~ x", "z ~ .", "z ~ x"),
    ("y ~ x", "log(.) ~ .", "log(y) ~ x"),
    ("y ~ x + offset(w)", "~ . - offset(w)", "y ~ x"),
    ("y ~ x + offset(w)", "~ . + z", "y ~ x + z + offset(w)"),
    ("y ~ x + (1|g)", "~ 1", "y ~ 1"),
    ("y ~ x + (1|g)", "~ . - x - (1|g)", "y ~ 1"),
    ("y ~ x", "~ .:b", "y ~ x:b"),
    ("y ~ a + b", "~ .^2", "y ~ a + b + a:b"),
    ("y ~ 0 + x", "~ . + 1", "y ~ x"),
    ("y ~ x", "~ . - 1", "y ~ 0 + x"),
    ("y ~ x + (x||g)", "~ . - (x||g) + (1|g)", "y ~ x + (1 | g)"),
    ("y ~ x + us(x|g)", "~ . - x", "y ~ 1 + us(x | g)"),
    ("y ~ (x > 2) + (1|g)", "~ . + z", "y ~ (x > 2) + z + (1 | g)"),
    ("y ~ `a b` + (1|g)", "~ . + z", "y ~ `a b` + z + (1 | g)"),
]


@pytest.mark.parametrize(("old", "change", "new"), UPDATED)
def test_a_dot_stands_for_what_there_was(old, change, new):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert updated(old, change) == new


def test_a_dot_of_all_columns_means_the_terms_that_it_meant():
    data = mme.load("sleepstudy").assign(z=range(180))
    fit = mme.lmer("Reaction ~ . + (1 | Subject)", data)
    assert fit.update("~ . - z").formula == "Reaction ~ Days + (1 | Subject)"
    assert fit.drop1("LRT").index.tolist() == ["<none>", "Days", "z"]
