"""An lme4 formula and a table -> response, model matrix, random terms; and the same columns for new data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from mme.errors import MMEError, MMEWarning
from mme.formula import grouping
from mme.formula.algebra import Terms, expand
from mme.formula.along import Sequences, in_sequence, sequences
from mme.formula.bars import Bar, Parsed, called_as, columns_of, split
from mme.formula.codings import given as given_contrast
from mme.formula.columns import INTERCEPT, Coded, Coding, Matrix, Variable, build, learn, recode
from mme.formula.complete import complete
from mme.formula.evaluate import Evaluator, Value
from mme.formula.parser import parse_expression
from mme.formula.syntax import Name, Node, deparse, names_in
from mme.formula.typical import middle, typical_values
from mme.formula.values import State, as_factor, numeric
from mme.model.term import UNKNOWN, Term, renamed
from mme.tables.arguments import is_word
from mme.tables.arrays import shown
from mme.tables.frame import Factor, Frame, WideColumn, coded, intake
from mme.tables.spelling import labels_of


@dataclass(frozen=True, eq=False)  # arrays have no single truth of equality
class NewRows:
    """The columns of a model on new data, aligned with its rows; a missing value makes NaN, a missing group code -1.

    Codes are (n,), or (q, n) where each column of a term has labels of its own.
    """

    X: np.ndarray
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

    @property
    def matrices(self) -> dict[Node, tuple[str, ...]]:
        """The names of the columns of each matrix in the fixed part."""
        states = {node: self.states.get(deparse(node), {}) for node in self.fixed.variables if isinstance(node, Name)}
        return {node: tuple(state["suffixes"]) for node, state in states.items() if "suffixes" in state}

    def rows(self, newdata: Any, *, random: bool = True) -> NewRows:
        """Make the columns for new data, which need not hold the response.

        Parameters
        ----------
        newdata : DataFrame, Table or dict of arrays
            The columns that the formula uses.
        random : bool
            Whether to make the random terms too; without them the data need no grouping factors.

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
        frame = Frame(newdata)
        evaluator = Evaluator(frame, self.formula, self.states)
        bars = self.bars if random else ()
        nodes = _variables(self.fixed, bars)
        variables = {node: self._recoded(node, evaluator.value(node)) for node in nodes}
        in_bars = variables | _coded_as(variables, self.bar_codings)
        groups: list[tuple[Factor, np.ndarray | None]] = []
        unknown = np.zeros(frame.n, dtype=bool)  # the time of a process, which is no label
        for bar in bars:
            parts, levels = grouping.columns(bar, evaluator), self.levels[bar.name]
            basis = in_sequence(bar, build(bar.left, in_bars, frame.n), self.sequences)
            if bar.together:
                each = grouping.known_together(parts, levels, bar.name)
                factor = replace(each, codes=np.repeat(each.codes, len(basis.names), axis=0))
                groups.append((factor, _repeated(basis, bar)))
                continue
            factor = grouping.known(parts, self.parts.get(bar.name, (levels,)), bar.name)
            if bar.time is not None:
                times = _time(bar, evaluator)
                factor = coded(_process().labels_of_rows(grouping.spelt_out(factor), times), bar.name)
                unknown |= np.isnan(times)
            groups.append((factor, _covariates(basis)))
        offsets = [_aligned(self.offset_column, "offset", evaluator)]
        offsets += [_number(evaluator.value(node), deparse(node)) for node in self.fixed.offsets]
        offsets += [np.where(unknown, np.nan, 0.0)] if unknown.any() else []
        X = build(self.fixed, variables, frame.n).values
        return NewRows(X, _sum(offsets), tuple(groups), frame.index)

    def _recoded(self, node: Node, value: Value) -> Variable:
        text = deparse(node)
        if node in self.codings:
            return recode(as_factor(value, f"'{text}'"), self.codings[node], text)
        return value if isinstance(value, WideColumn) else _number(value, f"'{text}'")


