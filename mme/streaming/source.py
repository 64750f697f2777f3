"""Sources of chunks: read one after the other, or by the workers of Dask; both give sums by the same methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mme.streaming.layout import ChunkLayout, Options
from mme.streaming.passes import Tell, sums_by, sums_of
from mme.streaming.sums import Sums
from mme.tables.chunks import Chunks


class TableSource(ABC):
    """A table in chunks."""

    @abstractmethod
    def sums(self, formula: str, options: Options, tell: Tell | None) -> Sums:
        """The sums of all chunks by a formula."""

    @abstractmethod
    def sums_by(self, layout: ChunkLayout, tell: Tell | None) -> Sums:
        """The sums of all chunks by a layout that is known."""

    @abstractmethod
    def tables(self, names: list[str]) -> Iterator[tuple[str, Any]]:
        """The chunks one by one, of these columns, and what each is called."""


@dataclass(frozen=True, eq=False)
class InTurn(TableSource):
    """Chunks that are read one after the other."""

    chunks: Chunks

    def sums(self, formula: str, options: Options, tell: Tell | None) -> Sums:
        """As :meth:`TableSource.sums`."""
        return sums_of(self.chunks, formula, options, tell)

    def sums_by(self, layout: ChunkLayout, tell: Tell | None) -> Sums:
        """As :meth:`TableSource.sums_by`."""
        return sums_by(self.chunks, layout, tell)

    def tables(self, names: list[str]) -> Iterator[tuple[str, Any]]:
        """As :meth:`TableSource.tables`."""
        return self.chunks.tables(names)


@dataclass(frozen=True, eq=False)
class Again:
    """A source that was read and its layout, so that what needs records can read it again. A pickled fit forgets it."""

    source: TableSource
    layout: ChunkLayout

    def __reduce__(self) -> tuple[Any, ...]:
        return _forgotten, ()


def _forgotten() -> None:
    """What is left of a source in another process: files and iterators are of this one."""
