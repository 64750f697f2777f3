"""A fit with the table that it was made of: what pictures of effects draw behind them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.formula.columns import recode
from mme.formula.evaluate import Evaluator
from mme.formula.syntax import Node, deparse, names_in
from mme.formula.values import as_factor, numeric
from mme.tables.frame import Frame


@dataclass(frozen=True, eq=False)
class Pictured:
    """The record of a fit, and its table; None for a fit by arrays, from a file, or to another response."""

    fit: Record
    table: Any = None

    @cached_property
    def frame(self) -> Frame | None:
        """The table's columns on the rows that were used."""
        if self.table is None or self.fit.specification is None:
            return None
        frame, kept = Frame(self.table), self.fit.rows.kept
        return frame.chosen(kept) if frame.n == kept.size else None

    @property
    def response(self) -> np.ndarray:
        """What was observed (n,), on the scale of the model; of a binomial response the proportions."""
        return self.fit.problem.data.y if isinstance(self.fit, GeneralisedFitted) else self.fit.model.y

    def factor(self, name: str) -> Node | None:
        """The factor of the fixed part that is written so, or made of this column; None where there is none."""
        codings = self.fit.specification.codings if self.fit.specification is not None else {}
        written = [node for node in codings if deparse(node) == name]
        found = written or [node for node in codings if name in names_in(node)]
        return found[0] if found else None

    def labels(self, node: Node) -> np.ndarray | None:
        """The level (n,) of a factor at each record, as the fit prints it."""
        if self.frame is None:
            return None
        spec = self.fit.specification
        value = Evaluator(self.frame, spec.formula, spec.states).value(node)
        coded = recode(as_factor(value, deparse(node)), spec.codings[node], deparse(node))
        return np.array([*coded.coding.labels, None], dtype=object)[coded.codes]

    def numbers(self, name: str) -> np.ndarray | None:
        """A column (n,) of numbers: of the table, or of X where there is no table."""
        names = self.fit.model.x_names
        if self.frame is not None and name in self.frame:
            try:
                return np.asarray(numeric(self.frame.column(name), name), dtype=float)
            except MMEError:
                return None
        if name in names and not self.fit.model.is_wide:
            return np.asarray(self.fit.model.X[:, names.index(name)])
        return None
