"""One random-effect term: its levels, its covariates, its columns of Z."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.numeric.sums import by_column
from mme.relationship.parametric import Parametric, check
from mme.tables.arguments import names_of
from mme.tables.arrays import numbers
from mme.tables.column import Factor
from mme.tables.labels import name as named
from mme.tables.levels import factorise, factorise_together, missing_labels
from mme.tables.names import unlike
from mme.tables.spelling import labels_of, places

# What breeders' files write for an unknown parent, unless the relationship has a level of that name.
UNKNOWN = ("", "0")


class Term:
    r"""A random-effect term: each level g draws b_g ~ N(0, sigma^2 T T') and adds z_i' b_g to its rows.

    Parameters
    ----------
    groups : (n,) labels or codes, or a tuple of q of them
        The grouping factor: one label a row. A tuple of q label vectors gives each coefficient a level of its own among
        common levels: with ``(animal, dam)`` a record gets a_animal + m_dam, (a, m) ~ N(0, K (x) sigma^2 T T'): direct
        and maternal effects, correlated. After the first vector labels may be missing (None, NaN; ``""`` and 0 where
        the relationship has no such level): that coefficient then adds nothing to the record.
    covariates : (n, q) array or DataFrame, optional
        Columns of the term's basis; None is a column of ones (a random intercept). Give the ones yourself for
        an intercept beside slopes: ``np.column_stack([np.ones(n), x])``. For a tuple of label vectors one column each.
    name : str
        The term's name in every result.
    covariance : str or Structure
        Structure of the q x q covariance: ``"unstructured"`` (default), ``"diagonal"``, ``"homogeneous diagonal"``,
        ``"cs"``, ``"homogeneous cs"``, ``"ar1"``, ``"heterogeneous ar1"``, or an object of a class of your own derived
        from :class:`mme.GStructure`.
    relationship : Pedigree or Relationship, optional
        Covariance among levels, b ~ N(0, K (x) sigma^2 T T'); levels are matched by label, and those without records
        are predicted as well. None: independent levels, K = I. A :class:`mme.Parametric` has
        parameters of its own, which are searched with theta; :meth:`ou` makes one.
    columns : sequence of str, optional
        Names of the q coefficients; taken from a DataFrame, or the label vectors, when they have names.

    Raises
    ------
    MMEError
        Lengths differ, covariates are not finite numbers, labels are missing, or not among the related levels.

    Examples
    --------
    >>> import numpy as np
    >>> term = Term(["a", "a", "b"], np.array([[1.0, 0.0], [1.0, 2.0], [1.0, 5.0]]), name="g")
    >>> term.n_levels, term.q, term.columns
    (2, 2, ('x1', 'x2'))
    >>> term.Z.toarray()
    array([[1., 0., 0., 0.],
           [1., 2., 0., 0.],
           [0., 0., 1., 5.]])

    The first animal has no known dam; the second is the dam of the third:

    >>> family = Term((["a", "b", "c"], [None, "a", "b"]), name="animal", columns=("direct", "maternal"))
    >>> family.Z.toarray()
    array([[1., 0., 0., 0., 0., 0.],
           [0., 1., 1., 0., 0., 0.],
           [0., 0., 0., 1., 1., 0.]])
    """

    __slots__ = ("codes", "columns", "covariance", "covariates", "group", "levels", "name", "relationship")

    def __init__(
        self,
        groups: Any,
        covariates: Any = None,
        *,
        name: str = "g",
        covariance: Any = "unstructured",
        relationship: Any = None,
        columns: Any = None,
    ) -> None:
        self.name = self.group = str(name)  # a second term on a factor is renamed g.1; its group stays g
        self.covariance, self.relationship = covariance, relationship
        codes, levels = _coded(groups, name)
        if relationship is not None:
            codes, levels = _related(codes, levels, relationship, name)
        self.codes, self.levels = codes, levels
        self.covariates = None if covariates is None else _checked_covariates(covariates, self.n, name)
        if by_column(codes):
            self.codes, self.covariates = _known(codes, self.covariates, name)
        self.columns: tuple[str, ...] = _column_names(groups, covariates, columns, self.q, name)

    @classmethod
    def ou(
        cls,
        times: Any,
        series: Any,
        covariates: Any = None,
        *,
        name: str = "series:time",
        covariance: Any = "unstructured",
        columns: Any = None,
    ) -> Term:
        """An Ornstein-Uhlenbeck process along each series: cov(b_s, b_t) = sigma^2 T T' exp(-|t - s| / range).

        Levels are the distinct (series, time) pairs; the range is estimated with theta. An evaluation is O(levels), so
        that serial correlation beside measurement error (the residual) takes series of any length.

        Parameters
        ----------
        times : (n,) array
            Times, in any unit; the range is in the same.
        series : (n,) labels
            Different series are independent.
        covariates, name, covariance, columns
            As above.

        Examples
        --------
        >>> Term.ou([0.0, 1.5, 4.0], ["a", "a", "a"]).levels.tolist()
        ['a:0', 'a:1.5', 'a:4']
        """
        from mme.relationship.ornstein import ornstein_uhlenbeck

        codes, process = ornstein_uhlenbeck(series, times, name)
        of = Factor(codes, process.levels)
        return cls(of, covariates, name=name, covariance=covariance, relationship=process, columns=columns)

    @property
    def n(self) -> int:
        """Number of records."""
        return int(self.codes.shape[-1])

    @property
    def by_column(self) -> bool:
        """Whether each coefficient has levels of its own: codes are (q, n), not (n,)."""
        return by_column(self.codes)

    @property
    def q(self) -> int:
        """Number of coefficients a level."""
        return 1 if self.covariates is None else int(self.covariates.shape[1])

    @property
    def n_levels(self) -> int:
        """Number of levels that occur."""
        return int(self.levels.size)

    @property
    def first_codes(self) -> np.ndarray:
        """The level of each record (n,): that of the first column where each has levels of its own."""
        return self.codes[0] if self.by_column else self.codes

    @property
    def parametric(self) -> Parametric | None:
        """The relationship, where it has parameters that are searched with theta."""
        return self.relationship if isinstance(self.relationship, Parametric) else None

    @property
    def n_effects(self) -> int:
        """Number of effects that the records may tell: levels x coefficients, without those that no record has."""
        if not self.by_column or self.covariates is None:
            return self.n_levels * self.q
        columns = zip(self.codes, self.covariates.T, strict=True)
        return sum(np.unique(codes[column != 0.0]).size for codes, column in columns)

    @property
    def Z(self) -> sp.csr_array:
        """The term's (n, levels * q) model matrix, level-major: column g q + a is coefficient a of level g."""
        n, q = self.n, self.q
        columns = np.atleast_2d(self.codes).T * q + np.arange(q)
        values = np.ones((n, 1)) if self.covariates is None else self.covariates
        pointers = np.arange(0, n * q + 1, q)
        return sp.csr_array((values.ravel(), columns.ravel(), pointers), shape=(n, self.n_levels * q))

    def renamed(self, name: str) -> Term:
        """The same term under another name; the arrays are shared."""
        twin = copy(self)
        twin.name = name
        return twin

    def with_columns(self, kept: np.ndarray) -> Term:
        """The same term with some of its coefficients."""
        twin = copy(self)
        twin.covariates = None if self.covariates is None else np.ascontiguousarray(self.covariates[:, kept])
        twin.codes = self.codes[kept] if self.by_column else self.codes
        twin.columns = tuple(self.columns[j] for j in kept.tolist())
        return twin

    def related(self, relationship: Parametric) -> Term:
        """The same term with a relationship that has further levels behind those it has now."""
        twin = copy(self)
        twin.relationship, twin.levels = relationship, np.asarray(relationship.levels)
        return twin

    def __repr__(self) -> str:
        return f"Term({self.name!r}: {self.n_levels} levels x {', '.join(self.columns)})"


def renamed(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The terms, the second on a factor g under the name ``g.1``: no two have the same."""
    names = unlike(term.name for term in terms)
    return tuple(term if term.name == name else term.renamed(name) for term, name in zip(terms, names, strict=True))


def _coded(groups: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,), or (q, n) of a tuple of label vectors or of a factor coded so, -1 where missing; and their levels."""
    if isinstance(groups, Factor) and by_column(groups.codes):
        return np.asarray(groups.codes, dtype=np.int64), np.asarray(groups.categories)
    if _is_several(groups):
        return factorise_together(groups, name) if len(groups) > 1 else factorise(groups[0], name)
    return factorise(groups, name)


def _is_several(groups: Any) -> bool:
    """Whether this is a tuple of label vectors, no tuple of labels."""
    return isinstance(groups, tuple) and bool(groups) and all(np.ndim(one) == 1 for one in groups)


def _known(codes: np.ndarray, covariates: np.ndarray | None, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes (q, n) and covariates (n, q), zero where a label is missing.

    A missing label stands at the record's first level, so that its zero makes no cell that was not there.
    """
    q, n = codes.shape
    known = codes >= 0
    if not known[0].all():
        raise missing_labels(int((~known[0]).sum()), n, name)
    if covariates is None:
        covariates = np.ones((n, q))
    if covariates.shape[1] != q:
        raise MMEError(
            f"term '{name}': {q} label vectors need a covariate each, got {covariates.shape[1]} columns; repeat a "
            "vector for a second column on its levels"
        )
    return np.where(known, codes, codes[0]), np.where(known.T, covariates, 0.0)


def _related(codes: np.ndarray, levels: np.ndarray, relationship: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes among the levels of a relationship, those without records included; matched by label, or by its text."""
    if not hasattr(relationship, "levels"):
        raise MMEError(
            f"grouping factor '{name}': a relationship is a Pedigree or a Relationship with levels, "
            f"got {type(relationship).__name__}"
        )
    if isinstance(relationship, Parametric):
        if by_column(codes):
            raise MMEError(
                f"grouping factor '{name}': coefficients with levels of their own need a known relationship, not one "
                "with parameters"
            )
        check(relationship, name)
    related = np.asarray(relationship.levels)
    if related is levels:
        return codes, levels
    place = places(levels, related)
    nobody = np.array([label in UNKNOWN for label in labels_of(levels)]) & (by_column(codes))
    unknown = (place < 0) & ~nobody
    if unknown.any():
        raise MMEError(
            f"grouping factor '{name}': {int(unknown.sum())} of {levels.size} levels are not in its relationship "
            f"({named(levels[unknown].tolist())}); add them to the pedigree or relationship, or drop their records"
        )
    return np.append(place, -1)[codes], related  # the code -1, of a missing label, is the last one


def _checked_covariates(covariates: Any, n: int, name: str) -> np.ndarray:
    values = np.asfortranarray(numbers(covariates, f"term '{name}': covariates"))  # it is read by columns
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[0] != n or values.shape[1] == 0:
        raise MMEError(f"term '{name}': covariates must have shape ({n}, q) to match the groups, got {values.shape}")
    with np.errstate(all="ignore"):
        total = np.add.reduce(values, axis=None)
    if not np.isfinite(total) and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise MMEError(f"term '{name}': {bad} rows of the covariates are missing or infinite; drop them or mend them")
    return values


def _column_names(groups: Any, covariates: Any, columns: Any, q: int, name: str) -> tuple[str, ...]:
    if columns is None:
        columns = list(map(str, getattr(covariates, "columns", ()))) or None
    if columns is None and _is_several(groups):
        named = [getattr(one, "name", None) for one in groups]
        columns = None if None in named else list(map(str, named))
    if columns is None:
        return ("(Intercept)",) if q == 1 and covariates is None else tuple(f"x{a + 1}" for a in range(q))
    names = unlike(names_of(columns, f"term '{name}': columns"))
    if len(names) != q:
        raise MMEError(f"term '{name}': {len(names)} column names for {q} columns")
    return names
