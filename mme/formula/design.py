"""An lme4 formula and a table -> response, model matrix and random terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.formula.algebra import Terms
from mme.formula.along import sequences
from mme.formula.bars import split
from mme.formula.columns import Coded, Coding, Matrix, Variable, build, build_long, coded_as, count, given_codings
from mme.formula.evaluate import Evaluator
from mme.formula.given import total
from mme.formula.groups import Groups, code_groups
from mme.formula.outcome import NUMBERS
from mme.formula.parser import parse_expression
from mme.formula.reading import Reading, read
from mme.formula.residual_columns import residual_column
from mme.formula.specification import Specification
from mme.formula.syntax import Name, Node, deparse
from mme.formula.terms import random_terms
from mme.formula.typical import means_of_labels, middle, typical_values
from mme.formula.wide_columns import build_wide
from mme.model.term import Term
from mme.model.wide import is_wide, stays_sparse
from mme.tables.arguments import is_word
from mme.tables.arrays import shown
from mme.tables.frame import Factor, Frame, WideColumn
from mme.tables.outcome import Outcome, as_numbers, labels_of_outcome
from mme.tables.rows import Rows


@dataclass(frozen=True)
class CodedRows(Rows):
    """The rows of another fit, and the ``codings`` of its factors: columns mean the same, levels occur or not."""

    codings: Mapping[Node, Coding] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows, spec: Specification) -> CodedRows:
        """Those of a fit by formula."""
        return cls(rows.kept, rows.index, rows.outside, rows.dropped, spec.codings | spec.bar_codings)


@dataclass(frozen=True, eq=False)
class Design:
    """What a formula makes of a table; rows with a missing value in any variable of the model are left out.

    Attributes
    ----------
    y : (n,) response, transformed as written; codes of labels and truth values, the share of the first of two counts.
    outcome : the response for a family of distributions: numbers (n,), that is y; counts (n, 2), as ``cbind()`` has
        them; or a factor of truth values or of labels, with the levels that occur.
    X : (n, p) fixed-effect columns, not reduced to full rank; column-major. Sparse where they are many; by columns
        (:class:`mme.numeric.long_columns.LongColumns`) where the rows are.
    x_names : R's names of the columns.
    terms : random terms in lme4's order, by decreasing number of levels.
    weights, offset : (n,) or None; the logarithm of an exposure is part of the offset.
    kept : (N,) rows of the user's data that are used.
    index : what makes the pandas index of the user's N rows.
    n_dropped : number of rows left out because a value is missing.
    outside : number of rows that are not in the subset.
    spec : how to make the same columns for new data.
    """

    y: np.ndarray
    outcome: Outcome
    X: Any
    x_names: tuple[str, ...]
    terms: tuple[Term, ...]
    weights: np.ndarray | None
    offset: np.ndarray | None
    kept: np.ndarray
    index: Callable[[], Any]
    n_dropped: int
    spec: Specification
    frame: Frame
    outside: int = 0

    def column(self, given: Any) -> Any:
        """A column by name, or an array with one value per row of the data, for the rows used."""
        return residual_column(self.frame, self.kept, given)


def design(
    formula: str,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    na_action: str | Rows = "drop",
    relationship: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    subset: Any = None,
    also: Iterable[str] = (),
    response: str = NUMBERS,
    exposure: Any = None,
    wide: bool = False,
) -> Design:
    """Build response, model matrix and random terms from an lme4 formula and a table.

    Parameters
    ----------
    formula : str
        As for lme4: ``"y ~ x + (x | g)"``. Strings and booleans are factors, with treatment contrasts against the
        first level in sorted order; a pandas Categorical keeps its own order, and has polynomials if it is ordered.
    data : DataFrame, Table or dict of arrays
        pandas, Polars or Arrow; only the columns that are used are read.
    weights, offset : column name, expression or (N,) array, optional
        Prior weights; a known part of the linear predictor, added to ``offset(...)`` terms.
    na_action : {"drop", "raise"} or Rows
        What to do with rows that miss a value; or the rows of another fit, whose records are to be those of this one.
        Means, bases and levels that transforms learn are of all rows in any case; the levels of factors are those of
        the records, or of the fit whose :class:`CodedRows` are given.
    relationship : mapping, optional
        Covariance among the levels of a grouping factor, by the factor's name.
    contrasts : mapping, optional
        Codings of factors of the fixed part, by the factor's name: see :func:`mme.formula.codings.given`.
    subset : text or (N,) booleans, optional
        Which rows to use, an expression or an array; the others count for nothing, as if they were not in the data.
    also : column names
        What else the model reads (its residual structure): rows that miss a value there are left out too, and names
        that are no columns are passed over.
    response : {"numbers", "family"}
        What the left side may be: numbers, or whatever a family of distributions reads, which are also labels, truth
        values and counts of two kinds (``cbind(success, failure)``, or a matrix of two columns).
    exposure : column name, expression or (N,) array, optional
        What counts are in proportion to, positive: its logarithm is added to the offset.
    wide : bool
        Whether X may be sparse, where its columns are many, or held by columns, where its rows are.

    Raises
    ------
    FormulaError
        The formula does not parse or does not fit the data; a caret shows where.
    MMEError
        The data cannot be used; the message names the column.

    Examples
    --------
    >>> made = design("y ~ f + (1 | g)", {"y": [1.0, 2.0, 4.0], "f": ["a", "b", "a"], "g": [1, 1, 2]})
    >>> made.x_names, made.X.tolist(), made.terms
    (('(Intercept)', 'fb'), [[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]], (Term('g': 2 levels x (Intercept)),))
    """
    if not isinstance(na_action, Rows) and not is_word(na_action, ("drop", "raise")):
        raise MMEError(f'na_action must be "drop" or "raise", got {shown(na_action)}')
    table = Frame(data)
    chosen = None if subset is None else _chosen(subset, table)
    part = table if chosen is None else table.chosen(chosen)
    reading = read(split(formula), part, weights, offset, exposure, response)
    if isinstance(na_action, Rows):
        kept = reading.complete(also, "drop") & (na_action.kept if chosen is None else na_action.kept[chosen])
    else:
        kept = reading.complete(also, na_action)
    used = kept if chosen is None else _spread(kept, chosen)
    known = na_action.codings if isinstance(na_action, CodedRows) else {}
    return _made(reading, kept, table, used, relationship, contrasts, wide, known)


def _made(
    reading: Reading,
    kept: np.ndarray,
    table: Frame,
    used: np.ndarray,
    relationship: Any,
    contrasts: Mapping[str, Any] | None,
    wide: bool,
    known: Mapping[Node, Coding],
) -> Design:
    """The columns on the rows that are kept of those read, which are the rows ``used`` of the table."""
    rows = None if kept.all() else kept  # None spares a copy of every column
    outcome = reading.outcome(rows)
    y = as_numbers(outcome)
    given_weights, *offsets = (_on(values, rows) for values in reading.numbers.values())
    learned = reading.learned(rows, known)
    own = given_codings(contrasts, reading.fixed, learned)
    variables = learned | coded_as(learned, own)
    groups = code_groups(reading, rows, relationship)
    along = sequences(groups.bars, reading.values, variables, groups.factors, rows)
    X, total_offset = _fixed_columns(reading.fixed, variables, y.size, wide), total(offsets)
    spec = _specification(
        reading,
        variables,
        groups,
        kept,
        column_terms=X.owners,
        bar_codings={node: coding for node, coding in _codings(learned).items() if node in own},
        sequences=along,
        offset_mean=0.0 if total_offset is None else middle(total_offset),
        response_labels=labels_of_outcome(outcome),
        wide=sp.issparse(X.values),
    )
    return Design(
        y=y,
        outcome=outcome,
        X=X.values,
        x_names=X.names,
        terms=random_terms(groups, learned, along, {} if own or spec.wide else {reading.fixed: X}),
        weights=given_weights,
        offset=total_offset,
        kept=used,
        index=table.later_index,
        n_dropped=reading.evaluator.frame.n - y.size,
        spec=spec,
        frame=table,
        outside=table.n - reading.evaluator.frame.n,
    )


def _fixed_columns(terms: Terms, variables: Mapping[Node, Variable], n: int, wide: bool) -> Matrix:
    """X, sparse or by its columns where it may be and is better so."""
    if wide and is_wide(n, count(terms, variables)):
        found = build_wide(terms, variables, n)
        if found is not None and stays_sparse(found.values):
            return found
    return build_long(terms, variables, n) if wide else build(terms, variables, n)


def _on(values: np.ndarray | None, rows: np.ndarray | None) -> np.ndarray | None:
    """Values (n,) on these rows (None: all)."""
    return values if values is None or rows is None else values[rows]


def _codings(variables: Mapping[Node, Variable]) -> dict[Node, Coding]:
    return {node: variable.coding for node, variable in variables.items() if isinstance(variable, Coded)}


def _specification(
    reading: Reading, variables: Mapping[Node, Variable], groups: Groups, kept: np.ndarray, **beside: Any
) -> Specification:
    """What the formula learned from the rows that are kept; ``beside`` are the fields that come of the columns made."""
    frame = reading.evaluator.frame
    covariates = [node for node in reading.fixed.variables if not isinstance(variables[node], Coded)]
    means, two_valued = typical_values(covariates, frame, kept)
    return Specification(
        formula=reading.parsed.formula,
        response=deparse(reading.parsed.response),
        fixed=reading.fixed,
        bars=groups.bars,
        offset_column=reading.offset_column,
        exposure_column=reading.exposure_column,
        states=reading.evaluator.states,
        codings=_codings(variables),
        levels=groups.levels,
        parts=groups.parts,
        means=means | means_of_labels(covariates, variables, frame, means),
        two_valued=two_valued,
        **beside,
    )


def _chosen(subset: Any, table: Frame) -> np.ndarray:
    """The rows (N,) that a condition chooses; a row of which it does not know is left out."""
    if isinstance(subset, str):
        node = Name(subset) if subset in table else parse_expression(subset)
        given, what = Evaluator(table, subset, {}).value(node), f"subset = '{subset}'"
    else:
        given, what = table.beside(subset, "subset"), "subset"
    if not isinstance(given, Factor) or not given.logical:
        held = (
            "several columns" if isinstance(given, WideColumn) else "labels" if isinstance(given, Factor) else "numbers"
        )
        raise MMEError(f'{what} must be true or false for each row, but holds {held}; write a condition, as "x > 0"')
    if not (given.codes == 1).any():
        raise MMEError(f"{what} chooses none of the {table.n} rows")
    return np.asarray(given.codes == 1)


def _spread(kept: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """A mask of the chosen rows as one of all rows."""
    every = chosen.copy()
    every[chosen] = kept
    return every
