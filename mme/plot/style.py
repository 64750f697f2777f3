"""How pictures look: one restrained style, colours that the colour-blind tell apart, and what is done with many points.

matplotlib is known to this folder alone, and imported when a picture is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.effects import Effects, named_effects

# Okabe and Ito's palette (2008), told apart with any colour vision and in print.
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
INK, GREY, LIGHT = "#222222", "#8c8c8c", "#d4d4d4"
# Lines that differ by a factor; beside the colour their marks differ, for print.
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "#6b4c9a")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
# A cell with one record; the name of their colours.
FAINT = "#eeeeee"
CELLS = "records"

# Up to here every level has a line of its own with its name; every point a mark; every line is drawn.
NAMED, POINTS, LINES = 60, 3000, 400
# Cells of a picture of more records, across and up; inches across a figure of panels; characters of a legend's row.
_CELLS, _WIDE, _LEGEND = (90, 64), 9.4, 72
# Of zlib: beyond it a picture takes longer and is hardly smaller.
_COMPRESSION = 3

_RC = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "normal",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in the user's names is one
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.solid_capstyle": "round",
    "figure.dpi": 100.0,
    "savefig.dpi": 150.0,
}


_RC_DARK = {
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor", "text.color"), "#e6e6e6"),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), "#9a9a9a"),
    "grid.color": "#333333",
}


def matplotlib() -> Any:
    """The library, or a sentence that says how to get it."""
    try:
        import matplotlib
    except ImportError:
        raise MMEError("pictures need matplotlib: pip install 'mme[plot]'") from None
    return matplotlib


def is_dark() -> bool:
    """Whether the user's settings of matplotlib have dark paper: ``plt.style.use("dark_background")``."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(matplotlib().rcParams["figure.facecolor"])
    return 0.3 * red + 0.59 * green + 0.11 * blue < 0.4


@contextmanager
def style() -> Iterator[None]:
    """The settings of all pictures, while one is drawn."""
    with matplotlib().rc_context(_RC | _RC_DARK if is_dark() else _RC):
        yield


def new_axes(rows: int, columns: int, size: tuple[float, float], **options: Any) -> np.ndarray:
    """A new figure's axes as an array (rows, columns); ``size`` in inches is that of the figure."""
    matplotlib()
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)
    return np.asarray(axes)


def one_axes(ax: Any, size: tuple[float, float]) -> Any:
    """The caller's axes, or those of a new figure."""
    return new_axes(1, 1, size)[0, 0] if ax is None else _axes(ax)


def row_of_axes(ax: Any, count: int, size: tuple[float, float]) -> np.ndarray:
    """One axes a coefficient, side by side: the caller's, or new ones of this size each."""
    if ax is None:
        return new_axes(1, count, (size[0] * count, size[1]))[0]
    given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if given.size != count:
        raise MMEError(f"{count} axes are needed, one a coefficient; got {given.size}")
    return np.array([_axes(one) for one in given], dtype=object)


