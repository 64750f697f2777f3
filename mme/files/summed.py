"""Cross-products that were read back, tried before they are given out: arrays, labels, a chunk of few rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.files.kinds import require_numbers
from mme.files.witness import typical_columns, typical_rows
from mme.model.problem import build_model
from mme.streaming.chunk import read_chunk
from mme.streaming.compress import CompressedRows, compress
from mme.streaming.layout import ChunkLayout, layout_of, reading_of
from mme.streaming.sums import Sums
from mme.tables.frame import Frame
from mme.tables.growing import GrowingLabels

# What a layout says of columns, which the formula and what it learned determine.
_PLACES = ("names", "q", "of_X", "of_bars", "ones", "x_names", "owners", "basis_names", "parts")
# A value of each kind of column.
_TYPICAL: dict[str, Any] = {"truth values": True, "dates": np.datetime64("2000-01-01")}
_TYPES = {"text": str, "numbers": float}


def witness_of_sums(sums: Sums) -> dict[str, Any] | None:
    """What the formula makes of rows at which all is typical, as a fit and as a chunk; None where there is no model."""
    made = _model_of(sums)
    if made is None:
        return None
    rows = typical_rows(made.spec)
    first = {name: values[0] for name, values in rows.items()}
    count = max(map(len, rows.values()), default=1)
    kinds = dict(sums.layout.kinds)
    table = {name: rows.get(name, [_TYPICAL.get(kinds[name], first.get(name, 1.0))] * count) for name in kinds}
    return {
        "columns": typical_columns(made.spec),
        "chunk": _chunk(sums.layout, table),
        "p": made.X.shape[1],
        "totals": [
            _totals(sums.R.reshape(-1, sums.layout.m)),
            _totals(sums.within),
            _totals(sums.plain),
            None if sums.shift is None else _totals(sums.shift[None, :]),
        ],
    }


def _totals(rows: np.ndarray) -> np.ndarray:
    """Sums of columns and of their squares (2, m): numbers that were changed change them."""
    return np.array([rows.sum(axis=0), np.einsum("ij,ij->j", rows, rows)])


def _model_of(sums: Sums) -> CompressedRows | None:
    try:
        made = compress(sums)
        build_model(made.y, made.X, made.terms, x_names=sums.layout.x_names, compressed=made.compressed)
    except MMEError:  # no complete row yet, or too few
        return None
    return made


def _chunk(layout: ChunkLayout, table: dict[str, Any]) -> np.ndarray | None:
    """The columns [Z X y] of a table, by a layout that is the one which the table gives."""
    try:
        chunk = read_chunk(layout, table, dict(layout.kinds))
        reading = reading_of(layout.reading, Frame(table), layout.options, layout.learned.states)
        again = layout_of(reading, layout.options, layout.learned, layout.kinds)
    except MMEError:  # a column that can be no number which is known
        return None
    for name in _PLACES:
        if getattr(layout, name) != getattr(again, name):
            raise MMEError(f"the layout says {getattr(layout, name)} of {name}, its formula {getattr(again, name)}")
    return chunk.D


def require_sums(sums: Sums) -> None:
    """Refuse sums whose parts do not belong together.

    Raises
    ------
    MMEError
        They do not.
    """
    layout, size = sums.layout, sums.size
    q, m, shift = layout.q, layout.m, sums.shift
    shapes = [
        ("held", sums.held, (size, q, m)),
        ("records", sums.records, (size,)),
        ("within", sums.within, (m - q, m - q)),
        ("plain", sums.plain, (m, m)),
    ]
    require_numbers([*shapes, *([] if shift is None else [("shift", shift, (m,))])], "cross-products")
    of_all = sums.within, sums.plain
    if not all(np.isfinite(one).all() for one in (sums.held, *of_all, 0.0 if shift is None else shift)):
        raise MMEError("the triangles of the cross-products are not finite")
    below = any(sums.held[:, i, :i].any() for i in range(1, q)) or any(np.tril(one, -1).any() for one in of_all)
    if below or (np.einsum("gjj->gj", sums.held[:, :, :q]) < 0.0).any():
        raise MMEError("the triangles of the cross-products are none")
    _require_counts(sums)
    if tuple(sums.labels) != layout.parts:
        raise MMEError(f"labels are of {tuple(sums.labels)}, the formula needs {layout.parts}")
    for labels in sums.labels.values():
        _require_labels(labels)
    for labels, codes in zip(sums.labels.values(), _codes(sums), strict=True):
        if not np.array_equal(np.unique(codes), np.arange(labels.size)):
            raise MMEError(f"cells are not of the levels of '{labels.name}'")


def _codes(sums: Sums) -> list[np.ndarray]:
    """The codes of every part by cell, after a look at what they point to."""
    below = next(iter(sums.labels.values())).size if sums.labels else 0
    for places in sums.pairs:
        before = places.keys >> 32
        if before.size and (int(before.min()) < 0 or int(before.max()) >= below):
            raise MMEError("cells are not of the levels of their parts")
        below = places.size
    return sums.codes()


def _require_counts(sums: Sums) -> None:
    counts, records = sums.counts, sums.records
    if records.dtype.kind != "i" or (records.size and int(records.min()) < 1):
        raise MMEError("the numbers of records of cells are not counted from 1")
    if min(counts.n, counts.dropped, counts.outside, counts.chunks) < 0 or not np.isfinite(counts.logdet_W):
        raise MMEError("a number of rows is negative, or log|W| is not finite")
    if (sums.labels and int(records.sum()) != counts.n) or (not counts.weighted and counts.logdet_W):
        raise MMEError("the numbers of records, or the weights, do not add up")
    for seen in (*sums.typical.values(), *sums.offset.values()):
        if not (0 <= seen.count <= counts.n and np.isfinite(seen.total)) or (seen.values and len(seen.values) > 2):
            raise MMEError("what was seen of a column is not of its records")


def _require_labels(labels: GrowingLabels) -> None:
    state = labels.state()
    kind, known, declared = (state[name] for name in ("kind", "labels", "declared"))
    assert isinstance(known, list)
    assert isinstance(declared, list)
    if not labels.size:
        return
    if kind not in ("integers", "numbers", "text", "factor", "ordered") or (kind == "integers") == bool(known):
        raise MMEError(f"labels of '{labels.name}' are of no kind")
    if kind in _TYPES and not all(isinstance(one, _TYPES[str(kind)]) for one in known):
        raise MMEError(f"labels of '{labels.name}' are not of their kind")
    if kind in ("factor", "ordered") and len({float if type(one) is int else type(one) for one in declared}) > 1:
        raise MMEError(f"labels of '{labels.name}' are of several kinds")
