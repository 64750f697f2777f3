"""What a table for a paper says of a fit, linear or generalised: plain numbers under the names of a paper."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError, MMEWarning
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.shown import fixed_tests, generalised_fixed_tests
from mme.results.fixed_tests import FixedTests
from mme.results.generalised_shares import generalised_icc, generalised_r2
from mme.results.shares import icc, r2
from mme.tables.arguments import check_level

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Printed:
    """The estimates of one fit.

    Attributes
    ----------
    fit : Record
    fixed : DataFrame
        ``estimate, se, lower, upper, df, statistic, p`` by name of the fixed effect.
    tests : FixedTests
        How they were tested.
    random : dict
        Standard deviations and correlations of the random effects, the residual's last, by label.
    """

    fit: Record
    fixed: pd.DataFrame
    tests: FixedTests
    random: dict[str, float]

    @property
    def of_fit(self) -> dict[str, float]:
        """What describes the whole fit, by label; what has no value is left out."""
        fit = self.fit
        found: dict[str, float] = {"Observations": fit.nobs}
        found |= {f"Levels of {term.group}": term.n_levels for term in fit.model.terms}
        found |= self._shares()
        k, n = fit.dof, fit.nobs
        aicc = fit.aic + 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.nan
        restricted = " (REML)" if fit.method == "REML" else ""
        criteria = {"Log-likelihood": fit.loglik, "AIC": fit.aic, "AICc": aicc, "BIC": fit.bic}
        return found | {f"{name}{restricted}": value for name, value in criteria.items()}

    def _shares(self) -> dict[str, float]:
        """ICC and R squared, where there are any."""
        fit = self.fit
        try:
            squared = generalised_r2(fit, None) if isinstance(fit, GeneralisedFitted) else r2(_linear(fit))
            within = generalised_icc(fit, None) if isinstance(fit, GeneralisedFitted) else icc(_linear(fit))
        except MMEError:
            return {}
        shares = {"ICC": float(within["all"])} if fit.model.terms else {}
        shares |= {"R² marginal": float(squared["marginal"])}
        return shares | ({"R² conditional": float(squared["conditional"])} if fit.model.terms else {})


def _linear(fit: Record) -> Fitted:
    if not isinstance(fit, Fitted):
        raise MMEError(f"a table is of fits as mme.lmer, mme.fit and mme.glmer return them, got {type(fit).__name__}")
    return fit


def printed(fit: Record, ddf: str | None, level: float) -> Printed:
    """The estimates of a fit, its tests by the method named ``ddf`` (None: as in its summary)."""
    import pandas as pd

    check_level(level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MMEWarning)
        tests = generalised_fixed_tests(fit) if isinstance(fit, GeneralisedFitted) else fixed_tests(_linear(fit), ddf)
    beta = np.asarray(fit.estimates.beta)
    df = np.full(beta.size, np.inf) if tests.df is None else tests.df
    half = t_quantile(level, df) * tests.se
    fixed = pd.DataFrame(
        {
            "estimate": beta,
            "se": tests.se,
            "lower": beta - half,
            "upper": beta + half,
            "df": df,
            "statistic": tests.statistic,
            "p": np.full(beta.size, np.nan) if tests.p is None else tests.p,
        },
        index=list(fit.fixed_names),
    )
    return Printed(fit, fixed, tests, _random(fit))


def _random(fit: Record) -> dict[str, float]:
    """Standard deviations and correlations, by term and coefficient; of the residual or of the family last."""
    found: dict[str, float] = {}
    for (group, part), structure in zip(fit.varcorr.items(), fit.model.structures, strict=True):
        for i, name in enumerate(part.names):
            found[f"SD {name} | {group}"] = float(part.sd[i])
        for i, name in enumerate(part.names if structure.correlated else ()):
            for j in range(i):
                found[f"Cor {part.names[j]}, {name} | {group}"] = float(part.corr[i, j])
    if isinstance(fit, GeneralisedFitted):
        return found | fit.parameters
    linear = _linear(fit)
    return found | linear.residual | {"SD residual": linear.sigma}


def component_cell(label: str, value: float) -> str:
    """A standard deviation to three digits, a correlation to two decimals.

    Examples
    --------
    >>> component_cell("SD x | g", 35.96), component_cell("SD x | g", 0.0123), component_cell("Cor a, b | g", 0.0656)
    ('36.0', '0.0123', '0.07')
    """
    if label.startswith("Cor "):
        return "" if value != value else f"{value:.2f}"
    if not value or not np.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(abs(value)))))}f}"


def formatted_cells(values: list[float], way: Callable[[float], str]) -> list[str]:
    """Cells; a number that is missing is an empty one."""
    return ["" if value != value else way(value) for value in values]


def method_notes(one: Printed, level: float) -> list[str]:
    """How the fit was made and its effects tested, in sentences for below a table."""
    fit: Any = one.fit
    if isinstance(fit, GeneralisedFitted):
        made = f"Generalised linear mixed model ({fit.family.name}, link {fit.family.link}), maximum likelihood."
    elif fit.model.terms or fit.model.residual is not None:
        made = f"Linear mixed model, {'REML' if fit.method == 'REML' else 'maximum likelihood'}."
    else:
        made = "Linear model, least squares."
    tests = one.tests
    how = f"{tests.method[0].upper()}{tests.method[1:]}. " if tests.method else ""
    notes = [f"{made} {how}CI: {100 * level:g} % confidence interval."]
    if tests.p is None:
        notes.append("Degrees of freedom and p are left out, as they cost more than the fit; ddf='satterthwaite'.")
    if fit.singular:
        notes.append("The fit is singular: a variance is zero or a correlation is one.")
    return notes
