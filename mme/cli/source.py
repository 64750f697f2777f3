"""Where a table comes from: a file, or standard input, which is read once and kept."""

from __future__ import annotations

import gzip
import sys
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from mme.errors import MMEError

# What stands for standard input, or output, in the place of a file.
STANDARD = "-"
_PARQUET = (".parquet", ".pq")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_GZIP, _PARQUET_MAGIC = b"\x1f\x8b", b"PAR1"


@dataclass(frozen=True)
class Source:
    """A file by its path, or what standard input held; ``name`` is what messages call it."""

    name: str
    path: Path | None = None
    content: bytes = b""

    def open(self) -> Path | BytesIO:
        """What a reader takes, from the beginning."""
        return BytesIO(self.content) if self.path is None else self.path

    @property
    def is_utf16(self) -> bool:
        """Whether it begins with the mark of UTF-16, which no other text does."""
        if self.path is None:
            return self.content.startswith(_UTF16_MARKS)
        with self.path.open("rb") as file:
            return file.read(2).startswith(_UTF16_MARKS)

    @property
    def is_parquet(self) -> bool:
        """Whether it is Parquet: a file by its ending, standard input by how it begins."""
        if self.path is None:
            return self.content.startswith(_PARQUET_MAGIC)
        return self.path.suffix.lower() in _PARQUET


def source_of(argument: Path) -> Source:
    """The file of this name, or standard input, unpacked where it is gzip's.

    Raises
    ------
    MMEError
        There is no such file, it is a directory, or standard input cannot be unpacked.
    """
    if str(argument) == STANDARD:
        return _kept("standard input", sys.stdin.buffer.read())
    if argument.is_dir():
        raise MMEError(f"{argument} is a directory; name a CSV or Parquet file")
    if not argument.exists():
        raise MMEError(f"there is no file {argument}")
    if not argument.is_file():  # a pipe, as the shell's <(...) makes it, is read once
        return _kept(str(argument), argument.read_bytes())
    return Source(str(argument), argument)


def _kept(name: str, content: bytes) -> Source:
    try:
        return Source(name, None, gzip.decompress(content) if content.startswith(_GZIP) else content)
    except (OSError, EOFError, zlib.error) as error:
        raise MMEError(f"{name} cannot be unpacked: {error}") from None
