"""The terms that ``ps(x)``, ``ps(row, col)`` and ``s(x)`` stand for: a fixed part and random effects of one level."""

from __future__ import annotations

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
    names = [deparse(arg) for arg in call.args]
    if call.function == "s":
        return [(f"s({', '.join(names)})", Call("s_random", call.args, call.keywords, call.start))]
    found: list[tuple[str, Node]] = []
    for part in _PARTS.get(len(names), ()):
        columns = Call("ps_random", (*call.args, Text(part)), call.keywords, call.start)
        found.append((_called(part, names), columns))
    return found


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
