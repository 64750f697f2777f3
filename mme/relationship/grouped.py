r"""Single-step relationships with groups of unknown parents: the transformed equations of H.

An animal's effect is u* = a + Q g, Q the fractions of the animals that come from each group (Quaas 1988, J Dairy Sci
71:1338-1345). With E_0 = [E 0] and E_Q = [E -Q_2], E the rows of the identity of the genotyped and Q_2 = E Q,

    full      H* = A* + E_Q'(G^-1 - A22^-1) E_Q             a ~ N(0, H): the groups are means of G as of A22
    altered   H* = A* + E_0' G^-1 E_0 - E_Q' A22^-1 E_Q     u*_2 ~ N(0, G): the genotyped are of G's base, the rest
                                                            follow of them, their groups by Q_1 - A12 A22^-1 Q_2
    A         H* = A* + E_0'(G^-1 - A22^-1) E_0             the density of A* times that of G over that of A22

(full and A: Misztal, Vitezica, Legarra, Aguilar and Swan 2013, J Anim Breed Genet 130:252-258; altered: Masuda et al.
2021, J Dairy Sci 104:11820-11831). A*, of the transformed equations, is singular with fixed groups, and so is H* in the
full form, where the groups are columns of X (:mod:`mme.model.unknown_parents`). In the others the groups are levels
with a flat prior to which G gives what is left: proper in the altered form where the genotyped have all groups among
their ancestors; H* of the last may have no variances at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.relationship.known import Relationship, positive_definite
from mme.relationship.pedigree import Pedigree

# Whether the groups are means of G, and whether of A22.
FORMS = {"full": (True, True), "altered": (False, True), "A": (False, False)}


@dataclass(frozen=True, eq=False)
class Correction:
    """G^-1 and A22^-1, scaled, of the animals ``at``."""

    G_inverse: Any
    A22_inverse: Any
    at: np.ndarray

    def among_levels(self, pedigree: Pedigree, form: str) -> sp.csc_array:
        """What ``form`` adds to A* (n + g, n + g)."""
        plain = sp.csr_array(
            (np.ones(self.at.size), (np.arange(self.at.size), self.at)), shape=(self.at.size, pedigree.levels.size)
        )
        from_groups = sp.hstack([plain[:, : pedigree.animals.size], -pedigree.sparse_Q[self.at]], format="csr")
        parts = zip((self.G_inverse, self.A22_inverse), FORMS[form], strict=True)
        of_G, of_A = (
            E.T @ sp.csr_array(block) @ E for block, E in ((b, from_groups if q else plain) for b, q in parts)
        )
        return sp.csc_array(of_G - of_A)


class GroupedH(Relationship):
    """H in the full form: what varies about the means of groups of unknown parents, and Q.

    It has the attributes of a :class:`mme.relationship.pedigree.Pedigree` by which a model makes fixed groups columns
    of X; random groups are levels, with 1 / group_variance on their diagonal.
    """

    def __init__(self, pedigree: Pedigree, H: Relationship, correction: Correction) -> None:
        self.animals, self.groups, self.group_variance = pedigree.animals, pedigree.groups, pedigree.group_variance
        self.levels, self.precision, self._H = pedigree.levels, transformed(pedigree, correction, "full"), H
        self.Q, self.sparse_Q = pedigree.Q, pedigree.sparse_Q
        of_groups = 0.0 if self.group_variance is None else self.groups.size * float(np.log(self.group_variance))
        self.logdet = H.logdet + of_groups

    @cached_property
    def inbreeding(self) -> np.ndarray:
        """H_ii - 1 of each animal (n,)."""
        return np.asarray(self._H.diagonal - 1.0)

    @cached_property
    def diagonal(self) -> np.ndarray:
        """diag(K) (n + g,): that of H, and group_variance times the squared fractions; NaN for fixed groups."""
        if self.group_variance is None:
            return np.append(self._H.diagonal, np.full(self.groups.size, np.nan))
        shared = self.group_variance * (self.Q**2).sum(axis=1)
        return np.append(self._H.diagonal + shared, np.full(self.groups.size, self.group_variance))

    @cached_property
    def given_groups(self) -> Relationship:
        """K of the levels with the groups' effects given: H of the animals; a group is related to nobody."""
        g = self.groups.size
        precision = sp.block_diag([self._H.precision, sp.eye_array(g)], format="csc")
        made = Relationship._known(self.levels, precision, self._H.logdet)
        made.diagonal = np.append(self._H.diagonal, np.full(g, np.nan))
        return made


def transformed(pedigree: Pedigree, correction: Correction, form: str) -> sp.csc_array:
    """H* of this form (n + g, n + g)."""
    precision = sp.csc_array(pedigree.Ainv + correction.among_levels(pedigree, form))
    precision.sort_indices()
    return precision


def with_groups(pedigree: Pedigree, correction: Correction, form: str) -> Relationship:
    """The relationship of animals and groups alike by which H* is proper, in another form than the full one.

    Raises
    ------
    MMEError
        H* is no inverse of a covariance matrix.
    """
    precision = transformed(pedigree, correction, form)
    try:
        logdet = -positive_definite(precision, pedigree.levels).logdet
    except MMEError as error:
        raise MMEError(
            f"single_step with groups='{form}' gives no covariance: {_REASON[form]} Take groups='full', or give the "
            "groups a variance (Pedigree(..., group_variance=))"
        ) from error
    return Relationship._known(pedigree.levels, precision, logdet)


_REASON = {
    "altered": "the genotyped do not descend from every group, or from groups in one proportion only.",
    "A": "G^-1 - A22^-1 counts A22 without the groups against A* with them, which leaves less than nothing.",
}
