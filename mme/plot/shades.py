"""Scales of colour: two hues on either side of the colour of the paper, or one hue that starts from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.plot.style import BLUE, VERMILION, is_dark

# The middle of a scale on white and on dark paper.
_PAPER, _NIGHT = "#f4f4f4", "#202020"


def diverging() -> Any:
    """A scale from vermilion, below zero, to blue, above it."""
    from matplotlib.colors import LinearSegmentedColormap

    middle = _NIGHT if is_dark() else _PAPER
    ends = ("#f08a4b", "#63b3ed") if is_dark() else (VERMILION, BLUE)
    return LinearSegmentedColormap.from_list("diverging", [ends[0], middle, ends[1]])


def sequential() -> Any:
    """A scale of one hue, from little to much."""
    from matplotlib import colormaps

    return colormaps["cividis"]


def limit(values: np.ndarray) -> float:
    """Where a scale about zero ends."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0
