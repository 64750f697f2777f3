"""The columns of a model matrix that are too many to be dense: what ``columns.py`` makes, by its entries alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
import scipy.sparse as sp

from mme.formula.algebra import Terms
from mme.formula.codings import levels_with_columns
from mme.formula.columns import INTERCEPT, Coded, Matrix, Variable, crossed_names, full_codings
from mme.formula.syntax import Node, deparse
from mme.tables.column import WideColumn

_Part = tuple[sp.csr_array, list[str]]


def build_wide(terms: Terms, variables: Mapping[Node, Variable], n: int) -> Matrix | None:
    """The (n, p) matrix by columns, of its entries; None where a factor has contrasts that most levels take part in."""
    full = full_codings(terms, {v for v in terms.variables if isinstance(variables[v], Coded)})
    blocks = [sp.csc_array(np.ones((n, 1)))] if terms.intercept else []
    names, owners = ([INTERCEPT], [INTERCEPT]) if terms.intercept else ([], [])
    for t, term in enumerate(terms.terms):
        parts = []
        for v in term:
            if (part := _part(variables[v], deparse(v), (t, v) in full)) is None:
                return None
            parts.append(part)
        blocks.append(sp.csc_array(reduce(_by_row, [values for values, _ in parts])))
        crossed = crossed_names([own for _, own in parts])
        names += crossed
        owners += [":".join(map(deparse, term))] * len(crossed)
    values = sp.csc_array(sp.hstack(blocks, format="csc")) if blocks else sp.csc_array((n, 0))
    return Matrix(values, tuple(names), tuple(owners))


def _part(variable: Variable, text: str, full: bool) -> _Part | None:
    """The columns of a variable (n, w) by their entries, and their names; a missing value is NaN in the first."""
    if isinstance(variable, np.ndarray):
        return sp.csr_array(variable[:, None]), [text]
    if isinstance(variable, WideColumn):
        return sp.csr_array(variable.values), [text + suffix for suffix in variable.suffixes]
    labels = list(variable.coding.labels)
    found = (np.arange(len(labels)), labels) if full else levels_with_columns(variable.coding.contrast, labels)
    if found is None:
        return None
    levels, suffixes = found
    column = np.full(len(labels) + 1, -1)  # code -1, a missing value, finds the last
    column[levels] = np.arange(len(levels))
    at, missing = column[variable.codes], variable.codes < 0
    at[missing] = 0
    rows = np.flatnonzero(at >= 0)
    values = np.where(missing[rows], np.nan, 1.0)
    shape = (variable.codes.size, len(levels))
    return sp.csr_array(sp.coo_array((values, (rows, at[rows])), shape=shape)), [text + suffix for suffix in suffixes]


def _by_row(one: sp.csr_array, other: sp.csr_array) -> sp.csr_array:
    """All products of a row's entries, those of ``one`` varying fastest."""
    n, w = one.shape
    a, b = np.diff(one.indptr).astype(np.int64), np.diff(other.indptr).astype(np.int64)
    each = a * b
    row = np.repeat(np.arange(n), each)
    within = np.arange(row.size) - np.repeat(np.cumsum(each) - each, each)
    i, j = one.indptr[row] + within % a[row], other.indptr[row] + within // a[row]
    columns = other.indices[j].astype(np.int64) * w + one.indices[i]
    entries = one.data[i] * other.data[j], (row, columns)
    return sp.csr_array(sp.coo_array(entries, shape=(n, w * other.shape[1])))
