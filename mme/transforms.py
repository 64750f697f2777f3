"""The functions that a formula may call: R's names, and the Python spellings of the same.

Each takes a ``state`` first: what the call learned from the data of the fit (a mean, knots) and applies to new data.
Nothing else can be called: a formula never reaches Python's own evaluator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mme.contrasts import Contrast, ContrastedFactor
from mme.errors import MMEError
from mme.frame import Factor, coded, labels_of

State = dict[str, Any]


@dataclass(frozen=True)
class Basis:
    """Several columns made by one call; ``suffixes`` follow its text in the names of the coefficients."""

    values: np.ndarray
    suffixes: tuple[str, ...]


def numeric(value: Any, what: str) -> Any:
    """Return numbers, booleans as 0 and 1; refuse labels and dates, naming ``what``."""
    if isinstance(value, Factor):
        if not value.logical:
            raise MMEError(f"{what} needs numbers, but was given labels ({_examples(value)})")
        return np.where(value.codes < 0, np.nan, value.codes)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "Mm":
            raise MMEError(f"{what} needs numbers, but was given dates; turn them into numbers first")
        return value.astype(float, copy=False)
    if isinstance(value, Basis) and value.values.shape[1] == 1:
        return value.values[:, 0]
    if isinstance(value, (int, float)):
        return value
    raise MMEError(f"{what} needs numbers, but was given {'several columns' if isinstance(value, Basis) else value!r}")


def logical(truth: Any, *operands: Any) -> Factor:
    """Return a comparison as a factor of False and True, missing where an operand is."""
    codes = np.asarray(truth).astype(np.int64)
    for operand in operands:
        if isinstance(operand, np.ndarray):
            codes = np.where(np.isnan(operand), -1, codes)
    return Factor(codes, np.array([False, True]))


def _examples(factor: Factor) -> str:
    labels = labels_of(factor.categories)
    return ", ".join(repr(label) for label in labels[:3]) + (", ..." if len(labels) > 3 else "")


# ---- numbers -------------------------------------------------------------------------------------------------------


def elementwise(ufunc: np.ufunc) -> Callable[..., Any]:
    """Make a formula's function of a NumPy ufunc."""

    def call(state: State, *args: Any) -> Any:
        if len(args) != ufunc.nin:
            raise MMEError(f"{ufunc.__name__}() takes {ufunc.nin} argument(s), got {len(args)}")
        operands = [numeric(arg, f"{ufunc.__name__}()") for arg in args]
        result = ufunc(*operands)
        return logical(result, *operands) if np.asarray(result).dtype.kind == "b" else result

    return call


def _log(state: State, x: Any, base: Any = None) -> Any:
    return np.log(numeric(x, "log()")) / (1.0 if base is None else np.log(base))


def _remembered(reduce: Callable[[np.ndarray], Any], name: str) -> Callable[..., Any]:
    """Reduce the column that was fitted: ``x - mean(x)`` keeps its meaning on new data."""

    def call(state: State, x: Any, na_rm: bool = True) -> float:
        if "value" not in state:
            state["value"] = float(reduce(_known(numeric(x, f"{name}()"), name)))
        return cast(float, state["value"])

    return call


def _known(x: np.ndarray, name: str) -> np.ndarray:
    known: np.ndarray = x[np.isfinite(x)]
    if known.size == 0:
        raise MMEError(f"{name}() of a column that holds no number")
    return known


def _scale(state: State, x: Any, center: Any = True, scale: Any = True) -> np.ndarray:
    """R's ``scale``: (x - mean) / sd with n - 1; without centring, the root mean square (again n - 1)."""
    x = np.asarray(numeric(x, "scale()"))
    if not state:
        known = _known(x, "scale")
        state["center"] = float(known.mean()) if center is True else float(center)
        known = known - state["center"]
        if scale is not True:
            state["scale"] = float(scale) if scale else 1.0
        else:
            state["scale"] = float(np.sqrt((known**2).sum() / max(known.size - 1, 1)))
        if not state["scale"]:
            raise MMEError("scale() of a column that does not vary")
    return np.asarray((x - state["center"]) / state["scale"])


def _center(state: State, x: Any) -> np.ndarray:
    return _scale(state, x, scale=False)


def _round(state: State, x: Any, digits: Any = 0) -> Any:
    return np.round(numeric(x, "round()"), int(digits))


def _ifelse(state: State, test: Any, yes: Any, no: Any) -> np.ndarray:
    truth = numeric(test, "ifelse()")
    chosen = np.where(truth == 1, numeric(yes, "ifelse()"), numeric(no, "ifelse()"))
    return np.where(np.isnan(truth), np.nan, chosen)


def _identity(state: State, x: Any) -> Any:
    return x


def _as_numeric(state: State, x: Any) -> Any:
    if isinstance(x, Factor) and not x.logical:
        try:
            values = np.array([float(label) for label in labels_of(x.categories)] + [np.nan])
        except ValueError:
            raise MMEError(f"as.numeric() of labels that are not numbers ({_examples(x)})") from None
        return values[x.codes]
    return numeric(x, "as.numeric()")


