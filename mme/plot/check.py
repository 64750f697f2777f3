"""A panel of what can be wrong with a fit: residuals, random effects, influential groups, what it predicts."""

from __future__ import annotations

import contextlib
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.generalised_residuals import generalised_residuals as residuals_of
from mme.diagnosis.residuals import kind_at_hand, scaled_residuals
from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.effects import Effects, effects
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.plot.generalised import generalised_qq, generalised_residuals
from mme.plot.influence import influence
from mme.plot.predictive import predictive
from mme.plot.residuals import against, effect_quantiles, effect_table, qq, residuals
from mme.plot.style import GREY, new_axes
from mme.plot.words import response_of
from mme.tables.arguments import yes_or_no

if TYPE_CHECKING:
    import pandas as pd

# Panels in a row, and inches of each; coefficients of random effects that have a panel.
_IN_A_ROW, _SIZE, _EFFECTS = 3, (3.7, 3.2), 3


def check(fit: Record, *, nsim: int = 50, seed: int = 1, data: bool = False) -> Any:
    """A panel of checks: residuals, their normality and spread, random effects, influence, and new data from the model.

    Residuals should run level, keep their spread and follow the normal line (quantile residuals of a generalised fit
    do, whatever its family); so should BLUPs of every grouping factor. No group should stand far above the others by
    Cook's distance. The density of the response should look like those that the model draws.

    Parameters
    ----------
    nsim : int
        Responses drawn from the model.
    seed : int
        Seed of these draws, and of the random numbers in quantile residuals.
    data : bool
        Return the tables behind the panels.

    Returns
    -------
    (rows, columns) array of Axes, of which the last may be empty and not visible; for ``data=True`` a dict of
    DataFrames: ``residuals, qq, effects of ..., influence, predictive``, as far as the fit has them
    """
    if yes_or_no(data, "data"):
        return _tables(fit, nsim, seed)
    panels: list[Any] = [_residuals, _qq, _spread, *_of_effects(fit)]
    if fit.model.terms and not fit.model.is_wide:
        panels.append(_influence)
    panels.append(lambda fit, ax, seed: predictive(fit, nsim=nsim, seed=seed, ax=ax))
    rows = -(-len(panels) // _IN_A_ROW)
    axes = new_axes(rows, _IN_A_ROW, (_SIZE[0] * _IN_A_ROW, _SIZE[1] * rows))
    for k, ax in enumerate(axes.ravel()):
        if k < len(panels):
            panels[k](fit, ax, seed)
        else:
            ax.set_visible(False)
    return axes


def _tables(fit: Record, nsim: int, seed: int) -> dict[str, pd.DataFrame]:
    """What the panels are drawn of; the spread is that of the residuals."""
    found: dict[str, pd.DataFrame] = {}
    if isinstance(fit, GeneralisedFitted):
        found["residuals"] = generalised_residuals(fit, seed=seed, data=True)
        found["qq"] = generalised_qq(fit, seed=seed, data=True)
    elif isinstance(fit, Fitted):
        found["residuals"] = residuals(fit, kind_at_hand(fit), data=True)
        found["qq"] = qq(fit, kind=kind_at_hand(fit), data=True)
        found |= {f"effects of {one.name}": effect_table(fit, one) for one in effects(fit.model)}
    if fit.model.terms and not fit.model.is_wide:
        with contextlib.suppress(MMEError):  # groups whose records are correlated with others
            found["influence"] = influence(fit, data=True)
    return found | {"predictive": predictive(fit, nsim=nsim, seed=seed, data=True)}


def _residuals(fit: Record, ax: Any, seed: int) -> None:
    if isinstance(fit, GeneralisedFitted):
        generalised_residuals(fit, seed=seed, ax=ax)
    elif isinstance(fit, Fitted):
        residuals(fit, kind_at_hand(fit), ax=ax)


def _qq(fit: Record, ax: Any, seed: int) -> None:
    if isinstance(fit, GeneralisedFitted):
        generalised_qq(fit, seed=seed, ax=ax)
    elif isinstance(fit, Fitted):
        qq(fit, kind=kind_at_hand(fit), ax=ax)


def _spread(fit: Record, ax: Any, seed: int) -> None:
    """Roots of absolute residuals against fitted values: level where the spread is the same everywhere."""
    if isinstance(fit, GeneralisedFitted):
        r, x = fit.rows.used(np.asarray(residuals_of(fit, "quantile", seed))), fit.estimates.eta
        ax.set_xlabel("linear predictor")
    else:
        assert isinstance(fit, Fitted)
        r, x = fit.rows.used(np.asarray(scaled_residuals(fit, kind_at_hand(fit)))), fit.estimates.fitted
        ax.set_xlabel(f"fitted value  ({response_of(fit)})")
    good = np.isfinite(r)
    against(ax, x[good], np.sqrt(np.abs(r[good])), zero=False)
    ax.set_ylabel("root of |residual|")
    ax.set_title("Homogeneity of spread", pad=18)


def _of_effects(fit: Record) -> list[Any]:
    """A panel for each of the first coefficients of the random effects."""
    if not isinstance(fit, Fitted):
        return []
    pairs = [(one, j) for one in effects(fit.model) for j in range(one.q)]
    return [partial(_effect_qq, one=one, j=j) for one, j in pairs[:_EFFECTS]]


def _effect_qq(fit: Fitted, ax: Any, seed: int, *, one: Effects, j: int) -> None:
    effect_quantiles(fit, one, j, ax)


def _influence(fit: Record, ax: Any, seed: int) -> None:
    try:
        influence(fit, ax=ax)
    except MMEError as error:  # groups whose records are correlated with others
        ax.text(
            0.5, 0.5, fill(str(error), 40), ha="center", va="center", transform=ax.transAxes, color=GREY, fontsize=8
        )
        ax.set_axis_off()
