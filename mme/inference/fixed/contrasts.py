r"""Linear functions of the fixed effects: estimates, standard errors, t and F tests, as tables.

What a statistic is compared with is a :class:`Reference`: the normal distribution (:class:`Normal`), or t and F with
degrees of freedom by Satterthwaite or by Kenward and Roger, one file each.

Variances are sums of squares, var(c'beta) = |F c|^2 with cov(beta) = F'F: where a covariate is far from zero
c'cov(beta) c is a small difference of numbers that grow with the square of the distance, F c one of numbers that grow
with the distance itself.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtrc, fdtrc, ndtr, ndtri, stdtrit

from mme.engine.basis import independent_columns
from mme.errors import MMEError
from mme.numeric.panels import panels
from mme.tables.arguments import check_level, yes_or_no
from mme.tables.arrays import numbers, shown

if TYPE_CHECKING:
    import pandas as pd

    from mme.api.face import Fit

# Eigenvalues of L cov L' below this share of the largest are rounding: rows of L that depend on others (lmerTest's).
_DEPENDENT = float(np.sqrt(np.finfo(float).eps))
# Right sides that differ by less, as a share of what they are made of, are the same.
_SAME = 1e-9
# Reciprocals of degrees of freedom below this are rounding: there is nothing to estimate.
_NONE = 1e-12
# Degrees of freedom from which t is the normal distribution to all digits.
_NORMAL = 1e15
# Of so many intervals the quantile is interpolated: from these degrees of freedom on it is smooth in their reciprocal.
_MANY, _SMOOTH, _DEGREE = 16_384, 2.0, 24
# Coefficients of the polynomial below this share of the quantile are rounding.
_ROUNDING = 1e-13
# Spellings of the methods, by their letters.
_SPELLINGS = {
    "satterthwaite": ("satterthwaite", "satterthwaites", "satt", "sat"),
    "kenward-roger": ("kenwardroger", "kenwardrogers", "kenward", "kr"),
    "none": ("none", "normal", "asymptotic", "wald", "z", "inf", "lme"),
}


@dataclass(frozen=True)
class FTest:
    """F, already multiplied by ``scale``, on ``numerator`` and ``denominator`` degrees of freedom."""

    F: float
    numerator: int
    denominator: float
    scale: float = 1.0

    @property
    def p(self) -> float:
        """Upper tail; infinite denominator degrees of freedom are a chi-square."""
        return float(_f_tail(self.F, self.numerator, self.denominator))


@dataclass(frozen=True, eq=False)
class Reference(ABC):
    """Estimates (p,), F (m, p) with cov(beta) = F'F, and the distributions that statistics are compared with."""

    beta: np.ndarray
    half: np.ndarray

    @property
    def cov(self) -> np.ndarray:
        """The covariance (p, p) of the estimates that tests use."""
        return np.asarray(self.half.T @ self.half)

    def se(self, L: np.ndarray) -> np.ndarray:
        """Standard errors (m,) of the rows of L (m, p)."""
        return np.asarray(np.linalg.norm(self.half @ L.T, axis=0))

    @abstractmethod
    def df(self, L: np.ndarray) -> np.ndarray:
        """Degrees of freedom (m,) of the t statistic of each row of L (m, p)."""

    @abstractmethod
    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """Test that all of L beta - rhs, estimated by ``difference`` (m,), is zero."""


@dataclass(frozen=True, eq=False)
class Normal(Reference):
    """The Wald test: infinite degrees of freedom."""

    def df(self, L: np.ndarray) -> np.ndarray:
        """Infinite."""
        return np.full(len(L), np.inf)

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """F = d'(L cov L')^-1 d / q against chi-square / q."""
        along = independent(L, difference, self.half)
        return FTest(along.F, along.sd.size, np.inf)


def reference(fit: Fit, ddf: str) -> Reference:
    """The reference named ``ddf``; each is computed once a fit."""
    method = ddf_method(ddf)
    if method == "none":
        return Normal(fit.estimates.beta, fit.estimates.half)
    return fit.satterthwaite if method == "satterthwaite" else fit.kenward_roger


