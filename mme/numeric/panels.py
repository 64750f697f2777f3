"""Arithmetic along records, so many at a time that what it makes of them stays in the cache."""

from __future__ import annotations

import numpy as np

from mme.numeric.limits import limits

# Rows whose products are as many inner products.
_FEW = 4


def panels(n: int, step: int | None = None) -> list[slice]:
    """All n records, in pieces of so many."""
    step = limits().records_in_panel if step is None else step
    return [slice(first, min(first + step, n)) for first in range(0, n, step)]


def add_products(total: np.ndarray, rows: np.ndarray) -> None:
    """Add the products of rows (m, n) with each other to ``total`` (m, m); of few rows one by one, which is quicker."""
    if len(rows) > _FEW:
        total += rows @ rows.T
        return
    for i, row in enumerate(rows):
        for j in range(i + 1):
            total[i, j] += row @ rows[j]
            total[j, i] = total[i, j]


def sum_of_logs(values: np.ndarray) -> float:
    """The sum of the logarithms of values (n,)."""
    return float(np.sum([np.log(values[cut]).sum() for cut in panels(values.size)]))


def inner(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Inner products (n,) of columns (m, n)."""
    total, work = np.zeros(left.shape[1]), np.empty(left.shape[1])
    for one, other in zip(left, right, strict=True):
        total += np.multiply(one, other, out=work)
    return total


def gathered(values: np.ndarray, at: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``values[at]``, written to ``out``, at places that are known to exist: clipping spares a copy."""
    return values.take(at, out=out, mode="clip")


def picked_by_panels(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """``values[at]`` at places that are known to exist: places of half the width are never widened all at once."""
    out = np.empty(at.shape, dtype=values.dtype)
    for cut in panels(at.size):
        gathered(values, at[cut], out[cut])
    return out


def term_values(codes: np.ndarray, covariates: np.ndarray | None, b: np.ndarray) -> np.ndarray:
    """Z b of one term (n,), from its codes, (n,) or (q, n), covariates and effects (J, q)."""
    if codes.ndim == 2 and covariates is not None:
        return np.einsum("ia,ai->i", covariates, b[codes, np.arange(len(codes))[:, None]])
    if covariates is None:
        return np.ascontiguousarray(b[:, 0]).take(codes)
    total, effects = np.zeros(codes.size), np.ascontiguousarray(b.T)
    for cut in panels(codes.size):
        level, work = codes[cut], np.empty(cut.stop - cut.start)
        for covariate, effect in zip(covariates[cut].T, effects, strict=True):
            total[cut] += np.multiply(gathered(effect, level, work), covariate, out=work)
    return total
