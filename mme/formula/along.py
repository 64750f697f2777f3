"""The order in which ``ar1()`` goes along the levels of a factor; numbers, which have no levels, are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from mme.errors import MMEError, warn
from mme.formula.apart import as_written
from mme.formula.bar import Bar
from mme.formula.columns import Matrix, Variable
from mme.formula.syntax import Node, deparse
from mme.numeric.long_columns import whole_of
from mme.tables.frame import Factor, WideColumn, labels_of
from mme.tables.order import distances, in_turn, order_of, unequal

Sequences = dict[Node, tuple[int, ...]]


def sequences(
    bars: Iterable[Bar],
    values: Mapping[Node, np.ndarray | Factor | WideColumn],
    variables: Mapping[Node, Variable],
    groups: Mapping[str, Factor],
    rows: np.ndarray | None,
) -> Sequences:
    """The order of the columns of each factor in ``ar1(0 + f | g)``, where it differs from that of its levels.

    Parameters
    ----------
    values, variables : mappings
        Each variable as it is in the table, and on the rows used.
    groups : mapping
        The grouping factors, on the rows used.
    rows : (N,) bool or None
        The rows used; None: all.

    Raises
    ------
    MMEError
        A number stands where a factor is meant: it makes a random slope.
    """
    found: Sequences = {}
    for bar in bars:
        _require_levels(bar, variables)
        node = _along(bar)
        value = None if node is None else values[node]
        if node is None or not isinstance(value, Factor):
            continue
        codes = value.codes if rows is None else value.codes[rows]
        order, occurs = order_of(value.categories, value.kind), np.unique(codes)
        sequence = np.argsort(order.places[occurs], kind="stable")
        labels = [labels_of(value.categories[occurs])[j] for j in sequence]
        shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        if order.known == "sorted" and len(labels) > 2 and not in_turn(groups[bar.name].codes, order.places[codes]):
            _warn(node, bar, f"takes the levels in alphabetical order ({shown}); an ordered category declares another")
        if unequal(distances(labels, order.places[occurs][sequence])):
            _warn(node, bar, f"takes neighbouring levels to be one step apart ({shown}); ou() reads the distances")
        if (np.diff(sequence) != 1).any():
            found[node] = tuple(sequence.tolist())
    return found


def in_sequence(bar: Bar, basis: Matrix, known: Mapping[Node, tuple[int, ...]]) -> Matrix:
    """The columns of a bar's basis in the order that ``ar1()`` goes along."""
    node = _along(bar)
    if node is None or node not in known:
        return basis
    order = list(known[node])
    return replace(basis, values=whole_of(basis.values)[:, order], names=tuple(basis.names[j] for j in order))


def _along(bar: Bar) -> Node | None:
    """The factor that ``ar1()`` goes along, one column per level."""
    left = as_written(bar).left
    alone = not left.intercept and len(left.terms) == 1 and len(left.terms[0]) == 1
    return left.terms[0][0] if alone and bar.covariance.endswith("ar1") else None


def _require_levels(bar: Bar, variables: Mapping[Node, Variable]) -> None:
    """Refuse a pattern of correlations along a number, which is one column."""
    kind, left = bar.covariance.rpartition(" ")[2], as_written(bar).left
    numbers = [node for node in left.variables if isinstance(variables[node], np.ndarray)]
    alone = not left.intercept and len(left.terms) == 1
    if not numbers or len(numbers) < len(left.variables) or not (kind == "ar1" or (kind == "cs" and alone)):
        return
    text, name = deparse(numbers[0]), bar.name
    other = f"ou({text} | {name}) for times at any distances" if kind == "ar1" else f"(0 + {text} | {name}) for a slope"
    raise MMEError(
        f"{kind}() of '{name}': '{text}' holds numbers, which make a random slope and no levels to correlate; write "
        f"{kind}(0 + factor({text}) | {name}), or {other}"
    )


def _warn(node: Node, bar: Bar, problem: str) -> None:
    warn(f"ar1(0 + {deparse(node)} | {bar.name}) {problem}")
