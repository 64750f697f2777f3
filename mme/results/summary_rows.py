"""The lines of a summary and the cells of its tables; text and HTML are made of the same ones."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.results.fixed_tests import FixedTests
from mme.results.genetics import heritabilities, is_quick
from mme.results.text import (
    WIDTH,
    Row,
    abbreviated,
    column,
    column_format,
    fixed_point,
    formatted,
    freedoms,
    p_values,
    text_table,
)

if TYPE_CHECKING:
    from mme.model.term import Term
    from mme.residual import Bound

# A correlation matrix of more fixed effects than this does not fit on a line.
_MOST_CORRELATIONS = 12
# Coefficients of one variance beyond which a row says how many there are.
_MOST_COEFFICIENTS = 3
# Parameters of a residual structure beyond which a summary is no place for them.
_MOST_PARAMETERS = 8
# Fixed effects of a wide X that have a row.
_MOST_ROWS = 20


def title(fit: Fitted) -> str:
    """The kind of model and how it was estimated."""
    how = "REML" if fit.method == "REML" else "maximum likelihood"
    if not fit.model.terms and fit.model.residual is None:
        return f"Linear model fit by least squares ({how})"
    return f"Linear mixed model fit by {how}"


def random_title(fit: Fitted) -> str:
    """The title of the table of variances."""
    return "Random effects" if fit.model.terms else "Residuals"


def source(fit: Record, weights: np.ndarray | None, called: str = "Weights") -> list[str]:
    """The formula or the response, and the ranges of weights and offset, a line each."""
    head = f"Formula: {fit.formula}" if fit.formula else f"Response: {fit.model.response}"
    lines = textwrap.wrap(head, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    for what, values in ((called, weights), ("Offset", fit.model.offset)):
        if values is not None:
            lines.append(f"{what}: {values.min():.4g} to {values.max():.4g}")
    return lines


def criterion_rows(fit: Fitted) -> tuple[Row, Row]:
    """Names and values: the REML criterion, or by ML the log-likelihood, AIC and BIC."""
    if fit.method == "REML":
        where = "at the given theta" if fit.optimum.verdict == "given" and fit.model.k else "at convergence"
        return (f"REML criterion {where}:",), (f"{fit.criterion:.4f}",)
    return likelihood_rows(fit)


def likelihood_rows(fit: Record) -> tuple[Row, Row]:
    """Names and values of the log-likelihood and of what is computed from it."""
    values = {"AIC": fit.aic, "BIC": fit.bic, "logLik": fit.loglik, "deviance": fit.criterion}
    return (*values, "df.resid"), (*(fixed_point(value, 4) for value in values.values()), str(fit.nobs - fit.dof))


def criterion_text(fit: Fitted) -> str:
    """The criterion in a line, or the table of several."""
    names, values = criterion_rows(fit)
    return f"{names[0]} {values[0]}" if len(names) == 1 else text_table([names, values], left=0)


def residual_rows(fit: Fitted) -> list[Row]:
    """Quantiles of (y - fitted) / sd(e), of each record by its weight and the variance that R gives it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return quantile_rows((fit.model.y - fit.estimates.fitted) / fit.estimates.record_sd)


