"""One correlation between all records of a group, which may be negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.numeric.scales import logistic
from mme.residual.base import Bound, Column
from mme.residual.reading import Reader, same_group
from mme.residual.rstructure import RStructure

_START = 0.3
# Coordinates at which other valleys may be.
_ELSEWHERE = (-3.0, -1.0, 1.0, 3.0)


@dataclass(frozen=True, eq=False, repr=False)
class CompoundSymmetry(RStructure):
    r"""Compound symmetry: corr(e_i, e_j) = rho between any two records of a group, -1 / (n_max - 1) < rho < 1.

    The marginal model of a random intercept, and more: rho is negative where records of one group differ more than
    records of different groups (competition, shared plots). R stays positive definite as long as rho exceeds
    -1 / (n_max - 1), n_max the size of the largest group. nlme's ``corCompSymm`` (Pinheiro & Bates, 2000,
    section 5.3.1), SAS ``TYPE=CS``. O(n) an evaluation.

    Parameters
    ----------
    group : str or (n,) array
        Records of different groups are independent; ``"block/plot"``, or a list of columns, are their combinations.

    Notes
    -----
    Coordinate: logit of where rho stands between its bounds. With s records, R = (1 - rho) I + rho 11' has the
    symmetric root

        W r = (r - rbar) / sqrt(1 - rho) + rbar / sqrt(1 + (s - 1) rho),
        log|R| = (s - 1) log(1 - rho) + log(1 + (s - 1) rho).

    Examples
    --------
    >>> R = CompoundSymmetry(["a", "a", "a", "b"]).bind(np.asarray, 4)
    >>> x = R.coordinates(np.array([-0.25]))
    >>> R.covariance(x, np.arange(4))
    array([[ 1.  , -0.25, -0.25,  0.  ],
           [-0.25,  1.  , -0.25,  0.  ],
           [-0.25, -0.25,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  0.  ,  1.  ]])
    >>> bool(np.isclose(np.exp(R.logdet(x)), 1.25**2 * 0.5))
    True
    """

    group: Any

    def bind(self, column: Column, n: int) -> BoundCompoundSymmetry:
        """Read the groups."""
        reader = Reader("CompoundSymmetry", column, n)
        groups = reader.labels(self.group, "group")
        reader.require_pairs(groups)
        if groups.J < 2:
            raise reader.error(
                f"{groups.title} has the one level '{groups.levels[0]}': a correlation common to all records cannot be "
                "told from their mean"
            )
        order = np.argsort(groups.codes, kind="stable")
        return BoundCompoundSymmetry(
            n,
            ("rho",),
            groups.codes,
            None if (np.diff(order) == 1).all() else order,
            np.concatenate([[0], np.cumsum(groups.sizes)[:-1]]),
            groups.sizes,
        )


@dataclass(frozen=True, eq=False)
class BoundCompoundSymmetry(Bound):
    """Compound symmetry with its column read: records by group (None: as they are), where each group starts."""

    codes: np.ndarray
    order: np.ndarray | None
    starts: np.ndarray
    sizes: np.ndarray

    @property
    def group(self) -> np.ndarray:
        """Codes of the groups."""
        return self.codes

    @property
    def is_linear(self) -> bool:
        """In the variance and the covariance."""
        return True

    @property
    def absorbs_intercept(self) -> bool:
        """A random intercept is compound symmetry with a positive rho."""
        return True

    @property
    def lowest(self) -> float:
        """The lower bound of rho."""
        return -1.0 / (float(self.sizes.max()) - 1.0)

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """rho = 0.3."""
        return self.coordinates(np.array([_START]))

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Near the lower bound, and weak and strong correlations: beside a random intercept each may have a valley."""
        return [np.array([at]) for at in _ELSEWHERE]

    @property
    def has_one_valley_alone(self) -> bool:
        """Whether the other places are worth an evaluation beside random effects only: yes."""
        return True

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return rho."""
        above, _ = logistic(x)
        return self.lowest + (1.0 - self.lowest) * above

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Where R is positive definite."""
        return ((self.lowest, 1.0),)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return log((rho - lowest) / (1 - rho))."""
        rho = np.asarray(natural)
        return np.asarray(np.log(rho - self.lowest) - np.log1p(-rho))

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(r - rbar) / sqrt(1 - rho) + rbar / sqrt(1 + (s - 1) rho)."""
        within, between = self._eigenvalues(x, self.sizes)
        return self._scaled(1.0 / np.sqrt(within), 1.0 / np.sqrt(between), rows)

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(z - zbar) sqrt(1 - rho) + zbar sqrt(1 + (s - 1) rho)."""
        within, between = self._eigenvalues(x, self.sizes)
        return self._scaled(np.sqrt(within), np.sqrt(between), rows)

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """As :meth:`whiten`: the root is symmetric."""
        return self.whiten(x, rows)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """(1 - 1/s) / (1 - rho) + 1/s / (1 + (s - 1) rho)."""
        within, between = self._eigenvalues(x, self.sizes)
        return np.asarray(((1.0 - 1.0 / self.sizes) / within + 1.0 / (self.sizes * between))[self.codes])

    def logdet(self, x: np.ndarray) -> float:
        """Return the sum of (s - 1) log(1 - rho) + log(1 + (s - 1) rho)."""
        within, between = self._eigenvalues(x, self.sizes)
        return float((self.n - self.sizes.size) * np.log(within) + np.log(between).sum())

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Rho within groups, one on the diagonal."""
        rho = float(self.natural(x)[0])
        R = np.where(same_group(self.codes, index), rho, 0.0)
        return np.where(np.equal.outer(index, index), 1.0, R)

    def block_slopes(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """(1 - lowest) p (1 - p) off the diagonal, p where rho stands between its bounds."""
        above, below = logistic(x[0])
        s = members.shape[1]
        one = (1.0 - self.lowest) * above * below * (1.0 - np.eye(s))
        return np.broadcast_to(one, (1, len(members), s, s))

    def _scaled(self, within: float, between: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Deviations from the mean of each group times one factor, means times another."""
        ordered = rows if self.order is None else rows[:, self.order]
        means = np.add.reduceat(ordered, self.starts, axis=1) / self.sizes
        return within * (rows - means[:, self.codes]) + (means * between)[:, self.codes]

    def _eigenvalues(self, x: np.ndarray, sizes: np.ndarray) -> tuple[float, np.ndarray]:
        """1 - rho, and 1 + (s - 1) rho of each size as a sum of terms that are not negative."""
        above, below = logistic(x[0])
        width, largest = 1.0 - self.lowest, float(self.sizes.max())
        return float(width * below), (largest - sizes) / (largest - 1.0) + (sizes - 1.0) * width * above
