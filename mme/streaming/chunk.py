"""One chunk of a table -> its complete rows [Z X y], labels and weights; messages say which chunk it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.evaluate import Evaluator
from mme.formula.given import total
from mme.formula.parser import parse_expression
from mme.formula.syntax import Name
from mme.streaming.layout import ChunkLayout, Options, numbers_in, part_columns, reading_of, variables_on
from mme.streaming.sums import Chunk, Counts
from mme.streaming.typical import Seen, typical_of
from mme.tables.column import Column, Factor, Kinds, kind_of
from mme.tables.frame import Frame

# Columns without values, by what they hold elsewhere.
_WITHOUT: dict[str, Callable[[int], Column]] = {
    "labels": lambda n: Factor(np.full(n, -1), np.zeros(0, dtype=object), "text"),
    "truth values": lambda n: Factor(np.full(n, -1), np.array([False, True])),
    "dates": lambda n: np.full(n, "NaT", dtype="datetime64[D]"),
}


@contextmanager
def of_chunk(called: str) -> Iterator[None]:
    """Name the chunk in errors that are raised within."""
    try:
        yield
    except MMEError as error:
        raise type(error)(f"{called}: {error}") from error


def frame_of(table: Any, options: Options, kinds: Kinds | None = None) -> tuple[Frame, int]:
    """A chunk as a table of the rows of the subset, and how many rows are not in it.

    ``kinds`` are of the chunks before, and are added to.
    """
    frame = Frame(table)
    frame = frame if kinds is None else as_before(frame, kinds)
    chosen = chosen_of(frame, options)
    if chosen is None:
        return frame, 0
    part = frame.chosen(chosen)
    return part if kinds is None or not part.n else as_before(part, kinds), int(chosen.size - chosen.sum())


def chosen_of(frame: Frame, options: Options) -> np.ndarray | None:
    """The rows (N,) of a chunk that are in the subset; None: all."""
    return None if options.subset is None else _chosen(options.subset, frame)


def read_chunk(layout: ChunkLayout, table: Any, kinds: Kinds) -> Chunk:
    """The complete rows of a chunk; ``kinds`` are of the chunks before, and are added to.

    Raises
    ------
    MMEError
        A column is missing, or of another type than before; a label is one that the first pass did not see.
    """
    frame, outside = frame_of(table, layout.options, kinds)
    if not frame.n:
        return _nothing(layout, Counts(outside=outside, chunks=1))
    reading = reading_of(layout.reading, frame, layout.options, layout.learned.states)
    kept = reading.complete(layout.options.beside, layout.options.na_action, some=False)
    n = int(np.count_nonzero(kept))
    counts = Counts(n, frame.n - n, outside, 1)
    if not n:
        return _nothing(layout, counts)
    rows = None if n == frame.n else kept
    weights, *offsets = (
        None if values is None else values if rows is None else values[rows] for values in reading.numbers.values()
    )
    variables, offset = variables_on(reading, layout.learned, rows), total(offsets)
    y = np.asarray(reading.response, dtype=float)
    y = y if rows is None else y[rows]
    root, logdet, trace = (None, 0.0, 0.0) if weights is None else _roots(weights, layout.options.weights)
    parts = {name: _on(column, rows) for name, column in part_columns(reading).items()}
    return Chunk(
        D=numbers_in(layout, variables, y if offset is None else y - offset),
        parts=parts,
        root=root,
        counts=replace(counts, logdet_W=logdet, weighted=root is not None, trace_inverse_W=trace),
        typical=typical_of(reading, variables, rows),
        offset={} if offset is None else {"offset": Seen.of(offset)},
    )


def as_before(frame: Frame, kinds: Kinds) -> Frame:
    """The columns as the chunks before had them: one without values has the kind that they had.

    Raises
    ------
    MMEError
        A column is missing, or holds another kind of values.
    """
    for name in kinds:
        if name not in frame:
            known = ", ".join(f"'{column}'" for column in list(frame.names)[:8])
            raise MMEError(f"column '{name}' is not here (there are {known}); all chunks need the same columns")
        kind = kind_of(frame.column(name))
        if kind and kinds[name] and kind != kinds[name]:
            raise MMEError(
                f"column '{name}' holds {kind} here{_example(frame.column(name))}, and held {kinds[name]} before; "
                "write all chunks with one type, or give an iterator that reads them so (dtype= of pandas.read_csv)"
            )
        if not kind and kinds[name] in _WITHOUT:
            frame = frame.with_column(name, _WITHOUT[kinds[name]](frame.n))
        kinds[name] = kinds[name] or kind
    return frame


def _example(column: Column) -> str:
    """A label, in brackets: most often it is one that should be a number."""
    if not isinstance(column, Factor) or column.logical:
        return ""
    labels = column.categories[np.unique(column.codes[column.codes >= 0])].tolist()
    odd = [label for label in labels if not _is_number(label)] or labels
    return f" ({odd[0]!r})" if odd else ""


def _is_number(label: object) -> bool:
    try:
        float(str(label))
    except ValueError:
        return False
    return True


def _on(column: Column, rows: np.ndarray | None) -> Column:
    if rows is None:
        return column
    return column[rows] if isinstance(column, np.ndarray) else column.chosen(rows)


def _roots(weights: np.ndarray, name: str | None) -> tuple[np.ndarray, float, float]:
    """The roots of weights (n,), log|W| and tr(W^-1)."""
    bad = ~((weights > 0.0) & np.isfinite(weights))
    if bad.any():
        raise MMEError(
            f"weights '{name}' must be positive, but {int(bad.sum())} are not (for example {weights[bad][0]:g})"
        )
    return np.sqrt(weights), float(np.log(weights).sum()), float((1.0 / weights).sum())


def _nothing(layout: ChunkLayout, counts: Counts) -> Chunk:
    return Chunk(np.zeros((layout.m, 0)), {}, None, counts, {}, {})


def _chosen(subset: str, frame: Frame) -> np.ndarray:
    """The rows (N,) of a chunk for which a condition holds."""
    states: dict[str, Any] = {}
    given = Evaluator(frame, subset, states).value(Name(subset) if subset in frame else parse_expression(subset))
    if any(states.values()):
        raise MMEError(f"subset = '{subset}' needs all rows for a statistic of a column; write its value as a number")
    if not isinstance(given, Factor) or not given.logical:
        raise MMEError(f"subset = '{subset}' must be true or false for each row; write a condition, as \"x > 0\"")
    return np.asarray(given.codes == 1)
