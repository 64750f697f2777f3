"""One random-effect term: its levels, its covariates, its columns of Z."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.model.term_columns import (
    checked_covariates,
    coded_levels,
    column_names,
    known_codes,
    labels_of_rows,
    related_codes,
)
from mme.numeric.long_columns import LongColumns
from mme.numeric.sums import by_column
from mme.relationship.parametric import Parametric, parametric
from mme.tables.codes import narrow
from mme.tables.column import Factor
from mme.tables.names import unlike


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

    __slots__ = (
        "columns",
        "covariance",
        "group",
        "held_codes",
        "held_covariates",
        "levels",
        "name",
        "relationship",
        "row_labels",
    )

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
        self.row_labels = labels_of_rows(groups, covariates, name)
        codes, levels = coded_levels(groups, name)
        if relationship is not None:
            codes, levels = related_codes(codes, levels, relationship, name)
        self.codes, self.levels = codes, levels
        self.covariates = None if covariates is None else checked_covariates(covariates, self.n, name)
        if by_column(codes):
            self.codes, self.covariates = known_codes(codes, self.covariates, name)
        self.columns: tuple[str, ...] = column_names(groups, covariates, columns, self.q, name)

    @property
    def codes(self) -> np.ndarray:
        """The level of each record (n,), or of each column (q, n), where each has levels of its own."""
        return self.held_codes.astype(np.int64, copy=False)

    @codes.setter
    def codes(self, codes: np.ndarray) -> None:
        self.held_codes = narrow(codes)

    @property
    def covariates(self) -> np.ndarray | None:
        """The columns of the term's basis (n, q); None: a column of ones."""
        held = self.held_covariates
        return held.whole() if isinstance(held, LongColumns) else held

    @covariates.setter
    def covariates(self, covariates: np.ndarray | LongColumns | None) -> None:
        self.held_covariates = covariates

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

    @classmethod
    def field(cls, places: Any, fields: Any = None, *, name: str = "field", nugget: bool = False) -> Term:
        """A separable field of plots: cov(b_i, b_j) = sigma^2 T^2 rho_1^|d_1| rho_2^|d_2| ..., d the steps between.

        Levels are all places of the grid, those without records too; the correlations are estimated with theta, by a
        sparse K^-1 of nine entries a plot.

        Parameters
        ----------
        places : mapping of (n,) arrays, or a DataFrame
            Whole-numbered coordinates by name: ``{"row": row, "col": col}``.
        fields : (n,) labels, optional
            Different fields are independent; None: there is one.
        name : str
            The term's name in every result.
        nugget : bool
            Whether it stands for a structure of the residuals with these as errors beside it.

        Examples
        --------
        >>> Term.field({"row": [1, 1, 2], "col": [1, 2, 2]}).levels.tolist()
        ['1:1', '1:2', '2:1', '2:2']
        """
        from mme.relationship.lattice import lattice

        called = list(map(str, places))
        columns = [np.asarray(places[one]) for one in places]
        codes, made = lattice(fields, columns, ["ar1"] * len(called), called, name, nugget=nugget)
        return cls(Factor(codes, made.levels), name=name, relationship=made)

    @property
    def n(self) -> int:
        """Number of records."""
        return int(self.held_codes.shape[-1])

    @property
    def by_column(self) -> bool:
        """Whether each coefficient has levels of its own: codes are (q, n), not (n,)."""
        return by_column(self.held_codes)

    @property
    def q(self) -> int:
        """Number of coefficients a level."""
        return 1 if self.held_covariates is None else int(self.held_covariates.shape[1])

    @property
    def acting(self) -> np.ndarray:
        """Which columns (q,) are not zero in all records."""
        held = self.held_covariates
        if held is None:
            return np.ones(1, dtype=bool)
        if isinstance(held, LongColumns):
            return held.largest() > 0.0
        last: np.ndarray = held[-1] != 0.0  # one record shows it mostly
        return last if last.all() else np.asarray(held.any(axis=0))

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
        return parametric(self.relationship)

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
        """The same term under another name, itself under its own; the arrays are shared."""
        twin = self if name == self.name else copy(self)
        twin.name = name
        return twin

    def with_columns(self, kept: np.ndarray) -> Term:
        """The same term with some of its coefficients."""
        twin = copy(self)
        twin.covariates = None if self.covariates is None else np.ascontiguousarray(self.covariates[:, kept])
        twin.codes = self.codes[kept] if self.by_column else self.codes
        twin.columns = tuple(self.columns[j] for j in kept.tolist())
        return twin

    def of_levels(self, codes: np.ndarray, levels: np.ndarray, covariates: np.ndarray | None) -> Term:
        """The same coefficients on independent levels, with other covariates."""
        twin = copy(self)
        twin.codes, twin.levels, twin.covariates, twin.relationship = codes, levels, covariates, None
        return twin

    def on(self, records: np.ndarray) -> Term:
        """The same coefficients for some of the records, without independent levels that have none of them."""
        twin = copy(self)
        twin.codes = self.codes[..., records]
        twin.covariates = None if self.covariates is None else np.ascontiguousarray(self.covariates[records])
        if self.relationship is None:
            met, codes = np.unique(twin.codes, return_inverse=True)
            twin.codes, twin.levels = codes.reshape(twin.codes.shape).astype(self.codes.dtype), self.levels[met]
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
