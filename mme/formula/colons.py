"""ASReml's way to write a structure beside a factor: ``fa(env, 2):gen`` is ``fa(0 + env | gen, k = 2)``."""

from __future__ import annotations

from mme.formula.nesting import without_parentheses
from mme.formula.syntax import Call, Name, Node, Number, Op

# What may stand round the factor, whose relationship is given apart.
_RELATED = ("A", "ped", "vm", "giv", "id")


def as_bar(node: Node, words: tuple[str, ...]) -> Call | None:
    """The call with a bar that ``word(column):factor`` stands for; None for any other expression.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> from mme.formula.syntax import deparse
    >>> deparse(as_bar(parse_expression("fa(env, 2):A(gen)"), ("fa",)))
    'fa(0 + env | gen, k = 2)'
    >>> as_bar(parse_expression("f:g"), ("fa",)) is None
    True
    """
    match without_parentheses(node):
        case Op(":", (Call("id", (Name(),), ()) as levels, Call(function) as other)) if function in {*words} - {"id"}:
            return as_bar(Op(":", (other, levels), node.start), words)  # in any order
        case Op(":", (Call(function, (Name() as column, *more), keywords), right)) if function in words:
            if isinstance(right, Call) and right.function in _RELATED and right.args:
                right = right.args[0]
            if not isinstance(right, Name) and not (isinstance(right, Op) and right.symbol in ":("):
                return None
            if len(more) == 1 and isinstance(more[0], Number):
                keywords = (*keywords, ("k", more[0]))
            elif more:
                return None
            left = Op("+", (Number(0.0), column), column.start)
            return Call(function, (Op("|", (left, right), node.start),), keywords, node.start)
    return None
