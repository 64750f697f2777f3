"""The table that a formula is fitted to, and the tables beside it: new rows, a pedigree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mme.cli.quoted import MISSING
from mme.cli.source import Source
from mme.cli.text import TextReading, first_line, table_of
from mme.errors import MMEError
from mme.formula.bars import split
from mme.formula.syntax import Call, Name, Node, Op, deparse, names_in

if TYPE_CHECKING:
    import pandas as pd

# Calls that make labels of what they are given.
_OF_LABELS = (
    "factor",
    "as.factor",
    "ordered",
    "as.ordered",
    "C",
    "relevel",
    "dummy",
    "as.character",
    "as.Date",
    "interaction",
)


def read_table(
    source: Source, formula: str, encoding: str = "utf-8-sig", missing: tuple[str, ...] = MISSING
) -> pd.DataFrame:
    """Read the table that a formula is fitted to.

    Columns that are only labels (right of a bar, and nowhere else) keep their text, so that 007 stays 007.

    Raises
    ------
    MMEError
        The file cannot be read, or has a text among the numbers of a column; the message names row and column.
    """
    labels, numbers = _columns(formula)
    table = read_plain(source, encoding, missing, labels)
    for name in numbers:
        if list(table.columns).count(name) == 1:
            _check_numbers(table[name], name, source)
    return table


def read_new(source: Source, formula: str, encoding: str, missing: tuple[str, ...]) -> pd.DataFrame:
    """Read rows for which a fit of this formula predicts."""
    return read_plain(source, encoding, missing, _columns(formula)[0])


def read_plain(source: Source, encoding: str, missing: tuple[str, ...], labels: Iterable[str] | None) -> pd.DataFrame:
    """Read a table of any use; the columns that are only ``labels`` (None: all) keep their text.

    Raises
    ------
    MMEError
        The file cannot be read, or holds no rows.
    """
    if source.is_parquet:
        return _read_parquet(source)
    table = table_of(source, TextReading(encoding, missing, None if labels is None else frozenset(labels)))
    if table.empty:
        raise MMEError(f"{source.name} has a header and no rows" if len(table.columns) else f"{source.name} is empty")
    return table


def _columns(formula: str) -> tuple[set[str], list[str]]:
    """The columns that are only labels, and those that the formula takes as they are: numbers, if most are."""
    parsed = split(formula)
    left = [node for bar in parsed.bars for node in bar.left.variables]
    others = [node for node in (parsed.response, parsed.fixed, *left) if node is not None]
    labels = {name for bar in parsed.bars for factor in bar.factors for name in names_in(factor)}
    labels |= {name for bar in parsed.bars if bar.by is not None for name in names_in(bar.by)}
    bare = dict.fromkeys(name for node in others for name in _as_they_are(node))
    return labels.difference(*map(names_in, others)), list(bare)


def _as_they_are(node: Node) -> list[str]:
    """Names in an expression that no call makes labels of, nor a comparison with a text."""
    names, left = list[str](), [node]
    while left:  # sums of thousands of terms are as deep
        one = left.pop()
        if isinstance(one, Name):
            names.append(one.value)
        elif isinstance(one, Call):
            left += [] if one.function.rpartition("::")[2] in _OF_LABELS else reversed(one.args)
        elif isinstance(one, Op):
            left += [] if one.symbol in ("==", "!=", "%in%") else reversed(one.args)
    return names


def _check_numbers(column: pd.Series, name: str, source: Source) -> None:
    """Refuse a text where most values are numbers: the column would be a factor in silence."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return
    known = column.notna().to_numpy()
    try:
        text = known & pd.to_numeric(column, errors="coerce").isna().to_numpy()
    except OverflowError:  # hundreds of digits: as labels
        return
    if not text.any() or 2 * text.sum() > known.sum():
        return
    row = int(text.argmax())
    value = str(column.iloc[row])[:60]
    more = f", nor are {int(text.sum()) - 1} others" if text.sum() > 1 else ""
    raise MMEError(
        f"{source.name}: {value!r} in row {row + 1} of column '{name}' is not a number{more}; mend it, name it as "
        f"missing (--missing {value!r}), or write factor({deparse(Name(name))}) if these are labels"
    )


def _read_parquet(source: Source) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(source.open())
    except ImportError:
        raise MMEError("Parquet files need pyarrow: pip install 'mme[parquet]'") from None
    except (OSError, ValueError) as error:
        raise MMEError(f"{source.name} cannot be read as a Parquet file: {first_line(error)}") from None
