"""Singular equations: the error that says which columns of X depend on others, and which effects are confounded."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from mme.equations.assembled import AssembledEquations
from mme.equations.variances import SHIFT
from mme.errors import MMEError
from mme.numeric.factor import factorise
from mme.numeric.rank import independent_columns, unit_columns

# Directions in which singular equations are searched for what is confounded, and the sweeps that find them.
_DIRECTIONS, _SWEEPS = 24, 3
# A share of an effect in such a direction that is rounding.
_NOTHING = 1e-6
# Names of an error message.
_NAMED = 8


def singular_equations(equations: AssembledEquations) -> MMEError:
    """The error that says which columns of X depend on others, or are confounded with random effects."""
    columns = _dependent_columns(equations)
    if columns:
        which = f"column {', '.join(map(equations.column_name, columns))} depends on others"
        return MMEError(
            f"the equations are singular: the {equations.p} columns of X are not linearly independent ({which}); leave "
            "the dependent columns out"
        )
    unseen = _null_space(equations)
    involved = np.flatnonzero((np.abs(unseen) > _NOTHING).any(axis=1))
    fixed, random = involved[involved < equations.p], involved[involved >= equations.p] - equations.p
    parts = [f"columns of X {_listed([equations.column_name(j) for j in fixed.tolist()])}"] if fixed.size else []
    parts += [f"random effects {_listed(list(map(str, random.tolist())))} (counted from 0)"] if random.size else []
    return MMEError(
        f"the equations are singular: Ginv says nothing of {unseen.shape[1]} combination(s) of the effects, and "
        f"neither do the records; confounded are {' and '.join(parts) or 'some effects'}. Leave a column of X or a "
        "group out, give the groups a variance (Pedigree(..., group_variance=)), or use mme.fit, which drops what "
        "cannot be told apart"
    )


def _dependent_columns(equations: AssembledEquations) -> list[int]:
    """Columns of X that earlier ones determine, as :func:`mme.fit` drops them."""
    columns = equations.X.toarray()
    kept = independent_columns(unit_columns(columns))
    return sorted(set(range(equations.p)) - set(kept.tolist()))


def _null_space(equations: AssembledEquations) -> np.ndarray:
    """Combinations (p + q, m) of the effects that are zero in the equations, by inverse iteration on several."""
    size = np.sqrt(equations.coefficients.diagonal())
    scale = sp.diags_array(np.divide(1.0, size, out=np.ones(size.size), where=size > 0.0))
    scaled = sp.csc_array(scale @ equations.coefficients @ scale)
    factor = factorise(scaled + SHIFT * sp.eye_array(size.size), "Henderson's equations")
    V = np.random.default_rng(0).standard_normal((size.size, min(_DIRECTIONS, size.size)))
    for _ in range(_SWEEPS):
        V = np.linalg.qr(factor.solve(V))[0]
    values, rotation = np.linalg.eigh(V.T @ (scaled @ V))
    found = scale @ (V @ rotation[:, values < SHIFT])
    return np.asarray(found / np.abs(found).max(axis=0, initial=1e-300))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
