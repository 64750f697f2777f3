"""Several columns whose labels are levels of one factor: ``str(animal, dam)`` and ``overlay(sire, dam)``."""

from __future__ import annotations

from collections.abc import Sequence

from mme.errors import FormulaError
from mme.formula.nesting import crossed, without_parentheses
from mme.formula.syntax import Call, Node, Number, Op, deparse

# Round columns right of a bar: codings of one factor with a coefficient each, as ASReml writes them; with one for all.
TOGETHER, OVERLAY = "str", "overlay"


def slots(call: Call, formula: str) -> list[tuple[Node, int, float]]:
    """The column, the number of its coefficient and its weight, for each column of the call.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> found = slots(parse_expression("str(animal, overlay(mate, 0.5 * other))"), "")
    >>> [(deparse(node), share, weight) for node, share, weight in found]
    [('animal', 0, 1.0), ('mate', 1, 1.0), ('other', 1, 0.5)]
    """
    if call.function == OVERLAY:
        return [(node, 0, weight) for node, weight in (_weighted(arg, formula) for arg in call.args)]
    found: list[tuple[Node, int, float]] = []
    for share, arg in enumerate(call.args):
        inner = without_parentheses(arg)
        if isinstance(inner, Call) and inner.function == OVERLAY:
            found += [(node, share, weight) for node, _, weight in slots(inner, formula)]
        else:
            found.append((_column(arg, formula, call.function), share, 1.0))
    return found


def written_slots(factors: Sequence[Node], shares: Sequence[int], weights: Sequence[float]) -> str:
    """The call that they are the slots of.

    Examples
    --------
    >>> from mme.formula.syntax import Name
    >>> written_slots([Name("a", 0), Name("b", 0), Name("c", 0)], [0, 1, 1], [1.0, 1.0, 0.5])
    'str(a, overlay(b, 0.5 * c))'
    """
    texts = [deparse(f) if w == 1.0 else f"{w:g} * {deparse(f)}" for f, w in zip(factors, weights, strict=True)]
    parts = [[text for text, share in zip(texts, shares, strict=True) if share == s] for s in sorted(set(shares))]
    written = [part[0] if len(part) == 1 else f"{OVERLAY}({', '.join(part)})" for part in parts]
    return written[0] if len(written) == 1 else f"{TOGETHER}({', '.join(written)})"


def _weighted(node: Node, formula: str) -> tuple[Node, float]:
    """``0.5 * mgs``: the column and its weight."""
    node = without_parentheses(node)
    if isinstance(node, Op) and node.symbol == "*" and len(node.args) == 2:
        left, right = map(without_parentheses, node.args)
        for number, column in ((left, right), (right, left)):
            if isinstance(number, Number):
                return _column(column, formula, OVERLAY), float(number.value)
    return _column(node, formula, OVERLAY), 1.0


def _column(node: Node, formula: str, word: str) -> Node:
    factor = crossed(formula, node)
    if isinstance(factor, Op):
        problem = f"{word}() takes columns; make one of '{deparse(factor)}' beforehand"
        raise FormulaError.at(formula, factor.start, problem)
    return factor
