"""The table of one fit."""

from __future__ import annotations

from mme.fitted.common import Record
from mme.paper.estimates import component_cell, formatted_cells, method_notes, printed
from mme.results.table import Table
from mme.results.text import Row, column_format, fixed_point, formatted, freedoms, p_values


def fit_table(fit: Record, ddf: str | None, level: float) -> Table:
    """Fixed effects with their tests and intervals, standard deviations of the random effects, sizes and criteria."""
    one = printed(fit, ddf, level)
    fixed, tests = one.fixed, one.tests
    spec = column_format(tests.se, 3)
    columns = {
        "Estimate": [formatted(value, spec) for value in fixed["estimate"].tolist()],
        "SE": [formatted(value, spec) for value in fixed["se"].tolist()],
        f"{100 * level:g}% CI": [
            f"[{formatted(low, spec)}, {formatted(high, spec)}]"
            for low, high in zip(fixed["lower"].tolist(), fixed["upper"].tolist(), strict=True)
        ],
    }
    if tests.df is not None:
        columns["df"] = freedoms(tests.df)
    columns[tests.symbol] = formatted_cells(fixed["statistic"].tolist(), lambda value: fixed_point(value, 2))
    if tests.p is not None:
        columns["p"] = p_values(tests.p)
    rows: list[Row] = [("Fixed effects", *[""] * len(columns))]
    rows += list(zip(fixed.index, *columns.values(), strict=True))
    if one.random:
        rows.append(("Random effects", *[""] * len(columns)))
        rows += [
            (label, component_cell(label, value), *[""] * (len(columns) - 1)) for label, value in one.random.items()
        ]
    sections = tuple(
        i for i, row in enumerate(rows) if not any(row[1:]) and row[0] in ("Fixed effects", "Random effects")
    )
    sizes = "; ".join(f"{label} {_number(value)}" for label, value in one.of_fit.items())
    return Table(
        frame=fixed.rename(columns={"statistic": tests.symbol}),
        header=("", *columns),
        rows=tuple(rows),
        sections=sections,
        title=fit.formula or fit.model.response,
        notes=(f"{sizes}.", *method_notes(one, level)),
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"
