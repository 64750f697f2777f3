"""One correlation for each distance between occasions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.scales import clipped, fisher
from mme.residual.base import Column
from mme.residual.occasions import OverOccasions, read_occasions
from mme.residual.patterns import build_patterns
from mme.residual.reading import Labels, Reader
from mme.residual.rstructure import RStructure

_START = 0.3
# A band matrix is measured by |C|^(1 / 2 steps), at most this many steps.
_STEPS = 8
# Bracket of the logit of the distance to the edge: beyond what coordinates of size 300 and 8 steps can ask for.
_BRACKET = 650.0
# Correlations of this size are their own coordinates to all digits.
_NOTHING = 1e-100
# A lowest eigenvalue of C this small is the rounding of zero.
_SINGULAR = 1e-15


@dataclass(frozen=True, eq=False, repr=False)
class Toeplitz(RStructure):
    r"""Toeplitz correlation: corr(e_i, e_j) = rho_|i - j|, i and j the places of their occasions among all.

    Neighbouring levels of ``occasion`` are one step apart, whatever their labels. SAS ``TYPE=TOEP``, or ``TOEP(q)``
    with ``bands = q - 1``; the correlations of an autoregression of full order, or with ``bands`` of those shapes that
    end like a moving average (Pinheiro & Bates, 2000, section 5.3.1).

    Parameters
    ----------
    occasion : str or (n,) array
        Equally spaced occasions, each at most once a group: in the order of their numbers, or as categories declare it.
    group : str or (n,) array
        Records of different groups are independent; ``"block/plot"``, or a list of columns, are their combinations.
    bands : int, optional
        Correlations beyond this many steps are zero; None: none is.

    Notes
    -----
    Without ``bands`` the coordinates are Fisher's z of the partial autocorrelations, which take any values in (-1, 1)
    (Barndorff-Nielsen & Schou, 1973, J. Multivariate Anal. 3:408-419; Durbin's recursion leads to rho). With ``bands``
    they are z, x = rho |C(rho)|^(-1/2s), s = min(T - 1, 8): along each direction |C| falls from one at rho = 0 to zero
    at the edge of the positive definite matrices, so this maps them smoothly, one to one, onto all of space; and
    x = sinh(|z| / s) z / |z|, so that |C| goes to zero as exp(-2 |z|), as it does by Fisher's z.

    Examples
    --------
    >>> R = Toeplitz([1, 2, 3], ["a", "a", "a"]).bind(np.asarray, 3)
    >>> R.covariance(R.coordinates(np.array([0.5, 0.1])), np.arange(3))
    array([[1. , 0.5, 0.1],
           [0.5, 1. , 0.5],
           [0.1, 0.5, 1. ]])
    """

    occasion: Any
    group: Any
    bands: int | None = None

    def bind(self, column: Column, n: int) -> BoundToeplitz:
        """Read the occasions and groups."""
        reader = Reader("Toeplitz", column, n)
        groups = reader.labels(self.group, "group")
        occasions = reader.occasions(self.occasion, "occasion", groups)
        present = read_occasions(reader, occasions, groups)
        if self.bands is not None and (not isinstance(self.bands, int | np.integer) or self.bands < 1):
            raise reader.error(f"bands must be a whole number of at least 1, or None; got {self.bands!r}")
        bands = occasions.J - 1 if self.bands is None else min(int(self.bands), occasions.J - 1)
        _check_lags(reader, present, bands, occasions, groups)
        reader.doubt(occasions, groups)
        reader.compare_spacing(occasions)
        patterns = build_patterns(groups.codes, occasions.codes, present)
        names = tuple(f"rho{lag}" for lag in range(1, bands + 1))
        kind = BoundToeplitz if bands == occasions.J - 1 else BoundBand
        return kind(n, names, groups.codes, occasions.codes, patterns, occasions.J)


def _check_lags(reader: Reader, present: np.ndarray, bands: int, occasions: Labels, groups: Labels) -> None:
    unseen = [lag for lag in range(1, bands + 1) if not (present[:, lag:] & present[:, :-lag]).any()]
    if not unseen:
        return
    lag = unseen[0]
    if lag == 1:
        raise reader.error(f"no {groups.title} has two neighbouring levels of {occasions.title}; use Exponential")
    raise reader.error(
        f"no {groups.title} has two records {lag} steps of {occasions.title} apart, so that rho{lag} cannot be "
        f"estimated; say bands={lag - 1}"
    )


@dataclass(frozen=True, eq=False)
class BoundToeplitz(OverOccasions):
    """Toeplitz with its columns read and all T - 1 correlations free."""

    @property
    def is_linear(self) -> bool:
        """In the variance and the covariances by lag."""
        return True

    @property
    def absorbs_intercept(self) -> bool:
        """R + t 11' is a multiple of another Toeplitz matrix."""
        return True

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """An autoregression of order one, or a single band, of 0.3."""
        return np.append(np.arctanh(_START), np.zeros(self.k - 1))

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return the correlations by lag."""
        return self.root(x)[1:, 0].copy()  # the first row of the factor is that of I

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Correlations'; where R is singular before, the likelihood ends of itself."""
        return ((-1.0, 1.0),) * self.k

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Durbin's recursion: the partial autocorrelation is what the last ones leave of rho."""
        rho, phi, left = np.asarray(natural, dtype=float), np.zeros(0), 1.0
        partial = np.zeros(self.k)
        for j in range(self.k):
            partial[j] = (rho[j] - phi @ rho[:j][::-1]) / left
            if not abs(partial[j]) < 1.0:
                raise MMEError("Toeplitz: these correlations are not positive definite")
            phi = np.append(phi - partial[j] * phi[::-1], partial[j])
            left *= 1.0 - partial[j] ** 2
        return np.arctanh(partial)

    def matrix_slopes(self, x: np.ndarray) -> np.ndarray:
        """Durbin's recursion, differentiated: rho_l = phi'(rho_{l-1} ... rho_1) + p_l prod_{m<l} (1 - p_m^2)."""
        k, (partial, unexplained) = self.k, fisher(x)
        rho, d_rho, phi, d_phi = np.zeros(k), np.zeros((k, k)), np.zeros(0), np.zeros((k, 0))
        left, d_left = 1.0, np.zeros(k)
        for j, p in enumerate(partial.tolist()):
            dp = unexplained[j] ** 2 * (np.arange(k) == j)
            rho[j] = phi @ rho[:j][::-1] + p * left
            d_rho[:, j] = d_phi @ rho[:j][::-1] + d_rho[:, :j][:, ::-1] @ phi + dp * left + p * d_left
            d_phi = np.column_stack([d_phi - np.outer(dp, phi[::-1]) - p * d_phi[:, ::-1], dp])
            phi = np.append(phi - p * phi[::-1], p)
            left, d_left = left * (1.0 - p * p), d_left * (1.0 - p * p) - 2.0 * p * dp * left
        return self._bands(d_rho)

    def _bands(self, by_lag: np.ndarray) -> np.ndarray:
        """Symmetric Toeplitz matrices (m, T, T) of rows by lag (m, lags), zero on the diagonal and beyond them."""
        first = np.zeros((len(by_lag), self.T))
        first[:, 1 : 1 + by_lag.shape[1]] = by_lag
        place = np.arange(self.T)
        return first[:, np.abs(np.subtract.outer(place, place))]

    def root(self, x: np.ndarray) -> np.ndarray:
        """L, L L' = C: its inverse holds the predictors phi of each occasion from those before (Durbin)."""
        partial, unexplained = fisher(x)
        Phi, phi = np.eye(self.T), np.zeros(0)
        for lag in range(1, self.T):
            phi = np.append(phi - partial[lag - 1] * phi[::-1], partial[lag - 1])
            Phi[lag, :lag] = -phi[::-1]
        return np.asarray(np.linalg.inv(Phi) * np.append(1.0, np.cumprod(unexplained)))


@dataclass(frozen=True, eq=False)
class BoundBand(BoundToeplitz):
    """Toeplitz with its last correlations zero."""

    @property
    def kind(self) -> str:
        """Toeplitz, banded."""
        return "Toeplitz, banded"

    @property
    def absorbs_intercept(self) -> bool:
        """Correlations that are zero leave none for an intercept."""
        return False

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """A single band of 0.3."""
        return self.coordinates(np.append(_START, np.zeros(self.k - 1)))

    def radius(self) -> np.ndarray:
        """About a quarter of a correlation."""
        return np.full(self.k, 0.25 * self._steps)

    def further(self, x: np.ndarray, far: np.ndarray, steps: float) -> np.ndarray:
        """All together along their ray: to the sides C is singular elsewhere."""
        return x * (1.0 + steps / float(np.linalg.norm(x))) if far.any() else x

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return the correlations by lag."""
        return self._scaled(x)[0]

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return z of x = rho |C|^(-1/2s)."""
        rho = np.asarray(natural, dtype=float)
        eigenvalues = np.linalg.eigvalsh(np.eye(self.T) + self._band(rho))
        if not eigenvalues[0] > _SINGULAR:
            raise MMEError("Toeplitz: these correlations are not positive definite")
        x, s = rho * np.exp(-self._exponent * np.log(eigenvalues).sum()), self._steps
        size = float(np.linalg.norm(x))
        return x * (s * np.arcsinh(size) / size) if size > 0.0 else x

    def matrix_slopes(self, x: np.ndarray) -> np.ndarray:
        """The inverse of dx / drho = |C|^-a (I - a rho (tr C^-1 A_j)'), A_j the matrix of ones at lag j, times dx / dz.

        With r = |z| / s and u = z / |z|: s dx / dz = sinh(r) / r (I - u u') + cosh(r) u u'.
        """
        rho, A, a = self.natural(x), self._bands(np.eye(self.k)), self._exponent
        C = np.eye(self.T) + self._band(rho)
        of_logdet = np.einsum("jst,st->j", A, np.linalg.inv(C))
        dx = np.exp(-a * np.linalg.slogdet(C)[1]) * (np.eye(self.k) - a * np.outer(rho, of_logdet))
        r = float(np.linalg.norm(x)) / self._steps
        u = x / np.linalg.norm(x) if r > 0.0 else x
        by_z = _sinh_share(r) * (np.eye(self.k) - np.outer(u, u)) + np.cosh(r) * np.outer(u, u)
        return self._bands((np.linalg.inv(dx) @ by_z).T / self._steps)

    @property
    def _steps(self) -> int:
        return min(self.T - 1, _STEPS)

    @property
    def _exponent(self) -> float:
        return 0.5 / self._steps

    def _band(self, x: np.ndarray) -> np.ndarray:
        """The symmetric Toeplitz matrix (T, T) of x, its diagonal zero."""
        return np.asarray(self._bands(x[None, :])[0])

    def root(self, x: np.ndarray) -> np.ndarray:
        """V diag(sqrt lambda) of C = V diag(lambda) V'."""
        _, eigenvalues, V = self._scaled(x)
        return np.asarray(V * np.sqrt(eigenvalues))

    def _scaled(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """rho = s x at coordinates z, and C = I + s A(x) by its eigenvalues and vectors, where s solves s = |C|^(1/2s).

        With A's lowest eigenvalue -l and s = (1 - delta) / l, delta in (0, 1) is the lowest of C and the others are
        sums of positive numbers: (1 + m) - delta m, m = lambda / l >= -1.
        """
        from scipy.optimize import brentq

        size = float(np.linalg.norm(x))
        within = float(clipped(np.array(size)))
        z = x * (within / size) if size > within else x
        x = z / self._steps * _sinh_share(within / self._steps)
        values, V = np.linalg.eigh(self._band(x))
        edge = -float(values[0])
        if edge < _NOTHING:
            return x, np.ones(self.T), V
        relative = values / edge
        relative[0] = -1.0

        def eigenvalues(logit: float) -> np.ndarray:
            return (1.0 + relative) - relative / (1.0 + np.exp(-logit))

        def surplus(logit: float) -> float:
            log_rest = -float(np.logaddexp(0.0, logit))
            return log_rest - float(np.log(edge)) - self._exponent * float(np.log(eigenvalues(logit)).sum())

        logit = brentq(surplus, -_BRACKET, _BRACKET, xtol=1e-15, rtol=1e-15)
        return x * np.exp(-np.logaddexp(0.0, logit)) / edge, eigenvalues(logit), V


def _sinh_share(r: float) -> float:
    """sinh(r) / r."""
    return float(np.sinh(r) / r) if r > 1e-8 else 1.0
