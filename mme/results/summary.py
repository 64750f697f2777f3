"""A fit as text and as HTML, laid out as readers of lme4's output know it.

Both are made from the same rows of cells, so that a notebook and a terminal show the same digits.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mme.covariance.coordinates import tied
from mme.fitted.record import Fitted
from mme.formula.syntax import deparse
from mme.relationship.parametric import Parametric
from mme.results.genetics import heritabilities, is_quick
from mme.tables.levels import runs_across

if TYPE_CHECKING:
    from mme.model.term import Term
    from mme.residual import Bound

Row = tuple[str, ...]

_WIDTH = 80
# Significant digits of the smallest number in a column, as in lme4.
_DIGITS = 4
# A correlation matrix of more fixed effects than this does not fit on a line.
_MOST_CORRELATIONS = 12
# Parameters of a residual structure beyond which a summary is no place for them.
_MOST_PARAMETERS = 8
# A standard deviation of the random effects below this share of what their columns' size would make visible is zero.
_ZERO = 1e-5
_RATIOS = "Shares of the variance of the records"


def summary_text(fit: Fitted) -> str:
    """Title, criterion, residuals, random effects, fixed effects, and notes on what is unusual."""
    parts = [
        "\n".join([_title(fit), *_source(fit)]),
        _criterion_text(fit),
        f"Scaled residuals:\n{_text_table(_residual_rows(fit), left=0)}",
        f"Random effects:\n{_text_table(_random_rows(fit), left=2, indent=' ')}\n{_counts(fit)}",
    ]
    if ratios := _ratio_rows(fit):
        parts.append(f"{_RATIOS}:\n{_text_table(ratios, left=2, indent=' ')}")
    if fit.fixed_names:
        parts.append(f"Fixed effects:\n{_text_table(_fixed_rows(fit), left=1)}")
    if len(fit.fixed_names) > 1:
        parts.append(_correlation_text(fit))
    notes = [textwrap.fill(note, _WIDTH, subsequent_indent="  ") for note in _notes(fit)]
    return "\n\n".join([*parts, "\n".join(notes)]).rstrip("\n") + "\n"


def summary_html(fit: Fitted) -> str:
    """The same tables for a notebook."""
    head = "<br>".join([f"<b>{escape(_title(fit))}</b>", *map(escape, _source(fit))])
    criterion = "; ".join(f"{name} {value}" for name, value in zip(*_criterion_rows(fit), strict=True))
    parts = [f"<p>{head}</p>", f"<p>{escape(criterion)}</p>", _html_table("Random effects", _random_rows(fit), left=2)]
    parts.append(f"<p>{escape(_counts(fit))}</p>")
    if ratios := _ratio_rows(fit):
        parts.append(_html_table(_RATIOS, ratios, left=2))
    if fit.fixed_names:
        parts.append(_html_table("Fixed effects", _fixed_rows(fit), left=1))
    parts += [f"<p>{escape(note)}</p>" for note in _notes(fit)]
    return f"<div>{''.join(parts)}</div>"


# -- what is said ----------------------------------------------------------------------------------------------------


def _title(fit: Fitted) -> str:
    how = "REML" if fit.method == "REML" else "maximum likelihood"
    return f"Linear mixed model fit by {how}"


def _source(fit: Fitted) -> list[str]:
    lines = [f"Formula: {fit.formula}" if fit.formula else f"Response: {fit.model.response}"]
    for what, values in (("Weights", fit.model.weights), ("Offset", fit.model.offset)):
        if values is not None:
            lines.append(f"{what}: {values.min():.4g} to {values.max():.4g}")
    return lines


def _criterion_rows(fit: Fitted) -> tuple[Row, Row]:
    if fit.method == "REML":
        where = "at the given theta" if fit.optimum.verdict == "given" and fit.model.k else "at convergence"
        return (f"REML criterion {where}:",), (f"{fit.criterion:.4f}",)
    values = {"AIC": fit.aic, "BIC": fit.bic, "logLik": fit.loglik, "deviance": fit.criterion}
    return (*values, "df.resid"), (*(f"{value:.4f}" for value in values.values()), str(fit.nobs - fit.dof))


def _criterion_text(fit: Fitted) -> str:
    names, values = _criterion_rows(fit)
    return f"{names[0]} {values[0]}" if len(names) == 1 else _text_table([names, values], left=0)


def _residual_rows(fit: Fitted) -> list[Row]:
    """Quantiles of sqrt(w) (y - fitted) / sigma."""
    scaled = (fit.model.y - fit.estimates.fitted) / fit.sigma
    if fit.model.weights is not None:
        scaled *= np.sqrt(fit.model.weights)
    quantiles = np.quantile(scaled, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
    return [("Min", "1Q", "Median", "3Q", "Max"), tuple(_fixed_point(value, 4) for value in quantiles)]


def _random_rows(fit: Fitted) -> list[Row]:
    """One row a standard deviation; correlations as a lower triangle to the right, where there are any."""
    names, sd, corr = [], [], []
    for (group, part), structure in zip(fit.varcorr.items(), fit.model.structures, strict=True):
        for i, name in enumerate(part.names):
            names.append((group if i == 0 else "", name))
            sd.append(part.sd[i])
            correlated = i if structure.correlated else 0
            corr.append(tuple(_fixed_point(part.corr[i, j], 2) for j in range(correlated)))
    names.append(("Residual", ""))
    sd.append(fit.sigma)
    corr.append(())
    numbers = zip(_column([s * s for s in sd]), _column(sd), strict=True)
    columns = max(map(len, corr))
    header = ("Groups", "Name", "Variance", "Std.Dev.", *(["Corr", *[""] * (columns - 1)] if columns else []))
    rows = [
        (*name, *number, *beside, *[""] * (columns - len(beside)))
        for name, number, beside in zip(names, numbers, corr, strict=True)
    ]
    return [header, *rows]


def _ratio_rows(fit: Fitted) -> list[Row]:
    """Heritabilities and genetic correlations: a share of the variance for each coefficient of related levels."""
    if not _related(fit):
        return []
    around = fit.local if _has_standard_errors(fit) else None
    found = [
        (term.name, label, ratio, se)
        for term in _related(fit)
        for ratios in (heritabilities(fit, around, term.name),)
        for label, ratio, se in zip(ratios.labels, ratios.estimate.tolist(), ratios.se.tolist(), strict=True)
    ]
    terms, labels, values, errors = zip(*found, strict=True)
    names = [
        (name if name not in terms[:i] else "", label)
        for i, (name, label) in enumerate(zip(terms, labels, strict=True))
    ]
    if around is None:
        return [("", "", "Estimate"), *((*name, cell) for name, cell in zip(names, _column(values), strict=True))]
    spec = _spec([se for se in errors if math.isfinite(se)] or values, 2)
    numbers = [(_number(value, spec), _number(se, spec)) for value, se in zip(values, errors, strict=True)]
    return [("", "", "Estimate", "Std. Error"), *((*name, *pair) for name, pair in zip(names, numbers, strict=True))]


def _related(fit: Fitted) -> list[Term]:
    related = [term for term in fit.model.terms if term.relationship is not None]
    return [term for term in related if not isinstance(term.relationship, Parametric)]


def _has_standard_errors(fit: Fitted) -> bool:
    """Whether shares get standard errors: something was estimated, and the Hessian is there or soon is."""
    return fit.optimum.verdict != "given" and ("local" in vars(fit) or is_quick(fit.objective))


def _counts(fit: Fitted) -> str:
    groups = {term.group: term.n_levels for term in fit.model.terms}
    listed = "; ".join(f"{name}, {count}" for name, count in groups.items())
    counts = f"Number of obs: {fit.nobs}" + (f", groups: {listed}" if groups else "")
    return "\n".join([counts, *_relationship_lines(fit), *_structure_lines(fit)])


def _structure_lines(fit: Fitted) -> list[str]:
    """The residual structure and its parameters, in one line where they are few."""
    if fit.model.residual is None:
        return []
    values = [f"{name} {value:.4g}" for name, value in fit.residual.items()]
    if len(values) > _MOST_PARAMETERS:
        values = [*values[:_MOST_PARAMETERS], f"and {len(values) - _MOST_PARAMETERS} more: see residual"]
    text = f"Residual structure: {fit.model.residual.kind}; {', '.join(values)}{_group_sizes(fit.model.residual)}"
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False)


def _group_sizes(structure: Bound) -> str:
    """How many groups the residuals have, and of how many records: a wrong grouping shows here."""
    if structure.group is None:
        return ""
    sizes = np.bincount(structure.group)
    return f"; {sizes.size} groups of {'up to ' if sizes.min() < sizes.max() else ''}{sizes.max()} records"


def _relationship_lines(fit: Fitted) -> list[str]:
    """A line a relationship with parameters."""
    named = {term: [f"{name} {value:.5g}" for name, value in part.items()] for term, part in fit.relationships.items()}
    return [f"Relationship of {term}: {', '.join(values)}" for term, values in named.items()]


def _fixed_rows(fit: Fitted) -> list[Row]:
    """The standard errors decide the decimals: what lies beyond them is noise."""
    beta, se = fit.estimates.beta, fit.estimates.se
    spec = _spec(se)
    numbers = [(_number(b, spec), _number(s, spec), _fixed_point(b / s, 3)) for b, s in zip(beta, se, strict=True)]
    rows = [(name, *number) for name, number in zip(fit.fixed_names, numbers, strict=True)]
    return [("", "Estimate", "Std. Error", "t value"), *rows]


def _correlation_text(fit: Fitted) -> str:
    p = len(fit.fixed_names)
    if p > _MOST_CORRELATIONS:
        return f"Correlation of fixed effects: not shown, as there are {p}; see beta_cov."
    cov = fit.estimates.beta_cov
    sd = np.sqrt(np.diag(cov))
    corr = cov / np.outer(sd, sd)
    header = ("", *_abbreviated(fit.fixed_names, 6)[:-1])
    labels = _abbreviated(fit.fixed_names, 11)
    rows = [(labels[i], *(_fixed_point(corr[i, j], 3) for j in range(i)), *[""] * (p - 1 - i)) for i in range(1, p)]
    return f"Correlation of fixed effects:\n{_text_table([header, *rows], left=1)}"


def _notes(fit: Fitted) -> list[str]:
    """What a reader should know besides the numbers; empty for an ordinary fit."""
    notes = []
    if fit.rows.outside:
        notes.append(f"Of {fit.rows.kept.size} rows the subset leaves {fit.rows.outside} out.")
    if fit.n_dropped:
        rows = (
            "1 row with a missing value was" if fit.n_dropped == 1 else f"{fit.n_dropped} rows with missing values were"
        )
        notes.append(f"{rows} left out.")
    if fit.dropped:
        notes.append(f"Fixed effects dropped, determined by earlier columns: {', '.join(fit.dropped)}.")
    if fit.singular and fit.optimum.verdict != "given":
        notes.append(
            f"Singular fit, on the boundary of the model: {'; '.join(boundary(fit))}. A valid result; a simpler "
            "random part would fit as well."
        )
    structure = fit.model.residual
    if structure is not None and structure.kind.startswith("CompoundSymmetry") and fit.residual["rho"] < 0.0:
        notes.append(
            "The covariance within groups is negative: a marginal model of the records, which no variance of group "
            "effects would give."
        )
    across = _across(fit)
    if across:
        notes.append(
            f"The groups of the residuals run across the levels of {', '.join(across)}, with several records in each: "
            "if their labels are used anew there, write the combination, such as 'block/plot'."
        )
    if fit.optimum.verdict in ("flat", "not converged"):
        notes.append(f"Optimum: {fit.optimum}.")
    if _related(fit) and fit.optimum.verdict != "given" and not _has_standard_errors(fit):
        notes.append(
            f"Standard errors of the shares take some evaluations of a large factor: "
            f"heritability({_related(fit)[0].name!r}) computes them."
        )
    if fit.optimum.verdict == "given" and fit.model.k:
        notes.append("Theta was given, not estimated.")
    if fit.phi_given:
        notes.append(f"Of the residual structure {', '.join(fit.phi_given)} was given, not estimated.")
    if fit.model.sigma is not None:
        notes.append("The residual standard deviation was given, not estimated.")
    return notes


def _across(fit: Fitted) -> list[str]:
    """Factors of the model whose cells with the residuals' groups could be groups themselves, where no time tells."""
    structure = fit.model.residual
    if structure is None or structure.group is None or not structure.absorbs_intercept:
        return []
    codes = {term.group: term.first_codes for term in fit.model.terms}
    if fit.specification is not None:
        owners = np.array(fit.specification.column_terms)
        for name in map(deparse, fit.specification.codings):
            columns = fit.model.X[:, np.flatnonzero(owners == name)] if owners.size == fit.model.X.shape[1] else None
            if columns is not None and columns.shape[1]:
                codes.setdefault(name, np.unique(columns, axis=0, return_inverse=True)[1].ravel())
    return [name for name, of in codes.items() if runs_across(structure.group, of)]


