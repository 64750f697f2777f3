"""The tree of a formula, and the tree back to text as R prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mme.tables.spelling import r_number

NAME = re.compile(r"(?:[^\W\d]|_|\.(?!\d))[\w.]*")
RIGHT_ASSOCIATIVE = "^"
_TIGHT = ("/", ":", "^", "%%")  # R prints these without spaces round them


@dataclass(frozen=True, slots=True)
class Name:
    """A column of the data (or a constant such as TRUE)."""

    value: str
    start: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number; ``integer`` marks R's suffix L."""

    value: float
    integer: bool = False
    start: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string."""

    value: str
    start: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Op:
    """An operator and its operands, any number of them for ``+``; the symbol ``(`` keeps the user's parentheses."""

    symbol: str
    args: tuple[Node, ...]
    start: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    function: str
    args: tuple[Node, ...]
    keywords: tuple[tuple[str, Node], ...] = ()
    start: int = field(default=0, compare=False)


Node = Name | Number | Text | Op | Call


def deparse(node: Node) -> str:
    """Write a tree as R does; the result names columns and coefficients.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> deparse(parse_expression("log(x,base=10)*`my x`**2L"))
    'log(x, base = 10) * `my x`^2L'
    """
    match node:
        case Name(value):
            return value if NAME.fullmatch(value) else f"`{value}`"
        case Number(value, integer):
            return r_number(value) + ("L" if integer else "")
        case Text(value):
            return f'"{value}"'
        case Call(function, args, keywords):
            named = [f"{keyword} = {deparse(arg)}" for keyword, arg in keywords]
            return f"{function}({', '.join([deparse(arg) for arg in args] + named)})"
        case Op("(", (inner,)):
            return f"({deparse(inner)})"
        case Op(symbol, (operand,)):
            return symbol + deparse(operand)
        case Op() if is_sum(node):
            (_, first), *others = summands(node)
            return deparse(first) + "".join(f" {sign} {_grouped(part)}" for sign, part in others)
        case Op(symbol, (left, right)):
            gap = "" if symbol in _TIGHT else " "
            # only trees we build ourselves (a/b/c gives c:(b:a)) lack the parentheses that they need
            nested = isinstance(right, Op) and right.symbol == symbol and symbol not in RIGHT_ASSOCIATIVE
            return f"{deparse(left)}{gap}{symbol}{gap}{f'({deparse(right)})' if nested else deparse(right)}"
    raise AssertionError(node)


def shortened(text: str, most: int = 60) -> str:
    """The beginning of a long text, for messages."""
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def is_sum(node: Node) -> bool:
    """Whether this is a sum or a difference; a sign alone is none."""
    return isinstance(node, Op) and node.symbol in ("+", "-") and len(node.args) > 1


def summands(node: Node) -> list[tuple[str, Node]]:
    """Flatten a sum, without recursion: a formula may have thousands of terms.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> [(sign, deparse(part)) for sign, part in summands(parse_expression("a + b:c - 1"))]
    [('+', 'a'), ('+', 'b:c'), ('-', '1')]
    """
    parts = []
    while isinstance(node, Op) and is_sum(node):
        parts += [(node.symbol, part) for part in reversed(node.args[1:])]
        node = node.args[0]
    return [("+", node), *reversed(parts)]


def _grouped(node: Node) -> str:
    """The text of a summand: only trees that we build ourselves have a bare sum there."""
    return f"({deparse(node)})" if is_sum(node) else deparse(node)


def names_in(node: Node) -> set[str]:
    """Names of the columns that an expression uses."""
    return {name.value for name in name_nodes(node)}


def name_nodes(node: Node) -> Iterator[Name]:
    """Each name that an expression uses, as often as it uses it, from left to right; without recursion, as a sum."""
    left = [node]
    while left:
        one = left.pop()
        if isinstance(one, Name):
            yield one
        elif isinstance(one, (Op, Call)):
            named = [arg for _, arg in one.keywords] if isinstance(one, Call) else []
            left += reversed((*one.args, *named))
