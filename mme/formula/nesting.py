"""The right side of a bar: columns that ``a:b`` and ``a/b`` join into grouping factors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mme.errors import FormulaError
from mme.formula.parser import parse_expression
from mme.formula.syntax import Call, Name, Node, Op, Text, deparse

_FACTOR_CALLS = ("factor", "as.factor", "C")


def columns_of(groups: Any) -> tuple[str, ...]:
    """The columns whose combinations are groups: of ``"a/b"``, ``"a:b"`` or a list of names; none of anything else.

    Examples
    --------
    >>> columns_of("block/plot"), columns_of(["block", "plot"]), columns_of("my plot")
    (('block', 'plot'), ('block', 'plot'), ())
    """
    if isinstance(groups, list | tuple) and all(isinstance(name, str) for name in groups):
        return tuple(groups)
    if not isinstance(groups, str) or not any(symbol in groups for symbol in "/:"):
        return ()
    try:
        node = parse_expression(groups)
    except FormulaError:
        return ()
    parts = list(operands(node))
    if not all(isinstance(part, Name) or (isinstance(part, Op) and part.symbol in "/:(") for part in parts):
        return ()
    return tuple(part.value for part in parts if isinstance(part, Name))


def called_as(node: Node) -> str:
    """The name of a grouping factor in results: as written, without the backticks of its columns."""
    match node:
        case Name(value):
            return value
        case Call(function, (Name(value),), ()):
            return f"{function}({value})"
        case Op(":", (left, right)):
            return f"{called_as(left)}:{f'({called_as(right)})' if isinstance(right, Op) else called_as(right)}"
    return deparse(node)


def columns_crossed(name: Node) -> Iterator[Node]:
    """The columns of a grouping factor: ``a`` and ``b`` of ``a:b``."""
    if isinstance(name, Op):
        for arg in name.args:
            yield from columns_crossed(arg)
    else:
        yield name


def levels_of(columns: Sequence[Node]) -> Call:
    """The factor of a column's levels, or of all combinations of several columns.

    Examples
    --------
    >>> deparse(levels_of([Name("arm")])), deparse(levels_of([Name("arm"), Name("sex")]))
    ('factor(arm)', 'interaction(arm, sex, sep = ":")')
    """
    first, *others = columns
    if not others:
        return Call("factor", (first,), (), first.start)
    return Call("interaction", tuple(columns), (("sep", Text(":")),), first.start)


def without_parentheses(node: Node) -> Node:
    """The expression inside the parentheses that stand round it."""
    while isinstance(node, Op) and node.symbol == "(":
        node = node.args[0]
    return node


def operands(node: Node) -> Iterator[Node]:
    """An expression and the operands of its operators, down to names, numbers and calls."""
    yield node
    if isinstance(node, Op):
        for arg in node.args:
            yield from operands(arg)


def groupings(formula: str, node: Node) -> list[Node]:
    """The grouping factors of ``a/b/c``, finest first: ``c:(b:a)``, ``b:a``, ``a``.

    Raises
    ------
    FormulaError
        One of them is no grouping factor; the message shows the place in ``formula``.
    """
    node = without_parentheses(node)
    if isinstance(node, Op) and node.symbol == "/":
        coarser = groupings(formula, node.args[0])
        finest = Op(":", (crossed(formula, node.args[1]), coarser[0]), node.start)
        return [finest, *coarser]
    return [crossed(formula, node)]


def crossed(formula: str, node: Node) -> Node:
    """A grouping factor without its parentheses: a column, ``factor()`` of one, or several of these joined by colons.

    Raises
    ------
    FormulaError
        It is something else; the message shows the place in ``formula``.
    """
    node = without_parentheses(node)
    match node:
        case Name(value) if value != ".":
            return node
        case Call(function, (Name(),), ()) if function in _FACTOR_CALLS:
            return node
        case Op(":", (left, right)):
            return Op(":", (crossed(formula, left), crossed(formula, right)), node.start)
    raise FormulaError.at(
        formula,
        node.start,
        f"'{deparse(node)}' is not a grouping factor: give a column, a:b or a/b; {_instead(node)}",
    )


def _instead(node: Node) -> str:
    """What to write for a call in the place of a grouping factor."""
    if isinstance(node, Call) and node.function in ("vm", "ped", "giv", "A") and node.args:
        name = deparse(node.args[0])
        return f"related levels are relationship={{'{name}': pedigree}} beside (1 | {name})"
    return "anything else becomes a column of the data first"
