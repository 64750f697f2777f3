"""R's ``cut``, ``interaction``, ``pmax`` and ``pmin`` in formulas: levels, labels and criteria are those of lme4."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mme

i = np.arange(36)
DATA = pd.DataFrame({"x": (7 * i) % 19 / 2, "z": (5 * i) % 13 - 4.0, "a": np.array(list("uv"))[i % 2]}).assign(
    b=np.array(list("pqr"))[i // 2 % 3], g=i // 6, y=(37 * i * i + 11 * i) % 101 / 10
)
# the call, R's names of its coefficients without the call, lme4's REML criterion of y ~ call + (1 | g), records
FROM_R = [
    ("cut(x, c(0, 3, 6, 9))", ["(3,6]", "(6,9]"], 145.1969, 34),
    ("cut(x, c(0, 3, 6, 9), include.lowest = TRUE)", ["(3,6]", "(6,9]"], 161.8548, 36),
    ("cut(x, 3)", ["(3,6]", "(6,9.01]"], 161.8548, 36),
    ("cut(x, breaks = 4, right = FALSE)", ["[2.25,4.5)", "[4.5,6.75)", "[6.75,9.01)"], 160.1934, 36),
    ("cut(z, c(-Inf, 0, 2.5, Inf))", ["(0,2.5]", "(2.5, Inf]"], 163.461, 36),
    ('cut(z, c(-4, 1, 8), labels = c("low", "high"), include.lowest = TRUE)', ["high"], 164.4867, 36),
    ("cut(x, c(0, 1.2345, 1.2349, 9), right = FALSE)", ["[1.235,9)"], 153.6758, 34),
    ("cut(z, 3, labels = FALSE)", [""], 167.1615, 36),
    ("cut(x * 1000, c(-1, 1000, 5000, 10000))", ["(1e+03,5e+03]", "(5e+03,1e+04]"], 162.9937, 36),
    ("cut(x, 3, dig.lab = 5)", ["(3,6]", "(6,9.009]"], 161.8548, 36),
    ("cut(x, 3, ordered_result = TRUE)", [".L", ".Q"], 162.9534, 36),
    ("interaction(a, b)", ["v.p", "u.q", "v.q", "u.r", "v.r"], 155.9296, 36),
    ('interaction(b, a, sep = "_")', ["q_u", "r_u", "p_v", "q_v", "r_v"], 155.9296, 36),
    ("pmax(x, z)", [""], 169.7911, 36),
    ("pmin(x, z, 3)", [""], 168.8085, 36),
]


def fitted(call: str, data: pd.DataFrame = DATA) -> mme.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return mme.lmer(f"y ~ {call} + (1 | g)", data)


@pytest.mark.parametrize(("call", "names", "criterion", "records"), FROM_R)
def test_calls_make_the_columns_of_r(call, names, criterion, records):
    fit = fitted(call)
    assert list(fit.beta.index[1:]) == [call + name for name in names]
    assert fit.criterion == pytest.approx(criterion, abs=6e-5)
    assert fit.nobs == records


def test_new_rows_fall_into_the_intervals_of_the_fit():
    fit = fitted("cut(x, 3)")
    new = DATA.head(2).assign(x=[0.0, 8.5])
    both = fit.predict(new, random=False)
    assert both.tolist() == pytest.approx([fit.beta.iloc[0], fit.beta.iloc[0] + fit.beta.iloc[2]])
    assert fit.predict(new.head(1).assign(x=2.0), random=False).tolist() == pytest.approx([fit.beta.iloc[0]])


def test_interactions_are_factors_of_means_and_missing_values_stay_missing():
    assert fitted("interaction(a, b)").means("interaction(a, b)").index[0] == "u.p"
    missing = fitted("pmax(x, z)", DATA.assign(z=DATA["z"].where(DATA["z"] > -4)))
    assert missing.nobs == int((DATA["z"] > -4).sum())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("cut(x)", "breaks"),
        ("cut(x, 1)", "at least 2"),
        ("cut(x, c(1, 1))", "differ from each other"),
        ("cut(x, c(0, 1, 2), labels = c('a'))", "2 intervals"),
        ("cut(a, 3)", "needs numbers"),
        ("cut(x, 1e9)", "at least 2"),
        ("cut(x, c('a', 'b'))", "needs numbers"),
        ("cut(x, 3, dig.lab = z)", "dig.lab"),
        ("interaction()", "takes factors"),
        ("interaction(3)", "needs a column"),
        ("pmax()", "takes columns or numbers"),
        ("pmax(a, x)", "needs numbers"),
    ],
)
def test_calls_that_cannot_be_made_are_refused_in_words(call, said):
    with pytest.raises(mme.MMEError, match=said):
        fitted(call)
