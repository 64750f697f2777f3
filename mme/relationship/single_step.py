"""Pedigree and markers in one relationship matrix (single-step)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.relationship.apy import by_core
from mme.relationship.genomic import genomic_matrix, pedigree_of, tuned, vanraden
from mme.relationship.known import Relationship, invert, positive_definite, singular_covariance
from mme.relationship.pedigree import Pedigree
from mme.tables.arguments import is_word, number, yes_or_no
from mme.tables.labels import labels_of, name


def single_step(
    pedigree: Pedigree,
    G: Any,
    genotyped: Any,
    *,
    markers: Any = None,
    core: Any = None,
    alpha: float = 0.95,
    beta: float = 0.05,
    tau: float = 1.0,
    omega: float = 1.0,
    tune: bool | str = False,
    seed: int = 1,
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
    G : (m, m) array or None
        Genomic relationships, for instance :func:`mme.relationship.genomic.vanraden`; rows and columns of a DataFrame
        find their animals by name. None: those of ``markers``.
    genotyped : (m,) labels
        The animals its rows stand for, all in the pedigree.
    markers : (m, loci) array, optional
        In place of G: VanRaden's first method, made by parts where there is a core.
    core : labels, int or str, optional
        The core of the algorithm for proven and young (:mod:`mme.relationship.apy`), for many genotyped animals: who it
        is, how many, drawn at random by ``seed``, or ``"98%"``, as many as G has largest eigenvalues that make up so
        much of its variance. None: G^-1 is the inverse of G.
    alpha, beta : float
        Shares of G and A22; beta > 0 makes a singular G invertible.
    tau, omega : float
        Scales of the two inverses; H is a covariance for omega up to 1 and somewhat beyond.
    tune : bool or str
        Whether G is given the base of A22 (:func:`mme.relationship.genomic.tuned`): True, before it is blended;
        ``"blended"``: afterwards, as in Mrode's example 12.1.
    seed : int
        Of a core that is drawn.

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
    if pedigree_of(pedigree).groups.size:
        raise MMEError("single_step needs a pedigree without groups of unknown parents: G and A22 have one base")
    for share, what in ((alpha, "alpha"), (beta, "beta"), (tau, "tau"), (omega, "omega")):
        number(share, f"{what} must be a number, at least 0", lambda share: share >= 0.0)
    if (G is None) == (markers is None):
        raise MMEError("single_step needs either G or markers=, not both")
    at = _genotyped_at(pedigree, genotyped)
    order = "blended" if is_word(tune, ["blended"]) else "first" if yes_or_no(tune, "tune") else ""
    if core is not None:
        made = by_core(pedigree, G, markers, at, core, (alpha, beta), order, seed)
        inverse, logdet_G, A22_inverse, logdet_A22 = made
    else:
        inverse, logdet_G, A22_inverse, logdet_A22 = _whole(pedigree, G, markers, at, (alpha, beta), order)
    precision = sp.csc_array(pedigree.Ainv + placed(tau * inverse - omega * A22_inverse, at, pedigree.levels.size))
    precision.sort_indices()
    if tau == omega == 1.0:
        return Relationship._known(pedigree.levels, precision, pedigree.logdet + logdet_G - logdet_A22)
    return Relationship._known(pedigree.levels, precision, -positive_definite(precision, pedigree.levels).logdet)


def _genotyped_at(pedigree: Pedigree, genotyped: Any) -> np.ndarray:
    """Positions of the genotyped, each with a genotype of its own."""
    labels = labels_of(genotyped, "genotyped")
    if not labels:
        raise MMEError("genotyped has no animals; without any the relationship is the pedigree itself")
    at = pedigree.positions(labels)
    _, which, count = np.unique(at, return_inverse=True, return_counts=True)
    if (count > 1).any():
        same = [label for label, times in zip(labels, count[which].tolist(), strict=True) if times > 1]
        raise MMEError(f"genotyped: labels must be distinct, a genotype each; {name(same)} share one")
    return at


def _whole(
    pedigree: Pedigree, G: Any, markers: Any, at: np.ndarray, shares: tuple[float, float], order: str
) -> tuple[np.ndarray, float, np.ndarray, float]:
    """The inverses of G, tuned and blended, and of A22, and their log-determinants."""
    labels = pedigree.levels[at]
    A22 = pedigree.A(labels)
    G = genomic_matrix(vanraden(markers) if G is None else G, labels)
    alpha, beta = shares
    G = alpha * (tuned(G, A22) if order == "first" else G) + beta * A22
    if order == "blended":
        G = tuned(G, A22)
    inverse, logdet_G, dependent = invert(G)
    if dependent.size:
        raise singular_covariance("alpha G + beta A22", labels[dependent])
    A22_inverse, logdet_A22, _ = invert(A22)
    return inverse, logdet_G, A22_inverse, logdet_A22


def placed(block: Any, at: np.ndarray, size: int) -> sp.csc_array:
    """The symmetric block at rows and columns ``at`` of a (size, size) matrix of zeros."""
    order = np.argsort(at)
    block = sp.csc_array(block)
    if (np.diff(at) < 0).any():
        block = sp.csc_array(block[order][:, order])
    entries = np.zeros(size + 1, dtype=np.int64)
    entries[at[order] + 1] = np.diff(block.indptr)
    rows = at[order].astype(np.int32)[block.indices]
    return sp.csc_array((block.data, rows, np.cumsum(entries)), shape=(size, size))
