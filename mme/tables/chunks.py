"""Tables that come in chunks, whatever library or file they come from: named, and read again where they can be.

==================================  ====================================================================================
a path                              Parquet, a file or a folder of them (pyarrow); CSV or TSV (pandas); by its name
``pyarrow.dataset.Dataset``         record batches
``pyarrow.RecordBatchReader``       record batches, once
Polars ``LazyFrame``                collected in batches by the streaming engine
DuckDB relation                     record batches; the query runs again for each pass
a list or tuple of tables           as they are, large ones in parts
a function without arguments        called for each pass; returns an iterator of tables
an iterator or generator            of tables, once
==================================  ====================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mme.errors import MMEError
from mme.numeric.limits import limits
from mme.numeric.memory import require_in_process
from mme.tables.arguments import path_of
from mme.tables.parquet import batches_of_files, opened, require_alike, unbuffered

# How files of tables end.
PARQUET, TEXT = (".parquet", ".pq"), (".csv", ".tsv", ".tab", ".txt")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
# Bytes of address space without which Arrow's threads end the process.
_ARROW = 2**27
_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, eq=False)
class Chunks:
    """A table in chunks.

    Attributes
    ----------
    name : str
        What it is called in messages.
    read : callable
        Of names of columns, or None for all: an iterator of tables.
    names : tuple of str or None
        The columns, where they are known before a chunk is read.
    once : bool
        Whether it can be read once only.
    """

    name: str
    read: Callable[[Collection[str] | None], Iterator[Any]]
    names: tuple[str, ...] | None = None
    once: bool = False

    def tables(self, wanted: Collection[str] | None = None) -> Generator[tuple[str, Any]]:
        """The chunks that have rows, each with its name; only the ``wanted`` columns of them."""
        if wanted is not None and self.names is not None:
            wanted = [name for name in self.names if name in wanted] if set(wanted) & set(self.names) else None
        else:
            wanted = None
        first = 0
        for number, table in enumerate(self.read(wanted), start=1):
            called = f"chunk {number} of {self.name}"
            for part, rows in _parts(table, called):
                yield f"{called} (rows {first} to {first + rows - 1})", part
                first += rows


def chunks_of(data: Any) -> Chunks | None:
    """Open data that come in chunks; None for a table that is there as a whole."""
    module = type(data).__module__.partition(".")[0]
    if isinstance(data, str | os.PathLike):
        return _of_path(path_of(data))
    if isinstance(data, Chunks):
        return data
    if module == "pyarrow" and hasattr(data, "scanner") and not hasattr(data, "column_names"):
        return _of_dataset(data, "the dataset", _scanned)
    if module == "pyarrow" and hasattr(data, "read_next_batch"):
        return Chunks("the reader", _once(data, "reader"), tuple(data.schema.names), once=True)
    if module == "polars" and hasattr(data, "collect_schema") and not hasattr(data, "get_column"):
        return _of_lazy(data)
    if module in ("duckdb", "_duckdb") and hasattr(data, "project"):
        return _of_relation(data)
    if isinstance(data, list | tuple) and data and all(map(_is_table, data)):
        return Chunks("the list", lambda names: iter(data))
    if hasattr(data, "__next__"):
        return Chunks("the iterator", _once(data, "iterator"), once=True)
    if callable(data) and not _is_table(data):
        return Chunks("the function's tables", lambda names: _made_by(data))
    return None


def _made_by(data: Any) -> Iterator[Any]:
    """The tables that a function gives.

    Raises
    ------
    MMEError
        It gives something else.
    """
    try:
        return _said(iter(data()), "the function's tables")
    except TypeError as error:
        raise MMEError(f"the function given for data must return tables one after the other: {error}") from None


def _is_table(data: Any) -> bool:
    kind = type(data)
    return isinstance(data, Mapping) or any(hasattr(kind, name) for name in ("iloc", "get_column", "column_names"))


def _parts(table: Any, called: str) -> Iterator[tuple[Any, int]]:
    """Parts of a table, with the rows that are read at a time, and their numbers; no part where it has no rows."""
    rows, step = _length(table, called), limits().records_in_chunk
    if rows <= 2 * step:
        yield from [(table, rows)] if rows else []
        return
    for first in range(0, rows, step):
        here = min(step, rows - first)
        yield _slice(table, first, here), here


def _slice(table: Any, first: int, rows: int) -> Any:
    """Rows of a table, without a copy where its library has views."""
    if isinstance(table, Mapping):
        return {name: values[first : first + rows] for name, values in table.items()}
    return table.iloc[first : first + rows] if hasattr(type(table), "iloc") else table.slice(first, rows)


def _length(table: Any, called: str) -> int:
    if isinstance(table, Mapping):
        values = next(iter(table.values()), ())
        if not hasattr(values, "__len__"):
            raise MMEError(f"{called} is a row, not a table: give mappings of columns, or a data frame of all rows")
        return len(values)
    rows = getattr(table, "num_rows", None)
    if rows is None and not (hasattr(table, "__len__") and _is_table(table)):
        raise MMEError(
            f"{called} must be a table (pandas, Polars, Arrow, or a dict of arrays), got {type(table).__name__}"
        )
    return len(table) if rows is None else int(rows)


def _once(data: Iterable[Any], what: str) -> Callable[[Collection[str] | None], Iterator[Any]]:
    spent: list[bool] = []

    def read(names: Collection[str] | None) -> Iterator[Any]:
        if spent:
            raise MMEError(
                f"the {what} was read, and cannot be read again: give a function that returns a new one, a list of "
                "tables, or a file"
            )
        spent.append(True)
        return _said(iter(data), f"the {what}")

    return read


def _of_path(path: Path) -> Chunks:
    if not path.exists():
        raise MMEError(f"there is no file or folder {str(path)!r}")
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    kinds = {_ending(one) for one in files if not one.name.startswith(("_", "."))}
    if kinds and kinds <= set(PARQUET):
        return _of_parquet(path)
    if kinds and kinds <= set(TEXT):
        return _of_text([one for one in files if _ending(one) in TEXT], str(path))
    listed = ", ".join(sorted(kind or "no ending" for kind in kinds)) or "no files"
    raise MMEError(f"{str(path)!r} must be Parquet ({', '.join(PARQUET)}) or text ({', '.join(TEXT)}); it has {listed}")


def _ending(path: Path) -> str:
    return (path.with_suffix("") if path.suffix in _PACKED else path).suffix.lower()


def _of_parquet(path: Path) -> Chunks:
    try:
        import pyarrow.dataset  # noqa: F401
    except ImportError as error:
        raise MMEError("Parquet files are read by pyarrow: pip install 'mme[parquet]'") from error
    try:
        return _of_dataset(opened(str(path)), f"'{path.name}'", batches_of_files)
    except (OSError, ValueError) as error:
        raise MMEError(f"{str(path)!r} cannot be read as Parquet: {error}") from error


def _of_dataset(dataset: Any, name: str, batches: Callable[[Any, list[str], int], Iterator[Any]]) -> Chunks:
    def read(names: Collection[str] | None) -> Iterator[Any]:
        columns = dataset.schema.names if names is None else list(names)
        require_in_process(_ARROW, f"reading {name} by Arrow's threads needs")
        require_alike(dataset, columns, name)
        return _said(batches(dataset, columns, limits().records_in_chunk), name)

    return Chunks(name, read, tuple(dataset.schema.names))


def _scanned(dataset: Any, columns: list[str], rows: int) -> Iterator[Any]:
    """The batches of whatever dataset a user has."""
    few = {"batch_size": rows, "batch_readahead": 2, "fragment_readahead": 1}
    return iter(dataset.to_batches(columns=columns, **few, **unbuffered(dataset)))


def _said(batches: Iterator[Any], name: str) -> Iterator[Any]:
    """The batches; what their reader raises is said with the name of the chunk."""
    number = 0
    while True:
        number += 1
        try:
            yield next(batches)
        except StopIteration:
            return
        except MMEError:
            raise
        except Exception as error:
            raise MMEError(f"chunk {number} of {name} cannot be read: {error or type(error).__name__}") from error


def _of_text(files: list[Path], name: str) -> Chunks:
    import pandas as pd

    separators = {_separator(file) for file in files}
    if len(separators) > 1:
        raise MMEError(f"the files of {name!r} are separated by different signs: {sorted(separators)}")
    (separator,) = separators

    def read(names: Collection[str] | None) -> Iterator[Any]:
        for file in files:
            columns = None if names is None else list(names)
            options = {"sep": separator, "usecols": columns, "low_memory": False}
            try:
                reader = pd.read_csv(file, chunksize=limits().records_in_chunk, **options)
            except ValueError as error:
                raise MMEError(
                    f"'{file.name}' is not as '{files[0].name}': {_lacks(file, separator, columns)}"
                ) from error
            with reader:
                yield from _said(iter(reader), f"'{file.name}'")

    header = pd.read_csv(files[0], sep=separator, nrows=0)
    return Chunks(f"'{Path(name).name}'", read, tuple(map(str, header.columns)))


def _lacks(file: Path, separator: str, columns: list[str] | None) -> str:
    """Which of the columns a file of text has not."""
    import pandas as pd

    has = list(map(str, pd.read_csv(file, sep=separator, nrows=0).columns))
    missing = [name for name in columns or () if name not in has]
    return f"it has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, has))}"


def _separator(file: Path) -> str:
    """The sign that occurs most often in the first line."""
    import pandas as pd

    try:
        line = str(pd.read_csv(file, sep="\0", header=None, nrows=1, engine="python").iloc[0, 0])
    except pd.errors.EmptyDataError:
        raise MMEError(f"'{file.name}' is empty: a header and rows are needed") from None
    except ValueError as error:
        raise MMEError(f"'{file.name}' cannot be read as text: {error}") from error
    return max(_SEPARATORS, key=line.count)


def _of_lazy(frame: Any) -> Chunks:
    def read(names: Collection[str] | None) -> Iterator[Any]:
        chosen = frame if names is None else frame.select(list(names))
        if hasattr(chosen, "collect_batches"):
            return _said(iter(chosen.collect_batches(chunk_size=limits().records_in_chunk)), "the lazy frame")
        return _slices(chosen)

    return Chunks("the lazy frame", read, tuple(frame.collect_schema().names()))


def _slices(frame: Any) -> Iterator[Any]:
    """Slices of a lazy frame, of a Polars without batches: each is a query of its own."""
    step, at = limits().records_in_chunk, 0
    while (part := frame.slice(at, step).collect()).height:
        yield part
        at += step


def _of_relation(relation: Any) -> Chunks:
    def read(names: Collection[str] | None) -> Iterator[Any]:
        quoted = None if names is None else ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        chosen = relation if quoted is None else relation.project(quoted)
        yield from _said(_batches_of(chosen), "the relation")

    return Chunks("the relation", read, tuple(relation.columns))


def _batches_of(relation: Any) -> Iterator[Any]:
    reader = (getattr(relation, "to_arrow_reader", None) or relation.fetch_record_batch)(limits().records_in_chunk)
    try:
        yield from reader
    finally:  # a connection has one open result at a time
        reader.close()
