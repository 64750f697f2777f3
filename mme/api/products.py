"""``CrossProducts``: the sums of chunks of a table, which add up."""

from __future__ import annotations

import os
from typing import Any

from mme.api.face import Fit
from mme.api.streamed import fit_sums, options_of
from mme.errors import MMEError
from mme.files.products import load_sums, save_sums
from mme.numeric.memory import told
from mme.streaming.layout import ChunkLayout
from mme.streaming.opening import source_of
from mme.streaming.sums import Sums
from mme.tables.arguments import check_options, yes_or_no
from mme.tables.arrays import shown

_OPTIONS = (
    "method",
    "REML",
    "relationship",
    "sigma",
    "theta",
    "start",
    "hold",
    "search",
    "engine",
    "progress",
)


class CrossProducts:
    r"""All that a likelihood takes of a table, by level: made of chunks, added up, saved, fitted without the records.

    Every combination of the levels of the grouping factors holds the triangle of its rows of [Z X y], q rows of m
    numbers, where q counts the distinct columns of the random terms and m those of the whole model: 48 bytes a level
    for ``y ~ x + (x | g)``. Triangles are merged by rotations, so that nothing is subtracted and the order and the size
    of chunks change nothing beyond rounding. ``a + b`` is of the chunks of both.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("sleepstudy")
    >>> formula = "Reaction ~ Days + (Days | Subject)"
    >>> a = mme.CrossProducts.from_chunks(formula, [data[:50], data[50:90]])
    >>> b = mme.CrossProducts.from_chunks(a.design, [data[90:]])
    >>> (a + b).n, (a + b).levels
    (180, {'Subject': 18})
    >>> fit, whole = (a + b).fit(), mme.lmer(formula, data)
    >>> bool(abs(fit.criterion - whole.criterion) < 1e-9), fit.beta.round(3).to_dict()
    (True, {'(Intercept)': 251.405, 'Days': 10.467})
    """

    def __init__(self, sums: Sums) -> None:
        self.sums = sums

    @classmethod
    def from_chunks(
        cls,
        formula: str | ChunkLayout,
        chunks: Any,
        *,
        weights: str | None = None,
        offset: str | None = None,
        subset: str | None = None,
        na_action: str = "drop",
        contrasts: Any = None,
        progress: bool = False,
    ) -> CrossProducts:
        """Sum the chunks of a table.

        Parameters
        ----------
        formula : str, or the ``design`` of other cross-products
            As for :func:`mme.lmer`. A design has what the formula learned of other chunks (levels of factors,
            ``scale``, splines): sums that are to be added need the same.
        chunks : iterable of tables, path, dataset, lazy frame, relation or Dask data frame
            As for :func:`mme.lmer`. One table is a chunk.
        weights, offset, subset : str, optional
            A column, or an expression of columns; with a design they are its own.
        na_action : str
            ``"drop"`` leaves rows with missing values out and counts them; ``"raise"`` refuses them.
        contrasts : mapping, optional
            As for :func:`mme.lmer`.
        progress : bool
            True prints how many rows were read, to stderr.

        Raises
        ------
        MMEError
            A chunk cannot be used: the message names it, and what is wrong with it.
        """
        from time import perf_counter

        from mme.streaming.passes import printed

        source = source_of(chunks) or source_of([chunks])
        if source is None:
            raise MMEError(f"chunks must be tables, a file or a lazy frame; got {shown(chunks)}")
        tell = printed(perf_counter()) if yes_or_no(progress, "progress") else None
        with told("the chunks were summed"):
            if isinstance(formula, ChunkLayout):
                return cls(source.sums_by(formula, tell))
            return cls(source.sums(formula, options_of(weights, offset, subset, na_action, contrasts), tell))

    def __add__(self, other: CrossProducts) -> CrossProducts:
        """The cross-products of the chunks of both."""
        if not isinstance(other, CrossProducts):
            return NotImplemented
        return CrossProducts(self.sums.plus(other.sums))

    @property
    def design(self) -> ChunkLayout:
        """How chunks are read: give it in place of the formula to sum others in the same way."""
        return self.sums.layout

    @property
    def formula(self) -> str:
        """The formula."""
        return self.sums.layout.formula

    @property
    def n(self) -> int:
        """Number of complete records."""
        return self.sums.counts.n

    @property
    def n_dropped(self) -> int:
        """Number of rows left out because a value was missing."""
        return self.sums.counts.dropped

    @property
    def levels(self) -> dict[str, int]:
        """Number of levels of each column that grouping factors are made of."""
        return {name: labels.size for name, labels in self.sums.labels.items()}

    @property
    def nbytes(self) -> int:
        """Bytes that the triangles of all cells take."""
        return self.sums.nbytes

    def fit(self, **options: Any) -> Fit:
        """Fit the model; ``method, relationship, sigma, theta, start, hold, search, engine`` as for :func:`mme.lmer`.

        All that needs no records is there; fitted values and residuals are predictions for the rows of a table,
        :meth:`Fit.predict`.
        """
        check_options(options, _OPTIONS, "fit() of cross-products")
        with told("the model was fitted"):
            return Fit(fit_sums(self.sums, **options))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to a file, without pickle."""
        save_sums(self.sums, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CrossProducts:
        """Read what :meth:`save` wrote; nothing in the file is run."""
        return cls(load_sums(path))

    def __repr__(self) -> str:
        sizes = [f"{self.n} records", *(f"{size} levels of {name}" for name, size in self.levels.items())]
        return f"CrossProducts({self.formula!r}: {', '.join(sizes)}; {self.nbytes} bytes)"
