"""Records made independent with one variance: prior weights and a residual structure at one phi.

e ~ N(0, sigma^2 W^-1/2 R(phi) W^-1/2). Rows of [Z X y] are multiplied by the square roots of the weights, then by the
structure's whitening; after that the engine sees an ordinary model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.numeric.kept import kept
from mme.numeric.panels import sum_of_logs
from mme.residual import Bound
from mme.residual.mixing import Mixing, find_mixing


@dataclass(frozen=True, eq=False)
class KnownMixing:
    """The entries of W where a structure itself knows them."""

    rows: np.ndarray
    cols: np.ndarray

    def values(self, whiten: Whitening) -> np.ndarray:
        """The entries (entries,) of W at another phi, of weighted records."""
        assert whiten.structure is not None
        assert whiten.phi is not None
        own = whiten.structure.entry_values(whiten.phi)
        return own if whiten.sqrt_weights is None else own * whiten.sqrt_weights[self.cols]


@dataclass(frozen=True, eq=False)
class Whitening:
    """What whitens the records at one phi, by their prior ``weights`` (n,), and log|R| - log|W|."""

    weights: np.ndarray | None = None
    structure: Bound | None = None
    phi: np.ndarray | None = None

    @property
    def identity(self) -> bool:
        """Whether records are left as they are."""
        return self.weights is None and self.structure is None

    @kept
    def sqrt_weights(self) -> np.ndarray | None:
        """The square roots of the weights (n,)."""
        return None if self.weights is None else np.sqrt(self.weights)

    @property
    def varies(self) -> bool:
        """Whether it is one of many, at one phi."""
        return self.structure is not None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Whiten rows (m, n): inner products become a'W^1/2 R^-1 W^1/2 b."""
        if self.sqrt_weights is not None:
            rows = rows * self.sqrt_weights
        if self.structure is None or self.phi is None:
            return rows
        return self.structure.whiten(self.phi, rows)

    def transposed(self, rows: np.ndarray) -> np.ndarray:
        """W' applied to each row of ``rows`` (m, n)."""
        if self.structure is not None and self.phi is not None:
            rows = self.structure.whiten_transposed(self.phi, rows)
        return rows if self.sqrt_weights is None else rows * self.sqrt_weights

    @property
    def precision(self) -> np.ndarray | float:
        """The diagonal (n,) of W'W, the inverse of the covariance of e in units of sigma^2."""
        own = 1.0 if self.structure is None or self.phi is None else self.structure.precision_diagonal(self.phi)
        return own if self.weights is None else own * self.weights

    @property
    def logdet(self) -> float:
        """log |R(phi)| - log |W|."""
        weights = 0.0 if self.weights is None else sum_of_logs(self.weights)
        if self.structure is None or self.phi is None:
            return -weights
        return self.structure.logdet(self.phi) - weights

    @property
    def groups(self) -> np.ndarray | None:
        """Codes (n,) of the groups whose records are whitened together; None: every record is by itself."""
        return None if self.structure is None else self.structure.group

    def mixing(self) -> Mixing:
        """Where the entries of W (n, n) stand that are not zero here; W is block-diagonal by the groups.

        Raises
        ------
        MMEError
            Groups so long that this would take seconds at each phi.
        """
        structure, groups = self.structure, self.groups
        assert structure is not None
        assert groups is not None
        entries = structure.entries
        return find_mixing(self, groups, structure.sequence) if entries is None else KnownMixing(*entries)

    def matrix(self) -> sp.csr_array:
        """W (n, n) without its zeros; where :meth:`mixing` is refused so is this."""
        mixing = self.mixing()
        assert self.structure is not None
        n = self.structure.n
        return sp.csr_array(sp.coo_array((mixing.values(self), (mixing.rows, mixing.cols)), shape=(n, n)))
