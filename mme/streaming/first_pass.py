"""What must be known of all rows before one can be read: two questions, each of which costs a pass if it arises.

* Transforms that learn from a column (``scale``, ``poly``, splines, ``cut``): the columns that they are given are held
  whole, 8 bytes a row, and nothing else.
* Levels of the factors of the fixed part and left of bars: those of the complete rows.

The levels that ``dsum()`` has a term for come before both: they say what the model is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.columns import learn
from mme.formula.evaluate import Evaluator
from mme.formula.reading import Reading
from mme.formula.syntax import Call, Node, Op, deparse, names_in
from mme.formula.values import State, as_factor
from mme.streaming.chunk import frame_of
from mme.streaming.layout import Learned, Options, reading_of
from mme.tables.column import Column, Factor, Kinds, WideColumn
from mme.tables.frame import Frame
from mme.tables.growing import GrowingLabels
from mme.tables.spelling import labels_of


class LevelsApart:
    """The levels of the factors of ``dsum()``, a chunk at a time; of a combination ``a:b`` those of its parts too."""

    def __init__(self, factors: Collection[Node]) -> None:
        combined = (node for node in factors if isinstance(node, Call) and len(node.args) > 1)
        self.parts = {node: node.args for node in combined}
        self.seen = {node: GrowingLabels(deparse(node)) for node in chain(factors, *self.parts.values())}

    def add(self, table: Any, formula: str, options: Options) -> None:
        """The levels in the rows of a chunk that are in the subset."""
        frame, _ = frame_of(table, options)
        evaluator = Evaluator(frame, formula, {})
        for node, labels in self.seen.items():
            value = as_factor(evaluator.value(node), "dsum()")
            labels.codes(value.chosen(value.codes >= 0))

    def labels(self) -> dict[Node, list[str]]:
        """The labels of each factor, in order; of combinations those of the first part change fastest, as in R."""
        found = {node: labels_of(labels.in_order()[1]) for node, labels in self.seen.items()}
        for node, parts in self.parts.items():
            each = product(*(found[part] for part in reversed(parts)))
            order = {":".join(reversed(labels)): i for i, labels in enumerate(each)}
            found[node].sort(key=lambda label: order.get(label, len(order)))
        return found


@dataclass(frozen=True, eq=False)
class Asked:
    """What a formula asks of all rows: expressions that learn from whole ``columns``, and ``factors``."""

    learning: tuple[Node, ...]
    factors: tuple[Node, ...]
    columns: tuple[str, ...]

    @property
    def anything(self) -> bool:
        """Whether there is a question."""
        return bool(self.learning or self.factors)

    @property
    def said(self) -> str:
        """What the passes are for, in words."""
        wanted = [f"all of {deparse(node)}" for node in self.learning]
        return ", ".join([*wanted, *(f"levels of {deparse(node)}" for node in self.factors)])


def asked_by(reading: Reading) -> Asked:
    """Find in the reading of one chunk what must be known of all rows."""
    learning = {text for text, state in reading.evaluator.states.items() if set(state) - {"suffixes", "reads"}}
    nodes = dict.fromkeys([reading.parsed.response, *reading.values, *reading.fixed.offsets])
    given = tuple(node for node in nodes if not learning.isdisjoint(_calls(node)))
    lost = learning - set().union(*map(_calls, given)) if given else learning
    if lost:
        raise MMEError(
            f"weights and offset of chunks are columns, or computed row by row; '{min(lost)}' needs all rows: make it "
            "a column, or write offset() in the formula"
        )
    names = sorted(set().union(*map(names_in, given)) & set(reading.evaluator.frame.names)) if given else []
    factors = tuple(node for node, value in reading.values.items() if isinstance(value, Factor))
    return Asked(given, factors, tuple(names))


def _calls(node: Node) -> set[str]:
    """The texts of all calls in an expression."""
    found, left = set(), [node]
    while left:
        one = left.pop()
        if isinstance(one, Call):
            found.add(deparse(one))
            left += [value for _, value in one.keywords]
        if isinstance(one, Op | Call):
            left += one.args
    return found


@dataclass
class WholeColumns:
    """The columns that transforms learn from, a part at a time."""

    columns: dict[str, list[Column]] = field(default_factory=dict)

    def add(self, table: Any, asked: Asked, options: Options, kinds: Kinds) -> None:
        """The rows of a chunk that are in the subset."""
        frame, _ = frame_of(table, options, kinds)
        if frame.n:
            for name in asked.columns:
                self.columns.setdefault(name, []).append(frame.column(name))

    def plus(self, other: WholeColumns) -> WholeColumns:
        """Join what was seen in the chunks of both."""
        return WholeColumns({**other.columns, **{k: v + other.columns.get(k, []) for k, v in self.columns.items()}})

    def states(self, asked: Asked, formula: str) -> dict[str, State]:
        """The states that transforms learn from the whole columns, by the text of the call."""
        states: dict[str, State] = {}
        frame = Frame({name: _joined(parts) for name, parts in self.columns.items()})
        evaluator = Evaluator(frame, formula, states)
        for node in asked.learning:
            evaluator.value(node)
        return states


@dataclass
class LevelsSeen:
    """The levels of factors in complete rows, a chunk at a time."""

    factors: dict[Node, GrowingLabels] = field(default_factory=dict)
    kinds: dict[Node, str] = field(default_factory=dict)
    rows: int = 0
    complete: int = 0

    def add(
        self, table: Any, reading: Reading, asked: Asked, options: Options, states: dict[str, State], kinds: Kinds
    ) -> None:
        """The levels of a chunk."""
        frame, _ = frame_of(table, options, kinds)
        if not frame.n:
            return
        here = reading_of(reading, frame, options, states)
        kept = here.complete(options.beside, options.na_action, some=False)
        self.rows, self.complete = self.rows + frame.n, self.complete + int(kept.sum())
        for node in asked.factors:
            value = here.values[node]
            if not isinstance(value, Factor) or not kept.any():
                continue
            self.kinds.setdefault(node, value.kind)
            self.factors.setdefault(node, GrowingLabels(deparse(node))).codes(value.chosen(kept))

    def plus(self, other: LevelsSeen) -> LevelsSeen:
        """Join what was seen in the chunks of both."""
        both = {
            node: labels.merged(other.factors[node])[0] if node in other.factors else labels
            for node, labels in self.factors.items()
        }
        rows, complete = self.rows + other.rows, self.complete + other.complete
        return LevelsSeen({**other.factors, **both}, {**other.kinds, **self.kinds}, rows, complete)

    def learned(self, reading: Reading, states: dict[str, State]) -> Learned:
        """States of the transforms, and codings of the factors by these levels."""
        if not self.complete:
            raise MMEError(f"none of the {self.rows} rows is complete")
        codings = {}
        for node, labels in self.factors.items():
            if isinstance(node, Call) and not labels.order_is_known:
                raise MMEError(
                    f"the levels of '{deparse(node)}' come in another order in every chunk; make it a column of text, "
                    "or give factor() the levels"
                )
            _, levels = labels.in_order()
            value = reading.values[node]
            assert isinstance(value, Factor)
            every = replace(value, codes=np.arange(levels.size), categories=levels, kind=self.kinds[node])
            codings[node] = learn(every).coding
        return Learned(states, codings)


def _joined(parts: list[Column]) -> Any:
    """The parts of a column as one."""
    first = parts[0]
    if isinstance(first, Factor):
        return _joined_labels([part for part in parts if isinstance(part, Factor)])
    if isinstance(first, WideColumn):
        return np.concatenate([part.values for part in parts if isinstance(part, WideColumn)])
    return np.concatenate([part for part in parts if isinstance(part, np.ndarray)])


def _joined_labels(parts: Iterable[Factor]) -> list[Any]:
    """Labels, a row each; None where one is missing."""
    found: list[Any] = []
    for part in parts:
        labels = [*part.categories.tolist(), None]
        found += [labels[code] for code in part.codes.tolist()]
    return found
