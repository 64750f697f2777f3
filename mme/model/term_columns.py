"""What a random term is made of, checked: codes and levels, covariates, the names of its coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.long_columns import LongColumns, is_long
from mme.numeric.sums import by_column
from mme.relationship.parametric import parametric
from mme.tables.arguments import names_of
from mme.tables.arrays import numbers
from mme.tables.column import Factor
from mme.tables.labels import name as named
from mme.tables.levels import factorise, factorise_together, missing_labels
from mme.tables.names import unlike
from mme.tables.row_labels import common_labels, row_labels
from mme.tables.spelling import labels_of, places

# What breeders' files write for an unknown parent, unless the relationship has a level of that name.
UNKNOWN = ("", "0")


def coded_levels(groups: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,), or (q, n) of a tuple of label vectors or of a factor coded so, -1 where missing; and their levels."""
    if isinstance(groups, Factor) and by_column(groups.codes):
        return np.asarray(groups.codes, dtype=np.int64), np.asarray(groups.categories)
    if _is_several(groups):
        return factorise_together(groups, name) if len(groups) > 1 else factorise(groups[0], name)
    return factorise(groups, name)


def _is_several(groups: Any) -> bool:
    """Whether this is a tuple of label vectors, no tuple of labels."""
    return isinstance(groups, tuple) and bool(groups) and all(np.ndim(one) == 1 for one in groups)


def labels_of_rows(groups: Any, covariates: Any, name: str) -> Any:
    """The row labels that groups and covariates from pandas share; None of plain arrays."""
    parts = groups if _is_several(groups) else (groups,)
    labels = [row_labels(part) for part in (*parts, covariates)]
    if all(one is None for one in labels):
        return None
    called = [*(f"groups {a + 1}" for a in range(len(parts))), "covariates"]
    return common_labels({f"term '{name}': {what}": one for what, one in zip(called, labels, strict=True)})


def known_codes(codes: np.ndarray, covariates: np.ndarray | None, name: str) -> tuple[np.ndarray, np.ndarray]:
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


def related_codes(codes: np.ndarray, levels: np.ndarray, relationship: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes among the levels of a relationship, those without records included; matched by label, or by its text."""
    if not hasattr(relationship, "levels"):
        raise MMEError(
            f"grouping factor '{name}': a relationship is a Pedigree or a Relationship with levels, "
            f"got {type(relationship).__name__}"
        )
    process = parametric(relationship)
    if process is not None:
        process.require_term(name, by_column(codes))
    related = np.asarray(relationship.levels)
    if related is levels:
        return codes, levels
    place = places(levels, related)
    nobody = np.array([label in UNKNOWN for label in labels_of(levels)]) & (by_column(codes))
    unknown = (place < 0) & ~nobody
    if unknown.any():
        raise MMEError(
            f"grouping factor '{name}': {int(unknown.sum())} of {levels.size} levels are not in its relationship "
            f"({named(levels[unknown].tolist())}); {_what_to_do(relationship, labels_of(levels[unknown]))}"
        )
    return np.append(place, -1)[codes], related  # the code -1, of a missing label, is the last one


def _what_to_do(relationship: Any, unknown: list[str]) -> str:
    """What to do about labels that are no levels of a relationship."""
    if getattr(relationship, "is_copy", None) is not None and any(map(relationship.is_copy, unknown)):
        return (
            "some are copies of a genotype that has another label there: give the records a column of genotypes, "
            "pedigree.genotype(labels), and take it as the grouping factor"
        )
    if set(unknown) <= set(UNKNOWN):
        return "that is nobody, as an unknown dam: (1 | str(animal, dam)), or diag() of it, is without an effect there"
    return "add them to the pedigree or relationship, or drop their records"


def checked_covariates(covariates: Any, n: int, name: str) -> np.ndarray | LongColumns:
    """The covariates (n, q) as finite floats, column after column."""
    if isinstance(covariates, LongColumns):  # of a formula, which has looked at them
        return covariates
    if is_long(covariates) and len(covariates) == n:
        long = LongColumns.of(covariates)
        if np.isfinite(long.largest()).all():
            return long
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


def column_names(groups: Any, covariates: Any, columns: Any, q: int, name: str) -> tuple[str, ...]:
    """Names of the q coefficients: those given, of a table's columns, or of the label vectors."""
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
