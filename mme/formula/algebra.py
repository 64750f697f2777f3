"""R's algebra of model terms: ``a * b - 1`` -> an intercept or none, and a list of products of variables.

The rules are those of R's ``terms.formula`` (Wilkinson & Rogers, 1973, Applied Statistics 22:392-399; Chambers &
Hastie, 1992, Statistical Models in S, section 2.4): variables are numbered as they appear, terms sorted by degree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NoReturn

from mme.errors import FormulaError
from mme.formula.syntax import Call, Name, Node, Number, Op, Text, deparse, is_sum, shortened, summands

# Terms that a formula may stand for, and products of terms on the way to them: nobody reads more.
_MOST_TERMS, _MOST_PRODUCTS = 20_000, 2_000_000
_ALGEBRA = ("+", "-", "*", "/", ":", "^", "%in%", "(")


@dataclass(frozen=True)
class Terms:
    """An expanded formula: each term is the tuple of the variables that it multiplies."""

    intercept: bool
    terms: tuple[tuple[Node, ...], ...]
    offsets: tuple[Node, ...] = ()

    @property
    def variables(self) -> tuple[Node, ...]:
        """Each variable once, in order of appearance."""
        return tuple(dict.fromkeys(variable for term in self.terms for variable in term))


def expand(node: Node | None, formula: str, dot: Callable[[], Sequence[str]] | None = None) -> Terms:
    """Expand a tree of terms.

    Parameters
    ----------
    node : Node or None
        Right side of the formula without its bars; None: the intercept alone.
    formula : str
        The whole text, for carets in messages.
    dot : callable, optional
        () -> columns that ``.`` stands for; None: it is refused.

    Raises
    ------
    FormulaError
        A number other than 0 and 1 as a term, a power that is not a whole number, a dot where there can be none.

    Examples
    --------
    >>> from mme.formula.parser import parse
    >>> expanded = expand(parse("y ~ (a + b)^2 + c - a")[1], "")
    >>> expanded.intercept, [":".join(map(deparse, term)) for term in expanded.terms]
    (True, ['b', 'c', 'a:b'])
    """
    if node is None:
        return Terms(True, ())
    expansion = _Expansion(formula, dot)
    expansion.number(node)
    masks = sorted(dict.fromkeys(expansion.encode(node)), key=int.bit_count)  # stable: as written within a degree
    variables = list(expansion.variables)
    terms = tuple(tuple(variables[i] for i in _bits(mask)) for mask in masks)
    return Terms(expansion.intercept, terms, tuple(expansion.offsets))


class _Expansion:
    """A term is a bit mask over the variables; 0 and 1 switch the intercept as they are met, as in R."""

    def __init__(self, formula: str, dot: Callable[[], Sequence[str]] | None) -> None:
        self.formula = formula
        self.dot = dot
        self.variables: dict[Node, int] = {}
        self.offsets: dict[Node, None] = {}
        self.intercept = True
        self.adding = True

    def number(self, node: Node) -> None:
        """Number the variables in order of appearance."""
        if isinstance(node, Op) and node.symbol in _ALGEBRA:
            for arg in [part for _, part in summands(node)] if is_sum(node) else node.args:
                self.number(arg)
        elif isinstance(node, Name) and node.value == ".":
            for name in self._columns(node):
                self.variables.setdefault(Name(name, node.start), len(self.variables))
        elif not isinstance(node, Number) and not _is_offset(node):
            self.variables.setdefault(node, len(self.variables))

    def encode(self, node: Node) -> list[int]:
        """Masks of the terms that ``node`` stands for, in the order in which they arise."""
        match node:
            case Number(value):
                return self._constant(node, value)
            case Name("."):
                return [1 << self.variables[Name(name)] for name in self._columns(node)]
            case Call("offset", args):
                if len(args) != 1:
                    raise self._error(node, "offset() takes one expression")
                if self.adding:
                    self.offsets[args[0]] = None  # once, however often it is written
                else:
                    self.offsets.pop(args[0], None)
                return []
            case Op(symbol, args) if symbol in _ALGEBRA:
                return self._operator(node, symbol, args)
            case Text():
                raise self._error(node, "a quoted text is not a term; quote a name with backticks")
        return [1 << self.variables[node]]

    def _operator(self, node: Op, symbol: str, args: tuple[Node, ...]) -> list[int]:
        if is_sum(node):
            return self._sum(summands(node))
        if symbol == "-":
            return self._sum([("-", args[0])])
        left = self.encode(args[0])
        if symbol in ("(", "+"):
            return left
        if symbol == "^":
            return self._power(node, left, args[1])
        right = self.encode(args[1])
        if symbol == "*":
            return self._union(node, left, right, self._products(node, left, right))
        if symbol == "/":  # a/b = a + b within a
            return self._union(node, left, self._products(node, [_all(left)], right))
        return self._union(node, self._products(node, left, [_all(right)] if symbol == "%in%" else right))

    def _sum(self, parts: list[tuple[str, Node]]) -> list[int]:
        masks: dict[int, None] = {}
        for sign, part in parts:
            if sign == "+":
                masks |= dict.fromkeys(self.encode(part))
                continue
            self.adding = not self.adding
            for removed in self.encode(part):
                masks.pop(removed, None)
            self.adding = not self.adding
        return list(masks)

    def _constant(self, node: Node, value: float) -> list[int]:
        if value not in (0, 1):
            raise self._error(node, f"the number {deparse(node)} is not a term: 1 keeps the intercept, 0 removes it")
        self.intercept = (value == 1) == self.adding
        return []

    def _power(self, node: Op, base: list[int], exponent: Node) -> list[int]:
        if not isinstance(exponent, Number) or exponent.value < 1 or exponent.value % 1:
            raise self._error(exponent, "a power of terms must be a whole number; arithmetic goes inside I(...)")
        result = base
        for _ in range(min(int(exponent.value), len(base)) - 1):
            result = self._union(node, self._products(node, result, base))
        return result

    def _products(self, node: Op, left: list[int], right: list[int]) -> Iterator[int]:
        if len(left) * len(right) > _MOST_PRODUCTS:
            self._refuse(node)
        return (a | b for a in left for b in right)

    def _union(self, node: Op, *parts: Iterable[int]) -> list[int]:
        masks: dict[int, None] = {}
        for mask in chain(*parts):
            masks[mask] = None
            if len(masks) > _MOST_TERMS:
                self._refuse(node)
        return list(masks)

    def _refuse(self, node: Op) -> NoReturn:
        text = shortened(deparse(node))
        raise self._error(node, f"'{text}' stands for more than {_MOST_TERMS} terms; name the interactions you need")

    def _columns(self, node: Node) -> Sequence[str]:
        if self.dot is None:
            raise self._error(node, "'.' (all other columns) has no meaning here; name the columns")
        return self.dot()

    def _error(self, node: Node, problem: str) -> FormulaError:
        return FormulaError.at(self.formula, node.start, problem)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _is_offset(node: Node) -> bool:
    return isinstance(node, Call) and node.function == "offset"


def _all(masks: list[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union
