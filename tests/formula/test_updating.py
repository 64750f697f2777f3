"""Formulas changed by formulas, by the rules of R's ``update.formula``."""

import warnings
from dataclasses import replace

import pytest

import mme
from mme.formula.algebra import expand
from mme.formula.parser import parse
from mme.formula.updating import updated, without_term

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
# Random terms in words that lme4 does not have.
WORDS = (
    "fa(0 + env | gen, k = 2)",
    "rr(0 + env | gen)",
    "us(trait):A(gen)",
    "corh(env):A(gen)",
    "A(gen)",
    "ar1(time):gen",
    "ar1(row):ar1(col)",
    "(ar1(row):ar1(col) | trial)",
    "ou(time | gen)",
    "dsum((x | gen) | env)",
)


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


@pytest.mark.parametrize("word", WORDS)
def test_random_terms_in_all_words_stay(word):
    formula = f"y ~ a + {word}"
    fixed = expand(parse(formula)[1], formula)
    assert updated(formula, "~ . + x", replace(fixed, terms=fixed.terms[:1])) == f"y ~ a + x + {word}"
    assert updated(formula, "~ . + x") == f"y ~ a + x + {word}"
    assert without_term(formula, replace(fixed, terms=fixed.terms[:1]), fixed.terms[0]) == f"y ~ 1 + {word}"


def test_a_random_term_that_is_multiplied_is_refused():
    with pytest.raises(mme.MMEError, match="cannot be multiplied"):
        updated("y ~ a + (1 | g)", "~ .:x")


def test_the_fit_of_a_longer_formula_has_the_same_random_terms():
    oats = mme.load("Oats").assign(z=range(72))
    fit = mme.lmer("yield ~ nitro + corv(Variety):Block", oats)
    longer = fit.update("~ . + z")
    assert list(longer.varcorr) == list(fit.varcorr)
    assert longer.dof == fit.dof + 1
