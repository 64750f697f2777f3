"""A model fitted to many responses: what was found for each as arrays, and each as a fit when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.fitted.refit import refitted
from mme.many.searches import Ends, Searches
from mme.many.sequence import FitSequence
from mme.numeric.limits import limits
from mme.numeric.processors import made_in_threads
from mme.search.refusals import FAR
from mme.tables.arrays import numbers, shown

# A search that ends where a step still promises more than this is made again by itself.
_DONE = 1e-7
# Evaluations beyond which a search is made again by itself.
_MANY = 300
# No T with a least singular value above this is at the edge of the model.
_INSIDE = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Refits(FitSequence):
    """Fits of one model to many responses.

    ``refits[i]`` is the fit to response i, with everything that a fit has; the arrays below are made for all at once.

    Attributes
    ----------
    names : tuple
        A label for each response: columns of a frame, or 0, 1, ...
    criterion : (B,) array
        -2 log (restricted) likelihood.
    theta : (B, k) array
        Relative covariance parameters, in the order of :attr:`mme.Fit.theta_names`.
    sigma : (B,) array
        Residual standard deviations.
    beta : (B, p) array
        Fixed effects; NaN for columns that were dropped.
    singular : (B,) bool
        Whether a variance is zero or a correlation plus or minus one.
    """

    names: tuple[Any, ...]
    criterion: np.ndarray
    theta: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    singular: np.ndarray
    _fit: Fitted
    _responses: np.ndarray
    _face: Callable[[Fitted], Any]

    def fit_to(self, index: int) -> Any:
        """The fit to one of the responses, searched from where it was found."""
        return self._face(refitted(self._fit, self._responses[index], True, self.theta[index]))

    def columns(self) -> dict[str, Any]:
        """The residual standard deviations."""
        return {"sigma": self.sigma}

    @property
    def parameter_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of theta and of all columns of X."""
        return self._fit.theta_names, self._fit.model.x_names


def refit_all(fit: Fitted, Y: Any, face: Callable[[Fitted], Any], threads: int) -> Refits:
    """Fit the model of a fit to each column of Y (rows, B).

    Raises
    ------
    MMEError
        Y has another number of rows, or a value that is missing or not finite.
    """
    names, responses = _responses(fit, Y)
    given = fit.theta_given and fit.model.held is None
    batch = None if given or len(responses) < limits().responses_together else Searches.of(fit.objective)
    B, k, model = len(responses), fit.model.k, fit.model
    theta, beta = np.empty((B, k)), np.full((B, model.X.shape[1]), np.nan)
    criterion, sigma, singular = np.empty(B), np.empty(B), np.zeros(B, dtype=bool)
    alone = np.ones(B, dtype=bool)
    if batch is not None:
        starts = np.tile(model.coordinates.inner(fit.theta), (B, 1))
        ends = batch.search(responses, np.zeros((0, batch.objective.system.p)), starts, threads)
        alone = ~is_found(batch, ends)
        theta, singular = in_columns(batch, ends.theta)
        criterion, sigma, beta[:, fit.basis.kept] = ends.criterion, ends.sigma, ends.beta
    left = np.flatnonzero(alone).tolist()
    dense = fit.objective.plan.dense and fit.objective.flops > limits().threaded_operations
    made = made_in_threads(lambda i: _by_itself(fit, names[i], responses[i]), left, threads if dense else 1)
    for i, one in zip(left, made, strict=True):
        theta[i], criterion[i], sigma[i] = one.theta, one.criterion, one.sigma
        beta[i, one.basis.kept] = one.estimates.beta
        singular[i] = bool(one.optimum.boundary)
    return Refits(names, criterion, theta, sigma, beta, singular, fit, responses, face)


def _by_itself(fit: Fitted, name: Any, y: np.ndarray) -> Fitted:
    """The fit to one response, by a search of its own."""
    try:
        return refitted(fit, y, True)
    except MMEError as error:
        raise MMEError(f"response {shown(name)}: {error}") from None


def is_found(batch: Searches, ends: Ends) -> np.ndarray:
    """Which searches (B,) ended at an optimum, and not on the way to a response without residuals.

    One that took many steps crept along an edge, where a step promises little and many gain more.
    """
    far = np.abs(ends.theta * batch.objective.theta_scale).max(axis=1, initial=0.0) > FAR
    return np.asarray((ends.promised <= _DONE) & ~far & (ends.evaluations <= _MANY))


def in_columns(batch: Searches, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Theta (B, k) in the user's columns from x in the axes, and whether it is at the edge of the model (B,)."""
    model, scale = batch.objective.model, batch.objective.theta_scale
    theta, inside = _of_full_rank(batch, x)
    singular = np.zeros(len(x), dtype=bool)
    for i in np.flatnonzero(~inside).tolist():
        theta[i] = model.canonical(model.coordinates.outer(x[i]))
        singular[i] = bool(model.coordinates.edge(x[i] * scale).any())
    return theta, singular


def _of_full_rank(batch: Searches, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same where every T is far from singular, all at once: lower triangles of C^-1 T; and where that is."""
    model, scale, start = batch.objective.model, batch.objective.theta_scale, 0
    theta, inside = np.empty(x.shape), np.ones(len(x), dtype=bool)
    for part, axes in zip(model.structures, model.coordinates.axes, strict=True):
        assert part.entries is not None
        cut, (rows, cols) = slice(start, start + part.k), part.entries
        T, unit = np.zeros((2, len(x), part.q, part.q))
        T[:, rows, cols], unit[:, rows, cols] = x[:, cut], x[:, cut] * scale[cut]
        size = np.maximum(np.linalg.norm(unit, axis=(1, 2)), 1e-300)
        inside &= size * np.prod(np.abs(np.einsum("bii->bi", unit)) / size[:, None], axis=1) > _INSIDE
        if axes is not None:
            T = np.linalg.qr((axes.inverse @ T).transpose(0, 2, 1))[1].transpose(0, 2, 1)
        T = T * np.where(np.einsum("bii->bi", T) < 0.0, -1.0, 1.0)[:, None, :]
        theta[:, cut] = T[:, rows, cols]
        start += part.k
    return theta, inside


def _responses(fit: Fitted, Y: Any) -> tuple[tuple[Any, ...], np.ndarray]:
    """Labels and values (B, n) of the columns of Y, at the rows that were used."""
    names = tuple(Y.columns) if hasattr(Y, "columns") else None
    values = numbers(Y, "the responses")
    if values.ndim != 2:
        raise MMEError(f"responses must have a column each, got an array of shape {shown(list(values.shape))}")
    rows = fit.rows.kept.size
    if len(values) not in (rows, fit.nobs):
        raise MMEError(f"the responses have {len(values)} rows for the {rows} rows of the data: a column a response")
    used = fit.rows.used(values)
    bad = np.argwhere(~np.isfinite(used))
    if bad.size:
        row, column = bad[0].tolist()
        label = column if names is None else names[column]
        raise MMEError(
            f"response {shown(label)} has {shown(float(used[row, column]))} in row {row} of those used: refit takes "
            "complete responses; mme.lmer_many leaves missing values out by response"
        )
    return names or tuple(range(used.shape[1])), np.ascontiguousarray(used.T)