def boundary(fit: Fitted) -> list[str]:
    """Say for each zero on a diagonal of T which variance is zero, or which coefficients are tied together.

    T[i, i] = 0 with the rest of its row not zero: b_i is a linear function of b_1 ... b_(i-1).
    """
    found, fit = [], fit.determined
    for term, T, (edge, zero) in zip(fit.model.terms, fit.model.T(fit.theta), _edges(fit), strict=True):
        for i in np.flatnonzero(edge).tolist():
            earlier = [j for j in range(i) if not zero[j]]
            if zero[i] or not earlier:
                found.append(f"the variance of {term.columns[i]} by {term.name} is zero")
            elif len(earlier) == 1:
                sign = "+" if T[i] @ T[earlier[0]] > 0 else "-"
                pair = f"{term.columns[earlier[0]]} and {term.columns[i]}"
                found.append(f"the correlation of {pair} by {term.name} is {sign}1")
            else:
                others = ", ".join(term.columns[j] for j in earlier)
                found.append(f"{term.columns[i]} by {term.name} is determined by {others}")
    return found or [f"{name} is at its bound" for name in fit.optimum.boundary]


def _edges(fit: Fitted) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each term which coefficients (q,) earlier ones determine, and which of them are zero."""
    objective, coordinates = fit.objective.in_axes, fit.model.coordinates
    found = []
    T = fit.model.T(coordinates.inner(fit.theta) * objective.theta_scale)
    for one, axes in zip(T, coordinates.axes, strict=True):
        if axes is None:
            found.append((np.abs(np.diag(one)) < _ZERO, np.linalg.norm(one, axis=1) < _ZERO))
        else:
            at = tied(one, axes)
            found.append((at.determined, at.zero))
    return found


# -- how numbers and tables are written ------------------------------------------------------------------------------


def _spec(values: Iterable[float], digits: int = _DIGITS) -> str:
    """R's common format of a column of numbers, as a format specification.

    The smallest number shows ``digits`` significant digits; fixed or scientific notation, whichever is shorter.

    Examples
    --------
    >>> _spec([612.1, 35.0717, 654.94]), _spec([1e-9, 2.5e-10])
    ('.2f', '.1e')
    """
    parts = [f"{abs(value):.{digits - 1}e}".split("e") for value in values if math.isfinite(value)]
    if not parts:
        return ".0f"
    significant = [len(mantissa.replace(".", "").rstrip("0")) or 1 for mantissa, _ in parts]
    exponents = [int(exponent) for _, exponent in parts]
    decimals = max(max(s - 1 - e, 0) for s, e in zip(significant, exponents, strict=True))
    width_fixed = max(max(exponents), 0) + 1 + (decimals + 1 if decimals else 0)
    width_scientific = max(significant) + (max(significant) > 1) + len("e+00")
    return f".{decimals}f" if width_fixed <= width_scientific else f".{max(significant) - 1}e"


def _column(values: Sequence[float]) -> list[str]:
    spec = _spec(values)
    return [_number(value, spec) for value in values]


def _number(value: float, spec: str) -> str:
    return f"{value:{spec}}" if math.isfinite(value) else str(float(value)).replace("nan", "NaN")


def _fixed_point(value: float, decimals: int) -> str:
    return _number(round(float(value), decimals) + 0.0, f".{decimals}f")  # + 0.0: no "-0.00"


def _text_table(rows: Sequence[Row], *, left: int, indent: str = "") -> str:
    """Cells under one another: the first ``left`` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        (indent + " ".join(f"{cell:{'<' if c < left else '>'}{widths[c]}}" for c, cell in enumerate(row))).rstrip()
        for row in rows
    )


