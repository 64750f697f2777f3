"""The functions that a formula may call: R's names, and the Python spellings of the same.

Each takes a ``state`` first: what the call learned from the data of the fit (a mean, knots) and applies to new data.
Nothing else can be called: a formula never reaches Python's own evaluator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from itertools import pairwise, product
from typing import Any, cast

import numpy as np

from mme.errors import MMEError
from mme.formula.codings import KINDS, Contrast, ContrastedFactor, completed, contrast_of, named
from mme.tables.arrays import shown
from mme.tables.coding import coded
from mme.tables.column import Column, Exact, Factor, WideColumn
from mme.tables.dates import days
from mme.tables.spelling import labels_of, places

State = dict[str, Any]

# Levels of an interaction, or intervals of a cut, beyond which they are a slip.
_MOST_LEVELS = 100_000
# As R writes them between the ends of intervals.
_INFINITE = {np.inf: " Inf", -np.inf: "-Inf"}


def numeric(value: Any, what: str) -> Any:
    """Return numbers, booleans as 0 and 1, dates and spans in days; refuse labels, naming ``what``."""
    if isinstance(value, Exact):
        return value.rounded
    if isinstance(value, Factor):
        if not value.logical:
            raise MMEError(f"{what} needs numbers, but was given labels ({_examples(value)})")
        return np.where(value.codes < 0, np.nan, value.codes)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "Mm":
            return days(value)
        return value.astype(float, copy=False)
    if isinstance(value, WideColumn) and value.values.shape[1] == 1:
        return value.values[:, 0]
    if isinstance(value, (int, float)):
        return value
    found = repr(value)
    if isinstance(value, WideColumn | Contrast):
        found = f"{len(value.suffixes)} columns" if isinstance(value, WideColumn) else "a contrast"
    raise MMEError(f"{what} needs numbers, one a row, but was given {found}")


def missing(value: Column) -> np.ndarray:
    """Return the (n,) mask of missing values."""
    if isinstance(value, Factor):
        return value.codes < 0
    if isinstance(value, WideColumn):
        return np.asarray(np.isnan(value.values).any(axis=1))
    return np.isnat(value) if value.dtype.kind in "Mm" else np.isnan(value)


def logical(truth: Any, *operands: Any) -> Factor:
    """Return a comparison as a factor of False and True, missing where an operand is."""
    codes = np.asarray(truth).astype(np.int64)
    for operand in operands:
        if isinstance(operand, np.ndarray):
            codes = np.where(np.isnan(operand), -1, codes)
    return Factor(codes, np.array([False, True]))


def _examples(factor: Factor) -> str:
    labels = labels_of(factor.categories)
    return ", ".join(map(shown, labels[:3])) + (", ..." if len(labels) > 3 else "")


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


def _remembered(statistic: Callable[[np.ndarray], Any], name: str) -> Callable[..., Any]:
    """Reduce the column that was fitted: ``x - mean(x)`` keeps its meaning on new data."""

    def call(state: State, x: Any, na_rm: bool = True) -> float:
        if "value" not in state:
            state["value"] = float(statistic(_known(numeric(x, f"{name}()"), name)))
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


# ---- factors -------------------------------------------------------------------------------------------------------


def as_factor(value: Any, what: str) -> Factor:
    """Code a column as a factor; numbers become labels, sorted as numbers."""
    if isinstance(value, Factor):
        return value
    if not isinstance(value, np.ndarray):
        raise MMEError(f"{what} needs a column")
    return coded(value, what)


def recoded(factor: Factor, labels: list[str]) -> np.ndarray:
    """Codes among these labels; -1 where one is missing, -2 where it is not among them."""
    place = places(factor.categories, np.array(labels, dtype=object))
    return np.append(np.where(place < 0, -2, place), -1)[factor.codes]


def _remembered_codes(state: State, factor: Factor, occurring: bool, what: str) -> np.ndarray:
    """Codes among the labels of the fit: all that were declared, or those that occurred."""
    if "labels" not in state:
        here = np.bincount(factor.codes[factor.codes >= 0], minlength=factor.categories.size) > 0
        state["labels"] = labels_of(factor.categories[here] if occurring else factor.categories)
    codes = recoded(factor, state["labels"])
    if (codes == -2).any():
        label = labels_of(factor.categories)[factor.codes[np.argmax(codes == -2)]]
        raise MMEError(f"{what}: the fit did not see the level '{label}'; its levels were {_listed(state['labels'])}")
    return codes


def _factor(state: State, x: Any, levels: Any = None, labels: Any = None, ordered: Any = None) -> Factor:
    """R's ``factor``: ``levels`` in their order, called ``labels``; what is not among the levels is missing."""
    factor = as_factor(x, "factor()")
    kind = factor.kind if ordered is None and factor.ordered else "ordered" if ordered else "factor"
    if labels is not None and levels is None:
        _remembered_codes(state, factor, True, "factor()")
        levels = state["labels"]
    if levels is None:
        return Factor(factor.codes, factor.categories, kind)
    wanted = labels_of(np.array(_listing(levels), dtype=object))
    codes = np.maximum(recoded(factor, wanted), -1)
    if len(set(wanted)) < len(wanted):
        raise MMEError(f"factor() has a level twice: {_listed(wanted)}")
    if labels is None:
        return Factor(codes, np.array(wanted, dtype=object), kind)
    called = labels_of(np.array(_listing(labels), dtype=object))
    if len(called) != len(wanted):
        raise MMEError(f"factor() has {len(called)} labels for {len(wanted)} levels ({_listed(wanted)})")
    distinct = list(dict.fromkeys(called))  # levels of one label become one
    place = np.array([distinct.index(label) for label in called] + [-1])
    return Factor(place[codes], np.array(distinct, dtype=object), kind)


