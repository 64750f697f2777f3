r"""Fixed groups of unknown parents as what they are: fixed effects, in columns of X.

An animal's effect is u* = a + Q g, with a ~ N(0, A sigma_a^2), Q the fractions of an animal that come from each group,
and g fixed (Quaas 1988, J Dairy Sci 71:1338-1345; Westell, Quaas and Van Vleck 1988, J Dairy Sci 71:1310-1318), so that

    y = X beta + Z u* + e = [X  ZQ] [beta; g] + Z a + e.

The transformed equations, with A* in place of A^-1 and g among the levels, have the same solutions at given variances.
As a penalised least squares problem in u = Lambda^-1 u* they have another determinant: for T (q, q) and g groups

    |M*| = |M| |T|^(2g) |Q'Z'V^-1 Z Q|,

whose second factor is no part of the restricted likelihood, and none of them exists where T is singular. With Q in X
the criterion is that of the model for REML and ML alike, with n - rank[X ZQ] degrees of freedom, a singular T is an
ordinary point, and groups that X or other groups determine are dropped as columns of X are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.model.term import Term
from mme.model.wide import is_wide, stays_sparse
from mme.numeric.long_columns import LongColumns
from mme.numeric.memory import require

# Copies of the columns of X that are there at once in an evaluation: X, its basis, and their products with the animals
# before and behind the factor. 200 groups of 40,000 animals with a record each took 8.8 such arrays, Q included.
_COPIES = 8
# Bytes for each entry of sparse columns: X by columns and by rows, its products with the others, and what joins them.
# 19 groups of each of 100,000 animals with ten records took 90.
_BYTES_PER_ENTRY = 90
# A combination of groups that the records hold less of is rounding.
_UNSEEN = 1e-9


@dataclass(frozen=True, eq=False)
class UnknownParents:
    """The fixed groups of a term's pedigree: ``Q`` (J, g) of all its levels, a group's own row being a unit vector.

    They have g q columns of X, from ``start`` on, group by group: column (k, a) is z_a Q_k. ``mean`` (g,) is the mean
    of Q over the records. Q is sparse where X is.
    """

    term: int
    start: int
    q: int
    Q: Any
    mean: np.ndarray

    @property
    def columns(self) -> slice:
        """The columns of X that stand for the fixed groups of this term."""
        return slice(self.start, self.start + self.Q.shape[1] * self.q)

    @property
    def groups(self) -> np.ndarray:
        """Which levels of the term are groups: the last ones."""
        J, g = self.Q.shape
        return np.arange(J - g, J)

    def counting(self, codes: np.ndarray, records: np.ndarray) -> UnknownParents:
        """The same where rows of these codes (n,) stand for so many records each."""
        return replace(self, mean=np.asarray(records @ self.Q[codes]).ravel() / records.sum())

    def rows(self, codes: np.ndarray, covariates: np.ndarray | None) -> Any:
        """ZQ (n, g q) of records with these codes, (n,) or (q, n); a level that is not known is as the mean record."""
        known = codes >= 0
        if sp.issparse(self.Q):
            fractions = sp.csr_array(self.Q)[np.maximum(codes, 0)].multiply(known[:, None])
            fractions = fractions + sp.csr_array(np.where(known, 0.0, 1.0)[:, None]) @ sp.csr_array(self.mean[None, :])
            return _sparse_products(sp.csr_array(fractions), covariates)
        fractions = np.where(known[..., None], self.Q[np.maximum(codes, 0)], self.mean)
        return _products(fractions, covariates)

    def in_levels(self, kept: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What values (kept, m) of the kept columns of X add up to in each level: (J, q, m), dropped groups at 0."""
        by_group = np.zeros((self.Q.shape[1] * self.q, values.shape[1]))
        own = (kept >= self.columns.start) & (kept < self.columns.stop)
        by_group[kept[own] - self.start] = values[own]
        return np.asarray(self.Q @ by_group.reshape(self.Q.shape[1], -1)).reshape(-1, self.q, values.shape[1])

    def unknown(self, kept: np.ndarray, X: Any) -> np.ndarray:
        """(J, q): effects of which there is no variance: not estimable ones, and groups that were dropped."""
        out = ~self.is_estimable(X)
        dropped = np.setdiff1d(np.arange(self.columns.start, self.columns.stop), kept) - self.start
        out[self.groups[dropped // self.q], dropped % self.q] = True
        return out

    def is_estimable(self, X: Any) -> np.ndarray:
        """(J, q): whether the records say anything of a level's groups, in the mixture that it has of them.

        The weights of an animal must lie in the row space of ZQ. What X determines does not count: there it is measured
        from the groups that were dropped, as groups with records themselves always are.
        """
        ZQ = X[:, self.columns]
        products, seen = (ZQ.T @ ZQ).toarray() if sp.issparse(ZQ) else ZQ.T @ ZQ, abs(ZQ).sum(axis=0) > 0.0
        values, vectors = np.linalg.eigh(products)
        unseen = vectors[:, values <= _UNSEEN * max(float(values[-1]), 1e-300)] if values.size else vectors
        along = np.asarray(self.Q @ unseen.reshape(self.Q.shape[1], -1)).reshape(self.Q.shape[0], self.q, -1)
        out = np.asarray((np.abs(along) <= np.sqrt(_UNSEEN)).all(axis=2))
        out[self.groups] = np.asarray(seen).reshape(-1, self.q)
        return out


def separate(
    terms: Sequence[Term], X: Any, names: Sequence[str], *, wide: bool = False
) -> tuple[tuple[Term, ...], Any, tuple[str, ...], tuple[UnknownParents, ...]]:
    """Take the fixed groups out of the relationships of terms: terms, X and its names with them, and what they are.

    With ``wide`` X may be sparse: it is where the groups make it wide, most of their entries being zero.
    """
    if not any(_has_fixed_groups(term) for term in terms):
        return tuple(terms), X, tuple(names), ()
    X = X.whole() if isinstance(X, LongColumns) else X
    if wide and (found := _separated(terms, X, names, sparse=True)) is not None:
        return found
    if sp.issparse(X):
        raise MMEError(
            f"fixed groups of unknown parents are not available beside {X.shape[1]:,} columns of X, which are sparse; "
            "make them random (group_variance=)"
        )
    found = _separated(terms, X, names, sparse=False)
    assert found is not None
    return found


def _separated(
    terms: Sequence[Term], X: Any, names: Sequence[str], *, sparse: bool
) -> tuple[tuple[Term, ...], Any, tuple[str, ...], tuple[UnknownParents, ...]] | None:
    """What :func:`separate` makes; None where X is to be sparse and is better dense."""
    given = [term for term in terms if _has_fixed_groups(term)]
    p = X.shape[1] + sum(term.relationship.groups.size * term.q for term in given)
    if sparse and (any(term.by_column for term in given) or not (sp.issparse(X) or is_wide(X.shape[0], p))):
        return None
    made: list[Term] = []
    found: list[UnknownParents] = []
    columns, labels = [X], list(names)
    for t, term in enumerate(terms):
        if not _has_fixed_groups(term):
            made.append(term)
            continue
        if not sparse:
            _require_memory(term, X.shape[0])
        Q = _fractions(term, sparse=sparse)
        if sparse:
            require(_BYTES_PER_ENTRY * term.q * int(np.diff(Q.indptr)[term.codes].sum()), *_too_many(term))
        groups = UnknownParents(t, len(labels), term.q, Q, np.asarray(Q[term.codes.ravel()].mean(axis=0)).ravel())
        columns.append(groups.rows(term.codes, term.covariates))
        labels += _names(term, labels)
        made.append(_given_groups(term))
        found.append(groups)
    if not sparse:
        return tuple(made), np.asfortranarray(np.hstack(columns)), tuple(labels), tuple(found)
    together = sp.csc_array(sp.hstack([sp.csc_array(one) for one in columns]))
    if not (sp.issparse(X) or stays_sparse(together, len(names))):
        return None
    return tuple(made), together, tuple(labels), tuple(found)


def _has_fixed_groups(term: Term) -> bool:
    related = term.relationship
    return getattr(related, "groups", _NONE).size > 0 and getattr(related, "group_variance", 1.0) is None


_NONE = np.zeros(0)


def _fractions(term: Term, *, sparse: bool) -> Any:
    """Q of the animals, and the unit vectors of the groups themselves."""
    if sparse:
        return sp.csr_array(sp.vstack([term.relationship.sparse_Q, sp.eye_array(term.relationship.groups.size)]))
    return np.vstack([term.relationship.Q, np.eye(term.relationship.groups.size)])


def _given_groups(term: Term) -> Term:
    """The term with its animals related and its groups apart: a record of a group has nothing random."""
    twin = copy(term)
    twin.relationship = term.relationship.given_groups
    animals = int(term.relationship.animals.size)
    codes = np.atleast_2d(term.codes).T
    of_group = codes >= animals
    if of_group.any():
        covariates = np.ones((term.n, term.q)) if term.covariates is None else term.covariates
        twin.covariates = np.where(of_group, 0.0, covariates)
    return twin


def _products(fractions: np.ndarray, covariates: np.ndarray | None) -> np.ndarray:
    """Columns z_a Q_k, group by group, from Q of each record, (n, g) or (q, n, g)."""
    if covariates is None:
        return fractions if fractions.ndim == 2 else np.moveaxis(fractions, 0, 2).reshape(fractions.shape[1], -1)
    by_group = fractions[:, :, None] if fractions.ndim == 2 else np.moveaxis(fractions, 0, 2)
    return np.asarray(by_group * covariates[:, None, :]).reshape(len(covariates), -1)


def _sparse_products(fractions: sp.csr_array, covariates: np.ndarray | None) -> sp.csc_array:
    """The same, sparse."""
    if covariates is None:
        return sp.csc_array(fractions)
    each = [sp.csc_array(fractions.multiply(z[:, None])) for z in covariates.T]
    by_group = np.arange(len(each) * fractions.shape[1]).reshape(len(each), -1).T.ravel()
    return sp.csc_array(sp.hstack(each, format="csc")[:, by_group])


def _names(term: Term, taken: Iterable[str]) -> list[str]:
    """``animal.g1``, or ``animal.g1.x`` where there are several coefficients."""
    groups = [f"{term.name}.{label}" for label in term.relationship.groups.tolist()]
    names = groups if term.q == 1 else [f"{group}.{column}" for group in groups for column in term.columns]
    if clash := set(names).intersection(taken):
        raise MMEError(
            f"the group of unknown parents '{min(clash)}' has the name of a column of X; give one of them another name"
        )
    return names


def _require_memory(term: Term, n: int) -> None:
    groups = int(term.relationship.groups.size)
    require(8 * groups * (term.relationship.animals.size + _COPIES * term.q * n), *_too_many(term))


def _too_many(term: Term) -> tuple[str, str]:
    """What is said where the columns do not fit: what needs memory, and what to do."""
    return (
        f"term '{term.name}': {term.relationship.groups.size:,} fixed groups of unknown parents are columns of X and "
        "need",
        ". Join groups, make them random (group_variance=), or solve the sparse equations at known variances "
        "(mme.MixedModelEquations)",
    )
