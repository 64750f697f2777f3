"""Labels of animals and their parents -> positions, with every slip of a pedigree file named."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError, warn
from mme.numeric.kernels import kernel
from mme.relationship.loops import generations
from mme.tables.column import Factor
from mme.tables.labels import code_columns, column, label_array, labels_of, name
from mme.tables.spelling import labels_of as texts_of
from mme.tables.spelling import places

# Beside missing values, the unknown parent of pedigree files, where no animal has that name: BLUPF90's, R's, ASReml's.
NOBODY = ("", "0", "NA", ".")
# Members shown at either end of a long loop.
_SHOWN = 5


@dataclass(frozen=True)
class Parentage:
    """A checked pedigree.

    ``sire`` and ``dam`` (n,) are positions among ``animals``, then among ``groups``; -1 is an unknown parent.
    ``generation`` (n,) is 0 without known parents among the animals, else 1 + that of the later parent.
    """

    animals: np.ndarray
    groups: np.ndarray
    sire: np.ndarray
    dam: np.ndarray
    generation: np.ndarray


def read_parentage(animal: Any, sire: Any, dam: Any, groups: Any, hermaphrodite: bool) -> Parentage:
    """Code the labels: animals in the order given, then parents without a row of their own, as they appear.

    Raises
    ------
    MMEError
        Columns differ in length or kind, an animal has no label, two rows of an animal disagree, an animal is its own
        parent or ancestor, or a group is an animal or nobody's parent.
    """
    columns = {role: column(given, role) for role, given in (("animal", animal), ("sire", sire), ("dam", dam))}
    codes, labels = code_columns(columns)
    row_animal = codes["animal"]
    _check_columns(codes, labels)
    group_labels = [] if groups is None else labels_of(groups, "unknown_groups")
    for role in ("sire", "dam"):
        _check_same_type(columns["animal"], columns[role], role, group_labels)
    own = 1 + int(row_animal.max())
    _check_groups(group_labels, labels[:own])
    position, founders = _positions(labels, own, group_labels)
    parents = position[np.stack([codes["sire"], codes["dam"]])]
    parents = _one_row_each(row_animal, parents, own, labels)
    parents = np.concatenate([parents, np.full((2, len(founders)), -1)], axis=1)
    animals = labels[:own] + founders
    _check_parents(parents, animals, hermaphrodite)
    _check_used(parents, group_labels)
    generation = _generations(parents, animals)
    parents = np.where(parents < -1, len(animals) - 2 - parents, parents)
    return Parentage(label_array(animals), label_array(group_labels), parents[0], parents[1], generation)


def generations_of_selfing(given: Any, animal: Any) -> np.ndarray:
    """Generations (n,), a row each, as numbers of at least 0; a missing one is none.

    Raises
    ------
    MMEError
        There is not one a row, or one is no number, or negative.
    """
    try:
        t = np.nan_to_num(np.asarray(given, dtype=float), nan=0.0, posinf=np.inf)
    except (TypeError, ValueError):
        raise MMEError("selfed must be numbers of generations, one a row") from None
    if t.shape != (len(animal),) or not (t >= 0.0).all():
        raise MMEError(f"selfed must be {len(animal)} numbers of generations, at least 0; got shape {t.shape}")
    return t


def known_texts(labels: list[Any], animals: Collection[str]) -> list[str | None]:
    """Texts of parents, None for an unknown one: missing, or a word for nobody where no animal has that name.

    Examples
    --------
    >>> known_texts(["a", None, 0, "."], {"a", "b"}), known_texts([0], {"0"})
    (['a', None, None, None], ['0'])
    """
    texts = zip(labels, texts_of(label_array(labels)), strict=True)
    return [None if label is None or (text in NOBODY and text not in animals) else text for label, text in texts]


def _check_columns(codes: dict[str, np.ndarray], labels: list[Any]) -> None:
    sizes = {role: code.size for role, code in codes.items()}
    if len(set(sizes.values())) > 1:
        raise MMEError(f"animal, sire and dam must have one entry a row, got {sizes}")
    own = codes["animal"]
    if not own.size:
        raise MMEError("the pedigree has no rows")
    named = np.array([label != "" for label in labels] + [False])  # last: missing
    if not named[own].all():
        rows = np.flatnonzero(~named[own])
        raise MMEError(f"rows {name(rows.tolist())} (counted from 0): the animal itself has no label")


def _check_same_type(animals: Factor, parents: Factor, role: str, groups: list[Any]) -> None:
    """Refuse text on one side and numbers on the other where no parent is one of the animals."""
    others = {*NOBODY, *texts_of(label_array(groups))} if groups else NOBODY
    known = parents.categories[[label not in others for label in texts_of(parents.categories)]]
    is_text = [levels.dtype.kind == "O" for levels in (animals.categories, known)]
    if known.size and is_text[0] != is_text[1] and (places(known, animals.categories) < 0).all():
        raise MMEError(
            f"animal labels are like {animals.categories.tolist()[0]!r}, {role} labels like {known.tolist()[0]!r}: "
            "text and numbers, and none of them match; read both columns as the same type"
        )


def _check_groups(groups: list[Any], animals: list[Any]) -> None:
    clash = set(texts_of(label_array(groups))).intersection(texts_of(label_array(animals))) if groups else set()
    if clash:
        raise MMEError(f"unknown_groups: {name(clash)} has a row as an animal; a group needs a label of its own")
    if len(set(groups)) < len(groups) or None in groups:
        raise MMEError("unknown_groups: labels must be distinct and not missing")


def _positions(labels: list[Any], own: int, groups: list[Any]) -> tuple[np.ndarray, list[Any]]:
    """Position of each label: animals from 0, nobody -1 (as a missing label, at index -1), groups from -2 down."""
    position = np.arange(len(labels) + 1)
    position[-1] = -1
    of_group = {text: -2 - k for k, text in enumerate(texts_of(label_array(groups)))}
    founders: list[Any] = []
    later = labels[own:]
    for code, (label, text) in enumerate(zip(later, texts_of(label_array(later)), strict=True), start=own):
        if text in of_group:
            position[code] = of_group[text]
        elif text in NOBODY:
            position[code] = -1
        else:
            position[code] = own + len(founders)
            founders.append(label)
    return position, founders


def _one_row_each(row_animal: np.ndarray, parents: np.ndarray, own: int, labels: list[Any]) -> np.ndarray:
    """Drop repeated rows of an animal; refuse those that disagree."""
    if row_animal.size == own:
        return parents
    first = np.empty(own, dtype=np.int64)
    first[row_animal[::-1]] = np.arange(row_animal.size)[::-1]
    differs = (parents != parents[:, first[row_animal]]).any(axis=0)
    if differs.any():
        conflicting = [labels[i] for i in np.unique(row_animal[differs])]
        raise MMEError(f"{name(conflicting)}: two rows of the animal give different parents; keep the right one")
    return parents[:, first]


def _check_parents(parents: np.ndarray, animals: list[Any], hermaphrodite: bool) -> None:
    itself = np.arange(len(animals))
    own_parent = np.flatnonzero((parents == itself).any(axis=0))
    if own_parent.size:
        raise MMEError(f"{name(animals[i] for i in own_parent)}: the animal is its own parent")
    role = np.zeros((2, len(animals)), dtype=bool)
    for given, used in zip(parents, role, strict=True):
        used[given[given >= 0]] = True
    both = np.flatnonzero(role.all(axis=0))
    if both.size and not hermaphrodite:
        warn(
            f"{name(animals[i] for i in both)}: sire in one place and dam in another. If the label stands for an "
            "unknown parent, give None instead; if an individual can be both (plants), say hermaphrodite=True"
        )


def _check_used(parents: np.ndarray, groups: list[Any]) -> None:
    used = set(np.unique(parents[parents < -1]).tolist())
    idle = [label for k, label in enumerate(groups) if -2 - k not in used]
    if idle:
        raise MMEError(f"unknown_groups: {name(idle)} stands for nobody's parent; leave it out")


def _generations(parents: np.ndarray, animals: list[Any]) -> np.ndarray:
    sire, dam = np.maximum(parents, -1)  # a group is nobody's offspring
    generation, loop = kernel(generations, 4 * sire.size)(sire, dam)
    if loop.size:
        circle = [repr(animals[i]) for i in (*loop.tolist(), loop[0])]
        if len(circle) > 2 * _SHOWN:
            circle = [*circle[:_SHOWN], "...", *circle[-_SHOWN:]]
        raise MMEError(f"the pedigree has a loop: {' -> '.join(circle)} (parent -> offspring); one of these is wrong")
    return np.asarray(generation)
