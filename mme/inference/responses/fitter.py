"""Fits of one model to blocks of responses, one pattern of missing values after another."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from mme.errors import MMEError, MMEWarning
from mme.fitted.natural import natural_names, natural_values
from mme.fitted.record import Fitted
from mme.fitted.refit import refitted
from mme.inference.fixed.methods import reference
from mme.inference.responses.found import FoundMany
from mme.many.refits import in_columns, is_found
from mme.many.searches import Searches
from mme.tables.arrays import shown

_INFINITE = "a value is infinite"
# Patterns of missing values whose models are kept.
_PATTERNS = 100
# The model on the rows (n,) that a response has.
Template = Callable[[np.ndarray], Fitted]


@dataclass(eq=False)
class ManyFitter:
    """Fits blocks of responses, one pattern of missing values after another.

    ``whole`` is the model on all rows, ``tests`` (tests, columns of X) are weights of the fixed effects that it
    estimates; ``weights`` (rows, m) are those of each value. A pattern has the columns of ``whole`` on its rows, which
    may not determine a test: it is NaN there.
    """

    template: Template
    whole: Fitted
    tests: np.ndarray
    ddf: str
    threads: int
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._known: dict[bytes, tuple[Fitted, Searches | None] | str] = {}

    def __call__(self, Y: np.ndarray, before: int) -> tuple[FoundMany, dict[int, str]]:
        """The numbers of responses (B, rows), NaN where values are missing, and reasons of failures by place.

        ``before`` responses came in earlier blocks, whose places come first.
        """
        model = self.whole.model
        found = FoundMany.nothing(len(Y), len(self.tests), len(natural_names(model)), model.k)
        failures = {before + j: _INFINITE for j in np.flatnonzero(np.isinf(Y).any(axis=1)).tolist()}
        Y = np.where(np.isinf(Y).any(axis=1)[:, None], np.nan, Y)
        there = ~np.isnan(Y)
        keys = np.packbits(there, axis=1)
        _, first, pattern = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        for i, one in enumerate(first.tolist()):
            at = np.flatnonzero(pattern.ravel() == i)
            known = self._of_pattern(keys[one].tobytes(), there[one])
            if isinstance(known, str):
                failures = dict.fromkeys((before + at).tolist(), known) | failures
                continue
            part, reasons = self._fitted(*known, Y[at], self._weights_of(before + at))
            found.put(at, part)
            failures |= {before + int(at[j]): reason for j, reason in reasons.items()}
        return found, failures

    def each(
        self, blocks: Iterator[tuple[tuple[Any, ...], np.ndarray]], report: Callable[[int], None]
    ) -> tuple[FoundMany, tuple[Any, ...], dict[int, str]]:
        """The numbers of all blocks, labels, reasons of failures by place; what an interruption leaves, which is said.

        Raises
        ------
        MMEError
            There are no responses.
        """
        parts, names, failures = list[FoundMany](), list[Any](), dict[int, str]()
        try:
            for labels, Y in blocks:
                found, reasons = self(Y, len(names))
                parts.append(found)
                names.extend(labels)
                failures |= reasons
                report(len(names))
        except KeyboardInterrupt:
            if not parts:
                raise
            warnings.warn(f"interrupted: the first {len(names)} responses are done", MMEWarning, stacklevel=4)
        if not parts:
            raise MMEError("there are no responses")
        return FoundMany.together(parts), tuple(names), failures

    def _of_pattern(self, key: bytes, there: np.ndarray) -> tuple[Fitted, Searches | None] | str:
        """The model on the rows that are there, or why there is none."""
        if key not in self._known:
            if len(self._known) >= _PATTERNS:  # each may have a pattern of its own
                self._known.pop(next(iter(self._known)))
            try:
                fit = self.template(there)
                self._known[key] = fit, Searches.of(fit.objective)
            except MMEError as error:
                self._known[key] = str(error)
        return self._known[key]

    def _weights_of(self, numbers: np.ndarray) -> np.ndarray | None:
        """Weights (B, rows) of responses by their numbers."""
        if self.weights is None:
            return None
        if numbers.max() >= self.weights.shape[1]:
            raise MMEError(f"weights have {self.weights.shape[1]} columns, and there are more responses than that")
        return np.asarray(self.weights.T[numbers])

    def _fitted(
        self, fit: Fitted, searches: Searches | None, Y: np.ndarray, weights: np.ndarray | None
    ) -> tuple[FoundMany, dict[int, str]]:
        """Responses (B, rows) of one pattern, and their weights."""
        Y = np.ascontiguousarray(Y[:, fit.rows.kept])
        told = self._determined(fit)
        L = self.tests[told][:, fit.basis.kept]
        found = FoundMany.nothing(len(Y), len(L), len(natural_names(fit.model)), fit.model.k)
        found.nobs[:] = fit.nobs
        alone, reasons = np.ones(len(Y), dtype=bool), dict[int, str]()
        if searches is not None and weights is None:
            alone = ~self._together(fit, searches, Y, L, found)
        for j in np.flatnonzero(alone).tolist():
            found.put(np.array([j]), FoundMany.nothing(1, len(L), found.variances.shape[1], fit.model.k))
            try:
                of = fit if weights is None else _weighted(fit, weights[j])
                self._alone(refitted(of, Y[j], True, alike=False), L, found, j)
            except (MMEError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons[j] = str(error)
        return found.among(told), reasons

    def _determined(self, fit: Fitted) -> np.ndarray:
        """Which tests the rows of a pattern determine; what all rows leave out of X is zero there as well."""
        gaps, lost = fit.aliasing.gaps(self.tests), np.isin(fit.aliasing.dropped, self.whole.basis.kept)
        return np.asarray(~gaps[:, lost].any(axis=1))

    def _together(self, fit: Fitted, searches: Searches, Y: np.ndarray, L: np.ndarray, found: FoundMany) -> np.ndarray:
        """Fill the rows that a search of all together finds; which (B,) these are."""
        ends = searches.search(Y, L, None, self.threads, self.ddf == "satterthwaite")
        theta, singular = in_columns(searches, ends.theta)
        found.estimate[:], found.se[:] = ends.beta @ L.T, np.sqrt(ends.variances)
        found.theta[:], found.criterion[:], found.singular[:] = theta, ends.criterion, singular
        found.converged[:] = done = is_found(searches, ends)
        found.variances[:] = [natural_values(fit.model, *one) for one in zip(theta, ends.sigma, strict=True)]
        found.df[:] = ends.df
        if self.ddf not in ("satterthwaite", "none"):
            for j in np.flatnonzero(done).tolist():
                objective = fit.objective.with_response(Y[j])
                optimum = replace(fit.optimum, theta=theta[j], criterion=float(ends.criterion[j]))
                self._tested(replace(fit, model=objective.model, objective=objective, optimum=optimum), L, found, j)
        return done

    def _alone(self, fit: Fitted, L: np.ndarray, found: FoundMany, j: int) -> None:
        found.theta[j], found.criterion[j] = fit.theta, fit.criterion
        found.variances[j] = natural_values(fit.model, fit.theta, fit.sigma)
        found.singular[j], found.converged[j] = bool(fit.optimum.boundary), fit.optimum.converged
        self._tested(fit, L, found, j)

    def _tested(self, fit: Fitted, L: np.ndarray, found: FoundMany, j: int) -> None:
        by = reference(fit, self.ddf)
        found.estimate[j], found.se[j], found.df[j] = L @ by.beta, by.se(L), by.df(L)


def _weighted(fit: Fitted, weights: np.ndarray) -> Fitted:
    """The record with other weights (rows), to be fitted again."""
    objective = fit.objective.with_weights(fit.rows.used(weights))
    return replace(fit, model=objective.model, objective=objective)


def contrast_rows(given: Mapping[str, Any] | None, fit: Fitted) -> np.ndarray:
    """Rows (tests, columns of X): each fixed effect, then each contrast, a mapping of weights by fixed effect.

    Raises
    ------
    MMEError
        A contrast has a weight for a fixed effect that there is not.
    """
    names = fit.fixed_names
    rows = [np.eye(len(names))]
    for label, weights in (given or {}).items():
        if not isinstance(weights, Mapping) or not weights or not set(weights) <= set(names):
            raise MMEError(
                f"contrast {shown(label)} must be weights by fixed effect, of {', '.join(map(repr, names))}; "
                f"got {shown(weights)}"
            )
        odd = [one for one in weights.values() if not isinstance(one, Real) or not np.isfinite(float(one))]
        if odd:
            raise MMEError(f"contrast {shown(label)} must be numbers by fixed effect, got {shown(odd[0])}")
        rows.append(np.array([[float(weights.get(name, 0.0)) for name in names]]))
    spread = np.zeros((sum(map(len, rows)), len(fit.model.x_names)))
    spread[:, fit.basis.kept] = np.concatenate(rows)
    return spread
