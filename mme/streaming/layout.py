"""What a formula makes of every chunk of a table: one learned reading, and the columns [Z X y] in one order.

The columns of all parts of the model stand once each: those of the random terms first, the constant at their head where
one of them has it, then those of X that are none of these, and the response less its offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula import grouping
from mme.formula.algebra import Terms
from mme.formula.bar import Bar
from mme.formula.bars import Parsed
from mme.formula.columns import INTERCEPT, Coding, Matrix, Variable, build, coded_as, given_codings, recode
from mme.formula.evaluate import Evaluator
from mme.formula.given import number_of, numbers_of
from mme.formula.outcome import NUMBERS, response_of
from mme.formula.reading import Reading
from mme.formula.smoothing import is_smooth
from mme.formula.syntax import Node, deparse, names_in
from mme.formula.values import State, as_factor
from mme.tables.column import Column, Factor, Kinds
from mme.tables.frame import Frame


@dataclass(frozen=True)
class Options:
    """What is said of the data beside the formula: columns by name, no arrays.

    Rows that miss a value in the columns ``beside`` are left out too: another model reads them, of the same records.
    """

    weights: str | None = None
    offset: str | None = None
    subset: str | None = None
    na_action: str = "drop"
    contrasts: Mapping[str, Any] | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Learned:
    """What must be known of all rows before one of them can be read: states of transforms, levels of factors."""

    states: dict[str, State] = field(default_factory=dict)
    codings: dict[Node, Coding] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ChunkLayout:
    """How chunks are read, and where the columns of the model stand among those of [Z X y].

    Attributes
    ----------
    reading : Reading
        The formula and its parts, of the chunk that it was learned from.
    options : Options
        Weights, offset, subset and what to do with missing values.
    learned : Learned
        Of all rows.
    own : dict
        Codings of the fixed part that the user gave.
    names : tuple of str
        The columns, the response last; the first ``q`` are those of the random terms.
    of_X : tuple of int
        Where the columns of X stand.
    of_bars : tuple of tuples
        Where those of each bar stand.
    ones : int
        Where the constant stands.
    x_names, owners, basis_names : tuple
        What the columns of X, the terms that they belong to, and the columns of each bar are called.
    parts : tuple of str
        The columns that grouping factors are made of.
    kinds : dict
        What the columns hold that are read.
    """

    reading: Reading
    options: Options
    learned: Learned
    own: dict[Node, Coding]
    names: tuple[str, ...]
    q: int
    of_X: tuple[int, ...]
    of_bars: tuple[tuple[int, ...], ...]
    ones: int
    x_names: tuple[str, ...]
    owners: tuple[str, ...]
    basis_names: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...]
    kinds: Kinds

    @property
    def formula(self) -> str:
        """The text of the formula."""
        return self.reading.parsed.formula

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The random terms as they are written."""
        return self.reading.parsed.bars

    @property
    def m(self) -> int:
        """Number of columns."""
        return len(self.names)

    @property
    def as_read(self) -> Options:
        """The options by which another formula takes the same rows: those that miss nothing that is read here."""
        return replace(self.options, beside=tuple(sorted({*self.options.beside, *self.kinds})))

    def same_as(self, other: ChunkLayout) -> bool:
        """Whether two layouts make the same columns of the same rows."""
        mine, others = ((one.formula, one.options, one.names, one.learned.codings) for one in (self, other))
        return mine == others and repr(self.learned.states) == repr(other.learned.states)


def reading_of(reading: Reading, frame: Frame, options: Options, states: dict[str, State]) -> Reading:
    """The same formula read of another chunk."""
    evaluator = Evaluator(frame, reading.parsed.formula, states)
    return replace(
        reading,
        evaluator=evaluator,
        values={node: evaluator.value(node) for node in reading.values},
        response=response_of(reading.parsed.response, evaluator, NUMBERS),
        numbers=numbers_of(reading.fixed, evaluator, options.weights, options.offset, None),
        groups={bar.name: grouping.columns(bar, evaluator) for bar in reading.parsed.bars},
    )


def columns_of(reading: Reading, options: Options) -> set[str]:
    """The names that a model reads."""
    nodes = [reading.parsed.response, *reading.values, *reading.fixed.offsets]
    nodes += [factor for bar in reading.parsed.bars for factor in bar.factors]
    names = set().union(*map(names_in, nodes))
    return names | set(options.beside) | {name for name in (options.weights, options.offset) if name is not None}


def layout_of(reading: Reading, options: Options, learned: Learned, kinds: Kinds) -> ChunkLayout:
    """Where the columns stand, from one chunk and what is known of all of them."""
    for bar in reading.parsed.bars:
        _require_rows_apart(bar)
    if learned.states:  # the first chunk by itself has other breaks, means, knots
        reading = reading_of(reading, reading.evaluator.frame, options, learned.states)
    variables = variables_on(reading, learned, None)
    own = given_codings(options.contrasts, reading.fixed, variables)
    X = build(reading.fixed, variables | coded_as(variables, own), reading.evaluator.frame.n)
    bases = [build(bar.left, variables, reading.evaluator.frame.n) for bar in reading.parsed.bars]
    names, q, of_bars = _of_terms(bases)
    shared = _shared(X, bases, names, of_bars, bool(own))
    ones = names.index(INTERCEPT) if INTERCEPT in names else len(names)
    names += [] if INTERCEPT in names else [INTERCEPT]
    of_X = []
    for j, name in enumerate(X.names):
        at = ones if name == INTERCEPT else shared.get(j, len(names))
        names += [name] if at == len(names) else []
        of_X.append(at)
    names.append(deparse(reading.parsed.response))
    parts = dict.fromkeys(deparse(factor) for bar in reading.parsed.bars for factor in bar.factors)
    return ChunkLayout(
        reading=unread(reading.parsed, reading.fixed, reading.values, options.offset),
        options=options,
        learned=learned,
        own=own,
        names=tuple(names),
        q=q,
        of_X=tuple(of_X),
        of_bars=tuple(of_bars),
        ones=ones,
        x_names=X.names,
        owners=X.owners,
        basis_names=tuple(basis.names for basis in bases),
        parts=tuple(parts),
        kinds=kinds,
    )


