"""Text -> a table: fields between commas, semicolons, tabs, bars or blanks, as R's ``write.table`` writes them."""

from __future__ import annotations

import contextlib
import csv
import lzma
import re
import tarfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mme.cli.quoted import marked, unmarked
from mme.cli.source import Source
from mme.errors import MMEError

if TYPE_CHECKING:
    import pandas as pd

# What parts the fields of a line; the first of those that occur most in the header is taken, blanks where none does.
_SEPARATORS = (",", ";", "\t", "|")
_BLANKS = r"\s+"
# What readers of compressed files raise where the file is no such file, or a damaged one.
_DAMAGED = (zipfile.BadZipFile, lzma.LZMAError, tarfile.TarError, zlib.error)
# Labels that a number would change: leading zeros, and more digits than a number holds.
_ONLY_TEXT = re.compile(r"[-+]?0[0-9]|[-+]?[0-9]{16}")
# Numbers with a decimal comma, and with or without one.
_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]+)?")
_NUMBER = re.compile(r"[-+]?[0-9]*,?[0-9]+([eE][-+]?[0-9]+)?")
_UTF8 = "utf-8-sig"
_NUMERIC = "iufb"  # kinds of columns of numbers and truth values


@dataclass(frozen=True)
class TextReading:
    """How a file is read: its encoding, words that are missing values, columns that are only labels (None: all)."""

    encoding: str
    missing: tuple[str, ...]
    labels: frozenset[str] | None

    def are_labels(self, name: str) -> bool:
        """Whether a column is only labels."""
        return self.labels is None or name in self.labels


def table_of(source: Source, how: TextReading) -> pd.DataFrame:
    """The table of a text; columns that are only labels keep their text, unless all of it spells numbers.

    Raises
    ------
    MMEError
        It is no table, or not in this encoding.
    """
    if how.encoding == _UTF8 and source.is_utf16:
        how = replace(how, encoding="utf-16")
    header, separator, quoted = _layout(source, how)
    options: dict[str, Any] = {
        "sep": separator,
        "skipinitialspace": separator != _BLANKS and f"{separator} " in header,
        "dtype": "str" if how.labels is None else dict.fromkeys(how.labels, "str"),
        "low_memory": False,
        "keep_default_na": False,
        "na_values": ["", *how.missing],
    }
    if separator == _BLANKS:
        options["escapechar"] = "\\"
    table = _rows(source, how, options, quoted)
    if separator != "," and any(_has_decimal_commas(table[name]) for name in table if not how.are_labels(name)):
        options["decimal"] = ","  # as write.csv2 writes numbers
        table = _rows(source, how, options, quoted)
    table = _with_quoted_labels(source, how, options, quoted, table)
    return _named(_numbered(table, how), header, separator)


def _layout(source: Source, how: TextReading) -> tuple[str, str, bool]:
    """The header, what parts its fields, and whether the first row begins with a quoted field."""
    header, *rows = _lines(source, how, nrows=2)
    if "\0" in header:
        raise MMEError(
            f"{source.name} holds zero bytes: it is no text in {_called(how.encoding)}; if it is one in UTF-16, write "
            "--encoding utf-16 (utf-16-le, utf-16-be)"
        )
    bare = re.sub(r'"[^"]*"', "x", header)
    count = {separator: bare.count(separator) for separator in _SEPARATORS}
    best = max(count, key=count.__getitem__)
    quoted = bool(rows) and rows[0].lstrip().startswith('"')
    separator = best if count[best] else _BLANKS if re.search(r"\S\s+\S", bare) else ","
    return header, separator, quoted


def _lines(source: Source, how: TextReading, **options: Any) -> list[str]:
    """The lines as they are."""
    whole = {"sep": "\x1f", "header": None, "quoting": 3, "dtype": "str", "keep_default_na": False}
    return [str(line) for line in _raw(source, how.encoding, **whole, **options).iloc[:, 0].tolist()]


