"""The faults that can be put into a file: operators, comparisons, constants, signs and terms, one token at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from mutants.silent import against_tolerances, silent

OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
}
COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
}
# Options that choose a way of computing, or a check: no result depends on them.
WITHOUT_RESULT = {"optimize", "strict", "copy", "overwrite", "check", "assume_unique", "kind", "full_matrices"}


@dataclass(frozen=True)
class Mutation:
    """Bytes ``start`` to ``end`` of a file become ``new``; ``before`` and ``after`` are the line, for a reader."""

    path: str
    function: str
    line: int
    start: int
    end: int
    new: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  in {self.function}:  {self.before}  ->  {self.after}"

    @property
    def key(self) -> str:
        """What names it as long as its statement stands, wherever the line moves."""
        return f"{self.path} | {self.function} | {self.before} -> {self.after}"

    def applied(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.new.encode() + source[self.end :]


class _Positions:
    """Bytes of a file by line and column of its syntax tree."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.starts[node.lineno - 1] + node.col_offset,  # type: ignore[attr-defined]
            self.starts[node.end_lineno - 1] + node.end_col_offset,  # type: ignore[attr-defined]
        )

    def shown(self, start: int, end: int, new: str) -> tuple[int, str, str]:
        """The number of a line, and its text before and after a change."""
        first, past = self.source.rfind(b"\n", 0, start) + 1, self.source.find(b"\n", end)
        head, tail = self.source[first:start].decode(), self.source[end:past].decode()
        line = self.source.count(b"\n", 0, start) + 1
        return (
            line,
            " ".join((head + self.source[start:end].decode() + tail).split()),
            " ".join((head + new + tail).split()),
        )


def mutations(path: str, source: bytes) -> list[Mutation]:
    """Every fault there is for a file, in the order of its lines."""
    at, found, tree = _Positions(source), [], ast.parse(source)
    left, tolerances = silent(tree), against_tolerances(tree)
    for function, node in _arithmetic(tree, "", left):
        for start, end, new in _changes(node, at, tolerances):
            line, before, after = at.shown(start, end, new)
            found.append(Mutation(path, function, line, start, end, new, before, after))
    distinct = {(m.start, m.end, m.new): m for m in found}.values()
    return sorted(distinct, key=lambda m: (m.start, m.end))


def _arithmetic(tree: ast.AST, function: str, left: set[int]) -> Iterator[tuple[str, ast.AST]]:
    """The nodes that can be changed with the function they stand in: no messages, types, defaults or decorators."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.keyword) and node.arg in WITHOUT_RESULT:
            continue
        if id(node) in left or isinstance(node, ast.Import | ast.ImportFrom | ast.Assert):
            continue
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from _inside(node, function, left)
        elif isinstance(node, ast.AnnAssign):
            yield from _arithmetic(ast.Module([ast.Expr(node.value)] if node.value else [], []), function, left)
        else:
            yield function or "the module", node
            yield from _arithmetic(node, function, left)


def _inside(node: ast.FunctionDef | ast.ClassDef, outside: str, left: set[int]) -> Iterator[tuple[str, ast.AST]]:
    """The body of a function, and of the methods of a class; fields of a class are no arithmetic."""
    name = f"{outside}.{node.name}".strip(".")
    body = [part for part in node.body if isinstance(node, ast.FunctionDef) or isinstance(part, ast.FunctionDef)]
    yield from _arithmetic(ast.Module(body, []), name, left)


def _changes(node: ast.AST, at: _Positions, tolerances: set[int]) -> Iterator[tuple[int, int, str]]:
    """Spans of a node and what replaces them."""
    if isinstance(node, ast.BinOp):
        yield from _of_operation(node, at)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        token, others = COMPARISONS[type(node.ops[0])]
        start, end = _between(node.left, node.comparators[0], token, at)
        same = token.rstrip("=") if id(node) in tolerances else None  # of < and <= the other
        yield from ((start, end, other) for other in others if other.rstrip("=") != same)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        start, _ = at.span(node)
        yield start, start + (1 if isinstance(node.op, ast.USub) else len("not ")), ""
    elif isinstance(node, ast.BoolOp):
        token, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        start, end = _between(node.values[0], node.values[1], token, at)
        if len(node.values) == 2:
            yield start, end, other
    elif isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
        token, other = OPERATORS[type(node.op)]
        start, end = _between(node.target, node.value, f"{token}=", at)
        yield start, end, f"{other}="
        yield *at.span(node), "pass"
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node, at)


def _of_operation(node: ast.BinOp, at: _Positions) -> Iterator[tuple[int, int, str]]:
    if type(node.op) in OPERATORS:
        token, other = OPERATORS[type(node.op)]
        start, end = _between(node.left, node.right, token, at)
        yield start, end, other
    if isinstance(node.op, ast.Add | ast.Sub):  # the right-hand term dropped; not where the left one is in brackets
        (_, start), (_, end) = at.span(node.left), at.span(node)
        if b")" not in at.source[start : at.span(node.right)[0]]:
            yield start, end, ""


def _of_constant(node: ast.Constant, at: _Positions) -> Iterator[tuple[int, int, str]]:
    value = node.value
    if isinstance(value, bool):
        yield *at.span(node), str(not value)
    elif isinstance(value, int):
        yield *at.span(node), str(value + 1)
    elif isinstance(value, float):
        yield *at.span(node), "1.0" if value == 0.0 else repr(value * (1e4 if value < 1e-3 else 2.0))


def _between(left: ast.AST, right: ast.AST, token: str, at: _Positions) -> tuple[int, int]:
    """Where the operator stands between two operands, past brackets and line breaks."""
    start = at.source.index(token.encode(), at.span(left)[1], at.span(right)[0])
    return start, start + len(token)
