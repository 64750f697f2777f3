"""Heritabilities, genetic correlations and reliabilities from a fit's plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from mme.engine.objective import Objective
from mme.errors import MMEError, warn
from mme.fitted.common import require_records
from mme.fitted.local import Local
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.delta import jacobian, parameter_covariance
from mme.numeric.limits import limits
from mme.relationship.known import covariances
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


# Operations a record to whiten and assemble anew, as every residual parameter asks for.
_ASSEMBLY = 1e4


@dataclass(frozen=True, eq=False)
class Ratios:
    """Shares of one term in the variance of the records, then correlations of its coefficients; se NaN: unknown."""

    labels: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray


def heritabilities(fit: Fitted, around: Local | None, name: str) -> Ratios:
    """Shares of a term in the variance of the records, and correlations of its coefficients.

    For a coefficient c, averaged over the records whose covariate z_c is not zero,

        h2_c = mean(z_c^2) G_cc / ( sum_t mean(z_t'G_t z_t) + sigma^2 mean(R_ii) ),

    of the base population: inbreeding is not counted. Where each coefficient has levels of its own, z_t'G_t z_t takes
    the relationship k between them with it, K scaled to K_gg = 1: s2_a + 2 k s_am + s2_m for direct and maternal
    effects, with k = 1/2 for an animal of unrelated parents and its dam (Willham 1963, Biometrics 19:18-27).

    Standard errors are those of the delta method on (theta, phi), whose covariance is twice the inverse Hessian of the
    criterion; sigma cancels. They are NaN without one (``around`` is None), where nothing that was estimated moves the
    share (theta was given), and where a variance of zero makes the first derivatives vanish: the method says nothing
    there. All is NaN where the data do not determine the variances of the term.
    """
    model, estimates = fit.model, fit.estimates
    t = _term(model, name)
    if fit.optimum.undetermined and model.split(fit.optimum.open[: model.k])[t].any():
        unknown = np.full(len(_labels(model, t)), np.nan)
        return Ratios(_labels(model, t), unknown, unknown)
    records, products = _records(model, t), [record_products(term, scaled=True) for term in model.terms]
    inside = estimates.in_axes.objective.inside if around is None else around.inside
    parts = _parts(model, inside, products)

    def ratios(parameters: np.ndarray) -> np.ndarray:
        theta, phi = np.split(parameters, [model.k])
        factors = model.T(theta)
        own = factors[t] if parts[t].back is None else parts[t].back @ factors[t]
        kept = slice(None) if (chosen := model.coefficients(t)) is None else chosen
        shares = _shares(model, t, records, parts, factors, own, phi)[kept]
        return np.concatenate([shares, _correlations(own[kept])])

    theta = estimates.in_axes.theta if inside else estimates.theta
    at = np.concatenate([theta, estimates.objective.phi]) if around is None else around.parameters
    estimate = ratios(at)
    if around is None:
        return Ratios(_labels(model, t), estimate, np.full(estimate.size, np.nan))
    cov = parameter_covariance(around.hessian)
    slopes = jacobian(ratios, at, np.sqrt(np.diag(cov)))
    se = np.sqrt(np.einsum("ij,jk,ik->i", slopes, cov, slopes))
    moved = slopes[:, np.isfinite(np.diag(around.hessian))].any(axis=1)
    return Ratios(_labels(model, t), estimate, np.where(moved, se, np.nan))


def heritability_table(fit: Fitted, name: str) -> pd.DataFrame:
    """The :func:`heritabilities` of a term as a table: ``estimate, se``."""
    import pandas as pd

    require_records(fit, "heritability()")
    found = heritabilities(fit, fit.local, name)
    if np.isnan(found.estimate).all() and fit.optimum.undetermined:
        said = "; ".join(fit.optimum.undetermined)
        warn(f"no heritability of {name}: {said}")
    return pd.DataFrame({"estimate": found.estimate, "se": found.se}, index=pd.Index(found.labels, name=name))


def is_quick(objective: Objective) -> bool:
    """Whether the Hessian of the criterion takes about a second at most, by its operations: k (k + 1) evaluations."""
    k = objective.model.k + objective.phi.size
    return k * (k + 1) * evaluation_operations(objective) <= limits().summary_operations


def evaluation_operations(objective: Objective) -> float:
    """Operations of one evaluation, the assembly that a residual parameter asks for among them."""
    return objective.engine.flops + (_ASSEMBLY * objective.model.n if objective.phi.size else 0.0)


def prior_variances(model: Model, theta: np.ndarray, sigma: float) -> list[np.ndarray]:
    """var(b_g) = K_gg G of every level and coefficient (J, q) of each term."""
    found = []
    for t, (term, T) in enumerate(zip(model.terms, model.T(theta), strict=True)):
        related = model.relationship(t, theta)
        K = np.ones(term.n_levels) if related is None else np.asarray(related.diagonal)
        found.append(np.outer(K, sigma**2 * np.diag(T @ T.T)))
    return found


def reliabilities(model: Model, theta: np.ndarray, sigma: float, effects_pev: list[np.ndarray]) -> list[np.ndarray]:
    """1 - PEV / var(b) of every level and coefficient (J, q) of each term; var(b_g) = K_gg G, K_gg = 1 + F_g.

    NaN where an animal's groups are so little known that the PEV, which counts them, is the larger of the two.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        priors = prior_variances(model, theta, sigma)
        found = [1.0 - np.einsum("gii->gi", pev) / prior for pev, prior in zip(effects_pev, priors, strict=True)]
    for one in model.unknown_parents:
        found[one.term][found[one.term] < 0.0] = np.nan
    return found


def _term(model: Model, name: str) -> int:
    names = [term.name for term in model.terms]
    if not is_word(name, names):
        raise MMEError(f"there is no term {shown(name)}; the fit has {', '.join(map(repr, names))}")
    return names.index(name)


def _labels(model: Model, t: int) -> tuple[str, ...]:
    columns = model.coefficient_names(t)
    if len(columns) == 1:
        return ("heritability",)
    pairs = [(j, i) for j in range(len(columns)) for i in range(j + 1, len(columns))]
    correlations = [f"correlation {columns[j]}, {columns[i]}" for j, i in pairs]
    return (*(f"heritability {column}" for column in columns), *correlations)


def _records(model: Model, t: int) -> list[np.ndarray]:
    """The records on which each coefficient of a term acts."""
    covariates = model.terms[t].covariates
    if covariates is None:
        return [np.arange(model.n)]
    return [np.flatnonzero(column) for column in covariates.T]


def record_products(term: Term, *, scaled: bool) -> np.ndarray | None:
    """z_ia z_ib K_gh of every record (q, q, n) where its columns a and b have levels g and h; None if they have one.

    ``scaled``: K of unit diagonal. Fixed groups of a pedigree are fixed effects: K is that of the animals given them.
    """
    if not term.by_column or term.covariates is None:
        return None
    K = _between_levels(term)
    if scaled:
        sd = np.sqrt(np.einsum("aan->an", K))
        size = sd[:, None] * sd
        K = np.divide(K, size, out=np.zeros_like(K), where=size > 0.0)
    return np.asarray(term.covariates.T[:, None] * term.covariates.T * K)


def _between_levels(term: Term) -> np.ndarray:
    """K_gh (q, q, n) between the levels of the columns of a record."""
    rows, cols = np.broadcast_arrays(term.codes[:, None], term.codes)
    if term.relationship is None:
        return np.asarray(rows == cols, dtype=float)
    random = np.isfinite(term.relationship.diagonal)
    precision, place = sp.csc_array(term.relationship.precision), np.cumsum(random) - 1
    if not random.all():
        precision = precision[random][:, random]
    K, both = np.zeros(rows.shape), random[rows] & random[cols]
    K[both] = covariances(precision, place[rows[both]], place[cols[both]])
    return K


@dataclass(frozen=True, eq=False)
class _Part:
    """Columns Z (n, q) that T of a term is of (None: ones), its :func:`record_products`, and the way ``back``.

    In the axes z'T has no more digits to lose where a covariate is far from zero; ``back`` @ T is that of the user's
    columns.
    """

    Z: np.ndarray | None
    products: np.ndarray | None
    back: np.ndarray | None

    def variance(self, T: np.ndarray) -> np.ndarray | float:
        """z_i'T T'z_i for every record."""
        if self.products is not None:
            return np.asarray(np.einsum("abn,ab->n", self.products, T @ T.T))
        return float(T[0, 0] ** 2) if self.Z is None else np.asarray(((self.Z @ T) ** 2).sum(axis=1))


def _parts(model: Model, inside: bool, products: list[np.ndarray | None]) -> list[_Part]:
    found = []
    for term, axes, K in zip(model.terms, model.axes, products, strict=True):
        if axes is None or not inside:
            found.append(_Part(term.covariates, K, None))
        else:
            columns = [np.ones(model.n) if column is None else column for column in axes.columns]
            found.append(_Part(np.column_stack(columns), K, axes.inverse))
    return found


def _shares(
    model: Model,
    t: int,
    records: list[np.ndarray],
    parts: list[_Part],
    factors: list[np.ndarray],
    own: np.ndarray,
    phi: np.ndarray,
) -> np.ndarray:
    """Of a term with T ``own`` in the user's columns."""
    residual = np.ones(model.n) if model.weights is None else 1.0 / model.weights
    if model.residual is not None:
        residual = residual * np.exp(2.0 * model.residual.log_sd(phi))
    total = residual + sum(part.variance(T) for part, T in zip(parts, factors, strict=True))
    prior, covariates = np.diag(own @ own.T), model.terms[t].covariates
    squares = [1.0 if covariates is None else np.mean(covariates[at, c] ** 2) for c, at in enumerate(records)]
    return np.array([square * g / np.mean(total[at]) for square, g, at in zip(squares, prior, records, strict=True)])


def _correlations(T: np.ndarray) -> np.ndarray:
    G = T @ T.T
    sd = np.sqrt(np.diag(G))
    with np.errstate(invalid="ignore", divide="ignore"):
        R = G / np.outer(sd, sd)
    return np.array([R[i, j] for j in range(len(R)) for i in range(j + 1, len(R))])
