"""Pictures on dark paper: drawn as on white, and then their greys exchanged for ones that are seen there."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.plot.style import BLUE, CELLS, GREY, INK, LIGHT, is_dark

# What stands on white, and on dark paper in its place; the other colours are seen on both.
_DARK = {INK: "#e6e6e6", GREY: "#9a9a9a", LIGHT: "#4a4a4a", "#ffffff": "#161616", BLUE: "#56a9e0"}
_SPARSE = "#2b2b2b"
_KINDS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def on_its_paper(drawn: Any) -> Any:
    """The axes that were drawn; where the user's paper is dark, with the colours of everything on them exchanged."""
    axes = [ax for ax in np.ravel(np.asarray(drawn, dtype=object)).tolist() if hasattr(ax, "figure")]
    if not axes or not is_dark():
        return drawn
    for ax in axes:
        for artist in [*ax.get_children(), *(ax.get_legend().findobj() if ax.get_legend() else [])]:
            if artist is not ax.patch:
                _exchange(artist)
                if (box := getattr(artist, "get_bbox_patch", lambda: None)()) is not None:
                    _exchange(box)
        for image in ax.images:
            _brighten(image)
    return drawn


def _brighten(image: Any) -> None:
    """Cells shaded from faint to dense: from dark to bright."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    if image.get_cmap().name == CELLS:
        dense = to_hex(image.get_cmap()(1.0))
        image.set_cmap(LinearSegmentedColormap.from_list(CELLS, [_SPARSE, _DARK.get(dense, dense)]))


def _exchange(artist: Any) -> None:
    """Greys of white paper on one artist."""
    from matplotlib.colors import to_rgb, to_rgba_array

    swaps = [(np.array(to_rgb(old)), np.array(to_rgb(new))) for old, new in _DARK.items()]
    for kind in _KINDS:
        get, put = getattr(artist, f"get_{kind}", None), getattr(artist, f"set_{kind}", None)
        if get is None or put is None:
            continue
        try:
            colours = to_rgba_array(get())
        except (TypeError, ValueError):  # no colour: a map of them, or "auto"
            continue
        changed = colours.copy()
        for old, new in swaps:
            changed[np.isclose(colours[:, :3], old, atol=2e-3).all(axis=1), :3] = new
        if not np.array_equal(changed, colours):
            put(changed if len(changed) > 1 else changed[0])
