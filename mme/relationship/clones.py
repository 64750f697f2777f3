"""Animals of one genotype, monozygotic twins and the ramets of a clone: one level of a relationship stands for all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mme.errors import MMEError
from mme.relationship.parentage import NOBODY, known_texts
from mme.tables.labels import label_array, labels_of, name
from mme.tables.spelling import labels_of as texts_of


@dataclass(frozen=True, eq=False)
class Genotypes:
    """``label_of`` maps the text of each label of a copy to the label of its genotype."""

    label_of: dict[str, Any]

    def labels(self, given: list[Any]) -> list[Any]:
        """The label of the genotype of each of these."""
        if not self.label_of:
            return given
        return [self.label_of.get(text, label) for text, label in zip(_texts(given), given, strict=True)]


def one_genotype_each(
    animal: Any, sire: Any, dam: Any, identical_to: Any
) -> tuple[Genotypes, tuple[list[Any], list[Any], list[Any]]]:
    """What is one genotype, and the columns animal, sire and dam with one label and one pair of parents for it.

    The label is that of the first row that is a copy of no other, or of the first row.

    Raises
    ------
    MMEError
        Columns differ in length, or the parents of one genotype differ.
    """
    given = {"animal": animal, "sire": sire, "dam": dam, "identical_to": identical_to}
    columns = {role: labels_of(column, role) for role, column in given.items()}
    if len({len(column) for column in columns.values()}) > 1:
        sizes = {role: len(column) for role, column in columns.items()}
        raise MMEError(f"animal, sire, dam and identical_to must have one entry a row, got {sizes}")
    animals, texts = columns["animal"], _texts(columns["animal"])
    genotypes = Genotypes(_label_of(animals, texts, columns["identical_to"]))
    own, sires, dams = (genotypes.labels(columns[role]) for role in ("animal", "sire", "dam"))
    shared = set(map(str, _texts(list(genotypes.label_of.values()))))
    of, parents = dict[str, int](), list(zip(*(known_texts(one, set(texts)) for one in (sires, dams)), strict=True))
    for i, text in enumerate(_texts(own)):
        if text in shared and parents[i] != (None, None):
            j = of.setdefault(text, i)
            if parents[j] != parents[i]:
                raise MMEError(
                    f"{name([animals[j], animals[i]])} are one genotype by identical_to=, and their rows give "
                    "different parents; leave the parents of a copy out, or mend them"
                )
    rows = [of.get(text, i) for i, text in enumerate(_texts(own))]
    return genotypes, (own, [sires[i] for i in rows], [dams[i] for i in rows])


def _label_of(animals: list[Any], texts: list[str], twins: list[Any]) -> dict[str, Any]:
    """The label of its genotype, for the text of each label that has another."""
    known, of = set(texts), _texts(twins)
    is_copy = [
        label is not None and (text in known or text not in NOBODY) for label, text in zip(twins, of, strict=True)
    ]
    position = {text: i for i, text in enumerate(dict.fromkeys(chain(texts, of)))}
    label = dict(zip(of, twins, strict=True)) | dict(zip(texts, animals, strict=True))
    copies = np.array([position[text] for text, copy in zip(texts, is_copy, strict=True) if copy], dtype=np.int64)
    others = np.array([position[text] for text, copy in zip(of, is_copy, strict=True) if copy], dtype=np.int64)
    joined = sp.coo_array((np.ones(copies.size), (copies, others)), shape=(len(position),) * 2)
    genotype = connected_components(joined, directed=False)[1].tolist()
    later = np.isin(np.arange(len(position)), copies)
    first = dict[int, str]()
    for text, i in sorted(position.items(), key=lambda one: (later[one[1]], one[1])):
        first.setdefault(genotype[i], text)
    return {text: label[first[genotype[i]]] for text, i in position.items() if first[genotype[i]] != text}


def _texts(labels: list[Any]) -> list[str]:
    return texts_of(label_array(labels))
