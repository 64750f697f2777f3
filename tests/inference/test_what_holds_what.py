"""Which X lies in the span of another, and which random coefficients hold others: by columns and levels in the open."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import wide

import mme
from mme.inference.comparison.comparable import basis_of, same_span, within_span
from mme.inference.comparison.random_blocks import RandomBlock, blocks, columns_by_names, spanned
from mme.numeric.limits import Limits, within

RNG = np.random.default_rng(5)
N = 24
X = RNG.normal(size=(N, 4))


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("origin", [0.0, 100.0])
def test_combinations_are_in_the_span_and_nothing_else(unit, origin):
    B = (X + origin) * np.array([1.0, unit, 1.0, 1.0])
    inside = B @ RNG.normal(size=(4, 2))
    assert spanned(inside, B)
    assert spanned(B[:, [1]], B)
    assert spanned(np.zeros((N, 1)), B)
    assert not spanned(B, inside)
    off = RNG.normal(size=(N, 1)) * 1e-5 * np.linalg.norm(inside, axis=0)
    assert not spanned(inside + off * [0.0, 1.0], B)
    assert not spanned(inside + off * [1.0, 0.0], B)
    assert spanned(np.zeros((N, 1)), np.zeros((N, 1)))


def at(codes: np.ndarray, levels: list | None = None, relationship: object = None) -> SimpleNamespace:
    """A term as far as blocks look at it."""
    names = np.arange(int(codes.max()) + 1) if levels is None else np.array(levels)
    return SimpleNamespace(codes=codes, levels=names, n_levels=len(names), relationship=relationship, name="g")


def block(term: SimpleNamespace, V: np.ndarray, pattern: str = "") -> RandomBlock:
    return RandomBlock(term, V, 1, pattern, term.codes)


def related(corner: float) -> mme.Relationship:
    precision = np.eye(6)
    precision[0, 0] = corner
    return mme.Relationship(precision=sp.csc_array(precision), levels=list(range(6)))


CODES = np.arange(N) % 6
OTHERS = np.stack([CODES, (np.arange(N) // 6) % 4 + 1])
OTHERS[1, 0] = 0


def test_one_block_holds_another_of_the_same_groups_and_columns_in_its_span():
    whole, line = block(at(CODES), X[:, :2]), block(at(CODES), X[:, :1] - 3.0 * X[:, [1]])
    assert whole.holds(line)
    assert whole.holds(block(at(5 - CODES), X[:, :1]))  # the same groups by other codes
    assert not line.holds(whole)
    assert not whole.holds(block(at(CODES), X[:, 2:3]))
    assert not whole.holds(block(at(CODES // 2), X[:, :1]))  # coarser groups
    assert not block(at(CODES // 2), X[:, :2]).holds(block(at(CODES), X[:, :1]))
    assert str(whole) == "'g'"


def test_a_pattern_holds_its_equal_alone():
    one = block(at(CODES), X[:, :2], "cs")
    assert one.holds(block(at(CODES), X[:, :2], "cs"))
    assert not one.holds(block(at(CODES), X[:, :1], "cs"))
    assert not one.holds(block(at(CODES), X[:, :2], "ar1"))
    assert not one.holds(block(at(CODES), X[:, :2]))
    assert not block(at(CODES), X[:, :2]).holds(one)


def test_groups_are_the_same_with_the_same_relationship_alone():
    two, same, three = (block(at(CODES, relationship=related(d)), X[:, :1]) for d in (2.0, 2.0, 3.0))
    plain = block(at(CODES), X[:, :1])
    assert two.holds(two)
    assert two.holds(same)
    assert not two.holds(three)
    assert not two.holds(plain)
    assert not plain.holds(two)
    fewer = SimpleNamespace(precision=sp.csc_array(np.eye(5)))
    assert not two.holds(block(at(CODES, relationship=fewer), X[:, :1]))


@pytest.mark.parametrize("pattern", ["", "cs"])
def test_columns_with_levels_of_their_own_hold_the_same_columns(pattern):
    both = block(at(OTHERS, list("abcdef")), X[:, :2], pattern)
    swapped = block(at(OTHERS[::-1], list("abcdef")), X[:, [1, 0]], pattern)
    assert both.holds(both)
    assert both.holds(swapped) == (pattern == "")  # a pattern knows the order of its columns
    one = block(at(OTHERS[[1]], list("abcdef")), X[:, [1]], pattern)
    assert both.holds(one) == (pattern == "")
    assert not one.holds(both)
    elsewhere = OTHERS.copy()
    elsewhere[1, 3] = 5 - elsewhere[1, 3]
    assert not both.holds(block(at(elsewhere, list("abcdef")), X[:, :2], pattern))
    assert not both.holds(block(at(OTHERS, list("abcdef")), X[:, [0, 2]], pattern))
    assert not both.holds(block(at(OTHERS, list("abcdef")), X[:, :2], "other"))
    assert not both.holds(block(at(OTHERS, list("abcdef"), relationship=related(2.0)), X[:, :2], pattern))
    idle = X[:, :2] * np.array([1.0, 0.0])
    moved = OTHERS * np.array([[1], [0]])
    assert block(at(OTHERS), idle, pattern).holds(block(at(moved), idle, pattern))  # a zero gives no level anything


def test_one_column_of_levels_is_held_by_several():
    both = block(at(OTHERS, list("abcdef")), X[:, :2])
    assert both.holds(block(at(OTHERS[1], list("abcdef")), X[:, [1]]))
    assert not both.holds(block(at(OTHERS[1], list("abcdef")), X[:, [0]]))
    assert not both.holds(block(at(OTHERS[1], list("uvwxyz")), X[:, [1]]))


def data() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    found = pd.DataFrame({"g": np.arange(60) % 6, "h": np.arange(60) // 6 % 5, "x": rng.normal(size=60)})
    return found.assign(
        y=rng.normal(size=60), cell="g" + found["g"].astype(str), f=np.array(list("pqr"))[rng.integers(0, 3, 60)]
    )


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        ("(1 | g)", [(1, 1, "")]),
        ("(x | g) + (1 | h)", [(2, 3, ""), (1, 1, "")]),
        ("(x || g)", [(1, 1, ""), (1, 1, "")]),
        ("diag(0 + f | g)", [(1, 1, "")] * 3),
        ("(1 | str(g, h))", [(2, 3, "")]),
        ("diag(1 | str(g, h))", [(1, 1, ""), (1, 1, "")]),
    ],
)
def test_the_blocks_of_a_model_are_its_covariances_that_no_parameter_joins(bars, expected):
    fit = mme.lmer(f"y ~ x + {bars}", data())
    found = blocks(fit.internals.model)
    assert [(one.q, one.k, one.pattern) for one in found] == expected
    assert all(one.V.shape == (60, one.q) for one in found)
    for one in found:
        assert one.by_column == ("str" in bars)
        assert one.codes.shape == ((one.q, 60) if one.by_column else (60,))


def test_blocks_of_one_column_each_have_its_values_and_its_levels():
    model = mme.lmer("y ~ x + diag(1 | str(g, h)) + (x || k)", data().assign(k=data()["g"])).internals.model
    first, second, constant, slope = blocks(model)
    table = data()
    np.testing.assert_array_equal(first.term.levels[first.codes[0]].astype(str), table["g"].astype(str))
    np.testing.assert_array_equal(second.term.levels[second.codes[0]].astype(str), table["h"].astype(str))
    np.testing.assert_array_equal(constant.V[:, 0], 1.0)
    np.testing.assert_array_equal(slope.V[:, 0], table["x"])


def test_columns_by_names_are_the_same_for_the_same_name_and_independent_for_others():
    found, again = columns_by_names(["x", "z", "x"]), columns_by_names(["z"])
    assert found.shape == (64, 3)
    np.testing.assert_array_equal(found[:, 0], found[:, 2])
    np.testing.assert_array_equal(found[:, [1]], again)
    assert np.linalg.matrix_rank(found) == 2
    assert columns_by_names([]).shape == (64, 0)


FORMULAS = {"1": "1", "x": "x", "fx": "f + x", "xf": "x + f + I(2 * x)", "f": "f", "line": "I(3e7 - 1e7 * x)"}
SPANS = {"1": {"1"}, "x": {"1", "x"}, "fx": {"1", "x", "f"}, "xf": {"1", "x", "f"}, "f": {"1", "f"}, "line": {"1", "x"}}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_span_holds_another_where_the_terms_of_one_are_among_those_of_the_other(weighted, sparse):
    table = data()
    weights = np.linspace(0.5, 2.0, 60) if weighted else None
    more = "f:cell + " if sparse else ""
    with within(wide.SPARSE if sparse else Limits()):
        fits = {
            name: mme.lmer(f"y ~ {terms} + {more}(1 | h)", table, weights=weights, theta=[0.5]).internals
            for name, terms in FORMULAS.items()
        }
    for one, fit in fits.items():
        for other, larger in fits.items():
            spans = [SPANS[name] | ({"f"} if sparse else set()) for name in (one, other)]
            assert within_span(fit, larger) == (spans[0] <= spans[1]), (one, other)
            assert same_span(fit, larger) == (spans[0] == spans[1]), (one, other)


def test_the_basis_of_a_fit_is_orthonormal_by_its_weights_and_spans_its_X():
    table, weights = data(), np.linspace(0.5, 2.0, 60)
    fit = mme.lmer("y ~ x + I(2 * x) + f + (1 | h)", table, weights=weights, theta=[0.5]).internals
    found = basis_of(fit)
    np.testing.assert_allclose(found.T @ (weights[:, None] * found), np.eye(4), atol=1e-12)
    assert spanned(fit.model.X, found)
