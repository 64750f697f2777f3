"""Functions of variances, as a user writes them: ``h2 ~ V_animal / (V_animal + V_res)``, with their standard errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mme.errors import FormulaError, MMEError
from mme.fitted.record import Fitted
from mme.formula.parser import parse, parse_expression
from mme.formula.syntax import Call, Name, Node, Number, Op, deparse
from mme.results.components import accuracy, named_components
from mme.tables.arguments import check_level
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_FUNCTIONS: dict[str, Callable[[float], float]] = {"sqrt": np.sqrt, "log": np.log, "exp": np.exp}
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
}


@dataclass(frozen=True, eq=False)
class Written:
    """A function of variances as it was written, with the ``name`` that it was given, or its own."""

    text: str
    tree: Node
    name: str

    @classmethod
    def of(cls, text: str) -> Written:
        """Parse the text of a function."""
        if not isinstance(text, str):
            raise MMEError(
                f'a function of variances is text such as "V_animal / (V_animal + V_res)", got {shown(text)}'
            )
        left, tree = parse(text) if "~" in text else (None, parse_expression(text))
        return cls(text, tree, deparse(tree if left is None else left))

    def at(self, names: Mapping[str, float]) -> np.ndarray:
        """Its value (1,) at parameters given by name; a name in backticks may be of columns in backticks."""
        with np.errstate(invalid="ignore", divide="ignore"):
            plain = {name.replace("`", ""): value for name, value in names.items()}
            return np.array([_value(self.tree, plain, self.text)])

    def table(self, estimate: float, se: Callable[[], float], level: float) -> pd.Series:
        """``estimate, se, lower, upper``; the interval is by the normal distribution."""
        import pandas as pd

        check_level(level)
        if not np.isfinite(estimate):
            raise MMEError(
                f"{deparse(self.tree)} is {estimate:g} at the estimates: it divides by zero, or takes a root or "
                "logarithm there"
            )
        error = se()
        half = float(ndtri(0.5 + 0.5 * level)) * error
        values = {"estimate": estimate, "se": error, "lower": estimate - half, "upper": estimate + half}
        return pd.Series(values, name=self.name)


def predicted(fit: Fitted, text: str, level: float) -> pd.Series:
    """``estimate, se, lower, upper`` of a function of the variances of a linear fit."""
    written = Written.of(text)

    def function(theta: np.ndarray, phi: np.ndarray, sigma: float) -> np.ndarray:
        return written.at(named_components(fit, theta, phi, sigma))

    estimate = float(function(fit.theta, fit.optimum.phi, fit.sigma)[0])
    return written.table(estimate, lambda: float(fit.once(accuracy).standard_errors(function)[0]), level)


def _value(node: Node, names: Mapping[str, float], text: str) -> float:
    """The number that a tree is."""
    match node:
        case Number(value):
            return np.float64(value)
        case Name(value):
            if value not in names:
                raise _unknown(value, node.start, names, text)
            return np.float64(names[value])
        case Op("(", (inner,)):
            return _value(inner, names, text)
        case Op("-", (inner,)):
            return -_value(inner, names, text)
        case Op(symbol, args) if symbol in _OPERATORS:
            first, *others = (_value(one, names, text) for one in args)
            for other in others:
                first = _OPERATORS[symbol](first, other)
            return first
        case Call(function, (inner,), ()) if function in _FUNCTIONS:
            return np.float64(_FUNCTIONS[function](_value(inner, names, text)))
    said = "only + - * / ^, parentheses, sqrt(), log() and exp() are known here"
    quoted = next((name for name in names if "|" in name and name.startswith(deparse(node).split("|")[0].strip())), "")
    raise FormulaError.at(
        text, node.start, f"{said}; names with other signs go between backticks, `{quoted}`" if quoted else said
    )


def _unknown(name: str, start: int, names: Mapping[str, float], text: str) -> FormulaError:
    near = get_close_matches(name, names, 1)
    listed = ", ".join(deparse(Name(one)) for one in names)
    hint = f"did you mean {deparse(Name(near[0]))}? " if near else ""
    return FormulaError.at(text, start, f"there is no '{name}'; {hint}the fit has {listed}")
