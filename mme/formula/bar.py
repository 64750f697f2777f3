"""One random term of a formula, and the words for its covariance."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from mme.formula.algebra import Terms
from mme.formula.syntax import Call, Node, Op, is_sum, summands

# The kind of decay and the coordinate, an axis of a field.
Along = tuple[tuple[str, Node], ...]

# By function: the covariance with a variance a column, the one with a common variance, and lme4's default for ``hom``.
STRUCTURES = {
    "us": ("unstructured", None, False),
    "diag": ("diagonal", "homogeneous diagonal", False),
    "cs": ("cs", "homogeneous cs", False),
    "ar1": ("heterogeneous ar1", "ar1", True),
    "corh": ("cs", None, False),  # ASReml's words
    "corv": ("homogeneous cs", None, False),
    "id": ("homogeneous diagonal", None, False),
}
# The same round one column in a product.
COLUMNS = {word: common if hom and common else kind for word, (kind, common, hom) in STRUCTURES.items() if word != "id"}
# Structures of factors, and how many there are.
FACTORS = ("fa", "rr")
# A process along a series, and a covariance for each level of a factor.
PROCESS, BY_LEVEL = "ou", "dsum"
BARS = ("|", "||")


@dataclass(frozen=True)
class Bar:
    """One random term: ``left`` is its basis, ``factors`` are crossed into its grouping factor, called ``name``.

    The name is as written, but without backticks: ``(1 | `the id`)`` is of the factor ``the id``.

    ``together``: the factors are not crossed; each codes the same levels in its own way, as in ``str(animal, dam)``.
    Those of ``overlay(sire, dam)`` share one coefficient, each times its weight.
    """

    left: Terms
    name: str
    factors: tuple[Node, ...]
    covariance: str = "unstructured"
    time: Node | None = None  # of ou(time | g)
    along: Along = ()  # of ar1(row):ar1(col)
    together: bool = False
    shares: tuple[int, ...] = ()  # which of the codings together have coefficients in common, by their numbers
    weights: tuple[float, ...] = ()
    products: tuple[tuple[str, Node], ...] = ()  # the structures of us(trait):corh(site):id(g), by their columns
    related: tuple[str, ...] = ()  # the factors of A(g):ar1(time)
    chain: Along = ()  # of ar1(time):g, where time turns out to be a number
    written: str = ""  # a product as it is written
    levels: bool = False  # of fa(env, 1):g, whose columns are levels of env even where these are numbers
    by: Node | None = None  # arm, of dsum((x | g) | arm)
    level: str | None = None  # of it, whose term this is


def of_levels(bar: Bar, numbers: Collection[Node]) -> Bar:
    """The bar with these variables as factors: the calendar years of ``fa(year, 1):g``.

    Examples
    --------
    >>> from mme.formula.syntax import Name, deparse
    >>> bar = Bar(Terms(False, ((Name("year"),),)), "g", (Name("g"),))
    >>> deparse(of_levels(bar, [Name("year")]).left.terms[0][0])
    'factor(year)'
    """

    def made(node: Node) -> Node:
        return Call("factor", (node,), (), node.start) if node in numbers else node

    terms = tuple(tuple(map(made, term)) for term in bar.left.terms)
    products = tuple((kind, made(node)) for kind, node in bar.products)
    return replace(bar, left=replace(bar.left, terms=terms), products=products)


def bar_in(node: Node) -> Op | None:
    """Find the first bar among the terms of ``node`` (inside a function call a bar is the logical or)."""
    if not isinstance(node, Op):
        known = isinstance(node, Call) and node.function in (*STRUCTURES, *FACTORS, PROCESS, BY_LEVEL)
        bar = node.args[0] if isinstance(node, Call) and known and node.args else None
        return bar if isinstance(bar, Op) and bar.symbol in BARS else None
    if node.symbol in BARS:
        return node
    parts = [part for _, part in summands(node)] if is_sum(node) else node.args
    return next((bar for bar in map(bar_in, parts) if bar is not None), None)
