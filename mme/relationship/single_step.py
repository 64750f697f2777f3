"""Pedigree and markers in one relationship matrix (single-step)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.relationship.apy import Genomes, by_core
from mme.relationship.bases import Base, base_of
from mme.relationship.genomic import pedigree_of, tuned
from mme.relationship.grouped import FORMS, GroupedH, fractions, of_A_alone
from mme.relationship.known import Relationship, invert, positive_definite, singular_covariance
from mme.relationship.pedigree import Pedigree
from mme.tables.arguments import is_word, number, yes_or_no
from mme.tables.arrays import shown
from mme.tables.labels import labels_of, name


def single_step(
    pedigree: Pedigree,
    G: Any,
    genotyped: Any,
    *,
    markers: Any = None,
    frequencies: Any = None,
    gamma: Any = None,
    groups: str = "full",
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
        Of all animals; with ``unknown_groups`` their means are part of the animals' effects (``groups``), or they are
        metafounders (``gamma``).
    G : (m, m) array or None
        Genomic relationships, for instance :func:`mme.relationship.genomic.vanraden`; rows and columns of a DataFrame
        find their animals by name. None: those of ``markers``.
    genotyped : (m,) labels
        The animals its rows stand for, all in the pedigree.
    markers : (m, loci) array, optional
        In place of G: VanRaden's first method, made by parts where there is a core.
    frequencies : (loci,) array, optional
        Of the counted alleles in the base; None: those observed, and with ``gamma`` 1/2, the base of metafounders.
    gamma : number or (g, g) array, optional
        Relationships of the metafounders (:func:`mme.relationship.metafounders.metafounders`): A, A22 and log|A| are
        then those of (K), and G, by frequencies of 1/2, needs no tuning (Legarra et al. 2015, Genetics 200:455-468).
    groups : {"full", "altered", "A"}
        Which of :mod:`mme.relationship.grouped`, where there are groups and no gamma: ``"full"`` has the groups as
        means of G and of A22, ``"altered"`` of A22 only (fixed ones are columns of X, as with the pedigree alone),
        ``"A"`` of neither.
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
        H, with the levels of the pedigree: groups or metafounders after the animals.

    Raises
    ------
    MMEError
        An animal is not in the pedigree, G is not symmetric or of the wrong size, a matrix is singular, or the form of
        ``groups`` gives no covariance.

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
    if not is_word(groups, FORMS):
        raise MMEError(f"groups must be 'full', 'altered' or 'A', got {shown(groups)}")
    for share, what in ((alpha, "alpha"), (beta, "beta"), (tau, "tau"), (omega, "omega")):
        number(share, f"{what} must be a number, at least 0", lambda share: share >= 0.0)
    if (G is None) == (markers is None):
        raise MMEError("single_step needs either G or markers=, not both")
    if frequencies is not None and markers is None:
        raise MMEError("frequencies are of markers=; G has its own")
    base = base_of(pedigree_of(pedigree), gamma)
    at = _genotyped_at(pedigree, genotyped)
    order = "blended" if is_word(tune, ["blended"]) else "first" if yes_or_no(tune, "tune") else ""
    if gamma is not None and frequencies is None and markers is not None:
        frequencies = np.full(np.shape(markers)[-1], 0.5)
    genomes = Genomes.of(G, markers, frequencies, base.levels[at])
    if core is not None:
        inverse, logdet_G, A22_inverse, logdet_A22 = by_core(base, genomes, at, core, (alpha, beta), order, seed)
    else:
        inverse, logdet_G, A22_inverse, logdet_A22 = _whole(base, genomes, at, (alpha, beta), order)
    between = tau * inverse - omega * A22_inverse
    grouped = gamma is None and pedigree.groups.size > 0
    if grouped and groups == "A":
        return of_A_alone(pedigree, placed(between, at, pedigree.levels.size))
    logdet = base.logdet + logdet_G - logdet_A22 if tau == omega == 1.0 else None
    H = _joined(base, placed(between, at, base.levels.size), logdet)
    return GroupedH(pedigree, H, fractions(pedigree, at, groups)) if grouped else H


def _joined(base: Base, between: sp.csc_array, logdet: float | None) -> Relationship:
    """H among the levels of the base; its log-determinant from its factor where no sum of others is."""
    precision = sp.csc_array(base.precision + between)
    precision.sort_indices()
    if logdet is None:
        logdet = -positive_definite(precision, base.levels).logdet
    return Relationship._known(base.levels, precision, logdet)


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
    base: Base, genomes: Genomes, at: np.ndarray, shares: tuple[float, float], order: str
) -> tuple[np.ndarray, float, np.ndarray, float]:
    """The inverses of G, tuned and blended, and of A22, and their log-determinants."""
    labels, A22, G = base.levels[at], base.among(at, at), genomes.whole()
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
