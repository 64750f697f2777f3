r"""How two fits differ, and what their likelihood ratio is to be compared with.

Where the smaller model holds v variances at zero, the parameter lies on the edge of the larger one. With v = 0 the
ratio is chi2 on the difference of parameters (Wilks 1938). With v = 1, and c covariances free beside it, the tangent
cone is a half-space, R^c x [0, inf), whatever the information matrix, so that (Self & Liang 1987, J. Amer. Statist.
Assoc. 82, 605-610, case 5 and 6; Stram & Lee 1994, Biometrics 50, 1171-1177)

    P(ratio > t) = P(chi2_c > t) / 2 + P(chi2_{c+1} > t) / 2,        chi2_0 = 0.

With v > 1 the weights depend on the information matrix, and no reference is given here. The smaller model must be
inside: its own variances are not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc

from mme.covariance.base import GStructure
from mme.engine.basis import RANK_TOLERANCE
from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.sums import by_column, coding


@dataclass(frozen=True)
class Difference:
    """Parameters of the larger model that the smaller one holds at zero: ``free`` inside their range, ``edge`` on it.

    Examples
    --------
    >>> one = Difference(free=1, edge=1)
    >>> one.reference, round(one.tail(5.0), 6)
    ('0.5 chi2(1) + 0.5 chi2(2)', 0.053716)
    >>> Difference(free=2, edge=0).reference
    'chi2(2)'
    """

    free: int
    edge: int

    @property
    def count(self) -> int:
        """Number of parameters."""
        return self.free + self.edge

    @property
    def reference(self) -> str:
        """The distribution of the likelihood ratio where they are zero, in words; empty where there are none."""
        if self.edge:
            return f"0.5 chi2({self.free}) + 0.5 chi2({self.count})"
        return f"chi2({self.free})" if self.free else ""

    def tail(self, t: float) -> float:
        """Probability of a likelihood ratio of at least t; NaN where there is nothing to test."""
        if not self.count:
            return float("nan")
        return 0.5 * (_tail(self.free, t) + _tail(self.count, t)) if self.edge else _tail(self.free, t)


def _tail(df: int, t: float) -> float:
    """P(chi2_df >= t); chi2_0 is zero."""
    return float(t <= 0.0) if df == 0 else float(chdtrc(df, t))


@dataclass(frozen=True, eq=False)
class Block:
    """Random coefficients with a covariance of their own: columns V (n, q) of a term, ``k`` parameters.

    ``codes`` are (n,), or (q, n) where each column has levels of its own.
    """

    term: Term
    V: np.ndarray
    k: int
    pattern: str  # empty for an unstructured covariance
    codes: np.ndarray

    @property
    def by_column(self) -> bool:
        """Whether each coefficient has levels of its own: codes are (q, n), not (n,)."""
        return by_column(self.codes)

    @property
    def q(self) -> int:
        """Number of coefficients a level."""
        return int(self.V.shape[1])

    def __str__(self) -> str:
        return f"'{self.term.name}'"

    def holds(self, other: Block) -> bool:
        """Whether the other's covariances are among this block's: same levels, its columns in the span of these."""
        if self.by_column or other.by_column:
            return self._holds_columns(other)
        if not same_levels(self.term, other.term):
            return False
        if self.pattern or other.pattern:
            return self.pattern == other.pattern and np.array_equal(self.V, other.V)
        return spanned(other.V, self.V)

    def _holds_columns(self, other: Block) -> bool:
        """The same where columns have levels of their own: each of the other's is one of these."""
        if not _same_relationship(self.term.relationship, other.term.relationship) or self.pattern != other.pattern:
            return False
        if self.pattern:
            return self.q == other.q and all(_same_column(self, j, other, j) for j in range(self.q))
        return all(any(_same_column(self, j, other, i) for j in range(self.q)) for i in range(other.q))


def _same_column(one: Block, j: int, other: Block, i: int) -> bool:
    """Whether two columns give every record the same value of the same level."""
    if not np.array_equal(one.V[:, j], other.V[:, i]):
        return False
    acts = one.V[:, j] != 0.0
    levels = [b.term.levels[coding(b.codes, a)[acts]] for b, a in ((one, j), (other, i))]
    return np.array_equal(*levels)


