"""What a formula learned from the data of a fit, and the same columns for new rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mme.formula import grouping
from mme.formula.algebra import Terms
from mme.formula.along import Sequences, in_sequence
from mme.formula.bar import Bar
from mme.formula.columns import Coding, Variable, build, coded_as, recode
from mme.formula.evaluate import Evaluator, Value
from mme.formula.given import aligned, log_exposure, number_of, places_of, times_of, total
from mme.formula.reading import variables_of
from mme.formula.syntax import Name, Node, deparse
from mme.formula.terms import covariates_of, side_by_side
from mme.formula.values import State, as_factor
from mme.formula.wide_columns import build_wide
from mme.relationship.ornstein import labels_of_rows
from mme.relationship.places import labels_of_places
from mme.tables.frame import Factor, Frame, WideColumn, coded


@dataclass(frozen=True, eq=False)  # arrays have no single truth of equality
class NewRows:
    """The columns of a model on new data, aligned with its rows; a missing value makes NaN, a missing group code -1.

    Codes are (n,), or (q, n) where each column of a term has labels of its own.
    """

    X: Any
    offset: np.ndarray | None
    groups: tuple[tuple[Factor, np.ndarray | None], ...]
    index: Any


@dataclass(frozen=True, eq=False)
class Specification:
    """What a formula learned from the data of the fit: transforms, factor levels, contrasts, order of the terms."""

    formula: str
    response: str
    fixed: Terms
    bars: tuple[Bar, ...]
    column_terms: tuple[str, ...]
    offset_column: str | None = None
    exposure_column: str | None = None
    response_labels: tuple[str, ...] = ()  # of its codes, where it has labels or truth values
    states: dict[str, State] = field(default_factory=dict, repr=False)
    codings: dict[Node, Coding] = field(default_factory=dict, repr=False)
    bar_codings: dict[Node, Coding] = field(default_factory=dict, repr=False)  # where those of the bars are others
    sequences: Sequences = field(default_factory=dict, repr=False)  # the order that ar1() goes along
    levels: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    # of each column that is crossed in a bar
    parts: dict[str, tuple[np.ndarray, ...]] = field(default_factory=dict, repr=False)
    # of the columns that covariates are made of, see mme.formula.typical
    means: dict[str, float] = field(default_factory=dict, repr=False)
    two_valued: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    offset_mean: float = 0.0
    wide: bool = False  # X is sparse

    @property
    def matrices(self) -> dict[Node, tuple[str, ...]]:
        """The names of the columns of each matrix in the fixed part."""
        states = {node: self.states.get(deparse(node), {}) for node in self.fixed.variables if isinstance(node, Name)}
        return {node: tuple(state["suffixes"]) for node, state in states.items() if "suffixes" in state}

    def rows(self, newdata: Any, *, random: bool = True, labels: bool = True) -> NewRows:
        """Make the columns for new data, which need not hold the response.

        Parameters
        ----------
        newdata : DataFrame, Table or dict of arrays
            The columns that the formula uses.
        random : bool
            Whether to make the random terms too; without them the data need no grouping factors.
        labels : bool
            Whether the random terms need them; without labels all rows are of one level, and have covariates alone.

        Returns
        -------
        NewRows
            ``X`` (n, p) in the order of ``Design.X``; ``offset`` (n,) or None; for each term of ``Design.terms``
            its labels, coded, and covariates (n, q) or None; the index of the rows.

        Raises
        ------
        MMEError
            A column is missing, or a fixed factor has a level that the fit did not see.
        """
        frame = newdata if isinstance(newdata, Frame) else Frame(newdata)
        evaluator = Evaluator(frame, self.formula, self.states)
        bars = self.bars if random else ()
        nodes = variables_of(self.fixed, bars)
        variables = {node: self.recoded(node, evaluator.value(node)) for node in nodes}
        in_bars = variables | coded_as(variables, self.bar_codings)
        groups: list[tuple[Factor, np.ndarray | None]] = []
        unknown = np.zeros(frame.n, dtype=bool)  # the time of a process, which is no label
        for bar in bars:
            if not labels:
                groups.append(self._unlabelled(bar, in_bars, frame.n))
                continue
            parts, levels = grouping.columns(bar, evaluator), self.levels[bar.name]
            basis = in_sequence(bar, build(bar.left, in_bars, frame.n), self.sequences)
            if bar.together:
                each = grouping.known_together(parts, levels, bar.name)
                factor = replace(each, codes=np.repeat(each.codes, len(basis.names), axis=0))
                groups.append((factor, side_by_side(basis, bar)))
                continue
            factor = grouping.known(parts, self.parts.get(bar.name, (levels,)), bar.name)
            if bar.time is not None:
                times = times_of(bar, evaluator)
                factor = coded(labels_of_rows(grouping.spelt_out(factor), times), bar.name)
                unknown |= np.isnan(times)
            if bar.along:
                places = places_of(bar, evaluator)
                factor = coded(labels_of_places(grouping.spelt_out(factor) if bar.factors else None, places), bar.name)
                unknown |= np.isnan(places).any(axis=0)
            groups.append((factor, covariates_of(basis)))
        offsets = [aligned(self.offset_column, "offset", evaluator), log_exposure(self.exposure_column, evaluator)]
        offsets += [number_of(evaluator.value(node), deparse(node)) for node in self.fixed.offsets]
        offsets += [np.where(unknown, np.nan, 0.0)] if unknown.any() else []
        made = build_wide(self.fixed, variables, frame.n) if self.wide else build(self.fixed, variables, frame.n)
        assert made is not None  # as in the fit
        X = made.values
        return NewRows(X, total(offsets), tuple(groups), frame.index)

    def _unlabelled(self, bar: Bar, variables: dict[Node, Variable], n: int) -> tuple[Factor, np.ndarray | None]:
        """The covariates of a random term on new rows, all of one level."""
        basis = in_sequence(bar, build(bar.left, variables, n), self.sequences)
        codes = np.zeros((len(basis.names), n) if bar.together else n, dtype=np.int64)
        covariates = side_by_side(basis, bar) if bar.together else covariates_of(basis)
        return Factor(codes, np.array([""], dtype=object)), covariates

    def recoded(self, node: Node, value: Value) -> Variable:
        """The variable of a formula as the fit coded it, at new values."""
        text = deparse(node)
        if node in self.codings:
            return recode(as_factor(value, f"'{text}'"), self.codings[node], text)
        return value if isinstance(value, WideColumn) else number_of(value, f"'{text}'")
