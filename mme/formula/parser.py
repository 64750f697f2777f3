"""R's formula language: text -> tokens -> tree."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mme.errors import FormulaError, MMEError
from mme.formula.syntax import NAME, RIGHT_ASSOCIATIVE, Call, Name, Node, Number, Op, Text, is_sum, summands

_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
    | (?P<name>{NAME.pattern}(?:::[\w.]+)?)
    | (?P<quoted>`[^`]+`)
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<symbol>\*\*|\|\||&&|<=|>=|==|!=|%in%|%%|[-+*/^:|~()<>&!,=\[\]])
    )""",
    re.VERBOSE,
)
# R's table of precedence (help page "Syntax"), loosest first.
_BINARY = {"||": 1, "|": 1, "&&": 2, "&": 2, "+": 5, "-": 5, "*": 6, "/": 6, "%in%": 7, "%%": 7, ":": 8, "^": 10}
_BINARY |= dict.fromkeys(("<", ">", "<=", ">=", "==", "!="), 4)
_PREFIX = {"!": 3, "-": 9, "+": 9}
_PYTHON = {"and": "&", "or": "|", "not": "!", "in": "%in%", "is": "=="}
# Beyond this depth of a tree, walks over it would exhaust the stack; nobody writes so.
_DEEPEST = 100
_REMEDY = "compute the column beforehand"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int


def parse(formula: str) -> tuple[Node, Node]:
    """Parse ``response ~ terms`` into the trees of its two sides.

    Raises
    ------
    FormulaError
        The text is not a formula; the message has a caret under the place.

    Examples
    --------
    >>> from mme.formula.syntax import deparse
    >>> left, right = parse("log(y) ~ poly(x,2)+I(x**2)")
    >>> deparse(left), deparse(right)
    ('log(y)', 'poly(x, 2) + I(x^2)')
    """
    if not isinstance(formula, str):
        raise MMEError(f'the formula must be a string such as "y ~ x + (1 | g)", got {type(formula).__name__}')
    parser = _Parser(formula)
    tildes = [token.start for token in parser.tokens if token.text == "~"]
    if not tildes:
        raise parser.error(len(formula.rstrip()), "no '~' in the formula: write response ~ terms")
    if len(tildes) > 1:
        raise parser.error(tildes[1], "a second '~'")
    if parser.peek().text == "~":
        raise parser.error(tildes[0], "no response: write its name to the left of '~'")
    response = parser.expression()
    parser.expect("~")
    terms = parser.expression()
    parser.expect("")
    parser.require_shallow(response)
    parser.require_shallow(terms)
    return response, terms


def parse_expression(text: str) -> Node:
    """Parse one expression, such as the name of a column or ``1 / variance``."""
    parser = _Parser(text)
    node = parser.expression()
    parser.expect("")
    parser.require_shallow(node)
    return node