def ddf_method(ddf: str) -> str:
    """``"satterthwaite"``, ``"kenward-roger"`` or ``"none"``, of the usual spellings.

    Examples
    --------
    >>> ddf_method("Kenward_Roger"), ddf_method("kr"), ddf_method("Satt"), ddf_method("lme4")
    ('kenward-roger', 'kenward-roger', 'satterthwaite', 'none')
    """
    letters = re.sub(r"[^a-z]", "", ddf.lower()) if isinstance(ddf, str) else None
    for method, spellings in _SPELLINGS.items():
        if letters in spellings:
            return method
    raise MMEError(
        f"ddf must be 'satterthwaite', 'kenward-roger' or 'none' (the normal distribution), got {shown(ddf)}"
    )


def t_quantile(level: float, df: np.ndarray) -> np.ndarray:
    """Half the width (m,) of an interval at this level, in standard errors.

    Raises
    ------
    MMEError
        The level is no share.

    Examples
    --------
    >>> t_quantile(0.95, np.array([4.0, np.inf])).round(3).tolist()
    [2.776, 1.96]
    """
    check_level(level)
    upper = 0.5 + level / 2.0

    def quantile(df: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(df > _NORMAL, ndtri(upper), stdtrit(np.minimum(df, _NORMAL), upper)))

    if df.size and (df == df.flat[0]).all():
        return np.full(df.shape, quantile(df.flat[0]))
    enough = df >= _SMOOTH
    if (many := np.count_nonzero(enough)) < _MANY:
        return quantile(df)
    if many < df.size:
        out = np.empty(df.shape)
        out[enough], out[~enough] = _interpolated(quantile, df[enough]), quantile(df[~enough])
        return out
    return _interpolated(quantile, df)


def _interpolated(quantile: Callable[[np.ndarray], np.ndarray], df: np.ndarray) -> np.ndarray:
    """The quantiles (m,) of a great many degrees of freedom, from those of a few.

    Coefficients of a polynomial in 1 / df fall faster than 0.4^k, so that its powers lose no digits.
    """
    s = 1.0 / df
    low, high = float(s.min()), float(s.max())
    if low == high:
        return np.full(df.shape, quantile(df[:1]))
    smooth = np.polynomial.Chebyshev.interpolate(lambda s: quantile(1.0 / s), _DEGREE, (low, high))
    powers = smooth.trim(_ROUNDING * abs(smooth.coef[0])).convert(kind=np.polynomial.Polynomial)
    for cut in panels(s.size):
        s[cut] = powers(s[cut])
    return s


@dataclass(frozen=True, eq=False)
class Independent:
    """Combinations (q, m) of rows of L whose estimates are uncorrelated and span all, these, and their standard errors.

    ``weights @ L`` are the rows; ``difference`` and ``sd`` are (q,).
    """

    weights: np.ndarray
    difference: np.ndarray
    sd: np.ndarray

    @property
    def F(self) -> float:
        """The mean of the squared t statistics."""
        return float(np.mean((self.difference / self.sd) ** 2)) if self.sd.size else float("nan")


def independent(L: np.ndarray, difference: np.ndarray, half: np.ndarray) -> Independent:
    """Eigenvectors of L cov L', the largest eigenvalue first; rows that depend on others are left out.

    They are the right singular vectors of F L'. How many rows count is told by :func:`_independent_rows`: cov has full
    rank, and estimates of very different size or nearly collinear are not dependent.
    """
    z = half @ L.T
    _, sd, vectors = np.linalg.svd(z, full_matrices=False)
    kept = _independent_rows(L, half)
    rank = kept.size
    if rank and sd[rank - 1] <= np.sqrt(_DEPENDENT) * sd[0]:
        return _in_units(z, difference, kept)
    along = vectors[:rank]
    return Independent(along, along @ difference, sd[:rank])


