"""A fit as text and as HTML, laid out as readers of lme4's output know it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from mme.fit import Fit


def summary_text(fit: Fit) -> str:
    """Title, criterion, residuals, random effects, fixed effects, and notes on what is unusual."""
    parts = [
        f"{_title(fit)}\n{_source(fit)}",
        _criterion_lines(fit),
        f"Scaled residuals:\n{_table_text(_scaled_residuals(fit))}",
        f"Random effects:\n{_random_text(fit)}\n{_counts(fit)}",
    ]
    if fit.fixed_names:
        parts.append(f"Fixed effects:\n{_table_text(_fixed_table(fit))}")
    if 1 < len(fit.fixed_names) <= 12:
        parts.append(f"Correlation of fixed effects:\n{_correlation_text(fit)}")
    return "\n\n".join([*parts, *_notes(fit)]) + "\n"


def summary_html(fit: Fit) -> str:
    """The same tables for a notebook."""
    random = fit.varcorr.to_frame().to_html(index=False, na_rep="", float_format="{:.5g}".format, border=0)
    fixed = _fixed_table(fit).to_html(float_format="{:.5g}".format, border=0)
    notes = "".join(f"<p>{escape(note)}</p>" for note in _notes(fit))
    return (
        f"<div><p><b>{escape(_title(fit))}</b><br>{escape(_source(fit))}</p><p>{escape(_criterion_lines(fit))}</p>"
        f"<p>Random effects</p>{random}<p>{escape(_counts(fit))}</p><p>Fixed effects</p>{fixed}{notes}</div>"
    )


def _title(fit: Fit) -> str:
    how = "REML" if fit.method == "REML" else "maximum likelihood"
    return f"Linear mixed model fit by {how}"


def _source(fit: Fit) -> str:
    return f"Formula: {fit.formula}" if fit.formula else f"Response: {fit.model.response}"


def _criterion_lines(fit: Fit) -> str:
    if fit.method == "REML":
        return f"REML criterion at convergence: {fit.criterion:.4f}"
    return (
        f"AIC {fit.aic:.4f}   BIC {fit.bic:.4f}   log-likelihood {fit.loglik:.4f}   "
        f"deviance {fit.criterion:.4f}   df.resid {fit.nobs - fit.dof}"
    )


def _scaled_residuals(fit: Fit) -> pd.DataFrame:
    import pandas as pd

    weights = fit.model.weights
    scaled = (fit.model.y - fit.estimates.fitted) / fit.sigma
    scaled = scaled if weights is None else scaled * np.sqrt(weights)
    quantiles = np.quantile(scaled, [0.0, 0.25, 0.5, 0.75, 1.0])
    return pd.DataFrame([quantiles], columns=["Min", "1Q", "Median", "3Q", "Max"], index=[""])


def _random_text(fit: Fit) -> str:
    """One row a standard deviation; correlations as a lower triangle to the right."""
    rows = [("Groups", "Name", "Variance", "Std.Dev.", "Corr")]
    for group, part in fit.varcorr.items():
        for i, name in enumerate(part.names):
            corr = "  ".join(f"{part.corr[i, j]:5.2f}" for j in range(i)) if np.tril(part.cov, -1).any() else ""
            rows.append((group if i == 0 else "", name, f"{part.sd[i] ** 2:.5g}", f"{part.sd[i]:.5g}", corr))
    rows.append(("Residual", "", f"{fit.sigma**2:.5g}", f"{fit.sigma:.5g}", ""))
    widths = [max(len(row[c]) for row in rows) for c in range(5)]
    aligned = [
        f" {row[0]:<{widths[0]}} {row[1]:<{widths[1]}} {row[2]:>{widths[2]}} {row[3]:>{widths[3]}} {row[4]}".rstrip()
        for row in rows
    ]
    return "\n".join(aligned)


def _counts(fit: Fit) -> str:
    groups = {term.group: term.n_levels for term in fit.model.terms}
    listed = "; ".join(f"{name}, {count}" for name, count in groups.items())
    return f"Number of obs: {fit.nobs}" + (f", groups: {listed}" if groups else "")


def _fixed_table(fit: Fit) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"Estimate": fit.beta, "Std. Error": fit.se, "t value": fit.beta / fit.se})


def _table_text(table: pd.DataFrame) -> str:
    """Columns in fixed notation with five significant digits of their smallest entry, as far as that stays readable."""
    formatted = {
        column: [_number(value, table[column].to_numpy()) for value in table[column]] for column in table.columns
    }
    labels = [str(label) for label in table.index]
    first = max(len(label) for label in labels)
    widths = [max(len(column), *(len(text) for text in texts)) for column, texts in formatted.items()]
    header = " " * first + "".join(f" {column:>{width}}" for column, width in zip(formatted, widths, strict=True))
    body = [
        f"{label:<{first}}"
        + "".join(f" {texts[i]:>{width}}" for texts, width in zip(formatted.values(), widths, strict=True))
        for i, label in enumerate(labels)
    ]
    return "\n".join([header, *body])


def _number(value: float, column: np.ndarray) -> str:
    sizes = np.abs(column[np.isfinite(column) & (column != 0)])
    if sizes.size == 0:
        return f"{value:g}"
    smallest, largest = float(sizes.min()), float(sizes.max())
    if smallest < 1e-5 or largest >= 1e7:
        return f"{value:.4e}"
    decimals = int(np.clip(4 - np.floor(np.log10(smallest)), 0, 7)) if smallest < 1 else 4 if largest < 1e4 else 2
    return f"{value:.{decimals}f}"


def _correlation_text(fit: Fit) -> str:
    cov = fit.estimates.beta_cov
    sd = np.sqrt(np.diag(cov))
    corr = cov / np.outer(sd, sd)
    names = [name if len(name) <= 12 else name[:11] + "~" for name in fit.fixed_names]
    width, first = max(6, *(len(name) for name in names[:-1])), max(map(len, names))
    header = " " * first + "".join(f" {name:>{width}}" for name in names[:-1])
    rows = [
        f"{names[i]:<{first}}" + "".join(f" {corr[i, j]:>{width}.3f}" for j in range(i)) for i in range(1, len(names))
    ]
    return "\n".join([header, *rows])


def _notes(fit: Fit) -> list[str]:
    """What a reader should know besides the numbers; empty for an ordinary fit."""
    notes = []
    if fit.n_dropped:
        notes.append(f"{fit.n_dropped} rows with missing values were left out.")
    if fit.dropped:
        notes.append(f"Fixed effects dropped, determined by earlier columns: {', '.join(fit.dropped)}.")
    if fit.singular:
        notes.append(
            "Singular fit, on the boundary of the model (a variance of zero or a correlation of one): "
            f"{', '.join(fit.optimum.boundary)} is zero. A valid result; a simpler random part would fit as well."
        )
    if fit.optimum.verdict in ("flat", "not converged"):
        notes.append(f"Optimum: {fit.optimum}.")
    if fit.optimum.verdict == "given" and fit.model.k:
        notes.append("Theta was given, not estimated.")
    if fit.model.sigma is not None:
        notes.append("The residual standard deviation was given, not estimated.")
    return notes
