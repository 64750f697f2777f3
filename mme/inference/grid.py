"""Rows that no data set has: the columns of X at chosen levels and covariates, through the formula's specification."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mme.columns import Coded, Variable, build
from mme.errors import FormulaError, MMEError
from mme.evaluate import Evaluator, names_in
from mme.formula import Specification
from mme.frame import Basis, Frame
from mme.syntax import Node, deparse
from mme.transforms import CONSTANTS, numeric

# Entries of X on a reference grid beyond which it is refused: it holds every combination of the factors' levels.
_MOST_ENTRIES = 20_000_000


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


def grid_rows(spec: Specification, codes: Mapping[Node, np.ndarray], at: Mapping[str, float]) -> np.ndarray:
    """Columns of X (rows, all columns) at the factors' codes and one value of each covariate.

    A transform is that of the mean of its column, f(mean(x)) and not mean(f(x)), unless ``at`` gives its value, or
    that of its column.

    Raises
    ------
    MMEError
        The value of a covariate is not known.
    """
    n = next((c.size for c in codes.values()), 1)
    width = len(spec.column_terms)
    if n * width > _MOST_ENTRIES:
        raise MMEError(
            f"the reference grid would have {n} rows, all combinations of the factors' levels, by {width} columns of "
            "X; give L to contrast() for the combinations of interest"
        )
    variables: dict[Node, Variable] = {node: Coded(c, spec.codings[node]) for node, c in codes.items()}
    for node in spec.fixed.variables:
        if node not in codes:
            variables[node] = _covariate(spec, node, {**spec.means, **at}, n)
    return build(spec.fixed, variables, n).values


def _covariate(spec: Specification, node: Node, values: Mapping[str, float], n: int) -> Variable:
    text = deparse(node)
    matrix = spec.matrices.get(node)
    if matrix is not None:
        return Basis(np.tile([values[text + suffix] for suffix in matrix], (n, 1)), matrix)
    if text in values:
        return np.full(n, float(values[text]))
    names = _columns_in(spec, node)
    unknown = sorted(names - set(values))
    if unknown:
        raise MMEError(
            f"'{text}' is in the model, and {', '.join(unknown)} has no mean, for it does not hold numbers; "
            f"give a value of {text} itself: at={{'{text}': ...}}"
        )
    frame = Frame({name: np.full(n, float(values[name])) for name in names})
    value = Evaluator(frame, spec.formula, spec.states).value(node)
    return value if isinstance(value, Basis) else np.asarray(numeric(value, f"'{text}'"))


def all_cells(spec: Specification) -> dict[Node, np.ndarray]:
    """Codes of every combination of the levels of the factors in the fixed part."""
    return _cells({node: len(spec.codings[node].labels) for node in spec.fixed.variables if node in spec.codings})


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