@dataclass(frozen=True, eq=False)
class Design:
    """What a formula makes of a table; rows with a missing value in any variable of the model are left out.

    Attributes
    ----------
    y : (n,) response, transformed as written.
    X : (n, p) fixed-effect columns, not reduced to full rank; column-major.
    x_names : R's names of the columns.
    terms : random terms in lme4's order, by decreasing number of levels.
    weights, offset : (n,) or None.
    kept : (N,) rows of the user's data that are used.
    index : pandas index of the user's N rows.
    n_dropped : number of rows left out because a value is missing.
    outside : number of rows that are not in the subset.
    spec : how to make the same columns for new data.
    """

    y: np.ndarray
    X: np.ndarray
    x_names: tuple[str, ...]
    terms: tuple[Term, ...]
    weights: np.ndarray | None
    offset: np.ndarray | None
    kept: np.ndarray
    index: Any
    n_dropped: int
    spec: Specification
    frame: Frame
    outside: int = 0

    def column(self, given: Any) -> Any:
        """A column by name, or an array with a value a row of the data, for the rows used.

        Categories keep their order, in a pandas Categorical. ``"a/b"``, ``"a:b"`` and lists of names are combinations.
        """
        names = (given,) if isinstance(given, str) and given in self.frame else columns_of(given)
        names = (given,) if isinstance(given, str) and not names else names
        if names and (isinstance(given, str) or len(names) != self.frame.n or names[0] in self.frame):
            parts = [_one_column(self.frame, name) for name in names]
            return _plain(parts[0])[self.kept] if len(parts) == 1 else _plain(grouping.code(parts, self.kept, names[0]))
        column = intake(given, "residual")
        values = given if isinstance(column, WideColumn) else _plain(column)
        return values[self.kept] if len(values) == self.kept.size else values


