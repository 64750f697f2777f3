"""Records of a model by the levels of a factor: the model on some of these, of which one may come several times.

Each copy of a level has levels of its own in this factor and in those nested in it. Factors that reach beyond it keep
theirs, which copies share.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mme.errors import MMEError
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.sums import by_code


def holds(outer: np.ndarray, inner: np.ndarray) -> bool:
    """Whether every level of one factor lies in one level of another."""
    first = np.zeros(int(inner.max()) + 1, dtype=np.int64)
    first[inner] = outer
    return bool((first[inner] == outer).all())


def outermost(terms: tuple[Term, ...]) -> np.ndarray | None:
    """Codes (n,) of the factor whose levels hold those of all others; None: they cross, or there is none."""
    for outer in sorted(terms, key=lambda term: term.n_levels):
        if all(one.codes.ndim == 1 and holds(outer.codes, one.codes) for one in terms):
            return np.asarray(outer.codes)
    return None


@dataclass(frozen=True, eq=False)
class Cases:
    """A model of columns X that are independent, and the level of each record (n,)."""

    model: Model
    codes: np.ndarray

    @classmethod
    def by(cls, model: Model, kept: np.ndarray, codes: np.ndarray) -> Cases:
        """Take the columns of X that are kept.

        Raises
        ------
        MMEError
            Levels are related, or records correlated, across the groups: these are no cases.
        """
        for term in model.terms:
            if term.relationship is not None:
                raise MMEError(f"levels of term '{term.name}' are related: groups are no independent cases")
        if model.residual is not None and model.residual.group is not None:
            raise MMEError(
                f"groups cannot be left out or drawn beside correlated residuals ({model.residual.kind}): use "
                "draws='parametric', and intervals by 'percentile', 'basic', 'normal' or 'studentised'"
            )
        names = tuple(model.x_names[j] for j in kept.tolist())
        return cls(model.beside(X=model.X[:, kept], x_names=names), codes)

    @cached_property
    def J(self) -> int:
        """Number of levels."""
        return int(self.codes.max()) + 1

    def records(self, drawn: np.ndarray) -> np.ndarray:
        """The records of levels, one level after another."""
        sizes = np.bincount(self.codes, minlength=self.J)
        first, count = np.cumsum(sizes) - sizes, sizes[drawn]
        start = np.repeat(first[drawn] - (np.cumsum(count) - count), count)
        return np.asarray(by_code(self.codes, self.J)[start + np.arange(start.size)])

    def of(self, drawn: np.ndarray) -> Model:
        """The model on the records of levels, each drawn once or several times."""
        model, rows = self.model, self.records(drawn)
        number = np.repeat(np.arange(drawn.size), np.bincount(self.codes, minlength=self.J)[drawn])
        residual = None if model.residual is None else model.residual.on(rows)
        if model.residual is not None and residual is None:
            raise MMEError(f"{model.residual.kind} has no meaning for a part of the records")
        return replace(
            model,
            y=model.y[rows],
            X=model.X[rows],
            terms=tuple(self._term(term, rows, number) for term in model.terms),
            weights=None if model.weights is None else model.weights[rows],
            offset=None if model.offset is None else model.offset[rows],
            residual=residual,
        )

    def _term(self, term: Term, rows: np.ndarray, number: np.ndarray) -> Term:
        codes = term.codes[..., rows]
        if not term.by_column and holds(self.codes, term.codes):
            codes = codes + number * term.n_levels
        levels, codes = np.unique(codes, return_inverse=True)
        twin = copy(term)
        twin.codes, twin.levels = codes.reshape(term.codes.shape[:-1] + rows.shape), np.arange(levels.size)
        twin.covariates = None if term.covariates is None else term.covariates[rows]
        return twin


@dataclass(frozen=True, eq=False)
class Resampled:
    """As many levels as there are, drawn with replacement: the model of a replicate by its number."""

    cases: Cases
    entropy: int

    def levels(self, number: int) -> np.ndarray:
        """The levels that are drawn."""
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(number,)))
        return rng.integers(0, self.cases.J, self.cases.J)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """All levels but one, or but a few of many: the model without them, by the number of the part."""

    cases: Cases
    parts: int

    def levels(self, number: int) -> np.ndarray:
        """The levels that stay."""
        return np.flatnonzero(np.arange(self.cases.J) % self.parts != number)
