"""A data file -> a table: CSV, tab- or blank-separated as R's ``write.table`` writes it, or Parquet."""

from __future__ import annotations

import contextlib
import lzma
import re
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mme.errors import MMEError
from mme.formula.bars import split
from mme.formula.syntax import Call, Name, Node, Op, deparse, names_in

if TYPE_CHECKING:
    import pandas as pd

_PARQUET = (".parquet", ".pq")
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


def read_table(path: Path, formula: str, encoding: str) -> pd.DataFrame:
    """Read the table that a formula is fitted to.

    Columns that are only labels (right of a bar, and nowhere else) keep their text, so that 007 stays 007.

    Raises
    ------
    MMEError
        The file cannot be read, or has a text among the numbers of a column; the message names row and column.
    """
    if path.is_dir():
        raise MMEError(f"{path} is a directory; name a CSV or Parquet file")
    if not path.exists():
        raise MMEError(f"there is no file {path}")
    if path.suffix.lower() in _PARQUET:
        return _read_parquet(path)
    labels, numbers = _columns(formula)
    table = _read_text(path, labels, encoding)
    if table.empty:
        raise MMEError(f"{path} has a header and no rows" if len(table.columns) else f"{path} is empty")
    for name in numbers:
        if name in table.columns:
            _check_numbers(table[name], name, path)
    return table


def _columns(formula: str) -> tuple[set[str], list[str]]:
    """The columns that are only labels, and those that the formula takes as they are: numbers, if most are."""
    parsed = split(formula)
    left = [node for bar in parsed.bars for node in bar.left.variables]
    others = [node for node in (parsed.response, parsed.fixed, *left) if node is not None]
    labels = {name for bar in parsed.bars for factor in bar.factors for name in names_in(factor)}
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


def _layout(path: Path, encoding: str) -> tuple[str, bool]:
    """What parts the fields of the header, and whether the first row begins with a quoted field."""
    lines = _raw(path, encoding, sep="\x1f", header=None, nrows=2, quoting=3, dtype="str").iloc[:, :1].to_numpy()
    header, *rows = (str(line) for line in lines.ravel().tolist())
    if "\0" in header:
        raise MMEError(
            f"{path} holds zero bytes: it is no text in {_called(encoding)}; if it is one in UTF-16, write --encoding "
            "utf-16 (utf-16-le, utf-16-be)"
        )
    bare = re.sub(r'"[^"]*"', "x", header)
    count = {separator: bare.count(separator) for separator in _SEPARATORS}
    best = max(count, key=count.__getitem__)
    quoted = bool(rows) and rows[0].lstrip().startswith('"')
    return best if count[best] else _BLANKS if re.search(r"\S\s+\S", bare) else ",", quoted


def _read_text(path: Path, labels: set[str], encoding: str) -> pd.DataFrame:
    import pandas as pd

    separator, quoted = _layout(path, encoding)
    options: dict[str, Any] = {"sep": separator, "dtype": dict.fromkeys(labels, "str"), "low_memory": False}
    if separator == _BLANKS:
        options["escapechar"] = "\\"
    table = _rows(path, encoding, options, quoted)
    if separator != "," and any(_has_decimal_commas(table[name]) for name in table.columns if name not in labels):
        table = _rows(path, encoding, options | {"decimal": ","}, quoted)  # as write.csv2 writes numbers
    for name in labels & set(table.columns):
        if not any(_ONLY_TEXT.match(label) for label in table[name].dropna().unique()):
            with contextlib.suppress(ValueError, OverflowError):
                table[name] = pd.to_numeric(table[name])
    return table


def _rows(path: Path, encoding: str, options: dict[str, Any], quoted: bool) -> pd.DataFrame:
    import pandas as pd

    try:
        return _raw(path, encoding, index_col=False, **options)
    except pd.errors.ParserWarning:
        table = _raw(path, encoding, **options)
    if _are_row_names(table.index, quoted):
        return table.reset_index(drop=True)
    remedy = "name every column" + (", and quote labels that hold blanks" if options["sep"] == _BLANKS else "")
    raise MMEError(f"{path}: the rows have more fields than the header has names; {remedy}")


def _are_row_names(index: pd.Index, quoted: bool) -> bool:
    """Whether the fields before the first named one are R's row names: one a row, quoted or counted."""
    import pandas as pd

    counted = pd.api.types.is_integer_dtype(index.dtype) and index.is_monotonic_increasing
    return bool(index.nlevels == 1 and index.is_unique and (quoted or counted))


def _has_decimal_commas(column: pd.Series) -> bool:
    """Whether all that is known are numbers, some of them with a comma."""
    known = column.dropna().astype("str")
    return bool(known.str.fullmatch(_COMMA).any() and known.str.fullmatch(_NUMBER).all())


def _raw(path: Path, encoding: str, **options: Any) -> pd.DataFrame:
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop the last columns and go on
            return pd.read_csv(path, encoding=encoding, **options)
    except pd.errors.EmptyDataError:
        raise MMEError(f"{path} is empty") from None
    except LookupError:
        raise MMEError(f"there is no encoding '{encoding}'; try utf-8, latin-1, cp1252 or utf-16") from None
    except UnicodeError as error:
        raise MMEError(
            f"{path} cannot be read as a CSV table in {_called(encoding)}: {_first_line(error)}; name its "
            "encoding: --encoding latin-1 (cp1252, utf-16)"
        ) from None
    except ImportError:
        raise MMEError(f"{path} needs a package to be unpacked that is not installed; unpack it first") from None
    except (OSError, EOFError, ValueError, *_DAMAGED) as error:
        raise MMEError(f"{path} cannot be read as a CSV table in {_called(encoding)}: {_first_line(error)}") from None


def _check_numbers(column: pd.Series, name: str, path: Path) -> None:
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
    value = str(column.iloc[row])
    hint = f"mend it, or write factor({deparse(Name(name))}) if these are labels"
    more = f", nor are {int(text.sum()) - 1} others" if text.sum() > 1 else ""
    raise MMEError(f"{path}, row {row + 1}, column '{name}': {value[:60]!r} is not a number{more}; {hint}")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise MMEError("Parquet files need pyarrow: pip install 'mme[parquet]'") from None
    except (OSError, ValueError) as error:
        raise MMEError(f"{path} cannot be read as a Parquet file: {_first_line(error)}") from None


def _called(encoding: str) -> str:
    return encoding.upper().removesuffix("-SIG")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
