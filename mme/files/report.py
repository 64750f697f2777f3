"""A fit as one HTML file: tables, what is unusual, and pictures; nothing outside the file is needed to read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from typing import Any

from mme.diagnosis.checks import diagnose
from mme.diagnosis.residuals import kind_at_hand
from mme.files.page import Section, figure_html, figure_or_reason, frame_html, note, write_page
from mme.files.told import DRAWN, effect_pictures, session_html, words_html
from mme.fitted.effects import Effects, effects
from mme.fitted.record import Fitted
from mme.inference.fixed.shown import fixed_tests
from mme.numeric.bars import Progress
from mme.paper.methods_text import methods_text
from mme.plot import Plots
from mme.plot.groups import has_covariate
from mme.plot.pictured import Pictured
from mme.plot.residuals import QUANTILES
from mme.plot.style import LINES, POINTS
from mme.results.shares import variances
from mme.results.summary import summary_html

# Grouping factors that get pictures of their own.
FACTORS = 3


def write_report(
    fit: Fitted,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    table: Any = None,
    progress: Progress = False,
) -> None:
    """Write the fit as one HTML file: summary, effects, checks, pictures, methods (``pip install mme[plot]``)."""
    plot = Plots(fit, table)
    factors = [
        Section(f"{one.name}: {one.n_levels:,} levels", _factor_pictures(plot, one))
        for one in effects(fit.model)[:FACTORS]
    ]
    write_page(
        fit,
        path,
        title,
        [
            Section("Summary", [summary_html(fit, fixed_tests(fit))]),
            Section("Effects", effect_pictures(fit, plot)),
            Section("Checks", _checks(fit, plot)),
            Section("Variance", _variance(fit, plot)),
            *factors,
            Section("Observed and fitted", _group_pictures(fit, plot)),
            Section("Methods", [f"<p>{escape(methods_text(fit, 'satterthwaite'))}</p>"]),
            Section("Session", [session_html()], folded=True),
        ],
        progress,
    )


def _checks(fit: Fitted, plot: Plots) -> Iterator[str]:
    yield "<h3>What is unusual</h3>"
    yield diagnose(fit)._repr_html_()
    yield from words_html(fit)
    yield from _residual_pictures(fit, plot)


def _variance(fit: Fitted, plot: Plots) -> Iterator[str]:
    yield frame_html(variances(fit), "Four variances that are easily confused")
    yield (
        "<p>prior: the variance component; of_blups: mean square of the BLUPs, less than the prior because they are "
        "shrunken; mean_condvar: what a level's data leave unknown at the estimated fixed effects; mean_pev: the same "
        "with the uncertainty of the fixed effects.</p>"
    )
    yield figure_html(plot.variance(), "Shares of the variance of the records (Nakagawa, Schielzeth and Johnson).")


def _group_pictures(fit: Fitted, plot: Plots) -> Iterator[str]:
    if has_covariate(Pictured(fit, plot.table)):
        cells = note(
            fit.model.n > POINTS,
            "Of many groups and records an evenly spaced part is drawn, or cells shaded by their number.",
        )
        yield figure_html(plot.groups(), "Records and fitted lines of the groups." + cells)


def _residual_pictures(fit: Fitted, plot: Plots) -> Iterator[str]:
    kind = kind_at_hand(fit)
    cells = note(fit.model.n > POINTS, "Cells are shaded by the logarithm of their number of records.")
    yield figure_html(
        plot.residuals(kind), f"{kind.capitalize()} residuals: median and quartiles should run level." + cells
    )
    yield figure_html(
        plot.qq(kind=kind),
        f"{kind.capitalize()} residuals against the normal distribution, with a 95% band for each point."
        + note(fit.model.n > QUANTILES, _THINNED),
    )
    yield figure_html(plot.predictive(), DRAWN)


_THINNED = "All points of the tails are drawn, and an evenly spaced part of the others."


def _factor_pictures(plot: Plots, one: Effects) -> Iterator[str]:
    name, count = one.name, one.n_levels
    yield figure_html(
        plot.caterpillar(name),
        "BLUPs with 95% intervals (prediction error variance)."
        + note(count > LINES, "Mean and range of the intervals over runs of neighbouring levels."),
    )
    yield figure_or_reason(
        lambda: plot.shrinkage(name),
        "From each level's own estimate to its BLUP: the less a level's data say, the further it is drawn."
        + note(count > POINTS, "An evenly spaced part of the levels is drawn."),
    )
    yield figure_html(plot.qq(name), "BLUPs against the normal distribution." + note(count > QUANTILES, _THINNED))
