"""Linear functions of the fixed effects: estimates, standard errors, t and F tests, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.inference.fixed.reference import FTest, Reference, check_consistent, two_sided
from mme.tables.arguments import yes_or_no
from mme.tables.arrays import numbers, shown

if TYPE_CHECKING:
    import pandas as pd


def t_table(to: Reference, L: np.ndarray, rhs: np.ndarray | float, index: Any) -> pd.DataFrame:
    """``estimate, se, df, t, p`` of each row of L: estimates of L beta - rhs, two-sided."""
    L, to = to.narrowed(L)
    return _table(L @ to.beta - rhs, to.se(L), to.df(L), index)


def _table(estimate: np.ndarray, se: np.ndarray, df: np.ndarray, index: Any) -> pd.DataFrame:
    import pandas as pd

    with np.errstate(invalid="ignore", divide="ignore"):
        t = estimate / se
    return pd.DataFrame({"estimate": estimate, "se": se, "df": df, "t": t, "p": two_sided(t, df)}, index=index)


def f_table(tests: Sequence[FTest], index: Any) -> pd.DataFrame:
    """``num_df, den_df, F, p``, one row a test."""
    import pandas as pd

    return pd.DataFrame(
        {
            "num_df": [test.numerator for test in tests],
            "den_df": [test.denominator for test in tests],
            "F": [test.F for test in tests],
            "p": [test.p for test in tests],
        },
        index=index,
    )


def coefficient_table(fit: Record, to: Reference) -> pd.DataFrame:
    """``estimate, se, df, t, p`` of every fixed effect."""
    return _table(to.beta, *to.every(), list(fit.fixed_names))


def contrast_table(fit: Record, L: Any, rhs: Any, joint: bool, to: Reference) -> pd.DataFrame:
    """Tests of the rows of L one by one, or of all together."""
    joint = yes_or_no(joint, "joint")
    rows, index = read_contrasts(fit, L)
    right = _right_sides(rhs, len(rows))
    if joint:
        return joint_table(fit, to, rows, right, index, "joint")
    return t_table(to, rows, right, index)


def joint_table(
    fit: Record, to: Reference, rows: np.ndarray, right: np.ndarray, labels: list[Any], name: str
) -> pd.DataFrame:
    """``num_df, den_df, F, p`` of all rows together.

    Raises
    ------
    MMEError
        No coefficients satisfy all of them.
    """
    L, narrow = to.narrowed(rows)
    check_consistent(L, right, fit.estimates.half if narrow is to else narrow.half, labels)
    return f_table([narrow.f_test(L, L @ narrow.beta - right)], [name])


def _right_sides(rhs: Any, m: int) -> np.ndarray:
    right = numbers(rhs, "rhs")
    if right.ndim > 1 or right.size not in (1, m) or not np.isfinite(right).all():
        raise MMEError(f"rhs needs {m} finite numbers, one a row, or one for all; got {shown(rhs)}")
    return np.broadcast_to(right, (m,))


def read_contrasts(fit: Record, L: Any) -> tuple[np.ndarray, list[Any]]:
    """L as rows (m, p) on the estimated coefficients, and their labels.

    Raises
    ------
    MMEError
        A name is no coefficient, a row has another length, or what it asks for cannot be estimated.
    """
    names = fit.fixed_names
    if isinstance(L, Mapping):
        L = _frame_of(L)
    if hasattr(L, "iloc") and hasattr(L, "columns"):
        unknown = [str(name) for name in L.columns if str(name) not in fit.model.x_names]
        if unknown:
            raise MMEError(f"no fixed effect is called {', '.join(map(repr, unknown))}; they are {', '.join(names)}")
        rows = np.zeros((len(L), len(fit.model.x_names)))
        rows[:, [fit.model.x_names.index(str(name)) for name in L.columns]] = numbers(L, "the contrast")
        if not np.isfinite(rows).all():
            raise MMEError("the contrast has missing or infinite weights; leave out what it does not use")
        return estimable(fit, rows), list(L.index)
    rows = np.atleast_2d(numbers(L, "the contrast"))
    labels = [f"L{m + 1}" for m in range(len(rows))]
    if rows.ndim != 2 or rows.shape[1] not in (len(names), len(fit.model.x_names)) or not np.isfinite(rows).all():
        raise MMEError(
            f"a contrast needs {len(names)} finite weights, one a fixed effect ({', '.join(names)}); got an array of "
            f"shape {np.shape(L)}"
        )
    return (rows if rows.shape[1] == len(names) else estimable(fit, rows)), labels


def estimable(fit: Record, rows: np.ndarray) -> np.ndarray:
    """Rows (m, all columns of X) on the estimated coefficients.

    Raises
    ------
    MMEError
        The data do not determine a row: it needs a dropped column apart from those that make it.
    """
    unknown = ~fit.aliasing.estimable(rows)
    if unknown.any():
        names, first = fit.model.x_names, int(np.argmax(unknown))
        raise MMEError(
            f"row {first + 1} of the contrast cannot be estimated: it needs the columns of X that were dropped "
            f"({', '.join(fit.dropped)}). In all records {fit.aliasing.causes(rows[[first]], names)}, so that only "
            "what keeps to that is determined"
        )
    return np.ascontiguousarray(rows[:, fit.basis.kept])


def _frame_of(L: Mapping[Any, Any]) -> pd.DataFrame:
    """A contrast by name, {coefficient: weight}, as a table of one row."""
    import pandas as pd

    return pd.DataFrame([dict(L)], index=["contrast"])
