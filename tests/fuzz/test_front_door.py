"""Whatever is handed in: a fit whose numbers are numbers, or a sentence that says what to write instead."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mme
from fuzz.tables import FORMULAS, ODD, PLAIN

pytestmark = pytest.mark.filterwarnings("ignore")  # other libraries say much while tables are made

SIMPLE = st.sampled_from(
    [
        "y ~ x",
        "y ~ x + (1 | g)",
        "y ~ f + (x | g)",
        "y ~ f*x + (1 | g:h)",
        "y ~ `the name` + (1 | h)",
        "y ~ factor(x) + (1 | g)",
        "x ~ 1 + (1 | f)",
        "y ~ poly(x, 2) + (0 + f | g)",
        "y ~ scale(z) + I(x^2) + (1 | `the name`)",
    ]
)
RESIDUALS = st.sampled_from(
    [
        mme.AR1("x", "g"),
        mme.CompoundSymmetry("g"),
        mme.Unstructured("f", "g"),
        mme.Toeplitz("f", "g"),
        mme.Heterogeneous("f"),
        mme.Exponential("z", "g"),
        mme.PowerOfCovariate("z"),
    ]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["REML", "ML"]),
        "weights": st.sampled_from(["z", "x"]),
        "offset": st.sampled_from(["x", "z"]),
        "sigma": st.just(1.0),
        "residual": RESIDUALS,
    },
)
# Arguments that are no good; one of them at a time.
WRONG = st.sampled_from(
    [
        {"method": "x"},
        {"method": None},
        {"weights": "absent"},
        {"weights": [1.0]},
        {"weights": "f"},
        {"offset": "f"},
        {"offset": 1j},
        {"sigma": 0.0},
        {"sigma": "x"},
        {"sigma": math.nan},
        {"theta": []},
        {"theta": [math.nan]},
        {"theta": "x"},
        {"na_action": "x"},
        {"residual": "x"},
        {"residual": mme.AR1("absent", "g")},
        {"relationship": 1},
        {"residual": [1]},
        {"method": np.zeros(3)},
        {"na_action": pd.NA},
        {"sigma": 2**1100},
        {"sigma": [1.0]},
        {"subset": "x"},
        {"contrasts": "sum"},
        {"phi": {"rho": 0.5}},
        {"relationship": {"absent": np.eye(2)}},
        {"relationship": {"g": np.eye(2)}},
    ]
)
QUESTIONS: dict[str, Callable[[mme.Fit, Any], object]] = {
    "summary": lambda fit, data: str(fit.summary()),
    "coefficients": lambda fit, data: fit.coefficients(),
    "ranef": lambda fit, data: (fit.ranef(), fit.coef(), fit.condvar(), fit.pev(), fit.shrinkage()),
    "confint": lambda fit, data: fit.confint(),
    "anova": lambda fit, data: fit.anova(),
    "means": lambda fit, data: fit.means("f"),
    "predict": lambda fit, data: fit.predict(data, new_levels="population"),
    "interval": lambda fit, data: fit.predict(interval="prediction"),
    "diagnose": lambda fit, data: str(fit.diagnose()),
    "influence": lambda fit, data: (fit.leverage(), fit.cooks_distance()),
    "simulate": lambda fit, data: fit.simulate(1, seed=1),
}
QUESTION = st.sampled_from(sorted(QUESTIONS))
# Arguments that are no words, levels, counts or names.
NOTHING = (
    1j,
    -1,
    2**70,
    math.nan,
    "absent",
    b"x",
    [],
    [[1]],
    {"x": "a"},
    {1: 2},
    np.zeros((2, 2)),
    np.array(None),
    pd.NA,
    pd.DataFrame({"x": [1.0]}),
    pd.Series([1.0]),
    object(),
)
ASKED: dict[str, Callable[[mme.Fit, Any], object]] = {
    "anova ddf": lambda fit, bad: fit.anova(ddf=bad),
    "anova type": lambda fit, bad: fit.anova(type=bad),
    "augment": lambda fit, bad: fit.augment(bad),
    "bootstrap": lambda fit, bad: fit.bootstrap(1, seed=bad),
    "confint method": lambda fit, bad: fit.confint(bad),
    "confint level": lambda fit, bad: fit.confint(level=bad),
    "contrast": lambda fit, bad: fit.contrast(bad),
    "contrast joint": lambda fit, bad: fit.contrast({"x": 1}, joint=bad),
    "contrast rhs": lambda fit, bad: fit.contrast({"x": 1}, rhs=bad),
    "dfbeta": lambda fit, bad: fit.dfbeta(by=bad),
    "draws": lambda fit, bad: fit.draws(bad),
    "heritability": lambda fit, bad: fit.heritability(bad),
    "means": lambda fit, bad: fit.means(bad),
    "means at": lambda fit, bad: fit.means("f", at=bad),
    "means adjust": lambda fit, bad: fit.means("f", pairs=True, adjust=bad),
    "predict newdata": lambda fit, bad: fit.predict(bad),
    "predict random": lambda fit, bad: fit.predict(random=bad),
    "predict interval": lambda fit, bad: fit.predict(interval=bad),
    "predict new levels": lambda fit, bad: fit.predict(new_levels=bad),
    "profile": lambda fit, bad: fit.profile(bad),
    "ranef": lambda fit, bad: fit.ranef(by=bad),
    "refit": lambda fit, bad: fit.refit(bad),
    "residuals": lambda fit, bad: fit.scaled_residuals(bad),
    "simulate": lambda fit, bad: fit.simulate(bad),
    "simulate seed": lambda fit, bad: fit.simulate(seed=bad),
    "test": lambda fit, bad: fit.test(bad),
    "tidy": lambda fit, bad: fit.tidy(bad),
    "tidy level": lambda fit, bad: fit.tidy(level=bad),
}


def require_words(call: Callable[[], object]) -> None:
    """Call: nothing comes out but what is asked for, or a refusal that is a sentence for a person."""
    said = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", mme.MMEWarning)
        try:
            call()
        except mme.MMEError as refusal:
            said = str(refusal)
    assert said is None or (20 < len(said) < 1000 and "np." not in said)


def asked(formula: str, data: Any, options: dict[str, Any], question: str) -> None:
    """Fit, and ask the fit."""
    fit = mme.lmer(formula, data, **options)
    assert np.isfinite(fit.criterion)
    QUESTIONS[question](fit, data)


@given(FORMULAS, PLAIN, OPTIONS, QUESTION)
def test_any_formula_on_a_table_is_fitted_or_refused_in_words(formula, data, options, question):
    require_words(lambda: asked(formula, data, options, question))


@given(SIMPLE, ODD, QUESTION)
def test_any_table_is_fitted_or_refused_in_words(formula, data, question):
    require_words(lambda: asked(formula, data, {}, question))


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(4)
    data = {"x": np.tile([1.0, 2.0, 4.0], 8), "f": list("ab") * 12, "g": np.repeat(list("uvwz"), 6)}
    return mme.lmer("y ~ x + f + (1 | g)", data | {"y": rng.normal(size=24) + np.repeat(rng.normal(size=4), 6)})


@pytest.mark.parametrize("question", ASKED)
def test_an_argument_of_a_question_that_is_nothing_is_refused_in_words(fit, question):
    for bad in NOTHING:
        require_words(lambda bad=bad: ASKED[question](fit, bad))


@given(SIMPLE, PLAIN, WRONG)
def test_a_wrong_argument_is_refused_in_words(formula, data, wrong):
    require_words(lambda: asked(formula, data, wrong, "summary"))
