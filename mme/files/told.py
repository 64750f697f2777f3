"""What every report says beside its tables: pictures of the effects, checks in words, with what it was made."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from html import escape
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from mme.diagnosis.influence import cooks_distance
from mme.diagnosis.residuals import kind_at_hand, scaled_residuals
from mme.errors import MMEError
from mme.files.page import figure_html
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.formula.syntax import Node, deparse, names_in
from mme.plot import GeneralisedPlots, Plots
from mme.plot.words import response_of
from mme.version import __version__

# Pictures of effects, and groups whose influence is told.
_PICTURES, _MANY = 6, 100_000
_FAR = 3.0
DRAWN = "The response beside fifty responses that the model draws, random effects drawn anew."


def effect_pictures(fit: Record, plot: Plots | GeneralisedPlots) -> Iterator[str]:
    """A picture of each variable of the fixed part, of two that interact together, and of the coefficients."""
    for names in _variables(fit)[:_PICTURES]:
        x, *by = names
        within = f" within {', '.join(by)}" if by else ""
        try:
            axes = plot.effects(x, by)
        except MMEError:  # a variable of which no mean can be taken
            continue
        yield figure_html(axes, f"{_measured(fit)} over {x}{within}, other variables at what is typical.")
    if len(fit.fixed_names) > 1:
        left = "; the intercept is left out" if "(Intercept)" in fit.fixed_names else ""
        yield figure_html(plot.coefficients(), f"Fixed effects with 95% intervals{left}.")


def _measured(fit: Record) -> str:
    """What a picture of an effect shows."""
    name = response_of(fit)
    if isinstance(fit, GeneralisedFitted) and not fit.family.has_intercept:
        return f"Probability of each category of {name}"
    share = isinstance(fit, GeneralisedFitted) and fit.family.name == "binomial"
    return f"{'Probability' if share else 'Mean'} of {name}"


def _variables(fit: Record) -> list[tuple[str, ...]]:
    """What is drawn together: the variables of each term that is in no greater one, a covariate first."""
    spec = fit.specification
    if spec is None or spec.wide:
        return []
    sets = [frozenset(_name(fit, node) for node in term) for term in spec.fixed.terms]
    greatest = [one for one in sets if not any(one < other for other in sets)]
    found = [tuple(sorted(one, key=lambda name: (name not in spec.means, name))) for one in dict.fromkeys(greatest)]
    return [names[:3] for names in found if names]


def _name(fit: Record, node: Node) -> str:
    """What a picture calls a variable: a factor as it is written, a covariate by its column."""
    spec = fit.specification
    known = [name for name in sorted(names_in(node)) if name in spec.means]
    return deparse(node) if node in spec.codings or not known else known[0]


def words_html(fit: Fitted) -> Iterator[str]:
    """The residuals and the most influential group, in sentences."""
    kind = kind_at_hand(fit)
    r = np.asarray(scaled_residuals(fit, kind), dtype=float)
    r = r[np.isfinite(r)]
    beyond, expected = int((np.abs(r) > _FAR).sum()), r.size * 0.0027
    yield (
        f"<p>{beyond:,} of {r.size:,} {kind} residuals are beyond {_FAR:g} standard deviations; of normal ones about "
        f"{expected:.1f} would be.</p>"
    )
    if not fit.model.terms or fit.model.is_wide or fit.model.terms[0].n_levels > _MANY:
        return
    group = fit.model.terms[0].group
    try:
        distance = cooks_distance(fit, group)
    except MMEError:  # records are correlated across groups
        return
    most = distance.idxmax()
    word = "moves the fixed effects much" if distance.max() > 1.0 else "moves the fixed effects little"
    yield (
        f"<p>The most influential level of {escape(group)} is {escape(str(most))}: Cook's distance "
        f"{distance.max():.3g}. Leaving it out {word} (1 and more is much).</p>"
    )


def session_html() -> str:
    """Versions of what computed."""
    parts = [f"mme {__version__}", f"Python {platform.python_version()}"]
    for name in ("numpy", "scipy", "pandas", "matplotlib", "scikit-sparse"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"<p>{escape(', '.join(parts))}; {escape(platform.system())} {escape(platform.machine())}.</p>"
