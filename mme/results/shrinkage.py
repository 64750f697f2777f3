"""Pooled, separate and partially pooled estimates of every level, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError
from mme.fitted.effects import Effects
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.sums import level_sums, own_sums
from mme.solution.estimates import Estimates
from mme.tables.levels import varies_within

if TYPE_CHECKING:
    import pandas as pd


def shrinkage_table(estimates: Estimates, of: Effects) -> pd.DataFrame:
    """One row per level (and coefficient, where there are several).

    ``n`` records; ``pooled`` the population value (the fixed effect of the same name, else 0); ``no_pooling`` the
    least-squares estimate from the level's records alone, given all other effects of the model; ``partial_pooling``
    the BLUP plus ``pooled``; ``weight`` the share of the level's own data in it:
    partial = pooled + W (no pooling - pooled), the diagonal of W = T T'G (I + T T'G)^-1, G = Z_g'R^-1 Z_g. Related
    levels lend each other more than the population does: their partial value is not on that line.

    With Z = E C in the axes of a term (:mod:`mme.covariance.axes`) all is computed from E and c = C b: W = C^-1 W_E C.
    """
    model = estimates.objective.model
    if any(kept is not None for kept in of.kept):
        raise MMEError(
            f"term '{of.name}' has several levels a record, so that no level has an estimate from its own alone"
        )
    terms, b = [model.terms[t] for t in of.terms], of.beside(estimates.b)
    codes, (J, q) = terms[0].codes, b.shape
    groups = None if model.residual is None else model.residual.group
    if groups is not None and varies_within(codes, groups):
        raise MMEError(
            f"term '{of.name}' varies within the groups of the residual structure: the residuals of its levels are "
            "correlated, so that no level has an estimate from its own records alone"
        )
    E = [column for t in of.terms for column in columns_of(model, t)]
    C, inverse = (of.together(of_each(model, which)) for which in ("C", "inverse"))
    *columns, e = estimates.objective.whitening(np.vstack([*E, model.y - estimates.fitted]))
    G = own_sums(codes, J, columns, columns)
    # E_g'R^-1 (e + E_g c_g): what the level's own effects leave to be explained
    z = level_sums(codes, J, columns, [e]) + G @ (C @ b[:, :, None])
    own = inverse @ np.linalg.pinv(G, rcond=1e-10, hermitian=True) @ z
    T = C @ of.together(model.T(estimates.theta))
    H = T @ T.T
    W = inverse @ (H @ np.linalg.inv(np.eye(q) + G @ H) @ G) @ C
    kept = estimates.objective.basis.kept
    pooled = population_values(model, kept, estimates.beta, of.fixed)
    return table_of(model, of, pooled, own[:, :, 0], b, np.einsum("gii->gi", W))


def table_of(
    model: Model, of: Effects, pooled: np.ndarray, own: np.ndarray, b: np.ndarray, weight: np.ndarray
) -> pd.DataFrame:
    """The table, of population values (q,), and own effects, BLUPs and weights (J, q)."""
    import pandas as pd

    terms = [model.terms[t] for t in of.terms]
    table = {
        "n": np.hstack([_records(term, model) for term in terms]).ravel(),
        "pooled": np.tile(pooled, len(b)),
        "no_pooling": (own + pooled).ravel(),
        "partial_pooling": (b + pooled).ravel(),
        "weight": weight.ravel(),
    }
    if of.q == 1:
        return pd.DataFrame(table, index=pd.Index(of.levels, name=of.group))
    index = pd.MultiIndex.from_product([of.levels, of.columns], names=[of.group, "coefficient"])
    return pd.DataFrame(table, index=index)


def columns_of(model: Model, t: int) -> list[np.ndarray]:
    """The columns (n,) of a term in its axes, or its own where it has none."""
    axes, term = model.axes[t], model.terms[t]
    if axes is not None:
        return [np.ones(model.n) if column is None else column for column in axes.columns]
    return [np.ones(model.n)] if term.covariates is None else list(term.covariates.T)


def of_each(model: Model, which: str) -> list[np.ndarray]:
    """C, or its inverse, of every term."""
    return [
        np.eye(term.q) if axes is None else getattr(axes, which)
        for term, axes in zip(model.terms, model.axes, strict=True)
    ]


def _records(term: Term, model: Model) -> np.ndarray:
    """Number of records (J, q) of each coefficient."""
    if not term.by_column or term.covariates is None:
        counts = None if model.compressed is None else model.compressed.counts
        sizes = np.bincount(term.codes, counts, minlength=term.n_levels).astype(np.int64)
        return np.repeat(sizes[:, None], term.q, axis=1)
    columns = zip(term.codes, term.covariates.T, strict=True)
    return np.array([np.bincount(codes[z != 0.0], minlength=term.n_levels) for codes, z in columns]).T


def population_values(model: Model, kept: np.ndarray, beta: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """Fixed effects of the same names as these columns (q,), zero where there are none."""
    fixed = {model.x_names[j]: value for j, value in zip(kept, beta, strict=True)}
    return np.array([fixed.get(column, 0.0) for column in columns])
