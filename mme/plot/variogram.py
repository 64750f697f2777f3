r"""The variogram of a trial: half the mean squared difference of residuals of plots that lie so far apart.

    v(h, k) = mean (e_i - e_j)^2 / 2    over plots h rows and k columns apart, in either direction

(Gilmour, Cullis and Verbyla 1997, J. Agric. Biol. Environ. Stat. 2:269-293). It rises from the variance of a nugget
along an axis with correlation, and drifts on where there is a trend. The line is that of the estimated R,
sigma^2 (R_ii + R_jj - 2 R_ij) / 2, averaged over a few pairs of each distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.plot.pictured import Pictured
from mme.plot.places import PlotPlaces, places_of
from mme.plot.style import BLUE, VERMILION, legend_above, new_axes
from mme.tables.arguments import yes_or_no

if TYPE_CHECKING:
    import pandas as pd

# Pairs of a distance that the model's line is averaged over; a distance with fewer pairs is left out of the picture.
_OF_MODEL, _FEW = 8, 10


def variogram(seen: Pictured, row: Any, col: Any, *, by: Any = None, data: bool = False, ax: Any = None) -> Any:
    """Semivariances of the residuals of a trial along its rows and its columns, with those that the model expects.

    Parameters
    ----------
    row, col : str or (n,) array
        Columns of the table, or values at the records that were used.
    by : str or (n,) array, optional
        What tells separate fields apart: pairs lie within one field.
    data : bool
        Return all distances: ``row, col`` how far apart, ``pairs, semivariance, model``.
    ax : two Axes, optional
        Along the rows and along the columns.

    Returns
    -------
    (2,) array of Axes; a DataFrame for ``data=True``
    """
    fit = seen.fit
    assert isinstance(fit, Fitted)
    places = places_of(seen, (row, col), by)
    table = semivariances(fit, places)
    if yes_or_no(data, "data"):
        return table
    axes = new_axes(1, 2, (7.4, 3.2), sharey=True)[0] if ax is None else np.ravel(np.asarray(ax, dtype=object))
    if axes.size != 2:
        raise MMEError(f"variogram needs two axes, one along rows and one along columns; got {axes.size}")
    for k, here in enumerate(axes):
        own = (table.iloc[:, 1 - k] == 0) & (table.iloc[:, k] > 0) & (table["pairs"] >= _FEW)
        part = table[own]
        sizes = np.interp(np.sqrt(part["pairs"]), [0.0, np.sqrt(max(part["pairs"].max(), 1))], [4.0, 42.0])
        at = part.iloc[:, k]
        here.scatter(at, part["semivariance"], s=sizes, color=BLUE, linewidth=0.0, zorder=3, label="residuals")
        here.plot(at, part["model"], color=VERMILION, linewidth=1.3, zorder=2, label="model")
        here.set_xlabel(f"steps of {places.names[k]} apart")
        here.xaxis.get_major_locator().set_params(integer=True)
        here.grid(axis="y")
        legend_above(here)
        here.set_title(f"along {places.names[k]}", pad=18)
    for here in axes:
        here.set_ylim(0.0, None)
    axes[0].set_ylabel(f"semivariance of {fit.model.response}")
    return axes


def semivariances(fit: Fitted, places: PlotPlaces) -> pd.DataFrame:
    """One row per distance, up to half of the field each way."""
    import pandas as pd

    parts = [_pairs(places, at) for at in places.members]
    i, j = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    if not i.size:
        raise MMEError("variogram: no field has two plots")
    e, (rows, cols) = fit.model.y - fit.estimates.fitted, places.numbers
    apart = [np.rint(np.abs(one[i] - one[j])).astype(np.int64) for one in (rows, cols)]
    width = int(apart[1].max()) + 1
    key, cell, pairs = np.unique(apart[0] * width + apart[1], return_inverse=True, return_counts=True)
    half = np.bincount(cell, 0.5 * (e[i] - e[j]) ** 2) / pairs
    order = np.argsort(cell, kind="stable")
    starts = np.cumsum(pairs) - pairs
    some = [order[a : a + min(_OF_MODEL, m)] for a, m in zip(starts.tolist(), pairs.tolist(), strict=True)]
    model = np.array([_of_model(fit, i[few], j[few]) for few in some])
    down, across = key // width, key % width
    names = [name if name != "pairs" else "row" for name in places.names]
    return pd.DataFrame(
        {names[0]: down, names[1]: across, "pairs": pairs, "semivariance": half, "model": model},
    )


def _pairs(places: PlotPlaces, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a field's plots that lie no farther apart than half of it, each once."""
    rows, cols = (np.rint(one[at]).astype(np.int64) for one in places.numbers)
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    tall, wide = (max(int(np.ptp(one)) // 2, 1) if one.size else 1 for one in (rows, cols))
    span = int(np.ptp(cols)) + 2 * wide + 1
    place = (rows - rows.min()) * span + (cols - cols.min())
    order = np.argsort(place, kind="stable")
    for h in range(tall + 1):
        for k in range(-wide if h else 0, wide + 1):
            if h == 0 and k <= 0:
                continue
            target = place + h * span + k
            where = np.searchsorted(place[order], target)
            where[where == place.size] = 0
            other = order[where]
            hit = place[other] == target
            found[0].append(at[hit])
            found[1].append(at[other[hit]])
    return np.concatenate(found[0]), np.concatenate(found[1])


def _of_model(fit: Fitted, i: np.ndarray, j: np.ndarray) -> float:
    """sigma^2 (R_ii + R_jj - 2 R_ij) / 2, averaged over these pairs."""
    model, phi = fit.model, fit.estimates.objective.phi
    index = np.append(i, j)
    R = np.eye(index.size) if model.residual is None else model.residual.covariance(phi, index)
    if model.weights is not None:
        root = 1.0 / np.sqrt(model.weights[index])
        R = R * np.outer(root, root)
    m = i.size
    own = np.diag(R)
    return float(fit.sigma**2 * np.mean(0.5 * (own[:m] + own[m:]) - R[np.arange(m), m + np.arange(m)]))
