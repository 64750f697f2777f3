"""Random tables in every container and type that a user's data arrive in, and formulas over their columns."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

COLUMNS = ("y", "x", "z", "f", "g", "h", "the name")

_MISSING = (None, float("nan"), pd.NA, pd.NaT)
_LABELS = ("a", "b", "c", "a b", "10", "9", "", "x.y", "x:y", "(Intercept)", "Ω")
_EXTREMES = (0.0, -0.0, 1e-300, 1e300, 1e8, 0.1 * 3, 0.3, float(2**53), 2**63, 2**70, float("inf"))
_ODD = ("", " ", "NA", "1e", "ä", b"a", decimal.Decimal("1.5"), 1j, (1, 2), [1], {"a": 1})

# How a cell of one column is drawn, by kind.
_KINDS: dict[str, Callable[[Random], Any]] = {
    "normal": lambda draw: draw.gauss(0.0, 1.0),
    "positive": lambda draw: draw.random() + 0.1,
    "small numbers": lambda draw: draw.randrange(4),
    "years": lambda draw: draw.randrange(2015, 2024),
    "labels": lambda draw: draw.choice(_LABELS),
    "few labels": lambda draw: draw.choice(_LABELS[:3]),
    "dates": lambda draw: datetime.date(2024, 1, draw.randrange(1, 5)),
    "booleans": lambda draw: draw.random() < 0.5,
    "constant": lambda draw: 1.0,
    "extremes": lambda draw: draw.choice(_EXTREMES),
    "mixed": lambda draw: draw.choice((*_EXTREMES, *_LABELS, *_ODD, True)),
}


def column(draw: Random, n: int, kinds: Sequence[str] = tuple(_KINDS)) -> Any:
    """Draw n cells of one kind, some of them missing, in one of the containers that can hold them."""
    cells = [_KINDS[kind](draw) for kind in [draw.choice(kinds)] * n]
    if n and draw.random() < 0.2:
        for _ in range(3):
            cells[draw.randrange(n)] = draw.choice(_MISSING)
    return _contained(cells, draw.choice(_CONTAINERS))


def plain(seed: int) -> pd.DataFrame:
    """Draw a table as people bring them: numbers, integers, calendar years, text and dates, a few cells missing."""
    draw = Random(seed)
    n = draw.randrange(12, 32)
    kinds = {
        "y": ["normal"],
        "x": ["normal", "years", "small numbers"],
        "z": ["normal", "positive", "positive", "positive"],
        "f": ["few labels", "booleans"],
        "g": ["labels", "small numbers", "dates"],
        "h": ["labels", "years"],
        "the name": ["normal", "few labels"],
    }
    data = {name: [_KINDS[kind](draw) for kind in [draw.choice(of)] * n] for name, of in kinds.items()}
    for _ in range(draw.choice((0, 0, 3))):
        data[draw.choice(tuple(kinds))][draw.randrange(n)] = None
    return pd.DataFrame(data)


def odd(seed: int) -> Any:
    """Draw a table of any columns, as a dict, a pandas, Polars or Arrow table."""
    draw = Random(seed)
    n = draw.randrange(4) if draw.random() < 0.1 else draw.randrange(12, 25)
    kinds = {name: list(_KINDS) for name in COLUMNS} | {"y": ["normal", *_KINDS]}
    # One column or two are odd, or all of them.
    usual = draw.sample(COLUMNS, draw.choice((0, 5, 6)))
    sane = plain(seed)
    data = {name: list(sane[name].head(n)) if name in usual else column(draw, n, kinds[name]) for name in COLUMNS}
    n = min(map(len, data.values()))
    data = {name: cells[:n] for name, cells in data.items()}
    index = draw.choice((range(n), [7] * n, [f"r{i}" for i in range(n)]))
    make = {
        "dict": lambda: data,
        "pandas": lambda: pd.DataFrame({name: pd.Series(cells) for name, cells in data.items()}).set_axis(index),
        "polars": lambda: pl.DataFrame({name: pl.Series(list(cells), strict=False) for name, cells in data.items()}),
        "arrow": lambda: pa.table({name: pa.array(list(cells)) for name, cells in data.items()}),
    }
    try:
        return make[draw.choice(tuple(make))]()
    except _CANNOT_HOLD:
        return data


def _contained(cells: list[Any], container: str) -> Any:
    try:
        return _CONTAINED[container](cells)
    except _CANNOT_HOLD:
        return cells


_CONTAINED: dict[str, Any] = {
    "list": list,
    "array": lambda cells: np.array(cells),
    "objects": lambda cells: np.array(cells, dtype=object),
    "integers": lambda cells: np.array(cells, dtype=np.int64),
    "bytes": lambda cells: np.array(cells, dtype=np.uint8),
    "floats": lambda cells: np.array(cells, dtype=np.float32),
    "masked": lambda cells: np.ma.masked_invalid(np.array(cells, dtype=float)),
    "series": pd.Series,
    "nullable": lambda cells: pd.array(cells, dtype="Int64"),
    "nullable floats": lambda cells: pd.array(cells, dtype="Float64"),
    "strings": lambda cells: pd.array([None if pd.isna(cell) else str(cell) for cell in cells], dtype="string"),
    "category": lambda cells: pd.Categorical(cells),
    "ordered": lambda cells: pd.Categorical(cells, ordered=True),
    "timestamps": lambda cells: pd.to_datetime(pd.Series(cells), format="%Y-%m-%d"),
    "sparse": lambda cells: pd.arrays.SparseArray(cells),
    "polars": lambda cells: pl.Series(cells),
    "arrow": lambda cells: pa.array(cells),
}
_CONTAINERS = tuple(_CONTAINED)
# What containers say to cells that they cannot hold.
_CANNOT_HOLD = (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError, pa.ArrowException)

PLAIN = st.builds(plain, st.integers(0, 2**32))
ODD = st.builds(odd, st.integers(0, 2**32))

_NUMERIC = ["x", "z", "I(x^2)", "log(z)", "scale(x)", "poly(x, 2)", "bs(x, df=4)", "offset(z)", "`the name`"]
_FACTORS = ["f", "g", "factor(z)", "factor(x)", "factor(g)", "ordered(x)", "x:f", "x*f", "f*h", "(x + f)^2"]
_TERMS = st.sampled_from(["0", "1", "-1", *_NUMERIC, *_FACTORS])
_LEFT = st.sampled_from(["1", "1", "x", "0 + x", "f", "0 + f", "x + z", "`the name`"])
_GROUPS = st.sampled_from(["g", "g", "h", "f", "g:h", "g/h", "x", "`the name`", "g:f", "factor(x)"])
_BARS = st.builds("({} {} {})".format, _LEFT, st.sampled_from(["|", "|", "||"]), _GROUPS)
_STRUCTURES = st.sampled_from(["us", "diag", "cs", "ar1", "ou"])
_STRUCTURED = st.builds("{}({} | {})".format, _STRUCTURES, st.sampled_from(["0 + f", "f", "x"]), _GROUPS)
FORMULAS = st.builds(
    lambda response, fixed, random: f"{response} ~ {' + '.join([*fixed, *random])}",
    st.sampled_from([*["y"] * 12, "exp(y)", "x", "f"]),
    st.lists(_TERMS, min_size=1, max_size=2),
    st.lists(st.one_of(_BARS, _BARS, _BARS, _STRUCTURED), min_size=1, max_size=2),
)
