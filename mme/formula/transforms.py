"""The functions that a formula may call: R's names, and the Python spellings of the same.

Each takes a ``state`` first: what the call learned from the data of the fit (a mean, knots) and applies to new data.
Nothing else can be called: a formula never reaches Python's own evaluator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mme.formula.arithmetic import center, elementwise, identity, ifelse, log, parallel, remembered, rounded, scale
from mme.formula.codings import KINDS, Contrast
from mme.formula.conversions import as_character, as_date, as_integer, as_logical, as_numeric, is_na
from mme.formula.factors import cbind, contrast, contrasted, dummy, factor_of, interaction, ordered_factor, relevel
from mme.formula.intervals import cut
from mme.formula.values import as_list

# Names of contrasts in patsy and formulaic.
_PYTHON = {"Treatment": "treatment", "Sum": "sum", "Helmert": "helmert", "Poly": "poly", "Diff": "sdif"}
# Words that are values, where no column has their name.
CONSTANTS: dict[str, Any] = {
    "pi": np.pi,
    "Inf": np.inf,
    "NULL": None,
    "None": None,
    **dict.fromkeys(("TRUE", "True", "T"), True),
    **dict.fromkeys(("FALSE", "False", "F"), False),
    **{f"contr.{kind}": Contrast(kind, numbered=True) for kind in KINDS},
    **{word: Contrast(kind) for word, kind in _PYTHON.items()},
}

# NumPy's functions of numbers, by their names, and those that R calls otherwise.
_UFUNCS = ["exp", "sqrt", "abs", "log2", "log10", "log1p", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh"]
_UFUNCS += ["arcsin", "arccos", "arctan", "floor", "ceil", "sign", "exp2"]
_R_UFUNCS = {"ceiling": np.ceil, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan}

# Statistics of a column, computed on the data of the fit.
_REDUCTIONS: dict[str, Callable[[np.ndarray], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "max": np.max,
    "sd": lambda x: np.std(x, ddof=1),
    "var": lambda x: np.var(x, ddof=1),
}
_NUMPY_REDUCTIONS = {name: _REDUCTIONS[name] for name in ("mean", "median", "min", "max")}
_NUMPY_REDUCTIONS |= {"std": np.std, "var": np.var}

# The table: name in a formula -> function of (state, arguments).
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: elementwise(getattr(np, name)) for name in _UFUNCS},
    **{name: elementwise(ufunc) for name, ufunc in _R_UFUNCS.items()},
    **{name: remembered(statistic, name) for name, statistic in _REDUCTIONS.items()},
    **{f"np.{name}": remembered(statistic, f"np.{name}") for name, statistic in _NUMPY_REDUCTIONS.items()},
    **dict.fromkeys(("I", "identity"), identity),
    **dict.fromkeys(("ifelse", "np.where"), ifelse),
    **dict.fromkeys(("factor", "as.factor"), factor_of),
    **dict.fromkeys(("ordered", "as.ordered"), ordered_factor),
    **dict.fromkeys(("as.numeric", "as.double"), as_numeric),
    "as.integer": as_integer,
    "as.character": as_character,
    "as.logical": as_logical,
    "as.Date": as_date,
    "is.na": is_na,
    "dummy": dummy,
    "interaction": interaction,
    "cut": cut,
    "pmax": parallel(np.maximum, "pmax"),
    "pmin": parallel(np.minimum, "pmin"),
    **{f"contr.{kind}": contrast(kind, numbered=True) for kind in KINDS},
    **{word: contrast(kind, numbered=False) for word, kind in _PYTHON.items()},
    "c": lambda state, *values: [one for value in values for one in as_list(value)],
    "cbind": cbind,
    "log": log,
    "round": rounded,
    "scale": scale,
    "standardize": scale,
    "center": center,
    "C": contrasted,
    "relevel": relevel,
}
