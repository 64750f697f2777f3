r"""Degrees of freedom that are counted from the design alone: containment, and between and within subjects.

Containment (SAS ``DDFM=CONTAIN``): a term of the fixed part has the rank that the smallest random effect which
contains its variables adds to [X Z], random effects of fewer variables first; a term in none has n - rank [X Z]. The
intercept is in all. Of a split plot these are the strata of its analysis of variance.

Between and within (SAS ``DDFM=BW``): of subjects, the groups of the residual structure or else of the outermost random
term, a coefficient whose column is constant within every subject has subjects - (such columns) degrees of freedom,
any other n - subjects - (columns that vary). The intercept is constant. (SAS gives all terms the first beside
``TYPE=UN``; here nothing depends on the structure, as in mmrm.)

A contrast has the least of what its coefficients have. Standard errors are not adjusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.formula.bar import Bar
from mme.formula.columns import INTERCEPT
from mme.formula.parser import parse_expression
from mme.formula.syntax import deparse, names_in
from mme.inference.fixed.reference import FTest, Reference, independent
from mme.inference.fixed.treatment import owners_of
from mme.model.compressed import Compressed
from mme.model.term import Term
from mme.numeric.limits import limits
from mme.numeric.rank import RANK_TOLERANCE
from mme.tables.levels import varies_within


@dataclass(frozen=True, eq=False)
class Allotted(Reference):
    """Tests whose degrees of freedom are ``of_each`` (p,) of the coefficients."""

    of_each: np.ndarray

    def df(self, L: np.ndarray) -> np.ndarray:
        """The least (m,) of the coefficients in each row of L (m, p)."""
        return np.where(L != 0.0, self.of_each, np.inf).min(axis=1, initial=np.inf)

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """F on the least of the coefficients in any row."""
        along = independent(L, difference, self.half)
        return FTest(along.F, along.sd.size, float(self.df(L).min(initial=np.inf)))


def containment(fit: Fitted) -> Allotted:
    """The tests by containment.

    Raises
    ------
    MMEError
        The model was given as arrays, which have no names to contain; or [X Z] is too large to be ranked.
    """
    if fit.specification is None:
        raise MMEError(
            "ddf='containment' reads the names of the formula, and this model was given as arrays; use "
            "ddf='satterthwaite', or mme.lmer()"
        )
    effects = sorted(_effects(fit), key=lambda effect: len(effect[0]))
    X = fit.model.X[:, fit.basis.kept]
    size = fit.model.n * (X.shape[1] + sum(Z.shape[1] for _, Z in effects))
    if size > limits().information_entries:
        raise MMEError(
            f"ddf='containment' ranks a matrix of {size:,} numbers, more than the {limits().information_entries:,} "
            "that take seconds; use ddf='satterthwaite'"
        )
    added, rank, so_far = [], X.shape[1], X
    for _, Z in effects:
        so_far = np.column_stack([so_far, Z])
        added.append(_rank(so_far) - rank)
        rank += added[-1]
    left = fit.model.n_records - rank
    variables = {owner: _names(owner) for owner in dict.fromkeys(owners_of(fit))}

    def of(term: str) -> int:
        holding = [one for (names, _), one in zip(effects, added, strict=True) if variables[term] <= names]
        return min(holding, default=left)

    each = np.array([of(owner) for owner in owners_of(fit)[fit.basis.kept]], dtype=float)
    return Allotted(fit.estimates.beta, fit.estimates.half, each)


def between_within(fit: Fitted) -> Allotted:
    """The tests by what is constant within subjects.

    Raises
    ------
    MMEError
        There are no subjects, or several factors that are not nested could be.
    """
    subject = subjects(fit, "ddf='between-within'")
    X, J = fit.model.X[:, fit.basis.kept], int(subject.max()) + 1
    constant = _constant(X, subject, J) if fit.model.compressed is None else _of_ones(X, subject, fit.model.compressed)
    between, within = J - int(constant.sum()), fit.model.n_records - J - int((~constant).sum())
    return Allotted(fit.estimates.beta, fit.estimates.half, np.where(constant, between, within).astype(float))


def _constant(X: np.ndarray, subject: np.ndarray, J: int) -> np.ndarray:
    """Which columns (p,) have one value in all records of each of J subjects."""
    first = np.zeros(J, dtype=np.int64)
    first[subject] = np.arange(subject.size)
    return np.asarray((X[first[subject]] == X).all(axis=0))


def _of_ones(X: np.ndarray, subject: np.ndarray, compressed: Compressed) -> np.ndarray:
    """The same of rows of sums, where one value is a multiple c = 1'x / 1'1 of the rows that ones have become."""
    ones = compressed.ones
    squares = np.bincount(subject, ones**2)
    c = np.column_stack([np.bincount(subject, ones * x) for x in X.T]) / squares[:, None]
    left = np.linalg.norm(X - c[subject] * ones[:, None], axis=0)
    return np.asarray(left <= RANK_TOLERANCE * np.linalg.norm(X, axis=0))


def subjects(fit: Record, what: str) -> np.ndarray:
    """Codes (n,) of the subjects, that ``what`` asks for."""
    model = fit.model
    if model.residual is not None and model.residual.group is not None:
        return np.unique(model.residual.group, return_inverse=True)[1]
    terms = sorted((term for term in model.terms if not term.by_column), key=lambda term: term.n_levels)
    if not terms or any(varies_within(terms[0].codes, one.codes) for one in terms[1:]):
        found = ", ".join(f"'{term.name}'" for term in model.terms) or "no random term"
        raise MMEError(
            f"{what} needs subjects: a residual structure with groups, or random terms nested in one; "
            f"the model has {found}. Use ddf='satterthwaite'"
        )
    return np.unique(terms[0].codes, return_inverse=True)[1]


def _effects(fit: Fitted) -> Iterator[tuple[set[str], np.ndarray]]:
    """The random effects as SAS writes them: their variables, and Z (n, columns)."""
    assert fit.specification is not None
    for term in fit.model.terms:
        Z, bars = term.Z.toarray().reshape(term.n, term.n_levels, term.q), _bars_of(fit.specification.bars, term.group)
        names = [frozenset(_of_column(term, bars, a)) for a in range(term.q)]
        for one in dict.fromkeys(names):
            at = [a for a, own in enumerate(names) if own == one]
            yield set(one), Z[:, :, at].reshape(term.n, -1)


def _bars_of(bars: Sequence[Bar], group: str) -> list[Bar]:
    """The bars of a grouping factor: ``(x + z || g)`` is three."""
    return [bar for bar in bars if bar.name == group]


def _of_column(term: Term, bars: Sequence[Bar], a: int) -> set[str]:
    """The variables of a column of a random term, its factors' among them."""
    if not bars:
        return _names(term.group)
    found = {name for factor in bars[0].factors for name in names_in(factor)}
    nodes = {deparse(node): node for bar in bars for node in bar.left.variables}
    for part in term.columns[a].split(":"):
        written = max((text for text in nodes if part.startswith(text)), key=len, default=None)  # x2 is not of x
        if written is not None:
            found |= names_in(nodes[written])
    return found


def _names(term: str) -> set[str]:
    """The variables of a term, as it is printed."""
    return (
        set() if term == INTERCEPT else {name for part in term.split(":") for name in names_in(parse_expression(part))}
    )


def _rank(columns: np.ndarray) -> int:
    size = np.linalg.norm(columns, axis=0)
    return int(np.linalg.matrix_rank(columns[:, size > 0.0] / size[size > 0.0]))
