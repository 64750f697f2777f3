"""A fit as one HTML file: tables, what is unusual, and pictures; nothing outside the file is needed to read it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.checks import diagnose
from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.effects import Effects, effects
from mme.fitted.record import Fitted
from mme.inference.fixed.shown import fixed_tests
from mme.plot import Plots
from mme.plot.residuals import QUANTILES
from mme.plot.style import LINES, POINTS, close, png
from mme.results.shares import variances
from mme.results.summary import summary_html
from mme.tables.arguments import path_of
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

# Grouping factors that get pictures of their own.
FACTORS = 3
_DPI = 110
_STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #222; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .15rem .9rem .15rem 0; border-bottom: 1px solid #e4e4e4; } th { font-weight: 600; color: #555; }
figure { margin: 1.2rem 0 1.8rem; } figcaption { color: #555; font-size: .92rem; max-width: 44rem; }
img { max-width: 100%; height: auto; } ol li p { margin: .2rem 0; }
@media print { body { max-width: none; margin: 0; } figure, table { break-inside: avoid; } }
"""


def write_report(fit: Fitted, path: str | os.PathLike[str], *, title: str | None = None) -> None:
    """Write the fit as one HTML file: summary, diagnosis and pictures (``pip install mme[plot]``)."""
    parts = [
        summary_html(fit, fixed_tests(fit)),
        "<h2>What is unusual</h2>",
        diagnose(fit)._repr_html_(),
        "<h2>Variance</h2>",
        frame_html(variances(fit), "Four variances that are easily confused"),
        "<p>prior: the variance component; of_blups: mean square of the BLUPs, less than the prior because they are "
        "shrunken; mean_condvar: what a level's data leave unknown at the estimated fixed effects; mean_pev: the same "
        "with the uncertainty of the fixed effects.</p>",
    ]
    write_page(fit, path, title, [*parts, *_pictures(fit)])


def write_page(fit: Record, path: str | os.PathLike[str], title: str | None, parts: Iterable[str]) -> None:
    """Write parts of HTML under a heading.

    Raises
    ------
    MMEError
        The title is no text, or the file cannot be written.
    """
    groups = ", ".join(dict.fromkeys(term.group for term in fit.model.terms))
    target = path_of(path)
    if title is not None and not isinstance(title, str):
        raise MMEError(f"title must be text or None, got {shown(title)}")
    heading = title or f"{fit.model.response}" + (f" by {groups}" if groups else "")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(heading)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join([f"<h1>{escape(heading)}</h1>", *parts])
        + "\n</body></html>\n"
    )
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise MMEError(f"cannot write {path}: {error.strerror}") from None


def _pictures(fit: Fitted) -> Iterator[str]:
    plot = Plots(fit)
    yield figure_html(plot.variance(), "Shares of the variance of the records (Nakagawa, Schielzeth and Johnson).")
    for one in effects(fit.model)[:FACTORS]:
        yield from _factor_pictures(plot, one)
    if fit.model.terms and _has_covariate(fit):
        yield "<h2>Observed and fitted</h2>"
        cells = note(
            fit.model.n > POINTS, "Of many groups and records an even choice, or cells shaded by their number."
        )
        yield figure_html(plot.groups(), "Records and fitted lines of the groups." + cells)
    yield "<h2>Residuals</h2>"
    cells = note(fit.model.n > POINTS, "Cells are shaded by the logarithm of their number of records.")
    yield figure_html(plot.residuals(), "Standardised residuals: median and quartiles should run level." + cells)
    yield figure_html(
        plot.qq(),
        "Standardised residuals against the normal distribution, with 95% of each order statistic."
        + note(fit.model.n > QUANTILES, _THINNED),
    )


_THINNED = "Every point of the tails, an even choice between them."


def _factor_pictures(plot: Plots, one: Effects) -> Iterator[str]:
    name, count = one.name, one.n_levels
    yield f"<h2>{escape(name)}: {count:,} levels</h2>"
    yield figure_html(
        plot.caterpillar(name),
        "BLUPs with 95% intervals (prediction error variance)."
        + note(count > LINES, "Mean and range of the intervals over runs of neighbouring levels."),
    )
    yield figure_html(
        plot.shrinkage(name),
        "From each level's own estimate to its BLUP: the less a level's data say, the further it is drawn."
        + note(count > POINTS, "An even choice of the levels."),
    )
    yield figure_html(plot.qq(name), "BLUPs against the normal distribution." + note(count > QUANTILES, _THINNED))


def note(many: bool, text: str) -> str:
    """What a picture of much leaves out, as the end of its caption."""
    return f" {text}" if many else ""


def _has_covariate(fit: Fitted) -> bool:
    columns = [term.covariates for term in fit.model.terms if term.covariates is not None]
    columns += [] if fit.model.is_wide else [fit.model.X]
    return any((np.ptp(values, axis=0) > 0.0).any() for values in columns if values.size)


def figure_html(axes: Any, caption: str) -> str:
    """A picture as part of the page; ``caption`` stands below it, and for it where it is not seen."""
    figure = np.ravel(axes)[0].figure
    data = base64.b64encode(png(figure, _DPI)).decode()
    width = round(_DPI * float(figure.get_size_inches()[0]) / 1.25)
    close(figure)
    text = escape(caption)
    image = f'<img src="data:image/png;base64,{data}" width="{width}" alt="{text}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def frame_html(frame: pd.DataFrame, caption: str) -> str:
    """A table with numbers to five digits."""
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in frame.itertuples(index=False))
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td style="text-align:right">{f"{value:.5g}" if np.isfinite(value) else ""}</td>'
    return f"<td>{'' if value is None else escape(str(value))}</td>"
