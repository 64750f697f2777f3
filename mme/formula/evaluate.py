"""Evaluate the variables of a formula on a table: a tree of its syntax -> numbers, a factor or a basis."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from mme.errors import FormulaError, MemoryForecastError, MMEError, warn
from mme.formula.arithmetic import elementwise
from mme.formula.codings import KINDS, Contrast
from mme.formula.operators import operate
from mme.formula.smoothing import RANDOM, SMOOTHS
from mme.formula.syntax import Call, Name, Node, Number, Op, Text, deparse, name_nodes
from mme.formula.transforms import CONSTANTS, FUNCTIONS
from mme.formula.values import State, missing, numeric
from mme.tables.column import Column, Exact, Factor, WideColumn
from mme.tables.frame import Frame

Value = Column
_SPLINES = (
    "poly",
    "legendre",
    "leg",
    "bs",
    "ns",
    "cr",
    "cc",
)  # in mme.formula.splines, which is imported when one is called


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
            if isinstance(node, Name):
                value = self._evaluate(node)
            else:
                with np.errstate(all="ignore"):
                    value = self._evaluate(node)
            value = self._call(node, lambda: _by_row(value, self.frame.n, node))
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
                return self._call(node, lambda: operate(symbol, operands))
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
            for name in name_nodes(node):
                if name.value in self.frame:
                    undefined = undefined & ~missing(self.frame.column(name.value))
        if undefined.any():
            warn(
                f"'{deparse(node)}' is undefined in {undefined.sum()} rows where its columns are not missing; "
                "they count as missing"
            )

    def _unknown(self, name: Name) -> FormulaError:
        close = get_close_matches(name.value, self.frame.names, n=1) or [
            column for column in self.frame.names if column.lower() == name.value.lower()
        ]
        hint = f"did you mean '{close[0]}'?" if close else f"the data have {_listed(self.frame.names)}"
        return FormulaError.at(self.formula, name.start, f"unknown column '{name.value}'; {hint}")

    def _no_function(self, call: Call) -> FormulaError:
        known = [*FUNCTIONS, *_SPLINES, *SMOOTHS]
        close = get_close_matches(call.function, known, n=1, cutoff=0.75)
        hint = f"did you mean '{close[0]}'?" if close else "compute the column beforehand"
        hint = _ELSEWHERE.get(call.function, hint)
        return FormulaError.at(self.formula, call.start, f"unknown function '{call.function}'; {hint}")


_OF_PEDIGREE = "write the factor alone, as in A(animal) or (1 | animal), and give relationship={'animal': pedigree}"
# Functions of other packages' formulas.
_ELSEWHERE = {
    **dict.fromkeys(("vm", "ped", "giv", "vsr", "vs", "animal"), _OF_PEDIGREE),
    "ide": "write (1 | animal) for independent levels beside A(animal)",
    "at": "write a term a level, as in (0 + dummy(site, 'A') | gen), or one for all, (0 + site | gen)",
    "units": "the residual is there without being written",
    "re": "write (1 | g)",
    "C": "write contrasts={'f': 'sum'}",
}


def _function(name: str) -> Callable[..., Any] | None:
    """Find a function by the name that the formula gives it; None: there is no such function."""
    name = name.rpartition("::")[2]  # stats::poly is poly
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name in _SPLINES:
        from mme.formula import splines

        return splines.FUNCTIONS[name]
    if name in SMOOTHS or name in RANDOM.values():
        from mme.formula import smooths

        return smooths.FUNCTIONS[name]
    if name.startswith("np."):
        ufunc = getattr(np, name[3:], None)
        return elementwise(ufunc) if isinstance(ufunc, np.ufunc) else None
    return None


def _by_row(value: Any, n: int, node: Node) -> Value:
    """The value of a node as a column of n rows; a constant is the same in all."""
    if isinstance(value, np.ndarray) and value.dtype == float and value.shape == (n,):
        return value
    what = f"'{deparse(node)}'"
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
