"""A Dask data frame: a task for every partition, then a tree of sums, by whatever scheduler is at work.

The tree is fixed by the number of partitions, so that the same frame gives the same bits on every scheduler. A task
that is lost with its worker is run again by Dask; nothing of it was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mme.errors import MMEError
from mme.formula.reading import Reading
from mme.streaming.chunk import of_chunk, read_chunk
from mme.streaming.first_pass import Asked, LevelsSeen, WholeColumns
from mme.streaming.layout import ChunkLayout, Learned, Options, layout_of
from mme.streaming.passes import Begun, Tell, first_shown, wanted_by
from mme.streaming.source import TableSource
from mme.streaming.sums import Sums

# What tasks make, and a tree adds up.
Part = TypeVar("Part", Sums, WholeColumns, LevelsSeen)
# Rows of a partition that show what there is.
_HEAD = 1000


@dataclass(frozen=True, eq=False)
class Task(Generic[Part]):
    """A task for every partition: a function of its table, with its further arguments."""

    make: Callable[..., Part]
    beside: tuple[Any, ...] = field(default=())


@dataclass(frozen=True, eq=False)
class Partitions(TableSource):
    """The partitions of a Dask data frame."""

    frame: Any

    def sums(self, formula: str, options: Options, tell: Tell | None) -> Sums:
        """As :meth:`TableSource.sums`."""
        wanted = wanted_by(formula, options, tuple(map(str, self.frame.columns)))
        these = self if wanted is None else Partitions(self.frame[sorted(wanted)])
        begun = these._begin(formula, options)
        layout = layout_of(begun.reading, options, these._learned(begun, options, tell), begun.kinds())
        return these.sums_by(layout, tell)

    def sums_by(self, layout: ChunkLayout, tell: Tell | None) -> Sums:
        """As :meth:`TableSource.sums_by`."""
        return self._tree(Task(_sums, (layout,)), tell, "sums")

    def tables(self, names: list[str]) -> Iterator[tuple[str, Any]]:
        """As :meth:`TableSource.tables`."""
        for i, part in enumerate(self.frame[names].to_delayed()):
            table = part.compute()
            if len(table):
                yield self._called(i), table

    def _begin(self, formula: str, options: Options) -> Begun:
        _, begun = first_shown(self._heads(), formula, options)
        if begun is not None:
            return begun
        raise MMEError("the Dask data frame has no rows" + ("" if options.subset is None else " in the subset"))

    def _heads(self) -> Iterator[tuple[str, Any]]:
        from dask.delayed import delayed

        for i, part in enumerate(self.frame.to_delayed()):
            table = self._computed(delayed(_head)(part))
            if len(table):
                yield self._called(i), table

    def _learned(self, begun: Begun, options: Options, tell: Tell | None) -> Learned:
        asked, states, kinds = begun.asked, begun.reading.evaluator.states, begun.kinds()
        said = f"a first pass for {asked.said}"
        if asked.learning:
            whole = self._tree(Task(_whole, (asked, options, kinds)), tell, said)
            states = whole.states(asked, begun.reading.parsed.formula)
        if not asked.factors:
            return Learned(states)
        reading = begun.reading
        levels = self._tree(Task(_levels, (reading, asked, options, states, kinds)), tell, said)
        return levels.learned(reading, states)

    def _tree(self, task: Task[Part], tell: Tell | None, what: str) -> Part:
        """Add up what a task makes of every partition, pairs of neighbours first."""
        from dask.delayed import delayed

        given = delayed(task, traverse=False)
        parts = [delayed(_run)(given, part, self._called(i)) for i, part in enumerate(self.frame.to_delayed())]
        while len(parts) > 1:
            pairs = [delayed(_plus)(*parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
            parts = pairs + parts[2 * len(pairs) :]
        found: Part = self._computed(parts[0])
        if tell is not None:
            tell(what, getattr(getattr(found, "counts", None), "n", 0))
        return found

    def _computed(self, wanted: Any) -> Any:
        """Compute the value of a task.

        Raises
        ------
        MMEError
            A partition cannot be made; it is looked for, and named.
        """
        try:
            return wanted.compute()
        except MMEError:
            raise
        except Exception as error:
            raise MMEError(
                f"{self._failing()} of the Dask data frame failed: {type(error).__name__}: {error}"
            ) from error

    def _failing(self) -> str:
        from dask.delayed import delayed

        for i, part in enumerate(self.frame.to_delayed()):
            try:
                delayed(len)(part).compute()
            except Exception:
                return self._called(i)
        return "a partition"

    def _called(self, i: int) -> str:
        return f"partition {i} of {self.frame.npartitions} (the first is 0)"


def _run(task: Task[Any], table: Any, called: str) -> Any:
    with of_chunk(called):
        return task.make(table, *task.beside)


def _head(table: Any) -> Any:
    return table.head(_HEAD)


def _plus(one: Any, other: Any) -> Any:
    return one.plus(other)


def _sums(table: Any, layout: ChunkLayout) -> Sums:
    sums = Sums(layout)
    if len(table):
        sums.add(read_chunk(layout, table, dict(layout.kinds)))
    sums.complete()
    return sums


def _whole(table: Any, asked: Asked, options: Options, kinds: dict[str, str]) -> WholeColumns:
    whole = WholeColumns()
    if len(table):
        whole.add(table, asked, options, dict(kinds))
    return whole


def _levels(
    table: Any, reading: Reading, asked: Asked, options: Options, states: dict[str, Any], kinds: dict[str, str]
) -> LevelsSeen:
    levels = LevelsSeen()
    if len(table):
        levels.add(table, reading, asked, options, states, dict(kinds))
    return levels