def _ordered(state: State, x: Any, levels: Any = None, labels: Any = None) -> Factor:
    return _factor(state, x, levels, labels, ordered=True)


def _listing(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _listed(labels: list[str]) -> str:
    return ", ".join(f"'{label}'" for label in labels[:8]) + (", ..." if len(labels) > 8 else "")


def _contrasted(
    state: State, x: Any, contrast: Any = None, how_many: Any = None, base: Any = None, levels: Any = None
) -> Factor:
    """``C(f)``, ``C(f, sum)``, ``C(f, contr.treatment, base = 2)``, ``C(f, Treatment("b"))``, ``C(o, poly, 2)``.

    ``C(f, c(-1, 0, 1))`` has this contrast, and the others that it leaves.
    """
    factor = as_factor(x, "C()") if levels is None else _factor(state, x, levels)
    if contrast is None:
        contrast = contrast_of(factor)
    elif isinstance(contrast, str):
        contrast = named(contrast)
    elif isinstance(contrast, list):
        contrast = _own(contrast)
    if not isinstance(contrast, Contrast):
        raise MMEError(f"C() takes {', '.join(f'contr.{kind}' for kind in KINDS)}, or numbers, one a level")
    if base is not None:
        contrast = replace(contrast, base=base, numbered=True)
    if how_many is not None:
        contrast = replace(contrast, how_many=int(how_many))
        if not how_many >= 1:
            raise MMEError(f"C() keeps one contrast at least, got {how_many:g}")
    return ContrastedFactor(factor.codes, factor.categories, factor.kind, contrast)


def _cbind(state: State, *columns: Any) -> list[list[Any]]:
    """Contrasts side by side, cbind(c(-1, 0, 1), c(1, -2, 1)); R's other uses of it are columns of the data."""
    if not columns or not all(isinstance(column, list) for column in columns):
        raise MMEError("cbind() takes contrasts, c(-1, 0, 1), ...; give the matrix as a column of the data")
    return list(columns)


def _own(weights: list[Any]) -> Contrast:
    """One contrast, or several by cbind(); the others are orthogonal to these."""
    if not weights:
        raise MMEError("C() takes numbers, one a level, got none")
    columns = weights if isinstance(weights[0], list) else [weights]
    table = np.array(columns, dtype=float).T
    return Contrast("own", weights=tuple(map(tuple, completed(table).tolist())))


def _relevel(state: State, x: Any, ref: Any) -> Factor:
    """R's ``relevel``; of an ordered factor, which R refuses, the treatments against ``ref``."""
    factor = as_factor(x, "relevel()")
    J = factor.categories.size
    first = int(places(np.array([ref], dtype=object), factor.categories)[0])
    if first < 0:
        if state:
            return factor  # new data need not hold the level of reference
        raise MMEError(f"relevel(): there is no level '{labels_of(np.array([ref]))[0]}' among {_examples(factor)}")
    state["seen"] = True
    order = [first, *(j for j in range(J) if j != first)]
    rank = np.empty(J + 1, dtype=np.int64)
    rank[[*order, -1]] = [*range(J), -1]
    return Factor(rank[factor.codes], factor.categories[order])


def _interaction(state: State, *factors: Any, sep: Any = ".") -> Factor:
    """R's ``interaction``: a level for each combination, ``a.b``, the first factor's changing fastest."""
    if not factors:
        raise MMEError("interaction() takes factors, got none")
    given = [as_factor(factor, "interaction()") for factor in factors]
    sizes = [factor.categories.size for factor in given]
    if np.prod(sizes, dtype=float) > _MOST_LEVELS:
        raise MMEError(f"interaction() would have {' x '.join(map(str, sizes))} levels; a:b makes those that occur")
    codes = np.zeros(given[0].codes.size, dtype=np.int64)
    for factor, size in zip(reversed(given), reversed(sizes), strict=True):
        codes = np.where((codes < 0) | (factor.codes < 0), -1, codes * size + factor.codes)
    parts = [labels_of(factor.categories) for factor in reversed(given)]
    labels = [str(sep).join(reversed(combination)) for combination in product(*parts)]
    if len(set(labels)) < len(labels):
        raise MMEError(f"interaction() writes two combinations alike; give another sep than {shown(sep)}")
    return Factor(codes, np.array(labels, dtype=object))


def _cut(
    state: State,
    x: Any,
    breaks: Any = None,
    labels: Any = None,
    include_lowest: Any = False,
    right: Any = True,
    dig_lab: Any = 3,
    ordered_result: Any = False,
) -> Any:
    """R's ``cut``: intervals ``(a,b]`` between breaks, or of so many equal parts of the range that was fitted."""
    x = np.asarray(numeric(x, "cut()"), dtype=float)
    if "breaks" not in state:
        state["breaks"] = _breaks(x, breaks)
    ends = np.array(state["breaks"])
    codes = np.searchsorted(ends, x, side="left" if right else "right") - 1
    if include_lowest:
        codes = np.where(x == (ends[0] if right else ends[-1]), 0 if right else ends.size - 2, codes)
    codes = np.where(np.isnan(x) | (codes < 0) | (codes > ends.size - 2), -1, codes)
    if labels is False:
        return np.where(codes < 0, np.nan, codes + 1.0)
    own = None if labels is None else labels_of(np.array(_listing(labels), dtype=object))
    called = _intervals(ends, bool(right), bool(include_lowest), int(dig_lab)) if own is None else own
    if len(called) != ends.size - 1 or len(set(called)) < len(called):
        raise MMEError(f"cut() makes {ends.size - 1} intervals and has {len(set(called))} labels for them")
    return Factor(codes, np.array(called, dtype=object), "ordered" if ordered_result else "factor")


def _breaks(x: np.ndarray, given: Any) -> list[float]:
    """The ends of the intervals: those given, or of equal parts, a thousandth of the range beyond it at both ends."""
    several = isinstance(given, list) and len(given) > 1
    if several:
        ends = np.sort(np.array([numeric(value, "cut() breaks") for value in given], dtype=float))
        if np.isnan(ends).any() or (np.diff(ends) == 0.0).any():
            raise MMEError("cut() takes breaks that differ from each other")
        return list(ends.tolist())
    count = given[0] if isinstance(given, list) and given else given
    if isinstance(count, bool) or not isinstance(count, int | float) or not 2 <= count <= _MOST_LEVELS:
        raise MMEError(f"cut() takes breaks, c(0, 1, 2), or the number of intervals, at least 2; got {shown(given)}")
    known = _known(x, "cut")
    low, high = float(known.min()), float(known.max())
    width = high - low or abs(low)
    if high == low:  # as R: around the one value
        return list(np.linspace(low - width / 1000.0, high + width / 1000.0, int(count) + 1).tolist())
    ends = np.linspace(low, high, int(count) + 1)
    ends[[0, -1]] = low - width / 1000.0, high + width / 1000.0
    return list(ends.tolist())


def _intervals(ends: np.ndarray, right: bool, closed: bool, digits: int) -> list[str]:
    """``(a,b]``, with as many digits as tell the ends apart."""
    for shown_digits in range(digits, max(12, digits) + 1):
        text = [_INFINITE.get(end, f"{end:.{shown_digits}g}") for end in ends.tolist()]
        if len(set(text)) == len(text):
            break
    opening, closing = ("(", "]") if right else ("[", ")")
    labels = [f"{opening}{low},{high}{closing}" for low, high in pairwise(text)]
    if closed and right:
        labels[0] = "[" + labels[0][1:]
    elif closed:
        labels[-1] = labels[-1][:-1] + "]"
    return labels


def _parallel(ufunc: np.ufunc, name: str) -> Callable[..., Any]:
    """R's ``pmax`` and ``pmin``: row by row, of any number of columns and numbers."""

    def call(state: State, *args: Any) -> Any:
        if not args:
            raise MMEError(f"{name}() takes columns or numbers, got none")
        return reduce(ufunc, [numeric(arg, f"{name}()") for arg in args])

    return call


def _dummy(state: State, x: Any, levelstokeep: Any = None) -> WideColumn:
    """lme4's ``dummy``: an indicator of each of these levels, or of all but the first."""
    codes = _remembered_codes(state, as_factor(x, "dummy()"), True, "dummy()")
    labels = state["labels"]
    wanted = labels[1:] if levelstokeep is None else labels_of(np.array(_listing(levelstokeep), dtype=object))
    absent = [label for label in wanted if label not in labels]
    if absent or not wanted:
        raise MMEError(f"dummy() has no level {_listed(absent) or 'but one'}; the levels are {_listed(labels)}")
    indicators = np.column_stack([np.where(codes < 0, np.nan, codes == labels.index(label)) for label in wanted])
    return WideColumn(indicators, tuple(wanted) if len(wanted) > 1 else ("",))


def _contrast(kind: str, numbered: bool) -> Callable[..., Contrast]:
    """R's ``contr.treatment(n, base = 2)``, where n is the number of levels, and Python's ``Treatment("b")``."""

    def call(state: State, first: Any = None, base: Any = None, reference: Any = None, scores: Any = None) -> Contrast:
        if kind == "poly" and isinstance(base, list):
            base, scores = None, base
        own = first if isinstance(first, str) or not numbered else None
        base = next((given for given in (base, reference, own) if given is not None), None)
        return Contrast(kind, base, numbered, tuple(map(float, scores or ())))

    return call


# ---- one kind of value from another --------------------------------------------------------------------------------


def _as_numeric(state: State, x: Any) -> Any:
    """R's ``as.numeric``: of text the numbers that it reads as, of a factor the positions of its levels from 1."""
    if not isinstance(x, Factor) or isinstance(x, Exact) or x.logical:
        return numeric(x, "as.numeric()")
    if not state.setdefault("reads", x.kind == "text"):
        codes = _remembered_codes(state, x, False, "as.numeric()")
        return np.where(codes < 0, np.nan, codes + 1.0)
    try:
        values = np.array([float(label) for label in labels_of(x.categories)] + [np.nan])
    except ValueError:
        raise MMEError(
            f"as.numeric() of labels that are not numbers ({_examples(x)}); as.numeric(factor(...)) is their position"
        ) from None
    return values[x.codes]


def _as_integer(state: State, x: Any) -> Any:
    return np.trunc(_as_numeric(state, x))


def _as_character(state: State, x: Any) -> Factor:
    """The labels, or what numbers print as, as text: levels sorted, and without a declared order."""
    factor = as_factor(x, "as.character()")
    labels = np.array([*labels_of(factor.categories), None], dtype=object)[factor.codes]
    return replace(coded(labels, "as.character()"), kind="text")


def _as_logical(state: State, x: Any) -> Factor:
    if not isinstance(x, Factor):
        values = numeric(x, "as.logical()")
        return logical(values != 0, values)
    if x.logical:
        return x
    labels = labels_of(x.categories)
    strange = [label for label in labels if label not in _TRUE + _FALSE]
    if strange:
        raise MMEError(f"as.logical() of {_listed(strange)}: it takes {_listed([*_TRUE, *_FALSE])}")
    truth = np.array([label in _TRUE for label in labels] + [False])
    return Factor(np.where(x.codes < 0, -1, truth[x.codes]), np.array([False, True]))


def _is_na(state: State, x: Any) -> Factor:
    return logical(missing(x if isinstance(x, Factor | WideColumn) else np.asarray(x)))


def _as_date(state: State, x: Any) -> Any:
    """Days: of text as in ISO 8601, of times the day that they are in, of numbers those since 1970-01-01."""
    if isinstance(x, str):
        return days(_as_date(state, Factor(np.zeros(1, dtype=np.int64), np.array([x], dtype=object)))).item()
    if isinstance(x, np.ndarray):
        if x.dtype.kind == "M":
            return x.astype("datetime64[D]")
        values = numeric(x, "as.Date()")
        return np.where(np.isnan(values), np.datetime64("NaT"), np.floor(np.nan_to_num(values)).astype("datetime64[D]"))
    try:
        held = np.array([*labels_of(as_factor(x, "as.Date()").categories), "NaT"], dtype="datetime64[D]")
    except ValueError:
        raise MMEError(f"as.Date() of labels that are no dates ({_examples(x)}); write them as 2024-01-31") from None
    return held[x.codes]


# ---- the table -----------------------------------------------------------------------------------------------------

_TRUE, _FALSE = ("TRUE", "true", "True", "T"), ("FALSE", "false", "False", "F")

# Names of contrasts in patsy and formulaic.
_PYTHON = {"Treatment": "treatment", "Sum": "sum", "Helmert": "helmert", "Poly": "poly", "Diff": "sdif"}

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
    **{name: _remembered(statistic, name) for name, statistic in _REDUCTIONS.items()},
    **{f"np.{name}": _remembered(statistic, f"np.{name}") for name, statistic in _NUMPY_REDUCTIONS.items()},
    **dict.fromkeys(("I", "identity"), _identity),
    **dict.fromkeys(("ifelse", "np.where"), _ifelse),
    **dict.fromkeys(("factor", "as.factor"), _factor),
    **dict.fromkeys(("ordered", "as.ordered"), _ordered),
    **dict.fromkeys(("as.numeric", "as.double"), _as_numeric),
    "as.integer": _as_integer,
    "as.character": _as_character,
    "as.logical": _as_logical,
    "as.Date": _as_date,
    "is.na": _is_na,
    "dummy": _dummy,
    "interaction": _interaction,
    "cut": _cut,
    "pmax": _parallel(np.maximum, "pmax"),
    "pmin": _parallel(np.minimum, "pmin"),
    **{f"contr.{kind}": _contrast(kind, numbered=True) for kind in KINDS},
    **{word: _contrast(kind, numbered=False) for word, kind in _PYTHON.items()},
    "c": lambda state, *values: [one for value in values for one in _listing(value)],
    "cbind": _cbind,
    "log": _log,
    "round": _round,
    "scale": _scale,
    "standardize": _scale,
    "center": _center,
    "C": _contrasted,
    "relevel": _relevel,
}