# ---- factors -------------------------------------------------------------------------------------------------------


def as_factor(value: Any, what: str) -> Factor:
    """Code a column as a factor; numbers become labels, sorted as numbers."""
    if isinstance(value, Factor):
        return value
    if not isinstance(value, np.ndarray):
        raise MMEError(f"{what} needs a column")
    return coded(np.datetime_as_string(value).astype(object) if value.dtype.kind == "M" else value, what)


def _factor(state: State, x: Any, levels: Any = None) -> Factor:
    factor = as_factor(x, "factor()")
    if levels is None:
        return factor
    wanted = labels_of(np.array(levels, dtype=object))
    place = {label: j for j, label in enumerate(wanted)}
    recode = np.array([place.get(label, -1) for label in labels_of(factor.categories)] + [-1])
    return Factor(recode[factor.codes], np.array(wanted, dtype=object))


def _contrasted(state: State, x: Any, contrast: Any = "treatment", base: Any = None) -> Factor:
    """``C(f)``, ``C(f, "sum")``, ``C(f, contr.treatment, base = 2)``, ``C(f, Treatment("b"))``."""
    factor = as_factor(x, "C()")
    if isinstance(contrast, str) and contrast.removeprefix("contr.") in _CONTRASTS:
        contrast = Contrast(contrast.removeprefix("contr."))
    if not isinstance(contrast, Contrast):
        raise MMEError("C() takes contr.treatment, contr.sum, contr.helmert, contr.poly or contr.SAS")
    if base is not None:
        contrast = Contrast(contrast.kind, base, numbered=True)
    return ContrastedFactor(factor.codes, factor.categories, contrast)


def _relevel(state: State, x: Any, ref: Any) -> Factor:
    factor = as_factor(x, "relevel()")
    labels = labels_of(factor.categories)
    ref = labels_of(np.array([ref], dtype=object))[0]
    if ref not in labels:
        if state:
            return factor  # new data need not hold the level of reference
        raise MMEError(f"relevel(): there is no level '{ref}' among {_examples(factor)}")
    state["seen"] = True
    first = labels.index(ref)
    order = [first, *(j for j in range(len(labels)) if j != first)]
    rank = np.empty(len(labels) + 1, dtype=np.int64)
    rank[[*order, -1]] = [*range(len(labels)), -1]
    return Factor(rank[factor.codes], factor.categories[order])


def _contrast(kind: str, numbered: bool) -> Callable[..., Contrast]:
    """R's ``contr.treatment(n, base = 2)``, where n is the number of levels, and Python's ``Treatment("b")``."""

    def call(state: State, first: Any = None, base: Any = None, reference: Any = None) -> Contrast:
        own = first if isinstance(first, str) or not numbered else None
        return Contrast(kind, next((given for given in (base, reference, own) if given is not None), None), numbered)

    return call


# ---- the table -----------------------------------------------------------------------------------------------------

_CONTRASTS = ("treatment", "sum", "helmert", "poly", "SAS")

CONSTANTS: dict[str, Any] = {
    "pi": np.pi,
    "NULL": None,
    "None": None,
    **dict.fromkeys(("TRUE", "True", "T"), True),
    **dict.fromkeys(("FALSE", "False", "F"), False),
    **{f"contr.{kind}": Contrast(kind, numbered=True) for kind in _CONTRASTS},
    **{kind.capitalize(): Contrast(kind) for kind in _CONTRASTS[:4]},
}

_UFUNCS = ["exp", "sqrt", "abs", "log2", "log10", "log1p", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh"]
_UFUNCS += ["arcsin", "arccos", "arctan", "floor", "ceil", "sign", "exp2"]
_R_UFUNCS = {"ceiling": np.ceil, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan}
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

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: elementwise(getattr(np, name)) for name in _UFUNCS},
    **{name: elementwise(ufunc) for name, ufunc in _R_UFUNCS.items()},
    **{name: _remembered(reduce, name) for name, reduce in _REDUCTIONS.items()},
    **{f"np.{name}": _remembered(reduce, f"np.{name}") for name, reduce in _NUMPY_REDUCTIONS.items()},
    **dict.fromkeys(("I", "identity"), _identity),
    **dict.fromkeys(("ifelse", "np.where"), _ifelse),
    **dict.fromkeys(("factor", "as.factor"), _factor),
    **dict.fromkeys(("as.numeric", "as.integer"), _as_numeric),
    **{f"contr.{kind}": _contrast(kind, numbered=True) for kind in _CONTRASTS},
    **{kind.capitalize(): _contrast(kind, numbered=False) for kind in _CONTRASTS[:4]},
    "c": lambda state, *values: list(values),
    "log": _log,
    "round": _round,
    "scale": _scale,
    "standardize": _scale,
    "center": _center,
    "C": _contrasted,
    "relevel": _relevel,
}
