"""Tests of candidate columns of X, one by one, at the variances of a fit; for the best these are estimated anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.inference.fixed.methods import reference
from mme.inference.fixed.reference import two_sided
from mme.inference.scanning.forms import Forms
from mme.search.loop import search
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

# Candidates handled at a time.
_TOGETHER = 256
# Candidates of which the ratio of x'Px to x'Mx is taken.
_OF_RATIO = 200


@dataclass(frozen=True, eq=False)
class Scan:
    """Tests of candidates, a row each.

    Attributes
    ----------
    table : DataFrame
        ``estimate, se, t, p`` and ``n_missing``, with ``refit_estimate, refit_se, refit_df, refit_p`` of those whose
        variances were estimated anew.
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
        """Genomic inflation: the median of t^2 over that of chi-square on one degree of freedom."""
        return float(np.nanmedian(self.table["t"] ** 2) / 0.45493642311957283)

    def __repr__(self) -> str:
        how = "" if self.ratio is None else f", errors by a ratio of {self.ratio:.4g} (sd {self.ratio_sd:.2g})"
        return (
            f"Scan of {len(self):,} candidates on {self.df:.0f} df{how}; inflation {self.inflation:.3f}\n{self.top(5)}"
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Columns to be tested, read by hundreds: ``read(start, stop)`` gives (rows, columns)."""

    read: Callable[[int, int], np.ndarray]
    names: tuple[Any, ...]

    @classmethod
    def of(cls, given: Any, rows: int) -> Candidates:
        """Take a matrix, frame, memory map, sparse matrix, or a reader of PLINK's bed (``read``, ``sid``, ``shape``).

        Raises
        ------
        MMEError
            It has another number of rows than the data.
        """
        names = tuple(getattr(given, "columns", ())) or tuple(getattr(given, "sid", ())) or None
        shape = getattr(given, "shape", None)
        if shape is None or len(shape) != 2 or shape[0] != rows:
            raise MMEError(
                f"candidates must have a row for each of the {rows} rows of the data and a column each, got "
                f"{'no matrix' if shape is None else f'a shape of {shown(list(shape))}'}"
            )
        if hasattr(given, "sid") and hasattr(given, "read"):
            return cls(lambda a, b: given.read(index=np.s_[:, a:b], dtype="float64"), names or tuple(range(shape[1])))
        if hasattr(given, "iloc"):
            return cls(lambda a, b: given.iloc[:, a:b].to_numpy(dtype=float), names or ())
        matrix = given.tocsc() if hasattr(given, "tocsc") else np.asanyarray(given)

        def read(start: int, stop: int) -> np.ndarray:
            part = matrix[:, start:stop]
            return np.asarray(part.toarray() if hasattr(part, "toarray") else part, dtype=float)

        return cls(read, names or tuple(range(shape[1])))

    def blocks(self, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places and columns (b, rows) of the chosen candidates, by hundreds."""
        for at in np.split(chosen, range(_TOGETHER, chosen.size, _TOGETHER)):
            if at.size:
                block = self.read(int(at[0]), int(at[-1]) + 1)[:, at - at[0]]
                yield at, np.ascontiguousarray(block.T)


def scan_at(
    fit: Fitted, candidates: Candidates, chosen: np.ndarray, by_ratio: bool, report: Callable[[int], None]
) -> tuple[np.ndarray, float, tuple[float, float] | None]:
    """Estimate, se, t, p and missing values (chosen, 5) of the chosen candidates, df, and the ratio with its sd."""
    forms, constants = Forms(fit.estimates), fit.objective.constants
    known, p = constants.sigma, constants.p
    df = float("inf") if known is not None else float(constants.n - p - 1)
    if df <= 0.0:
        raise MMEError(f"{constants.n} records leave no degrees of freedom for a further column beside {p}")
    pwrss, out, done = fit.estimates.pwrss, np.full((chosen.size, 5), np.nan), 0
    ratio = _ratio(fit, forms, candidates, chosen) if by_ratio else None
    for at, columns in candidates.blocks(chosen):
        x, missing = _imputed(np.ascontiguousarray(columns[:, fit.rows.kept]))
        squares, along = forms.of(x) if ratio is None else forms.roughly(x)
        squares = squares if ratio is None else squares * ratio[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            estimate = along / squares
            left = np.full(len(x), known**2) if known is not None else (pwrss - along**2 / squares) / df
            se = np.sqrt(np.maximum(left, 0.0) / squares)
            t = estimate / se
        out[done : done + at.size] = np.column_stack([estimate, se, t, two_sided(t, np.full(t.shape, df)), missing])
        done += at.size
        report(done)
    return out, df, ratio


def _ratio(fit: Fitted, forms: Forms, candidates: Candidates, chosen: np.ndarray) -> tuple[float, float]:
    """The mean of x'Px / x'Mx over candidates spread evenly, and its standard deviation."""
    some = chosen[np.unique(np.linspace(0, chosen.size - 1, min(_OF_RATIO, chosen.size)).astype(int))]
    ratios = []
    for j in some.tolist():
        x, _ = _imputed(candidates.read(j, j + 1).T[:, fit.rows.kept])
        ratios.append(float(forms.of(x)[0][0] / forms.roughly(x)[0][0]))
    values = np.array(ratios)
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise MMEError("no candidate varies beside X: there is nothing to scan")
    return float(values.mean()), float(values.std())


def _imputed(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns (b, n) with the mean of each in place of missing values, and how many (b,) there were."""
    lost = ~np.isfinite(columns)
    if not lost.any():
        return columns, np.zeros(len(columns))
    count = lost.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(lost, 0.0, columns).sum(axis=1) / (columns.shape[1] - count)
    return np.where(lost, mean[:, None], columns), count.astype(float)


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
