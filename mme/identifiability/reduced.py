"""A model without the coefficients whose variances are held at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.covariance.words import structure
from mme.model.problem import Model


@dataclass(frozen=True, eq=False)
class Reduced:
    """A model without some coefficients; ``thetas`` are the entries of the whole model's theta that it has."""

    whole: Model
    model: Model
    thetas: np.ndarray

    def embedded(self, values: np.ndarray, other: float) -> np.ndarray:
        """Values by theta, and what follows it, for the whole theta along every axis; ``other`` for what it lacks."""
        at = np.concatenate([self.thetas, np.arange(self.model.k, len(values)) + self.whole.k - self.model.k])
        out = np.full((len(values) + self.whole.k - self.model.k,) * values.ndim, other)
        out[np.ix_(*[at] * values.ndim)] = values
        return out


def reduced(model: Model, held: Sequence[np.ndarray]) -> Reduced:
    """The model without the coefficients that are held at zero; what is at a bound is held there."""
    terms, structures, thetas = [], [], [np.zeros(0, dtype=np.intp)]
    start = 0
    for term, part, columns in zip(model.terms, model.structures, held, strict=True):
        entries, start = start + np.arange(part.k), start + part.k
        if columns.all():
            continue
        if columns.any():
            lost = part.lost_with(columns)
            assert lost is not None
            entries, term = entries[~lost], term.with_columns(np.flatnonzero(~columns))
            part = part.with_inner(structure(term.covariance, term.q, term.name))
        terms.append(term)
        structures.append(part)
        thetas.append(entries)
    entries = np.concatenate(thetas)
    given = None if model.held is None else model.held.among(entries)
    rest = model.exchanging(terms=tuple(terms), structures=tuple(structures), held=given, bounds=None)
    return Reduced(model, rest, entries)


def without_held(model: Model, held: np.ndarray) -> Reduced:
    """The model without the entries of theta (k,) that are held at zero."""
    columns, start = [], 0
    for part in model.structures:
        own, start = held[start : start + part.k], start + part.k
        columns.append(np.full(part.q, True) if own.all() else part.columns_of(own))
    return reduced(model, columns)
