"""Tests of candidate columns of X, one by one, at the variances of a fit; for the best these are estimated anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, chdtri, fdtrc

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.inference.fixed.methods import reference
from mme.inference.fixed.reference import two_sided
from mme.inference.scanning.candidates import Candidates, imputed
from mme.inference.scanning.forms import Forms
from mme.search.loop import search

if TYPE_CHECKING:
    import pandas as pd

# Directions of a candidate's columns, of unit size, of which other columns leave no more than this are none.
_DEPENDENT = 1e-9
# Candidates of which the ratio of x'Px to x'Mx is taken.
_OF_RATIO = 200


@dataclass(frozen=True, eq=False)
class Scan:
    """Tests of candidates, a row each.

    Attributes
    ----------
    table : DataFrame
        ``estimate, se, t, p`` and ``n_missing``, with ``refit_estimate, refit_se, refit_df, refit_p`` of those whose
        variances were estimated anew; of candidates of several columns ``F, df, df_error, p`` and ``n_missing``.
    df : float
        Degrees of freedom of t: n - p - 1; infinite where sigma is known.
    ratio : float or None
        The mean of x'Px / x'Mx, where errors were computed by it; ``ratio_sd`` is its standard deviation over the
        candidates that it was taken of.
    """

    table: pd.DataFrame
    df: float
    ratio: float | None = None
    ratio_sd: float | None = None

    def __len__(self) -> int:
        return len(self.table)

    def top(self, n: int = 10) -> pd.DataFrame:
        """The n rows with the smallest p-values."""
        return self.table.nsmallest(n, "p")

    @property
    def inflation(self) -> float:
        """Genomic inflation: the median of t^2 over that of chi-square on one degree of freedom; NaN without tests."""
        squares = self.table["t"] ** 2 if "t" in self.table else chdtri(1, self.table["p"])
        return float(squares.median() / 0.45493642311957283)

    def __repr__(self) -> str:
        how = "" if self.ratio is None else f", errors by a ratio of {self.ratio:.4g} (sd {self.ratio_sd:.2g})"
        return (
            f"Scan of {len(self):,} candidates on {self.df:.0f} df{how}; inflation {self.inflation:.3f}\n{self.top(5)}"
        )


def scan_at(
    fit: Fitted,
    candidates: Candidates,
    chosen: np.ndarray,
    by_ratio: bool,
    out: np.ndarray,
    report: Callable[[int], None],
) -> tuple[float, float] | None:
    """Fill estimate, se, t, p and missing values (m, 5) of the chosen candidates; the ratio with its sd."""
    forms, df, known, done = Forms(fit.estimates), error_freedom(fit), fit.objective.constants.sigma, 0
    pwrss = fit.estimates.pwrss
    ratio = _ratio(fit, forms, candidates, chosen) if by_ratio else None
    for at, columns in candidates.blocks(chosen):
        x, missing = imputed(np.ascontiguousarray(columns[:, fit.rows.kept]))
        squares, along = forms.of(x) if ratio is None else forms.roughly(x)
        squares = squares if ratio is None else squares * ratio[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            estimate = along / squares
            left = np.full(len(x), known**2) if known is not None else (pwrss - along**2 / squares) / df
            se = np.sqrt(np.maximum(left, 0.0) / squares)
            t = estimate / se
        out[at] = np.column_stack([estimate, se, t, two_sided(t, np.full(t.shape, df)), missing])
        done += at.size
        report(done)
    return ratio


def error_freedom(fit: Fitted) -> float:
    """Degrees of freedom beside one further column: n - p - 1, infinite where sigma is known.

    Raises
    ------
    MMEError
        There are none.
    """
    constants = fit.objective.constants
    df = float("inf") if constants.sigma is not None else float(constants.n - constants.p - 1)
    if df <= 0.0:
        raise MMEError(f"{constants.n} records leave no degrees of freedom for a further column beside {constants.p}")
    return df


def _ratio(fit: Fitted, forms: Forms, candidates: Candidates, chosen: np.ndarray) -> tuple[float, float]:
    """The mean of x'Px / x'Mx over candidates spread evenly, and its standard deviation."""
    some = chosen[np.unique(np.linspace(0, chosen.size - 1, min(_OF_RATIO, chosen.size)).astype(int))]
    ratios = []
    for j in some.tolist():
        x, _ = imputed(candidates.read(j, j + 1).T[:, fit.rows.kept])
        ratios.append(float(forms.of(x)[0][0] / forms.roughly(x)[0][0]))
    values = np.array(ratios)
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise MMEError("no candidate varies beside X: there is nothing to scan")
    return float(values.mean()), float(values.std())


def scan_jointly(
    fit: Fitted, candidates: Candidates, chosen: np.ndarray, out: np.ndarray, report: Callable[[int], None]
) -> None:
    """Fill F, its degrees of freedom, p and missing values (m, 5) of candidates of several columns each."""
    forms, constants, done = Forms(fit.estimates), fit.objective.constants, 0
    known, pwrss = constants.sigma, fit.estimates.pwrss
    for at, columns in candidates.blocks(chosen):
        x, missing = imputed(np.ascontiguousarray(columns[:, :, fit.rows.kept]))
        squares, along = forms.joint(np.nan_to_num(x))
        values, vectors = np.linalg.eigh(squares)
        counts = values > _DEPENDENT
        rank, turned = counts.sum(axis=1), np.einsum("bij,bi->bj", vectors, along)
        explained = (turned**2 / np.where(counts, values, np.inf)).sum(axis=1)
        df = np.full(rank.shape, np.inf) if known is not None else constants.n - constants.p - rank.astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            left = known**2 if known is not None else (pwrss - explained) / df
            F = np.where(df > 0.0, explained / rank / left, np.nan)  # of no column 0 / 0
        p = np.where(np.isinf(df), chdtrc(rank, rank * F), fdtrc(rank, df, F))
        out[at] = np.column_stack([F, rank, df, p, missing.sum(axis=1)])
        done += at.size
        report(done)


def refit_with(fit: Fitted, column: np.ndarray) -> tuple[float, float, float, float]:
    """Estimate, se, Satterthwaite's df and p of a further column (n,) of X, the variances estimated anew beside it."""
    model = fit.model
    joined = model.beside(X=np.column_stack([model.X, column]), x_names=(*model.x_names, "candidate"))
    found = search(joined, None, False, fit.theta)
    again = replace(fit, model=found.objective.model, optimum=found.optimum, objective=found.objective)
    by, last = reference(again, "satterthwaite"), np.eye(joined.X.shape[1])[-1:]
    if joined.X.shape[1] - 1 not in again.basis.kept.tolist():
        return (float("nan"),) * 4
    L = last[:, again.basis.kept]
    estimate, se, df = float((L @ by.beta)[0]), float(by.se(L)[0]), float(by.df(L)[0])
    return estimate, se, df, two_sided(np.array([estimate / se]), np.array([df])).item()
