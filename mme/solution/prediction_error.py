r"""The variance of a prediction: of x'(beta_hat - beta) + z'(b_hat - b), for any combinations x and z.

The inverse of Henderson's equations is the joint covariance of (beta_hat - beta, b_hat - b). With X = Q R, L_X of (N),
E = Lambda M^-1 Lambda'Z'Q L_X^-T and H = Lambda M^-1 Lambda' it is sigma^2 times

    ( F F'     -F E'    )
    ( -E F'   H + E E'  ),    F = R^-1 L_X^-T,     so that     var / sigma^2 = |F'x - E'z|^2 + z'H z                (V)

a sum of squares: the first is what the fixed effects leave uncertain, the second what would be left if they were known.
A record needs of E and H the rows of its own levels only: E_g, H_gg, and H_gh for each two of its factors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np

from mme.engine.pls import half_covariance
from mme.numeric.panels import gathered, inner, panels
from mme.numeric.sums import Cells, cells
from mme.solution.between import Covariances
from mme.solution.diagonal import sensitivities
from mme.solution.estimates import Estimates


@dataclass(frozen=True, eq=False)
class Part:
    """Levels (n,) of one block and z (n, q) in its scaled columns; -1: a level that the fit has no data on.

    A block whose columns have levels of their own has a part for each column.
    """

    block: int
    codes: np.ndarray
    z: np.ndarray


@dataclass(frozen=True, eq=False)
class Meeting:
    """The pairs of levels of two parts that meet in records (those whose levels are both known)."""

    one: int
    other: int
    records: np.ndarray
    cells: Cells


def meetings(parts: Sequence[Part], J: Sequence[int], absorbed: int | None = None) -> list[Meeting]:
    """The meetings of every two parts, one of the ``absorbed`` block first; J are the levels of the blocks."""
    found = []
    for i, j in combinations(range(len(parts)), 2):
        one, other = (j, i) if parts[j].block == absorbed != parts[i].block else (i, j)
        s, t = parts[one], parts[other]
        known = (s.codes >= 0) & (t.codes >= 0)
        records = np.arange(known.size) if known.all() else np.flatnonzero(known)
        if records.size:
            met = cells(s.codes[records], t.codes[records], J[s.block], J[t.block])
            found.append(Meeting(one, other, records, met))
    return found


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of predictions: of x'beta + z'b, X (n, p) and ``parts``, and of records about it.

    ``residual`` gives the variances (n,) of new residuals in units of sigma^2 as a function of phi; None: the error is
    that of the mean.
    """

    estimates: Estimates
    X: np.ndarray
    parts: Sequence[Part]
    residual: Callable[[np.ndarray], np.ndarray | float] | None

    @cached_property
    def variance(self) -> np.ndarray:
        """V (n,), at the estimates."""
        return error_variance(self.estimates, self.X, self.parts, self.meetings) + self.own(self.estimates)

    @cached_property
    def meetings(self) -> list[Meeting]:
        """Which levels of two parts meet in a record."""
        return meetings_of(self.estimates, self.parts)

    def own(self, estimates: Estimates) -> np.ndarray | float:
        """The variance (n,) that the residuals of new records add, in units of sigma^2."""
        return 0.0 if self.residual is None else estimates.sigma**2 * self.residual(estimates.objective.phi)


def meetings_of(estimates: Estimates, parts: Sequence[Part]) -> list[Meeting]:
    """The meetings of parts in the blocks of a model."""
    return meetings(parts, [block.J for block in estimates.objective.blocks], estimates.objective.plan.absorb)


