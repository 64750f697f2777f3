"""The table behind a picture of an effect: means of the response over one variable, others at what is typical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.formula.syntax import deparse
from mme.inference.fixed.categories import category_means_table
from mme.inference.fixed.generalised_means import generalised_means_table, predictors
from mme.inference.fixed.mean_tables import means_table
from mme.inference.fixed.means import Means, marginal_means, points_of
from mme.inference.fixed.methods import reference
from mme.inference.fixed.response_scale import ResponseScale, response_scale
from mme.inference.fixed.wanted import wanted
from mme.inference.fixed.z_tables import is_response, normal_reference
from mme.plot.pictured import Pictured
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

# Points of a curve, and digits of the standard deviation of a covariate that curves are drawn for.
_POINTS, _DIGITS = 80, 2


@dataclass(frozen=True, eq=False)
class Effect:
    """``table``: one row per point, columns x, those of ``by``, and ``mean, se, lower, upper``; what it is drawn with.

    ``by`` are the names that lines differ by, and ``back`` the inverse of what was done to the response.
    """

    table: pd.DataFrame
    x: str
    by: tuple[str, ...]
    is_factor: bool
    on_response: bool
    back: ResponseScale | None


def effect(
    seen: Pictured,
    x: str,
    by: str | Sequence[str],
    at: Mapping[str, Any] | None,
    scale: str | None,
    level: float,
    ddf: str,
) -> Effect:
    """Means over x, for each combination of the levels of ``by``.

    Raises
    ------
    MMEError
        A name is neither a factor nor a covariate of the fixed part, or where a covariate goes is not known.
    """
    fit, (own, others) = seen.fit, wanted(seen.fit, x, by) if isinstance(x, str) else ([], [])
    if fit.specification is None:
        raise MMEError("pictures of effects need a fit by formula (mme.lmer, mme.glmer), which knows the variables")
    x, others = (own[0], [*own[1:], *others]) if own else ("", others)
    if not x or len({x, *others}) <= len(others) or len(others) > 2:
        raise MMEError(f"effects: name one variable, and at most two others in by; got {shown(x)} by {shown(by)}")
    given = points_of(at)
    is_factor = _is_factor(seen, x)
    for name in [x, *others]:
        if not _is_factor(seen, name) and name not in given:
            given[name] = _range(seen, name) if name == x else _typical(seen, name)
    means = marginal_means(fit, [x], others, given)
    back, on_response = _scale(seen, scale)
    table = _table(seen, means, on_response, back, level, ddf)
    names = [*others, *(name for name in table.index.names if name not in [x, *others])]
    table = table.reset_index()
    return Effect(table[[x, *names, *_numbers(table)]], x, tuple(names), is_factor, on_response, back)


def _numbers(table: pd.DataFrame) -> list[str]:
    return [name for name in ("mean", "se", "df", "lower", "upper") if name in table]


def _is_factor(seen: Pictured, name: str) -> bool:
    """Whether a variable is at levels: a factor, or a column of two numbers."""
    spec = seen.fit.specification
    node = seen.factor(name)
    if node is not None or name in spec.two_valued:
        return True
    if name not in spec.means:
        known = [*(str(name) for name in _factors(seen)), *spec.means]
        raise MMEError(
            f"'{name}' is no variable of the fixed part; its variables are {', '.join(map(repr, known)) or 'none'}"
        )
    return False


def _factors(seen: Pictured) -> list[str]:
    return [deparse(node) for node in seen.fit.specification.codings if node in seen.fit.specification.fixed.variables]


def _range(seen: Pictured, name: str) -> np.ndarray:
    """Points from the least value of a covariate to the greatest."""
    values = _values(seen, name)
    return np.linspace(values.min(), values.max(), _POINTS)


def _typical(seen: Pictured, name: str) -> list[float]:
    """A standard deviation below the mean, the mean, and one above, to few digits."""
    values = _values(seen, name)
    spread = float(values.std())
    places = _DIGITS - 1 - int(np.floor(np.log10(spread))) if spread > 0.0 else 0
    places = min(places, 0) if (values == np.round(values)).all() else places
    chosen = [round(float(values.mean()) + k * spread, places) for k in (-1.0, 0.0, 1.0)]
    return list(dict.fromkeys(chosen))


def _values(seen: Pictured, name: str) -> np.ndarray:
    values = seen.numbers(name)
    values = values[np.isfinite(values)] if values is not None else None
    if values is None or not values.size:
        raise MMEError(
            f"the values of '{name}' are not at hand (a fit from a file?); give them: at={{'{name}': [...]}}"
        )
    return values


def _scale(seen: Pictured, scale: str | None) -> tuple[ResponseScale | None, bool]:
    """The way back from the scale of the model, and whether the picture is on the response's."""
    if isinstance(seen.fit, GeneralisedFitted):
        return None, scale is None or is_response(scale)
    assert isinstance(seen.fit, Fitted)
    back = response_scale(seen.fit, "link" if scale is None else scale, False)
    return back, back is not None


def _table(
    seen: Pictured, means: Means, on_response: bool, back: ResponseScale | None, level: float, ddf: str
) -> pd.DataFrame:
    fit = seen.fit
    if isinstance(fit, Fitted):
        return means_table(fit, means, reference(fit, ddf), level, back)
    assert isinstance(fit, GeneralisedFitted)
    to = normal_reference(fit, "hessian")
    if on_response and not fit.family.has_intercept:
        return category_means_table(fit, means, to, False, level, plain=True)
    eta = predictors(fit, means, to, False, with_theta=True)
    return generalised_means_table(fit, means, eta, on_response, level)
