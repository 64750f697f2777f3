"""A generalised model fitted to many responses: together where levels are independent, one by one elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.generalised_refit import observed_again, outer_theta, refitted_to
from mme.generalised.laplace import Psi
from mme.generalised.level_searches import LevelSearches
from mme.generalised.sorted_records import SortedRecords
from mme.many.sequence import FitSequence
from mme.numeric.limits import limits
from mme.tables.arrays import shown

# A search that ends where a step still promises more than this is made again by itself.
_DONE = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class GeneralisedRefits(FitSequence):
    """Fits of one generalised model to many responses.

    ``refits[i]`` is the fit to response i, with everything that a fit has; the arrays below are made for all at once.

    Attributes
    ----------
    names : tuple
        A label for each response: columns of a frame, or 0, 1, ...
    criterion : (B,) array
        -2 log likelihood.
    theta : (B, k) array
        Entries of the covariance factors, in the order of :attr:`mme.GeneralisedFit.theta_names`.
    parameters : (B, r) array
        The family's parameters that are estimated.
    beta : (B, p) array
        Fixed effects; NaN for columns that were dropped.
    singular, converged : (B,) bool
        Whether a variance is zero or a correlation plus or minus one; whether the search reached a maximum.
    """

    names: tuple[Any, ...]
    criterion: np.ndarray
    theta: np.ndarray
    parameters: np.ndarray
    beta: np.ndarray
    singular: np.ndarray
    converged: np.ndarray
    _fit: GeneralisedFitted
    _responses: list[Observed]
    _points: np.ndarray
    _face: Callable[[GeneralisedFitted], Any]

    def fit_to(self, index: int) -> Any:
        """The fit to one of the responses, searched from where it was found."""
        start = self._fit.searched.criterion.point(self._points[index])
        return self._face(refitted_to(self._fit, self._responses[index], start))

    def columns(self) -> dict[str, Any]:
        """The family's parameters and whether a maximum was reached."""
        of_family = self._fit.family.parameter_names(self._fit.problem.data)
        return {**dict(zip(of_family, self.parameters.T, strict=True)), "converged": self.converged}

    @property
    def parameter_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of theta and of all columns of X."""
        return self._fit.theta_names, self._fit.model.x_names


@dataclass(frozen=True, eq=False)
class GeneralisedBatch:
    """Searches for many responses; those that are not found together are searched by themselves."""

    fit: GeneralisedFitted
    together: LevelSearches | None

    @classmethod
    def of(cls, fit: GeneralisedFitted, start_here: bool = True) -> GeneralisedBatch:
        """Searches from the parameters of a fit; of each response by itself where they start elsewhere."""
        at = fit.searched
        return cls(fit, LevelSearches.of(at.criterion, at.at.at, given=at.given) if start_here else None)

    def search(self, responses: list[Observed], threads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points (B, m) and criteria (B,) where searches ended, NaN for what is left, and whether that is so."""
        B, m = len(responses), self.fit.searched.at.at.x.size
        points, criterion, found = np.full((B, m), np.nan), np.full(B, np.nan), np.zeros(B, dtype=bool)
        serves = self.together is not None and limits().responses_together <= B
        some = [i for i, data in enumerate(responses) if serves and SortedRecords.has_digits(data)]
        if self.together is None or not some:
            return points, criterion, ~found
        try:
            ends = self.together.search([responses[i] for i in some], threads)
        except MMEError:  # there is no value at the start: each has one of its own
            return points, criterion, ~found
        points[some], criterion[some] = ends.x, ends.criterion
        found[some] = [self.is_end(x, by) for x, by in zip(ends.x, ends.promised.tolist(), strict=True)]
        return points, criterion, ~found

    def is_end(self, x: np.ndarray, promised: float) -> bool:
        """Whether a point is an optimum to all digits, and not on the way to where there is none."""
        tau = self.fit.searched.criterion.point(x).tau
        return promised <= _DONE and not self.fit.family.without_maximum(tau)

    def outer(self, x: np.ndarray) -> tuple[np.ndarray, bool]:
        """Theta in the user's columns from x, and whether it is at the edge of the model."""
        return outer_theta(self.fit.problem, self.fit.searched.criterion.point(x))


def refit_all_generalised(
    fit: GeneralisedFitted, Y: Any, face: Callable[[GeneralisedFitted], Any], threads: int, *, start_here: bool
) -> GeneralisedRefits:
    """Fit the model of a fit to each column of Y (rows, B).

    Raises
    ------
    MMEError
        Y has another number of rows, or a value that the family cannot have.
    """
    return refits_of(fit, *_responses(fit, Y), face, threads, start_here=start_here)


def refits_of(
    fit: GeneralisedFitted,
    names: tuple[Any, ...],
    responses: list[Observed],
    face: Callable[[GeneralisedFitted], Any],
    threads: int,
    *,
    start_here: bool,
) -> GeneralisedRefits:
    """Fit the model of a fit to what was observed, several times."""
    batch, B, problem = GeneralisedBatch.of(fit, start_here), len(responses), fit.problem
    points, criterion, alone = batch.search(responses, threads)
    theta, beta = np.empty((B, fit.model.k)), np.full((B, fit.model.X.shape[1]), np.nan)
    singular, converged = np.zeros(B, dtype=bool), np.ones(B, dtype=bool)
    parameters = np.empty((B, fit.searched.at.at.tau.size))
    for i in range(B):
        if alone[i]:
            one = refitted_to(fit, responses[i], fit.searched.at.at if start_here else None)
            points[i], criterion[i], converged[i] = one.searched.at.at.x, one.criterion, one.optimum.converged
        theta[i], singular[i] = batch.outer(points[i])
        at: Psi = fit.searched.criterion.point(points[i])
        beta[i, problem.basis.kept], parameters[i] = problem.beta(at.gamma), fit.family.natural(at.tau)
    found = (criterion, theta, parameters, beta, singular, converged)
    return GeneralisedRefits(names, *found, fit, responses, points, face)


def _responses(fit: GeneralisedFitted, Y: Any) -> tuple[tuple[Any, ...], list[Observed]]:
    """Labels and what was observed of the columns of Y."""
    if np.ndim(Y) != 2:
        raise MMEError(f"responses must have a column each, got an array of shape {shown(list(np.shape(Y)))}")
    labels = tuple(Y.columns) if hasattr(Y, "columns") else tuple(range(np.shape(Y)[1]))
    frame = hasattr(Y, "columns")
    columns = (Y[label] for label in labels) if frame else np.asarray(Y).T
    found = []
    for label, column in zip(labels, columns, strict=True):
        try:
            found.append(observed_again(fit, column))
        except MMEError as error:
            raise MMEError(f"response {shown(label)}: {error}") from None
    return labels, found
