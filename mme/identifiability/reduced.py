"""A model without the coefficients whose variances are held at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mme.covariance.structures import Entries, Extended, Structure, structure
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
    """The model without the coefficients that are held at zero."""
    terms, structures, thetas = [], [], [np.zeros(0, dtype=np.intp)]
    start = 0
    for term, part, columns in zip(model.terms, model.structures, held, strict=True):
        entries, start = start + np.arange(part.k), start + part.k
        if columns.all():
            continue
        if columns.any():
            inner = without_extension(part)
            if isinstance(inner, Entries):
                gone = columns[inner.rows] | columns[inner.cols]
            else:  # one column is left of a pattern: its standard deviation
                gone = np.append(columns, np.ones(inner.k - inner.q, dtype=bool))
            gone = np.append(gone, np.zeros(part.k - inner.k, dtype=bool))
            entries, term = entries[~gone], term.with_columns(np.flatnonzero(~columns))
            smaller = structure(term.covariance, term.q, term.name)
            part = replace(part, inner=smaller) if isinstance(part, Extended) else smaller
        terms.append(term)
        structures.append(part)
        thetas.append(entries)
    return Reduced(model, replace(model, terms=tuple(terms), structures=tuple(structures)), np.concatenate(thetas))


def without_held(model: Model, held: np.ndarray) -> Reduced:
    """The model without the entries of theta (k,) that are held at zero."""
    columns, start = [], 0
    for part in model.structures:
        own, start = held[start : start + part.k], start + part.k
        inner = without_extension(part)
        one = np.full(part.q, own.all())
        if own.any() and not own.all():
            sd = inner.rows[inner.diagonal] if isinstance(inner, Entries) else np.arange(part.q)
            one[sd] = own[: inner.k][inner.diagonal]
        columns.append(one)
    return reduced(model, columns)


def without_extension(part: Structure) -> Structure:
    return part.inner if isinstance(part, Extended) else part
