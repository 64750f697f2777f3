"""A linear model on designs of several sizes: responses of assumed parameters, and the tests of their fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.api.face import Fit
from mme.api.fitting import lmer
from mme.errors import FormulaError, MMEError
from mme.fitted.record import Fitted
from mme.fitted.refit import refitted
from mme.inference.fixed.reference import two_sided
from mme.inference.power import SimulatedTests, effect_weights, p_value
from mme.inference.responses.fitter import ManyFitter, contrast_rows
from mme.numeric.noise import noise
from mme.results.assumed import Assumed, assumed, read_beta
from mme.tables.arrays import shown
from mme.tables.frame import Frame

# Arguments of a fit that may have a value for each record.
_BY_RECORD = ("weights", "offset", "subset")


@dataclass(frozen=True, eq=False)
class LinearPlan:
    """A formula, or a fit (then of its own formula), and what is assumed; ``ddf`` are the degrees of freedom of t."""

    model: Fit | str
    formula: str
    beta: Any
    varcorr: Any
    sigma: float | None
    weights: Any
    ddf: str

    def groups(self, table: Any) -> tuple[str, ...]:
        """The grouping factors of the random effects."""
        return tuple(term.group for term in self.template(table).model.terms)

    def template(self, table: Any) -> Fitted:
        """The model on a table; None: on the rows of the fit."""
        if table is None and isinstance(self.model, Fit):
            return self.model.internals
        return linear_template(self.formula, table, self.model, self.weights)

    def tested(self, table: Any, nsim: int, rng: np.random.Generator, test: Any, threads: int) -> SimulatedTests:
        """Fits to responses that are drawn on a table, and their tests."""
        template = self.template(table)
        Y = self._truth(template).draws(nsim, rng).T
        if callable(test):
            found = [_by_function(template, y, test) for y in Y]
            return SimulatedTests(
                template.model.n, np.array([p for p, _ in found]), np.array([edge for _, edge in found])
            )
        row = contrast_rows({"test": effect_weights(test, template.fixed_names)}, template)[-1:]
        whole = np.full((len(Y), template.rows.kept.size), np.nan)
        whole[:, template.rows.kept] = Y
        fits, _ = ManyFitter(lambda there: template, template, row, self.ddf, threads)(whole, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            p = two_sided(fits.estimate[:, 0] / fits.se[:, 0], fits.df[:, 0])
        return SimulatedTests(template.model.n, p, fits.singular)

    def _truth(self, template: Fitted) -> Assumed:
        """The assumed parameters on a design."""
        names, model = template.fixed_names, self.model
        if not isinstance(model, Fit):
            sigma = 1.0 if self.sigma is None else self.sigma
            return assumed(template.model, names, self.beta, self.varcorr, sigma)
        own = changed_beta(model, self.beta)
        sd = model.sigma if self.sigma is None else self.sigma
        if self.varcorr is not None:
            return assumed(template.model, names, own, self.varcorr, sd)
        return Assumed(template.model, read_beta(own, names), model.internals.theta, sd, template.basis.kept)


def changed_beta(fit: Any, beta: Any) -> dict[str, float]:
    """The fixed effects of a fit, those that ``beta`` names changed; in their order all of them."""
    names = fit.fixed_names
    own = dict(zip(names, np.asarray(fit.beta, dtype=float).tolist(), strict=True))
    if isinstance(beta, Mapping):
        unknown = set(beta) - set(own)
        if unknown:
            raise MMEError(f"beta has {shown(sorted(unknown)[0])}, which is none of {', '.join(map(repr, own))}")
        return own | dict(beta)
    return own if beta is None else dict(zip(names, read_beta(beta, names).tolist(), strict=True))


def with_response(formula: Any, data: Any) -> tuple[str, dict[str, Any], str]:
    """A formula, a table and the name of a response of noise, in the place of one that need not be there."""
    if not isinstance(formula, str) or "~" not in formula:
        raise FormulaError(f"a formula is needed, 'y ~ x + (1 | g)' or '~ x + (1 | g)'; got {shown(formula)}")
    table, right = Frame(data), formula.partition("~")[2]
    name = "response"
    while name in table:
        name += "_"
    columns = {one: table.raw(one) for one in table.names}
    return f"{name} ~ {right.strip()}", columns | {name: noise(table.n)}, name


def linear_template(formula: Any, data: Any, model: Any = None, weights: Any = None) -> Fitted:
    """The model of a formula on a design, with a response of noise; fitted as ``model`` is, where that is a fit."""
    formula, columns, name = with_response(formula, data)
    if not isinstance(model, Fit):
        return lmer(formula, columns, weights=weights).internals
    of = model.internals.model
    plain = of.weights is None and of.offset is None and of.residual is None
    if model.made_by is None and plain and all(term.relationship is None for term in of.terms):
        return lmer(formula, columns, method=of.method).internals
    made: Fit = fitted_again(model, formula, columns, len(columns[name]))
    return made.internals


def fitted_again(fit: Any, formula: str, data: Any, rows: int) -> Any:
    """The fit of a formula to a design of so many rows, made as a fit was.

    Raises
    ------
    MMEError
        It is not known how, or an argument is an array of other rows; the message names it.
    """
    if fit.made_by is None:
        raise MMEError("a fit from a file does not know how it was made, which power of other rows takes: fit it again")
    for key, value in fit.made_by.arguments.items():
        if key in _BY_RECORD and np.ndim(value) and len(value) != rows:
            raise MMEError(f"{key}= of the fit has {len(value)} values, the design {rows} rows: name a column instead")
    return fit.made_by.again(formula, data=data)


def _by_function(template: Fitted, y: np.ndarray, test: Callable[[Fit], float]) -> tuple[float, bool]:
    try:
        fit = Fit(refitted(template, y, True))
        p = test(fit)
    except (MMEError, ArithmeticError, np.linalg.LinAlgError):
        return float("nan"), False
    return p_value(p), bool(fit.optimum.boundary)
