r"""The random effects of a grouping factor, or of one of its terms: what every table, array and picture of them names.

Terms on one factor have their coefficients side by side, as in lme4: ``(Days || Subject)`` is one table of intercepts
and slopes. Given the data these are correlated, though a priori they are not: with H = Lambda M^-1 Lambda' and E of
:mod:`mme.solution.prediction_error`, the covariance of b_g of two terms s and t at one level g is

    cov(b_s, b_t | y) = sigma^2 H_gg[s, t],        cov(b_s_hat - b_s, b_t_hat - b_t) = sigma^2 (H + E E')_gg[s, t]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError
from mme.model.problem import Model
from mme.model.term import Term
from mme.solution.between import Covariances
from mme.solution.estimates import Estimates
from mme.tables.arguments import is_word
from mme.tables.arrays import shown
from mme.tables.names import as_known, unlike

if TYPE_CHECKING:
    import pandas as pd

_BY = ("factor", "term")


@dataclass(frozen=True, eq=False)
class Effects:
    """Coefficients that share their levels: of a grouping factor, or of one of its terms.

    Attributes
    ----------
    name : str
        What results call it: the grouping factor, or the term.
    group : str
        The grouping factor.
    terms : tuple of int
        Positions of its terms in the model.
    levels : (J,) array
        Labels.
    columns : (q,) tuple of str
        Names of the coefficients, each its own: one that two terms have is ``(Intercept)`` and ``(Intercept).1``.
    fixed : (q,) tuple of str
        The fixed effects that they are deviations from, whether the model has these or not.
    kept : tuple of (q_t,) int arrays or None
        Of each term the columns that have its coefficients, the first of each that share one; None: all.
    """

    name: str
    group: str
    terms: tuple[int, ...]
    levels: np.ndarray
    columns: tuple[str, ...]
    fixed: tuple[str, ...]
    kept: tuple[np.ndarray | None, ...] = ()

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return int(self.levels.size)

    @property
    def q(self) -> int:
        """Number of coefficients a level."""
        return len(self.columns)

    def beside(self, by_term: Sequence[np.ndarray]) -> np.ndarray:
        """Arrays (..., q_t) of every term of the model, those of its own joined along the last axis (..., q)."""
        own = [self.own(by_term[t], t, 1) for t in self.terms]
        return own[0] if len(own) == 1 else np.concatenate(own, axis=-1)

    def variances(self, by_term: Sequence[np.ndarray]) -> np.ndarray:
        """Diagonals (J, q) of matrices (J, q_t, q_t) of every term of the model."""
        return self.beside([np.einsum("gii->gi", V) for V in by_term])

    def together(self, by_term: Sequence[np.ndarray]) -> np.ndarray:
        """One matrix (q, q) with those of its terms (q_t, q_t) on the diagonal."""
        out, end = np.zeros((self.q, self.q)), 0
        for t in self.terms:
            own = self.own(by_term[t], t, 2)
            at, end = slice(end, end + len(own)), end + len(own)
            out[at, at] = own
        return out

    def own(self, values: np.ndarray, t: int, axes: int) -> np.ndarray:
        """Values of a term of the model without the columns that share another's coefficient, along its last axes."""
        kept = self.kept[self.terms.index(t)] if self.kept else None
        if kept is None:
            return values
        return values[..., kept] if axes == 1 else values[..., kept[:, None], kept]

    def table(self, values: np.ndarray) -> pd.DataFrame:
        """Values (J, q) as a table: levels x coefficients."""
        import pandas as pd

        return pd.DataFrame(values, index=pd.Index(self.levels, name=self.group), columns=list(self.columns))


def effects(model: Model, by: str = "factor") -> list[Effects]:
    """The random effects by grouping factor, in the order of their first terms, or by term.

    Terms whose factor has one name but not the same levels at every record are no one factor: each keeps its own name.

    Raises
    ------
    MMEError
        ``by`` is another word.
    """
    if not is_word(by, _BY):
        hint = f"; what is of it is ['{by}'] of the result" if is_word(by, [term.group for term in model.terms]) else ""
        raise MMEError(f"by must be 'factor' (terms on one grouping factor joined) or 'term', got {shown(by)}{hint}")
    members: list[list[int]] = []
    for t, term in enumerate(model.terms):
        for own in members if by == "factor" else ():
            if _share_levels(model.terms[own[0]], term):
                own.append(t)
                break
        else:
            members.append([t])
    groups = [model.terms[own[0]].group for own in members]
    joined = [by == "factor" and groups.count(group) == 1 for group in groups]
    return [_effects(model, tuple(own), of_group) for own, of_group in zip(members, joined, strict=True)]


def named_effects(model: Model, name: str | None) -> Effects:
    """The effects of the grouping factor or term of this name; None stands for the first grouping factor.

    Raises
    ------
    MMEError
        There are no random effects, or none of this name.
    """
    by_factor, by_term = effects(model), effects(model, "term")
    if not by_factor:
        raise MMEError("this fit has no random effects")
    found = [one for one in (*by_factor, *by_term) if name is None or (isinstance(name, str) and one.name == name)]
    if not found:
        known = dict.fromkeys(repr(one.name) for one in (*by_factor, *by_term))
        raise MMEError(f"there is no term {shown(name)}; the fit has {', '.join(known)}")
    return found[0]


def conditional_covariance(estimates: Estimates, of: Effects) -> np.ndarray:
    """var(b | y) at every level (J, q, q), beta held at its estimate."""
    return _joined(estimates, of, estimates.condvar, with_beta=False)


