"""The functions of a formula that turn numbers into numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, cast

import numpy as np

from mme.errors import MMEError
from mme.formula.values import State, finite, logical, numeric


def elementwise(ufunc: np.ufunc) -> Callable[..., Any]:
    """The function of a formula that applies a NumPy ufunc."""

    def call(state: State, *args: Any) -> Any:
        if len(args) != ufunc.nin:
            raise MMEError(f"{ufunc.__name__}() takes {ufunc.nin} argument(s), got {len(args)}")
        operands = [numeric(arg, f"{ufunc.__name__}()") for arg in args]
        result = ufunc(*operands)
        return logical(result, *operands) if np.asarray(result).dtype.kind == "b" else result

    return call


def log(state: State, x: Any, base: Any = None) -> Any:
    """R's ``log``: natural, or to a base."""
    return np.log(numeric(x, "log()")) / (1.0 if base is None else np.log(base))


def remembered(statistic: Callable[[np.ndarray], Any], name: str) -> Callable[..., Any]:
    """A statistic of the column in the data of the fit: ``x - mean(x)`` keeps its meaning on new data."""

    def call(state: State, x: Any, na_rm: bool = True) -> float:
        if "value" not in state:
            state["value"] = float(statistic(finite(numeric(x, f"{name}()"), name)))
        return cast(float, state["value"])

    return call


def scale(state: State, x: Any, center: Any = True, scale: Any = True) -> np.ndarray:
    """R's ``scale``: (x - mean) / sd with n - 1; without centring, the root mean square (again n - 1)."""
    x = np.asarray(numeric(x, "scale()"))
    if not state:
        known = finite(x, "scale")
        state["center"] = float(known.mean()) if center is True else float(center)
        known = known - state["center"]
        if scale is not True:
            state["scale"] = float(scale) if scale else 1.0
        else:
            state["scale"] = float(np.sqrt((known**2).sum() / max(known.size - 1, 1)))
        if not state["scale"]:
            raise MMEError("scale() of a column that does not vary")
    return np.asarray((x - state["center"]) / state["scale"])


def center(state: State, x: Any) -> np.ndarray:
    """A column less the mean that it had in the data of the fit."""
    return scale(state, x, scale=False)


def rounded(state: State, x: Any, digits: Any = 0) -> Any:
    """R's ``round``."""
    return np.round(numeric(x, "round()"), int(digits))


def ifelse(state: State, test: Any, yes: Any, no: Any) -> np.ndarray:
    """R's ``ifelse``: row by row one of two numbers, missing where the test is."""
    truth = numeric(test, "ifelse()")
    chosen = np.where(truth == 1, numeric(yes, "ifelse()"), numeric(no, "ifelse()"))
    return np.where(np.isnan(truth), np.nan, chosen)


def identity(state: State, x: Any) -> Any:
    """R's ``I``: what is inside is computed as written."""
    return x


def parallel(ufunc: np.ufunc, name: str) -> Callable[..., Any]:
    """R's ``pmax`` and ``pmin``: row by row, of any number of columns and numbers."""

    def call(state: State, *args: Any) -> Any:
        if not args:
            raise MMEError(f"{name}() takes columns or numbers, got none")
        return reduce(ufunc, [numeric(arg, f"{name}()") for arg in args])

    return call
