"""What a search tells while it runs: a bar, one line per evaluation, or the caller's own function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from mme.numeric.bars import ProgressBar, is_shown, is_watched
from mme.search.searched import Searched

# Called with the number of an evaluation, the criterion and the coordinates of what is searched.
Report = Callable[[int, float, np.ndarray], None]
# What the user gives: whether to show a bar (lines, where nobody watches), or a function of (evaluation,
# criterion, parameters).
Progress = bool | Callable[[int, float, np.ndarray], None]


class Watched:
    """A bar of a search: evaluations, and the lowest criterion so far."""

    def __init__(self, bar: ProgressBar) -> None:
        self.bar, self.lowest = bar, np.inf

    def __call__(self, evaluation: int, value: float, x: Any) -> None:
        """Move the bar to an evaluation, and show the lowest criterion so far."""
        self.lowest = min(self.lowest, value)
        self.bar.to(evaluation, f"criterion {self.lowest:.6f}")


def finished(report: Callable[..., None] | None) -> None:
    """Close the bar of a report."""
    if isinstance(report, Watched):
        report.bar.close()


def reporter(progress: Progress, searched: Searched) -> Report | None:
    """Make the function of (evaluation, value, x) that shows progress in the user's columns; None for silence."""

    def parameters(x: np.ndarray) -> np.ndarray:
        """(theta, phi) in the user's columns; of what is searched, where theta is given."""
        model, free, at = searched.model, searched.free, searched.parameters(x)
        if model.k and not free[: model.k].any():
            return at[free]
        return np.concatenate([model.coordinates.outer(at[: model.k]), at[model.k :]])

    return told(progress, parameters, "theta")


def told(progress: Progress, parameters: Callable[[Any], np.ndarray], called: str) -> Callable[..., None] | None:
    """Make the function of (evaluation, value, point) that shows progress; lines name the parameters as ``called``."""
    if not is_shown(progress, "(evaluation, criterion, parameters)"):
        return None
    if callable(progress):
        return lambda evaluation, value, point: progress(evaluation, value, parameters(point))
    if is_watched():
        return Watched(ProgressBar("fit"))

    def line(evaluation: int, value: float, point: Any) -> None:
        print(f"{evaluation:5d}  {value:18.8f}  {called} {np.round(parameters(point), 6).tolist()}", file=sys.stderr)

    return line
