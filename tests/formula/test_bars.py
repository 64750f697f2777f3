"""The formula language: what parses, to what, and where a caret points when it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mme.errors import FormulaError, MMEError
from mme.formula.algebra import expand
from mme.formula.bars import split
from mme.formula.parser import parse_expression
from mme.formula.syntax import deparse


def bars_of(formula):
    return [(bar.name, written(bar.left), bar.covariance) for bar in split(formula).bars]


def written(terms):
    return [str(int(terms.intercept)), *(":".join(map(deparse, term)) for term in terms.terms)]


def expanded(text, dot=None):
    return written(expand(parse_expression(text), text, None if dot is None else lambda: dot))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("y ~ (1 | g)", [("g", ["1"])]),
        ("y ~ (x | g)", [("g", ["1", "x"])]),
        ("y~(0+x|g)", [("g", ["0", "x"])]),
        ("y ~ (x - 1 | g)", [("g", ["0", "x"])]),
        ("y ~ (x || g)", [("g", ["1"]), ("g", ["0", "x"])]),
        ("y ~ (x1 + x2 || g)", [("g", ["1"]), ("g", ["0", "x1"]), ("g", ["0", "x2"])]),
        ("y ~ (0 + f || g)", [("g", ["0", "f"])]),
        ("y ~ (1 | a:b)", [("a:b", ["1"])]),
        ("y ~ (1 | a/b)", [("b:a", ["1"]), ("a", ["1"])]),
        ("y ~ (1 | a/b/c)", [("c:(b:a)", ["1"]), ("b:a", ["1"]), ("a", ["1"])]),
        ("y ~ (x || b/c)", [("c:b", ["1"]), ("b", ["1"]), ("c:b", ["0", "x"]), ("b", ["0", "x"])]),
        ("y ~ (x | a) + (1 | a)", [("a", ["1", "x"]), ("a", ["1"])]),
        ("y ~ ((1 | a) + (1 | b)) + x", [("a", ["1"]), ("b", ["1"])]),
        ("y ~ (1 | factor(g))", [("factor(g)", ["1"])]),
        ("y ~ (poly(x, 2) * z | `my g`)", [("my g", ["1", "poly(x, 2)", "z", "poly(x, 2):z"])]),
        ("y ~ (1 | `my g`/b)", [("b:my g", ["1"]), ("my g", ["1"])]),
        ("y ~ (1 | factor(`my g`):b)", [("factor(my g):b", ["1"])]),
        ("y ~ x", []),
        ("y ~ 1 | g", [("g", ["1"])]),
        ("y ~ x | a/b", [("b:a", ["1", "x"]), ("a", ["1", "x"])]),
        ("y ~ x || g", [("g", ["1"]), ("g", ["0", "x"])]),
    ],
)
def test_a_bar_expands_as_in_lme4(formula, expected):
    assert bars_of(formula) == [(name, left, "unstructured") for name, left in expected]


def test_structure_words_round_a_bar_name_its_covariance():
    formula = "y ~ us(x | g) + diag(x | g) + cs(0 + f | g) + ar1(0 + f | a/b)"
    assert [(name, kind) for name, _, kind in bars_of(formula)] == [
        ("g", "unstructured"),
        ("g", "diagonal"),
        ("g", "cs"),
        ("b:a", "ar1"),
        ("a", "ar1"),
    ]


@pytest.mark.parametrize(
    ("formula", "fixed"),
    [
        ("y ~ x + (1 | g)", "x"),
        ("y ~ (1 | g) + x * z - 1", "x * z - 1"),
        ("y ~ (1 | g) - 1", "-1"),
        ("y ~ `a:b` * c + (1 | g)", "`a:b` * c"),
        ("y ~\n  x +\n\t(1 | g)  ", "x"),
        ("y ~ I(x > 0 | z > 1) + (1 | g)", "I(x > 0 | z > 1)"),
    ],
)
def test_the_fixed_part_is_the_formula_without_its_bars(formula, fixed):
    assert deparse(split(formula).fixed) == fixed


def test_nothing_but_bars_leaves_the_intercept():
    assert split("y ~ (1 | g)").fixed is None
    assert split("y ~ 1 | g").fixed is None
    assert written(expand(None, "")) == ["1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a*b", ["1", "a", "b", "a:b"]),
        ("a:b + a", ["1", "a", "a:b"]),
        ("b:a + a", ["1", "a", "b:a"]),
        ("a/b", ["1", "a", "a:b"]),
        ("a/(b + c)", ["1", "a", "a:b", "a:c"]),
        ("(a + b)/c", ["1", "a", "b", "a:b:c"]),
        ("(a + b + c)^2 - a:b", ["1", "a", "b", "c", "a:c", "b:c"]),
        ("(a + b)**2", ["1", "a", "b", "a:b"]),
        ("x^2", ["1", "x"]),
        ("a*b*c - a:b:c", ["1", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("b %in% a", ["1", "b:a"]),
        ("0 + a", ["0", "a"]),
        ("a - 1", ["0", "a"]),
        ("-1 + a", ["0", "a"]),
        ("0 + a + 1", ["1", "a"]),
        ("a - 0", ["1", "a"]),
        ("a + offset(z) + a", ["1", "a"]),
        ("I(x^2) + I(x ** 2) + `I`", ["1", "I(x^2)", "I"]),
    ],
)
def test_terms_expand_and_sort_as_in_r(text, expected):
    assert expanded(text) == expected


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("x + offset(z)", ["z"]),
        ("offset(z) + x + offset(z) + offset(w)", ["z", "w"]),
        ("offset(z) * f + offset(z):f", ["z"]),
        ("offset(z) + offset(w) - offset(z)", ["w"]),
        ("x - offset(z)", []),
    ],
)
def test_an_offset_counts_once_and_can_be_taken_out(text, offsets):
    assert [deparse(node) for node in expand(parse_expression(text), text).offsets] == offsets


def test_a_dot_is_every_column_given_for_it():
    assert expanded(". - b + a:b", ["a", "b", "c"]) == ["1", "a", "c", "a:b"]


def test_a_sum_of_thousands_of_terms_parses():
    names = [f"x{i}" for i in range(3000)]
    parsed = split(f"y ~ {' + '.join(names)} + (1 | g) - x7")
    assert len(expand(parsed.fixed, parsed.formula).terms) == 2999


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("poly(x,2)", "poly(x, 2)"),
        ("I( x**2 )", "I(x^2)"),
        ("I((x+1)/-2.50)", "I((x + 1)/-2.5)"),
        ("bs(x,df=4,knots=[1,2])", "bs(x, df = 4, knots = c(1, 2))"),
        ("f=='b'", 'f == "b"'),
        ("log(100000*x)", "log(1e+05 * x)"),
        ("2L^-1", "2L^-1"),
        ("-x^2", "-x^2"),
        ("x.1%%2", "x.1%%2"),
        ("Q('my x')", "`my x`"),
        ("splines::ns(x, 2)", "splines::ns(x, 2)"),
    ],
)
def test_an_expression_prints_as_in_r(text, printed):
    assert deparse(parse_expression(text)) == printed
    assert deparse(parse_expression(printed)) == printed


@pytest.mark.parametrize(
    ("formula", "problem", "place"),
    [
        ("y", "no '~'", 1),
        ("", "no '~'", 0),
        ("y ~", "ends where a term", 3),
        ("y ~ x +", "ends where a term", 7),
        ("~ x", "no response", 0),
        ("y ~ x ~ z", "second '~'", 6),
        ("y ~ (1 | g", "never closed", 4),
        ("y ~ log(x", "never closed", 7),
        ("y ~ x)", "closes nothing", 5),
        ("y ~ ( | g)", "left of the bar", 6),
        ("y ~ (1 | )", "right of the bar", 9),
        ("y ~ x + 1 | g", "needs parentheses: without them it takes all of 'x + 1' and of 'g'.", 10),
        ("y ~ 1 | g + x", "takes all of '1' and of 'g + x'.", 6),
        ("y ~ (1 | g) + x | h", "takes all of '(1 | g) + x' and of 'h'", 16),
        ("y ~ 1 | g | h", "takes all of '1 | g' and of 'h'", 10),
        ("y ~ 0 + x | g", "(x + 1 | g) for random slopes without their fixed", 10),
        ("y ~ 1 | log(g)", "'log(g)' is not a grouping factor", 8),
        ("y ~ (1 | a:b) + (1 | `a:b`)", "two grouping factors are called 'a:b'", 9),
        ("y ~ x * (1 | g)", "stands alone", 11),
        ("y ~ x - (1 | g)", "stands alone", 11),
        ("y ~ (x | (1 | g))", "within a bar", 12),
        ("y ~ (1 | g + h)", "'g + h' is not a grouping factor", 11),
        ("y ~ (1 | log(g))", "'log(g)' is not a grouping factor", 9),
        ("y ~ (0 | g)", "nothing is left of this bar", 5),
        ("y ~ (offset(x) | g)", "outside the bars", 5),
        ("y ~ (. | g)", "name the columns", 5),
        ("y ~ diag(x || g)", "'||' inside diag()", 11),
        ("y ~ cs(x | g, hom = 2)", "hom must be TRUE or FALSE", 20),
        ("y ~ us(x | g, hom = TRUE)", "takes no 'hom'", 4),
        ("(1 | g) ~ x", "to the right of '~'", 3),
        ("y ~ x $ z", "'$' means nothing", 6),
        ("y ~ 'x", "quote ' is never closed", 4),
        ("y ~ x z", "'z' where an operator", 6),
        ("y ~\nx z", "'z' where an operator", 6),
    ],
)
def test_a_formula_that_does_not_parse_has_a_caret_under_the_place(formula, problem, place):
    with pytest.raises(FormulaError) as caught:
        split(formula)
    message, text, caret = str(caught.value).split("\n")
    assert problem in message
    assert text == "    " + formula.replace("\n", " ")
    assert caret == " " * (4 + place) + "^"


@pytest.mark.parametrize(
    ("text", "problem"), [("x + 2", "number 2"), ("(a + b)^x", "whole number"), ("'x'", "backticks")]
)
def test_what_is_not_a_term_is_refused(text, problem):
    with pytest.raises(FormulaError, match=problem):
        expanded(text)


def test_a_formula_is_a_string():
    with pytest.raises(MMEError, match=r"must be a string.*got int"):
        split(3)


@given(st.lists(st.sampled_from([*"yxg01~|+-*/:^()., '`=<&!", "||", "log(", "c(", "%in%", "[", "]"]), max_size=14))
def test_any_text_parses_or_raises_a_formula_error(pieces):
    formula = "y ~ " + "".join(pieces)
    try:
        parsed = split(formula)
        expand(parsed.fixed, parsed.formula, lambda: ["x", "g"])
    except FormulaError:
        pass
