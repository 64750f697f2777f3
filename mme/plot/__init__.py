"""Pictures of a fit: ``fit.plot.effects("x")``, ``fit.plot.check()``, ... (``pip install mme[plot]``).

Each method draws on new axes, or on those given, and returns them, so that the user can change titles, labels and
limits; ``axes.figure.savefig("x.svg")`` writes the picture (svg, pdf, png). With ``data=True`` it returns the table
behind the picture instead. Pictures are dark after ``plt.style.use("dark_background")``. matplotlib is imported when
the first picture is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.offered import offered
from mme.fitted.record import Fitted
from mme.plot.biplot import biplot
from mme.plot.by_group import by_group
from mme.plot.caterpillar import caterpillar
from mme.plot.check import check
from mme.plot.coefficients import coefficients
from mme.plot.dark import on_its_paper
from mme.plot.effects import effects, interaction
from mme.plot.field_map import field_map
from mme.plot.generalised import binned, calibration, generalised_qq, generalised_residuals, rootogram
from mme.plot.groups import groups
from mme.plot.heat import correlations
from mme.plot.influence import influence
from mme.plot.pictured import Pictured
from mme.plot.predictive import predictive
from mme.plot.profiles import pairs, zeta
from mme.plot.residuals import qq, residuals
from mme.plot.shrinkage import shrinkage
from mme.plot.style import style
from mme.plot.variance import variance
from mme.plot.variogram import variogram
from mme.tables.calls import explains

P = ParamSpec("P")
R = TypeVar("R")


F = TypeVar("F", bound=Record)


def _offered(plots: Any, parameter: str) -> list[str]:
    """What there is to draw over: factors, and what is not among them."""
    return offered(plots.fit, "variable" if parameter == "x" else parameter)


def _seen(draw: Callable[Concatenate[Pictured, P], R]) -> Callable[Concatenate[Any, P], R]:
    """A function that draws a fit with its table, as a method."""

    @wraps(draw)
    def drawn(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with style():
            found: R = on_its_paper(draw(Pictured(self.fit, self.table), *args, **kwargs))
            return found

    return drawn


def _method(draw: Callable[Concatenate[F, P], R]) -> Callable[Concatenate[Any, P], R]:
    """A function that draws a fit, as a method; in our style, whatever the user's settings."""

    @wraps(draw)
    def drawn(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with style():
            found: R = on_its_paper(draw(self.fit, *args, **kwargs))
            return found

    return drawn


@explains(_offered)
@dataclass(frozen=True, eq=False)
class Plots:
    """What can be drawn of a fit; every method says what it shows and returns matplotlib axes."""

    fit: Fitted
    table: Any = None

    effects = _seen(effects)
    interaction = _seen(interaction)
    coefficients = _method(coefficients)
    check = _method(check)
    influence = _method(influence)
    predictive = _method(predictive)
    by_group = _method(by_group)
    caterpillar = _method(caterpillar)
    shrinkage = _method(shrinkage)
    groups = _seen(groups)
    residuals = _method(residuals)
    qq = _method(qq)
    variance = _method(variance)
    field = _seen(field_map)
    variogram = _seen(variogram)
    correlations = _method(correlations)
    biplot = _method(biplot)
    zeta = _method(zeta)
    pairs = _method(pairs)

    def __repr__(self) -> str:
        return (
            "Plots: effects, interaction, coefficients, check, influence, predictive, by_group, caterpillar, "
            "shrinkage, groups, residuals, qq, variance, field, variogram, correlations, biplot, zeta, pairs"
        )


@explains(_offered)
@dataclass(frozen=True, eq=False)
class GeneralisedPlots:
    """What can be drawn of a generalised fit; every method says what it shows and returns matplotlib axes."""

    fit: GeneralisedFitted
    table: Any = None

    effects = _seen(effects)
    interaction = _seen(interaction)
    coefficients = _method(coefficients)
    check = _method(check)
    influence = _method(influence)
    predictive = _method(predictive)
    by_group = _method(by_group)
    caterpillar = _method(caterpillar)
    binned = _method(binned)
    calibration = _method(calibration)
    rootogram = _method(rootogram)
    residuals = _method(generalised_residuals)
    qq = _method(generalised_qq)
    zeta = _method(zeta)
    pairs = _method(pairs)

    def __repr__(self) -> str:
        return (
            "Plots: effects, interaction, coefficients, check, influence, predictive, by_group, caterpillar, binned, "
            "calibration, rootogram, residuals, qq, zeta, pairs"
        )
