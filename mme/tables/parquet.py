"""Parquet as Arrow reads it: the files must hold the same columns, and only what is read at a time stays in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from mme.errors import MMEError

# Bytes of a column that are read from a file at a time.
_BUFFER = 2**16


def opened(path: str) -> Any:
    """A file, or a folder of files, as a dataset: of the types that columns have where they have values.

    Arrow takes the types of the first file, be it of a column without values, and reads folders called ``code=01`` and
    ``code=1`` as one integer.
    """
    import pyarrow.dataset as ds

    found = ds.dataset(path, format="parquet", partitioning="hive")
    parts = _of_folders(found)
    if parts != found.partitioning.schema:
        found = ds.dataset(path, format="parquet", partitioning=ds.partitioning(parts, flavor="hive"))
    schema = _with_values(found)
    return found if schema == found.schema else found.replace_schema(schema)


def _of_folders(dataset: Any) -> Any:
    """The columns that names of folders give: text where an integer would be written otherwise."""
    import pyarrow as pa

    parts, folders = dataset.partitioning.schema, {name for file in dataset.files for name in file.split("/")}
    for at, field in enumerate(parts):
        given = (name.partition("=")[2] for name in folders if name.startswith(f"{field.name}="))
        if pa.types.is_integer(field.type) and any(text.isdigit() and text != str(int(text)) for text in given):
            parts = parts.set(at, field.with_type(pa.string()))
    return parts


def _with_values(dataset: Any) -> Any:
    """The columns with their types in the first file where they have values, for those that have none in the first."""
    import pyarrow as pa

    schema = dataset.schema
    for at, field in enumerate(dataset.schema):
        if pa.types.is_null(field.type):
            others = (one.physical_schema for one in dataset.get_fragments())
            types = (one.field(field.name).type for one in others if field.name in one.names)
            schema = schema.set(
                at, field.with_type(next((one for one in types if not pa.types.is_null(one)), field.type))
            )
    return schema


def batches_of_files(dataset: Any, columns: list[str], rows: int) -> Iterator[Any]:
    """These columns of all files of a dataset that :func:`opened` gave, so many rows at a time.

    A scanner decodes whole row groups, whose memory comes anew for each of them where what is done with the rows takes
    longer than reading them. A file by itself is decoded as it is asked for; it must hold the columns as they are.
    """
    for fragment in dataset.get_fragments():
        file = _with_columns(fragment, dataset.schema, columns)
        if file is None:
            few = {"batch_size": rows, "batch_readahead": 2, **unbuffered(dataset)}
            yield from fragment.to_batches(schema=dataset.schema, columns=columns, **few)
            continue
        with file:
            for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
                yield batch.select(columns)


def _with_columns(fragment: Any, schema: Any, columns: list[str]) -> Any:
    """The file of a fragment, where it has each of these columns once, with the type of the dataset; None elsewhere."""
    import pyarrow.parquet as pq

    few = {"pre_buffer": False, "buffer_size": _BUFFER, "page_checksum_verification": True}
    file = pq.ParquetFile(fragment.path, filesystem=fragment.filesystem, **few)
    here = file.schema_arrow
    places = [(here.get_field_index(name), schema.get_field_index(name)) for name in columns]
    if all(min(at) >= 0 and here.field(at[0]).type == schema.field(at[1]).type for at in places):
        return file
    file.close()
    return None


def unbuffered(dataset: Any) -> dict[str, Any]:
    """Options by which Arrow lets go of the parts of a Parquet file that it has read.

    Where the pages of a file have checksums they are checked.
    """
    import pyarrow.dataset as ds

    if not _is_parquet(dataset):
        return {}
    return {"fragment_scan_options": ds.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True)}


def require_alike(dataset: Any, columns: Collection[str], name: str) -> None:
    """Refuse files that lack a column (Arrow would fill it with missing values), or have one of another kind.

    Raises
    ------
    MMEError
        Which file, and which column.
    """
    import pyarrow.dataset as ds

    if not _is_parquet(dataset):
        return
    for number, fragment in enumerate(dataset.get_fragments(), start=1):
        file = f"file {number} of {name} ('{fragment.path.rpartition('/')[2]}')"
        try:
            schema = fragment.physical_schema
        except (OSError, ValueError) as error:
            raise MMEError(f"{file} cannot be read: {error}") from error
        own = set(ds.get_partition_keys(fragment.partition_expression))
        for column in columns:
            at = schema.get_field_index(column)
            if column in own or (at < 0 and column not in dataset.schema.names):
                continue
            if at < 0:
                raise MMEError(f"{file} has no column '{column}'; all chunks need the same columns")
            here, before = (_kind(one.field(column).type) for one in (schema, dataset.schema))
            if here and before and here != before:
                raise MMEError(
                    f"{file}: column '{column}' holds {here} here, and held {before} before; write all chunks with one "
                    "type"
                )


def _is_parquet(dataset: Any) -> bool:
    return getattr(getattr(dataset, "format", None), "default_extname", "") == "parquet"


def _kind(kind: Any) -> str:
    """What a type holds, in words; nothing of what has no values."""
    import pyarrow as pa

    if pa.types.is_null(kind):
        return ""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numbers"
    if pa.types.is_boolean(kind):
        return "truth values"
    return "dates" if pa.types.is_temporal(kind) else "labels"
