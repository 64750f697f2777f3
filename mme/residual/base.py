"""What a residual structure is: R(phi) known to the engine by its whitening and its log-determinant alone.

    y = X beta + Z b + e,    e ~ N(0, sigma^2 R(phi)),    W R W' = I    =>    a' R^-1 b = (W a) . (W b)

so that rows of [Z X y] multiplied by W make an ordinary model, whose criterion needs only log|R| added
(Pinheiro & Bates, 2000, Mixed-Effects Models in S and S-PLUS, section 5.1.2).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.numeric.differences import slopes
from mme.residual.sensitivity import Sensitivity
from mme.residual.slopes import Differentiable

# Gives the column of a name, or the array itself; of the records used.
Column = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Bound(Differentiable):
    """A structure with its columns read and checked: R as a function of coordinates x (k,).

    The coordinates are unconstrained reals of order one, and everything is smooth in them; :meth:`natural` translates.

    Attributes
    ----------
    n : int
        Number of records.
    names : tuple of str
        Names of the k natural parameters.
    """

    n: int
    names: tuple[str, ...]

    @property
    def k(self) -> int:
        """Number of free parameters."""
        return len(self.names)

    @property
    def kind(self) -> str:
        """What it is called in a summary."""
        return type(self).__name__.removeprefix("Bound")

    @property
    def is_variance_function(self) -> bool:
        """Whether R is S^2, S diagonal: in a product it stands on both sides of a correlation."""
        return False

    @property
    def is_linear(self) -> bool:
        """Whether sigma^2 R is linear in some parameters of its own, as unstructured covariances are."""
        return False

    @property
    def group(self) -> np.ndarray | None:
        """Codes (n,) of the groups whose records are correlated; None: R is diagonal."""
        return None

    @property
    def sequence(self) -> np.ndarray | None:
        """Records by group (n,), where W takes no more than a record and the one before it; None: all of its group."""
        return None

    @property
    def of_mean(self) -> np.ndarray:
        """Which coordinates (k,) say how R depends on the fitted mean."""
        return np.zeros(self.k, dtype=bool)

    def about(self, fitted: np.ndarray, population: np.ndarray) -> Bound:
        """The same at other fitted values (n,), with and without random effects."""
        return self

    def on(self, records: np.ndarray) -> Bound | None:
        """The same parameters for these records, of which one may stand twice; None where that has no meaning."""
        return None

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Row and column of the entries of a sparse W, by row, a record's own first; None: they are to be found."""
        return None

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """The values of :attr:`entries` at x."""
        raise NotImplementedError

    @property
    def has_valleys(self) -> bool:
        """Whether a search begins at :meth:`start` without residuals too, as the criterion has several valleys."""
        return False

    def smooth_within(self, x: np.ndarray) -> np.ndarray:
        """How far each coordinate (k,) may move before R has a kink: differences there take short steps."""
        return np.full(x.size, np.inf)

    @property
    def intrinsic(self) -> list[np.ndarray]:
        """Directions (k,) in which several coordinates together take R to a limit; the most negative one is held."""
        return []

    @property
    def absorbs_intercept(self) -> bool:
        """Whether R + t 11' by group is in the family too: a random intercept beside it cannot be told apart."""
        return False

    @abstractmethod
    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Coordinates (k,) to begin a search; residuals (n,) of a simpler fit may help to choose them."""

    def further(self, x: np.ndarray, far: np.ndarray, steps: float) -> np.ndarray:
        """Coordinates of which those that are ``far`` out go further to their ends, by so many steps of one."""
        return np.where(far, x + steps * np.sign(x), x)

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Coordinates at which the criterion may have another valley than that of x; each is worth an evaluation."""
        return []

    def singular(self, residual: np.ndarray) -> np.ndarray | None:
        """Coordinates near an end at which sums of these residuals (n,), all zero, have no variance; None: none known.

        From there the criterion falls without bound, whatever the other parameters are.
        """
        return None

    @property
    def has_one_valley_alone(self) -> bool:
        """Whether the other places are worth an evaluation beside random effects only."""
        return False

    def radius(self) -> np.ndarray:
        """How far off the start may be (k,)."""
        return np.full(self.k, 0.5)

    @abstractmethod
    def natural(self, x: np.ndarray) -> np.ndarray:
        """Natural parameters (k,), in the order of ``names`` and by nlme's conventions."""

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Of each natural parameter: how far a profile goes, and the scale of a Wald interval."""
        return ((-np.inf, np.inf),) * self.k

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """The x of which these are the natural parameters: profiles hold them."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse of natural()")

    @abstractmethod
    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """W applied to each row of ``rows`` (m, n), where W R W' = I and W does not mix groups; a new array."""

    @abstractmethod
    def logdet(self, x: np.ndarray) -> float:
        """log |R|, R scaled so that sigma^2 multiplies it."""

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """W^-1 applied to each row of ``rows`` (m, n): of standard normal draws, draws of e / sigma.

        By the dense W of each group: for structures that have nothing better.
        """
        coloured = np.empty(rows.shape)
        for members, W in self._dense(x):
            solved = np.linalg.solve(W, rows[:, members].transpose(1, 2, 0))
            coloured[:, members] = solved.transpose(2, 0, 1)
        return coloured

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """W' applied to each row of ``rows`` (m, n): of whitened rows, R^-1 applied to those that they were.

        By the dense W of each group: for structures that have nothing better.
        """
        gathered = np.empty(rows.shape)
        for members, W in self._dense(x):
            gathered[:, members] = np.einsum("mgi,gij->mgj", rows[:, members], W)
        return gathered

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """The diagonal (n,) of R^-1 = W'W; by the dense W of each group, as :meth:`whiten_transposed`."""
        diagonal = np.empty(self.n)
        for members, W in self._dense(x):
            diagonal[members] = np.einsum("gij,gij->gj", W, W)
        return diagonal

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Half the logarithm of diag R (n,): zero for a correlation matrix."""
        return np.zeros(self.n)

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """R among the records ``index`` (m,), dense (m, m).

        R^-1 = W'W on whole groups, inverted: slow, for structures that have nothing better.
        """
        group = np.zeros(self.n, dtype=int) if self.group is None else self.group
        members = np.flatnonzero(np.isin(group, group[index]))
        W = self.whiten(x, np.eye(self.n)[members])
        at = np.searchsorted(members, index)
        return np.asarray(np.linalg.inv(W @ W.T)[np.ix_(at, at)])


@dataclass(frozen=True, eq=False)
class Variance(Bound):
    """R = S^2, S = diag(exp(log_sd)): a variance function; subclasses give ``log_sd``."""

    @property
    def is_variance_function(self) -> bool:
        """True: R is S^2."""
        return True

    @abstractmethod
    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of each record's standard deviation relative to sigma (n,)."""

    def log_sd_slopes(self, x: np.ndarray) -> np.ndarray:
        """Derivatives (k, n) of :meth:`log_sd`; by differences, for structures that have nothing better."""
        return slopes(self.log_sd, x)

    def score(self, x: np.ndarray, of: Sensitivity) -> np.ndarray:
        """2 sum_i (S R)_ii d log sd_i: also where R is correlated, with these standard deviations on both sides."""
        return 2.0 * self.log_sd_slopes(x) @ of.relative

    def changes(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """R_i v for each coordinate: 2 d log sd times S^2 v."""
        return 2.0 * self.log_sd_slopes(x) * (np.exp(2.0 * self.log_sd(x)) * v)

    def multiplied(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows times R = S^2."""
        return rows * np.exp(2.0 * self.log_sd(x))

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows divided by the standard deviations: W = S^-1."""
        return rows * np.exp(-self.log_sd(x))

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows times the standard deviations: W^-1 = S."""
        return rows * np.exp(self.log_sd(x))

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows S^-1: W is diagonal."""
        return self.whiten(x, rows)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """The diagonal of R^-1 = S^-2."""
        return np.exp(-2.0 * self.log_sd(x))

    def logdet(self, x: np.ndarray) -> float:
        """log|R| = 2 sum log sd."""
        return 2.0 * float(self.log_sd(x).sum())

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """S^2 among the records ``index``; the same record twice is correlated with itself."""
        sd = np.exp(self.log_sd(x)[index])
        return np.where(np.equal.outer(index, index), np.outer(sd, sd), 0.0)
