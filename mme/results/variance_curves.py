r"""Variances, heritabilities and genetic correlations along a covariate, with standard errors by the delta method.

With w_t(x) the basis of term t at x, G_t the covariance of its coefficients, and r(x) the variance of the residual,

    v_t(x) = w_t(x)'G_t w_t(x),     h^2(x) = v(x) / (sum_t v_t(x) + r(x)),
    C(x, z) = w(x)'G w(z),          rho(x, z) = C(x, z) / sqrt(v(x) v(z))

(Kirkpatrick, Lofsvold and Bulmer 1990, Genetics 124:979-993). All are functions of the parameters of the search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.results.breeding_values import chosen_term
from mme.results.components import accuracy
from mme.results.curves import basis_at, values_at
from mme.results.generalised_shares import distribution_of
from mme.results.generalised_variances import errors_of
from mme.tables.arguments import yes_or_no

if TYPE_CHECKING:
    import pandas as pd

# Factors T of all terms, and the residual variances (m,) or their one number in the same unit -> values.
Quantity = Callable[[Sequence[np.ndarray], Any], np.ndarray]
# Log standard deviations of residuals (m,), or their one number, in units of sigma, by phi.
LogSD = Callable[[np.ndarray], Any]
# What says the standard errors of a quantity.
Errors = Callable[[Quantity], np.ndarray]


@dataclass(frozen=True, eq=False)
class Along:
    """Term ``t`` of a fit at m values of the covariates, and the ``bases`` w_t (m, q) of all terms there."""

    fit: Record
    t: int
    values: dict[str, np.ndarray]
    bases: list[np.ndarray]

    @classmethod
    def of(cls, fit: Record, name: str | None, at: Mapping[str, Any], what: str) -> Along:
        """The term of this name; None: the one with a relationship, or the only one."""
        t = chosen_term(fit, name, what)
        frame, values = values_at(fit, at)
        return cls(fit, t, values, [basis_at(fit, s, frame) for s in range(len(fit.model.terms))])

    def variances(self, factors: Sequence[np.ndarray]) -> np.ndarray:
        """Variances v_t (terms, m)."""
        return np.array([((W @ T) ** 2).sum(axis=1) for W, T in zip(self.bases, factors, strict=True)])

    def share(self, factors: Sequence[np.ndarray], rest: Any) -> np.ndarray:
        """The share h^2 (m,)."""
        each = self.variances(factors)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(each[self.t] / (each.sum(axis=0) + rest))

    def covariances(self, factors: Sequence[np.ndarray]) -> np.ndarray:
        """Covariances C (m, m)."""
        turned = self.bases[self.t] @ factors[self.t]
        return np.asarray(turned @ turned.T)

    def correlations(self, factors: Sequence[np.ndarray], _: Any = None) -> np.ndarray:
        """Correlations rho of each value with those after it."""
        C = self.covariances(factors)
        sd = np.sqrt(C.diagonal())
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((C / np.outer(sd, sd))[self.pairs])

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Each value, and each of those after it."""
        return np.triu_indices(len(self.bases[self.t]), 1)

    def variance_table(self, scale: float, rest: Mapping[str, Any], errors: Errors | None) -> pd.DataFrame:
        """The variance of each term, the ``rest`` by its name, ``total``, ``share``, and ``se`` of the share."""
        import pandas as pd

        terms, factors = self.fit.model.terms, self.fit.model.T(self.fit.theta)
        each = scale**2 * self.variances(factors)
        columns = dict(zip((term.name for term in terms), each, strict=True))
        columns |= {label: np.broadcast_to(value, each[0].shape) for label, value in rest.items()}
        columns |= {"total": np.sum(list(columns.values()), axis=0)}
        with np.errstate(invalid="ignore", divide="ignore"):
            columns |= {"share": columns[terms[self.t].name] / columns["total"]}
        if errors is not None:
            columns |= {"se": errors(self.share)}
        index = pd.MultiIndex.from_arrays(list(self.values.values()), names=list(self.values))
        if len(self.values) == 1:
            index = pd.Index(*self.values.values(), name=next(iter(self.values)))
        return pd.DataFrame(columns, index=index)

    def correlation_table(self, scale: float, errors: Errors | None) -> pd.DataFrame:
        """``covariance, correlation, se`` of the values of a level at each two values of the covariates."""
        import pandas as pd

        factors = self.fit.model.T(self.fit.theta)
        one, other = self.pairs
        columns = {"covariance": scale**2 * self.covariances(factors)[one, other]}
        columns |= {"correlation": self.correlations(factors)}
        if errors is not None:
            columns |= {"se": errors(self.correlations)}
        labels = [column[at] for at in (one, other) for column in self.values.values()]
        names = [*self.values, *(f"{column}.2" for column in self.values)]
        return pd.DataFrame(columns, index=pd.MultiIndex.from_arrays(labels, names=names))


