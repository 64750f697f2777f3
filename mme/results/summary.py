"""A fit as text and as HTML, laid out as readers of lme4's output know it.

Both are made from the same rows of cells, so that a notebook and a terminal show the same digits.
"""

from __future__ import annotations

import textwrap
from html import escape

from mme.fitted.record import Fitted
from mme.results.fixed_tests import FixedTests
from mme.results.notes import notes_of
from mme.results.summary_rows import (
    correlation_text,
    counts,
    criterion_rows,
    criterion_text,
    fixed_rows,
    further_fixed,
    random_rows,
    random_title,
    ratio_rows,
    residual_rows,
    source,
    title,
)
from mme.results.text import WIDTH, html_table, text_table

_RATIOS = "Shares of the variance of the records"


def summary_text(fit: Fitted, tests: FixedTests) -> str:
    """Title, criterion, residuals, random effects, fixed effects, and notes on what is unusual."""
    parts = [
        "\n".join([title(fit), *source(fit, fit.model.weights)]),
        criterion_text(fit),
        *([] if fit.model.compressed else [f"Scaled residuals:\n{text_table(residual_rows(fit), left=0)}"]),
        f"{random_title(fit)}:\n{text_table(random_rows(fit), left=2, indent=' ')}\n{counts(fit)}",
    ]
    if ratios := ratio_rows(fit):
        parts.append(f"{_RATIOS}:\n{text_table(ratios, left=2, indent=' ')}")
    if fit.fixed_names:
        more = further_fixed(fit)
        parts.append(f"{tests.title}:\n{text_table(fixed_rows(fit, tests), left=1)}{more and chr(10) + more}")
    if len(fit.fixed_names) > 1:
        parts.append(correlation_text(fit))
    return paragraphs(parts, [*notes_of(fit), *tests.notes])


def paragraphs(parts: list[str], notes: list[str]) -> str:
    """The parts of a summary under one another, its notes as the last."""
    wrapped = [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes]
    return "\n\n".join([*parts, "\n".join(wrapped)]).rstrip("\n") + "\n"


def summary_html(fit: Fitted, tests: FixedTests) -> str:
    """The same tables as HTML, for a notebook."""
    head = "<br>".join([f"<b>{escape(title(fit))}</b>", *map(escape, source(fit, fit.model.weights))])
    criterion = "; ".join(f"{name} {value}" for name, value in zip(*criterion_rows(fit), strict=True))
    parts = [f"<p>{head}</p>", f"<p>{escape(criterion)}</p>", html_table(random_title(fit), random_rows(fit), left=2)]
    lines = escape(counts(fit)).replace("\n  ", " ").replace("\n", "<br>")
    parts.append(f"<p>{lines}</p>")
    if ratios := ratio_rows(fit):
        parts.append(html_table(_RATIOS, ratios, left=2))
    if fit.fixed_names:
        parts.append(html_table(tests.title, fixed_rows(fit, tests), left=1))
        parts += [f"<p>{escape(more)}</p>"] if (more := further_fixed(fit)) else []
    parts += [f"<p>{escape(note)}</p>" for note in [*notes_of(fit), *tests.notes]]
    return f"<div>{''.join(parts)}</div>"