def _html_table(caption: str, rows: Sequence[Row], *, left: int) -> str:
    def line(tag: str, row: Row) -> str:
        cells = (
            f'<{tag} style="text-align:{"left" if c < left else "right"}">{escape(cell)}</{tag}>'
            for c, cell in enumerate(row)
        )
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(line("td", row) for row in rows[1:])
    return f"<table><caption>{caption}</caption><thead>{line('th', rows[0])}</thead><tbody>{body}</tbody></table>"


def _abbreviated(names: Sequence[str], length: int) -> list[str]:
    """Names cut to about ``length`` characters, longer where two would read alike."""
    short = [_abbreviate(name, length) for name in names]
    while len(set(short)) < len(set(names)) and length < max(map(len, names)):
        length += 1
        short = [
            _abbreviate(name, length) if short.count(text) > 1 else text
            for name, text in zip(names, short, strict=True)
        ]
    return short


def _abbreviate(name: str, length: int) -> str:
    """Drop lower-case vowels from the end, then lower-case letters, never the first of a word; as R does.

    Examples
    --------
    >>> _abbreviate("(Intercept)", 6), _abbreviate("MachineB", 6), _abbreviate("Days", 6)
    ('(Intr)', 'MachnB', 'Days')
    """
    for droppable in ("[aeiou]", "[a-z]"):
        for found in reversed(list(re.finditer(rf"(?<=[A-Za-z]){droppable}", name))):
            if len(name) <= length:
                return name
            name = name[: found.start()] + name[found.end() :]
    return name
