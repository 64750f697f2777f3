"""Rows that no data set has: the columns of X at chosen levels and covariates, through the formula's specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from mme.columns import Coded, Variable, build
from mme.errors import FormulaError, MMEError
from mme.evaluate import Evaluator, names_in
from mme.formula import Specification
from mme.frame import Basis, Frame
from mme.syntax import Call, Name, Node, deparse
from mme.transforms import CONSTANTS, numeric

# Entries of X on a reference grid beyond which it is refused: it holds every combination of the factors' levels.
_MOST_ENTRIES = 20_000_000
# Functions that make a factor; the first two only code it otherwise.
_CODINGS = ("C", "relevel")
_FACTORS = ("factor", "as.factor", "ordered", "as.ordered", *_CODINGS)
_LOGICAL = frozenset(("FALSE", "TRUE"))


def synthetic_rows(spec: Specification) -> tuple[dict[Node, Variable], int]:
    """The variables of the fixed part on rows in general position: all cells of every term, numbers at random.

    Columns of X that are dependent there are so by the way they are coded, whatever the data.
    """
    rng = np.random.default_rng(0)
    nodes = spec.fixed.variables
    levels = {node: len(spec.codings[node].labels) for node in nodes if node in spec.codings}
    suffixes = {node: _suffixes(spec, node) for node in nodes if node not in levels}
    repeats = 2 + sum(1 if names is None else len(names) for names in suffixes.values())
    cells = [_cells({node: levels[node] for node in term if node in levels}) for term in spec.fixed.terms] or [{}]
    sizes = [repeats * max((codes.size for codes in cell.values()), default=1) for cell in cells]
    n = sum(sizes)
    variables: dict[Node, Variable] = {}
    for node, count in levels.items():
        pieces = [
            np.resize(cell[node], size) if node in cell else rng.integers(0, count, size)
            for cell, size in zip(cells, sizes, strict=True)
        ]
        variables[node] = Coded(np.concatenate(pieces), spec.codings[node])
    for node, names in suffixes.items():
        values = rng.standard_normal((n, 1 if names is None else len(names)))
        variables[node] = values[:, 0] if names is None else Basis(values, names)
    return variables, n


@dataclass(frozen=True, eq=False)
class Grid:
    """Every combination of the levels of the factors in the fixed part and of the values of some covariates.

    Attributes
    ----------
    X : (rows, all columns)
        The fixed part there.
    codes : by factor, (rows,)
        Which level a row has.
    values : by column or transform
        The values of covariates that stand at given or at several ones.
    places : by column or transform, (rows,)
        Which of these a row has.
    """

    X: np.ndarray
    codes: dict[Node, np.ndarray]
    values: dict[str, np.ndarray]
    places: dict[str, np.ndarray]


def reference_grid(spec: Specification, at: Mapping[str, np.ndarray]) -> Grid:
    """The grid with covariates at the values ``at``, at both values of a column that has two, or at their means.

    A transform is that of the mean of its column, f(mean(x)) and not mean(f(x)), unless ``at`` gives its value, or
    that of its column.

    Raises
    ------
    MMEError
        The value of a covariate is not known.
    """
    factors = {node: len(spec.codings[node].labels) for node in spec.fixed.variables if node in spec.codings}
    bound = _columns_of_factors(spec, at)
    values = {name: np.array(two) for name, two in spec.two_valued.items() if name not in bound} | dict(at)
    sizes = [*factors.values(), *(several.size for several in values.values())]
    n, width = prod(sizes), len(spec.column_terms)
    if n * width > _MOST_ENTRIES:
        raise MMEError(
            f"the reference grid would have {n} rows, all combinations of the factors' levels, by {width} columns of "
            "X; give L to contrast() for the combinations of interest"
        )
    places = np.indices(tuple(sizes)).reshape(len(sizes), n)
    codes, chosen = dict(zip(factors, places, strict=False)), dict(zip(values, places[len(factors) :], strict=True))
    columns = {name: np.full(n, mean) for name, mean in spec.means.items()}
    columns |= {name: of_levels[codes[node]] for name, (node, of_levels) in bound.items()}
    columns |= {name: several[chosen[name]] for name, several in values.items()}
    variables: dict[Node, Variable] = {node: Coded(c, spec.codings[node]) for node, c in codes.items()}
    for node in spec.fixed.variables:
        if node not in codes:
            variables[node] = _covariate(spec, node, columns)
    return Grid(build(spec.fixed, variables, n).values, codes, values, chosen)


def _columns_of_factors(spec: Specification, given: Mapping[str, Any]) -> dict[str, tuple[Node, np.ndarray]]:
    """Columns of covariates that a factor is made of: x of ``factor(x) + x``, f of ``f + I((f == "a") * z)``.

    By column, the factor, which says where the column stands, and its value at each level.
    """
    used = set().union(*(_columns_in(spec, node) for node in covariates(spec)))
    found: dict[str, tuple[Node, np.ndarray]] = {}
    for node in spec.fixed.variables:
        own = names_in(node) & used
        if node in spec.codings and len(names_in(node)) == 1 and own and not own & given.keys():
            name = own.pop()
            if isinstance(node, Name) or _keeps_labels(node):
                values = _values_of(spec.codings[node].labels, as_numbers=name in spec.means)
                found |= {} if values is None else {name: (node, values)}
    return found


def _keeps_labels(node: Node) -> bool:
    """Whether a call makes a factor whose labels are the values of its column."""
    if not isinstance(node, Call) or node.function not in _FACTORS:
        return False
    relabelled = node.function not in _CODINGS and len(node.args) > 2
    return not relabelled and "labels" not in dict(node.keywords)


def _values_of(labels: Sequence[str], *, as_numbers: bool) -> np.ndarray | None:
    """The values that the labels stand for; None where they are not the column's own."""
    if set(labels) <= _LOGICAL:
        return np.array([label == "TRUE" for label in labels])
    if not as_numbers:
        return np.array(labels, dtype=object)
    try:
        return np.array([float(label) for label in labels])
    except ValueError:
        return None


