"""Data frames of results that print themselves: numbers aligned, p-values as papers have them, no column left out.

What pandas makes of such a frame (``.round()``, ``.loc``, ...) is a plain data frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from mme.results.table import Table
from mme.results.text import column_format, fixed_point, formatted, freedoms, p_values
from mme.tables.arrays import shown
from mme.tables.names import as_known

if TYPE_CHECKING:
    import pandas as pd

V = TypeVar("V")

# Columns by what they are: in units of the response, statistics of three decimals, degrees of freedom, p-values.
_MEASURES = (
    *("estimate", "mean", "slope", "se", "std_error", "lower", "upper", "effect_size"),
    *("ratio", "odds_ratio", "rate_ratio", "mean_ratio", "hazard_ratio"),
)
_STATISTICS = ("t", "z", "statistic", "F", "chisq", "lrt")
_FREEDOMS = ("df", "den_df")
_CRITERIA = ("aic", "aicc", "bic", "loglik", "deviance", "criterion")
_P = ("p", "p_boundary", "p_value")
# Rows that are printed all; of more the first and the last ones.
_MOST_ROWS, _FIRST, _LAST = 60, 40, 10


class ByFactor(dict[str, V]):
    """One table per grouping factor, with its levels as rows."""

    def __missing__(self, key: Any) -> V:
        if (plain := as_known(key, self)) in self:
            return self[plain]
        known = ", ".join(map(repr, self)) or "none"
        level = next((name for name, part in self.items() if key in getattr(part, "index", ())), None)
        where = f": it is a level of {level!r}: [{level!r}].loc[{shown(key)}]" if level is not None else ""
        raise KeyError(f"{shown(key)} is no grouping factor, which are {known}{where}")


def framed(table: pd.DataFrame, title: str = "", notes: Iterable[str] = ()) -> pd.DataFrame:
    """The table as one that prints itself, with a title and notes (``attrs``)."""
    made = result_class()(table)
    made.attrs |= table.attrs
    if title:
        made.attrs["title"] = title
    said = [*made.attrs.get("notes", ()), *notes]
    if said:
        made.attrs["notes"] = tuple(said)
    return made


@cache
def result_class() -> Any:
    """The class of such frames, made when pandas is there."""
    import pandas as pd

    class Result(pd.DataFrame):  # type: ignore[misc, unused-ignore]
        """A data frame of results; ``table()`` is it as a table for a paper."""

        def table(self) -> Table:
            """Its cells formatted, with ``.to_markdown()``, ``.to_latex()``, ``.to_html()`` and ``.to_docx()``."""
            return as_table(self)

        def letters(self, alpha: float = 0.05) -> Any:
            """Of pairs of means: those that share a letter do not differ at ``alpha`` (a compact letter display)."""
            return _letters(self, alpha)

        def head(self, n: int = 5) -> Any:
            """The first rows."""
            return _part_of(super().head(n))

        def tail(self, n: int = 5) -> Any:
            """The last rows."""
            return _part_of(super().tail(n))

        def sort_values(self, *args: Any, **options: Any) -> Any:
            """The rows in the order of a column."""
            return _part_of(super().sort_values(*args, **options))

        def query(self, *args: Any, **options: Any) -> Any:
            """The rows for which a condition holds."""
            return _part_of(super().query(*args, **options))

        def __repr__(self) -> str:
            return repr(as_table(shortened(self)))

        def _repr_html_(self) -> str:
            return as_table(shortened(self)).to_html()

        def __reduce__(self) -> Any:
            return framed, (pd.DataFrame(self), "", ())

    return Result


def _letters(pairs: pd.DataFrame, alpha: float) -> Any:
    from mme.results.letters import letters_of_pairs

    return letters_of_pairs(pairs, alpha)


def _part_of(frame: pd.DataFrame | None) -> pd.DataFrame | None:
    """Some rows of a frame, as a frame that prints itself; letters are left out, since they need all pairs."""
    if frame is None:  # sorted in place
        return None
    frame.attrs = {name: value for name, value in frame.attrs.items() if name != "pairs"}
    return framed(frame)


def shortened(frame: pd.DataFrame) -> pd.DataFrame:
    """The first and the last rows of many, with a note on the others."""
    import pandas as pd

    if len(frame) <= _MOST_ROWS:
        return frame
    short = pd.concat([frame.iloc[:_FIRST], frame.iloc[-_LAST:]])
    short.attrs = dict(frame.attrs)
    left = len(frame) - _FIRST - _LAST
    note = f"{left:,} rows between the first {_FIRST} and the last {_LAST} are not shown."
    short.attrs["notes"] = (note, *frame.attrs.get("notes", ()))
    return short


def as_table(frame: pd.DataFrame) -> Table:
    """A frame with its cells formatted; a column without a value is not shown."""
    import pandas as pd

    labels = [[_label(label) for label in frame.index.get_level_values(level)] for level in range(frame.index.nlevels)]
    names = ["" if name is None else str(name) for name in frame.index.names]
    columns = [(str(name), frame.iloc[:, c].tolist()) for c, name in enumerate(frame.columns)]
    formats = _formats(columns)
    shown = [(name, _cells(name, values, formats)) for name, values in columns]
    shown = [(name, cells) for name, cells in shown if any(cells) or not cells]
    attrs = frame.attrs
    notes = [*attrs.get("notes", ()), *([attrs["note"]] if "note" in attrs else [])]
    return Table(
        frame=pd.DataFrame(frame),
        header=(*names, *(name for name, _ in shown)),
        rows=tuple(zip(*labels, *(cells for _, cells in shown), strict=True)),
        left=len(labels),
        title=attrs.get("title", ""),
        notes=tuple(notes),
    )


def _formats(columns: Sequence[tuple[str, list[Any]]]) -> dict[str, list[str]]:
    """The formats of the columns in units of the response, row by row: standard errors decide the decimals.

    One format serves all rows, unless their sizes lie so far apart that it would be in powers of ten.
    """
    found = {name: values for name, values in columns if name in _MEASURES}
    rows = len(next(iter(found.values()), []))
    errors = found.get("se", found.get("std_error", [float("nan")] * rows))
    per_row = [
        row if error != error else (error,)
        for error, row in zip(errors, zip(*found.values(), strict=True), strict=True)
    ]
    spec = column_format([abs(value) for row in per_row for value in row if value], 3) if found else ""
    specs = [spec] * rows
    if spec.endswith("e"):
        specs = [column_format([abs(value) for value in row if value], 3) for row in per_row]
    return dict.fromkeys(found, specs)


def _cells(name: str, values: list[Any], formats: dict[str, list[str]]) -> list[str]:
    """The cells of one column."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [_label(value) for value in values]
    ways: dict[tuple[str, ...], Callable[[list[Any]], list[str]]] = {
        _P: p_values,
        _FREEDOMS: freedoms,
        _STATISTICS: lambda values: ["" if value != value else fixed_point(value, 3) for value in values],
        _CRITERIA: lambda values: ["" if value != value else fixed_point(value, 2) for value in values],
        tuple(formats): lambda values: [
            formatted(value, spec) for value, spec in zip(values, formats[name], strict=True)
        ],
    }
    for names, way in ways.items():
        if name in names:
            return way(values)
    if all(isinstance(value, int) or value != value or float(value).is_integer() for value in values):
        return ["" if value != value else f"{value:.0f}" for value in values]
    spec = column_format([value for value in values if value])
    return ["" if value != value else formatted(value, spec) for value in values]


def _label(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:g}"
    return "" if value is None else str(value)