def error_variance(
    estimates: Estimates, X: np.ndarray, parts: Sequence[Part], met: Sequence[Meeting] | None = None
) -> np.ndarray:
    """Variance (n,) of x'(beta_hat - beta) + z'(b_hat - b); a level without data adds its prior variance.

    Costs O(records) for one grouping factor. Each pair of factors adds O(q^2) a record and the entries of H between
    their levels: no more than an evaluation or two where the remainder is dense or the levels met in the fit.
    ``met`` are the parts' meetings, where they are known.
    """
    F = half_covariance(estimates.at.border, estimates.objective.basis.R_inverse)
    H = Covariances(estimates)
    own = levels_of(H) if parts else []
    met = meetings_of(estimates, parts) if met is None else met
    return estimates.sigma**2 * combined(F, own, X, parts, met, H.between)


def combined(
    F: np.ndarray,
    own: Sequence[OfLevels],
    X: np.ndarray,
    parts: Sequence[Part],
    met: Sequence[Meeting],
    between: Callable[[int, int, np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """|F x - E'z|^2 + z'H z (n,); ``between`` gives H (pairs, q, q') of levels that ``met``."""
    out = np.empty(X.shape[0])
    for cut in panels(X.shape[0]):
        along = F @ X[cut].T
        variance = np.zeros(along.shape[1])
        for part in parts:
            own[part.block].add(along, variance, part.codes[cut], np.ascontiguousarray(part.z[cut].T))
        np.add(variance, inner(along, along), out=out[cut])
    for one in met:
        _add_crossed(out, between, parts, one)
    return out


@dataclass(frozen=True, eq=False)
class OfLevels:
    """What the levels of a block have by themselves, level last: E (q, p, J), H (q, q, J) of each, and T (q, q)."""

    E: np.ndarray
    H: np.ndarray
    T: np.ndarray

    def add(self, along: np.ndarray, variance: np.ndarray, level: np.ndarray, z: np.ndarray) -> None:
        """Subtract E'z from ``along`` (p, n) and add z'H z to ``variance`` (n,), z (q, n); a new level adds |T'z|^2."""
        new = level < 0
        if self.H.shape[2] == 1 and not new.any():
            along -= self.E[:, :, 0].T @ z
            variance += inner(z, self.H[:, :, 0] @ z)
            return
        if new.any():
            prior = self.T.T @ np.where(new, z, 0.0)
            variance += inner(prior, prior)
            level, z = np.maximum(level, 0), np.where(new, 0.0, z)
        work = np.empty(level.size)
        for a, one in enumerate(z):
            for row, E in zip(along, self.E[a], strict=True):
                row -= np.multiply(gathered(E, level, work), one, out=work)
            for b, other in enumerate(z[: a + 1]):
                products = (one if a == b else 2.0 * one) * other
                variance += np.multiply(gathered(self.H[a, b], level, work), products, out=work)


def levels_of(H: Covariances) -> list[OfLevels]:
    """What each block has by itself, in the order of the blocks."""
    objective, theta = H.estimates.objective, H.estimates.theta
    E = sensitivities(objective, theta, H.estimates.at)
    return [
        OfLevels(level_last(by_fixed), level_last(own), block.T(theta))
        for by_fixed, own, block in zip(E, H.diagonal, objective.blocks, strict=True)
    ]


def level_last(values: np.ndarray) -> np.ndarray:
    """(J, a, b) as (a, b, J), so that the numbers of all levels for one (a, b) are next to each other."""
    return np.ascontiguousarray(values.transpose(1, 2, 0))


def _add_crossed(
    out: np.ndarray,
    between: Callable[[int, int, np.ndarray, np.ndarray], np.ndarray],
    parts: Sequence[Part],
    met: Meeting,
) -> None:
    """Add 2 z_1'H_gh z_2 to every record (n,) whose levels are both known."""
    one, other = parts[met.one], parts[met.other]
    blocks = level_last(between(one.block, other.block, met.cells.rows, met.cells.cols))
    for cut in panels(met.records.size):
        rows, pair = met.records[cut], met.cells.of_record[cut]
        for (a, x), (b, y) in product(enumerate(one.z[rows].T), enumerate(other.z[rows].T)):
            out[rows] += 2.0 * x * y * blocks[a, b].take(pair)
