"""Heritabilities, genetic correlations and reliabilities from a fit's plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from mme.arguments import is_word
from mme.arrays import shown
from mme.delta import jacobian, parameter_covariance
from mme.errors import MMEError
from mme.estimates import Estimates
from mme.model import Model
from mme.objective import Objective
from mme.relationship import covariances
from mme.terms import Term

if TYPE_CHECKING:
    import pandas as pd

# Floating-point operations that nobody waits for: about a second.
_QUICK = 1e10
# Operations a record to whiten and assemble anew, as every residual parameter asks for.
_ASSEMBLY = 1e4


@dataclass(frozen=True, eq=False)
class Ratios:
    """Shares of one term in the variance of the records, then correlations of its coefficients; se NaN: unknown."""

    labels: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray


def heritabilities(estimates: Estimates, hessian: np.ndarray | None, name: str) -> Ratios:
    """Shares of a term in the variance of the records, and correlations of its coefficients.

    For a coefficient c, averaged over the records whose covariate z_c is not zero,

        h2_c = mean(z_c^2) G_cc / ( sum_t mean(z_t'G_t z_t) + sigma^2 mean(R_ii) ),

    of the base population: inbreeding is not counted. Where each coefficient has levels of its own, z_t'G_t z_t takes
    the relationship k between them with it, K scaled to K_gg = 1: s2_a + 2 k s_am + s2_m for direct and maternal
    effects, with k = 1/2 for an animal of unrelated parents and its dam (Willham 1963, Biometrics 19:18-27).

    Standard errors are those of the delta method on (theta, phi), whose covariance is twice the inverse Hessian of the
    criterion; sigma cancels. They are NaN without a Hessian, where nothing that was estimated moves the share (theta
    was given), and where a variance of zero makes the first derivatives vanish: the method says nothing there.
    """
    model = estimates.objective.model
    t = _term(model, name)
    records, products = _records(model, t), [record_products(term, scaled=True) for term in model.terms]

    def ratios(parameters: np.ndarray) -> np.ndarray:
        theta, phi = np.split(parameters, [model.k])
        return np.concatenate([_shares(model, t, records, products, theta, phi), _correlations(model.T(theta)[t])])

    at = np.concatenate([estimates.theta, estimates.objective.phi])
    estimate = ratios(at)
    if hessian is None:
        return Ratios(_labels(model, t), estimate, np.full(estimate.size, np.nan))
    cov = parameter_covariance(hessian)
    slopes = jacobian(ratios, at, np.sqrt(np.diag(cov)))
    se = np.sqrt(np.einsum("ij,jk,ik->i", slopes, cov, slopes))
    moved = slopes[:, np.isfinite(np.diag(hessian))].any(axis=1)
    return Ratios(_labels(model, t), estimate, np.where(moved, se, np.nan))


def heritability_table(estimates: Estimates, hessian: np.ndarray, name: str) -> pd.DataFrame:
    """The :func:`heritabilities` of a term as a table: ``estimate, se``."""
    import pandas as pd

    found = heritabilities(estimates, hessian, name)
    return pd.DataFrame({"estimate": found.estimate, "se": found.se}, index=pd.Index(found.labels, name=name))


def is_quick(objective: Objective) -> bool:
    """Whether the Hessian of the criterion takes about a second at most, by its operations: k (k + 1) evaluations."""
    k = objective.model.k + objective.phi.size
    assembly = _ASSEMBLY * objective.model.n if objective.phi.size else 0.0
    return k * (k + 1) * (objective.engine.flops + assembly) <= _QUICK


def reliabilities(estimates: Estimates) -> list[np.ndarray]:
    """1 - PEV / var(b) of every level and coefficient (J, q) of each term; var(b_g) = K_gg G, K_gg = 1 + F_g.

    NaN where an animal's groups are so little known that the PEV, which counts them, is the larger of the two.
    """
    model = estimates.objective.model
    found = []
    for t, (term, T, pev) in enumerate(zip(model.terms, model.T(estimates.theta), estimates.effects_pev, strict=True)):
        prior = estimates.sigma**2 * np.diag(T @ T.T)
        related = model.relationship(t, estimates.theta)
        K = np.ones(term.n_levels) if related is None else np.asarray(related.diagonal)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(1.0 - np.einsum("gii->gi", pev) / np.outer(K, prior))
    for one in model.unknown_parents:
        found[one.term][found[one.term] < 0.0] = np.nan
    return found


def _term(model: Model, name: str) -> int:
    names = [term.name for term in model.terms]
    if not is_word(name, names):
        raise MMEError(f"there is no term {shown(name)}; the fit has {', '.join(map(repr, names))}")
    return names.index(name)


def _labels(model: Model, t: int) -> tuple[str, ...]:
    columns = model.terms[t].columns
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
    if term.codes.ndim == 1 or term.covariates is None:
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


def _shares(
    model: Model,
    t: int,
    records: list[np.ndarray],
    products: list[np.ndarray | None],
    theta: np.ndarray,
    phi: np.ndarray,
) -> np.ndarray:
    factors = model.T(theta)
    residual = np.ones(model.n) if model.weights is None else 1.0 / model.weights
    if model.residual is not None:
        residual = residual * np.exp(2.0 * model.residual.log_sd(phi))
    parts = zip(model.terms, products, factors, strict=True)
    total = residual + sum(
        _variance(term.covariates, T) if K is None else np.einsum("abn,ab->n", K, T @ T.T) for term, K, T in parts
    )
    own, covariates = np.diag(factors[t] @ factors[t].T), model.terms[t].covariates
    squares = [1.0 if covariates is None else np.mean(covariates[at, c] ** 2) for c, at in enumerate(records)]
    return np.array([square * g / np.mean(total[at]) for square, g, at in zip(squares, own, records, strict=True)])


def _variance(Z: np.ndarray | None, T: np.ndarray) -> np.ndarray | float:
    """z_i'T T'z_i for every record."""
    return float(T[0, 0] ** 2) if Z is None else np.asarray(((Z @ T) ** 2).sum(axis=1))


def _correlations(T: np.ndarray) -> np.ndarray:
    G = T @ T.T
    sd = np.sqrt(np.diag(G))
    with np.errstate(invalid="ignore", divide="ignore"):
        R = G / np.outer(sd, sd)
    return np.array([R[i, j] for j in range(len(R)) for i in range(j + 1, len(R))])
