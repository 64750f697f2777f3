r"""Coefficients, and intercepts of levels, at the means of covariates that are far from zero, and not at zero.

Beside ``year:b`` the coefficient of ``b`` is its effect at year 0, two thousand years from any record. With the columns
x d of an interaction, and m the mean of x,

    beta_d d + beta_xd (x d)  =  (beta_d + m beta_xd) d + beta_xd ((x - m) d)

so that the coefficients of the model in x - m are a linear function of those that were fitted. Of a level's line
b_0 + b_1 x the height at m is b_0 + m b_1, which its records determine as they hardly do b_0.
"""

from __future__ import annotations

import numpy as np

from mme.fitted.common import Record
from mme.fitted.effects import Effects

_INTERCEPT = "(Intercept)"


def centring(fit: Record) -> tuple[np.ndarray, dict[str, float]]:
    """L (p, p) that takes the fixed effects to those at the means of some covariates, and these means by name.

    The covariates are those of an interaction from whose values zero is farther than they are apart. The identity, and
    no means, where there are none, or where interactions are no products of columns of X.
    """
    names = list(fit.fixed_names)
    L, means = np.eye(len(names)), dict[str, float]()
    spec = fit.specification
    if spec is None or fit.model.is_wide or fit.model.compressed is not None:
        return L, means
    for name in [one for one in names if one in spec.means]:
        moved = _moved(fit, names, name)
        if moved is not None:
            step = np.eye(len(names))
            step[list(moved), list(moved.values())] = spec.means[name]  # rows d, columns x d
            L, means[name] = step @ L, spec.means[name]
    return L, means


def _moved(fit: Record, names: list[str], name: str) -> dict[int, int] | None:
    """Of each column d (of ones too) the place of x d, x of this name; None where it is left as it is."""
    X, at = fit.model.X, {one: fit.model.x_names.index(one) for one in names}
    x = X[:, at[name]]
    found = {}
    for own in names:
        parts = own.split(":")
        if name not in parts:
            continue
        parts.remove(name)
        other = ":".join(parts) or _INTERCEPT
        if other not in at:
            return None
        d = 1.0 if other == _INTERCEPT else X[:, at[other]]
        if not np.array_equal(X[:, at[own]], x * d):
            return None
        found[names.index(other)] = names.index(own)
    return found if _is_away(x) and len(found) > 1 else None


def lines_at_means(fit: Record, one: Effects) -> tuple[np.ndarray, list[str]]:
    """T (q, q) that takes the coefficients of a level to those with its intercept at the means, and what it calls them.

    The means are those of the covariates of the same term from whose values zero is farther than they are apart.
    """
    T, names = np.eye(one.q), list(one.columns)
    spec, term = fit.specification, fit.model.terms[one.terms[0]]
    if spec is None or len(one.terms) > 1 or one.kept[0] is not None or _INTERCEPT not in names:
        return T, names
    if term.covariates is None or fit.model.compressed is not None:
        return T, names
    at = names.index(_INTERCEPT)
    away = [j for j, name in enumerate(names) if name in spec.means and _is_away(term.covariates[:, j])]
    for j in away:
        T[at, j] = spec.means[names[j]]
    told = ", ".join(f"{names[j]} {rounded(spec.means[names[j]])}" for j in away)
    names[at] = f"{_INTERCEPT} at {told}" if away else _INTERCEPT
    return T, names


def rounded(mean: float) -> str:
    """A mean in four digits.

    Examples
    --------
    >>> rounded(2010.234), rounded(0.123456)
    ('2010', '0.1235')
    """
    return f"{float(f'{mean:.4g}'):.6g}"


def _is_away(x: np.ndarray) -> bool:
    """Whether zero is farther from all values than they are from each other."""
    low, high = float(x.min()), float(x.max())
    return max(low, -high) > high - low