def _rows(source: Source, how: TextReading, options: dict[str, Any], quoted: bool) -> pd.DataFrame:
    import pandas as pd

    try:
        return _raw(source, how.encoding, index_col=False, **options)
    except pd.errors.ParserWarning:
        table = _raw(source, how.encoding, **options)
    if _are_row_names(table.index, quoted):
        return table.reset_index(drop=True)
    remedy = "name every column" + (", and quote labels that hold blanks" if options["sep"] == _BLANKS else "")
    raise MMEError(f"{source.name}: the rows have more fields than the header has names; {remedy}")


def _with_quoted_labels(
    source: Source, how: TextReading, options: dict[str, Any], quoted: bool, table: pd.DataFrame
) -> pd.DataFrame:
    """The table with labels that stand in quotes and are missing without them.

    Read again only where a column of text misses something: a reader of tables does not tell what stood in quotes.
    """
    if not any(table[name].dtype.kind not in _NUMERIC and table[name].isna().any() for name in table.columns):
        return table
    content = marked("\n".join(_lines(source, how)), options["sep"], how.missing)
    if content is None:
        return table
    again = _rows(Source(source.name, None, content), TextReading(_UTF8, how.missing, how.labels), options, quoted)
    for name in table.columns:
        if table[name].dtype.kind not in _NUMERIC:
            table[name] = again[name].map(unmarked, na_action="ignore")
    return table


def _numbered(table: pd.DataFrame, how: TextReading) -> pd.DataFrame:
    """Columns of labels as numbers where all are, and none would change."""
    import pandas as pd

    for name in filter(how.are_labels, table.columns):
        if not any(_ONLY_TEXT.match(label) for label in table[name].dropna().unique()):
            with contextlib.suppress(ValueError, OverflowError):
                table[name] = pd.to_numeric(table[name])
    return table


def _named(table: pd.DataFrame, header: str, separator: str) -> pd.DataFrame:
    """The table with the names as they stand, without blanks around them: one that occurs twice is refused by name."""
    if separator == _BLANKS:
        names = [name.strip('"') for name in re.findall(r'"[^"]*"|\S+', header)]
    else:
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator, skipinitialspace=True))]
    if len(names) == table.shape[1] and all(names):
        table.columns = names
    return table


def _are_row_names(index: pd.Index, quoted: bool) -> bool:
    """Whether the fields before the first named one are R's row names: one a row, quoted or counted."""
    import pandas as pd

    counted = pd.api.types.is_integer_dtype(index.dtype) and index.is_monotonic_increasing
    return bool(index.nlevels == 1 and index.is_unique and (quoted or counted))


def _has_decimal_commas(column: pd.Series) -> bool:
    """Whether all that is known are numbers, some of them with a comma."""
    known = column.dropna().astype("str")
    return bool(known.str.fullmatch(_COMMA).any() and known.str.fullmatch(_NUMBER).all())


def _raw(source: Source, encoding: str, **options: Any) -> pd.DataFrame:
    import pandas as pd

    name, called = source.name, _called(encoding)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop the last columns and go on
            return pd.read_csv(source.open(), encoding=encoding, **options)
    except pd.errors.EmptyDataError:
        raise MMEError(f"{name} is empty") from None
    except LookupError:
        raise MMEError(f"there is no encoding '{encoding}'; try utf-8, latin-1, cp1252 or utf-16") from None
    except UnicodeError as error:
        raise MMEError(
            f"{name} cannot be read as a CSV table in {called}: {first_line(error)}; name its "
            "encoding: --encoding latin-1 (cp1252, utf-16)"
        ) from None
    except ImportError:
        raise MMEError(f"{name} needs a package to be unpacked that is not installed; unpack it first") from None
    except (OSError, EOFError, ValueError, *_DAMAGED) as error:
        raise MMEError(f"{name} cannot be read as a CSV table in {called}: {first_line(error)}") from None


def _called(encoding: str) -> str:
    return encoding.upper().removesuffix("-SIG")


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition("\n")[0]
