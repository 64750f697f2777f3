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

import numpy as np
from scipy.special import chdtrc

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.inference.comparison.comparable import check_comparable, check_same_records, within_span
from mme.inference.comparison.random_blocks import RandomBlock, blocks
from mme.numeric.rank import independent_columns, unit_columns

# What a search knows a criterion to.
_KNOWN = 1e-6


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


def wilks(df: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """P(chi2_df >= ratio) of likelihood ratios; NaN where there are no parameters to test."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(df > 0, chdtrc(df, ratios), np.nan))


def _tail(df: int, t: float) -> float:
    """P(chi2_df >= t); chi2_0 is zero, and so is a ratio of criteria below what a search knows them to."""
    return float(t <= _KNOWN) if df == 0 else float(chdtrc(df, t))


def difference(small: Record, large: Record) -> Difference:
    """How the larger of two nested fits goes beyond the smaller: by fixed effects, or by parameters of random effects.

    Raises
    ------
    MMEError
        The fits are not of the same data, the smaller is no special case of the larger, or the distribution of their
        likelihood ratio is not known: both parts differ, several variances, another residual structure, or a smaller
        fit that is singular itself.
    """
    check_comparable((small, large))
    check_same_records(small, large)
    linear = [fit for fit in (small, large) if isinstance(fit, Fitted)]
    for fit in linear:
        if fit.optimum.undetermined:
            raise MMEError(f"{'; '.join(fit.optimum.undetermined)}: leave that out to compare the fits")
    if any(np.isnan(fit.optimum.gradient).sum() > len(fit.optimum.ended) for fit in linear):
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


def _fixed_beyond(small: Record, large: Record) -> int:
    """How many columns the larger X has beyond the smaller X, whose columns must lie in its span."""
    if not within_span(small, large):
        raise MMEError("the fits differ in their fixed effects, and neither X holds the other: they are not nested")
    return int(large.basis.kept.size - small.basis.kept.size)


def _random_beyond(small: Record, large: Record) -> Difference:
    """Parameters of the larger random part that are zero in the smaller, block by block of the larger."""
    wholes = sorted(blocks(large.model), key=lambda block: block.q)
    parts: list[list[RandomBlock]] = [[] for _ in wholes]
    for block in blocks(small.model):
        place = next((j for j, whole in enumerate(wholes) if whole.holds(block)), None)
        if place is None:
            raise MMEError(
                f"the fits are not nested: random term {block} of one is no part of the other's random terms"
            )
        parts[place].append(block)
    found = [_beyond(whole, part) for whole, part in zip(wholes, parts, strict=True)]
    return Difference(sum(one.free for one in found), sum(one.edge for one in found))


def _beyond(whole: RandomBlock, parts: list[RandomBlock]) -> Difference:
    """The parameters of one block of the larger model that are zero in the smaller, which has these parts of it."""
    variances = whole.q - sum(part.q for part in parts)
    if whole.pattern and not parts:
        if whole.k > 1:
            raise MMEError(
                f"random term {whole} has a correlation or another parameter that means nothing where its variance is "
                "zero: the distribution of the likelihood ratio is not known there; simulate from the smaller fit"
            )
        variances = 1
    apart = whole.pattern or whole.by_column or not parts or _are_independent([part.V for part in parts])
    if variances < 0 or not apart:
        raise MMEError(f"the fits are not nested: random term {whole} of one is split otherwise in the other")
    return Difference(whole.k - sum(part.k for part in parts) - variances, variances)


def _are_independent(parts: list[np.ndarray]) -> bool:
    """Whether the columns of all parts together are independent, in any units."""
    columns = unit_columns(np.hstack(parts))
    return independent_columns(columns).size == columns.shape[1]
