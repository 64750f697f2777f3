r"""Dominance relationships from a pedigree.

    D_ij = (A_sk A_dl + A_sl A_dk) / 4,      s, d the parents of i and k, l those of j,      D_ii = 1

(Cockerham 1954, Genetics 39:859-882): the chance that both alleles of two animals are the same by descent. It holds
where nobody is inbred, and is what BLUP of dominance takes it for elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.relationship.known import Relationship
from mme.relationship.pedigree import Pedigree
from mme.tables.labels import label_array, labels_of, name


def dominance(pedigree: Pedigree, animals: Any = None) -> Relationship:
    """Dominance relationships among animals.

    Parameters
    ----------
    pedigree : Pedigree
        Without groups of unknown parents.
    animals : (k,) labels, optional
        Those that are wanted; None: all.

    Raises
    ------
    MMEError
        The pedigree has groups, or lines that are ``selfed``; D is singular.
    MemoryForecastError
        The matrices would not fit.

    Examples
    --------
    Full sibs share a quarter, half sibs nothing:

    >>> pedigree = Pedigree(["a", "b", "c"], ["s", "s", "s"], ["d", "d", "e"])
    >>> D = dominance(pedigree, ["a", "b", "c"])
    >>> np.linalg.inv(D.precision.toarray()).round(3)
    array([[1.  , 0.25, 0.  ],
           [0.25, 1.  , 0.  ],
           [0.  , 0.  , 1.  ]])
    """
    if not isinstance(pedigree, Pedigree) or pedigree.groups.size:
        raise MMEError("dominance needs an mme.Pedigree without groups of unknown parents")
    wanted = pedigree.animals if animals is None else label_array(labels_of(animals, "animals"))
    return Relationship(covariance=dominance_matrix(pedigree, wanted), levels=wanted)


def dominance_matrix(pedigree: Pedigree, wanted: np.ndarray) -> np.ndarray:
    """D (k, k) among the animals with these labels."""
    at = pedigree.positions(wanted)
    if (pedigree.outbred < 1.0).any():
        lines = name(pedigree.animals[pedigree.outbred < 1.0].tolist())
        raise MMEError(f"dominance is of both parents, and {lines} are selfed=; give each generation a row of its own")
    parents = [pedigree.sire[at], pedigree.dam[at]]
    used = np.unique(np.concatenate(parents))
    used = used[used >= 0]
    A = np.zeros((used.size + 1, used.size + 1))  # the last: an unknown parent, related to nobody
    if used.size:
        A[:-1, :-1] = pedigree.A(pedigree.animals[used])
    place = np.full(pedigree.animals.size + 1, used.size)
    place[used] = np.arange(used.size)
    s, d = (place[one] for one in parents)
    D = 0.25 * (A[np.ix_(s, s)] * A[np.ix_(d, d)] + A[np.ix_(s, d)] * A[np.ix_(d, s)])
    np.fill_diagonal(D, 1.0)
    return np.asarray(D)
