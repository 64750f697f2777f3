"""A generalised fit as one HTML file: tables, what is unusual, and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape

from mme.diagnosis.generalised import diagnose_generalised
from mme.files.report import FACTORS, figure_html, frame_html, note, write_page
from mme.fitted.effects import effects
from mme.fitted.generalised import GeneralisedFitted
from mme.inference.fixed.shown import generalised_fixed_tests
from mme.plot import GeneralisedPlots
from mme.plot.style import LINES
from mme.results.generalised_summary import summary_html
from mme.results.shares import variances

_COUNTS = ("poisson", "nbinom1", "nbinom2")


def write_generalised_report(fit: GeneralisedFitted, path: str | os.PathLike[str], *, title: str | None) -> None:
    """Write the fit as one HTML file: summary, diagnosis and pictures (``pip install mme[plot]``)."""
    parts = [
        summary_html(fit, generalised_fixed_tests(fit)),
        "<h2>What is unusual</h2>",
        diagnose_generalised(fit)._repr_html_(),
        "<h2>Variance</h2>",
        frame_html(variances(fit), "Four variances that are easily confused, on the scale of the link"),
        "<p>prior: the variance component; of_blups: mean square of the modes, less than the prior because they are "
        "shrunken; mean_condvar: what a level's data leave unknown at the estimated parameters; mean_pev: the same "
        "with the uncertainty of these.</p>",
    ]
    write_page(fit, path, title, [*parts, *_pictures(fit)])


def _pictures(fit: GeneralisedFitted) -> Iterator[str]:
    plot = GeneralisedPlots(fit)
    for one in effects(fit.model)[:FACTORS]:
        yield f"<h2>{escape(one.name)}: {one.n_levels:,} levels</h2>"
        yield figure_html(
            plot.caterpillar(one.name),
            "Modes with 95% intervals (prediction error variance), on the scale of the link."
            + note(one.n_levels > LINES, "Mean and range of the intervals over runs of neighbouring levels."),
        )
    yield "<h2>Residuals</h2>"
    yield figure_html(
        plot.binned(), "Means of residuals over runs of records by their fitted mean; 19 of 20 lie inside the band."
    )
    yield figure_html(plot.qq(), "Randomised quantile residuals: normal if the model holds, whatever the family.")
    if fit.family.name == "binomial":
        yield figure_html(plot.calibration(), "Observed proportions against fitted ones, over runs of records.")
    elif fit.family.name in _COUNTS:
        yield figure_html(plot.rootogram(), "Counts observed and expected, as square roots.")
