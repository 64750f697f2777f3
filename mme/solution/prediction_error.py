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
from mme.numeric.sums import cells
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
        return error_variance(self.estimates, self.X, self.parts) + self.own(self.estimates)

    def own(self, estimates: Estimates) -> np.ndarray | float:
        """The variance (n,) that the residuals of new records add, in units of sigma^2."""
        return 0.0 if self.residual is None else estimates.sigma**2 * self.residual(estimates.objective.phi)


def error_variance(estimates: Estimates, X: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    """Variance (n,) of x'(beta_hat - beta) + z'(b_hat - b); a level without data adds its prior variance.

    Costs O(records) for one grouping factor. Each pair of factors adds O(q^2) a record and the entries of H between
    their levels: no more than an evaluation or two where the remainder is dense or the levels met in the fit.
    """
    F, objective = half_covariance(estimates.at.border, estimates.objective.basis.R_inverse), estimates.objective
    H = Covariances(estimates)
    ordered = sorted(parts, key=lambda part: part.block == objective.plan.absorb, reverse=True)
    own = levels_of(H) if parts else []
    return estimates.sigma**2 * combined(F, own, X, ordered, H.between)


def combined(
    F: np.ndarray,
    own: Sequence[OfLevels],
    X: np.ndarray,
    parts: Sequence[Part],
    between: Callable[[int, int, np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """|F x - E'z|^2 + z'H z (n,); ``between`` gives H (pairs, q, q') of levels of two parts, in their order."""
    out = np.empty(X.shape[0])
    for cut in panels(X.shape[0]):
        along = F @ X[cut].T
        variance = np.zeros(along.shape[1])
        for part in parts:
            own[part.block].add(along, variance, part.codes[cut], np.ascontiguousarray(part.z[cut].T))
        np.add(variance, inner(along, along), out=out[cut])
    for one, other in combinations(parts, 2):
        J = own[one.block].H.shape[2], own[other.block].H.shape[2]
        _add_crossed(out, between, J, one, other)
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
    J: tuple[int, int],
    one: Part,
    other: Part,
) -> None:
    """Add 2 z_1'H_gh z_2 to every record (n,) whose levels are both known; J levels has each block."""
    known = (one.codes >= 0) & (other.codes >= 0)
    records = np.arange(known.size) if known.all() else np.flatnonzero(known)
    if not records.size:
        return
    s, t = one.block, other.block
    met = cells(one.codes[records], other.codes[records], *J)
    blocks = level_last(between(s, t, met.rows, met.cols))
    for cut in panels(records.size):
        rows, pair = records[cut], met.of_record[cut]
        for (a, x), (b, y) in product(enumerate(one.z[rows].T), enumerate(other.z[rows].T)):
            out[rows] += 2.0 * x * y * blocks[a, b].take(pair)
