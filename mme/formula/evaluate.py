"""Evaluate the variables of a formula on a table: a tree of its syntax -> numbers, a factor or a basis."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import reduce
from typing import Any

import numpy as np

from mme.errors import FormulaError, MemoryForecastError, MMEError, MMEWarning
from mme.formula.codings import KINDS, Contrast
from mme.formula.syntax import Call, Name, Node, Number, Op, Text, deparse
from mme.formula.transforms import CONSTANTS, FUNCTIONS, State, elementwise, logical, missing, numeric
from mme.tables import dates
from mme.tables.coding import coded
from mme.tables.column import Column, Exact, Factor, WideColumn
from mme.tables.frame import Frame
from mme.tables.spelling import labels_of, places

Value = Column

_ARITHMETIC: dict[str, np.ufunc] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "^": np.power,
    "%%": np.mod,
}
_COMPARISONS: dict[str, np.ufunc] = {
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


_LOGIC: dict[str, np.ufunc] = {"&": np.logical_and, "|": np.logical_or}
_LOGIC |= {"&&": np.logical_and, "||": np.logical_or}
# Whole numbers that a range such as 2:5 may hold.
_LONGEST = 1_000_000

_SPLINES = ("poly", "bs", "ns", "cr", "cc")  # in mme.formula.splines, which is imported when one is called


class Evaluator:
    """Values of variables on one table.

    Parameters
    ----------
    frame : Frame
        The table.
    formula : str
        The whole text, for carets in messages.
    states : dict
        What each call (by its text) learned from the data of the fit; filled on first use.
    """

    def __init__(self, frame: Frame, formula: str, states: dict[str, State]) -> None:
        self.frame = frame
        self.formula = formula
        self.states = states
        self._values: dict[Node, Value] = {}

    def value(self, node: Node) -> Value:
        """Evaluate a variable on all rows; a missing value is NaN or, in a factor, code -1.

        Raises
        ------
        FormulaError
            A column or function is unknown, or a function cannot take what it is given.
        """
        if node not in self._values:
            with np.errstate(all="ignore"):
                value = self._evaluate(node)
            value = self._call(node, lambda: _by_row(value, self.frame.n, f"'{deparse(node)}'"))
            if not isinstance(node, Name):
                self._warn_undefined(node, value)
            self._values[node] = value
        return self._values[node]

    def column(self, name: Name) -> Column:
        """Return a column as it is in the table; a matrix has the columns of the fit."""
        if name.value not in self.frame:
            raise self._unknown(name)
        column = self.frame.column(name.value)
        if isinstance(column, WideColumn):
            known = self.states.setdefault(deparse(name), {}).setdefault("suffixes", list(column.suffixes))
            if known != list(column.suffixes):
                raise MMEError(
                    f"column '{name.value}' is a matrix of {len(column.suffixes)} columns "
                    f"({_listed(column.suffixes)}), in the fit it had {len(known)} ({_listed(known)})"
                )
        return column

    def _evaluate(self, node: Node) -> Any:
        match node:
            case Name(value):
                if value not in self.frame and value in CONSTANTS:
                    return CONSTANTS[value]
                return self.column(node)
            case Number(value) | Text(value):
                return value
            case Op(symbol, args):
                operands = [self._evaluate(arg) for arg in args]
                return self._call(node, lambda: _operate(symbol, operands))
            case Call(name, args, keywords):
                called = _function(name)
                if called is None:
                    raise self._no_function(node)
                positional = [self._contrast_named(arg) if name == "C" else self._evaluate(arg) for arg in args]
                named = {key.replace(".", "_").lower(): self._evaluate(arg) for key, arg in keywords}
                state = self.states.setdefault(deparse(node), {})
                return self._call(node, lambda: called(state, *positional, **named))

    def _contrast_named(self, node: Node) -> Any:
        """An argument of C(), which may be the bare name of a contrast: ``C(f, sum)``."""
        bare = isinstance(node, Name) and node.value not in self.frame and node.value in KINDS
        return Contrast(node.value) if isinstance(node, Name) and bare else self._evaluate(node)

    def _call(self, node: Node, compute: Callable[[], Any]) -> Any:
        """Compute, and say where in the formula it failed."""
        try:
            return compute()
        except (FormulaError, MemoryForecastError):
            raise
        except MMEError as error:
            raise FormulaError.at(self.formula, node.start, str(error)) from None
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
            reason = re.sub(r"^[\w.<>]+\(\) ", "", str(error))  # our own name of the function says nothing
            problem = f"'{deparse(node)}' cannot be computed: {reason}"
            raise FormulaError.at(self.formula, node.start, problem) from error

    def _warn_undefined(self, node: Node, value: Value) -> None:
        """Say so when an expression is missing where its columns are not: log(-1)."""
        undefined = missing(value)
        if undefined.any():
            for name in _names(node):
                if name.value in self.frame:
                    undefined = undefined & ~missing(self.frame.column(name.value))
        if undefined.any():
            warnings.warn(
                f"'{deparse(node)}' is undefined in {undefined.sum()} rows where its columns are not missing; "
                "they count as missing",
                MMEWarning,
                stacklevel=2,
            )

    def _unknown(self, name: Name) -> FormulaError:
        close = get_close_matches(name.value, self.frame.names, n=1) or [
            column for column in self.frame.names if column.lower() == name.value.lower()
        ]
        hint = f"did you mean '{close[0]}'?" if close else f"the data have {_listed(self.frame.names)}"
        return FormulaError.at(self.formula, name.start, f"unknown column '{name.value}'; {hint}")

    def _no_function(self, call: Call) -> FormulaError:
        known = [*FUNCTIONS, *_SPLINES]
        close = get_close_matches(call.function, known, n=1, cutoff=0.75)
        hint = f"did you mean '{close[0]}'?" if close else "compute the column beforehand"
        return FormulaError.at(self.formula, call.start, f"unknown function '{call.function}'; {hint}")


def complete(columns: list[tuple[str, Any]], frame: Frame, na_action: str) -> np.ndarray:
    """Return the (N,) mask of rows without a missing value; infinite values among them are refused."""
    kept = np.ones(frame.n, dtype=bool)
    gaps: dict[str, int] = {}
    with np.errstate(all="ignore"):
        columns = [(name, value) for name, value in columns if value is not None and not _is_whole(value)]
    for name, value in columns:
        if (absent := missing(value)).any():
            gaps[name] = int(absent.sum())
            kept &= ~absent
    found = ", ".join(f"{name}: {count}" for name, count in gaps.items())
    if gaps and na_action == "raise":
        gone = frame.n - int(kept.sum())
        raise MMEError(f'{gone} of {frame.n} rows miss a value ({found}); na_action="drop" leaves them out')
    if not kept.any():
        raise MMEError(f"none of the {frame.n} rows is complete; missing values in {found}")
    for name, value in columns:
        infinite = _infinite(value)
        if infinite is not None and (infinite & kept).any():
            row = np.argmax(infinite & kept)
            count = int((infinite & kept).sum())
            raise MMEError(f"{name} is infinite in {count} rows (first: row {frame.index[row]}); mend or drop them")
    return kept


def _is_whole(value: Any) -> bool:
    """Whether one pass shows that nothing is missing or infinite: with such a number a sum is not finite."""
    if isinstance(value, Factor):
        return bool(value.codes.size and value.codes.min() >= 0)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return False
    return value.dtype.kind != "f" or bool(np.isfinite(np.add.reduce(value)))


def _infinite(value: Any) -> np.ndarray | None:
    numbers = value.values if isinstance(value, WideColumn) else value
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind != "f":
        return None
    infinite = np.isinf(numbers)
    return infinite if infinite.ndim == 1 else np.asarray(infinite.any(axis=1))


def names_in(node: Node) -> set[str]:
    """Names of the columns that an expression uses."""
    return {name.value for name in _names(node)}


def _names(node: Node) -> Iterator[Name]:
    if isinstance(node, Name):
        yield node
    elif isinstance(node, (Op, Call)):
        named = [arg for _, arg in node.keywords] if isinstance(node, Call) else []
        for arg in (*node.args, *named):
            yield from _names(arg)


def _function(name: str) -> Callable[..., Any] | None:
    """Find a function by the name that the formula gives it; None: there is no such function."""
    name = name.rpartition("::")[2]  # stats::poly is poly
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name in _SPLINES:
        from mme.formula import splines

        return splines.FUNCTIONS[name]
    if name.startswith("np."):
        ufunc = getattr(np, name[3:], None)
        return elementwise(ufunc) if isinstance(ufunc, np.ufunc) else None
    return None


def _operate(symbol: str, operands: list[Any]) -> Any:
    if symbol == "(":
        return operands[0]
    if symbol == "%in%":
        return _is_in(*operands)
    if symbol in ("==", "!=") and any(isinstance(operand, str) for operand in operands):
        factor, label = operands if isinstance(operands[1], str) else operands[::-1]
        same = _is_in(factor, [label])
        return same if symbol == "==" else _operate("!", [same])
    if symbol == ":" and all(isinstance(operand, int | float) for operand in operands):
        return _range(*operands)
    if symbol in _COMPARISONS and any(isinstance(operand, Factor) and operand.ordered for operand in operands):
        operands = _in_order(operands)
    if any(isinstance(operand, np.ndarray) and operand.dtype.kind in "Mm" for operand in operands):
        operands = [_in_days(operand) for operand in operands]
    numbers = [numeric(operand, f"'{symbol}'") for operand in operands]
    if symbol in _COMPARISONS:
        return logical(_COMPARISONS[symbol](*numbers), *numbers)
    if symbol == "!":
        return logical(numbers[0] == 0, *numbers)
    if symbol in _LOGIC:
        combine = _LOGIC[symbol]
        return logical(combine(*numbers), *numbers)
    if len(numbers) == 1:
        return numbers[0] if symbol == "+" else -numbers[0]
    if symbol not in _ARITHMETIC:
        raise MMEError(f"'{symbol}' is not arithmetic")
    return reduce(_ARITHMETIC[symbol], numbers)


def _is_in(value: Any, wanted: Any) -> Factor:
    wanted = wanted if isinstance(wanted, list) else [wanted]
    if isinstance(value, np.ndarray) and value.dtype.kind in "Mm":
        value = coded(value, "%in%")
    if isinstance(value, Factor):
        labels = np.empty(len(wanted), dtype=object)
        labels[:] = wanted
        member = np.append(places(value.categories, labels) >= 0, False)
        return Factor(np.where(value.codes < 0, -1, member[value.codes]), np.array([False, True]))
    numbers = numeric(value, "'%in%'")
    return logical(np.isin(numbers, np.array(wanted, dtype=float)), numbers)


def _range(first: float, last: float) -> list[float]:
    """The numbers of R's ``first:last``, up or down."""
    if abs(last - first) >= _LONGEST:
        raise MMEError(f"{first:g}:{last:g} holds more than {_LONGEST} numbers")
    return [first + step if last >= first else first - step for step in range(int(abs(last - first) + 1e-10) + 1)]