def variables_on(reading: Reading, learned: Learned, rows: np.ndarray | None) -> dict[Node, Variable]:
    """The variables on these rows (None: all), labels coded by the levels of all chunks."""
    found: dict[Node, Variable] = {}
    for node, value in reading.values.items():
        given = value if rows is None else value[rows] if isinstance(value, np.ndarray) else value.chosen(rows)
        if node in learned.codings:
            found[node] = recode(as_factor(given, f"'{deparse(node)}'"), learned.codings[node], deparse(node))
        else:
            found[node] = number_of(given, f"'{deparse(node)}'") if isinstance(given, Factor) else given
    return found


def numbers_in(layout: ChunkLayout, variables: Mapping[Node, Variable], y: np.ndarray) -> np.ndarray:
    """The columns [Z X y] (m, n) of a chunk."""
    D = np.empty((layout.m, y.size))
    reading, of_X = layout.reading, layout.of_X
    together = bool(of_X) and of_X == tuple(range(of_X[0], of_X[0] + len(of_X)))
    into = D[of_X[0] : of_X[0] + len(of_X)].T if together else None
    X = build(reading.fixed, {**variables, **coded_as(variables, layout.own)}, y.size, into)
    filled = {layout.ones, *(of_X if together else ())}
    D[layout.ones] = 1.0
    for j, at in enumerate(of_X):
        if at not in filled:
            D[at] = X.values[:, j]
            filled.add(at)
    for bar, places in zip(layout.bars, layout.of_bars, strict=True):
        if not filled.issuperset(places):
            basis = build(bar.left, variables, y.size)
            D[list(places)] = basis.values.T
            filled |= set(places)
    D[-1] = y
    return D


def part_columns(reading: Reading) -> dict[str, Column]:
    """The columns that grouping factors are made of, each once."""
    found: dict[str, Column] = {}
    for bar in reading.parsed.bars:
        for factor, column in zip(bar.factors, reading.groups[bar.name], strict=True):
            found[deparse(factor)] = column
    return found


def unread(parsed: Parsed, fixed: Terms, variables: Iterable[Node], offset: str | None) -> Reading:
    """A formula that no rows were read by."""
    nothing = np.zeros(0)
    return Reading(
        parsed=parsed,
        evaluator=Evaluator(Frame({"": [0.0]}), parsed.formula, {}),
        fixed=fixed,
        values=dict.fromkeys(variables, nothing),
        response=nothing,
        numbers={},
        groups={},
        times={},
        places={},
        offset_column=offset,
        exposure_column=None,
    )


def _require_rows_apart(bar: Bar) -> None:
    if not bar.factors or is_smooth(bar):
        raise MMEError(
            f"'{bar.name}' is a smooth of all rows, whose knots no chunk knows; fit it to a table in memory, or write "
            "a fixed spline, as ns(x, 4)"
        )
    if bar.together:
        raise MMEError(
            f"the term of '{bar.name}' has several levels a record: its levels do not part the rows, so that it has no "
            "sums by level; fit it to a table in memory"
        )
    if bar.covariance.endswith("ar1"):
        raise MMEError(f"ar1() of '{bar.name}' goes along all labels in turn; fit it to a table in memory")
    if bar.products or (bar.related and len(bar.factors) > 1):
        raise MMEError(f"'{bar.name}' is a product of structures; fit it to a table in memory")
    if bar.time is not None or bar.along or bar.chain:
        raise MMEError(
            f"'{bar.name}' is a process in time or space, whose levels are all its places; fit it to a table in memory"
        )


def _of_terms(bases: list[Matrix]) -> tuple[list[str], int, list[tuple[int, ...]]]:
    """The names of the columns of all bars, each once, the constant first; their number; and where each bar's stand."""
    names = list(dict.fromkeys(name for basis in bases for name in basis.names))
    names.sort(key=lambda name: name != INTERCEPT)
    return names, len(names), [tuple(names.index(name) for name in basis.names) for basis in bases]


def _shared(
    X: Matrix, bases: list[Matrix], names: list[str], of_bars: list[tuple[int, ...]], recoded: bool
) -> dict[int, int]:
    """The columns of X that are columns of a bar: the place there, by the column of X."""
    if recoded:
        return {}
    found = {}
    for basis, places in zip(bases, of_bars, strict=True):
        for column, at in zip(basis.values.T, places, strict=True):
            for j, name in enumerate(X.names):
                if name == names[at] and np.array_equal(column, X.values[:, j], equal_nan=True):
                    found[j] = at
    return found
