r"""Heritabilities of trials: how well genotypes are told apart, from the average variance of a difference.

    Cullis    H^2 = 1 - v_BLUP / (2 sigma_g^2)
    Piepho    H^2 = sigma_g^2 / (sigma_g^2 + v_BLUE / 2)

v is the variance of the difference of two genotypes, averaged over all pairs of the m genotypes with records: with C
their covariance, 2 (tr C - 1'C 1 / m) / (m - 1) (Cullis, Smith and Coombes 2006, J. Agric. Biol. Environ. Stat. 11:381;
Piepho and Mohring 2007, Genetics 177:1881). For BLUPs C is that of prediction errors, whose sum is that of one function
of them, by the working variate w = Z G k, k the genotypes with records:

    k'C k = k'G k - w'P w.                                                                                        (C)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from mme.covariance.shared import shared_by
from mme.derivatives.average import left_of
from mme.derivatives.score import Score
from mme.derivatives.uncertainty import Meetings
from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.formula.apart import written_by
from mme.formula.syntax import Call, deparse
from mme.numeric.lapack import triangular_solve
from mme.results.breeding_values import chosen_term, records_of

# A coefficient of least squares this small is rounding.
_ALIKE = 1e-6
# Of a record, a term of one coefficient and weights k of its levels: the prediction error variance of k'b.
ErrorOfSum = Callable[[Any, int, np.ndarray], float]


def cullis(fit: Record, name: str | None, error_of_sum: ErrorOfSum) -> float:
    """Cullis's heritability of the means of a term; zero where its variance is.

    Raises
    ------
    MMEError
        The term has several coefficients, or one level with records.
    """
    t = chosen_term(fit, name, "cullis")
    term = fit.model.terms[t]
    q = len(fit.model.coefficient_names(t))
    if q > 1:
        raise MMEError(f"cullis: the term '{term.name}' has {q} coefficients; it is for one, as (1 | {term.name})")
    used = records_of(fit, t)[:, 0] > 0
    m, variance = int(used.sum()), float(fit.varcorr[term.name].cov[0, 0])
    if m < 2:
        raise MMEError(f"cullis: the term '{term.name}' has one level with records")
    if variance <= 0.0:
        return 0.0
    trace = float(fit.estimates.pev[t][used, 0, 0].sum())
    return 1.0 - average_difference(trace, error_of_sum(fit, t, used.astype(float)), m) / (2.0 * variance)


def made_fixed(fit: Record, name: str) -> tuple[str, str]:
    """The change of the formula that makes a term fixed, and what the fixed term is called there.

    The parts of ``dsum()`` become fixed together, as the combinations of both factors.

    Raises
    ------
    MMEError
        There is no term of this name.
    """
    t = chosen_term(fit, name, "piepho")
    bar = None if fit.specification is None else fit.specification.bars[t]
    if bar is None or bar.level is None or not isinstance(bar.by, Call):
        return f"~ . - (1 | {name}) + C({name})", f"C({name})"
    group = ":".join(map(deparse, bar.factors))
    written = ":".join(f"C({deparse(one)})" for one in (*bar.by.args, *bar.factors))
    return f"~ . - dsum((1 | {group}) | {written_by(bar)}) + {written}", written


def of_fixed(fit: Record, fixed: Record, name: str, written: str) -> float:
    """Piepho's heritability, from the variance of one fit and the differences of levels in the ``fixed`` one.

    Raises
    ------
    MMEError
        The data do not determine all levels as fixed effects, or the term is not ``(1 | name)``.
    """
    t = chosen_term(fit, name, "piepho")
    group = fit.model.terms[t].group
    if any(term.group == group for term in fixed.model.terms):
        raise MMEError(f"piepho: the term of '{name}' is made fixed where it is written (1 | {group})")
    if written != f"C({name})":
        return _of_part(fit, fixed, t, written)
    kept = fixed.basis.kept
    owners = np.array(fixed.specification.column_terms, dtype=object)
    if not np.isin(np.flatnonzero(owners == written), kept).all():
        raise MMEError(f"piepho: the data do not determine all levels of '{name}' as fixed effects")
    at = np.flatnonzero(owners[kept] == written)
    B = fixed.estimates.beta_cov[np.ix_(at, at)]  # of each level less the first
    variance = float(fit.varcorr[name].cov[0, 0])
    return variance / (variance + 0.5 * average_difference(float(np.trace(B)), float(B.sum()), at.size + 1))


def _of_part(fit: Record, fixed: Record, t: int, written: str) -> float:
    """That of the part of ``dsum()`` at one level: from differences of the cells in which it has records.

    Rows of X of two cells differ by the columns of the combinations alone. The difference is determined where each
    dropped column adds to both cells alike, as what it is of the columns that are kept.
    """
    term, X, kept = fit.model.terms[t], fixed.model.X, fixed.basis.kept
    own = np.array(fixed.specification.column_terms, dtype=object) == written
    assert term.covariates is not None  # the indicator of the level
    here = np.flatnonzero(term.covariates[:, 0])
    rows = np.where(own, X[here[np.unique(term.codes[here], return_index=True)[1]]], 0.0)
    dropped = np.setdiff1d(np.arange(X.shape[1]), kept)
    added = rows[:, dropped] - rows[:, kept] @ np.linalg.lstsq(X[:, kept], X[:, dropped])[0]
    if len(rows) < 2 or (np.abs(added - added[0]) > _ALIKE).any():
        raise MMEError(f"piepho: the data do not determine all levels of '{term.name}' as fixed effects")
    C = rows[:, kept] @ fixed.estimates.beta_cov @ rows[:, kept].T
    variance = float(fit.varcorr[term.name].cov[0, 0])
    return variance / (variance + 0.5 * average_difference(float(np.trace(C)), float(C.sum()), len(C)))


def average_difference(trace: float, total: float, m: int) -> float:
    """Mean over pairs of the variance of a difference, from tr C and 1'C 1."""
    return 2.0 * (trace - total / m) / (m - 1)


def error_of_sum(fit: Fitted, t: int, k: np.ndarray) -> float:
    """(C): the prediction error variance of k'b, k (J,), of a term of one coefficient."""
    origin = fit.estimates
    objective, term = origin.objective, fit.model.terms[t]
    related = fit.model.relationship(t, fit.theta)
    Kk = k if related is None else splu(sp.csc_array(related.precision)).solve(k)
    ratio = float(fit.varcorr[term.name].cov[0, 0]) / fit.sigma**2
    shared = shared_by(fit.model.structures[t])
    w = np.asarray((term.Z if shared is None else shared.columns_summed(term.Z)) @ Kk) * ratio
    model = fit.model
    w = w if model.root_weights is None else w * model.root_weights
    white = w if model.residual is None else model.residual.whiten(objective.phi, w[None])[0]
    of, R = Score(objective, origin.theta, Meetings()), objective.system.absorbed.levels.R
    FF, FN = left_of(of, white[None], np.zeros((1, R.shape[0], R.shape[2])))
    border, p = of.uncertainty.estimates.at.border, objective.system.p
    taken = triangular_solve(border, FN.T, transposed=False)[:p, 0]
    return fit.sigma**2 * (ratio * float(k @ Kk) - float(FF[0, 0] - taken @ taken))
