"""The passes over a source of chunks: a first that learns from all rows, where one is needed, and one that sums."""

from __future__ import annotations

import pickle
import re
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Any
from weakref import finalize

from mme.errors import MMEError
from mme.formula.apart import at_all_levels
from mme.formula.bars import Parsed, split
from mme.formula.parser import parse_expression
from mme.formula.reading import Reading, read
from mme.formula.syntax import Node, deparse, names_in
from mme.formula.transforms import CONSTANTS
from mme.streaming.chunk import frame_of, of_chunk, read_chunk
from mme.streaming.first_pass import Asked, LevelsApart, LevelsSeen, WholeColumns, asked_by
from mme.streaming.layout import ChunkLayout, Learned, Options, columns_of, layout_of
from mme.streaming.sums import Chunk, Placed, Sums
from mme.tables.chunks import Chunks
from mme.tables.column import Kinds, kind_of
from mme.tables.frame import Frame

# A name of a column that needs no backticks.
_NAME = re.compile(r"[^\W\d][\w.]*")
# Told what is read and how many rows of it so far.
Tell = Callable[[str, int], None]
# Said of what can be read once.
_SPENT = "; what was read to its end has none left"
# Chunks that are held while one is sought in which every column has a value.
_SEARCHED = 16
# Seconds between two lines of progress.
_PAUSE = 1.0


@dataclass(frozen=True, eq=False)
class Begun:
    """What the first chunk with rows shows."""

    reading: Reading
    asked: Asked
    wanted: frozenset[str]

    def kinds(self) -> Kinds:
        """What the columns hold that are read."""
        frame = self.reading.evaluator.frame
        return {name: kind_of(frame.column(name)) for name in sorted(self.wanted)}


def sums_of(source: Chunks, formula: str, options: Options, tell: Tell | None = None) -> Sums:
    """The sums of all chunks of a source.

    Raises
    ------
    MMEError
        A chunk cannot be used, which the message names; nothing is left half-done.
    """
    wanted = wanted_by(formula, options, source.names)
    apart = levels_apart(source, formula, options, tell)
    tables = source.tables(wanted)
    before, begun = first_shown(tables, formula, options, apart)
    if begun is None:
        chosen = "" if options.subset is None else f" in the subset '{options.subset}'"
        raise MMEError(f"{source.name} has no rows{chosen}" + _SPENT * source.once)
    if not begun.asked.anything:
        layout = layout_of(begun.reading, options, Learned(begun.reading.evaluator.states), begun.kinds())
        return _summed(_after(before, tables), layout, tell)
    if not source.once:
        tables.close()
    else:
        source = _kept(_after(before, tables), begun.wanted)
    layout = layout_of(begun.reading, options, learned_of(source, begun, options, tell), begun.kinds())
    return _summed(source.tables(wanted), layout, tell)


def sums_by(source: Chunks, layout: ChunkLayout, tell: Tell | None = None) -> Sums:
    """The sums of all chunks of a source, by a layout that was learned from another."""
    return _summed(source.tables(layout.kinds), layout, tell)


def wanted_by(formula: str, options: Options, names: tuple[str, ...] | None) -> frozenset[str] | None:
    """The columns to be read of a source with these ``names``; None: all, so that an error can name what there is."""
    wanted = names_of(split(formula), options, names)
    if names is None or "." in wanted or not wanted <= set(names) | set(CONSTANTS):
        return None
    return frozenset(wanted & set(names))


def names_of(parsed: Parsed, options: Options, known: Collection[str] | None) -> set[str]:
    """The names in a formula, and in what is said beside it."""
    nodes = [parsed.response, *([] if parsed.fixed is None else [parsed.fixed])]
    for bar in parsed.bars:
        nodes += [*bar.factors, *bar.left.variables, *(one for one in (bar.time, bar.by) if one is not None)]
    names = set().union(*map(names_in, nodes))
    names |= set(options.beside)
    for given in (options.weights, options.offset, options.subset):
        if given is not None:
            is_name = given in known if known is not None else _NAME.fullmatch(given) is not None
            names |= {given} if is_name else names_in(parse_expression(given))
    return names


def levels_apart(source: Chunks, formula: str, options: Options, tell: Tell | None) -> dict[Node, list[str]]:
    """The labels of the factors of ``dsum()``, by a pass over a source that can be read again."""
    factors = list(dict.fromkeys(bar.by for bar in split(formula).bars if bar.by is not None))
    if not factors or source.once:
        return {}
    seen, said = LevelsApart(factors), f"a first pass for levels of {', '.join(map(deparse, factors))}"
    names = set().union(*map(names_in, factors))
    wanted = frozenset(names) if options.subset is None and names <= set(source.names or ()) else None
    for called, table in _told(source.tables(wanted), said, tell):
        with of_chunk(called):
            seen.add(table, formula, options)
    return seen.labels()


def learned_of(source: Chunks, begun: Begun, options: Options, tell: Tell | None) -> Learned:
    """What the formula asks of all rows, a pass for each kind of question."""
    asked, states = begun.asked, begun.reading.evaluator.states
    if asked.learning:
        whole, kinds = WholeColumns(), begun.kinds()
        for called, table in _told(source.tables(begun.wanted), f"a first pass for {asked.said}", tell):
            with of_chunk(called):
                whole.add(table, asked, options, kinds)
        states = whole.states(asked, begun.reading.parsed.formula)
    if not asked.factors:
        return Learned(states)
    levels, kinds = LevelsSeen(), begun.kinds()
    for called, table in _told(source.tables(begun.wanted), f"a first pass for {asked.said}", tell):
        with of_chunk(called):
            levels.add(table, begun.reading, asked, options, states, kinds)
    return levels.learned(begun.reading, states)


