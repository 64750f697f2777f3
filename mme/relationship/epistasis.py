r"""Relationships of epistatic effects: products, entry by entry, of those of the effects that interact.

    A#A = A o A,    A#D = A o D,    D#D = D o D

(Cockerham 1954, Genetics 39:859-882; Henderson 1985, J Anim Sci 60:111-117), in unselected populations without linkage
and inbreeding. Of markers the product is scaled to a mean diagonal of one, (G o G) / mean diag (Vitezica, Legarra, Toro
and Varona 2017, Genetics 206:1297-1307).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.memory import require
from mme.relationship.dominance import dominance_matrix
from mme.relationship.known import Relationship
from mme.relationship.pedigree import Pedigree
from mme.tables.arguments import yes_or_no
from mme.tables.arrays import numbers, shown
from mme.tables.labels import label_array, labels_of


def epistatic(
    pedigree: Any, kind: str = "AA", animals: Any = None, *, scale: bool | None = None, ridge: float = 0.0
) -> Relationship:
    """Relationships of interactions between loci.

    Parameters
    ----------
    pedigree : Pedigree, or sequence of (k, k) arrays
        Of a pedigree A and D are made; matrices, such as G and D of markers, are multiplied as they are.
    kind : str
        ``"AA"``, ``"AD"``, ``"DD"``, ``"AAA"``, ...: what interacts, of a pedigree.
    animals : (k,) labels
        Of the matrices; of a pedigree those that are wanted, None: all.
    scale : bool, optional
        Whether the mean diagonal is made one. None: of matrices alone.
    ridge : float
        Added to the diagonal, for a singular product.

    Raises
    ------
    MMEError
        The kind has other letters than A and D, sizes differ, or the product is singular.
    MemoryForecastError
        The matrices would not fit.

    Examples
    --------
    Full sibs share a half of A, so a quarter of A#A:

    >>> sibs = Pedigree(["a", "b"], ["s", "s"], ["d", "d"])
    >>> np.linalg.inv(epistatic(sibs, "AA", ["a", "b"]).precision.toarray()).round(3)
    array([[1.  , 0.25],
           [0.25, 1.  ]])
    """
    if isinstance(pedigree, Pedigree):
        labels, parts = _of_pedigree(pedigree, kind, animals)
    else:
        labels, parts = _of_matrices(pedigree, animals)
    product = reduce(np.multiply, parts)
    if yes_or_no(not isinstance(pedigree, Pedigree) if scale is None else scale, "scale"):
        product = product / np.mean(np.diag(product))
    return Relationship(covariance=product, levels=labels, ridge=ridge)


def _of_pedigree(pedigree: Pedigree, kind: str, animals: Any) -> tuple[Any, list[np.ndarray]]:
    if not isinstance(kind, str) or len(kind) < 2 or set(kind) - {"A", "D"}:
        raise MMEError(f"epistatic: kind must be of the letters A and D, as 'AA', 'AD' or 'DD'; got {shown(kind)}")
    if pedigree.groups.size:
        raise MMEError("epistatic needs an mme.Pedigree without groups of unknown parents")
    labels = pedigree.animals if animals is None else label_array(labels_of(animals, "animals"))
    require(24 * labels.size**2, f"epistatic relationships of {labels.size:,} animals would take")
    made = {"A": pedigree.A(labels)}
    if "D" in kind:
        made["D"] = dominance_matrix(pedigree, labels)
    return labels, [made[letter] for letter in kind]


def _of_matrices(given: Any, animals: Any) -> tuple[Any, list[np.ndarray]]:
    if not isinstance(given, Sequence) or len(given) < 2:
        raise MMEError("epistatic needs an mme.Pedigree, or two matrices or more, as [G, G] or [G, D]")
    parts = [numbers(one, "epistatic: a matrix") for one in given]
    if animals is None:
        raise MMEError("epistatic: animals= must name the rows of the matrices")
    k = len(labels_of(animals, "animals"))
    if any(part.shape != (k, k) for part in parts):
        raise MMEError(f"epistatic: matrices must be ({k}, {k}) for the {k} animals, got {[p.shape for p in parts]}")
    return animals, parts
