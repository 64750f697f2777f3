"""The rows of a table in which no variable of the model is missing or infinite."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.values import missing
from mme.tables.column import Factor, WideColumn
from mme.tables.frame import Frame


def complete(columns: list[tuple[str, Any]], frame: Frame, na_action: str, *, some: bool = True) -> np.ndarray:
    """Return the (N,) mask of rows without a missing value; infinite values among them are refused.

    ``some``: a table without a complete row is refused too.
    """
    kept = np.ones(frame.n, dtype=bool)
    gaps: dict[str, int] = {}
    with np.errstate(all="ignore"):
        columns = [(name, value) for name, value in columns if value is not None and not _is_whole(value)]
    for name, value in columns:
        if (absent := missing(value)).any():
            gaps[name] = int(absent.sum())
            kept &= ~absent
    found = ", ".join(f"{name}: {count}" for name, count in gaps.items())
    if gaps and na_action == "raise":
        gone = frame.n - int(kept.sum())
        raise MMEError(f'{gone} of {frame.n} rows miss a value ({found}); na_action="drop" leaves them out')
    if some and not kept.any():
        raise MMEError(f"none of the {frame.n} rows is complete; missing values in {found}")
    for name, value in columns:
        infinite = _infinite(value)
        if infinite is not None and (infinite & kept).any():
            row = np.argmax(infinite & kept)
            count = int((infinite & kept).sum())
            raise MMEError(f"{name} is infinite in {count} rows (first: row {frame.index[row]}); mend or drop them")
    return kept


def _is_whole(value: Any) -> bool:
    """Whether one pass shows that nothing is missing or infinite: a sum with such a number is not finite."""
    if isinstance(value, Factor):
        return bool(value.codes.size and value.codes.min() >= 0)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return False
    return value.dtype.kind != "f" or bool(np.isfinite(np.add.reduce(value)))


def _infinite(value: Any) -> np.ndarray | None:
    numbers = value.values if isinstance(value, WideColumn) else value
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind != "f":
        return None
    infinite = np.isinf(numbers)
    return infinite if infinite.ndim == 1 else np.asarray(infinite.any(axis=1))
