r"""Shares of the variance of the records: fixed effects, each random term, residual; R squared and ICC from these.

    s2_f = var(X beta),   s2_t = tr(Z_t var(b_t) Z_t') / n = mean_i K_gg z_i' G z_i,   s2_e = mean_i sigma^2 R_ii / w_i

where z_i has one level g; where each column has its own, the sum over pairs of columns of K_gh z_ia z_ib G_ab
(Nakagawa and Schielzeth 2013, Methods Ecol. Evol. 4, 133-142; s2_t with random slopes: Johnson 2014, ibid. 5, 944-946).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record, each_once, once
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.model.term import Term
from mme.results.share_of_term import record_products

if TYPE_CHECKING:
    import pandas as pd

# Variances of levels that are one.
_ALIKE = 1e-12
# Population values that differ by less than this share of their size are one value, rounded.
_CONSTANT = 1e-13


@dataclass(frozen=True, eq=False)
class Shares:
    """Variances of the fixed effects, each term and the rest, their names, and which the data do not determine."""

    names: list[str]
    values: np.ndarray
    is_open: np.ndarray

    @classmethod
    def of(
        cls, fit: Record, population: np.ndarray, rest: float, name: str, is_open: np.ndarray | None = None
    ) -> Shares:
        """Shares of X beta + offset (``population``), of each term, and of the ``rest`` under its name."""
        model = fit.model
        offset = 0.0 if model.offset is None else model.offset
        fixed = _variance(population - offset) if model.compressed is None else _variance_of_sums(fit)
        values = np.array([fixed, *random_variances(model, fit.theta, fit.sigma), rest])
        names = ["fixed effects", *(term.name for term in model.terms), name]
        return cls(names, values, np.zeros(values.size, dtype=bool) if is_open is None else is_open)

    @property
    def table(self) -> pd.DataFrame:
        """``variance, share``."""
        import pandas as pd

        found = np.where(self.is_open, np.nan, self.values)
        return pd.DataFrame({"variance": found, "share": found / self.values.sum()}, index=self.names)

    @property
    def r2(self) -> pd.Series:
        """``marginal``, ``conditional``."""
        import pandas as pd

        share = np.where(self.is_open[-1], np.nan, self.values[-1]) / self.values.sum()
        return pd.Series({"marginal": self.values[0] / self.values.sum(), "conditional": 1.0 - share}, name="r2")

    @property
    def icc(self) -> pd.Series:
        """Intraclass correlations by term, and of ``all`` together."""
        import pandas as pd

        values = self.values[1:]
        shares = np.append(values[:-1], values[:-1].sum()) / values.sum()
        shares[self.is_open[1:]] = np.nan  # of the rest for all
        return pd.Series(shares, index=[*self.names[1:-1], "all"], name="icc")


def _variance(mean: np.ndarray) -> float:
    """The variance of X beta over the records."""
    return float(np.var(mean, ddof=1)) if np.ptp(mean) > _CONSTANT * np.abs(mean).max() else 0.0


def _variance_of_sums(fit: Record) -> float:
    rows = once(fit, "a share in the variance")
    return rows.variance(rows.X[:, fit.basis.kept] @ fit.estimates.beta)


def variance_shares(fit: Fitted) -> pd.DataFrame:
    """``variance, share`` of the fixed effects, each random term and the residual; the shares sum to one.

    NaN for terms whose variances the data do not determine: that one of them is held at zero is no estimate.
    """
    return _shares(fit).table


def r2(fit: Fitted) -> pd.Series:
    """R squared of Nakagawa, Schielzeth and Johnson: ``marginal`` (fixed effects), ``conditional`` (random too)."""
    return _shares(fit).r2


def icc(fit: Fitted) -> pd.Series:
    """Intraclass correlation: the share of each random term, and of ``all``, in the variance that X leaves.

    NaN as in :func:`variance_shares`; ``all`` is known where the residual variance is.
    """
    return _shares(fit).icc


def _shares(fit: Fitted) -> Shares:
    rest = float(np.mean(fit.estimates.record_sd**2))
    if fit.model.compressed is not None:
        rest *= once(fit, "a share in the variance").inverse
    return Shares.of(fit, fit.estimates.population, rest, "residual", _is_open(fit))


def has_shares(fit: Fitted) -> bool:
    """Whether means over the records are known, which not all sums of records with weights have."""
    model = fit.model
    if model.compressed is None or not model.compressed.weighted:
        return True
    related = (model.relationship(t, fit.theta) for t in range(len(model.terms)))
    return each_once(model) is not None and all(one is None or _is_alike(one) for one in related)


def _is_open(fit: Fitted) -> np.ndarray:
    """Which of these the data do not determine."""
    model, marked = fit.model, fit.optimum.open
    if not fit.optimum.undetermined or not marked.size:
        return np.zeros(len(model.terms) + 2, dtype=bool)
    of_terms = [bool(own.any()) for own in model.split(marked[: model.k])]
    return np.array([False, *of_terms, model.sigma is None and bool(marked[model.k])])


def random_variances(model: Model, theta: np.ndarray, sigma: float) -> list[float]:
    """What each term adds to the variance of a record, on average."""
    rows = None if model.compressed is None else model.compressed.plain
    return [
        _mean_variance(term, model.relationship(t, theta), sigma * T) * (model.n / model.n_records)
        if rows is None
        else _mean_of_plain(rows.Z[t], model.relationship(t, theta), sigma * T, model)
        for t, (term, T) in enumerate(zip(model.terms, model.T(theta), strict=True))
    ]


def _mean_of_plain(Z: np.ndarray, related: Any, T: np.ndarray, model: Model) -> float:
    """mean_i z_i' G z_i over records with weights, from rows without them, of all levels: K_gg is one."""
    if related is not None and not _is_alike(related):
        raise MMEError(
            "the mean variance of records of levels with unlike variances takes the records themselves, and this fit "
            "was made of weighted sums; fit the formula to a table in memory"
        )
    K = 1.0 if related is None else float(np.asarray(related.diagonal)[0])
    return K * float(np.sum((Z @ T) ** 2)) / model.n_records


