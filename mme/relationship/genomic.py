"""Relationships from markers, alone or joined with a pedigree (single-step)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.relationship.known import Relationship, invert, positive_definite, singular_covariance
from mme.relationship.pedigree import Pedigree
from mme.tables.arguments import is_word, number, yes_or_no
from mme.tables.arrays import numbers, shown
from mme.tables.labels import labels_of, name


def vanraden(markers: Any, *, frequencies: Any = None, method: int = 1) -> np.ndarray:
    r"""G = Z Z' / (2 sum p_j (1 - p_j)),  Z_ij = M_ij - 2 p_j  (VanRaden 2008, J Dairy Sci 91:4414-4423).

    Method 2 weighs markers by their own variance, G = sum_j z_j z_j' / (m 2 p_j (1 - p_j)) over the m that vary.

    Parameters
    ----------
    markers : (n, m) array
        M: copies of the counted allele, 0, 1, 2 or a dosage between; NaN counts as the mean, 2 p_j.
    frequencies : (m,) array, optional
        p, frequencies of the counted allele in the base population; None: those observed. Observed ones make the rows
        of G sum to zero, so that it is singular.
    method : int
        1 or 2.

    Returns
    -------
    (n, n) array

    Raises
    ------
    MMEError
        Values outside 0 to 2, a marker that is missing everywhere, no marker that varies.

    Examples
    --------
    >>> vanraden([[0, 2], [1, 1], [2, 0]])
    array([[ 2.,  0., -2.],
           [ 0.,  0.,  0.],
           [-2.,  0.,  2.]])
    """
    M = _markers(markers)
    missing = np.isnan(M)
    if frequencies is None:
        counted = (~missing).sum(axis=0)
        if not counted.all():
            raise MMEError(f"markers {name(np.flatnonzero(counted == 0).tolist())} (columns) are missing for everybody")
        p = np.where(missing, 0.0, M).sum(axis=0) / (2.0 * counted)
    else:
        p = numbers(frequencies, "frequencies")
        if p.shape != (M.shape[1],) or not ((p >= 0) & (p <= 1)).all():
            raise MMEError(f"frequencies must be {M.shape[1]} numbers between 0 and 1, one a marker")
    heterozygosity = 2.0 * float(p @ (1.0 - p))
    if heterozygosity <= 0.0:
        raise MMEError("markers: none of them varies, so they say nothing about relationships")
    Z = np.where(missing, 0.0, M - 2.0 * p)
    if method is not True and isinstance(method, int | np.integer) and method == 1:
        return np.asarray(Z @ Z.T / heterozygosity)
    if not isinstance(method, int | np.integer) or method != 2:
        raise MMEError(f"method must be 1 or 2, got {shown(method)}")
    varies = (p > 0.0) & (p < 1.0)
    Z = Z[:, varies] / np.sqrt(2.0 * p * (1.0 - p))[varies]
    return np.asarray(Z @ Z.T / Z.shape[1])


def tuned(G: Any, A22: Any) -> np.ndarray:
    r"""a + b G with the mean diagonal and the mean of all entries of A22: both then have one base population.

    a and b solve a + b mean(diag G) = mean(diag A22) and a + b mean(G) = mean(A22) (Vitezica, Aguilar, Misztal and
    Legarra 2011, Genet Res 93:357-366; Christensen et al. 2012, Animal 6:1565-1571).

    Raises
    ------
    MMEError
        G and A22 differ in size, or the diagonal of G is on average no larger than its other entries.

    Examples
    --------
    >>> tuned([[1.2, 0.2], [0.2, 1.2]], [[1.0, 0.25], [0.25, 1.0]]).round(3)
    array([[1.  , 0.25],
           [0.25, 1.  ]])
    """
    G, A22 = numbers(G, "G"), numbers(A22, "A22")
    if G.shape != A22.shape or G.ndim != 2:
        raise MMEError(f"G and A22 must be of one size, got {G.shape} and {A22.shape}")
    spread = float(np.mean(np.diag(G)) - G.mean())
    if not spread > 0.0:
        raise MMEError("G cannot be tuned: its diagonal is on average no larger than its other entries")
    b = float(np.mean(np.diag(A22)) - A22.mean()) / spread
    return np.asarray(A22.mean() - b * G.mean() + b * G)


def genomic_relationship(
    markers: Any,
    levels: Any,
    *,
    method: str = "vanraden",
    frequencies: Any = None,
    blend: float = 0.05,
    pedigree: Pedigree | None = None,
) -> Relationship:
    r"""K = (1 - w) G + w B: genomic relationships G, made positive definite by a share w of B.

    Parameters
    ----------
    markers : (n, m) array
        Copies of the counted allele, 0 to 2; NaN where missing (see :func:`vanraden`).
    levels : (n,) labels
        Whose markers the rows are.
    method : str
        ``"vanraden"``: the first method of VanRaden (2008); ``"vanraden2"``: the second.
    frequencies : (m,) array, optional
        Allele frequencies of the base population; None: those observed.
    blend : float
        w, from 0 to 1: the share of variance that the markers do not follow.
    pedigree : Pedigree, optional
        B is its A among the levels; None: B = I.

    Raises
    ------
    MMEError
        Labels and rows differ in number, markers are not usable, K is singular (blend = 0).

    Examples
    --------
    >>> K = genomic_relationship([[0, 2, 1], [1, 1, 0], [2, 0, 2]], ["a", "b", "c"], blend=0.1)
    >>> K.diagonal.round(3)
    array([1.3, 0.7, 1.9])
    """
    if not is_word(method, ["vanraden", "vanraden2"]):
        raise MMEError(f"method must be 'vanraden' or 'vanraden2', got {shown(method)}")
    blend = number(blend, "blend must lie between 0 and 1", lambda blend: 0.0 <= blend <= 1.0)
    G = vanraden(markers, frequencies=frequencies, method=2 if method == "vanraden2" else 1)
    labels = labels_of(levels, "levels")
    if len(labels) != G.shape[0]:
        raise MMEError(f"{len(labels)} levels for {G.shape[0]} rows of markers")
    B = np.eye(len(labels)) if pedigree is None else _pedigree(pedigree).A(labels)
    return Relationship(covariance=(1.0 - blend) * G + blend * B, levels=labels)


def single_step(
    pedigree: Pedigree,
    G: Any,
    genotyped: Any,
    *,
    alpha: float = 0.95,
    beta: float = 0.05,
    tau: float = 1.0,
    omega: float = 1.0,
    tune: bool = False,
) -> Relationship:
    r"""Pedigree and markers in one relationship matrix H.

    With A22 the part of A among the genotyped,

        H^-1 = A^-1 + [0 0; 0 tau (alpha G + beta A22)^-1 - omega A22^-1]
        log|H| = log|A| + log|alpha G + beta A22| - log|A22|              (tau = omega = 1)

    (Aguilar et al. 2010, J Dairy Sci 93:743-752; Christensen and Lund 2010, Genet Sel Evol 42:2). G and A22 should have
    the same base: compare their mean diagonal and off-diagonal first.

    Parameters
    ----------
    pedigree : Pedigree
        Of all animals, without groups of unknown parents.
    G : (m, m) array
        Genomic relationships, for instance :func:`vanraden`.
    genotyped : (m,) labels
        The animals its rows stand for, all in the pedigree.
    alpha, beta : float
        Shares of G and A22; beta > 0 makes a singular G invertible.
    tau, omega : float
        Scales of the two inverses; H is a covariance for omega up to 1 and somewhat beyond.
    tune : bool
        Whether G is first given the base of A22 (:func:`mme.relationship.genomic.tuned`).

    Returns
    -------
    Relationship
        H, with the levels of the pedigree.

    Raises
    ------
    MMEError
        An animal is not in the pedigree, G is not symmetric or of the wrong size, a matrix is singular.

    Examples
    --------
    Markers that say the half sibs a and b share more than the pedigree expects, 0.4 for 0.25:

    >>> import mme
    >>> pedigree = Pedigree(["a", "b"], ["s", "s"], [None, None])
    >>> H = single_step(pedigree, [[1.0, 0.4], [0.4, 1.0]], ["a", "b"], alpha=1.0, beta=0.0)
    >>> np.linalg.inv(H.precision.toarray()).round(2)
    array([[1. , 0.4 , 0.56],
           [0.4 , 1. , 0.56],
           [0.56, 0.56, 1.05]])
    """
    if _pedigree(pedigree).groups.size:
        raise MMEError("single_step needs a pedigree without groups of unknown parents: G and A22 have one base")
    for share, what in ((alpha, "alpha"), (beta, "beta"), (tau, "tau"), (omega, "omega")):
        number(share, f"{what} must be a number, at least 0", lambda share: share >= 0.0)
    labels = labels_of(genotyped, "genotyped")
    if len(set(labels)) < len(labels):
        raise MMEError("genotyped: labels must be distinct")
    A22 = pedigree.A(labels)
    G = _genomic(G, len(labels))
    Gw = alpha * (tuned(G, A22) if yes_or_no(tune, "tune") else G) + beta * A22
    at = pedigree.positions(labels)
    Gw_inverse, logdet_Gw, dependent = invert(Gw)
    if dependent.size:
        raise singular_covariance("alpha G + beta A22", pedigree.levels[at[dependent]])
    A22_inverse, logdet_A22, _ = invert(A22)
    correction = tau * Gw_inverse - omega * A22_inverse
    precision = sp.csc_array(pedigree.Ainv + _placed(correction, at, pedigree.levels.size))
    precision.sort_indices()
    if tau == omega == 1.0:
        return Relationship._known(pedigree.levels, precision, pedigree.logdet + logdet_Gw - logdet_A22)
    logdet = -positive_definite(precision, pedigree.levels).logdet
    return Relationship._known(pedigree.levels, precision, logdet)


def _pedigree(given: Any) -> Pedigree:
    if not isinstance(given, Pedigree):
        raise MMEError(f"pedigree must be an mme.Pedigree(animal, sire, dam), got {type(given).__name__}")
    return given


def _markers(markers: Any) -> np.ndarray:
    try:
        M = np.asarray(markers, dtype=float)
    except (TypeError, ValueError) as error:
        raise MMEError(f"markers must be numbers ({error})") from None
    if M.ndim != 2 or not M.size:
        raise MMEError(f"markers must be a matrix, a row an individual and a column a marker, got shape {M.shape}")
    outside = ~((M >= 0.0) & (M <= 2.0) | np.isnan(M))
    if outside.any():
        i, j = np.argwhere(outside)[0]
        raise MMEError(
            f"markers must count copies of an allele, 0 to 2 (NaN: missing); row {i}, column {j} is {M[i, j]:g}"
        )
    return M


def _placed(block: np.ndarray, at: np.ndarray, size: int) -> sp.csc_array:
    """The symmetric block at rows and columns ``at`` of a (size, size) matrix of zeros."""
    order = np.argsort(at)
    entries = np.zeros(size + 1, dtype=np.int64)
    entries[at + 1] = at.size
    rows = np.tile(at[order], at.size)
    return sp.csc_array((block[np.ix_(order, order)].ravel(), rows, np.cumsum(entries)), shape=(size, size))


def _genomic(G: Any, m: int) -> np.ndarray:
    G = numbers(G, "G")
    if G.shape != (m, m):
        raise MMEError(f"G must be ({m}, {m}) for the {m} genotyped animals, got {G.shape}")
    if not np.isfinite(G).all() or abs(G - G.T).max(initial=0.0) > 1e-8 * abs(G).max(initial=0.0):
        raise MMEError("G must be finite and symmetric")
    return G
