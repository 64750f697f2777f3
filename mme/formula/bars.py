"""lme4's random terms: take the bars ``(left | grouping)`` out of a formula and expand them.

The rules are lme4's ``findbars``, ``nobars`` and ``expandDoubleVerts`` (Bates et al., 2015, J. Stat. Soft. 67(1),
section 2.2); ``us()``, ``diag()``, ``cs()`` and ``ar1()`` round a bar are those of lme4 2, ``ou()`` and ``rr()`` are
glmmTMB's, ``fa()``, ``corh()``, ``corv()`` and ``id()`` ASReml's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mme.errors import FormulaError
from mme.formula.bar import BARS, Bar
from mme.formula.nesting import operands
from mme.formula.parser import parse
from mme.formula.splitter import Splitter
from mme.formula.syntax import Node, Op

# Formulas whose parts are kept: a study fits few of them, many times.
_FORMULAS = 64


@dataclass(frozen=True)
class Parsed:
    """A mixed-model formula in its parts; ``fixed`` is None where only bars stand right of the tilde."""

    formula: str
    response: Node
    fixed: Node | None
    bars: tuple[Bar, ...]


def split(formula: Any) -> Parsed:
    """Parse a mixed-model formula and split it into response, fixed part and random terms.

    Raises
    ------
    FormulaError
        It does not parse; the message has a caret under the place.

    Examples
    --------
    >>> [(bar.name, bar.left.intercept) for bar in split("y ~ x + (1 | a/b) + (x || g)").bars]
    [('b:a', True), ('a', True), ('g', True), ('g', False)]
    """
    if not isinstance(formula, str):
        parse(formula)  # says what is needed
    return _split(formula)


@lru_cache(_FORMULAS)
def _split(formula: str) -> Parsed:
    response, terms = parse(formula)
    text = re.sub(r"\s", " ", formula)
    splitter = Splitter(text)
    for node in operands(response):
        if isinstance(node, Op) and node.symbol in BARS:
            raise FormulaError.at(text, node.start, "a random term belongs to the right of '~'")
    fixed = splitter.strip(splitter.bare(terms))
    splitter.require_apart()
    splitter.require_smooths_alone(fixed)
    return Parsed(text, response, fixed, tuple(splitter.bars))


def is_random(node: Node) -> bool:
    """Whether a summand is a random term, in whatever words, and nothing else.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> [is_random(parse_expression(text)) for text in ("(1 | g)", "fa(env, 2):A(g)", "ar1(x):ar1(z)", "a:b", "s(x)")]
    [True, True, True, False, False]
    """
    bare = isinstance(node, Op) and node.symbol in BARS
    try:
        return Splitter("").strip(Op("(", (node,)) if bare else node) is None
    except FormulaError:
        return False
