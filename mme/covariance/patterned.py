"""Standard deviations beside a correlation pattern of one parameter: compound symmetry, AR(1), and none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.base import ZERO, GStructure
from mme.covariance.held import Held, hold_entry

# A correlation this close to its bound, in its angle, is there: lme4's tolerance for an entry of T.
_AT_BOUND = 1e-4
# T is evaluated at least this far from a bound of w where its inverse is asked for.
_OFF_BOUND = 1e-3
# A search for a correlation begins within this share of its bounds.
_WITHIN = 0.9
# Words for the patterns, and whether all columns have one standard deviation.
PATTERNS = {
    "homogeneous diagonal": ("diagonal", True),
    "cs": ("cs", False),
    "homogeneous cs": ("cs", True),
    "ar1": ("ar1", True),
    "heterogeneous ar1": ("ar1", False),
}


@dataclass(frozen=True, eq=False)
class Patterned(GStructure):
    """T = diag(sd) chol(C(rho)): q standard deviations (or one for all), and a correlation pattern of one parameter.

    theta = (sd..., w) with rho = low + (1 - low)(1 + cos w) / 2 between its bounds: low = -1 / (q - 1) and 1 under
    compound symmetry, -1 and 1 under AR(1), rho = cos w, columns in the order of time. T is a smooth function of w
    past both bounds and its covariance even about them, so that the edge of the model is stationary and not far away.
    """

    q: int
    pattern: str
    homogeneous: bool

    @property
    def n_sd(self) -> int:
        """Number of standard deviations."""
        return 1 if self.homogeneous else self.q

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta."""
        return self.n_sd + int(self.pattern != "diagonal")

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """The standard deviations."""
        return np.arange(self.k) < self.n_sd

    @property
    def lowest(self) -> float:
        """The lower bound of the correlation."""
        return -1.0 if self.pattern == "ar1" else -1.0 / (self.q - 1)

    def rho(self, w: float) -> float:
        """The correlation at w."""
        return self.lowest + (1.0 - self.lowest) * float(np.cos(0.5 * w)) ** 2

    def w(self, rho: float) -> float:
        """Where the correlation is rho: between 0, for 1, and pi, for the lowest."""
        return 2.0 * float(np.arccos(np.sqrt(np.clip((rho - self.lowest) / (1.0 - self.lowest), 0.0, 1.0))))

    def T(self, theta: np.ndarray) -> np.ndarray:
        """diag(|sd|) times the Cholesky factor of the correlations."""
        sd = np.broadcast_to(np.abs(theta[: self.n_sd]), (self.q,))
        if self.pattern == "diagonal":
            return np.diag(sd)
        rho, lag = self.rho(theta[-1]), np.arange(self.q)
        if self.pattern == "ar1":
            L = np.tril(rho ** np.abs(lag[:, None] - lag)) * np.sqrt(max(1.0 - rho**2, 0.0))
            L[:, 0] = rho**lag
        else:  # pivots (1 - rho) d_j / d_j-1 with d_j = 1 + j rho, and rho sqrt((1 - rho) / (d_j d_j-1)) below them
            d = np.maximum(1.0 + rho * np.arange(-1, self.q), 0.0)
            ratio = np.divide(1.0 - rho, d[:-1], out=np.ones(self.q), where=lag > 0)
            below = rho * np.sqrt(np.divide(ratio, d[1:], out=np.zeros(self.q), where=d[1:] > 0.0))
            L = np.tril(np.broadcast_to(below, (self.q, self.q)), -1) + np.diag(np.sqrt(ratio * d[1:]))
        return np.asarray(sd[:, None] * L)

    def inside(self, theta: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Standard deviations as others have it, and w off its bounds."""
        theta = super().inside(theta, least)
        bound = ~self.diagonal & (np.abs(np.sin(theta)) < _OFF_BOUND)
        return np.where(bound, theta + 2.0 * _OFF_BOUND, theta)

    def slopes(self, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """diag(sd) C diag(sd) row and column by row and column, and diag(sd) dC diag(sd) sin w."""
        signs = np.where(theta[: self.n_sd] < 0.0, -1.0, 1.0)
        sd = np.broadcast_to(signs * theta[: self.n_sd], (self.q,))
        C, moved = np.eye(self.q), np.zeros((self.k, self.q, self.q))
        if self.k > self.n_sd:
            rho, lag = self.rho(theta[-1]), np.abs(np.subtract.outer(np.arange(self.q), np.arange(self.q)))
            power = lag if self.pattern == "ar1" else np.minimum(lag, 1)
            C = np.where(power == 0, 1.0, rho**power)
            dC = power * np.where(power < 2, 1.0, rho ** np.maximum(power - 1, 0))
            moved[-1] = -0.5 * (1.0 - self.lowest) * np.sin(theta[-1]) * sd[:, None] * dC * sd
        if self.homogeneous:
            moved[0] = 2.0 * theta[0] * C
        else:
            at = np.arange(self.q)
            moved[at, at] = signs[:, None] * C * sd
            moved[: self.q] += moved[: self.q].transpose(0, 2, 1)
        return moved

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Standard deviations that are not negative, and w between 0 and pi."""
        w = [] if self.pattern == "diagonal" else [self.w(self.rho(theta[-1]))]
        return np.append(np.abs(theta[: self.n_sd]), w)

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Standard deviations of zero, and a correlation at its bounds."""
        return np.asarray(np.where(self.diagonal, np.abs(theta) < ZERO, np.abs(np.sin(theta)) < _AT_BOUND))

    @property
    def correlated(self) -> bool:
        """All patterns but the diagonal one."""
        return self.pattern != "diagonal"

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Standard deviations of H, and the mean of its correlations, of neighbours under AR(1), within reason."""
        sd = np.sqrt(np.maximum(np.diag(H), floor))
        scales = [np.sqrt(np.mean(sd**2))] if self.homogeneous else sd
        if self.pattern == "diagonal":
            return np.asarray(scales)
        R = H / np.outer(sd, sd)
        mean = np.mean(np.diag(R, 1) if self.pattern == "ar1" else R[np.triu_indices(self.q, 1)])
        return np.append(scales, self.w(np.clip(mean, _WITHIN * self.lowest, _WITHIN)))

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Standard deviations have the units of their columns, w has none."""
        sd = [float(np.exp(np.mean(np.log(of_columns))))] if self.homogeneous else of_columns
        return np.concatenate([sd, np.full(self.k - self.n_sd, of_others)])

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``g.x`` for a standard deviation, ``g.rho`` for w."""
        sd = (f"{term}.sd",) if self.homogeneous else tuple(f"{term}.{column}" for column in columns)
        return (*sd, f"{term}.rho") if self.k > self.n_sd else sd

    @property
    def one_scale(self) -> bool:
        """Whether the columns have one standard deviation."""
        return self.homogeneous

    @property
    def kind(self) -> str:
        """The word for it."""
        own = (self.pattern, self.homogeneous)
        return next(word for word, pattern in PATTERNS.items() if pattern == own)

    @property
    def is_spherical(self) -> bool:
        """Without correlations, of one standard deviation."""
        return self.pattern == "diagonal" and self.homogeneous

    @property
    def additive(self) -> bool:  # type: ignore[override]
        """Without correlations T T' is linear in the variances."""
        return self.pattern == "diagonal"

    @property
    def is_cone(self) -> bool:
        """Without correlations: any variances will do."""
        return self.pattern == "diagonal"

    def natural_names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``sd_x|g``, or ``sd|g`` for one standard deviation of all columns, and ``rho|g``."""
        sd = (f"sd|{term}",) if self.homogeneous else tuple(f"sd_{column}|{term}" for column in columns)
        return (*sd, f"rho|{term}")[: self.k]

    def natural(self, theta: np.ndarray, sigma: float) -> np.ndarray:
        """Standard deviations, and rho."""
        sd, w = sigma * np.abs(theta[: self.n_sd]), theta[self.n_sd :].tolist()
        return np.append(sd, [self.rho(one) for one in w])

    @property
    def natural_bounds(self) -> tuple[tuple[float, float], ...]:
        """Those of standard deviations, and of rho where C is positive definite."""
        return ((0.0, np.inf),) * self.n_sd + ((self.lowest, 1.0),) * (self.k - self.n_sd)

    def hold(self, theta: np.ndarray, at: int, axes: Axes | None = None) -> Held:
        """Hold a standard deviation, or rho by its w."""
        coordinate = float if self.diagonal[at] else self.w
        return hold_entry(theta, at, self.diagonal, self.natural_bounds[at], coordinate)

    def lost_with(self, columns: np.ndarray) -> np.ndarray | None:
        """All but its standard deviation where one column is left; more columns would be another pattern."""
        alone = not self.homogeneous and np.count_nonzero(~columns) == 1
        return np.append(columns, np.ones(self.k - self.q, dtype=bool)) if alone else None

    def columns_of(self, entries: np.ndarray) -> np.ndarray:
        """Every column has a standard deviation of its own, or all have one."""
        return np.asarray(np.broadcast_to(entries[: self.n_sd], (self.q,)))
