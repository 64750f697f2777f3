"""Linear hypotheses as text: Python's own arithmetic reads the same, and what is not linear is refused."""

from itertools import product

import numpy as np
import pytest

import mme
from mme.inference.fixed.hypotheses import read_hypotheses

NAMES = ("a", "b", "c", "d")
AT = dict(zip(NAMES, (0.7, -1.3, 2.9, 0.4), strict=True))
BETA = np.array(list(AT.values()))


def number(rng, depth):
    """Text without names."""
    if depth == 0 or rng.random() < 0.4:
        return str(rng.choice(["2", "3.", ".5", "1e1", "0.25", "1", "7"]))
    one, other = number(rng, depth - 1), number(rng, depth - 1)
    return str(rng.choice([f"({one} + {other})", f"{one}*{other}", f"({one}  -{other})", f"(+{one} )", f"{one}/7"]))


def linear(rng, depth):
    """Text with names, linear in them."""
    name = str(rng.choice(NAMES))
    if depth == 0:
        return name
    one, other, k = linear(rng, depth - 1), linear(rng, depth - 1), number(rng, depth - 1)
    forms = [
        f"{one} + {other}",
        f"({one}  -  {k})",
        f"{k} * ({other})",
        f"({one} - ({other})) *{k}",
        f"({one})/7 + {name}",
    ]
    return str(rng.choice([*forms, f"-({one})", f"- -{name} - {k}/2"]))


@pytest.mark.parametrize("seed", range(40))
def test_a_hypothesis_says_what_the_same_text_is_in_python(seed):
    """L beta - r is the left side less the right one, at any beta."""
    rng = np.random.default_rng(seed)
    sides = [linear(rng, 3), *([], [number(rng, 2)], [linear(rng, 2), number(rng, 2)])[seed % 3]]
    values = [eval(side, {}, AT) for side in sides]
    L, right, labels = read_hypotheses(" = ".join(sides), NAMES)
    expected = -np.diff(values) if len(sides) > 1 else values
    np.testing.assert_allclose(L @ BETA - right, expected, rtol=1e-12, atol=1e-12)
    assert labels == [f"{one} = {other}" for one, other in zip(sides, [*sides[1:], "0"], strict=False)][: len(L)]


@pytest.mark.parametrize(("one", "other"), list(product(NAMES, NAMES)))
def test_products_and_quotients_of_any_two_coefficients_are_refused(one, other):
    for text in (f"2 + 3*{one} * {other}", f"({one} - 1) * (2 - {other})"):
        with pytest.raises(mme.MMEError, match="not linear"):
            read_hypotheses(text, NAMES)
    for text in (f"{one} / {other}", f"{one} / (1 + {other})", f"{one} / ({other} - {other})"):
        with pytest.raises(mme.MMEError, match="only division by a number other than zero"):
            read_hypotheses(text, NAMES)


def test_equations_beside_each_other_are_those_apart():
    texts = ["a = b", "2*c = 3 = d - a", "b + c"]
    together, apart = read_hypotheses(" ,".join(texts), NAMES), [read_hypotheses(text, NAMES) for text in texts]
    np.testing.assert_array_equal(together[0], np.vstack([L for L, _, _ in apart]))
    np.testing.assert_array_equal(together[1], np.concatenate([right for _, right, _ in apart]))
    assert together[2] == [label for _, _, labels in apart for label in labels]


@pytest.mark.parametrize("name", NAMES)
def test_each_coefficient_alone_is_something_to_test_and_what_cancels_is_not(name):
    assert read_hypotheses(name, NAMES)[0].tolist() == [[float(one == name) for one in NAMES]]
    with pytest.raises(mme.MMEError, match=f"'2\\*{name} - {name} - {name} = 3' has no coefficient left"):
        read_hypotheses(f"a = b, 2*{name} - {name} - {name} = 3", NAMES)


def test_the_longest_name_that_fits_is_read_whatever_the_order_of_names():
    for names in (["a", "a:fx", "(a)"], ["(a)", "a:fx", "a"]):
        L, right, _ = read_hypotheses("2*a:fx - a = (a) + 1", names)
        assert dict(zip(names, L[0].tolist(), strict=True)) == {"a": -1.0, "a:fx": 2.0, "(a)": -1.0}
        assert right.tolist() == [1.0]
    for text in ("a = 1 2", "a b", "a = 1)"):
        with pytest.raises(mme.FormulaError, match="expected an operator, '=' or ','"):
            read_hypotheses(text, NAMES)


def test_a_hundred_within_each_other_are_read_and_no_more_whatever_stood_before():
    """A name counts as one, and each sign or bracket about it as one more."""
    for before in ("", "(a) + -b - 2*(c + (d)) + " * 60):
        for inner, outer in (("-", ""), ("(", ")")):
            deepest = read_hypotheses(before + inner * 99 + "a" + outer * 99, NAMES)
            assert np.isfinite(deepest[0]).all()
            with pytest.raises(mme.FormulaError, match="more than 100"):
                read_hypotheses(before + inner * 100 + "a" + outer * 100, NAMES)


def test_what_is_no_text_is_refused_and_what_is_no_name_is_shown():
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", data)
    with pytest.raises(mme.MMEError, match=r"a hypothesis is text, such as 'Days = 0'; for weights see contrast"):
        fit.test([0, 1])
    for text, caret in (("a + zz = 1", "'zz' is no coefficient"), ("a = ", "expected a coefficient or a number")):
        with pytest.raises(mme.FormulaError, match=caret):
            read_hypotheses(text, NAMES)
    with pytest.raises(mme.MMEError, match=r"'b = 1e400' has a weight or a constant beyond"):
        read_hypotheses("a = 1, b = 1e400", NAMES)
