"""Fields in a formula: ``ar1(row):ar1(col)``, with ``| trial`` for one field a level; ``ou(x)`` for any distances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mme.formula.algebra import Terms
from mme.formula.bar import Along, Bar
from mme.formula.nesting import columns_of, without_parentheses
from mme.formula.syntax import Call, Name, Node, Op, deparse
from mme.model.fields import axes_beside_nugget
from mme.model.term import Term
from mme.relationship.lattice import Lattice

# What decays along a coordinate, by the function round it.
KINDS = {"ar1": "ar1", "ou": "exponential"}


def axes_of(node: Node) -> Along:
    """The axes of a field, each with its kind; none for any other expression.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> [(kind, place.value) for kind, place in axes_of(parse_expression("ar1(row):ou(x)"))]
    [('ar1', 'row'), ('exponential', 'x')]
    >>> axes_of(parse_expression("ar1(row):gen"))
    ()
    """
    node = without_parentheses(node)
    if isinstance(node, Op) and node.symbol == ":":
        one, other = (axes_of(arg) for arg in node.args)
        return (*one, *other) if one and other else ()
    match node:
        case Call(function, (place,), ()) if function in KINDS and not (isinstance(place, Op) and place.symbol in "|"):
            return ((KINDS[function], place),)
    return ()


def title(along: Along, fields: str = "") -> str:
    """What the field is called in results."""
    words = {kind: function for function, kind in KINDS.items()}
    axes = ":".join(f"{words[kind]}({called(place)})" for kind, place in along)
    return f"{axes} | {fields}" if fields else axes


def as_chain(bar: Bar) -> Bar:
    """``ar1(time):g`` as a chain of the times of each level; any other bar as it is."""
    if not bar.chain:
        return bar
    name = title(bar.chain, bar.name)
    return replace(bar, left=Terms(True, ()), name=name, covariance="unstructured", along=bar.chain, chain=())


def called(place: Node) -> str:
    """The name of a coordinate."""
    return place.value if isinstance(place, Name) else deparse(place)


def as_random(residual: Any) -> tuple[str, str] | None:
    """A field of residuals with a nugget as a random field beside independent errors: its text, and what it is called.

    None for anything else, and for coordinates that are no names of columns.

    Examples
    --------
    >>> from mme.residual import AR1
    >>> as_random((AR1("row", "trial") * AR1("my col", "trial")).with_nugget())
    ('(ar1(row):ar1(`my col`) | trial)', 'ar1(row):ar1(my col) | trial')
    """
    axes = axes_beside_nugget(residual)
    if axes is None or not all(isinstance(axis.place, str) for axis in axes):
        return None
    words = {kind: function for function, kind in KINDS.items()}
    along = tuple((axis.kind, Name(axis.place)) for axis in axes)
    text = ":".join(f"{words[kind]}({deparse(place)})" for kind, place in along)
    groups: list[str] = []
    for axis in axes:
        names = (axis.group,) if isinstance(axis.group, str) else tuple(axis.group or ())
        groups += [one for name in names for one in (columns_of(name) or (name,)) if one not in groups]
    if not all(isinstance(name, str) for name in groups):
        return None
    fields = ":".join(deparse(Name(name)) for name in groups)
    return (f"({text} | {fields})" if fields else text), title(along, ":".join(groups))


def with_field(formula: str, residual: Any) -> tuple[str, Any, str | None]:
    """The formula with the field that such residuals are, the residuals that are left, and what the field is called."""
    field = as_random(residual)
    return (formula, residual, None) if field is None else (f"{formula} + {field[0]}", None, field[1])


def with_errors(terms: tuple[Term, ...], called_so: str) -> tuple[Term, ...]:
    """The terms, the field among them marked as one of residuals, the errors beside it their nugget."""
    marked = []
    for term in terms:
        field = term.relationship
        own = isinstance(field, Lattice) and term.group == called_so
        marked.append(term.related(replace(field, nugget=True)) if own else term)
    return tuple(marked)