def begin(
    table: Any, formula: str, options: Options, whole: bool, apart: Mapping[Node, list[str]] | None = None
) -> Begun | None:
    """What a chunk shows; None where the subset has none of its rows, or, if it is to be ``whole``, a column no value.

    Terms of ``dsum()`` are those of the levels ``apart``.

    A column without values does not show whether it holds numbers or labels.
    """
    frame, _ = frame_of(table, options)
    parsed = split(formula)
    if not frame.n or (whole and not _shows_all(frame, names_of(parsed, options, frame.names))):
        return None
    parsed, states = at_all_levels(parsed, apart or {})
    reading = read(parsed, frame, options.weights, options.offset, states=states)
    wanted = frozenset(names_of(reading.parsed, options, frame.names) | columns_of(reading, options)) & set(frame.names)
    return Begun(reading, asked_by(reading), frozenset(wanted))


def printed(began: float) -> Tell:
    """Lines of progress on stderr, one a second at most."""
    last = [began]

    def tell(what: str, rows: int) -> None:
        if (now := perf_counter()) - last[0] >= _PAUSE:
            print(f"{what}: {rows:,} rows, {now - began:.0f} s", file=sys.stderr)
            last[0] = now

    return tell


def first_shown(
    tables: Iterator[tuple[str, Any]],
    formula: str,
    options: Options,
    apart: Mapping[Node, list[str]] | None = None,
) -> tuple[list[tuple[str, Any]], Begun | None]:
    """The tables up to the first in which every column has a value, or else with rows, and what it shows."""
    before = []
    for called, table in tables:
        before.append((called, table))
        with suppress(MMEError):  # of few rows a column may be constant; what is wrong in all is said below
            begun = begin(table, formula, options, True, apart)
            if begun is not None:
                return before, begun
        if len(before) == _SEARCHED:
            break
    for called, table in chain(before, _appended(before, tables)):
        with of_chunk(called):
            begun = begin(table, formula, options, False, apart)
        if begun is not None:
            return before, begun
    return before, None


def _appended(before: list[tuple[str, Any]], tables: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for one in tables:
        before.append(one)
        yield one


def _shows_all(frame: Frame, names: set[str]) -> bool:
    """Whether every column of these names has a value; a dot stands for all columns."""
    known = set(frame.names)
    return all(kind_of(frame.column(name)) for name in (known if "." in names else names & known))


def _after(before: list[tuple[str, Any]], tables: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    yield from before
    before.clear()
    yield from tables


def _summed(tables: Iterator[tuple[str, Any]], layout: ChunkLayout, tell: Tell | None) -> Sums:
    """Sum the chunks: while one is read, the one before is placed and the one before that is rotated."""
    sums, kinds = Sums(layout), dict(layout.kinds)
    with ThreadPoolExecutor(1) as placing, ThreadPoolExecutor(1) as rotating:
        ahead: deque[Future[None]] = deque()
        for called, table in _told(tables, "sums", tell):
            with of_chunk(called):
                chunk = read_chunk(layout, table, kinds)
            while len(ahead) > 1:
                ahead.popleft().result()
            placed = placing.submit(copy_context().run, _place, sums, chunk, called)  # limits are of a context
            ahead.append(rotating.submit(copy_context().run, _rotate, sums, placed))
        while ahead:
            ahead.popleft().result()
    sums.complete()
    return sums


def _place(sums: Sums, chunk: Chunk, called: str) -> Placed:
    with of_chunk(called):
        return sums.place(chunk)


def _rotate(sums: Sums, placed: Future[Placed]) -> None:
    sums.rotate(placed.result())


def _told(tables: Iterator[tuple[str, Any]], what: str, tell: Tell | None) -> Iterator[tuple[str, Any]]:
    rows = 0
    for called, table in tables:
        yield called, table
        if tell is not None:
            rows += len(table) if not isinstance(table, dict) else len(next(iter(table.values())))
            tell(what, rows)


def _kept(tables: Iterator[tuple[str, Any]], wanted: Collection[str]) -> Chunks:
    """Keep chunks that can be read only once in a temporary file, and return them from there, as wanted."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        for called, table in tables:
            with of_chunk(called):
                columns = {name: _column(table, name) for name in sorted(wanted)}
            pickle.dump((called, columns), file, pickle.HIGHEST_PROTOCOL)
        file.flush()
    except BaseException:
        file.close()
        raise

    def read_again(names: Collection[str] | None) -> Iterator[Any]:
        file.seek(0)
        while True:
            try:
                yield pickle.load(file)[1]
            except EOFError:
                return

    kept = Chunks("the iterator", read_again)
    finalize(kept, file.close)
    return kept


def _column(table: Any, name: str) -> Any:
    try:
        return table.column(name) if hasattr(type(table), "column_names") else table[name]
    except KeyError:
        raise MMEError(f"column '{name}' is not here; all chunks need the same columns") from None
