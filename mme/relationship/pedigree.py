"""A pedigree -> inbreeding, and the sparse inverse of its relationship matrix with the log-determinant."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.numeric.limits import limits
from mme.numeric.memory import require
from mme.relationship.clones import Genotypes, one_genotype_each
from mme.relationship.contributions import sparse_contributions
from mme.relationship.inbreeding import group_contributions, inbreeding, mendelian_variances, relationships, tabular
from mme.relationship.known import Relationship
from mme.relationship.parentage import generations_of_selfing, read_parentage
from mme.relationship.parents_first import ParentsFirst
from mme.relationship.recursion import recursive_precision
from mme.tables.arguments import number, yes_or_no
from mme.tables.labels import label_array, labels_of, name
from mme.tables.spelling import places

# A Mendelian variance this small is the rounding of 1 - F with F = 1: the parents are completely inbred.
_NO_SAMPLING = 4.0 * np.finfo(float).eps


class Pedigree:
    r"""Additive relationships from a pedigree, by way of their sparse inverse.

        A^-1 = (I - P)' D^-1 (I - P),   log|A| = sum_i log d_i,   d_i = 1/2 - (F_sire + F_dam) / 4

    P has 1/2 in row i at the parents of i; F = -1 for an unknown parent. The inverse has at most nine entries an
    animal (Henderson 1976, Biometrics 32:69-83; Quaas 1976, Biometrics 32:949-953).

    Parameters
    ----------
    animal, sire, dam : (n,) labels
        One row an animal, in any order. An unknown parent is None, NaN, an empty string, or 0, "0", "NA" or "." where
        no animal has that name. A parent without a row of its own becomes a founder. Repeated rows must agree.
    unknown_groups : sequence of labels, optional
        Labels that, given as a parent, stand for a group of unknown parents (another generation, another country)
        with a mean of its own (Quaas 1988, J Dairy Sci 71:1338-1345; Westell, Quaas and Van Vleck 1988). The groups
        become levels after the animals, and ``Ainv`` is that of the transformed equations, in which an animal's
        effect includes its groups: with Q the fraction of each animal that comes from each group,

            A* = [ A^-1  -A^-1 Q;  -Q'A^-1  Q'A^-1 Q ].

    group_variance : float, optional
        Variance of the group effects g_k in units of the additive variance: g ~ N(0, group_variance sigma_a^2 I),
        independent of a, so that u* = a + Q g. 1 makes a group vary as an unrelated animal does. In the scale of the
        records the prior variance is group_variance times the estimate of sigma_a^2 (with several coefficients, their
        covariance matrix), whatever that turns out to be. A* gains 1 / group_variance on the diagonal of the groups.
        None: the groups are fixed. A* is then singular, of rank n; :func:`mme.fit` and :func:`mme.lmer` put Q into X
        (:mod:`mme.model.unknown_parents`), where a group that cannot be told from the fixed effects is dropped.
    hermaphrodite : bool
        Whether an individual may be sire in one row and dam in another, or both in the same row (selfing), without
        an :class:`MMEWarning` that names it.
    selfed : (n,) numbers, optional
        Generations t of selfing by single seeds after the cross of a row, or from a founder: ASReml's ``fgen``, F = 1 -
        (1 - F_0) / 2^t. ``np.inf`` is a doubled haploid. None: nobody.
    identical_to : (n,) labels, optional
        The animal whose genotype that of a row is: the other of monozygotic twins, the ortet of a ramet. All labels of
        a genotype are one level, :meth:`genotype` says which; a copy needs no parents. None, or missing: nobody.

    Attributes
    ----------
    animals : (n,) array
        Labels in the order given, then parents without a row of their own.
    groups : (g,) array
        Labels of the unknown-parent groups.
    levels : (n + g,) array
        Animals, then groups: the order of ``precision``, ``diagonal``, ``sire`` and ``dam``.
    sire, dam : (n,) int64
        Position of each parent among the levels; -1: unknown.
    outbred : (n,) array
        2^-t, the share of heterozygosity that t generations of selfing leave.

    Raises
    ------
    MMEError
        Naming the animals: a loop, an animal that is its own parent, rows that disagree, labels that are missing,
        columns of different type or length.

    Examples
    --------
    An animal from a mating of half sibs, F = 1/8:

    >>> import mme
    >>> pedigree = Pedigree(["x", "a", "b"], ["a", "s", "s"], ["b", None, None])
    >>> pedigree.levels.tolist(), pedigree.inbreeding.tolist()
    (['x', 'a', 'b', 's'], [0.125, 0.0, 0.0, 0.0])
    >>> pedigree.Ainv.toarray().round(3)
    array([[ 2.   , -1.   , -1.   ,  0.   ],
           [-1.   ,  1.833,  0.5  , -0.667],
           [-1.   ,  0.5  ,  1.833, -0.667],
           [ 0.   , -0.667, -0.667,  1.667]])
    >>> pedigree.A(["x", "s"])
    array([[1.125, 0.5  ],
           [0.5  , 1.   ]])
    """

    def __init__(
        self,
        animal: Any,
        sire: Any,
        dam: Any,
        *,
        unknown_groups: Any = None,
        group_variance: float | None = None,
        hermaphrodite: bool = False,
        selfed: Any = None,
        identical_to: Any = None,
    ) -> None:
        if group_variance is not None:
            needed = "group_variance must be a positive number or None (fixed groups)"
            group_variance = number(group_variance, needed, lambda variance: variance > 0.0)
        self._genotypes = Genotypes({})
        if identical_to is not None:
            self._genotypes, (animal, sire, dam) = one_genotype_each(animal, sire, dam, identical_to)
        read = read_parentage(animal, sire, dam, unknown_groups, yes_or_no(hermaphrodite, "hermaphrodite"))
        self.animals, self.groups, self.sire, self.dam = read.animals, read.groups, read.sire, read.dam
        self.group_variance = group_variance
        self.levels = np.concatenate([self.animals, self.groups]) if self.groups.size else self.animals
        self._generation = read.generation
        self.outbred = np.ones(self.animals.size)
        if selfed is not None:
            outbred = 0.5 ** generations_of_selfing(selfed, animal)
            np.minimum.at(self.outbred, self._positions(labels_of(animal, "animal")), outbred)

    def __repr__(self) -> str:
        founders = int((self._generation == 0).sum())
        groups = f", {self.groups.size} groups of unknown parents" if self.groups.size else ""
        return f"Pedigree({self.animals.size} animals, {founders} of them founders{groups})"

    @cached_property
    def _of_cross(self) -> np.ndarray:
        """Half the relationship of the parents of each animal (n,)."""
        F, first = np.empty(self.animals.size), self.parents_first
        F[first.order] = inbreeding(*first.parents, first.generation[first.order], self.outbred[first.order])
        return F

    @cached_property
    def inbreeding(self) -> np.ndarray:
        """F of each animal (n,): half the relationship of its parents, and what selfing added."""
        return np.asarray(1.0 - (1.0 - self._of_cross) * self.outbred)

    @cached_property
    def mendelian(self) -> np.ndarray:
        """Variance of the Mendelian sampling of each animal, d (n,): 1 for a founder."""
        d = mendelian_variances(self._known(self.sire), self._known(self.dam), self.inbreeding)
        d += self.inbreeding - self._of_cross
        lost = np.flatnonzero(d < _NO_SAMPLING)
        if lost.size:
            raise MMEError(
                f"A is singular: the parents of {name(self.animals[lost].tolist())} are completely inbred (F = 1), "
                "which leaves their offspring no variance of their own; give such lines one label"
            )
        return d

    @cached_property
    def Ainv(self) -> sp.csc_array:
        """The inverse relationship matrix (J, J), sparse; with groups A*, and 1 / group_variance on their diagonal."""
        n, g = self.animals.size, self.groups.size
        inverse = recursive_precision([(self.sire, 0.5), (self.dam, 0.5)], self.mendelian, n + g)
        if self.group_variance is not None:
            inverse = inverse + sp.diags_array(np.repeat([0.0, 1.0 / self.group_variance], [n, g]), format="csc")
            inverse.sort_indices()
        return inverse

    @property
    def precision(self) -> sp.csc_array:
        """K^-1 of the levels (J, J): ``Ainv``."""
        return self.Ainv

    @cached_property
    def given_groups(self) -> Relationship:
        """K of the levels with the groups' effects given: A of the animals; a group is related to nobody.

        A is what fixed groups leave to be random; their effects are columns of X (:mod:`mme.model.unknown_parents`).
        """
        n, g = self.animals.size, self.groups.size
        precision = sp.block_diag([self.Ainv[:n, :n], sp.eye_array(g)], format="csc")
        made = Relationship._known(self.levels, precision, float(np.log(self.mendelian).sum()))
        made.diagonal = np.append(1.0 + self.inbreeding, np.full(g, np.nan))
        return made

    @cached_property
    def logdet(self) -> float:
        """log|K|: sum log d, and random groups' log variances. Fixed groups count as a flat prior: nothing."""
        of_groups = 0.0 if self.group_variance is None else self.groups.size * np.log(self.group_variance)
        return float(np.log(self.mendelian).sum() + of_groups)

    @cached_property
    def diagonal(self) -> np.ndarray:
        """diag(K) (J,): 1 + F, and group_variance times the squared fractions; NaN for fixed groups."""
        own = 1.0 + self.inbreeding
        if not self.groups.size:
            return own
        if self.group_variance is None:
            return np.append(own, np.full(self.groups.size, np.nan))
        shared = self.group_variance * (self.Q**2).sum(axis=1)
        return np.append(own + shared, np.full(self.groups.size, self.group_variance))

    @cached_property
    def Q(self) -> np.ndarray:
        """Fraction of each animal that comes from each group of unknown parents (n, g)."""
        n, order = self.animals.size, self.sorted
        handed = np.zeros((n, self.groups.size))
        for parent in (self.sire, self.dam):
            from_group = np.flatnonzero(parent >= n)
            handed[from_group, parent[from_group] - n] += 0.5
        Q = np.empty_like(handed)
        Q[order] = group_contributions(*self.parents_first.parents, handed[order])
        return Q

    @cached_property
    def sparse_Q(self) -> sp.csr_array:
        """Fraction of each animal from each group of unknown parents (n, g), sparse: :attr:`Q` without its zeros."""
        return sparse_contributions(self.sire, self.dam, self.groups.size)

    def A(self, subset: Any = None, across: Any = None) -> np.ndarray:
        """The relationship matrix among some animals, dense, in the order of ``subset``.

        Parameters
        ----------
        subset : (k,) labels, optional
            Animals, None: all. Only their ancestors are visited (Colleau 2002).
        across : (c,) labels, optional
            The columns; None: those of ``subset``.

        Raises
        ------
        MMEError
            A label is no animal of the pedigree.
        MemoryForecastError
            The matrix would not fit.
        """
        rows = np.arange(self.animals.size) if subset is None else self._positions(labels_of(subset, "subset"))
        cols = rows if across is None else self._positions(labels_of(across, "across"))
        require(
            8 * rows.size * cols.size,
            f"A among {rows.size:,} animals would take",
            ". Ask for a subset, or work with the sparse Ainv",
            always=True,
        )
        first = self.parents_first
        if self.animals.size <= limits().tabular_animals:
            return tabular(*first.parents, self.outbred[first.order])[np.ix_(first.rank[rows], first.rank[cols])]
        return relationships(*first.parents, self.mendelian[first.order], first.rank[rows], first.rank[cols])

    def positions(self, labels: Any) -> np.ndarray:
        """Where these animals stand among the levels."""
        return self._positions(labels_of(labels, "labels"))

    def genotype(self, labels: Any) -> np.ndarray:
        """The level of each of these animals (k,): its own label, or for a copy that of its genotype.

        Examples
        --------
        >>> twins = Pedigree(["a", "b"], ["s", "s"], ["d", "d"], identical_to=[None, "a"])
        >>> twins.genotype(["a", "b", "s"]).tolist(), twins.levels.tolist()
        (['a', 'a', 's'], ['a', 's', 'd'])
        """
        return np.asarray(self.levels[self.positions(labels)])

    def is_copy(self, text: str) -> bool:
        """Whether this is the text of a label that :meth:`genotype` gives another."""
        return text in self._genotypes.label_of

    def _positions(self, labels: list[Any]) -> np.ndarray:
        labels = self._genotypes.labels(labels)
        found = np.array([self._position.get(label, -1) for label in labels], dtype=np.int64)
        if (found < 0).any():
            found = places(label_array(labels), self.animals)
        if (found < 0).any():
            strange = [label for label, i in zip(labels, found.tolist(), strict=True) if i < 0]
            raise MMEError(f"{name(strange)}: not among the {self.animals.size} animals of the pedigree")
        return found

    @cached_property
    def _position(self) -> dict[Any, int]:
        return {label: i for i, label in enumerate(self.animals.tolist())}

    @cached_property
    def parents_first(self) -> ParentsFirst:
        """An order of the animals in which parents come before their offspring."""
        return ParentsFirst.of(self._known(self.sire), self._known(self.dam), self._generation)

    @property
    def sorted(self) -> np.ndarray:
        """Positions of the animals (n,), parents before offspring."""
        return self.parents_first.order

    def _known(self, parent: np.ndarray) -> np.ndarray:
        """Parents that are animals; a group is no relative."""
        return np.where(parent < self.animals.size, parent, -1) if self.groups.size else parent
