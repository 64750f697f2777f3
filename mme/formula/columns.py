"""Model terms and their variables -> the columns of a model matrix, coded and named as R's ``model.matrix`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np

from mme.errors import MemoryForecastError, MMEError
from mme.formula.algebra import Terms
from mme.formula.codings import Contrast, contrast_matrix, contrast_of, width
from mme.formula.codings import given as given_contrast
from mme.formula.syntax import Name, Node, deparse, names_in
from mme.formula.values import recoded
from mme.numeric.limits import limits
from mme.numeric.long_columns import LongColumns
from mme.numeric.memory import UNASKED, machine_bytes
from mme.tables.column import Factor, WideColumn
from mme.tables.spelling import labels_of

INTERCEPT = "(Intercept)"


@dataclass(frozen=True)
class Coding:
    """The levels of a factor in the fit, by their printed labels, and the contrast that codes them."""

    labels: tuple[str, ...]
    contrast: Contrast


@dataclass(frozen=True)
class Coded:
    """A factor on the levels of the fit; code -1 is missing."""

    codes: np.ndarray
    coding: Coding


Variable = np.ndarray | WideColumn | Coded


@dataclass(frozen=True)
class Matrix:
    """A model matrix; ``owners`` names the term that each column belongs to. A wide one is sparse, by columns."""

    values: Any
    names: tuple[str, ...]
    owners: tuple[str, ...]


def learn(factor: Factor) -> Coded:
    """Keep the levels that occur, in their order."""
    occurs = np.bincount(factor.codes, minlength=factor.categories.size) > 0
    labels = labels_of(factor.categories[occurs])
    return Coded((np.cumsum(occurs) - 1)[factor.codes], Coding(tuple(labels), contrast_of(factor)))


def recode(factor: Factor, coding: Coding, name: str) -> Coded:
    """Code new data on the levels of the fit.

    Raises
    ------
    MMEError
        A label was not among the levels of the fit.
    """
    codes = recoded(factor, list(coding.labels))
    if (codes == -2).any():
        label = labels_of(factor.categories)[factor.codes[np.argmax(codes == -2)]]
        known = ", ".join(f"'{level}'" for level in coding.labels[:8]) + (", ..." if len(coding.labels) > 8 else "")
        raise MMEError(f"column '{name}' has the level '{label}', which the fit did not see; its levels were {known}")
    return Coded(codes, coding)


def build(terms: Terms, variables: Mapping[Node, Variable], n: int, into: np.ndarray | None = None) -> Matrix:
    """The model matrix (n, p) of an expanded formula.

    Parameters
    ----------
    terms : Terms
        Intercept and products of variables, in R's order.
    variables : mapping
        The value of each variable.
    n : int
        Number of rows.
    into : (n, p) array, optional
        The array that is filled with the columns.
    """
    blocks, names, owners = _made_of(terms, variables, n)
    values = np.empty((n, len(names)), order="F") if into is None else into
    values[:, : int(terms.intercept)] = 1.0
    for at, factors in enumerate(_each_column(blocks), int(terms.intercept)):
        values[:, at] = reduce(np.multiply, factors)
    if into is None:
        values.flags.writeable = False  # a model takes it without a copy
    return Matrix(values, names, owners)


def build_long(terms: Terms, variables: Mapping[Node, Variable], n: int, made: Iterable[Matrix] = ()) -> Matrix:
    """As :func:`build`; of many rows the columns one by one, without the constant, and those ``made`` as they are."""
    made = tuple(made)
    if not made and n * count(terms, variables) <= limits().held_rows:
        return build(terms, variables, n)
    blocks, names, owners = _made_of(terms, variables, n)
    known = {name: column for one in made for name, column in zip(one.names, one.values.columns, strict=True)}
    columns: list[np.ndarray | None] = [None] * int(terms.intercept)
    for name, factors in zip(names[len(columns) :], _each_column(blocks), strict=True):
        column = known.get(name)
        columns.append(np.array(reduce(np.multiply, factors), dtype=float) if column is None else column)
    return Matrix(LongColumns(n, tuple(columns)), names, owners)


def crossed_names(parts: list[list[str]]) -> list[str]:
    """Names of the products of the columns of several variables, those of the first varying fastest."""
    crossed = [""]
    for own in parts:
        crossed = [f"{before}:{name}" if before else name for name in own for before in crossed]
    return crossed


_Columns = tuple[Callable[[int], np.ndarray], list[str]]


def _made_of(
    terms: Terms, variables: Mapping[Node, Variable], n: int
) -> tuple[list[list[_Columns]], tuple[str, ...], tuple[str, ...]]:
    """The variables of each term, and the names and owners of all columns."""
    full = full_codings(terms, {v for v in terms.variables if isinstance(variables[v], Coded)})
    widths = [prod(_width(variables[v], (t, v) in full) for v in term) for t, term in enumerate(terms.terms)]
    _forecast(n, int(terms.intercept), {":".join(map(deparse, t)): w for t, w in zip(terms.terms, widths, strict=True)})
    blocks = [[_columns(variables[v], deparse(v), (t, v) in full) for v in term] for t, term in enumerate(terms.terms)]
    names, owners = ([INTERCEPT], [INTERCEPT]) if terms.intercept else ([], [])
    for term, block in zip(terms.terms, blocks, strict=True):
        crossed = crossed_names([own for _, own in block])
        names += crossed
        owners += [":".join(map(deparse, term))] * len(crossed)
    return blocks, tuple(names), tuple(owners)


def _each_column(blocks: list[list[_Columns]]) -> Iterator[list[np.ndarray]]:
    """The factors of each column behind the constant, whose product it is; the first variable varies fastest."""
    for block in blocks:
        for at_each in product(*(range(len(names)) for _, names in reversed(block))):
            yield [get(j) for (get, _), j in zip(block, reversed(at_each), strict=True)]


def count(terms: Terms, variables: Mapping[Node, Variable]) -> int:
    """The number of columns, known before any is made."""
    full = full_codings(terms, {v for v in terms.variables if isinstance(variables[v], Coded)})
    widths = (prod(_width(variables[v], (t, v) in full) for v in term) for t, term in enumerate(terms.terms))
    return int(terms.intercept) + sum(widths)


def _width(variable: Variable, full: bool) -> int:
    """Number of columns of a variable, known before any is made."""
    if isinstance(variable, Coded):
        k = len(variable.coding.labels)
        return k if full else width(variable.coding.contrast, k)
    return int(variable.values.shape[1]) if isinstance(variable, WideColumn) else 1


def _columns(variable: Variable, text: str, full: bool) -> _Columns:
    """Return a function that makes column j of a variable, and the names of its columns."""
    if isinstance(variable, np.ndarray):
        return lambda j: variable, [text]
    if isinstance(variable, WideColumn):
        return lambda j: variable.values[:, j], [text + suffix for suffix in variable.suffixes]
    labels = list(variable.coding.labels)
    if full:
        table, suffixes = np.eye(len(labels)), labels
    elif len(labels) < 2:
        only = f"only the level '{labels[0]}'" if labels else "no level"
        raise MMEError(f"factor '{text}' has {only} in the rows used, so it has no contrast; leave it out")
    else:
        table, suffixes = contrast_matrix(variable.coding.contrast, labels)
    table = np.vstack([table, np.full(table.shape[1], np.nan)])  # code -1, a missing value, finds the last row
    return lambda j: table[:, j][variable.codes], [text + suffix for suffix in suffixes]


def full_codings(terms: Terms, factors: set[Node]) -> set[tuple[int, Node]]:
    """Where a factor takes a column per level rather than contrasts (Chambers & Hastie, 1992, p. 38; R's TermCode).

    Contrasts suffice where what remains of the term without the factor is contained in an earlier term. (Contained in
    it, not equal to it: for ``f:x + f:h`` this loses columns, in R as here; ``f:x + f*h`` does not.)
    """
    full = set()
    earlier: dict[Node, set[int]] = {}  # the terms so far that have this variable
    for t, term in enumerate(terms.terms):
        for variable in factors.intersection(term):
            rest = sorted((earlier.get(other, set()) for other in term if other != variable), key=len)
            if rest and not rest[0].intersection(*rest[1:]):
                full.add((t, variable))
        for variable in term:
            earlier.setdefault(variable, set()).add(t)
    if not terms.intercept:
        first = next(((t, v) for t, term in enumerate(terms.terms) for v in term if v in factors), None)
        full |= {first} if first is not None else set()
    return full


def _forecast(n: int, intercept: int, widths: Mapping[str, int]) -> None:
    """Refuse, before any of it is made, a dense matrix that cannot fit into the machine."""
    p = intercept + sum(widths.values())
    if limits().memory is None and 8 * n * p <= UNASKED:
        return
    memory = machine_bytes()
    if 8 * n * p > memory:
        widest = max(widths, key=widths.__getitem__)
        raise MemoryForecastError(
            f"the model matrix would be {n} x {p} ({8e-9 * n * p:.0f} GB, this machine has {1e-9 * memory:.0f} GB); "
            f"'{widest}' alone makes {widths[widest]} columns: should it be a random term, (1 | {widest})?"
        )


def given_codings(
    contrasts: Mapping[str, Any] | None, fixed: Terms, variables: Mapping[Node, Variable]
) -> dict[Node, Coding]:
    """The codings that the user gives, by the factor of the fixed part."""
    factors = {}
    for node in fixed.variables:
        variable = variables[node]
        if isinstance(variable, Coded):
            factors[node.value if isinstance(node, Name) else deparse(node)] = (node, variable.coding)
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise MMEError(f'contrasts must map factors to codings, as {{"f": "sum"}}; got {type(contrasts).__name__}')
    codings = {}
    for name, coding in (contrasts or {}).items():
        made_of = [pair for pair in factors.values() if name in names_in(pair[0])]
        if name not in factors and len(made_of) != 1:
            known = ", ".join(f"'{factor}'" for factor in factors) or "none"
            raise MMEError(
                f"contrasts are given for '{name}', but the factors of the fixed part are {known}; in a bar write "
                f"C({name}, contr.sum)"
            )
        node, learned = factors.get(name) or made_of[0]
        codings[node] = Coding(learned.labels, given_contrast(coding, learned.labels, name))
    return codings


def coded_as(variables: Mapping[Node, Variable], codings: Mapping[Node, Coding]) -> dict[Node, Variable]:
    """The factors that these codings code otherwise, so coded."""
    return {
        node: Coded(variable.codes, codings[node])
        for node, variable in variables.items()
        if isinstance(variable, Coded) and node in codings
    }
