r"""Single-step relationships of many genotyped animals: the algorithm for proven and young (APY).

A core c of the genotyped has all that G says; the others n are independent given the core, so that G^-1 is sparse:

    P = G_nc G_cc^-1,   m_i = g_ii - p_i g_ci,   G^-1 = [ G_cc^-1 + P'M^-1 P   -P'M^-1 ;  -M^-1 P   M^-1 ]       (APY)
    log|G| = log|G_cc| + sum log m_i

(Misztal, Legarra and Aguilar 2014, J Dairy Sci 97:3943-3952; Misztal 2016, Genetics 202:401-409). Of G the columns of
the core and the diagonal are made, never the whole. The inverse of A22 is exact, and sparse as far as the genotyped
have genotyped parents: it is what elimination of the others leaves of A^-1, and |A22| = |A| |A^11|, A^11 their block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.numeric.factor import factorise
from mme.numeric.lapack import cholesky, cholesky_inverse
from mme.numeric.memory import require
from mme.relationship.bases import Base
from mme.relationship.genomic import centred, genomic_matrix, tuning
from mme.relationship.known import DEPENDENT
from mme.tables.arguments import count
from mme.tables.arrays import shown
from mme.tables.labels import label_array, labels_of, name
from mme.tables.spelling import places

# Columns of A that are held at once while the elimination is written down; entries of rounding in it.
_COLUMNS, _ROUNDING = 512, 1e-12
# Animals whose spectrum stands for that of all when the core is to have a share of the variance.
_SPECTRUM = 3000
# Bytes of an entry of a sparse matrix, and copies of it while it is put together.
_ENTRY, _COPIES = 12, 3


@dataclass(frozen=True, eq=False)
class Genomes:
    """level + share G + beta A22: G = Z Z' / scale of centred markers Z (m, loci), or as given."""

    Z: np.ndarray | None
    scale: float
    G: np.ndarray | None
    level: float = 0.0
    share: float = 1.0
    beta: float = 0.0

    @classmethod
    def of(cls, G: Any, markers: Any, frequencies: Any, labels: np.ndarray) -> Genomes:
        """G as given, or of markers, of the animals ``labels``.

        Raises
        ------
        MMEError
            G is no symmetric matrix of their number, or the markers have another number of rows.
        """
        if markers is None:
            return cls(None, 1.0, genomic_matrix(G, labels))
        Z, _, heterozygosity = centred(markers, frequencies)
        if Z.shape[0] != labels.size:
            raise MMEError(f"{labels.size} genotyped animals for {Z.shape[0]} rows of markers")
        return cls(Z, heterozygosity, None)

    def whole(self) -> np.ndarray:
        """G (m, m)."""
        return self.G if self.Z is None else np.asarray(self.Z @ self.Z.T / self.scale)  # type: ignore[return-value]

    def raw(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Entries of G (rows, cols)."""
        if self.G is not None:
            return self.G[np.ix_(rows, cols)]
        assert self.Z is not None
        return np.asarray(self.Z[rows] @ self.Z[cols].T) / self.scale

    @property
    def raw_diagonal(self) -> np.ndarray:
        """The diagonal of G (m,)."""
        if self.G is not None:
            return self.G.diagonal().copy()
        assert self.Z is not None
        return np.asarray(np.einsum("ij,ij->i", self.Z, self.Z)) / self.scale

    @property
    def raw_mean(self) -> float:
        """The mean of all entries of G."""
        if self.G is not None:
            return float(self.G.mean())
        assert self.Z is not None
        return float(np.sum(self.Z.mean(axis=0) ** 2)) / self.scale

    def entries(self, rows: np.ndarray, cols: np.ndarray, A: np.ndarray) -> np.ndarray:
        """Entries (rows, cols), A those of A22."""
        return self.level + self.share * self.raw(rows, cols) + self.beta * A

    def diagonal(self, own: np.ndarray) -> np.ndarray:
        """The diagonal; ``own`` is that of A22."""
        return self.level + self.share * self.raw_diagonal + self.beta * own


def by_core(
    base: Base,
    genomes: Genomes,
    at: np.ndarray,
    core: Any,
    shares: tuple[float, float],
    order: str,
    seed: int,
) -> tuple[sp.csc_array, float, sp.csc_array, float]:
    """The inverses of G, tuned and blended, by (APY), and of A22, sparse, and their log-determinants."""
    chosen = core_of(core, base.levels[at], genomes, seed)
    require(
        forecast(at.size, chosen.size) + 24 * at.size * chosen.size,
        f"single-step by APY, {at.size:,} genotyped with a core of {chosen.size:,}, would take",
        ". Take a smaller core",
    )
    A22_inverse, logdet_A22 = inverse_among(base, at)
    require(
        forecast(at.size, chosen.size) + _COPIES * _ENTRY * A22_inverse.nnz,
        f"single-step by APY would take, with {A22_inverse.nnz:,} entries of the inverse of A22,",
        ". Genotyped animals whose parents are genotyped have a sparse one",
    )
    own = base.own(at)
    genomes = blended(genomes, shares, order, own, A22_inverse)
    inverse, logdet = apy_inverse(genomes, chosen, base.among(at, at[chosen]), own)
    return inverse, logdet, A22_inverse, logdet_A22


def blended(
    of: Genomes, shares: tuple[float, float], order: str, own: np.ndarray, A22_inverse: sp.csc_array
) -> Genomes:
    """a + b G by the means of diagonal and all of A22, and its share alpha beside beta A22, in one order or the other.

    The mean of A22 is found by a few solves: 1'A22 1 = 1'x with A22^-1 x = 1.
    """
    alpha, beta = shares
    if not order:
        return replace(of, share=alpha, beta=beta)
    ones = np.ones(own.size)
    mean_A, mean_own = float(ones @ factorise(A22_inverse).solve(ones[:, None])[:, 0]) / own.size**2, float(own.mean())
    mean, diagonal = of.raw_mean, float(of.raw_diagonal.mean())
    if order == "blended":
        mean, diagonal = alpha * mean + beta * mean_A, alpha * diagonal + beta * mean_own
    a, b = tuning((diagonal, mean), (mean_own, mean_A))
    if order == "blended":
        return replace(of, level=a, share=b * alpha, beta=b * beta)
    return replace(of, level=alpha * a, share=alpha * b, beta=beta)


def core_of(given: Any, genotyped: np.ndarray, of: Genomes, seed: int) -> np.ndarray:
    """Positions of the core among the genotyped: labels, a number of animals drawn at random, or ``"98%"``.

    A share asks for as many animals as G has largest eigenvalues that make up so much of its variance (Pocrnic,
    Lourenco, Masuda, Legarra and Misztal 2016, Genetics 203:573-581).

    Raises
    ------
    MMEError
        A label is not genotyped; the number is none from 1 to that of the genotyped.
    """
    m = genotyped.size
    if isinstance(given, str) and given.endswith("%"):
        try:
            share = float(given[:-1])
        except ValueError:
            share = 0.0
        if not 0.0 < share < 100.0:
            raise MMEError(f"core must be a share of the variance, as '98%', labels or a number; got {shown(given)}")
        given = _number_for(share / 100.0, of, seed)
    if np.ndim(given) == 0 and not isinstance(given, str):
        size = count(given, "core", "of animals, labels, or a share as '98%'")
        if size > m:
            raise MMEError(f"core: {size} animals of {m} genotyped")
        return np.sort(np.random.default_rng(seed).choice(m, size, replace=False))
    labels = labels_of([given] if isinstance(given, str) else given, "core")
    at = places(label_array(labels), genotyped)
    strange = [label for label, i in zip(labels, at.tolist(), strict=True) if i < 0]
    if strange or np.unique(at).size < at.size:
        raise MMEError(f"core: {name(strange) + ' not genotyped' if strange else 'labels must be distinct'}")
    return at


def _number_for(share: float, of: Genomes, seed: int) -> int:
    """How many of the largest eigenvalues of G make up this share of their sum; of many animals, of some of them."""
    m = of.raw_diagonal.size
    some = np.random.default_rng(seed).choice(m, min(m, _SPECTRUM), replace=False)
    values = np.maximum(np.linalg.eigvalsh(of.raw(some, some))[::-1], 0.0)
    return int(np.searchsorted(np.cumsum(values), share * values.sum()) + 1)


def forecast(genotyped: int, core: int) -> int:
    """Bytes that the sparse inverse of G takes while it is put together."""
    return (core**2 + 2 * core * (genotyped - core) + genotyped) * _ENTRY * _COPIES


def apy_inverse(G: Genomes, core: np.ndarray, A: np.ndarray, own: np.ndarray) -> tuple[sp.csc_array, float]:
    """(APY) and log|G|; A (m, c) are the core's columns of A22, ``own`` (m,) its diagonal.

    Raises
    ------
    MMEError
        G of the core is singular.
    """
    m, c = own.size, core.size
    others = np.setdiff1d(np.arange(m), core)
    diagonal = G.diagonal(own)
    L, failed = cholesky(G.entries(core, core, A[core]))
    if failed > 0 or not (np.diag(L) ** 2 > DEPENDENT * diagonal[core]).all():
        raise MMEError(
            f"G of the {c} core animals is singular: fewer markers than animals, or two of one genome. Blend it with "
            "A22 (beta=0.05), or take a smaller core"
        )
    inverse = cholesky_inverse(L, overwrite=False)
    inverse = inverse + np.tril(inverse, -1).T
    G_nc = G.entries(others, core, A[others])
    P = G_nc @ inverse
    left = diagonal[others] - np.einsum("ij,ij->i", P, G_nc)
    if not (left > DEPENDENT * diagonal[others]).all():
        raise MMEError("G: an animal outside the core is determined by it; blend G with A22 (beta=0.05)")
    PM = P / left[:, None]
    top = np.hstack([inverse + P.T @ PM, -PM.T])
    whole = sp.vstack([sp.csr_array(top), sp.hstack([sp.csr_array(-PM), sp.diags_array(1.0 / left)])], format="csr")
    back = np.argsort(np.concatenate([core, others]))
    logdet = 2.0 * float(np.log(np.diag(L)).sum()) + float(np.log(left).sum())
    return sp.csc_array(sp.csr_array(whole)[back][:, back]), logdet


def inverse_among(base: Base, at: np.ndarray) -> tuple[sp.csc_array, float]:
    """A22^-1 of the levels ``at``, sparse, and log|A22|: what elimination of all others leaves of A^-1.

    Raises
    ------
    MemoryForecastError
        What it leaves would not fit.
    """
    Ainv, logdet, place = base.marginal(at)
    rest = np.setdiff1d(np.arange(Ainv.shape[0]), place)
    A_22 = sp.csc_array(Ainv[place][:, place])
    if not rest.size:
        return A_22, logdet
    A_12 = sp.csc_array(Ainv[rest][:, place])
    factor = factorise(sp.csc_array(Ainv[rest][:, rest]), "A^-1 among the animals without genotypes")
    parts = []
    for first in range(0, place.size, _COLUMNS):
        some = A_12[:, first : first + _COLUMNS]
        taken = A_12.T @ factor.solve(some.toarray())
        taken[np.abs(taken) < _ROUNDING] = 0.0
        parts.append(sp.csc_array(taken))
        require(
            2 * _ENTRY * int(sum(part.nnz for part in parts) / (first + some.shape[1]) * place.size),
            f"the inverse of A22 of {place.size:,} genotyped animals would take",
        )
    inverse = sp.csc_array(A_22 - sp.hstack(parts, format="csc"))
    return sp.csc_array(0.5 * (inverse + inverse.T)), logdet + factor.logdet
