"""What ``--json`` writes: the export of a fit, by which version, and the tables that were asked beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mme
from mme.api.face import Fit
from mme.api.generalised import GeneralisedFit
from mme.files import generalised_tables
from mme.files.export import as_dict, plain, text_of

if TYPE_CHECKING:
    import pandas as pd


def json_of(fit: Fit | GeneralisedFit, ddf: str | None = None, tables: Mapping[str, pd.DataFrame] | None = None) -> str:
    """JSON text, as ``schema.json`` describes it."""
    found = as_dict(fit.internals, ddf) if isinstance(fit, Fit) else generalised_tables.as_dict(fit.internals)
    shown = {"format": found["format"], "version": mme.__version__} | found
    if tables:
        shown["tables"] = [{"title": title, "rows": _records(table)} for title, table in tables.items()]
    return text_of(plain(shown))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, their labels among them."""
    rows: list[dict[str, Any]] = table.rename_axis(table.index.name or "term").reset_index().to_dict("records")
    return rows
