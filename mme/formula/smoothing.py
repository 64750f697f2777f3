"""The terms that ``ps(x)``, ``ps(row, col)`` and ``s(x)`` stand for: a fixed part and random effects of one level.

``s(x, by = f)``, or ``f:s(x)``, has a curve for each level of f: a line of its own, fixed, and random effects with a
variance of their own, or with ``hom = TRUE`` one variance for all, as levels of a grouping factor have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mme.formula.algebra import Terms
from mme.formula.bar import Bar
from mme.formula.nesting import called_as, levels_of, without_parentheses
from mme.formula.syntax import Call, Node, Op, Text, deparse

# The functions, by the one of their random effects.
RANDOM = {"ps": "ps_random", "s": "s_random"}
SMOOTHS = tuple(RANDOM)
# The smooths of one coordinate and of two: of x, of y, of one times the other, of both.
_PARTS = {1: ("x",), 2: ("x", "y", "x:y", "y:x", "xy")}


def smooths_of(call: Call) -> list[tuple[str, Node]]:
    """The names of the random effects, and the columns of each.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> [name for name, _ in smooths_of(parse_expression("ps(row, col)"))]
    ['f(row)', 'f(col)', 'f(row):col', 'f(col):row', 'f(row, col)']
    """
    names, keywords = [deparse(arg) for arg in call.args], without(call, "by", "hom").keywords
    if call.function == "s":
        return [(f"s({', '.join(names)})", Call("s_random", call.args, keywords, call.start))]
    found: list[tuple[str, Node]] = []
    for part in _PARTS.get(len(names), ()):
        columns = Call("ps_random", (*call.args, Text(part)), keywords, call.start)
        found.append((_called(part, names), columns))
    return found


def bars_of(call: Call, by: Node | None, columns: Sequence[Node], common: bool) -> list[Bar]:
    """The random effects of a smooth, for each level of the factor ``by``, the crossing of these columns, if given."""
    bars = [Bar(Terms(False, ((node,),)), name, (), "homogeneous diagonal") for name, node in smooths_of(call)]
    if by is None:
        return bars
    if common:
        return [replace(bar, name=f"{bar.name}:{called_as(by)}", factors=tuple(columns)) for bar in bars]
    return [replace(bar, by=levels_of(columns)) for bar in bars]


def is_smooth(bar: Bar) -> bool:
    """Whether a bar is of the random effects of a smooth."""
    return any(isinstance(node, Call) and node.function in RANDOM.values() for node in bar.left.variables)


def smooth_of(node: Node) -> tuple[Call, Node | None] | None:
    """A smooth and the factor for each level of which there is one; None of anything else.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> [deparse(smooth_of(parse_expression(text))[1]) for text in ("s(x, by = f)", "a:ps(x):b")]
    ['f', 'a:b']
    """
    if isinstance(node, Call) and node.function in SMOOTHS:
        return node, dict(node.keywords).get("by")
    parts = _factors(node)
    smooths = [one for one in parts if isinstance(one, Call) and one.function in SMOOTHS]
    others = [one for one in parts if one not in smooths]
    if len(smooths) != 1 or not others or "by" in dict(smooths[0].keywords) or any(map(smooth_in, others)):
        return None
    by = others[0]
    for other in others[1:]:
        by = Op(":", (by, other), other.start)
    return smooths[0], by


def without(call: Call, *keywords: str) -> Call:
    """The call without these keywords."""
    return replace(call, keywords=tuple(one for one in call.keywords if one[0] not in keywords))


def _factors(node: Node) -> list[Node]:
    node = without_parentheses(node)
    if isinstance(node, Op) and node.symbol == ":":
        return [part for arg in node.args for part in _factors(arg)]
    return [node]


def smooth_in(node: Node) -> Call | None:
    """Find the first smooth in an expression."""
    if isinstance(node, Call) and node.function in SMOOTHS:
        return node
    parts = node.args if isinstance(node, Op | Call) else ()
    return next((found for found in map(smooth_in, parts) if found is not None), None)


def _called(part: str, names: list[str]) -> str:
    x, y = names[0], names[-1]
    words = {"x": f"f({x})", "y": f"f({y})", "x:y": f"f({x}):{y}", "y:x": f"f({y}):{x}", "xy": f"f({x}, {y})"}
    return words[part]
