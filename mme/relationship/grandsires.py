r"""Relationships of bulls from their sires and maternal grandsires.

    u_i = u_s / 2 + u_g / 4 + phi_i,    var(phi_i) = d_i = 1 + F_i - (A_ss + A_sg) / 4 - A_gg / 16
    A^-1 = (I - P)' D^-1 (I - P),      P with 1/2 at the sire and 1/4 at the maternal grandsire

(Henderson 1975, J Dairy Sci 58:1917-1921): 11/16 where both are known and nobody is inbred, 3/4 with the sire alone,
15/16 with the maternal grandsire alone. A dam is her sire's daughter by an unrelated mate, so that F_i = A_sg / 4: with
these the matrix is that of a pedigree with a dam of her own for each bull.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.relationship.known import Relationship
from mme.relationship.parentage import known_texts
from mme.relationship.pedigree import Pedigree
from mme.relationship.recursion import recursive_precision
from mme.tables.labels import label_array, labels_of
from mme.tables.spelling import labels_of as texts_of

# What is added to a bull's label for his dam's.
_DAM = " (dam)"


def maternal_grandsires(bull: Any, sire: Any, grandsire: Any) -> Relationship:
    """Relationships among bulls.

    Parameters
    ----------
    bull, sire, grandsire : (n,) labels
        One row a bull, in any order; unknown as in :class:`mme.Pedigree`. Those without a row are founders.

    Raises
    ------
    MMEError
        As for a pedigree.

    Examples
    --------
    >>> K = maternal_grandsires(["c"], ["a"], ["b"])
    >>> K.levels.tolist(), K.precision.toarray().round(3).tolist()[0]
    (['c', 'a', 'b'], [1.455, -0.727, -0.364])
    """
    given = {"bull": bull, "sire": sire, "grandsire": grandsire}
    columns = [labels_of(column, role) for role, column in given.items()]
    if len({len(column) for column in columns}) > 1:
        raise MMEError(f"bull, sire and grandsire must have one entry a row, got {[len(one) for one in columns]}")
    own = set(texts_of(label_array(columns[0])))
    texts = [known_texts(column, own) for column in columns]
    pairs = zip(chain(*texts), chain(*columns), strict=True)
    named = {text: label for text, label in pairs if text is not None}
    bulls, sires, fathers = texts
    dams = [None if father is None else f"{one}{_DAM}" for one, father in zip(bulls, fathers, strict=True)]
    of_dam = {dam: father for dam, father in zip(dams, fathers, strict=True) if dam is not None}
    none = [None] * len(of_dam)
    whole = Pedigree([*bulls, *of_dam], [*sires, *of_dam.values()], [*dams, *none])
    return _without_dams(whole, np.isin(whole.animals, list(of_dam)), named)


def _without_dams(whole: Pedigree, is_dam: np.ndarray, labels: dict[str, Any]) -> Relationship:
    """What the dams leave: each has one offspring, whose variance hers becomes part of."""
    own = np.flatnonzero(~is_dam)
    place = np.cumsum(~is_dam) - 1
    sire, dam = whole.sire[own], whole.dam[own]
    father = np.where(dam >= 0, whole.sire[dam], -1)
    d = whole.mendelian[own] + np.where(dam >= 0, 0.25 * whole.mendelian[dam], 0.0)
    parents = [(np.where(parent >= 0, place[parent], -1), share) for parent, share in ((sire, 0.5), (father, 0.25))]
    precision = recursive_precision(parents, d, own.size)
    levels = label_array([labels[one] for one in whole.animals[own].tolist()])
    made = Relationship._known(levels, precision, float(np.log(d).sum()))
    made.diagonal = 1.0 + whole.inbreeding[own]
    return made
