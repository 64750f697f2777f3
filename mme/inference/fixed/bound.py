"""Columns that stand where a factor stands, as it is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mme.formula.specification import Specification
from mme.formula.syntax import Call, Name, Node
from mme.inference.fixed.grid import columns_in

# Functions that make a factor; the first two only code it otherwise.
_CODINGS = ("C", "relevel")
_FACTORS = ("factor", "as.factor", "ordered", "as.ordered", *_CODINGS)
_LOGICAL = frozenset(("FALSE", "TRUE"))


def columns_of_factors(spec: Specification, given: Mapping[str, Any]) -> dict[str, tuple[Node, np.ndarray]]:
    """Columns of covariates that a factor is made of: x of ``factor(x) + x``, f of ``f + I((f == "a") * z)``.

    By column, the factor, which says where the column stands, and its value at each level.
    """
    used = set().union(*(columns_in(spec, node) for node in covariates(spec)))
    found: dict[str, tuple[Node, np.ndarray]] = {}
    for node in spec.fixed.variables:
        name = _column_of(node) if node in spec.codings else None
        if name in used and name not in given:
            values = _values_of(spec.codings[node].labels, as_numbers=name in spec.means)
            found |= {} if values is None else {name: (node, values)}
    return found


def _column_of(node: Node) -> str | None:
    """The column whose values are the labels of a factor; None where a call labels them otherwise."""
    if isinstance(node, Name):
        return node.value
    if not isinstance(node, Call) or node.function not in _FACTORS or not node.args:
        return None
    relabelled = node.function not in _CODINGS and len(node.args) > 2
    return None if relabelled or "labels" in dict(node.keywords) else _column_of(node.args[0])


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