def difference(small: Fitted, large: Fitted) -> Difference:
    """How the larger of two nested fits goes beyond the smaller: by fixed effects, or by parameters of random effects.

    Raises
    ------
    MMEError
        The fits are not of the same data, the smaller is no special case of the larger, or the distribution of their
        likelihood ratio is not known: both parts differ, several variances, another residual structure, or a smaller
        fit that is singular itself.
    """
    check_comparable((small, large))
    _check_same_records(small, large)
    for fit in (small, large):
        if fit.optimum.undetermined:
            raise MMEError(f"{'; '.join(fit.optimum.undetermined)}: leave that out to compare the fits")
    if any(np.isnan(fit.optimum.gradient).any() for fit in (small, large)):
        raise MMEError("theta or phi was given to one of the fits: a likelihood ratio is of fits at their optimum")
    more = _fixed_beyond(small, large)
    random = _random_beyond(small, large)
    if more and random.count:
        raise MMEError(
            "the fits differ in their fixed effects too: the distribution of the likelihood ratio is known for a "
            "difference in fixed or in random effects; put a fit between them"
        )
    if random.edge > 1:
        raise MMEError(
            f"the larger model has {random.edge} variances more: the weights of the mixture then depend on the "
            "information matrix; put fits between them that add one variance each, or simulate from the smaller"
        )
    if random.count and small.optimum.boundary:
        raise MMEError(
            f"the smaller fit is singular itself ({', '.join(small.optimum.boundary)} at zero): the mixture holds "
            "where its own variances are positive; leave that out of both models"
        )
    return Difference(more + random.free, random.edge)


# -- the fixed part ---------------------------------------------------------------------------------------------------


def same_span(one: Fitted, other: Fitted) -> bool:
    """Whether two X have one column space, whatever their records' variances."""
    A, B = _basis(one), _basis(other)
    return A.shape == B.shape and spanned(A, B)


def _fixed_beyond(small: Fitted, large: Fitted) -> int:
    """How many columns the larger X has beyond the smaller, which it holds."""
    A, B = _basis(small), _basis(large)
    if not spanned(A, B):
        raise MMEError("the fits differ in their fixed effects, and neither X holds the other: they are not nested")
    return int(B.shape[1] - A.shape[1])


def _basis(fit: Fitted) -> np.ndarray:
    """X R^-1 (n, p), where whitened X = Q R: near orthogonal columns of X's own span."""
    basis = fit.objective.basis
    return np.asarray(fit.model.X[:, basis.kept] @ basis.R_inverse)


# -- the random part --------------------------------------------------------------------------------------------------


def _random_beyond(small: Fitted, large: Fitted) -> Difference:
    """Parameters of the larger random part that are zero in the smaller, block by block of the larger."""
    wholes = sorted(blocks(large.model), key=lambda block: block.q)
    parts: list[list[Block]] = [[] for _ in wholes]
    for block in blocks(small.model):
        place = next((j for j, whole in enumerate(wholes) if whole.holds(block)), None)
        if place is None:
            raise MMEError(
                f"the fits are not nested: random term {block} of one is no part of the other's random terms"
            )
        parts[place].append(block)
    found = [_beyond(whole, part) for whole, part in zip(wholes, parts, strict=True)]
    return Difference(sum(one.free for one in found), sum(one.edge for one in found))


def _beyond(whole: Block, parts: list[Block]) -> Difference:
    """One block of the larger model, of which the smaller has these parts: zero between them, and in the rest."""
    variances = whole.q - sum(part.q for part in parts)
    if whole.pattern and not parts:
        if whole.k > 1:
            raise MMEError(
                f"random term {whole} has a correlation that means nothing where its variance is zero: the "
                "distribution of the likelihood ratio is not known there; simulate from the smaller fit"
            )
        variances = 1
    if variances < 0 or (
        not whole.by_column
        and len(parts) > 1
        and np.linalg.matrix_rank(np.hstack([p.V for p in parts])) < whole.q - variances
    ):
        raise MMEError(f"the fits are not nested: random term {whole} of one is split otherwise in the other")
    return Difference(whole.k - sum(part.k for part in parts) - variances, variances)


