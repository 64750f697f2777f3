"""A generalised fit as text and as HTML, laid out as readers of glmer's output know it."""

from __future__ import annotations

from html import escape

from mme.fitted.generalised import GeneralisedFitted
from mme.results.fixed_tests import FixedTests
from mme.results.generalised_notes import notes_of
from mme.results.generalised_rows import TITLE, parameter_line, residual_rows, source
from mme.results.summary import paragraphs
from mme.results.summary_rows import correlation_text, fixed_rows, likelihood_rows, random_rows, sizes
from mme.results.text import html_table, text_table


def summary_text(fit: GeneralisedFitted, tests: FixedTests) -> str:
    """Title, likelihood, residuals, random effects, fixed effects, and notes on what is unusual."""
    random = "\n".join([text_table(random_rows(fit), left=2, indent=" "), *sizes(fit), *parameter_line(fit)])
    parts = [
        "\n".join([TITLE, *source(fit)]),
        text_table(likelihood_rows(fit), left=0),
        f"Scaled residuals:\n{text_table(residual_rows(fit), left=0)}",
        f"Random effects:\n{random}",
    ]
    if fit.fixed_names:
        parts.append(f"{tests.title}:\n{text_table(fixed_rows(fit, tests), left=1)}")
    if len(fit.fixed_names) > 1:
        parts.append(correlation_text(fit))
    return paragraphs(parts, [*notes_of(fit), *tests.notes])


def summary_html(fit: GeneralisedFitted, tests: FixedTests) -> str:
    """The same tables as HTML, for a notebook."""
    head = "<br>".join([f"<b>{escape(TITLE)}</b>", *map(escape, source(fit))])
    likelihood = "; ".join(f"{name} {value}" for name, value in zip(*likelihood_rows(fit), strict=True))
    counts = "<br>".join(map(escape, [*sizes(fit), *parameter_line(fit)]))
    parts = [f"<p>{head}</p>", f"<p>{escape(likelihood)}</p>"]
    parts += [html_table("Random effects", random_rows(fit), left=2), f"<p>{counts}</p>"]
    if fit.fixed_names:
        parts.append(html_table(tests.title, fixed_rows(fit, tests), left=1))
    parts += [f"<p>{escape(note)}</p>" for note in [*notes_of(fit), *tests.notes]]
    return f"<div>{''.join(parts)}</div>"
