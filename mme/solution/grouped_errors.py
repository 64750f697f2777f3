r"""Prediction errors beside fixed groups in sparse columns of X, by equations with the groups among the levels.

With u* = a + Q g, A^-1 = A^-1 of the animals and g fixed, the transformed equations (Quaas 1988) have

    A* = [ A^-1  -A^-1 Q;  -Q'A^-1  Q'A^-1 Q ] / sigma_a^2

for G^-1 and no groups in X; their inverse holds var(u*_hat - u*) on its diagonal, which its selected inverse gives.
Groups that X or others determine are at zero: they have no equation.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from mme.equations.system import MixedModelEquations
from mme.model.problem import Model
from mme.model.unknown_parents import UnknownParents
from mme.solution.wide import WideCovariance

# Entries of A^-1 Q, sums of fractions, that are rounding.
_ROUNDING = 1e-12


def grouped_errors(wide: WideCovariance) -> list[np.ndarray]:
    """var(effects_hat - effects) of each term (J, 1, 1); NaN of groups that were dropped.

    A term without a variance has no equations; its groups are columns of X.

    Raises
    ------
    MMEError
        A term has several coefficients or a relationship with parameters, or a record is of a group itself.
    """
    model, kept, theta = wide.objective.model, wide.objective.basis.kept, wide.theta
    _require_plain(model)
    groups, fixed = {one.term: one for one in model.unknown_parents}, kept < model.p_given
    blocks, places, start = [], dict[int, np.ndarray](), 0
    for t, (term, structure) in enumerate(zip(model.terms, model.structures, strict=True)):
        variance = (float(structure.T(theta[start : start + structure.k])[0, 0]) * wide.sigma) ** 2
        start += structure.k
        if variance == 0.0:
            fixed |= _is_of(groups[t], kept) if t in groups else False
            continue
        used = np.arange(term.n_levels)
        precision = sp.eye_array(term.n_levels) if term.relationship is None else term.relationship.precision
        if t in groups:
            one = groups[t]
            dropped = np.setdiff1d(np.arange(one.columns.start, one.columns.stop), kept) - one.columns.start
            used = np.delete(used, one.groups[dropped])
            precision = _transformed(sp.csc_array(precision), one)[used][:, used]
        blocks.append(sp.csc_array(precision) / variance)
        places[t] = used
    out = [np.zeros((term.n_levels, 1, 1)) for term in model.terms]
    if blocks:
        Z = sp.hstack([sp.csc_array(model.terms[t].Z)[:, used] for t, used in places.items()])
        Rinv = (np.ones(model.n) if model.weights is None else model.weights) / wide.sigma**2
        X = sp.csc_array(model.X)[:, kept[fixed]]
        equations = MixedModelEquations(model.y_less_offset, X, Z, Ginv=sp.block_diag(blocks, "csc"), Rinv=Rinv)
        found = np.split(equations.solve(method="direct").pev(), np.cumsum([one.size for one in places.values()])[:-1])
        for (t, used), values in zip(places.items(), found, strict=True):
            out[t][used, 0, 0] = values
    for one in model.unknown_parents:
        if one.term not in places:
            own = _is_of(one, kept)
            Q = sp.csr_array(one.Q)[:, kept[own] - one.start]
            out[one.term][:, 0, 0] = (Q @ wide.whole[np.ix_(own, own)] * Q.toarray()).sum(axis=1)
        out[one.term][one.unknown(kept, model.X)] = np.nan
    return out


def _is_of(one: UnknownParents, kept: np.ndarray) -> np.ndarray:
    """Which kept columns of X are its groups."""
    return (kept >= one.columns.start) & (kept < one.columns.stop)


def _require_plain(model: Model) -> None:
    several = any(term.q > 1 or term.parametric is not None or term.by_column for term in model.terms)
    if several or any((model.terms[one.term].codes >= one.groups[0]).any() for one in model.unknown_parents):
        model.require_dense("prediction error variances of several coefficients beside groups of unknown parents")


def _transformed(precision: sp.csc_array, one: UnknownParents) -> sp.csc_array:
    """A* from the inverse among the animals, the first levels, and Q."""
    animals = int(one.groups[0])
    A_inverse, Q = precision[:animals, :animals], sp.csc_array(one.Q)[:animals]
    product = sp.csc_array(A_inverse @ Q)
    product.data[np.abs(product.data) < _ROUNDING] = 0.0
    product.eliminate_zeros()
    return sp.csc_array(sp.block_array([[A_inverse, -product], [-product.T, Q.T @ product]]))
