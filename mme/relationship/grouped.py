r"""Single-step relationships with groups of unknown parents: the transformed equations of H.

An animal's effect is u* = a + Q g, Q the fractions of the animals that come from each group (Quaas 1988, J Dairy Sci
71:1338-1345). With E_0 = [E 0] and E_Q = [E -Q_2], E the rows of the identity of the genotyped and Q_2 = E Q,

    full      H* = A* + E_Q'(G^-1 - A22^-1) E_Q             u* = a + Q g: the groups are means of G as of A22
    altered   H* = A* + E_0' G^-1 E_0 - E_Q' A22^-1 E_Q     u* = a + (Q - A_2 A22^-1 Q_2) g: the genotyped are of G's
                                                            base, the others follow of them and of their groups
    A         H* = A* + E_0'(G^-1 - A22^-1) E_0             the density of A* times that of G over that of A22

with a ~ N(0, H) and A_2 the columns of A of the genotyped (full and A: Misztal, Vitezica, Legarra, Aguilar and Swan
2013, J Anim Breed Genet 130:252-258; altered: Masuda et al. 2021, J Dairy Sci 104:11820-11831). The first two are
(I -F)'H^-1 (I -F) with F what multiplies g: fixed groups are columns of X (:mod:`mme.model.unknown_parents`). In the
last the groups are levels, and it may have no variances at all.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.numeric.factor import factorise
from mme.relationship.known import Relationship, positive_definite
from mme.relationship.pedigree import Pedigree

FORMS = ("full", "altered", "A")
# Fractions below this are rounding.
_ROUNDING = 1e-13


class GroupedH(Relationship):
    """H, of what varies about the means of groups of unknown parents, and F, called Q as that of a pedigree is.

    It has the attributes of a :class:`mme.relationship.pedigree.Pedigree` by which a model makes fixed groups columns
    of X; random groups are levels, with 1 / group_variance on their diagonal.
    """

    def __init__(self, pedigree: Pedigree, H: Relationship, fractions: sp.csr_array) -> None:
        n, g = fractions.shape
        self.animals, self.groups, self.group_variance = pedigree.animals, pedigree.groups, pedigree.group_variance
        self.levels, self.sparse_Q, self._H = pedigree.levels, fractions, H
        about = sp.hstack([sp.eye_array(n), -fractions], format="csr")
        own = np.repeat([0.0, 1.0 / (self.group_variance or np.inf)], [n, g])
        self.precision = sp.csc_array(about.T @ sp.csr_array(H.precision) @ about + sp.diags_array(own))
        self.precision.sort_indices()
        of_groups = 0.0 if self.group_variance is None else self.groups.size * float(np.log(self.group_variance))
        self.logdet = H.logdet + of_groups

    @cached_property
    def Q(self) -> np.ndarray:
        """F (n, g), dense."""
        return np.asarray(self.sparse_Q.toarray())

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


def fractions(pedigree: Pedigree, at: np.ndarray, form: str) -> sp.csr_array:
    """F (n, g) of the full form, Q, or of the altered one, where the genotyped ``at`` have none."""
    Q = pedigree.sparse_Q
    if form == "full":
        return Q
    n = pedigree.animals.size
    others = np.setdiff1d(np.arange(n), at)
    F = np.zeros(Q.shape)
    if others.size:
        Ainv = sp.csr_array(pedigree.given_groups.precision)[others][:, :n]
        factor = factorise(sp.csc_array(Ainv[:, others]), "A^-1 among the animals without genotypes")
        F[others] = factor.solve((Ainv @ Q).toarray())  # A_12 A22^-1 = -(A^11)^-1 A^12
    F[np.abs(F) < _ROUNDING] = 0.0
    return sp.csr_array(F)


def of_A_alone(pedigree: Pedigree, between: sp.csc_array) -> Relationship:
    """The relationship of animals and groups alike by A* and what markers add among the genotyped (n + g, n + g).

    Raises
    ------
    MMEError
        H* is no inverse of a covariance matrix.
    """
    precision = sp.csc_array(pedigree.Ainv + between)
    precision.sort_indices()
    try:
        logdet = -positive_definite(precision, pedigree.levels).logdet
    except MMEError as error:
        raise MMEError(
            "single_step with groups='A' gives no covariance: G^-1 - A22^-1 counts A22 without the groups against A* "
            "with them, which leaves less than nothing. Take groups='full', or give the groups a variance "
            "(Pedigree(..., group_variance=))"
        ) from error
    return Relationship._known(pedigree.levels, precision, logdet)
