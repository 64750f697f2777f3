"""Several responses in wide form: ``cbind(y1, y2) ~ x + (1 | g)`` as the long form with a factor ``trait``.

value ~ 0 + trait + trait:x + (0 + trait | g),      residuals unstructured across the traits of a record
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import FormulaError, MMEError
from mme.formula.algebra import Terms, expand
from mme.formula.bar import Bar
from mme.formula.bars import Parsed, split
from mme.formula.syntax import Call, Name, deparse
from mme.residual import Unstructured

# What the columns of the long form are called.
VALUE, TRAIT, RECORD = "value", "trait", "record"


@dataclass(frozen=True, eq=False)
class LongForm:
    """The formula and the data of the long form, and the structure of its residuals."""

    formula: str
    data: Any
    residual: Unstructured


def has_traits(formula: Any) -> bool:
    """Whether the left side is ``cbind()`` of several responses."""
    return isinstance(formula, str) and formula.lstrip().startswith("cbind(")


def long_form(formula: str, data: Any, **by_row: Any) -> LongForm:
    """The long form: records of missing traits are left out, one by one.

    Parameters
    ----------
    formula : str
    data : table or mapping
    **by_row
        Arguments that have one value per row: a name or an expression of columns serves each trait, an array none.

    Raises
    ------
    FormulaError
        A response is no column; the fixed part or a bar is not written as ``(x | g)``.
    MMEError
        The data have a column of one of the names that the long form needs, or an argument is an array.
    """
    parsed = split(formula)
    traits = _traits(parsed, formula)
    for name, given in by_row.items():
        if given is not None and not isinstance(given, str):
            raise MMEError(f"{name}: beside cbind() give the name of a column; an array has one value for all traits")
    right = " + ".join([*_by_trait(expand(parsed.fixed, formula)), *(_bar(bar, formula) for bar in parsed.bars)])
    return LongForm(f"{VALUE} ~ {right}", _stacked(data, traits), Unstructured(TRAIT, RECORD))


def _traits(parsed: Parsed, formula: str) -> list[str]:
    called = parsed.response
    names = [one.value for one in called.args if isinstance(one, Name)] if isinstance(called, Call) else []
    if not isinstance(called, Call) or len(names) < len(called.args) or len(set(names)) < 2:
        raise FormulaError(
            f"'{formula}': cbind() takes two columns or more, each a trait; make columns of what is computed"
        )
    return names


def _by_trait(of: Terms) -> list[str]:
    """``0 + trait + trait:x``, with offsets as they are."""
    terms = [":".join([TRAIT, *map(deparse, term)]) for term in of.terms]
    first = ["0", *([TRAIT] if of.intercept else [])]
    return [*first, *terms, *(f"offset({deparse(one)})" for one in of.offsets)]


def _bar(bar: Bar, formula: str) -> str:
    if (
        bar.covariance != "unstructured"
        or bar.time is not None
        or bar.along
        or bar.together
        or bar.written
        or bar.by is not None
    ):
        raise FormulaError(
            f"'{formula}': beside cbind() the random part is of bars (x | g), unstructured across traits; for other "
            f"structures write the long form with a factor of the traits"
        )
    return f"({' + '.join(_by_trait(bar.left))} | {':'.join(map(deparse, bar.factors))})"


def _stacked(data: Any, traits: list[str]) -> Any:
    """The rows of each record, a trait each, that have a value."""
    import pandas as pd

    frame = data if hasattr(data, "iloc") else data.to_pandas() if hasattr(data, "to_pandas") else pd.DataFrame(data)
    taken = [name for name in (VALUE, TRAIT, RECORD) if name in frame.columns]
    missing = [name for name in traits if name not in frame.columns]
    if taken or missing:
        raise MMEError(
            f"cbind(): the data have no column {', '.join(map(repr, missing))}"
            if missing
            else f"cbind(): rename the column {', '.join(map(repr, taken))}, a name that the long form needs"
        )
    n, k = len(frame), len(traits)
    long = frame.drop(columns=traits).iloc[np.repeat(np.arange(n), k)].reset_index(drop=True)
    values = frame[traits].to_numpy(dtype=float, na_value=np.nan).ravel()
    long[VALUE] = values
    long[TRAIT] = pd.Categorical.from_codes(np.tile(np.arange(k), n), categories=traits)
    long[RECORD] = np.repeat(np.arange(n), k)
    return long[np.isfinite(values)].reset_index(drop=True)
