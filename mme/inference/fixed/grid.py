"""Rows that no data set has, in general position: what of X depends on the coding alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mme.errors import FormulaError
from mme.formula.columns import Coded, Variable
from mme.formula.evaluate import Evaluator
from mme.formula.specification import Specification
from mme.formula.syntax import Node, names_in
from mme.formula.transforms import CONSTANTS
from mme.tables.frame import Frame, WideColumn


def synthetic_rows(spec: Specification) -> tuple[dict[Node, Variable], int]:
    """The variables of the fixed part on rows in general position: all cells of every term, numbers at random.

    Columns of X that are dependent there are so by the way they are coded, whatever the data.
    """
    rng = np.random.default_rng(0)
    nodes = spec.fixed.variables
    levels = {node: len(spec.codings[node].labels) for node in nodes if node in spec.codings}
    suffixes = {node: suffixes_of(spec, node) for node in nodes if node not in levels}
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
        variables[node] = values[:, 0] if names is None else WideColumn(values, names)
    return variables, n


def _cells(levels: Mapping[Node, int]) -> dict[Node, np.ndarray]:
    if not levels:
        return {}
    codes = np.indices(tuple(levels.values())).reshape(len(levels), -1)
    return dict(zip(levels, codes, strict=True))


def suffixes_of(spec: Specification, node: Node) -> tuple[str, ...] | None:
    """Names of a basis's columns, None for a plain covariate: from its value where its own columns are missing."""
    if node in spec.matrices:
        return spec.matrices[node]
    frame = Frame({name: [np.nan] for name in columns_in(spec, node)} or {"": [0.0]})
    try:
        value = Evaluator(frame, spec.formula, spec.states).value(node)
    except FormulaError:  # it takes labels
        return None
    return value.suffixes if isinstance(value, WideColumn) else None


def columns_in(spec: Specification, node: Node) -> set[str]:
    """Names of the columns that an expression uses; TRUE and pi are none unless the data have them."""
    return {name for name in names_in(node) if name in spec.means or name not in CONSTANTS}
