"""R's ``update.formula``: a formula changed by another, in which a dot stands for what there was.

The result is simplified as ``terms.formula(simplify = TRUE)`` does: products are written out, what is taken away is
gone, and each term stands once. A random term ``(x | g)`` is a term like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mme.errors import FormulaError, MMEError, warn
from mme.formula.algebra import Terms, expand
from mme.formula.apart import written_by
from mme.formula.bar import BARS, FACTORS, STRUCTURES, Bar, bar_in
from mme.formula.bars import is_random, split
from mme.formula.lattices import title
from mme.formula.nesting import called_as, without_parentheses
from mme.formula.parser import parse
from mme.formula.slots import written_slots
from mme.formula.smoothing import is_smooth
from mme.formula.syntax import Call, Name, Node, Number, Op, deparse, is_sum, names_in, summands


def updated(formula: str, change: str, fixed: Terms | None = None) -> str:
    """The formula after a change such as ``"~ . - x"``, ``". ~ . + I(x^2)"`` or ``"log(.) ~ ."``.

    ``fixed`` are the terms that the fixed part stands for, where the formula says so by a dot of its own.

    Raises
    ------
    FormulaError
        The change does not parse, or multiplies a random term.

    Warns
    -----
    MMEWarning
        A term is taken away that is not there.

    Examples
    --------
    >>> updated("y ~ a*x + (x | g)", "~ . - a:x + I(x^2)")
    'y ~ a + x + I(x^2) + (x | g)'
    >>> updated("y ~ a + (x | g)", "log(.) ~ . - (x | g) + (1 | g) - 1")
    'log(y) ~ 0 + a + (1 | g)'
    """
    if not isinstance(change, str):
        raise MMEError(f'a change of a formula is text such as "~ . - x", got {type(change).__name__}')
    text = f".{change}" if change.lstrip().startswith("~") else change
    old_left, old_right = parse(formula)
    left, right = parse(text)
    if fixed is not None:
        old_right = _spelt_out(fixed, old_right)
    _warn_of_absent(right, old_right, text)
    terms = expand(_with(right, Op("(", (old_right,))), text)
    return f"{deparse(_with(left, old_left))} ~ {_written(terms, text)}"


def _with(node: Node, old: Node) -> Node:
    """The tree with the old one where it has a dot."""
    match node:
        case Name("."):
            return old
        case Op(symbol, args) if symbol not in BARS:
            return replace(node, args=tuple(_with(arg, old) for arg in args))
        case Call(args=args):
            return replace(node, args=tuple(_with(arg, old) for arg in args))
    return node


def _spelt_out(fixed: Terms, right: Node) -> Node:
    """The right side with its fixed part written out: a dot in it has no other meaning."""
    bars = list(_random_in(right))
    products = [_product(term) for term in fixed.terms]
    parts: list[Node] = [Number(float(fixed.intercept)), *products, *(Call("offset", (one,)) for one in fixed.offsets)]
    return Op("+", (*parts, *bars)) if len(parts) + len(bars) > 1 else parts[0]


def _product(term: tuple[Node, ...]) -> Node:
    found = term[0]
    for variable in term[1:]:
        found = Op(":", (found, variable))
    return found


def _random_in(node: Node) -> Iterator[Node]:
    """The random terms among the summands, those inside parentheses too."""
    for _, part in summands(node):
        inside = without_parentheses(part)
        if is_random(part):
            yield part
        elif is_sum(inside):
            yield from _random_in(inside)


def _warn_of_absent(change: Node, old: Node, text: str) -> None:
    """Say which terms cannot be taken away, as they are not there: R says nothing."""
    taken: list[Node] = [part for sign, part in summands(change) if sign == "-" and not isinstance(part, Number)]
    if isinstance(change, Op) and change.symbol == "-" and not is_sum(change):
        taken = [change.args[0]]
    if not taken:
        return
    there = set(map(frozenset, expand(old, text).terms))
    for part in taken:
        own = expand(_with(part, Op("(", (old,))), text)
        if own.terms and not there & set(map(frozenset, own.terms)):
            known = ", ".join(_term(term) for term in expand(old, text).terms)
            warn(f"there is no term {deparse(part)} to leave out; the terms are {known}")


def _written(terms: Terms, text: str) -> str:
    """Terms as the right side of a formula, random ones last."""
    random = [term for term in terms.terms if is_random(_product(term))]
    fixed = [_term(term) for term in terms.terms if term not in random]
    if any(bar_in(part) is not None for term in terms.terms if term not in random for part in term):
        raise FormulaError.at(text, 0, "a random term stands alone between plus signs: it cannot be multiplied")
    fixed += [f"offset({deparse(one)})" for one in terms.offsets]
    head = [] if terms.intercept else ["0"]
    return " + ".join([*head, *fixed, *map(_term, random)]) if fixed or not terms.intercept else _only_random(random)


def _only_random(random: list[tuple[Node, ...]]) -> str:
    return " + ".join(["1", *map(_term, random)])


def _term(term: tuple[Node, ...]) -> str:
    """A product of variables as text: comparisons and bars have parentheses round them."""
    return ":".join(f"({deparse(one)})" if isinstance(one, Op) and one.symbol != "(" else deparse(one) for one in term)


def without_term(formula: str, fixed: Terms, term: tuple[Node, ...]) -> str:
    """The formula without one term of its fixed part."""
    rest = replace(fixed, terms=tuple(one for one in fixed.terms if one != term))
    left, right = parse(formula)
    return f"{deparse(left)} ~ {_written(expand(_spelt_out(rest, right), formula), formula)}"


def marginal_terms(terms: Terms) -> list[tuple[Node, ...]]:
    """The terms that no other term contains: those that may be left out (R's ``drop.scope``)."""
    sets = [set(term) for term in terms.terms]
    return [term for term, own in zip(terms.terms, sets, strict=True) if not any(own < other for other in sets)]


def reduced_random(formula: str, fixed: Terms) -> dict[str, str]:
    """What each single deletion from the random part leaves, by what is left out, as lmerTest's ``ranova`` does it.

    ``(x | g)`` loses x and becomes ``(1 | g)``; an intercept alone, and a term with a structure of its own, goes as a
    whole; ``(0 + x | g)`` becomes ``(1 | g)``, which stands once where it is there already.

    Examples
    --------
    >>> from mme.formula.parser import parse
    >>> fixed = expand(parse("y ~ x")[1], "")
    >>> reduced_random("y ~ x + (x | g) + (1 | h)", fixed)
    {'x in (x | g)': 'y ~ x + (1 | g) + (1 | h)', '(1 | h)': 'y ~ x + (x | g)'}
    """
    parsed = split(formula)
    head = _written(replace(fixed, terms=fixed.terms), formula)
    bars = [(bar, _bar_text(bar, bar.left)) for bar in parsed.bars if _is_term_of_its_own(bar)]
    found = {}
    for bar, own in bars:
        others = [text for _, text in bars if text != own]
        for name, left in _smaller(bar):
            kept = [] if left is None else [text for text in [_bar_text(bar, left)] if text not in others]
            label = own if name is None else f"{name} in {own}"
            found[label] = f"{deparse(parsed.response)} ~ {' + '.join([head, *_in_place(bars, own, kept)])}"
    return found


def _in_place(bars: list[tuple[Bar, str]], own: str, kept: list[str]) -> list[str]:
    """The texts of the bars, with ``kept`` in the place of one."""
    out = list[str]()
    for _, text in bars:
        out += kept if text == own else [text]
    return out


def _smaller(bar: Bar) -> Iterator[tuple[str | None, Terms | None]]:
    """The left sides that a bar is reduced to, by the name of what goes; None: nothing is left of it."""
    scope = marginal_terms(bar.left)
    if (
        bar.covariance not in ("unstructured", "diagonal")
        or bar.time is not None
        or bar.along
        or bar.written
        or not scope
    ):
        yield None, None
        return
    for term in scope:
        rest = tuple(one for one in bar.left.terms if one != term)
        yield _term(term), replace(bar.left, terms=rest, intercept=bar.left.intercept or not rest)


def _is_term_of_its_own(bar: Bar) -> bool:
    """Whether a bar is no part of what the fixed side has too, as those of a smooth are."""
    return bool(bar.factors or bar.along) and not is_smooth(bar)


def _bar_text(bar: Bar, left: Terms) -> str:
    """A random term as lme4 writes it, a product as it is written."""
    if bar.by is not None:
        return f"dsum({_bar_text(replace(bar, by=None), left)} | {written_by(bar)})"
    if bar.written:
        return bar.written
    if bar.time is not None:
        return f"ou({deparse(bar.time)} | {':'.join(map(deparse, bar.factors))})"
    if bar.along:
        axes, fields = title(bar.along), ":".join(map(deparse, bar.factors))
        return f"({axes} | {fields})" if fields else axes
    inside = _written(left, "").removeprefix("1 + ")
    group = written_slots(bar.factors, bar.shares, bar.weights) if bar.together else ":".join(map(deparse, bar.factors))
    text = f"({inside} | {group})"
    if bar.covariance[:2] in FACTORS:
        return f"{bar.covariance[:2]}{text[:-1]}, k = {bar.covariance[2:]})"
    for function, (heterogeneous, homogeneous, common) in STRUCTURES.items():
        if bar.covariance == "unstructured":
            return text
        if bar.covariance in (heterogeneous, homogeneous):
            same = bar.covariance == homogeneous
            hom = "" if same == common else f", hom = {'TRUE' if same else 'FALSE'}"
            return f"{function}{text[:-1]}{hom})"
    return f"({inside} | {called_as(bar.factors[0])})"


def fitting_contrasts(formula: str, contrasts: Any) -> Any:
    """The contrasts of the factors that a formula still has."""
    if not isinstance(contrasts, Mapping):
        return contrasts
    fixed = split(formula).fixed
    used = set() if fixed is None else names_in(fixed)
    return {name: coding for name, coding in contrasts.items() if name in used} or None