def design(
    formula: str,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    na_action: str = "drop",
    relationship: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    subset: Any = None,
    also: Iterable[str] = (),
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
    na_action : {"drop", "raise"}
        What to do with rows that miss a value.
    relationship : mapping, optional
        Covariance among the levels of a grouping factor, by the factor's name.
    contrasts : mapping, optional
        Codings of factors of the fixed part, by the factor's name: see :func:`mme.formula.codings.given`.
    subset : text or (N,) booleans, optional
        Which rows to use, an expression or an array; the others count for nothing, as if they were not in the data.
    also : column names
        What else the model reads (its residual structure): rows that miss a value there are left out too, and names
        that are no columns are passed over.

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
    if not is_word(na_action, ("drop", "raise")):
        raise MMEError(f'na_action must be "drop" or "raise", got {shown(na_action)}')
    parsed, table = split(formula), Frame(data)
    chosen = None if subset is None else _chosen(subset, table)
    frame = table if chosen is None else table.chosen(chosen)
    evaluator = Evaluator(frame, parsed.formula, {})
    fixed = _without(parsed.response, expand(parsed.fixed, parsed.formula, _dot(parsed, frame, weights, offset)))
    values = {node: evaluator.value(node) for node in _variables(fixed, parsed.bars)}
    response = f"response '{deparse(parsed.response)}'"
    y = _number(evaluator.value(parsed.response), f"the {response}")
    numbers = _numbers(fixed, evaluator, weights, offset)
    groups = {bar.name: grouping.columns(bar, evaluator) for bar in parsed.bars}
    named = [(f"'{deparse(node)}'", value) for node, value in values.items()]
    together = {bar.name for bar in parsed.bars if bar.together}
    needed = {name: parts[:1] if name in together else parts for name, parts in groups.items()}
    labels = [(f"grouping factor '{name}'", part) for name, parts in needed.items() for part in parts]
    others = [(f"'{name}'", frame.column(name)) for name in also if name in frame]
    times = {bar.name: _time(bar, evaluator) for bar in parsed.bars if bar.time is not None}
    others += [(f"the time of {name}", values) for name, values in times.items()]
    kept = complete([(response, y), *numbers.items(), *named, *labels, *others], frame, na_action)

    rows = None if kept.all() else kept  # None spares a copy of every column
    y = y if rows is None else y[rows]
    given_weights, *offsets = (value if value is None or rows is None else value[rows] for value in numbers.values())
    learned = {node: _learned(value, rows) for node, value in values.items()}
    own = _given_codings(contrasts, fixed, learned)
    variables = learned | _coded_as(learned, own)
    coded_each = {name: grouping.code_each(p, rows, name) for name, p in groups.items() if name not in together}
    factors = {name: grouping.cross(each, name) for name, each in coded_each.items()}
    factors |= {name: grouping.code_together(groups[name], rows, name) for name in together}
    levels = {name: factor.categories for name, factor in factors.items()}
    crossed = {name: tuple(one.categories for one in each) for name, each in coded_each.items() if len(each) > 1}
    related = _by_factor(relationship, factors)
    for name, when in times.items():
        codes, related[name] = _process().ornstein_uhlenbeck(factors[name], when if rows is None else when[rows], name)
        factors[name] = Factor(codes, related[name].levels)
    bars = _ordered(parsed.bars, factors)
    along = sequences(bars, values, variables, factors, rows)
    X = build(fixed, variables, y.size)
    covariates = [node for node in fixed.variables if not isinstance(variables[node], Coded)]
    means, two_valued = typical_values(covariates, frame, kept)
    means |= _means_of_labels(covariates, variables, frame, means)
    total_offset = _sum(offsets)
    spec = Specification(
        parsed.formula,
        deparse(parsed.response),
        fixed,
        bars,
        X.owners,
        offset if isinstance(offset, str) else None,
        evaluator.states,
        {node: variable.coding for node, variable in variables.items() if isinstance(variable, Coded)},
        {node: variable.coding for node, variable in learned.items() if isinstance(variable, Coded) and node in own},
        along,
        levels,
        crossed,
        means,
        two_valued,
        0.0 if total_offset is None else middle(total_offset),
    )
    terms = _terms(bars, learned, factors, related, along, {} if own else {fixed: X})
    dropped, outside = frame.n - y.size, table.n - frame.n
    if chosen is not None:
        kept = _spread(kept, chosen)
    return Design(
        y, X.values, X.names, terms, given_weights, total_offset, kept, table.index, dropped, spec, table, outside
    )


def _chosen(subset: Any, table: Frame) -> np.ndarray:
    """The rows (N,) that a condition chooses; a row of which it does not know is left out."""
    if isinstance(subset, str):
        node = Name(subset) if subset in table else parse_expression(subset)
        given, what = Evaluator(table, subset, {}).value(node), f"subset = '{subset}'"
    else:
        given, what = table.aligned(intake(subset, "subset"), "subset"), "subset"
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


def _given_codings(
    contrasts: Mapping[str, Any] | None, fixed: Terms, variables: Mapping[Node, Variable]
) -> dict[Node, Coding]:
    """The codings that the user gives, by the factor of the fixed part."""
    factors = {}
    for node in fixed.variables:
        variable = variables[node]
        if isinstance(variable, Coded):
            factors[node.value if isinstance(node, Name) else deparse(node)] = (node, variable.coding)
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise MMEError(f'contrasts must map factors to codings, as {{"f": "sum"}}; got {type(contrasts).__name__}')
    codings = {}
    for name, coding in (contrasts or {}).items():
        made_of = [pair for pair in factors.values() if name in names_in(pair[0])]
        if name not in factors and len(made_of) != 1:
            known = ", ".join(f"'{factor}'" for factor in factors) or "none"
            raise MMEError(
                f"contrasts are given for '{name}', but the factors of the fixed part are {known}; in a bar write "
                f"C({name}, contr.sum)"
            )
        node, learned = factors.get(name) or made_of[0]
        codings[node] = Coding(learned.labels, given_contrast(coding, learned.labels, name))
    return codings


def _coded_as(variables: Mapping[Node, Variable], codings: Mapping[Node, Coding]) -> dict[Node, Variable]:
    """The factors that have another coding here."""
    return {
        node: Coded(variable.codes, codings[node])
        for node, variable in variables.items()
        if isinstance(variable, Coded) and node in codings
    }


def _one_column(frame: Frame, name: str) -> np.ndarray | Factor:
    """A column that a residual structure names."""
    if name not in frame:
        raise MMEError(f"residual: there is no column '{name}' in the data ({', '.join(frame.names)})")
    column = frame.column(name)
    if isinstance(column, WideColumn):
        raise MMEError(f"residual: column '{name}' is a matrix of {len(column.suffixes)} columns; give one column")
    return column


def _plain(column: np.ndarray | Factor) -> Any:
    """A column as an array, or a Categorical whose categories have an order."""
    import pandas as pd

    if not isinstance(column, Factor):
        return column
    if column.kind == "text":
        return grouping.spelt_out(column)
    return pd.Categorical.from_codes(column.codes, column.categories, ordered=column.ordered)


def _variables(fixed: Terms, bars: Iterable[Bar]) -> tuple[Node, ...]:
    return tuple(dict.fromkeys([*fixed.variables, *(node for bar in bars for node in bar.left.variables)]))


def _dot(parsed: Parsed, frame: Frame, *given: Any) -> list[str]:
    """List the columns that ``.`` stands for: those that have no other part in the model."""
    used = names_in(parsed.response) | {name for name in given if isinstance(name, str)}
    used |= {name for bar in parsed.bars for factor in bar.factors for name in names_in(factor)}
    used |= {name for bar in parsed.bars if bar.time is not None for name in names_in(bar.time)}
    return [name for name in frame.names if name not in used]


def _without(response: Node, fixed: Terms) -> Terms:
    """Leave the response out of the right side, as R does."""
    terms = tuple(term for term in fixed.terms if term != (response,))
    if terms == fixed.terms:
        return fixed
    warnings.warn(f"the response '{deparse(response)}' is left out of the right side", MMEWarning, stacklevel=3)
    return replace(fixed, terms=terms)


def _numbers(fixed: Terms, evaluator: Evaluator, weights: Any, offset: Any) -> dict[str, np.ndarray | None]:
    """Collect the weights and each offset, by what messages call them."""
    given = (("weights", weights), ("offset", offset))
    numbers = {_called(what, values): _aligned(values, what, evaluator) for what, values in given}
    for node in fixed.offsets:
        text = f"offset({deparse(node)})"
        numbers[text] = _number(evaluator.value(node), text)
    return numbers


def _called(what: str, given: Any) -> str:
    return f"{what} '{given}'" if isinstance(given, str) else what


def _process() -> Any:
    from mme.relationship import ornstein

    return ornstein


def _time(bar: Bar, evaluator: Evaluator) -> np.ndarray:
    assert bar.time is not None
    return _number(evaluator.value(bar.time), f"the time of {bar.name}")


def _number(value: Value, what: str) -> np.ndarray:
    return np.asarray(numeric(value, what))


def _aligned(values: Any, what: str, evaluator: Evaluator) -> np.ndarray | None:
    """Evaluate weights or an offset given by name, by expression or as an array with a value for each row."""
    if values is None:
        return None
    frame = evaluator.frame
    if isinstance(values, str):
        node = Name(values) if values in frame else parse_expression(values)
        return _number(Evaluator(frame, values, evaluator.states).value(node), f"{what} = '{values}'")
    return _number(frame.aligned(intake(values, what), what), what)


def _learned(value: Value, rows: np.ndarray | None) -> Variable:
    if rows is not None:
        value = value[rows] if isinstance(value, np.ndarray) else value.chosen(rows)
    return learn(value) if isinstance(value, Factor) else value


def _ordered(bars: tuple[Bar, ...], factors: Mapping[str, Factor]) -> tuple[Bar, ...]:
    """lme4's order (mkReTrms): ``if any(diff(nl) > 0): rev(order(nl))``, else as written."""
    sizes = [factors[bar.name].categories.size for bar in bars]
    if all(a >= b for a, b in pairwise(sizes)):
        return bars
    return tuple(bars[i] for i in np.argsort(sizes, kind="stable")[::-1])


def _by_factor(relationship: Any, factors: Mapping[str, Factor]) -> dict[str, Any]:
    """Relationships by grouping factor; one that is given bare is of the only factor whose levels are among its own.

    Raises
    ------
    MMEError
        No factor is, or several are.
    """
    if relationship is None or isinstance(relationship, Mapping):
        return dict(relationship or {})
    if not hasattr(relationship, "levels"):
        raise MMEError(
            f"relationship is a mapping from a grouping factor to its pedigree, {{'animal': pedigree}}; got "
            f"{type(relationship).__name__}"
        )
    if len(factors) == 1:
        return dict.fromkeys(factors, relationship)
    known = {*labels_of(np.asarray(relationship.levels)), *map(str, UNKNOWN)}
    fits = [name for name, factor in factors.items() if known.issuperset(labels_of(factor.categories))]
    if len(fits) != 1:
        found = f"has the levels of {' and '.join(map(repr, fits))}" if fits else "has the levels of none of them"
        raise MMEError(
            f"relationship is given without the name of its grouping factor ({', '.join(map(repr, factors)) or 'none'})"
            f" and {found}: write relationship={{'{next(iter(fits or factors), 'animal')}': ...}}"
        )
    return {fits[0]: relationship}


def _terms(
    bars: tuple[Bar, ...],
    variables: Mapping[Node, Variable],
    factors: Mapping[str, Factor],
    relationship: Mapping[str, Any],
    along: Sequences,
    made: dict[Terms, Matrix],
) -> tuple[Term, ...]:
    """The random terms; columns that are ``made``, as those of the fixed part may be, are taken as they are."""
    for name in relationship:
        if name not in factors:
            known = ", ".join(f"'{factor}'" for factor in factors) or "none"
            raise MMEError(f"relationship is given for '{name}', but the formula's grouping factors are {known}")
    terms = []
    for bar in bars:
        factor = factors[bar.name]
        basis = in_sequence(bar, _basis(bar.left, variables, factor.codes.shape[-1], made), along)
        if bar.together:
            factor = Factor(np.repeat(factor.codes, len(basis.names), axis=0), factor.categories)
        term = Term(
            factor,
            _repeated(basis, bar) if bar.together else _covariates(basis),
            name=bar.name,
            covariance=bar.covariance,
            relationship=relationship.get(bar.name),
            columns=_repeated_names(basis, bar) if bar.together else basis.names,
        )
        terms.append(term)
    return renamed(terms)


def _basis(left: Terms, variables: Mapping[Node, Variable], n: int, made: dict[Terms, Matrix]) -> Matrix:
    """The columns left of a bar; a constant alone takes no memory."""
    if left == Terms(True, ()):
        return Matrix(np.broadcast_to(1.0, (n, 1)), (INTERCEPT,), (INTERCEPT,))
    if left not in made:
        made[left] = build(left, variables, n)
    return made[left]


def _means_of_labels(
    covariates: Iterable[Node], variables: Mapping[Node, Variable], frame: Frame, means: Mapping[str, float]
) -> dict[str, float]:
    """The mean of what is made of labels alone, ``as.numeric(f)`` or ``dummy(f)``, by the names of its columns."""
    found: dict[str, float] = {}
    for node in covariates:
        variable, names = variables[node], names_in(node) & set(frame.names)
        if isinstance(variable, Coded) or not names or not names.isdisjoint(means):
            continue
        values, suffixes = (
            (variable.values, variable.suffixes) if isinstance(variable, WideColumn) else (variable[:, None], ("",))
        )
        found |= {
            deparse(node) + suffix: mean for suffix, mean in zip(suffixes, values.mean(axis=0).tolist(), strict=True)
        }
    return found


def _covariates(basis: Matrix) -> np.ndarray | None:
    return None if basis.names == (INTERCEPT,) else basis.values


def _repeated(basis: Matrix, bar: Bar) -> np.ndarray:
    """The basis (n, r) for each of the columns of ``str()``, side by side."""
    return np.tile(basis.values, len(bar.factors))


def _repeated_names(basis: Matrix, bar: Bar) -> list[str]:
    """``animal``, ``dam`` for an intercept alone, else ``animal:x``."""
    alone = basis.names == (INTERCEPT,)
    called = [called_as(factor) for factor in bar.factors]
    return [factor if alone else f"{factor}:{name}" for factor in called for name in basis.names]


def _sum(parts: Iterable[np.ndarray | None]) -> np.ndarray | None:
    total = None
    for part in parts:
        total = part if total is None else total if part is None else total + part
    return total
