"""What share a term's coefficients have in the variance of the records, and their correlations, as functions of T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.model.problem import Model
from mme.model.term import Term
from mme.relationship.known import covariances
from mme.tables.arguments import is_word
from mme.tables.arrays import shown


@dataclass(frozen=True, eq=False)
class ShareOfTerm:
    """Term ``t`` of a model: the records on which each of its coefficients acts, and the columns of all terms."""

    model: Model
    t: int
    records: list[np.ndarray]
    parts: list[_Part]

    @classmethod
    def of(cls, model: Model, name: str, *, inside: bool) -> ShareOfTerm:
        """The share of the term of this name; theta is ``inside`` the axes, or in the user's columns.

        Raises
        ------
        MMEError
            There is no such term.
        """
        t = term_of(model, name)
        return cls(model, t, _records(model, t), _parts(model, inside))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the shares and correlations."""
        return ratio_labels(self.model, self.t)

    def __call__(self, theta: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Shares and correlations at theta; ``residual`` (n,) is what remains of the variance of a record."""
        factors = self.model.T(theta)
        total = residual + self.variance(factors)
        means = np.array([np.mean(total[at]) for at in self.records])
        return np.concatenate(
            [self.additive(factors) / means[self._kept], _correlations(self._own(factors)[self._kept])]
        )

    def variance(self, factors: Sequence[np.ndarray]) -> np.ndarray:
        """What all terms add to the variance of each record (n,)."""
        parts = zip(self.parts, factors, strict=True)
        return np.asarray(np.zeros(self.model.n) + sum(part.variance(T) for part, T in parts))

    def additive(self, factors: Sequence[np.ndarray]) -> np.ndarray:
        """mean(z_c^2) G_cc of each coefficient, over the records on which it acts."""
        own, covariates = self._own(factors), self.model.terms[self.t].covariates
        each = enumerate(self.records)
        squares = np.array([1.0 if covariates is None else np.mean(covariates[at, c] ** 2) for c, at in each])
        return np.asarray((squares * np.diag(own @ own.T))[self._kept])

    def _own(self, factors: Sequence[np.ndarray]) -> np.ndarray:
        """T of the term in the user's columns."""
        back = self.parts[self.t].back
        return factors[self.t] if back is None else np.asarray(back @ factors[self.t])

    @property
    def _kept(self) -> Any:
        """The columns that stand for a coefficient each."""
        chosen = self.model.coefficients(self.t)
        return slice(None) if chosen is None else chosen


def term_of(model: Model, name: str) -> int:
    """The term of this name.

    Raises
    ------
    MMEError
        There is none.
    """
    names = [term.name for term in model.terms]
    if not is_word(name, names):
        raise MMEError(f"there is no term {shown(name)}; the fit has {', '.join(map(repr, names))}")
    return names.index(name)


def ratio_labels(model: Model, t: int) -> tuple[str, ...]:
    """Names of the shares of a term's coefficients and of their correlations."""
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


def _parts(model: Model, inside: bool) -> list[_Part]:
    found = []
    for term, axes in zip(model.terms, model.axes, strict=True):
        K = record_products(term, scaled=True)
        if axes is None or not inside:
            found.append(_Part(term.covariates, K, None))
        else:
            columns = [np.ones(model.n) if column is None else column for column in axes.columns]
            found.append(_Part(np.column_stack(columns), K, axes.inverse))
    return found


def _correlations(T: np.ndarray) -> np.ndarray:
    G = T @ T.T
    sd = np.sqrt(np.diag(G))
    with np.errstate(invalid="ignore", divide="ignore"):
        R = G / np.outer(sd, sd)
    return np.array([R[i, j] for j in range(len(R)) for i in range(j + 1, len(R))])