def blocks(model: Model) -> list[Block]:
    """The independent blocks of random coefficients; a diagonal covariance is as many as it has columns."""
    return [block for term, part in zip(model.terms, model.structures, strict=True) for block in _blocks(term, part)]


def _blocks(term: Term, part: GStructure) -> list[Block]:
    V = np.ones((term.n, 1)) if term.covariates is None else term.covariates
    if part.entries is None:
        return [Block(term, V, part.k, f"{part.inner.kind} {part.kind}", term.codes)]
    if part.correlated or part.q == 1:
        return [Block(term, V, part.k, "", term.codes)]
    each = range(part.q)
    return [Block(term, V[:, [j]], 1, "", term.codes[[j]] if term.by_column else term.codes) for j in each]


def spanned(A: np.ndarray, B: np.ndarray) -> bool:
    """Whether the columns of A are combinations of those of B."""
    Q = np.linalg.qr(B / np.maximum(np.linalg.norm(B, axis=0), np.finfo(float).tiny))[0]
    left = np.linalg.norm(A - Q @ (Q.T @ A), axis=0)
    return bool((left <= RANK_TOLERANCE * np.linalg.norm(A, axis=0)).all())


def same_levels(one: Term, other: Term) -> bool:
    """Whether two terms put the same records together, with the same relationship."""
    return _refines(one, other) and _refines(other, one) and _same_relationship(one.relationship, other.relationship)


def _refines(fine: Term, coarse: Term) -> bool:
    """Whether each level of one lies within one level of the other."""
    of_level = np.zeros(fine.n_levels, dtype=coarse.codes.dtype)
    of_level[fine.codes] = coarse.codes
    return bool((of_level[fine.codes] == coarse.codes).all())


def _same_relationship(one: Any, other: Any) -> bool:
    if one is other or one is None or other is None:
        return one is other
    return one.precision.shape == other.precision.shape and (one.precision != other.precision).nnz == 0


# -- the records ------------------------------------------------------------------------------------------------------


def check_comparable(fits: tuple[Fitted, ...]) -> None:
    """Refuse fits whose likelihoods are of different data."""
    if len(fits) < 2:
        raise MMEError(f"anova compares two or more fits, got {len(fits)}; for one fit see coefficients()")
    first = fits[0]
    methods = sorted({fit.method for fit in fits})
    if len(methods) > 1:
        raise MMEError(
            "anova cannot compare REML with ML fits, whose criteria are different likelihoods; refit with method='ML'"
        )
    if any(fit.nobs != first.nobs or not np.array_equal(fit.model.y, first.model.y) for fit in fits[1:]):
        sizes = ", ".join(str(fit.nobs) for fit in fits)
        raise MMEError(
            f"the fits do not share their records (responses of {sizes} records): rows with missing "
            "values were dropped differently, or the responses differ; fit all models to the same rows"
        )
    if methods == ["REML"] and any(not same_span(first, fit) for fit in fits[1:]):
        raise MMEError(
            "REML fits with different fixed effects cannot be compared: REML is the likelihood of what the fixed "
            "effects leave, so each has different data; refit with method='ML'"
        )


def _check_same_records(small: Fitted, large: Fitted) -> None:
    """Refuse fits that see the records' variances differently."""
    one, other = small.model, large.model
    for what in ("weights", "offset", "sigma"):
        if not _same(getattr(one, what), getattr(other, what)):
            raise MMEError(f"the fits have different {what}: they differ by more than fixed or random effects")
    if not _same_residual(small, large):
        raise MMEError(
            "the fits have different residual structures: the distribution of the likelihood ratio is not known here"
        )


def _same(one: Any, other: Any) -> bool:
    return (one is None) == (other is None) and np.array_equal(one, other)


def _same_residual(small: Fitted, large: Fitted) -> bool:
    """Whether two residual structures are one: the same parameters, and at these the same whitening of y."""
    one, other = small.model.residual, large.model.residual
    if one is None or other is None:
        return one is other
    phi, y = small.optimum.phi, small.model.y[None, :]
    return one.names == other.names and np.array_equal(one.whiten(phi, y), other.whiten(phi, y))
