"""Responses from whatever holds them, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import numbers, numbers_by_column, shown
from mme.tables.frame import Frame


def blocks_of(responses: Any, table: Frame, size: int) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
    """Labels and values (B, rows) of the responses, block by block, from whatever holds them.

    Raises
    ------
    MMEError
        A block has another number of rows than the data, or their labels in another order.
    """
    rows = table.n
    table.check_order(responses, "the responses")
    if hasattr(responses, "var_names") and hasattr(responses, "X"):  # AnnData: observations by variables
        names, responses = tuple(responses.var_names), responses.X
    elif isinstance(responses, Mapping):
        names, responses = tuple(responses), _beside(responses, table)
    elif hasattr(responses, "columns"):
        names, responses = tuple(responses.columns), responses.to_numpy()
    else:
        names, responses = None, _as_matrix(responses)
    if not hasattr(responses, "shape"):
        yield from _each(responses, table, size)
        return
    if len(responses.shape) != 2 or responses.shape[0] != rows:
        raise MMEError(
            f"responses must have a row for each of the {rows} rows of the data and a column a response, got an array "
            f"of shape {shown(list(responses.shape))}"
        )
    for start in range(0, responses.shape[1], size):
        part = responses[:, start : start + size]
        labels = (names or tuple(range(responses.shape[1])))[start : start + size]
        values = numbers_by_column(part.toarray() if hasattr(part, "toarray") else part, labels, "response")
        yield labels, np.ascontiguousarray(values.T)


def _each(blocks: Any, table: Frame, size: int) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
    """Labels and values of blocks that come one after another; those without names are counted through."""
    if isinstance(blocks, str | bytes) or not hasattr(blocks, "__iter__"):
        raise MMEError(f"responses must be a matrix with a column a response, got {shown(blocks)}")
    before = 0
    for block in blocks:
        named = hasattr(block, "columns") or hasattr(block, "var_names") or isinstance(block, Mapping)
        for labels, values in blocks_of(block, table, size):
            yield labels if named else tuple(before + i for i in range(len(values))), values
            before += len(values)


def _as_matrix(given: Any) -> Any:
    """A list of rows of numbers as a matrix; anything else as it is."""
    rows = isinstance(given, list | tuple) and given and all(isinstance(row, list | tuple) for row in given)
    return np.asarray(given) if rows and not any(isinstance(one, list | tuple) for one in given[0]) else given


def _beside(columns: Mapping[Any, Any], table: Frame) -> np.ndarray:
    """The columns of a mapping side by side."""
    rows = table.n
    for name, column in columns.items():
        table.check_order(column, f"response {shown(name)}")
    made = [numbers(column, f"response {shown(name)}") for name, column in columns.items()]
    for name, column in zip(columns, made, strict=True):
        if column.shape != (rows,):
            raise MMEError(
                f"response {shown(name)} must have {rows} values, got a shape of {shown(list(column.shape))}"
            )
    return np.column_stack(made) if made else np.zeros((rows, 0))
