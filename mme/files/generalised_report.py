"""A generalised fit as one HTML file: tables, what is unusual, and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from typing import Any

from mme.diagnosis.generalised import diagnose_generalised
from mme.files.page import Section, figure_html, frame_html, note, write_page
from mme.files.report import FACTORS
from mme.files.told import effect_pictures, session_html
from mme.fitted.effects import Effects, effects
from mme.fitted.generalised import GeneralisedFitted
from mme.inference.fixed.shown import generalised_fixed_tests
from mme.numeric.bars import Progress
from mme.paper.methods_text import methods_text
from mme.plot import GeneralisedPlots
from mme.plot.style import LINES
from mme.results.generalised_summary import summary_html
from mme.results.shares import variances

_COUNTS = ("poisson", "nbinom1", "nbinom2")


def write_generalised_report(
    fit: GeneralisedFitted,
    path: str | os.PathLike[str],
    *,
    title: str | None,
    table: Any = None,
    progress: Progress = False,
) -> None:
    """Write the fit as one HTML file: summary, effects, checks, pictures, methods (``pip install mme[plot]``)."""
    plot = GeneralisedPlots(fit, table)
    factors = [
        Section(f"{one.name}: {one.n_levels:,} levels", (_factor_picture(plot, each) for each in [one]))
        for one in effects(fit.model)[:FACTORS]
    ]
    write_page(
        fit,
        path,
        title,
        [
            Section("Summary", [summary_html(fit, generalised_fixed_tests(fit))]),
            Section("Effects", effect_pictures(fit, plot)),
            Section("Checks", _checks(fit, plot)),
            Section("Variance", _variance(fit)),
            *factors,
            Section("Methods", [f"<p>{escape(methods_text(fit, 'none'))}</p>"]),
            Section("Session", [session_html()], folded=True),
        ],
        progress,
    )


def _checks(fit: GeneralisedFitted, plot: GeneralisedPlots) -> Iterator[str]:
    yield "<h3>What is unusual</h3>"
    yield diagnose_generalised(fit)._repr_html_()
    yield from _residual_pictures(fit, plot)


def _variance(fit: GeneralisedFitted) -> Iterator[str]:
    yield frame_html(variances(fit), "Four variances that are easily confused, on the scale of the link")
    yield (
        "<p>prior: the variance component; of_blups: mean square of the modes, less than the prior because they are "
        "shrunken; mean_condvar: what a level's data leave unknown at the estimated parameters; mean_pev: the same "
        "with the uncertainty of these.</p>"
    )


def _factor_picture(plot: GeneralisedPlots, one: Effects) -> str:
    return figure_html(
        plot.caterpillar(one.name),
        "Modes with 95% intervals (prediction error variance), on the scale of the link."
        + note(one.n_levels > LINES, "Mean and range of the intervals over runs of neighbouring levels."),
    )


def _residual_pictures(fit: GeneralisedFitted, plot: GeneralisedPlots) -> Iterator[str]:
    yield figure_html(
        plot.binned(), "Means of residuals over runs of records by their fitted mean; 19 of 20 lie inside the band."
    )
    yield figure_html(plot.qq(), "Randomised quantile residuals: normal if the model holds, whatever the family.")
    if fit.family.name == "binomial":
        yield figure_html(plot.calibration(), "Observed proportions against fitted ones, over runs of records.")
    elif fit.family.name in _COUNTS:
        yield figure_html(plot.rootogram(), "Counts observed and expected, as square roots.")
