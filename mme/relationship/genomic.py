"""Relationships from markers, alone or joined with a pedigree (single-step)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.relationship.known import Relationship
from mme.relationship.pedigree import Pedigree
from mme.tables.arguments import is_word, number
from mme.tables.arrays import numbers, shown
from mme.tables.labels import label_array, labels_of, name
from mme.tables.spelling import places

# A difference of two means this small beside them is rounding.
_ROUNDING = 1e-12


def centred(markers: Any, frequencies: Any = None) -> tuple[np.ndarray, np.ndarray, float]:
    """M - 2 p with zero where a marker is missing, p, and 2 sum p (1 - p).

    Raises
    ------
    MMEError
        As :func:`vanraden`.
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
    return Z, p, heterozygosity


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
    Z, p, heterozygosity = centred(markers, frequencies)
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
    a, b = tuning(*((float(np.diag(one).mean()), float(one.mean())) for one in (G, A22)))
    return np.asarray(a + b * G)


def tuning(G: tuple[float, float], A22: tuple[float, float]) -> tuple[float, float]:
    """a and b of a + b G, from the means of the diagonal and of all entries of G and of A22.

    Raises
    ------
    MMEError
        The diagonal of G is on average no larger than its other entries, as with one animal.
    """
    (diagonal, every), (own, all_of_A) = G, A22
    if not diagonal - every > _ROUNDING * abs(diagonal):
        raise MMEError(
            "G cannot be tuned: its diagonal is on average no larger than its other entries; one genotyped animal, or "
            "animals of one genome, do not tell its base from that of A22"
        )
    b = (own - all_of_A) / (diagonal - every)
    return float(all_of_A - b * every), float(b)


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
    B = np.eye(len(labels)) if pedigree is None else pedigree_of(pedigree).A(labels)
    return Relationship(covariance=(1.0 - blend) * G + blend * B, levels=labels)


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


def pedigree_of(given: Any) -> Pedigree:
    """The pedigree.

    Raises
    ------
    MMEError
        It is none.
    """
    if not isinstance(given, Pedigree):
        raise MMEError(f"pedigree must be an mme.Pedigree(animal, sire, dam), got {type(given).__name__}")
    return given


def genomic_matrix(G: Any, animals: np.ndarray) -> np.ndarray:
    """G (m, m) as numbers; of a DataFrame with the names of animals, in their order.

    Raises
    ------
    MMEError
        It is of the wrong size, not finite, or not symmetric, with the animals named.
    """
    if hasattr(G, "iloc") and hasattr(G, "columns"):
        G = _in_order(G, animals)
    G, m = numbers(G, "G"), animals.size
    if G.shape != (m, m):
        raise MMEError(f"G must be ({m}, {m}) for the {m} genotyped animals, got {G.shape}")
    if not np.isfinite(G).all():
        rows = animals[~np.isfinite(G).all(axis=1)]
        raise MMEError(f"G has missing or infinite values, in the rows of {name(rows.tolist())}")
    skew = abs(G - G.T)
    if skew.max(initial=0.0) > 1e-8 * abs(G).max(initial=0.0):
        i, j = np.unravel_index(int(skew.argmax()), G.shape)
        raise MMEError(
            f"G is not symmetric: {G[i, j]:g} at ({animals[i]!r}, {animals[j]!r}), {G[j, i]:g} across; are its rows "
            "and columns in one order?"
        )
    return G


def _in_order(G: Any, animals: np.ndarray) -> np.ndarray:
    """The rows and columns of a DataFrame by their names; one that is numbered from 0 has none."""
    rows, cols = (label_array(labels_of(one, "G")) for one in (G.index, G.columns))
    at = [places(animals, one) for one in (rows, cols)]
    if (at[0] < 0).all() or (rows.tolist() == cols.tolist() == list(range(len(rows)))):
        return np.asarray(G, dtype=float)
    for one, what in zip(at, ("rows", "columns"), strict=True):
        if (one < 0).any():
            raise MMEError(f"G has no {what} for {name(animals[one < 0].tolist())}; it has names, and they are matched")
    return np.asarray(G, dtype=float)[np.ix_(at[0], at[1])]