def covariates(spec: Specification) -> list[Node]:
    """The variables of the fixed part that are no factors."""
    return [node for node in spec.fixed.variables if node not in spec.codings]


def _covariate(spec: Specification, node: Node, columns: Mapping[str, np.ndarray]) -> np.ndarray | Basis:
    text = deparse(node)
    matrix = spec.matrices.get(node)
    if matrix is not None:
        return Basis(np.column_stack([columns[text + suffix] for suffix in matrix]), matrix)
    if text in columns:
        return np.asarray(numeric(columns[text], f"'{text}'"), dtype=float)
    names = _columns_in(spec, node)
    unknown = sorted(names - set(columns))
    suffixes = _suffixes(spec, node) if unknown else None
    if suffixes is not None and all(text + suffix in columns for suffix in suffixes):
        return Basis(np.column_stack([columns[text + suffix] for suffix in suffixes]), suffixes)
    if unknown:
        raise MMEError(
            f"'{text}' is in the model, and {', '.join(unknown)} has no mean, for it does not hold numbers; "
            f"give a value of {text} itself: at={{'{text}': ...}}"
        )
    frame = Frame({name: columns[name] for name in names} or {"": np.zeros(1)})
    value = Evaluator(frame, spec.formula, spec.states).value(node)
    return value if isinstance(value, Basis) else np.asarray(numeric(value, f"'{text}'"))


def _cells(levels: Mapping[Node, int]) -> dict[Node, np.ndarray]:
    if not levels:
        return {}
    codes = np.indices(tuple(levels.values())).reshape(len(levels), -1)
    return dict(zip(levels, codes, strict=True))


def _suffixes(spec: Specification, node: Node) -> tuple[str, ...] | None:
    """Names of a basis's columns, None for a plain covariate: from its value where its own columns are missing."""
    if node in spec.matrices:
        return spec.matrices[node]
    frame = Frame({name: [np.nan] for name in _columns_in(spec, node)} or {"": [0.0]})
    try:
        value = Evaluator(frame, spec.formula, spec.states).value(node)
    except FormulaError:  # it takes labels
        return None
    return value.suffixes if isinstance(value, Basis) else None


def _columns_in(spec: Specification, node: Node) -> set[str]:
    """Names of the columns that an expression uses; TRUE and pi are none unless the data have them."""
    return {name for name in names_in(node) if name in spec.means or name not in CONSTANTS}
