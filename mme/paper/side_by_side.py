"""Several models side by side: coefficients, variance components, sizes and criteria."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.inference.comparison.comparable import same_span
from mme.paper.estimates import Printed, component_cell, method_notes, printed
from mme.results.table import Table
from mme.results.text import Row, column_format, formatted, p_values
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_STYLES = ("se", "interval", "apa")


def side_by_side(
    fits: Sequence[Record], style: str, names: Sequence[str] | None, ddf: str | None, level: float
) -> Table:
    """A table with a column (style "apa": three) for each fit.

    Raises
    ------
    MMEError
        There are no fits, the style is none, or there is another number of names.
    """
    if not fits:
        raise MMEError("compare takes one fit or more")
    if not is_word(style, _STYLES):
        raise MMEError(f"style must be one of {', '.join(map(repr, _STYLES))}, got {shown(style)}")
    called = [f"({k + 1})" for k in range(len(fits))] if names is None else [str(name) for name in names]
    if len(called) != len(fits) or len(set(called)) < len(called):
        raise MMEError(f"names must be {len(fits)} different names, one a fit; got {shown(names)}")
    found = [printed(fit, ddf, level) for fit in fits]
    wide = _wide(style, level)
    header = ("", *(f"{name} {part}".rstrip() for name in called for part in wide))
    rows: list[Row] = []
    sections: list[int] = []

    def section(title: str, body: list[Row]) -> None:
        if body:
            sections.append(len(rows))
            rows.extend([(title, *[""] * (len(header) - 1)), *body])

    section(
        "Fixed effects", _rows(_labels(found, lambda one: one.fixed.index), found, _fixed_cell(style, found), len(wide))
    )
    section("Random effects", _rows(_labels(found, lambda one: list(one.random)), found, _random_cell, len(wide)))
    section("Fit", _rows(_labels(found, lambda one: list(one.of_fit)), found, _fit_cell, len(wide)))
    notes = (*_notes(fits, found, called, style, level),)
    return Table(_frame(found, called), header, tuple(rows), tuple(sections), notes=notes)


def _wide(style: str, level: float) -> tuple[str, ...]:
    """What the columns of one fit are called beside its name."""
    return ("b", f"{100 * level:g}% CI", "p") if style == "apa" else ("",)


def _labels(found: list[Printed], of: Callable[[Printed], Sequence[str]]) -> list[str]:
    """The labels of all fits in the order in which they come; of the residual last."""
    labels = list(dict.fromkeys(str(label) for one in found for label in of(one)))
    return sorted(labels, key=lambda label: label == "SD residual")


def _rows(
    labels: list[str], found: list[Printed], cell: Callable[[Printed, str], Sequence[str] | None], width: int
) -> list[Row]:
    rows = []
    for label in labels:
        cells = [cell(one, label) or ("",) for one in found]
        rows.append((label, *(text for own in cells for text in (*own, *[""] * (width - len(own))))))
    return rows


def _fixed_cell(style: str, found: list[Printed]) -> Callable[[Printed, str], Sequence[str] | None]:
    """The cell of a coefficient; its smallest standard error decides the decimals in all models."""

    def cell(one: Printed, label: str) -> Sequence[str] | None:
        if label not in one.fixed.index:
            return None
        row = one.fixed.loc[label]
        spec = column_format([float(other.fixed.loc[label, "se"]) for other in found if label in other.fixed.index], 3)
        estimate, se, low, high = (formatted(float(row[name]), spec) for name in ("estimate", "se", "lower", "upper"))
        if style == "apa":
            return (estimate, f"[{low}, {high}]", _apa(float(row["p"])))
        return (f"{estimate} ({se})" if style == "se" else f"{estimate} [{low}, {high}]",)

    return cell


def _apa(p: float) -> str:
    """A p-value without the zero before its point: it cannot exceed one."""
    (text,) = p_values([p])
    return text.replace("0.", ".", 1).replace("<", "< ")


def _random_cell(one: Printed, label: str) -> Sequence[str] | None:
    if label not in one.random:
        return None
    return (component_cell(label, one.random[label]),)


def _fit_cell(one: Printed, label: str) -> Sequence[str] | None:
    value = one.of_fit.get(label)
    if value is None or value != value:
        return None
    return (f"{value:.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.2f}",)


def _notes(fits: Sequence[Record], found: list[Printed], called: list[str], style: str, level: float) -> list[str]:
    """What the numbers are, which models these are, and what cannot be compared."""
    beside = {"se": "standard errors in parentheses", "interval": f"{100 * level:g} % confidence intervals in brackets"}
    notes = [f"Estimates with {beside[style]}."] if style in beside else ["b: estimate; CI: confidence interval."]
    for name, one in zip(called, found, strict=True):
        formula = one.fit.formula or one.fit.model.response
        notes.append(f"{name} {formula}. {method_notes(one, level)[0].partition(' CI:')[0]}")
    restricted = [fit for fit in fits if fit.method == "REML"]
    if len(restricted) > 1 and any(not same_records(restricted[0], fit) for fit in restricted[1:]):
        notes.append(
            "Restricted likelihoods, and AIC and BIC of them, of models with different fixed effects are of different "
            "data and not to be compared: fit by maximum likelihood for that."
        )
    if any(fit.nobs != fits[0].nobs for fit in fits[1:]):
        notes.append("The models are fitted to different numbers of records: their criteria are not to be compared.")
    return notes


def same_records(one: Record, other: Record) -> bool:
    """Whether two fits have as many records and the same fixed effects, whatever their coding."""
    return one.nobs == other.nobs and same_span(one, other)


def _frame(found: list[Printed], called: list[str]) -> pd.DataFrame:
    """All numbers, one row per estimate: ``model, effect, term, estimate, se, lower, upper, p``."""
    import pandas as pd

    parts = []
    for name, one in zip(called, found, strict=True):
        fixed = one.fixed[["estimate", "se", "lower", "upper", "p"]].rename_axis("term").reset_index()
        parts.append(fixed.assign(model=name, effect="fixed"))
        for effect, values in (("random", one.random), ("fit", one.of_fit)):
            rows = pd.DataFrame({"term": list(values), "estimate": [float(value) for value in values.values()]})
            parts.append(rows.assign(model=name, effect=effect))
    return pd.concat(parts, ignore_index=True)[["model", "effect", "term", "estimate", "se", "lower", "upper", "p"]]
