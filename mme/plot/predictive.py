"""The response beside responses that the fitted model draws: posterior-predictive by simulation at the estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.plot.style import BLUE, GREY, legend_above, one_axes, whole_numbers
from mme.plot.words import response_of
from mme.results.simulate import simulate_generalised, simulate_responses
from mme.tables.arguments import yes_or_no

if TYPE_CHECKING:
    import pandas as pd

# Points of a density, and values up to which a response is counted.
_POINTS, _COUNTED = 160, 40


def predictive(fit: Record, *, nsim: int = 50, seed: int = 1, data: bool = False, ax: Any = None) -> Any:
    """The distribution of the response beside those of responses that the model draws, random effects drawn anew.

    Where the model holds the observed curve looks like one of the others. A response of at most forty whole numbers has
    its frequencies, with the range of those drawn.

    Parameters
    ----------
    nsim : int
        Responses drawn.
    seed : int
        Of the draws.
    data : bool
        Return the curves: ``draw`` (0 is the observed response), ``value``, ``density``.

    Returns
    -------
    Axes; a DataFrame for ``data=True``
    """
    y, drawn = _responses(fit, nsim, seed)
    values = np.unique(y[np.isfinite(y)])
    counted = values.size <= _COUNTED and bool((values == np.round(values)).all())
    at, curves = (_frequencies if counted else _densities)(y, drawn)
    if yes_or_no(data, "data"):
        return _table(at, curves)
    ax = one_axes(ax, (5.4, 3.9))
    if counted:
        low, high = curves[1:].min(axis=0), curves[1:].max(axis=0)
        ax.vlines(at, low, high, color=GREY, linewidth=5.0, alpha=0.5, zorder=1, label=f"{len(curves) - 1} draws")
        ax.scatter(at, curves[0], s=18.0, color=BLUE, linewidth=0.0, zorder=3, label="observed")
        ax.set_ylim(0.0, None)
        whole_numbers(ax.xaxis, at)
    else:
        ax.plot(at, curves[1], color=GREY, linewidth=0.6, alpha=0.6, label=f"{len(curves) - 1} draws")
        ax.plot(at, curves[2:].T, color=GREY, linewidth=0.6, alpha=0.4, zorder=1)
        ax.plot(at, curves[0], color=BLUE, linewidth=1.8, zorder=3, label="observed")
        ax.set_yticks([])
    ax.set_xlabel(response_of(fit))
    ax.set_ylabel("share of records" if counted else "density")
    ax.set_title("Responses that the model draws", pad=18)
    legend_above(ax)
    return ax


def _responses(fit: Record, nsim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The response (n,), and draws of it (n, nsim)."""
    if isinstance(fit, GeneralisedFitted):
        used = fit.problem.data.weights > 0.0
        return fit.problem.data.y[used], simulate_generalised(fit, nsim, seed)[used]
    if not isinstance(fit, Fitted):
        raise MMEError("responses are drawn from fits of mme.lmer, mme.fit and mme.glmer")
    return fit.model.y, simulate_responses(fit.estimates, nsim, seed)


def _frequencies(y: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of each whole number, of the response first."""
    most = int(max(y.max(), np.quantile(drawn, 0.999)))
    least = int(min(y.min(), drawn.min()))
    at = np.arange(least, most + 1)
    counts = [np.bincount((one - least).astype(int), minlength=at.size)[: at.size] for one in (y, *drawn.T)]
    return at, np.array(counts) / y.size


def _densities(y: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Densities on common points by a normal kernel of Silverman's width, of the response first."""
    low, high = np.quantile(np.concatenate([y, drawn.ravel()]), [0.001, 0.999])
    pad = 0.05 * (high - low) or 1.0
    at = np.linspace(low - pad, high + pad, _POINTS)
    step = float(at[1] - at[0])
    spread = min(float(y.std()), float(np.subtract(*np.quantile(y, [0.75, 0.25]))) / 1.34) or float(y.std()) or 1.0
    width = max(0.9 * spread * y.size**-0.2, step)
    reach = np.arange(-_POINTS, _POINTS + 1) * step
    kernel = np.exp(-0.5 * (reach / width) ** 2)
    kernel /= kernel.sum() * step
    edges = np.append(at, at[-1] + step) - 0.5 * step
    shares = np.array([np.histogram(one, edges)[0] / one.size for one in (y, *drawn.T)])
    return at, np.array([np.convolve(share, kernel)[_POINTS : 2 * _POINTS] for share in shares])


def _table(at: np.ndarray, curves: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    draws = np.repeat(np.arange(len(curves)), at.size)
    return pd.DataFrame({"draw": draws, "value": np.tile(at, len(curves)), "density": curves.ravel()})
