r"""Relationships of genes that sons have from their dam alone: on the X chromosome, or all of haplodiploid species.

With alleles of variance 1/2 a female of unrelated parents has variance 1, a male 1/2; u of a son is half his dam's on
average, of a daughter her sire's and half her dam's:

    sons        S_ij = S_dj / 2            S_ii = 1/2             d_i = 1/2 - S_dd / 4
    daughters   S_ij = S_sj + S_dj / 2     S_ii = 1 + S_sd        d_i = 1 - S_ss - S_dd / 4
    S^-1 = (I - P)' D^-1 (I - P)                                                                                  (S)

(Fernando and Grossman 1990, Theor Appl Genet 80:75-80), S of an unknown parent zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.numeric.memory import require
from mme.relationship.known import Relationship
from mme.relationship.pedigree import Pedigree
from mme.relationship.recursion import recursive_precision
from mme.tables.arguments import number
from mme.tables.labels import labels_of, name

# A Mendelian variance this small is rounding: the dam is completely inbred.
_NO_SAMPLING = 1e-12


def sex_linked(pedigree: Pedigree, females: Any, *, dosage: float = 1.0) -> Relationship:
    """The relationship (S) of X-linked or haplodiploid inheritance.

    Parameters
    ----------
    pedigree : Pedigree
        Without groups of unknown parents.
    females : labels
        The animals that have two copies; all others have one.
    dosage : float
        What the copy of a male counts for, in copies of a female: 1 without dosage compensation, 2 with all of it.

    Raises
    ------
    MMEError
        Sires among the females, or dams that are not; groups or selfed lines in the pedigree; a dam completely inbred.
    MemoryForecastError
        The matrix, which is made whole once, would not fit.

    Examples
    --------
    Hamilton's three quarters, of full sisters of a haplodiploid species:

    >>> pedigree = Pedigree(["a", "b", "c"], ["s", "s", None], ["d", "d", "d"])
    >>> S = np.linalg.inv(sex_linked(pedigree, ["a", "b", "d"]).precision.toarray())
    >>> S[:3, :3].round(3)
    array([[1.  , 0.75, 0.25],
           [0.75, 1.  , 0.25],
           [0.25, 0.25, 0.5 ]])
    """
    if not isinstance(pedigree, Pedigree) or pedigree.groups.size or (pedigree.outbred < 1.0).any():
        raise MMEError("sex_linked needs an mme.Pedigree without groups of unknown parents and selfed lines")
    number(dosage, "dosage must be a positive number", lambda dosage: dosage > 0.0)
    n = pedigree.animals.size
    female = np.zeros(n, dtype=bool)
    female[pedigree.positions(labels_of(females, "females"))] = True
    _check_sexes(pedigree, female)
    require(8 * (n + 1) ** 2, f"sex-linked relationships of {n:,} animals, made whole, would take")
    S = _sex_linked_table(pedigree, female)
    own = np.append(np.diag(S), 0.0)  # of an unknown parent
    sire = np.where(female, pedigree.sire, -1)
    d = np.where(female, 1.0, 0.5) - own[sire] - 0.25 * own[pedigree.dam]
    if (lost := d < _NO_SAMPLING).any():
        raise MMEError(f"the dams of {name(pedigree.animals[lost].tolist())} are completely inbred: S is singular")
    inverse = recursive_precision([(sire, 1.0), (pedigree.dam, 0.5)], d, n)
    copies = np.where(female, 1.0, float(dosage))
    scale = sp.diags_array(1.0 / copies)
    precision = sp.csc_array(scale @ inverse @ scale)
    precision.sort_indices()
    made = Relationship._known(pedigree.animals, precision, float(np.log(d).sum() + 2.0 * np.log(copies).sum()))
    made.diagonal = np.diag(S) * copies**2
    return made


def _check_sexes(pedigree: Pedigree, female: np.ndarray) -> None:
    sires, dams = (np.unique(one[one >= 0]) for one in (pedigree.sire, pedigree.dam))
    for wrong, what in ((sires[female[sires]], "sires among the females"), (dams[~female[dams]], "dams that are not")):
        if wrong.size:
            raise MMEError(f"females: {name(pedigree.animals[wrong].tolist())} are {what}")


def _sex_linked_table(pedigree: Pedigree, female: np.ndarray) -> np.ndarray:
    """S row by row, parents first."""
    n = pedigree.animals.size
    S, known = np.zeros((n + 1, n + 1)), np.zeros(0, dtype=np.int64)  # the last: an unknown parent
    for i in pedigree.sorted.tolist():
        s, d = (int(pedigree.sire[i]) if female[i] else n), int(pedigree.dam[i])
        S[i, known] = S[known, i] = S[s, known] + 0.5 * S[d, known]
        S[i, i] = 1.0 + S[s, d] if female[i] else 0.5
        known = np.append(known, i)
    return S[:n, :n]
