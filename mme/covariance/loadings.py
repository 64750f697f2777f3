r"""Factor-analytic and reduced-rank covariances: G = Lambda Lambda' + Psi, Psi diagonal or nothing.

Lambda (q, k) has loadings of k common factors, zeros above its diagonal, as any rotation of the factors is the same G;
Psi = diag(psi)^2 is what a column has of its own (Smith, Cullis and Thompson 2001, Biometrics 57:1138-1147). Theta are
the loadings, factor after factor, then psi.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mme.covariance.base import GStructure
from mme.covariance.triangle import lower_factor
from mme.errors import MMEError

# Communalities are started within these bounds, and are found by so many steps.
_LEAST, _MOST, _STEPS = 0.1, 0.9, 10


@dataclass(frozen=True, eq=False)
class Loadings(GStructure):
    """``n_factors`` common factors of q columns, with variances of their own (``specific``) or without.

    ``floor`` (q,) are standard deviations that are added to a G that has no inverse, where one is asked for.

    Examples
    --------
    >>> fa = Loadings(3, 1, True)
    >>> T = fa.T(np.array([1.0, 2.0, 0.5, 1.0, 1.0, 2.0]))
    >>> (T @ T.T).round(12)
    array([[2.  , 2.  , 0.5 ],
           [2.  , 5.  , 1.  ],
           [0.5 , 1.  , 4.25]])
    """

    q: int
    n_factors: int
    specific: bool
    floor: np.ndarray | None = None

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and factor of every loading, factor after factor."""
        cols, rows = np.nonzero(np.triu(np.ones((self.n_factors, self.q))))
        return rows, cols

    @property
    def n_loadings(self) -> int:
        """Number of loadings that are free."""
        return int(self._places[0].size)

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta."""
        return self.n_loadings + self.q * int(self.specific)

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """Which entries of theta stand for a psi."""
        return np.arange(self.k) >= self.n_loadings

    @property
    def kind(self) -> str:
        """What messages call it: the word of a formula."""
        return f"{'fa' if self.specific else 'rr'}{self.n_factors}"

    @property
    def is_even(self) -> bool:
        """Psi stands in G as its square alone."""
        return True

    def loadings(self, theta: np.ndarray) -> np.ndarray:
        """The loadings Lambda (q, factors)."""
        out = np.zeros((self.q, self.n_factors))
        out[self._places] = theta[: self.n_loadings]
        return out

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The triangle of [Lambda Psi^1/2]: nothing is squared."""
        root = self.loadings(theta)
        if self.specific:
            root = np.column_stack([root, np.diag(theta[self.n_loadings :])])
        if self.floor is not None:
            root = np.column_stack([root, np.diag(self.floor)])
        if root.shape[1] < self.q:
            root = np.column_stack([root, np.zeros((self.q, self.q - root.shape[1]))])
        return lower_factor(root)

    def with_inverse(self, least: np.ndarray) -> Loadings:
        """A structure with these standard deviations (q,) beside its factors, whose T T' has an inverse."""
        return self if self.specific else replace(self, floor=least)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Most of each factor positive, and no psi negative."""
        Lambda = self.loadings(theta)
        signs = np.where(Lambda.sum(axis=0) < 0.0, -1.0, 1.0)
        return np.append((Lambda * signs)[self._places], np.abs(theta[self.n_loadings :])) + 0.0

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Principal factors of the correlations of H, by their communalities."""
        sd = np.sqrt(np.maximum(np.diag(H), floor))
        R = np.clip(0.5 * (H + H.T) / np.outer(sd, sd), -_MOST, _MOST)
        communality = np.full(self.q, 0.5 if self.specific else 1.0)
        for _ in range(_STEPS):
            np.fill_diagonal(R, communality)
            values, vectors = np.linalg.eigh(R)
            Lambda = vectors[:, ::-1][:, : self.n_factors] * np.sqrt(np.maximum(values[::-1][: self.n_factors], 0.05))
            explained = (Lambda**2).sum(axis=1)
            if not self.specific:
                break
            communality = np.clip(explained, _LEAST, _MOST)
        turned = Lambda @ np.linalg.qr(Lambda[: self.n_factors].T)[0]  # zeros above the diagonal
        shrunk = np.sqrt(communality / np.maximum(explained, 1e-8)) if self.specific else np.ones(self.q)
        loadings = (sd * shrunk)[:, None] * turned
        own = sd * np.sqrt(1.0 - communality) if self.specific else np.zeros(0)
        return np.append(loadings[self._places], own)

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Each factor at zero, or the other way round for half of its columns."""
        for j in range(self.n_factors):
            own = np.append(self._places[1] == j, np.zeros(self.k - self.n_loadings, dtype=bool))
            yield np.where(own, 0.1 * theta, theta)
            yield np.where(own & (np.arange(self.k) % 2 == 0), -theta, theta)

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """The theta of no variance: no loading, no psi."""
        return np.zeros(self.k)

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Every parameter has the units of its row's column."""
        return np.append(of_columns[self._places[0]], of_columns if self.specific else [])

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``g.x.fa1`` for a loading, ``g.x`` for the standard deviation that it has of its own."""
        loadings = [
            f"{term}.{columns[i]}.fa{j + 1}" for i, j in zip(*map(np.ndarray.tolist, self._places), strict=True)
        ]
        return (*loadings, *(f"{term}.{column}" for column in columns if self.specific))

    def natural_names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """``fa1_x|g`` for a loading, ``own_x|g`` for the standard deviation that it has of its own."""
        loadings = [
            f"fa{j + 1}_{columns[i]}|{term}" for i, j in zip(*map(np.ndarray.tolist, self._places), strict=True)
        ]
        return (*loadings, *(f"own_{column}|{term}" for column in columns if self.specific))

    @property
    def times_sigma(self) -> np.ndarray:
        """All are in units of sigma."""
        return np.ones(self.k, dtype=bool)

    def slopes(self, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """E_ij Lambda' + Lambda E_ji of a loading, 2 psi_i E_ii."""
        (rows, cols), Lambda = self._places, self.loadings(theta)
        moved, at = np.zeros((self.k, self.q, self.q)), np.arange(self.n_loadings)
        moved[at, rows] = Lambda.T[cols]
        moved += moved.transpose(0, 2, 1)
        if self.specific:
            own = np.arange(self.q)
            moved[self.n_loadings + own, own, own] = 2.0 * theta[self.n_loadings :]
        return moved

    def curvature(self, theta: np.ndarray, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Twice the weights between loadings of one factor, and of each psi."""
        (rows, cols), out = self._places, np.zeros((self.k, self.k))
        n = self.n_loadings
        out[:n, :n] = np.where(np.equal.outer(cols, cols), 2.0 * weights[np.ix_(rows, rows)], 0.0)
        if self.specific:
            out[n:, n:] = 2.0 * np.diag(np.diag(weights))
        return out


def loadings(q: int, n_factors: int, specific: bool, term: str) -> Loadings:
    """The structure, if q columns determine its parameters.

    Raises
    ------
    MMEError
        There are fewer variances and covariances than parameters.
    """
    word, made = "fa" if specific else "rr", Loadings(q, max(min(n_factors, q), 1), specific)
    most = max((m for m in range(1, q) if Loadings(q, m, specific).k <= q * (q + 1) // 2), default=0)
    if 1 <= n_factors <= most:
        return made
    told = "us() has as many" if not specific and n_factors == q else f"k = {most} is the most" if most else "take us()"
    raise MMEError(
        f"term '{term}': {word} with k = {n_factors} of {q} columns cannot be identified: it has {made.k} parameters "
        f"for {q * (q + 1) // 2} variances and covariances of them; {told}"
    )