def error_covariance(estimates: Estimates, of: Effects) -> np.ndarray:
    """var(b_hat - b) at every level (J, q, q), the uncertainty of beta, and of fixed groups, included."""
    return _joined(estimates, of, estimates.effects_pev, with_beta=True)


def _share_levels(one: Term, other: Term) -> bool:
    """Whether two terms are on one factor: its name, its levels, and the same of them at every record."""
    return (
        one.group == other.group
        and not (one.by_column or other.by_column)
        and (one.levels is other.levels or np.array_equal(one.levels, other.levels))
        and (one.codes is other.codes or np.array_equal(one.codes, other.codes))
    )


def _effects(model: Model, members: tuple[int, ...], of_group: bool) -> Effects:
    first = model.terms[members[0]]
    kept = tuple(model.coefficients(t) for t in members)
    names = [np.array(model.terms[t].columns, dtype=object) for t in members]
    fixed = tuple(
        column for own, at in zip(names, kept, strict=True) for column in own[slice(None) if at is None else at]
    )
    return Effects(
        first.group if of_group else first.name, first.group, members, first.levels, unlike(fixed), fixed, kept
    )


def _joined(estimates: Estimates, of: Effects, by_term: Sequence[np.ndarray], *, with_beta: bool) -> np.ndarray:
    """Matrices (J, q, q) of every level: those of each term, and what lies between two of them."""
    if len(of.terms) == 1:
        return of.own(by_term[of.terms[0]], of.terms[0], 2)
    ends = np.cumsum([by_term[t].shape[1] for t in of.terms]).tolist()
    place = {t: slice(end - by_term[t].shape[1], end) for t, end in zip(of.terms, ends, strict=True)}
    out = np.zeros((of.n_levels, of.q, of.q))
    for t in of.terms:
        out[:, place[t], place[t]] = by_term[t]
    between = _Between(estimates, with_beta)
    for s, t in combinations(of.terms, 2):
        out[:, place[s], place[t]] = between(s, t)
        out[:, place[t], place[s]] = out[:, place[s], place[t]].transpose(0, 2, 1)
    return out


class _Between:
    """Covariances of the effects of two terms at the same level, in the user's units."""

    def __init__(self, estimates: Estimates, with_beta: bool) -> None:
        self.estimates, self.H = estimates, Covariances(estimates if with_beta else estimates.given_beta)
        objective = estimates.objective
        self.D = estimates.along_beta if with_beta else None
        self.diagonal = self.H.diagonal
        self.place = {
            t: (b, columns)
            for b, block in enumerate(objective.blocks)
            for t, columns in zip(block.terms, block.column_slices, strict=True)
        }

    def __call__(self, s: int, t: int) -> np.ndarray:
        """(J, q_s, q_t) at every level."""
        (b, rows), (c, cols) = self.place[s], self.place[t]
        blocks, theta = self.estimates.objective.blocks, self.estimates.theta
        half = blocks[c].effects(self._blocks(b, c), theta)[:, :, cols].transpose(0, 2, 1)
        values = blocks[b].effects(half, theta)[:, :, rows].transpose(0, 2, 1)
        if self.D is not None:
            values = values + self.D[s] @ self.D[t].transpose(0, 2, 1)
        return np.asarray(self.estimates.sigma**2 * values)

    def _blocks(self, b: int, c: int) -> np.ndarray:
        """H_gg (J, q_b, q_c) between two blocks."""
        if b == c:
            return self.diagonal[b]
        if c == self.estimates.objective.plan.absorb:
            return self._blocks(c, b).transpose(0, 2, 1)
        levels = np.arange(self.estimates.objective.blocks[b].J)
        return self.H.between(b, c, levels, levels)


def named_columns(model: Model, names: Sequence[str]) -> dict[int, np.ndarray]:
    """Which columns (q,) of which terms these names are: of a factor, of a term, or of a coefficient of either.

    ``"Subject"`` is all terms on the factor, ``"Subject.1"`` its second term, ``"Subject.Days"`` the coefficient.

    Raises
    ------
    MMEError
        A name is none of these.
    """
    chosen = {t: np.zeros(term.q, dtype=bool) for t, term in enumerate(model.terms)}
    known = {*_factors(model), *_coefficients(model)}
    for name in (as_known(one, known) for one in names):
        found = False
        for t, term in enumerate(model.terms):
            if name in (term.name, term.group):
                chosen[t][:], found = True, True
        if found:
            continue
        for (t, term), a in ((pair, a) for pair in enumerate(model.terms) for a in range(pair[1].q)):
            if name in (f"{term.group}.{term.columns[a]}", f"{term.name}.{term.columns[a]}"):
                chosen[t][a] = found = True
        if not found:
            raise MMEError(_unknown_name(model, name))
    return {t: columns for t, columns in chosen.items() if columns.any()}


def _unknown_name(model: Model, name: str) -> str:
    listed, parts = ", ".join(map(repr, _factors(model))) or "none", _coefficients(model)
    more = f", and their coefficients {', '.join(map(repr, parts))}" if parts else ""
    return f"random names {name!r}, but the random terms of the fit are {listed}{more}"


def _factors(model: Model) -> list[str]:
    """Names of grouping factors and of terms."""
    return [*dict.fromkeys(one for term in model.terms for one in (term.group, term.name))]


def _coefficients(model: Model) -> list[str]:
    """Names of coefficients of grouping factors."""
    return [*dict.fromkeys(f"{term.group}.{column}" for term in model.terms for column in term.columns)]