def _in_units(z: np.ndarray, difference: np.ndarray, kept: np.ndarray) -> Independent:
    """The same for independent rows scaled to unit variances, where those of L differ too much for one matrix."""
    se = np.linalg.norm(z[:, kept], axis=0)
    _, sd, vectors = np.linalg.svd(z[:, kept] / se, full_matrices=False)
    weights = np.zeros((kept.size, z.shape[1]))
    weights[:, kept] = vectors / se
    return Independent(weights, weights @ difference, np.maximum(sd, np.finfo(float).eps))


def _independent_rows(L: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Rows of L that do not depend on earlier ones.

    Two ways of looking must find a row dependent: in units of the standard errors of the estimates, where nearly
    collinear columns of X do not matter; and by what the estimates of the rows share, where the origin does not.
    """
    by_weights, by_estimates = (
        independent_columns(_unit(columns), tolerance=float(np.sqrt(_DEPENDENT))) for columns in _views(L, half)
    )
    return by_estimates if by_estimates.size > by_weights.size else by_weights


def _views(L: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of L as columns: in units of the standard errors, and F L'."""
    return (L * np.linalg.norm(half, axis=0)).T, half @ L.T


def _unit(columns: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(columns, axis=0)
    return np.asarray(columns / np.where(length > 0.0, length, 1.0))


def check_consistent(L: np.ndarray, right: np.ndarray, half: np.ndarray, labels: Sequence[Any]) -> None:
    """Refuse equations L beta = right that no beta satisfies.

    Raises
    ------
    MMEError
        A row is a combination of others, and its right side is not.
    """
    kept = _independent_rows(L, half)
    units = np.linalg.norm(half, axis=0)
    for k in np.setdiff1d(np.arange(len(L)), kept).tolist():
        before = kept[kept < k]
        weights = np.linalg.lstsq((L[before] * units).T, L[k] * units, rcond=None)[0]
        made = float(weights @ right[before])
        if abs(made - right[k]) > _SAME * (abs(right[k]) + np.abs(weights) @ np.abs(right[before])):
            parts = [
                f"{weight:.4g} x ({labels[j]})"
                for j, weight in zip(before.tolist(), weights.tolist(), strict=True)
                if abs(weight) > _SAME
            ]
            raise MMEError(
                f"no coefficients satisfy all rows: {labels[k]} is {' + '.join(parts) or 'a row of zeros'}, so that "
                f"its right side must be {made:.6g}, and it is {right[k]:.6g}"
            )


def t_table(to: Reference, L: np.ndarray, rhs: np.ndarray | float, index: Any) -> pd.DataFrame:
    """``estimate, se, df, t, p`` of each row of L: estimates of L beta - rhs, two-sided."""
    import pandas as pd

    estimate = L @ to.beta - rhs
    se, df = to.se(L), to.df(L)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = estimate / se
    return pd.DataFrame({"estimate": estimate, "se": se, "df": df, "t": t, "p": two_sided(t, df)}, index=index)


def f_table(tests: Sequence[FTest], index: Any) -> pd.DataFrame:
    """``num_df, den_df, F, p``, one row a test."""
    import pandas as pd

    return pd.DataFrame(
        {
            "num_df": [test.numerator for test in tests],
            "den_df": [test.denominator for test in tests],
            "F": [test.F for test in tests],
            "p": [test.p for test in tests],
        },
        index=index,
    )


def reciprocal(inverse: np.ndarray) -> np.ndarray:
    """Degrees of freedom from their reciprocals; infinite where these are rounding."""
    inverse = np.asarray(inverse)
    none = inverse < _NONE
    return np.where(none, np.inf, 1.0 / np.where(none, 1.0, inverse)) if none.any() else 1.0 / inverse


def two_sided(t: np.ndarray, df: np.ndarray) -> np.ndarray:
    """P(|T| > |t|): the tail of F = t^2 on 1 and df, which keeps its digits where 1 - P does not."""
    return np.where(np.isinf(df), 2.0 * ndtr(-np.abs(t)), fdtrc(1.0, df, t**2))


def _f_tail(F: float, numerator: int, denominator: float) -> float:
    if np.isinf(denominator):
        return float(chdtrc(numerator, numerator * F))
    return float(fdtrc(numerator, denominator, F))


def coefficient_table(fit: Fit, ddf: str) -> pd.DataFrame:
    """``estimate, se, df, t, p`` of every fixed effect."""
    names = list(fit.fixed_names)
    return t_table(reference(fit, ddf), np.eye(len(names)), 0.0, names)


def contrast_table(fit: Fit, L: Any, rhs: Any, joint: bool, ddf: str) -> pd.DataFrame:
    """Tests of the rows of L one by one, or of all together."""
    joint = yes_or_no(joint, "joint")
    rows, index = read_contrasts(fit, L)
    right = _right_sides(rhs, len(rows))
    to = reference(fit, ddf)
    if joint:
        check_consistent(rows, right, fit.estimates.half, index)
        return f_table([to.f_test(rows, rows @ to.beta - right)], ["joint"])
    return t_table(to, rows, right, index)


def _right_sides(rhs: Any, m: int) -> np.ndarray:
    right = numbers(rhs, "rhs")
    if right.ndim > 1 or right.size not in (1, m) or not np.isfinite(right).all():
        raise MMEError(f"rhs needs {m} finite numbers, one a row, or one for all; got {shown(rhs)}")
    return np.broadcast_to(right, (m,))


def read_contrasts(fit: Fit, L: Any) -> tuple[np.ndarray, list[Any]]:
    """L as rows (m, p) on the estimated coefficients, and their labels.

    Raises
    ------
    MMEError
        A name is no coefficient, a row has another length, or what it asks for cannot be estimated.
    """
    names = fit.fixed_names
    if isinstance(L, Mapping):
        L = _frame_of(L)
    if hasattr(L, "iloc") and hasattr(L, "columns"):
        unknown = [str(name) for name in L.columns if str(name) not in fit.model.x_names]
        if unknown:
            raise MMEError(f"no fixed effect is called {', '.join(map(repr, unknown))}; they are {', '.join(names)}")
        rows = np.zeros((len(L), len(fit.model.x_names)))
        rows[:, [fit.model.x_names.index(str(name)) for name in L.columns]] = numbers(L, "the contrast")
        if not np.isfinite(rows).all():
            raise MMEError("the contrast has missing or infinite weights; leave out what it does not use")
        return estimable(fit, rows), list(L.index)
    rows = np.atleast_2d(numbers(L, "the contrast"))
    labels = [f"L{m + 1}" for m in range(len(rows))]
    if rows.ndim != 2 or rows.shape[1] not in (len(names), len(fit.model.x_names)) or not np.isfinite(rows).all():
        raise MMEError(
            f"a contrast needs {len(names)} finite weights, one a fixed effect ({', '.join(names)}); got an array of "
            f"shape {np.shape(L)}"
        )
    return (rows if rows.shape[1] == len(names) else estimable(fit, rows)), labels


def estimable(fit: Fit, rows: np.ndarray) -> np.ndarray:
    """Rows (m, all columns of X) on the estimated coefficients.

    Raises
    ------
    MMEError
        The data do not determine a row: it needs a dropped column apart from those that make it.
    """
    unknown = ~fit.aliasing.estimable(rows)
    if unknown.any():
        names, first = fit.model.x_names, int(np.argmax(unknown))
        raise MMEError(
            f"row {first + 1} of the contrast cannot be estimated: it needs the columns of X that were dropped "
            f"({', '.join(fit.dropped)}). In all records {fit.aliasing.causes(rows[[first]], names)}, so that only "
            "what keeps to that is determined"
        )
    return np.ascontiguousarray(rows[:, fit.objective.basis.kept])


def _frame_of(L: Mapping[Any, Any]) -> pd.DataFrame:
    """A contrast by name, {coefficient: weight}, as a table of one row."""
    import pandas as pd

    return pd.DataFrame([dict(L)], index=["contrast"])