def _in_order(operands: list[Any]) -> list[Any]:
    """An ordered factor and a label of it as their positions among its levels."""
    factor = next(operand for operand in operands if isinstance(operand, Factor))
    label = np.array([operand for operand in operands if operand is not factor], dtype=object)
    place = places(label, factor.categories)[0] if label.size == 1 and not isinstance(label[0], np.ndarray) else -1
    if place < 0:
        raise MMEError(f"an ordered factor is compared with one of its levels: {_listed(labels_of(factor.categories))}")
    positions = np.where(factor.codes < 0, np.nan, factor.codes)
    return [positions if operand is factor else float(place) for operand in operands]


def _in_days(value: Any) -> Any:
    """The text of a date, beside dates."""
    if not isinstance(value, str):
        return value
    try:
        return dates.number(value)
    except ValueError:
        raise MMEError(f"'{value}' is not a date; write it as '2024-03-01' or '2024-03-01 12:30:00'") from None


def _by_row(value: Any, n: int, what: str) -> Value:
    """A value as a column of n rows; a constant is the same in all."""
    if isinstance(value, Exact) or not isinstance(value, Factor | WideColumn):
        value = np.asarray(numeric(value, what), dtype=float)
    given = value.codes if isinstance(value, Factor) else value
    if isinstance(given, WideColumn) or given.shape == (n,):
        return value
    if given.ndim:
        raise MMEError(f"{what} gives {given.size} values for {n} rows")
    every = np.full(n, given)
    return replace(value, codes=every) if isinstance(value, Factor) else every


def _listed(names: Any) -> str:
    shown = ", ".join(f"'{name}'" for name in list(names)[:8])
    return f"{shown}, ... ({len(names)} columns)" if len(names) > 8 else shown
