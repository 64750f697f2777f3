"""Products of the levels of a random term: ``A(gen):ar1(time)``, ``A(gen):block``, with a relationship for some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.bar import Bar
from mme.formula.lattices import called
from mme.formula.nesting import called_as
from mme.relationship.crossed import crossed, product_of_relationships
from mme.relationship.lattice import Lattice, lattice
from mme.relationship.parametric import parametric
from mme.tables.column import Factor
from mme.tables.spelling import places


def is_product_of_levels(bar: Bar) -> bool:
    """Whether the levels are all combinations: a relationship stands beside chains or other factors."""
    return bool(bar.related) and (bool(bar.along) or len(bar.factors) > 1)


def require_related(bars: Sequence[Bar], related: Mapping[str, Any]) -> None:
    """Refuse ``A(gen)`` where no relationship is given for ``gen``.

    Raises
    ------
    MMEError
        There is none; the message says what to write.
    """
    for bar in bars:
        for name in bar.related:
            if name not in related:
                given = f"relationship is of {', '.join(map(repr, related))}" if related else "no relationship is given"
                raise MMEError(
                    f"the formula has a relationship among the levels of '{name}', as A({name}), but {given}; give "
                    f"relationship={{'{name}': ...}}, a Pedigree or a Relationship, or write id({name}) for "
                    "independent levels"
                )


def field_of(bar: Bar, fields: Factor | None, at: np.ndarray) -> tuple[np.ndarray, Lattice]:
    """Codes (n,) of the records among the places of a field, and the field; ``at`` (d, n) are coordinates."""
    kinds, names = [kind for kind, _ in bar.along], [called(node) for _, node in bar.along]
    return lattice(fields, list(at), kinds, names, bar.name)


def product_of_levels(
    bar: Bar, factors: Sequence[Factor], related: Mapping[str, Any], at: np.ndarray | None
) -> tuple[Factor, Any]:
    """The codes among all combinations of levels and of places, and their relationship."""
    parts, codes = [], np.zeros(factors[0].codes.size, dtype=np.int64)
    for node, factor in zip(bar.factors, factors, strict=True):
        own = related[called_as(node)] if called_as(node) in bar.related else None
        levels = factor.categories if own is None else np.asarray(own.levels)
        _require_known(own, bar)
        codes = codes * levels.size + _among(factor, levels, called_as(node))
        parts.append((levels, own))
    known = product_of_relationships(parts)
    if at is None:
        return Factor(codes, known.levels), known
    places_, process = field_of(bar, None, at)
    made = crossed(known, process)
    return Factor(places_ * known.levels.size + codes, made.levels), made


def _require_known(relationship: Any, bar: Bar) -> None:
    if relationship is not None and (parametric(relationship) is not None or not hasattr(relationship, "logdet")):
        raise MMEError(
            f"'{bar.name}': the relationship in a product of levels is a Pedigree or a Relationship, got "
            f"{type(relationship).__name__}"
        )
    if np.size(getattr(relationship, "groups", ())):
        raise MMEError(
            f"'{bar.name}': a pedigree with groups of unknown parents does not go into a product of levels; give it "
            "without unknown_groups, and the groups as fixed effects"
        )


def _among(factor: Factor, levels: np.ndarray, name: str) -> np.ndarray:
    """The codes of a factor's labels among other levels."""
    if levels is factor.categories:
        return factor.codes
    place = places(factor.categories, levels)
    if (place < 0).any():
        unknown = factor.categories[place < 0]
        raise MMEError(
            f"grouping factor '{name}': {unknown.size} of {place.size} levels are not in its relationship "
            f"(first: {unknown[0]}); add them to the pedigree or relationship, or drop their records"
        )
    return np.asarray(place[factor.codes])