def _is_alike(related: Any) -> bool:
    """Whether all levels have one variance."""
    K = np.asarray(related.diagonal)
    return bool(np.ptp(K) <= _ALIKE * K.max())


def variances(fit: Record) -> pd.DataFrame:
    """Four variances that are often confused, side by side: one row per variance or covariance of a term."""
    import pandas as pd

    rows = []
    parts = zip(
        fit.model.terms, fit.varcorr.values(), fit.estimates.b, fit.estimates.condvar, fit.estimates.pev, strict=True
    )
    for term, prior, b, condvar, pev in parts:
        of_blups, condvar, pev = b.T @ b / len(b), condvar.mean(axis=0), pev.mean(axis=0)
        at = [term.columns.index(name) for name in prior.names]  # those of columns that share a coefficient are one
        for i, j in _entries(len(at)):
            second = None if i == j else prior.names[i]
            values = (prior.cov[i, j], *(one[at[i], at[j]] for one in (of_blups, condvar, pev)))
            rows.append((term.name, prior.names[j], second, *values))
    names = ["group", "term1", "term2", "prior", "of_blups", "mean_condvar", "mean_pev"]
    return pd.DataFrame(rows, columns=names)


def _entries(q: int) -> list[tuple[int, int]]:
    """The diagonal, then the lower triangle by columns."""
    return [(i, i) for i in range(q)] + [(i, j) for j in range(q) for i in range(j + 1, q)]


def _mean_variance(term: Term, related: Any, T: np.ndarray) -> float:
    """mean_i K_gg z_i' G z_i, G = T T'."""
    products = record_products(term, scaled=False)
    if products is not None:
        return float(np.vdot(products.mean(axis=2), T @ T.T))
    K = 1.0 if related is None else np.asarray(related.diagonal)[term.codes]
    if term.covariates is None:
        return float(np.mean(K * T[0, 0] ** 2))
    return float(np.mean(K * ((term.covariates @ T) ** 2).sum(axis=1)))
