"""A covariance of its own for every pair of occasions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mme.errors import MMEError, warn
from mme.numeric.scales import clipped_log_sd, fisher
from mme.residual.base import Column
from mme.residual.occasions import OverOccasions, read_occasions
from mme.residual.patterns import build_patterns, observed
from mme.residual.reading import Labels, Reader
from mme.residual.rstructure import RStructure
from mme.tables.names import first_unlike, quoted

_START = 0.3
# Beyond this many occasions the parameters number in the thousands.
_MANY = 50
# A correlation matrix of moments is drawn to the identity until its eigenvalues are at least this.
_SMALLEST_EIGENVALUE = 0.1
# The variance left of a sum near the end where it has none, of 1; a correlation matrix comes there in so many turns.
_SINGULAR, _TURNS = 1e-12, 5000


@dataclass(frozen=True, eq=False, repr=False)
class Unstructured(RStructure):
    r"""Unstructured covariance: any positive definite matrix over the occasions, the same for all groups.

    The variance of the first occasion is sigma^2. Groups need not have all occasions. nlme's ``corSymm`` with
    ``varIdent`` (Pinheiro & Bates, 2000, section 5.3.1), SAS ``TYPE=UN``, ``mmrm``'s ``us``; with traits for occasions
    the residual covariance of a multivariate model.

    Parameters
    ----------
    occasion : str or (n,) array
        What pairs the records of different groups: visit, trait. Each level at most once a group. The first is that of
        their numbers, or as categories declare it.
    group : str or (n,) array
        Records of different groups are independent; ``"block/plot"``, or a list of columns, are their combinations.
    equal_variances : bool
        One variance for all occasions: a correlation matrix, nlme's ``corSymm`` alone.

    Notes
    -----
    Natural parameters: correlations (lower triangle by columns), then standard deviations relative to the first
    occasion's. Coordinates: Fisher's z of the partial correlations of i and j given all occasions before j, from which
    the Cholesky factor of the correlations follows row by row,

        L_ij = z_ij prod_{l<j} sqrt(1 - z_il^2),    L_ii = prod_{l<i} sqrt(1 - z_il^2)

    (Lewandowski, Kurowicka & Joe, 2009, J. Multivariate Anal. 100:1989-2001, eq. 3), and the logarithms of the ratios.

    Examples
    --------
    >>> R = Unstructured(["a", "b", "b"], [1, 1, 2]).bind(np.asarray, 3)
    >>> R.names
    ('cor.b.a', 'sd.b/sd.a')
    >>> R.covariance(R.coordinates(np.array([0.5, 3.0])), np.arange(3))
    array([[1. , 1.5, 0. ],
           [1.5, 9. , 0. ],
           [0. , 0. , 9. ]])
    """

    occasion: Any
    group: Any
    equal_variances: bool = field(default=False, kw_only=True)

    def bind(self, column: Column, n: int) -> BoundUnstructured:
        """Read the occasions and groups."""
        reader = Reader("Unstructured", column, n)
        groups = reader.labels(self.group, "group")
        occasions = reader.occasions(self.occasion, "occasion", groups)
        present = read_occasions(reader, occasions, groups)
        T = occasions.J
        names = _names(occasions.levels, self.equal_variances)
        if len(names) >= n:
            raise reader.error(
                f"{occasions.title} has {T} levels, whose covariances are {len(names)} parameters for {n} records; use "
                "AR1, Exponential or Toeplitz, or coarser occasions"
            )
        if T > _MANY:
            warn(
                f"Unstructured: {occasions.title} has {T} levels, whose covariances are {len(names)} parameters; "
                "AR1, Exponential or Toeplitz have few"
            )
        if groups.J < T and present.all(axis=1).any():
            warn(
                f"Unstructured: {groups.J} levels of {groups.title} for {T} of {occasions.title}: some combination of "
                "occasions does not vary, so that the likelihood has no maximum and the search no end; use AR1, "
                "Toeplitz or CompoundSymmetry, or coarser occasions"
            )
        _require_observed_pairs(reader, present, occasions, groups)
        patterns = build_patterns(groups.codes, occasions.codes, present)
        return BoundUnstructured(n, names, groups.codes, occasions.codes, patterns, T, self.equal_variances)


def _require_observed_pairs(reader: Reader, present: np.ndarray, occasions: Labels, groups: Labels) -> None:
    seen = present.astype(float)
    i, j = np.nonzero(np.tril(seen.T @ seen == 0.0))
    if i.size:
        raise reader.error(
            f"no {groups.title} has both '{occasions.levels[j[0]]}' and '{occasions.levels[i[0]]}' of "
            f"{occasions.title} ({i.size} such pairs), so that their covariance cannot be estimated; use Heterogeneous "
            "where occasions are independent, or a structure with fewer parameters"
        )


def _names(levels: list[str], equal_variances: bool) -> tuple[str, ...]:
    """``cor.b.a`` by columns, then ``sd.b/sd.a``; labels with dots in backticks where two names would be alike."""
    cols, rows = np.triu_indices(len(levels), 1)

    def written(labels: list[str]) -> list[str]:
        correlations = [f"cor.{labels[i]}.{labels[j]}" for i, j in zip(rows.tolist(), cols.tolist(), strict=True)]
        ratios = [] if equal_variances else [f"sd.{label}/sd.{labels[0]}" for label in labels[1:]]
        return [*correlations, *ratios]

    return first_unlike(map(written, (levels, quoted(levels))))


@dataclass(frozen=True, eq=False)
class BoundUnstructured(OverOccasions):
    """Unstructured with its columns read."""

    equal_variances: bool

    @property
    def is_linear(self) -> bool:
        """In the covariances and the variances, or their one."""
        return True

    @property
    def absorbs_intercept(self) -> bool:
        """R + t 11' is another covariance of the same kind."""
        return True

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Moments of the residuals; without them all correlations 0.3 and all variances equal."""
        if residual is not None:
            return self._moments(residual)
        C = np.full((self.T, self.T), _START) + (1.0 - _START) * np.eye(self.T)
        return self._from_matrix(C, np.ones(self.T))

    def singular(self, residual: np.ndarray) -> np.ndarray | None:
        """Near covariances under which a'e does not vary, a'e = 0 in all groups that have all occasions.

        There is such an a where they are fewer than the occasions.
        """
        whole = self._by_group(residual)[observed(self.codes, self.occasions, self.T).all(axis=1)]
        if not 0 < len(whole) < self.T:
            return None
        L = self.root(self._moments(residual))
        sd = np.ones(self.T) if self.equal_variances else np.linalg.norm(L, axis=1)
        C = (L @ L.T) / np.outer(sd, sd)
        a = np.linalg.svd(whole / sd)[2][-1]
        P = np.eye(self.T) - np.outer(a, a)
        for _ in range(_TURNS if self.equal_variances else 1):
            C = P @ C @ P + _SINGULAR * np.outer(a, a)
            length = np.sqrt(np.diag(C))
            C = C / np.outer(length, length)
            if np.abs(length - 1.0).max() < _SINGULAR:
                break
        else:
            if self.equal_variances:  # an entry of a is larger than all others together, or hardly smaller
                return None
        try:
            return self._from_matrix(C, sd if self.equal_variances else sd * length)
        except MMEError:
            return None

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Correlations by columns, then ratios of standard deviations."""
        L = self._correlation_root(x)
        cols, rows = np.triu_indices(self.T, 1)
        return np.append((L @ L.T)[rows, cols], self._sd(x)[1:] if not self.equal_variances else [])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Correlations', and ratios are positive."""
        pairs = self.T * (self.T - 1) // 2
        return ((-1.0, 1.0),) * pairs + ((0.0, np.inf),) * (self.k - pairs)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Partial correlations and ratios of standard deviations; the correlations must be positive definite."""
        values = np.asarray(natural, dtype=float)
        cols, rows = np.triu_indices(self.T, 1)
        C = np.eye(self.T)
        C[rows, cols] = C[cols, rows] = values[: rows.size]
        return self._from_matrix(C, np.append(1.0, values[rows.size :]))

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the ratio of each record's occasion."""
        return np.asarray(np.log(self._sd(x))[self.occasions])

    def _sd(self, x: np.ndarray) -> np.ndarray:
        """Standard deviations relative to the first (T,)."""
        return np.ones(self.T) if self.equal_variances else np.exp(clipped_log_sd(np.append(0.0, x[1 - self.T :])))

    def root(self, x: np.ndarray) -> np.ndarray:
        """diag(sd) times the factor of the correlations."""
        return self._sd(x)[:, None] * self._correlation_root(x)

    def matrix_slopes(self, x: np.ndarray) -> np.ndarray:
        """B dB' + dB B'; of L, row i beyond m falls by z_im of itself, L_im grows by 1 - z_im^2 of what was left."""
        T, pairs = self.T, self.T * (self.T - 1) // 2
        cols, rows = np.triu_indices(T, 1)
        z, unexplained = fisher(x[:pairs])
        L, sd, at = self._correlation_root(x), self._sd(x), np.arange(pairs)
        own, later = np.zeros((pairs, T)), np.arange(T) > cols[:, None]
        own[later] = (-z[:, None] * L[rows])[later]
        own[at, cols] = unexplained**2 * self._left(x)[rows, cols]
        moved = np.zeros((self.k, T, T))  # dL L', one row each
        moved[at, rows] = own @ L.T
        if not self.equal_variances:
            moved[pairs + np.arange(T - 1), np.arange(1, T)] = (L @ L.T)[1:]
        return np.asarray(sd[:, None] * (moved + moved.transpose(0, 2, 1)) * sd)

    def _left(self, x: np.ndarray) -> np.ndarray:
        """What the occasions before j leave of the standard deviation of i (T, T)."""
        cols, rows = np.triu_indices(self.T, 1)
        left = np.ones((self.T, self.T + 1))
        left[rows, cols + 1] = fisher(x[: rows.size])[1]
        return np.asarray(np.cumprod(left, axis=1)[:, :-1])

    def _correlation_root(self, x: np.ndarray) -> np.ndarray:
        """L from the partial correlations: products along each row."""
        cols, rows = np.triu_indices(self.T, 1)
        L = np.eye(self.T)
        L[rows, cols] = fisher(x[: rows.size])[0]
        return np.asarray(L * self._left(x))

    def _from_matrix(self, C: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """Coordinates of a correlation matrix and standard deviations."""
        try:
            L = np.linalg.cholesky(C)
        except np.linalg.LinAlgError:
            raise MMEError("Unstructured: these correlations are not positive definite") from None
        left = np.sqrt(np.cumsum(L[:, ::-1] ** 2, axis=1)[:, ::-1])  # what occasions before j leave of i
        cols, rows = np.triu_indices(self.T, 1)
        x = np.arctanh(L[rows, cols] / left[rows, cols])
        return x if self.equal_variances else np.append(x, np.log(sd[1:] / sd[0]))

    def _by_group(self, residual: np.ndarray) -> np.ndarray:
        """Residuals (J, T), zero where a group has no record."""
        return np.asarray(self._table(residual[None, :])[0])

    def _moments(self, residual: np.ndarray) -> np.ndarray:
        """Coordinates of the covariances of the residuals over the groups that have both occasions."""
        table, seen = self._by_group(residual), observed(self.codes, self.occasions, self.T).astype(float)
        S = (table.T @ table) / (seen.T @ seen)  # no pair is unseen
        floor = 1e-3 * np.sqrt(np.diag(S).max())
        sd = np.maximum(np.sqrt(np.diag(S)), floor) if floor > 0.0 else np.ones(self.T)
        C = np.clip(S / np.outer(sd, sd), -1.0, 1.0)
        np.fill_diagonal(C, 1.0)
        lowest = float(np.linalg.eigvalsh(C)[0])
        share = max(0.0, _SMALLEST_EIGENVALUE - lowest) / max(1.0 - lowest, _SMALLEST_EIGENVALUE)  # of the identity
        return self._from_matrix((1.0 - share) * C + share * np.eye(self.T), sd)
