"""What a formula reads of a table, before rows that miss a value are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mme.errors import FormulaError, MMEError, warn
from mme.formula import grouping
from mme.formula.algebra import Terms, expand
from mme.formula.apart import each_level
from mme.formula.bar import Bar, of_levels
from mme.formula.bars import Parsed
from mme.formula.columns import Coding, Variable, learn, recode
from mme.formula.complete import complete
from mme.formula.evaluate import Evaluator, Value
from mme.formula.given import numbers_of, places_of, times_of
from mme.formula.lattices import as_chain
from mme.formula.outcome import NUMBERS, response_of
from mme.formula.smoothing import is_smooth
from mme.formula.syntax import Call, Name, Node, Text, deparse, names_in
from mme.formula.values import State
from mme.tables.frame import Factor, Frame
from mme.tables.outcome import Outcome, outcome_of


@dataclass(frozen=True, eq=False)
class Reading:
    """A formula and what its parts are on the rows of a table.

    Attributes
    ----------
    parsed : the formula in its parts.
    evaluator : the table, and what each call learned from it.
    fixed : the fixed terms, without the response.
    values : the value (n rows) of each variable of the fixed part and of the bars.
    response : the value (n rows) of the left side: numbers, or for a family labels or two columns of counts.
    numbers : (n,) or None, weights and each offset (logarithms of an exposure) by what messages call them.
    groups : the columns of each grouping factor, by its name.
    times : (n,) of each bar of ``ou()``, by the name of its grouping factor.
    places : (d, n) of each field.
    offset_column, exposure_column : those that were given by name or expression, None if by an array or not at all.
    """

    parsed: Parsed
    evaluator: Evaluator
    fixed: Terms
    values: dict[Node, Value]
    response: Value
    numbers: dict[str, np.ndarray | None]
    groups: dict[str, list[np.ndarray | Factor]]
    times: dict[str, np.ndarray]
    places: dict[str, np.ndarray]
    offset_column: str | None
    exposure_column: str | None

    @property
    def together(self) -> set[str]:
        """The grouping factors whose columns share levels, as in ``str(animal, dam)``."""
        return {bar.name for bar in self.parsed.bars if bar.together}

    def complete(self, also: Iterable[str], na_action: str, *, some: bool = True) -> np.ndarray:
        """The (n,) mask of rows in which neither these nor the columns ``also`` miss a value; ``some`` must be so.

        Of columns that share their levels only the first must have a label.
        """
        frame, together = self.evaluator.frame, self.together
        named = [(f"'{deparse(node)}'", value) for node, value in self.values.items()]
        needed = {name: parts[:1] if name in together else parts for name, parts in self.groups.items()}
        labels = [(f"grouping factor '{name}'", part) for name, parts in needed.items() for part in parts]
        others = [(f"'{name}'", frame.column(name)) for name in also if name in frame]
        others += [(f"the time of {name}", values) for name, values in self.times.items()]
        others += [(f"a coordinate of {name}", values.sum(axis=0)) for name, values in self.places.items()]
        response = f"response '{deparse(self.parsed.response)}'"
        columns = [(response, self.response), *self.numbers.items(), *named, *labels, *others]
        return complete(columns, frame, na_action, some=some)

    def learned(self, rows: np.ndarray | None, known: Mapping[Node, Coding]) -> dict[Node, Variable]:
        """The variables on these rows (None: all), labels with the coding known, or of the levels that occur there."""
        return {node: _learned(_on(value, rows), node, known.get(node)) for node, value in self.values.items()}

    def outcome(self, rows: np.ndarray | None) -> Outcome:
        """The response on these rows (None: all), none of which misses it."""
        node = self.parsed.response
        try:
            return outcome_of(_on(self.response, rows), f"the response '{deparse(node)}'")
        except MMEError as error:
            raise FormulaError.at(self.parsed.formula, node.start, str(error)) from None


def read(
    parsed: Parsed,
    frame: Frame,
    weights: Any,
    offset: Any,
    exposure: Any = None,
    response: str = NUMBERS,
    states: dict[str, State] | None = None,
) -> Reading:
    """Evaluate all parts of a formula on a table; ``response`` is what its left side may be, ``states`` known ones."""
    evaluator = Evaluator(frame, parsed.formula, {} if states is None else states)
    along = [_of_levels(_along_numbers(bar, evaluator), evaluator) for bar in parsed.bars]
    parsed = replace(parsed, bars=tuple(one for bar in along for one in each_level(bar, evaluator)))
    _require_levels(parsed.bars, evaluator)
    others = partial(_dot, parsed, frame, weights, offset, exposure)
    fixed = _without(parsed.response, expand(parsed.fixed, parsed.formula, others))
    return Reading(
        parsed=parsed,
        evaluator=evaluator,
        fixed=fixed,
        values={node: evaluator.value(node) for node in variables_of(fixed, parsed.bars)},
        response=response_of(parsed.response, evaluator, response),
        numbers=numbers_of(fixed, evaluator, weights, offset, exposure),
        groups={bar.name: grouping.columns(bar, evaluator) for bar in parsed.bars},
        times={bar.name: times_of(bar, evaluator) for bar in parsed.bars if bar.time is not None},
        places={bar.name: places_of(bar, evaluator) for bar in parsed.bars if bar.along},
        offset_column=offset if isinstance(offset, str) else None,
        exposure_column=exposure if isinstance(exposure, str) else None,
    )


def _along_numbers(bar: Bar, evaluator: Evaluator) -> Bar:
    """``ar1(time):g`` of numbers is a chain of the times of each level, of labels one of the columns of a level."""
    if not bar.chain or isinstance(evaluator.value(bar.chain[0][1]), Factor):
        return bar
    return as_chain(bar)


def _of_levels(bar: Bar, evaluator: Evaluator) -> Bar:
    """``fa(year, 1):g`` of whole numbers is of the years as levels."""
    if not bar.levels:
        return bar
    given = {node: evaluator.value(node) for node in bar.left.variables if isinstance(node, Name)}
    numbers = {node: values for node, values in given.items() if isinstance(values, np.ndarray)}
    for node, values in numbers.items():
        if (np.nan_to_num(values) % 1.0 != 0.0).any():
            text = deparse(node)
            problem = f"'{text}' holds fractions, and a structure before a colon is of the levels of a factor"
            raise FormulaError.at(evaluator.formula, node.start, f"{problem}; a slope is ({text} | {bar.name})")
    return of_levels(bar, numbers)


def _require_levels(bars: Iterable[Bar], evaluator: Evaluator) -> None:
    """Refuse numbers in the place of the factor of ``s(x, by = f)``."""
    for bar in filter(is_smooth, bars):
        by = bar.by.args if isinstance(bar.by, Call) else bar.factors
        for node in by:
            if not isinstance(node, Text) and isinstance(evaluator.value(node), np.ndarray):
                text = deparse(node)
                problem = f"'{text}' holds numbers, and a smooth has a curve for each level of a factor"
                raise FormulaError.at(
                    evaluator.formula, node.start, f"{problem}: write by = factor({text}) for its levels"
                )


def variables_of(fixed: Terms, bars: Iterable[Bar]) -> tuple[Node, ...]:
    """The variables of the fixed part and of the columns left of the bars, each once."""
    return tuple(dict.fromkeys([*fixed.variables, *(node for bar in bars for node in bar.left.variables)]))


def _dot(parsed: Parsed, frame: Frame, *given: Any) -> list[str]:
    """List the columns that ``.`` stands for: those that have no other part in the model."""
    used = names_in(parsed.response) | {name for name in given if isinstance(name, str)}
    used |= {name for bar in parsed.bars for factor in bar.factors for name in names_in(factor)}
    used |= {name for bar in parsed.bars if bar.time is not None for name in names_in(bar.time)}
    used |= {name for bar in parsed.bars for _, node in bar.along for name in names_in(node)}
    used |= {name for bar in parsed.bars if bar.by is not None for name in names_in(bar.by)}
    return [name for name in frame.names if name not in used]


def _without(response: Node, fixed: Terms) -> Terms:
    """Leave the response out of the right side, as R does."""
    terms = tuple(term for term in fixed.terms if term != (response,))
    if terms == fixed.terms:
        return fixed
    warn(f"the response '{deparse(response)}' is left out of the right side")
    return replace(fixed, terms=terms)


def _on(value: Value, rows: np.ndarray | None) -> Value:
    """A value on these rows (None: all)."""
    if rows is None:
        return value
    return value[rows] if isinstance(value, np.ndarray) else value.chosen(rows)


def _learned(value: Value, node: Node, known: Coding | None) -> Variable:
    if not isinstance(value, Factor):
        return value
    return learn(value) if known is None else recode(value, known, deparse(node))