def axes_of_panels(ax: Any, count: int, size: tuple[float, float]) -> np.ndarray:
    """Panels in rows and columns of one scale, each of this size: the caller's axes where there is one alone."""
    if count == 1:
        return np.array([[one_axes(ax, size)]], dtype=object)
    if ax is not None:
        raise MMEError(f"this picture has {count} panels, in a figure of its own: leave ax out")
    rows = -(-count // int(_WIDE / size[0]))
    columns = -(-count // rows)
    return new_axes(rows, columns, (size[0] * columns + 0.6, size[1] * rows + 0.7), sharex=True, sharey=True)


def hide_between(axes: np.ndarray, count: int) -> None:
    """Draw scales only on the left and below the last panel of each column: those between take most of the time."""
    columns = axes.shape[1]
    for k, ax in enumerate(axes.ravel()):
        ax.set_visible(k < count)
        ax.yaxis.set_visible(k % columns == 0)
        ax.xaxis.set_visible(k + columns >= count)
        ax.tick_params(labelbottom=True)


def _axes(given: Any) -> Any:
    from matplotlib.axes import Axes

    if not isinstance(given, Axes):
        raise MMEError(f"ax must be the axes of a matplotlib figure, such as plt.gca(), got {type(given).__name__}")
    return given


def spread(count: int, most: int) -> np.ndarray:
    """Positions of at most ``most`` of ``count`` things in order, evenly spaced, both ends included.

    Examples
    --------
    >>> spread(10, 4).tolist(), spread(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if count <= most:
        return np.arange(count)
    return np.unique(np.round(np.linspace(0, count - 1, most)).astype(np.int64))


def central(values: np.ndarray, share: float = 0.99, margin: float = 0.08) -> tuple[float, float]:
    """Limits of an axis that the middle ``share`` of the values fills."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return -1.0, 1.0
    low, high = np.quantile(finite, [0.5 - share / 2.0, 0.5 + share / 2.0]).tolist()
    pad = margin * (high - low) or 0.5 * abs(high) or 1.0
    return low - pad, high + pad


def density(ax: Any, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Records as an image of cells, shaded by the logarithm of their count; the legend says from what to what."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    (across, *sides), (up, *ends) = (_cells(values, count) for values, count in zip((x, y), _CELLS, strict=True))
    counts = np.bincount(up * _CELLS[0] + across, minlength=_CELLS[0] * _CELLS[1]).reshape(_CELLS[::-1])
    most = int(counts.max())
    ax.imshow(
        np.ma.masked_equal(counts, 0),
        cmap=LinearSegmentedColormap.from_list(CELLS, [FAINT, colour]),
        norm=LogNorm(1, max(most, 2)),
        extent=(*sides, *ends),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        alpha=0.7,
        zorder=1,
    )
    ax.fill([], [], color=colour, alpha=0.5, linewidth=0.0, label=f"1 to {most:,} records")


def _cells(values: np.ndarray, count: int) -> tuple[np.ndarray, float, float]:
    """The cell of each value among ``count`` of equal width, and where the first begins and the last ends."""
    low, high = float(values.min()), float(values.max())
    pad = 0.5 * (high - low) / max(count - 1, 1) or 0.5
    low, high = low - pad, high + pad
    return ((values - low) * (count / (high - low))).astype(np.int64).clip(0, count - 1), low, high


def running(x: np.ndarray, y: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Median x and quartiles of y (3, b) in ``bins`` runs of equal numbers of records, in the order of x.

    Those of the first and of the last run reach to the least and to the greatest x.
    """
    order = np.argsort(x)
    parts = [part for part in np.array_split(order, bins) if part.size]
    centres = np.array([np.median(x[part]) for part in parts])
    quartiles = np.array([np.quantile(y[part], [0.25, 0.5, 0.75]) for part in parts]).T
    ends = [0, *range(centres.size), centres.size - 1]
    centres = np.concatenate([[x[order[0]]], centres, [x[order[-1]]]])
    return centres, quartiles[:, ends]


def whole_numbers(axis: Any, values: np.ndarray | None, most: int = 8) -> None:
    """Ticks without an offset or an exponent, which calendar years have none of; whole ones where the values are."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    axis.set_major_formatter(ScalarFormatter(useOffset=False))
    if values is not None and (values == np.round(values)).all():
        axis.set_major_locator(MaxNLocator(integer=True, nbins=most))


def named_handles(ax: Any, name: str) -> tuple[list[Any], list[str]]:
    """Handles and labels of a legend that begins with the name of what its labels are levels of."""
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    if not name or not labels:
        return handles, labels
    return [Line2D([], [], linestyle="none"), *handles], [f"{name}:", *labels]


def legend_above(ax: Any, columns: int | None = None, name: str = "") -> int:
    """A legend in rows between title and axes, where it hides nothing; how many rows it has.

    Its marks are large enough to be told apart.
    """
    handles, labels = named_handles(ax, name)
    if columns is None:
        columns = _columns_of_legend(labels)
    if columns < len(labels) and labels[0] == f"{name}:":  # the name has a row of its own, as levels have theirs
        handles, labels, columns = handles[1:], [f"{name}: {labels[1]}", *labels[2:]], max(columns - 1, 1)
    legend = ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2,
        handlelength=1.4,
        ncols=columns,
        columnspacing=1.0,
    )
    for handle in legend.legend_handles:
        if hasattr(handle, "set_sizes"):
            handle.set_sizes([18.0])
            handle.set_alpha(1.0)
    return -(-len(labels) // columns)


def _columns_of_legend(labels: list[str]) -> int:
    """As many as fit: columns are as wide as their longest label, which lie by columns."""
    for columns in range(len(labels), 1, -1):
        rows = -(-len(labels) // columns)
        wide = [max(map(len, labels[k : k + rows])) for k in range(0, len(labels), rows)]
        if sum(wide) + 4.0 * len(wide) <= _LEGEND:
            return columns
    return 1


def drawn_effects(fit: Record, name: str | None) -> Effects:
    """The random effects of the grouping factor, or term, of this name; of the first factor for None."""
    if not fit.model.terms:
        raise MMEError("this fit has no random effects to draw")
    return named_effects(fit.model, name)


def png(figure: Any, dpi: int) -> bytes:
    """The picture as a file; ``savefig`` would draw everything twice, once for the layout alone."""
    from matplotlib.backends import backend_agg

    canvas: Any = backend_agg.FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.set_dpi(dpi)
    canvas.print_png(buffer, pil_kwargs={"compress_level": _COMPRESSION})
    return buffer.getvalue()


def close(figure: Any) -> None:
    """Let go of a figure that has been written."""
    import matplotlib.pyplot as plt

    plt.close(figure)
