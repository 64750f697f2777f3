"""Many columns of X, most of whose entries are zero: when X stays sparse, and which of its columns are dense."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.numeric.limits import limits

# A column that this share of the records has is dense, as long as there are no more such columns than this.
_SHARE, _MOST = 1.0 / 32.0, 64
# What a product of two entries of a record costs beside one of a dense matrix; and the most that a record has of them,
# on average, where they may meet in so many places that these, not the columns, are what has to fit.
_COST, _MOST_PRODUCTS = 20.0, 64.0


def is_wide(n: int, p: int) -> bool:
    """Whether so many columns of so many records are better sparse, where most of their entries are zero."""
    return p > limits().dense_fixed and float(n) * p * p > limits().dense_fixed_operations


def stays_sparse(X: sp.sparray, among: int | None = None) -> bool:
    """Whether products of the entries that meet in a record are few beside those of all columns.

    The first ``among`` columns may be dense; None: all.
    """
    n, p = X.shape
    if not is_wide(n, p):
        return False
    rest = np.setdiff1d(np.arange(p), dense_columns(X, among))
    each = np.bincount(sp.csc_array(X)[:, rest].indices, minlength=n).astype(float)
    products = float(each @ each)
    few = products <= _MOST_PRODUCTS * n or p <= limits().dense_up_to
    return bool(_COST * products < float(n) * p * p and few)


def dense_columns(X: Any, among: int | None = None) -> np.ndarray:
    """The places of the columns of a sparse X that are dense, among its first ones; None: among all."""
    held = np.diff(sp.csc_array(X).indptr)[:among]
    some = np.flatnonzero(held > _SHARE * X.shape[0])
    return np.sort(some[np.argsort(-held[some], kind="stable")[:_MOST]])