class _Parser:
    """Precedence climbing over the tokens of one formula."""

    def __init__(self, formula: str) -> None:
        self.formula = re.sub(r"\s", " ", formula)  # one line, so that a caret can point into it
        self.tokens = self._tokens()
        self.at = 0
        self.depth = 0

    def error(self, position: int, problem: str) -> FormulaError:
        return FormulaError.at(self.formula, position, problem)

    def peek(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, text: str) -> None:
        token = self.take()
        if token.text == text:
            return
        if token.text in (")", "]"):
            raise self.error(token.start, f"'{token.text}' closes nothing")
        if token.text == "~":
            raise self.error(token.start, "'~' inside a term")
        word = next((one.text for one in (token, self.tokens[self.at - 2]) if one.text in _PYTHON), None)
        if word is not None:
            raise self.error(token.start, f"'{word}' is Python's word: write {_PYTHON[word]}")
        raise self.error(token.start, f"'{token.text}' where an operator such as + or : is expected")

    def require_shallow(self, node: Node) -> None:
        """Refuse a chain of operators that makes a deep tree; the sum of all terms is flat to those who walk it."""
        waiting: list[tuple[Node, int, bool]] = [(node, 0, True)]
        while waiting:
            node, depth, among_terms = waiting.pop()
            if depth > _DEEPEST:
                raise self.error(node.start, f"more than {_DEEPEST} operations within each other: {_REMEDY}")
            if among_terms and is_sum(node):
                waiting += [(part, depth + 1, True) for _, part in summands(node)]
            elif isinstance(node, Op):
                waiting += [(part, depth + 1, among_terms) for part in node.args]
            elif isinstance(node, Call):
                waiting += [(part, depth + 1, False) for part in (*node.args, *(part for _, part in node.keywords))]

    def expression(self, loosest: int = 0) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            problem = f"more than {_DEEPEST} parentheses, calls or signs within each other: {_REMEDY}"
            raise self.error(self.peek().start, problem)
        node = self._operand()
        while (power := _BINARY.get(symbol := self.peek().text.replace("**", "^"), -1)) >= max(loosest, 0):
            start = self.peek().start
            operands = [node]
            while self.peek().text.replace("**", "^") == symbol:
                self.take()
                operands.append(self.expression(power + (symbol not in RIGHT_ASSOCIATIVE)))
                if symbol != "+":
                    break
            node = Op(symbol, tuple(operands), start)
        self.depth -= 1
        return node

    def _operand(self) -> Node:
        token = self.take()
        match token.kind:
            case "number":
                value = float(token.text.rstrip("L"))
                if value == math.inf:
                    raise self.error(token.start, f"the number {token.text} is beyond the range of double precision")
                return Number(value, token.text.endswith("L"), token.start)
            case "text":
                return Text(token.text[1:-1], token.start)
            case "quoted":
                return Name(token.text[1:-1], token.start)
            case "name":
                return self._call(token) if self.peek().text == "(" else Name(token.text, token.start)
        if token.text == "(":
            inner = self.expression()
            self._close(token, ")")
            return Op("(", (inner,), token.start)
        if token.text == "[":  # a Python list is R's c()
            args, _ = self._arguments(token, "]")
            return Call("c", args, (), token.start)
        if token.text in _PREFIX:
            return Op(token.text, (self.expression(_PREFIX[token.text]),), token.start)
        raise self._no_operand(token)

    def _call(self, name: _Token) -> Node:
        args, keywords = self._arguments(self.take(), ")")
        if name.text == "Q" and len(args) == 1 and isinstance(args[0], Text):  # Python's word for a backtick
            return Name(args[0].value, name.start)
        return Call(name.text, args, keywords, name.start)

    def _arguments(self, opening: _Token, closing: str) -> tuple[tuple[Node, ...], tuple[tuple[str, Node], ...]]:
        args: list[Node] = []
        keywords: list[tuple[str, Node]] = []
        while self.peek().text != closing:
            following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
            if self.peek().kind == "name" and following.text == "=":
                keyword = self.take().text
                self.take()
                keywords.append((keyword, self.expression()))
            else:
                args.append(self.expression())
            if self.peek().text != ",":
                break
            self.take()
        self._close(opening, closing)
        return tuple(args), tuple(keywords)

    def _close(self, opening: _Token, closing: str) -> None:
        if self.peek().text == closing:
            self.take()
        elif self.peek().text in ("", "~"):
            raise self.error(opening.start, f"'{opening.text}' is never closed")
        else:
            self.expect(closing)

    def _no_operand(self, token: _Token) -> FormulaError:
        before = self.tokens[self.at - 2].text if self.at > 1 else ""
        if before in ("|", "||"):
            return self.error(token.start, "nothing to the right of the bar: name the grouping factor, as in (1 | g)")
        if token.text in ("|", "||"):
            return self.error(token.start, "nothing to the left of the bar: (1 | g) is a random intercept")
        if token.text == "":
            return self.error(token.start, "the formula ends where a term is expected")
        return self.error(token.start, f"'{token.text}' where a term is expected")

    def _tokens(self) -> list[_Token]:
        tokens, position, end = [], 0, len(self.formula.rstrip())
        while position < end:
            found = _TOKEN.match(self.formula, position)
            if found is None or found.lastgroup is None:
                place = position + len(self.formula[position:]) - len(self.formula[position:].lstrip())
                raise self.error(place, _stray(self.formula[place]))
            tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            position = found.end()
        return [*tokens, _Token("end", "", end)]


def _stray(character: str) -> str:
    if character in "\"'`":
        return f"the quote {character} is never closed"
    return f"'{character}' means nothing in a formula; a name with such characters goes between backticks"