def variance_curve(
    fit: Fitted, name: str | None, at: Mapping[str, Any], residual: Callable[[], LogSD], se: bool
) -> pd.DataFrame:
    """Variances of the terms and the residual at these values, their ``total``, the ``share`` of one and its ``se``.

    Raises
    ------
    MMEError
        As :func:`mme.results.curves.curves`.
    """
    along = Along.of(fit, name, at, "variance_curve")
    log_sd = residual()

    def errors(quantity: Quantity) -> np.ndarray:
        return fit.once(accuracy).standard_errors(
            lambda theta, phi, _: quantity(fit.model.T(theta), np.exp(2.0 * log_sd(phi)))
        )

    rest = {"residual": fit.sigma**2 * np.exp(2.0 * log_sd(fit.objective.phi))}
    return along.variance_table(fit.sigma, rest, errors if yes_or_no(se, "se") else None)


def correlation_curve(fit: Fitted, name: str | None, at: Mapping[str, Any], se: bool) -> pd.DataFrame:
    """``covariance, correlation, se`` between the values of a level at each two of these values.

    Raises
    ------
    MMEError
        As :func:`mme.results.curves.curves`; there are not two values.
    """

    def errors(quantity: Quantity) -> np.ndarray:
        return fit.once(accuracy).standard_errors(lambda theta, *_: quantity(fit.model.T(theta), None))

    return _at_pairs(fit, name, at).correlation_table(fit.sigma, errors if yes_or_no(se, "se") else None)


def generalised_variance_curve(
    fit: GeneralisedFitted, name: str | None, at: Mapping[str, Any], method: str | None, se: bool
) -> pd.DataFrame:
    """The same of a generalised fit, on the scale of the link, with the variance of the distribution."""
    along, rest, r = Along.of(fit, name, at, "variance_curve"), distribution_of(fit, method), fit.optimum.tau.size
    errors = _of_search(fit, lambda psi: rest(psi[psi.size - r :]))
    return along.variance_table(1.0, {"distribution": rest(fit.estimates.tau)}, errors if yes_or_no(se, "se") else None)


def generalised_correlation_curve(
    fit: GeneralisedFitted, name: str | None, at: Mapping[str, Any], se: bool
) -> pd.DataFrame:
    """The same of a generalised fit, on the scale of the link."""
    errors = _of_search(fit, lambda psi: None)
    return _at_pairs(fit, name, at).correlation_table(1.0, errors if yes_or_no(se, "se") else None)


def _at_pairs(fit: Record, name: str | None, at: Mapping[str, Any]) -> Along:
    along = Along.of(fit, name, at, "correlation_curve")
    if not along.pairs[0].size:
        raise MMEError("correlation_curve: at= needs two values or more, as {'age': [1, 5]}")
    return along


def _of_search(fit: GeneralisedFitted, rest: Callable[[np.ndarray], Any]) -> Errors:
    """Standard errors of quantities of a generalised fit, NaN where nothing moves them."""
    model = fit.model

    def errors(quantity: Quantity) -> np.ndarray:
        found = errors_of(fit, lambda psi: quantity(model.T(model.coordinates.outer(psi[: model.k])), rest(psi)))
        return np.where(found > 0.0, found, np.nan)

    return errors
