"""The checked, frozen problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

from mme.covariance.axes import Axes, build_axes
from mme.covariance.base import GStructure
from mme.covariance.coordinates import Coordinates
from mme.covariance.shared import shared_by
from mme.errors import MMEError
from mme.model.bounding import Bounds, read_bounds
from mme.model.checks import (
    check_engine,
    check_fixed,
    check_response,
    check_sigma,
    check_terms,
    check_vector,
    check_weights,
    estimation_method,
    labels_beside,
    structure_of,
)
from mme.model.compressed import Compressed
from mme.model.holding import HeldByName, Holding, read_hold
from mme.model.named import Named, named_parameters, told_apart
from mme.model.residuals import bind_residual, in_order
from mme.model.term import Term
from mme.model.unknown_parents import UnknownParents, separate
from mme.numeric.kept import deferred, kept
from mme.numeric.long_columns import LongColumns
from mme.residual import Bound
from mme.residual.base import Column
from mme.residual.given import given_coordinates


@dataclass(frozen=True, eq=False)
class Model:
    """y (n,), X (n, p), terms, prior weights and offset; all finite, all of one length.

    A wide X is sparse, by columns; a long one is made of ``long_X`` when it is asked for. Its last columns are those of
    ``unknown_parents``, whose fixed groups are no part of the terms. ``phi`` has the coordinates of parameters of the
    residual structure that are given, NaN for the others; None: all are estimated.
    ``held`` are entries of theta that are given, and ``bounds`` between what others are searched.
    ``compressed``: what the rows stand for, where they are no records.
    ``engine`` says how what is left after absorption is solved: exactly, by iteration, or as the forecast says.
    """

    y: np.ndarray
    x_names: tuple[str, ...]
    response: str
    terms: tuple[Term, ...]
    structures: tuple[GStructure, ...]
    weights: np.ndarray | None
    offset: np.ndarray | None
    method: str
    sigma: float | None
    X: deferred[Any] = deferred()  # noqa: RUF009  a descriptor
    residual: Bound | None = None
    phi: np.ndarray | None = None
    unknown_parents: tuple[UnknownParents, ...] = ()
    held: Holding | None = None
    engine: str = "auto"
    compressed: Compressed | None = None
    bounds: Bounds | None = None
    long_X: LongColumns | None = None

    def __post_init__(self) -> None:
        """Beside another X the columns of the former are left out, whichever way this record was made of one before."""
        if self.long_X is not None and not self.long_X.makes(vars(self)["X"]):
            object.__setattr__(self, "long_X", None)

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.size)

    @property
    def n_records(self) -> int:
        """Number of records, which rows of sums stand for."""
        return self.n if self.compressed is None else self.compressed.n

    def means_of_X(self, columns: slice) -> np.ndarray:
        """The means over the records of these columns of X."""
        X = self.X[:, columns]
        return X.mean(axis=0) if self.compressed is None else np.array([self.compressed.mean(x) for x in X.T])

    @property
    def y_less_offset(self) -> np.ndarray:
        """What X and the terms are to explain (n,)."""
        return self.y if self.offset is None else self.y - self.offset

    @property
    def root_weights(self) -> np.ndarray | None:
        """Square roots of the weights (n,): what records are multiplied by to be of one variance; None: they are."""
        return None if self.weights is None else np.sqrt(self.weights)

    @kept
    def is_wide(self) -> bool:
        """Whether X is sparse: its columns are too many to be dense (:mod:`mme.model.wide`)."""
        return self.long_X is None and not isinstance(self.X, np.ndarray)

    def require_dense(self, what: str) -> None:
        """Refuse what has no way of its own for a wide X."""
        if self.is_wide:
            raise MMEError(
                f"{what} is not available beside {self.X.shape[1]:,} columns of X, which are sparse; what is: "
                "coefficients, confint, contrast, test, anova, means, trends, profile, ranef, pev, predict, residuals. "
                "A factor of so many levels can be a random effect in its place"
            )

    @property
    def p_given(self) -> int:
        """Number of columns of X that the user gave."""
        return self.unknown_parents[0].start if self.unknown_parents else len(self.x_names)

    @kept
    def k(self) -> int:
        """Length of theta."""
        return sum(part.k for part in self.structures)

    @kept
    def has_processes(self) -> bool:
        """Whether residuals, or relationships, have parameters: theta and phi are not sizes of effects alone."""
        return self.residual is not None or any(part.relationship is not None for part in self.structures)

    @kept
    def theta_names(self) -> tuple[str, ...]:
        """lme4's names of theta."""
        return told_apart(self.terms, [part.names for part in self.structures])

    @kept
    def named(self) -> Named:
        """The parameters by the names that users give them."""
        return named_parameters(self.terms, self.structures, self.residual)

    @property
    def as_given(self) -> Model:
        """The model that holds what its user does, and no parameter at a bound."""
        return self if self.bounds is None else self.beside(**self.bounds.fields, bounds=None)

    @property
    def estimates_sigma(self) -> bool:
        """Whether sigma was not given: it is known to a model beside whose held variances it was searched."""
        given = self.as_given
        return given.sigma is None or (given.held is not None and given.held.beside_sigma)

    def split(self, theta: np.ndarray) -> list[np.ndarray]:
        """Theta, term by term."""
        ends = list(accumulate(part.k for part in self.structures))
        return [theta[end - part.k : end] for part, end in zip(self.structures, ends, strict=True)]

    def T(self, theta: np.ndarray) -> list[np.ndarray]:
        """Each term's relative covariance factor in the user's units."""
        return [part.T(piece) for part, piece in zip(self.structures, self.split(theta), strict=True)]

    def coefficients(self, t: int) -> np.ndarray | None:
        """The columns of a term that have its coefficients, where several share one; None: each has its own."""
        shared = shared_by(self.structures[t])
        return None if shared is None else shared.chosen

    def coefficient_names(self, t: int) -> tuple[str, ...]:
        """The names of a term's coefficients."""
        names, kept = self.terms[t].columns, self.coefficients(t)
        return names if kept is None else tuple(names[j] for j in kept.tolist())

    def relationship(self, t: int, theta: np.ndarray) -> Any:
        """The relationship of a term at theta, None for independent levels."""
        return self.structures[t].related(self.terms[t].relationship, self.split(theta)[t])

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The same covariances with non-negative diagonals of T."""
        pieces = zip(self.structures, self.split(theta), strict=True)
        return np.concatenate([part.canonical(piece) for part, piece in pieces]) if self.terms else theta

    @kept
    def diagonal(self) -> np.ndarray:
        """Which entries of theta are zero on a singular fit."""
        return np.concatenate([np.zeros(0, dtype=bool), *(part.diagonal for part in self.structures)])

    @kept
    def coordinates(self) -> Coordinates:
        """Theta in the axes of the terms, where it is searched."""
        return Coordinates(self.structures, self.axes)

    @kept
    def axes(self) -> tuple[Axes | None, ...]:
        """The axes of each term (``covariance/axes.py``); None where theta is searched in the columns as they are."""
        pairs = zip(self.terms, self.structures, strict=True)
        ones = None if self.compressed is None else self.compressed.ones
        Z = [None if term.by_column or not part.mixes else term.held_covariates for term, part in pairs]
        return tuple(None if one is None else build_axes(one, self.weights, ones) for one in Z)

    def with_response(self, y: Any) -> Model:
        """The same model for another response."""
        return self.beside(y=check_response(y, self.n, self.response))

    def with_weights(self, weights: Any) -> Model:
        """The same model with other prior weights; the axes of its terms stay."""
        return self.beside(weights=check_weights(weights, self.n, "weights"))

    def beside(self, **changes: Any) -> Model:
        """A model with the same random part, whose axes are kept, and these other fields."""
        twin = self.exchanging(**changes)
        vars(twin)["axes"] = self.axes
        return twin

    def exchanging(self, **changes: Any) -> Model:
        """The same model with other fields; X as it is held."""
        return replace(self, **{"X": vars(self)["X"], **changes})


def build_model(
    y: Any,
    X: Any,
    terms: Sequence[Term],
    *,
    method: str = "REML",
    REML: bool | None = None,
    weights: Any = None,
    offset: Any = None,
    sigma: float | None = None,
    residual: Any = None,
    phi: Any = None,
    hold: Any = None,
    bounds: Any = None,
    engine: str = "auto",
    column: Column = lambda given: given,  # what is no name is the array itself, with the order of its categories
    x_names: Sequence[str] | None = None,
    response: str = "y",
    weights_name: str = "weights",
    zero_weights: bool = False,
    wide: bool = True,
    compressed: Compressed | None = None,
) -> Model:
    """Check the arrays of a problem and freeze them; weights of zero, and an X that stays sparse, are let in by word.

    Raises
    ------
    MMEError
        Something is missing, infinite, of the wrong length, without variation or not identifiable; the message
        names it.
    """
    method = estimation_method(method, REML)
    sigma = check_sigma(sigma)
    response = str(getattr(y, "name", None) or response)
    values = check_response(y, None, response)
    columns, names = check_fixed(X, values.size, x_names, wide=wide and residual is None)
    terms = check_terms(terms, values.size)
    given = {f"response '{response}'": y, "X": X, weights_name: weights, "offset": offset}
    column = in_order(labels_beside(given, terms), column)
    terms, columns, names, unknown_parents = separate(terms, columns, names, wide=wide and residual is None)
    if compressed is not None:
        unknown_parents = tuple(one.counting(terms[one.term].codes, compressed.counts) for one in unknown_parents)
    structures = tuple(structure_of(term) for term in terms)
    bound = None if residual is None else bind_residual(residual, column, values.size, terms, structures)
    named = partial(named_parameters, terms, structures, bound)
    held = HeldByName(None, {}, None) if hold is None else read_hold(hold, named())
    if held.sigma is not None and sigma is not None:
        raise MMEError("sigma is given twice: by sigma= and by hold=")
    sigma = sigma if held.sigma is None else held.sigma
    coordinates = given_coordinates(bound, {**(phi or {}), **held.phi} if held.phi else phi)
    return Model(
        y=values,
        X=columns.whole if isinstance(columns, LongColumns) else columns,
        long_X=columns if isinstance(columns, LongColumns) else None,
        x_names=names,
        response=response,
        terms=terms,
        structures=structures,
        weights=None if weights is None else check_weights(weights, values.size, weights_name, zero_weights),
        offset=None if offset is None else check_vector(offset, values.size, "offset"),
        method=method,
        sigma=sigma,
        residual=bound,
        phi=coordinates,
        unknown_parents=unknown_parents,
        held=held.theta,
        engine=check_engine(engine, bound is not None),
        compressed=compressed,
        bounds=None if bounds is None else read_bounds(bounds, named(), held, sigma, coordinates),
    )
