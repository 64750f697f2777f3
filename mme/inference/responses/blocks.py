"""Responses from whatever holds them, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import shown


def blocks_of(responses: Any, rows: int, size: int) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
    """Labels and values (B, rows) of the responses, block by block, from whatever holds them.

    Raises
    ------
    MMEError
        A block has another number of rows than the data.
    """
    if hasattr(responses, "var_names") and hasattr(responses, "X"):  # AnnData: observations by variables
        names, responses = tuple(responses.var_names), responses.X
    elif hasattr(responses, "columns"):
        names, responses = tuple(responses.columns), responses.to_numpy()
    else:
        names = None
    if not hasattr(responses, "shape"):
        if not hasattr(responses, "__iter__"):
            raise MMEError(f"responses must be a matrix with a column a response, got {shown(responses)}")
        before = 0
        for block in responses:
            for labels, values in blocks_of(block, rows, size):
                own = tuple(before + i for i in range(len(values))) if not hasattr(block, "columns") else labels
                before += len(values)
                yield own, values
        return
    if len(responses.shape) != 2 or responses.shape[0] != rows:
        raise MMEError(
            f"responses must have a row for each of the {rows} rows of the data and a column a response, got an array "
            f"of shape {shown(list(responses.shape))}"
        )
    for start in range(0, responses.shape[1], size):
        part = responses[:, start : start + size]
        part = part.toarray() if hasattr(part, "toarray") else part
        values = np.ascontiguousarray(np.asarray(part, dtype=float).T)
        yield (names or tuple(range(responses.shape[1])))[start : start + size], values
