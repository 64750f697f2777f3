"""Any text and any tree of a formula gives a design or an MMEError that says why, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mme.errors import FormulaError, MemoryForecastError, MMEError
from mme.formula.algebra import expand
from mme.formula.bars import split
from mme.formula.design import design
from mme.formula.parser import parse_expression
from mme.formula.syntax import deparse
from mme.inference.fixed.hypotheses import read_hypotheses

# what looks like a slip, as most of this does, warns
pytestmark = pytest.mark.filterwarnings("ignore::mme.errors.MMEWarning")

DATA = {
    "y": np.linspace(0.5, 3.0, 12),
    "x": np.array([1, 4, 2, 8, 5, 7, 1, 3, 9, 6, 2, 4]),
    "z": np.append(np.linspace(-1.0, 1.0, 11), np.nan),
    "f": list("abcabcabcabc"),
    "o": pd.Categorical(list("hlmhlmhlmhlm"), categories=list("lmh"), ordered=True),
    "b": np.arange(12) % 2 == 0,
    "t": pd.date_range("2024-01-01", periods=12),
    "g": np.repeat([1, 2, 3], 4),
    "M": np.column_stack([np.arange(12.0), np.arange(12.0) ** 2]),
    "a name": np.arange(12.0),
}
NAMES = ["x", "z", "f", "o", "b", "t", "g", "M", "`a name`", "none", ".", "TRUE", "pi", "sum"]
CALLS = [
    *("log", "I", "factor", "ordered", "C", "dummy", "scale", "poly", "bs", "ns", "relevel", "ifelse", "mean", "c"),
    *("as.numeric", "as.integer", "as.character", "as.logical", "as.Date", "offset", "contr.treatment", "contr.poly"),
    *("round", "us", "diag", "cs", "ar1", "ou", "str", "np.maximum", "Treatment", "unknown"),
]
KEYWORDS = [
    "levels",
    "labels",
    "base",
    "degree",
    "df",
    "knots",
    "ref",
    "hom",
    "center",
    "scores",
    "how.many",
    "nothing",
]
NUMBERS = ["0", "1", "2", "3L", "-1", "0.5", "1e9", "1e400", "1e-400"]
OPERATORS = ["+", "-", "*", "/", ":", "^", "%in%", "%%", "|", "||", "&", "<", "==", "!="]

leaves = st.one_of(
    st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(NUMBERS), st.sampled_from(['"a"', "'1'"])
)


def branches(inner):
    keyword = st.tuples(st.sampled_from(KEYWORDS), inner).map(" = ".join)
    return st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(" ".join),
        inner.map("({})".format),
        st.tuples(st.sampled_from(["-", "!", "+"]), inner).map("".join),
        st.tuples(st.sampled_from(CALLS), st.lists(st.one_of(inner, inner, keyword), max_size=3).map(", ".join)).map(
            lambda call: f"{call[0]}({call[1]})"
        ),
        st.tuples(inner, st.sampled_from(["g", "f", "g/f", "g:f", "x"])).map(lambda bar: f"({bar[0]} | {bar[1]})"),
    )


trees = st.recursive(leaves, branches, max_leaves=8)


def made_or_refused(formula, **options):
    try:
        return design(formula, DATA, **options)
    except MMEError:
        return None


@given(trees)
@example("x^1e400")
@example("round(x, 1e400)")
@example("bs(x, df = 1e9)")
def test_any_tree_of_terms_makes_a_design_or_says_why_not(terms):
    made = made_or_refused(f"y ~ {terms}")
    if made is not None:
        assert made.X.shape == (made.y.size, len(made.x_names))
        assert np.isfinite(made.X).all()
        np.testing.assert_array_equal(made.spec.rows(DATA).X[made.kept], made.X)


@given(trees)
def test_any_expression_may_be_the_response_the_weights_and_the_subset(expression):
    made_or_refused(f"{expression} ~ x + (1 | g)")
    made_or_refused("y ~ x + (1 | g)", weights=expression)
    made_or_refused("y ~ x + (1 | g)", subset=expression)


@given(st.one_of(st.text(max_size=30), st.text(alphabet="yxg01~|+-*/:^()., '`=<&!\"²٣\x00\\", max_size=30)))
def test_any_text_is_a_formula_or_is_refused(text):
    for formula in (text, f"y ~ {text}", f"y ~ x + ({text} | g)", f"y ~ ({text}"):
        made_or_refused(formula)


@given(trees)
def test_what_is_written_reads_as_what_it_was(expression):
    try:
        written = deparse(parse_expression(expression))
    except MMEError:
        return
    assert deparse(parse_expression(written)) == written
    assert parse_expression(written) == parse_expression(expression)


# ---- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nested", ["({n})", "I({n})", "-{n}", "2^{n}", "({n} | g)", "log(x, base = {n})", "x + ({n})", "[{n}]"]
)
def test_nesting_without_end_is_refused_with_words(nested):
    n = 3_000
    before, after = nested.split("{n}")
    for formula in (f"y ~ {before * n}x{after * n}", f"y ~ {before * n}", f"{before * n}y{after * n} ~ x"):
        with pytest.raises(MMEError, match=r"more than 100 .* within each other"):
            split(formula)


@pytest.mark.parametrize("symbol", ["*", ":", "/", "-", "<", "&", "%in%"])
def test_a_long_chain_within_a_term_is_refused_with_words(symbol):
    chain = f" {symbol} ".join(["x"] * 3_000)
    with pytest.raises(MMEError, match=r"more than 100 .* within each other"):
        design(f"y ~ I({chain})", DATA)


def test_a_sum_of_hundreds_of_columns_is_a_term():
    made = design("y ~ I(" + " + ".join(["x"] * 500) + ")", DATA)
    np.testing.assert_array_equal(made.X[:, 1], 500.0 * DATA["x"])


@pytest.mark.parametrize("nested", ["({n}a{m}", "-{n}a", "2*({n}a + 1{m}"])
def test_a_hypothesis_nested_without_end_is_refused_with_words(nested):
    before, _, after = nested.partition("{n}")
    text = before * 3_000 + after.replace("{m}", ")" * 3_000)
    with pytest.raises(FormulaError, match="more than 100 parentheses or signs within each other"):
        read_hypotheses(text, ["a", "b"])


def test_a_hypothesis_is_as_deep_as_its_brackets_within_each_other_not_as_many_as_there_are():
    weights, constants, _ = read_hypotheses(" + ".join(["(-a)"] * 300), ["a", "b"])
    np.testing.assert_array_equal(np.append(weights, constants), [-300.0, 0.0, 0.0])


@pytest.mark.parametrize("text", ["1e400 * a", "a = 1e400", "a / 1e-320", "2 * " * 2_000 + "a"])
def test_a_hypothesis_beyond_the_range_of_numbers_is_named(text):
    with pytest.raises(MMEError, match="beyond the range of double precision"):
        read_hypotheses(text, ["a", "b"])


@given(st.text(alphabet="ab()+-*/=,`.1e9 ~", max_size=20))
def test_any_text_is_a_hypothesis_or_is_refused(text):
    try:
        rows, right, labels = read_hypotheses(text, ["a", "b", "a:b", "(Intercept)"])
    except MMEError:
        return
    assert len(rows) == len(right) == len(labels)
    assert np.isfinite(rows).all()


# ---- forecasts -----------------------------------------------------------------------------------------------------

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "terms",
    [
        f"({' + '.join(LETTERS)})^20",
        " * ".join(LETTERS),
        f"({' + '.join(f'x{i}' for i in range(1_000))})^2",
        f"({' + '.join(LETTERS[:12])})^12 * ({' + '.join(LETTERS[12:])})^12",
    ],
)
def test_more_interactions_than_anyone_reads_are_refused_before_they_are_made(terms):
    with pytest.raises(FormulaError, match="stands for more than 20000 terms; name the interactions"):
        expand(split(f"y ~ {terms}").fixed, terms)


def test_all_interactions_of_a_dozen_variables_are_made():
    terms = f"({' + '.join(LETTERS[:12])})^12"
    assert len(expand(split(f"y ~ {terms}").fixed, terms).terms) == 2**12 - 1


@pytest.mark.parametrize("sign", ["+", "-"])
def test_ten_thousand_terms_are_read(sign):
    terms = f" {sign} ".join(f"x{i}:f" for i in range(10_000))
    parsed = split(f"y ~ {terms} + (1 | g)")
    assert len(expand(parsed.fixed, parsed.formula).terms) == (10_000 if sign == "+" else 1)


@pytest.mark.parametrize("basis", ["bs(x, df = 1e9)", "ns(x, 1e9)", "poly(x, 1e9, raw = TRUE)", "cr(x, df = 1e9)"])
def test_a_basis_too_large_for_memory_is_forecast(basis):
    with pytest.raises(MemoryForecastError, match=r"would take 8e\+09 GB for 12 rows, this machine has"):
        design(f"y ~ {basis}", DATA)


def test_the_message_on_a_long_formula_shows_the_place_and_not_all_of_it():
    names = " + ".join(f"x{i}" for i in range(10_000))
    with pytest.raises(FormulaError) as caught:
        split(f"y ~ {names} + ) + {names}")
    _, line, caret = str(caught.value).split("\n")
    assert len(line) < 140
    assert line[caret.index("^")] == ")"