def quantile_rows(residuals: np.ndarray) -> list[Row]:
    """The extremes, the quartiles and the median of scaled residuals."""
    quantiles = np.quantile(residuals, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
    return [("Min", "1Q", "Median", "3Q", "Max"), tuple(fixed_point(value, 4) for value in quantiles)]


def random_rows(fit: Record) -> list[Row]:
    """One row per standard deviation; correlations as a lower triangle to the right, where there are any."""
    names, sd, corr = list[tuple[str, str]](), list[float](), list[Row]()
    for (group, part), structure in zip(fit.varcorr.items(), fit.model.structures, strict=True):
        many = structure.is_spherical and len(part.names) > _MOST_COEFFICIENTS
        for i, name in enumerate([f"{len(part.names)} coefficients"] if many else part.names):
            names.append((group if i == 0 else "", name))
            sd.append(part.sd[i])
            correlated = i if structure.correlated else 0
            corr.append(tuple(fixed_point(part.corr[i, j], 2) for j in range(correlated)))
    if fit.varcorr.sigma is not None:
        names.append(("Residual", ""))
        sd.append(fit.varcorr.sigma)
        corr.append(())
    numbers = zip(column([s * s for s in sd]), column(sd), strict=True)
    columns = max(map(len, corr))
    header = ("Groups", "Name", "Variance", "Std.Dev.", *(["Corr", *[""] * (columns - 1)] if columns else []))
    rows = [
        (*name, *number, *beside, *[""] * (columns - len(beside)))
        for name, number, beside in zip(names, numbers, corr, strict=True)
    ]
    return [header, *rows]


def ratio_rows(fit: Fitted) -> list[Row]:
    """Heritabilities and genetic correlations: a share of the variance for each coefficient of related levels."""
    if not related_terms(fit) or fit.model.compressed is not None:
        return []
    around = fit.local if has_standard_errors(fit) else None
    found = [
        (term.name, label, ratio, se)
        for term in related_terms(fit)
        for ratios in (heritabilities(fit, around, term.name),)
        for label, ratio, se in zip(ratios.labels, ratios.estimate.tolist(), ratios.se.tolist(), strict=True)
    ]
    terms, labels, values, errors = zip(*found, strict=True)
    names = [
        (name if name not in terms[:i] else "", label)
        for i, (name, label) in enumerate(zip(terms, labels, strict=True))
    ]
    if around is None:
        return [("", "", "Estimate"), *((*name, cell) for name, cell in zip(names, column(values), strict=True))]
    spec = column_format([se for se in errors if math.isfinite(se)] or values, 2)
    numbers = [(formatted(value, spec), formatted(se, spec)) for value, se in zip(values, errors, strict=True)]
    return [("", "", "Estimate", "Std. Error"), *((*name, *pair) for name, pair in zip(names, numbers, strict=True))]


def related_terms(fit: Fitted) -> list[Term]:
    """The terms whose levels are related by a matrix that is known, as a pedigree's."""
    related = [term for term in fit.model.terms if term.relationship is not None]
    return [term for term in related if term.parametric is None]


def has_standard_errors(fit: Fitted) -> bool:
    """Whether shares get standard errors: something was estimated, and the Hessian is known or quickly computed."""
    return fit.optimum.verdict != "given" and ("local" in vars(fit) or is_quick(fit.objective))


def counts(fit: Fitted) -> str:
    """Numbers of records and levels, and the structures among them, a line each."""
    return "\n".join([*sizes(fit), *_structure_lines(fit)])


def sizes(fit: Record) -> list[str]:
    """Numbers of records and levels, and the parameters of relationships, a line each."""
    groups = {term.group: term.n_levels for term in fit.model.terms}
    listed = "; ".join(f"{name}, {count}" for name, count in groups.items())
    counts = f"Number of obs: {fit.nobs}" + (f", groups: {listed}" if groups else "")
    return [counts, *_relationship_lines(fit)]


def _structure_lines(fit: Fitted) -> list[str]:
    """The residual structure and its parameters, in one line where they are few."""
    if fit.model.residual is None:
        return []
    values = [f"{name} {value:.4g}" for name, value in fit.residual.items()]
    if len(values) > _MOST_PARAMETERS:
        values = [*values[:_MOST_PARAMETERS], f"and {len(values) - _MOST_PARAMETERS} more: see residual"]
    text = f"Residual structure: {fit.model.residual.kind}; {', '.join(values)}{_group_sizes(fit.model.residual)}"
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False)


def _group_sizes(structure: Bound) -> str:
    """How many groups the residuals have, and of how many records: a wrong grouping shows here."""
    if structure.group is None:
        return ""
    sizes = np.bincount(structure.group)
    many = f"{sizes.size} groups" if sizes.size > 1 else "1 group"
    return f"; {many} of {'up to ' if sizes.min() < sizes.max() else ''}{sizes.max()} records"


def _relationship_lines(fit: Record) -> list[str]:
    """One line per relationship with parameters."""
    named = {term: [f"{name} {value:.5g}" for name, value in part.items()] for term, part in fit.relationships.items()}
    return [f"Relationship of {term}: {', '.join(values)}" for term, values in named.items()]


def fixed_rows(fit: Record, tests: FixedTests) -> list[Row]:
    """Estimates with their tests; standard errors decide how many decimals are shown, as further ones are noise.

    Of a wide X the first columns alone have a row.
    """
    few = slice(_MOST_ROWS if fit.model.is_wide else None)
    beta, se, spec = fit.estimates.beta[few].tolist(), tests.se[few], column_format(tests.se[few])
    columns = [
        [formatted(b, spec) for b in beta],
        [formatted(s, spec) for s in se.tolist()],
        [] if tests.df is None else freedoms(tests.df[few]),
        [fixed_point(t, 3) for t in tests.statistic[few].tolist()],
        [] if tests.p is None else p_values(tests.p[few]),
    ]
    titles = ("Estimate", "Std. Error", "df", f"{tests.symbol} value", f"Pr(>|{tests.symbol}|)")
    shown = [(title, cells) for title, cells in zip(titles, columns, strict=True) if cells]
    rows = zip(fit.fixed_names[few], *(cells for _, cells in shown), strict=True)
    return [("", *(title for title, _ in shown)), *rows]


def further_fixed(fit: Record) -> str:
    """How many fixed effects of a wide X have no row; empty where all have one."""
    more = len(fit.fixed_names) - _MOST_ROWS
    return f"and {more:,} more: see coefficients()" if fit.model.is_wide and more > 0 else ""


def correlation_text(fit: Record) -> str:
    """The correlations of the fixed effects as a lower triangle."""
    p = len(fit.fixed_names)
    if p > _MOST_CORRELATIONS:
        where = "contrast" if fit.model.is_wide else "beta_cov"
        return f"Correlation of fixed effects: not shown, as there are {p}; see {where}."
    cov = fit.estimates.beta_cov
    sd = np.sqrt(np.diag(cov))
    with np.errstate(invalid="ignore"):
        corr = cov / np.outer(sd, sd)
    header = ("", *abbreviated(fit.fixed_names, 6)[:-1])
    labels = abbreviated(fit.fixed_names, 11)
    rows = [(labels[i], *(fixed_point(corr[i, j], 3) for j in range(i)), *[""] * (p - 1 - i)) for i in range(1, p)]
    table = text_table([header, *rows], left=1)
    if max(map(len, table.split("\n"))) > WIDTH:
        return "Correlation of fixed effects: not shown, wider than a line; see beta_cov."
    return f"Correlation of fixed effects:\n{table}"
