"""A table that comes in chunks, from whatever library, opened as a source."""

from __future__ import annotations

from typing import Any

from mme.streaming.source import InTurn, TableSource
from mme.tables.chunks import chunks_of


def source_of(data: Any) -> TableSource | None:
    """Open a table in chunks; None for a table that is in memory as a whole."""
    if type(data).__module__.partition(".")[0] in ("dask", "dask_expr") and hasattr(data, "to_delayed"):
        from mme.streaming.dask_frame import Partitions

        return Partitions(data)
    chunks = chunks_of(data)
    return None if chunks is None else InTurn(chunks)
