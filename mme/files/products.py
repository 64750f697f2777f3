"""Cross-products as a file, without pickle: the zip of :mod:`mme.files.archive`, whose content is a map.

===========  ===========================================================================================================
field        content
===========  ===========================================================================================================
``kind``     ``"cross-products"``
``layout``   map: ``formula, fixed, variables``, class Options and Learned, and the other fields of a ChunkLayout
``labels``   list of maps: ``name, kind, integers`` (array), ``labels`` and ``declared`` (lists) as they came,
             ``ascending`` and ``alike``, of the categories of all parts
``pairs``    list of arrays: the keys of the combinations of levels
``arrays``   map: ``held`` (cells, q, m), ``records`` (cells,), ``within`` (m - q, m - q), ``shift`` (m,) or null,
             ``plain`` (m, m), zero where records have no weights
``counts``   class Counts; ``typical`` and ``offset``: maps from a name to (count, total, values or null)
``witness``  map: what is made of rows at which all is typical (:mod:`mme.files.summed`); null, or absent
===========  ===========================================================================================================
"""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.files.again import require_same
from mme.files.archive import damaged, read_archive, write_archive
from mme.files.encoding import Decoder, Encoder
from mme.files.kinds import checked
from mme.files.save import SUMS, classes
from mme.files.summed import require_sums, witness_of_sums
from mme.formula.bars import split
from mme.streaming.layout import ChunkLayout, Learned, Options, unread
from mme.streaming.sums import Counts, Sums
from mme.streaming.typical import Seen, Typical
from mme.tables.arguments import path_of
from mme.tables.growing import GrowingLabels

_PLAIN = [one.name for one in fields(ChunkLayout) if one.name != "reading"]


def save_sums(sums: Sums, path: str | os.PathLike[str]) -> None:
    """Write sums to a file that :func:`load_sums` reads."""
    encoder = Encoder(_classes())
    encoded = encoder.encode(_content(sums))
    write_archive(path_of(path), encoded, encoder.arrays)


def load_sums(path: str | os.PathLike[str]) -> Sums:
    """Read what :func:`save_sums` wrote. Nothing in the file is run."""
    target = path_of(path)
    content, arrays = read_archive(target)
    with damaged(target):
        held = Decoder(_classes(), arrays, {}).decode(content)
        if not isinstance(held, dict) or held.get("kind") != SUMS:
            raise MMEError(f"{target} holds a fit, no cross-products: mme.load_fit reads it")
        sums = _sums(held)
        require_sums(sums)
        require_same(held, _content(sums))
        return sums


def _content(sums: Sums) -> dict[str, Any]:
    reading = sums.layout.reading
    layout = {name: getattr(sums.layout, name) for name in _PLAIN}
    layout |= {"formula": sums.layout.formula, "fixed": reading.fixed, "variables": list(reading.values)}
    return {
        "kind": SUMS,
        "layout": layout,
        "labels": [labels.state() for labels in sums.labels.values()],
        "pairs": [places.keys for places in sums.pairs],
        "arrays": {
            "held": sums.held[: sums.size],
            "records": sums.records,
            "within": sums.within,
            "plain": sums.plain,
            "shift": sums.shift,
        },
        "counts": sums.counts,
        "typical": _seen(sums.typical),
        "offset": _seen(sums.offset),
        "witness": witness_of_sums(sums),
    }


def _sums(held: dict[str, Any]) -> Sums:
    given = dict(held["layout"])
    options: Options = given["options"]
    reading = unread(split(given.pop("formula")), given.pop("fixed"), given.pop("variables"), options.offset)
    sums = Sums(checked(ChunkLayout(reading=reading, **given)))
    sums.labels = {one["name"]: GrowingLabels.of_state(one) for one in held["labels"]}
    for places, keys in zip(sums.pairs, held["pairs"], strict=True):
        places.of(np.asarray(keys, dtype=np.int64))
    sums.held, sums.within = held["arrays"]["held"], held["arrays"]["within"]
    sums.plain = held["arrays"].get("plain", sums.plain)  # none in the files of earlier versions
    if not sums.counts_itself:
        sums.counted = held["arrays"]["records"]
    sums.shift, sums.counts = held["arrays"]["shift"], held["counts"]
    sums.typical, sums.offset = _unseen(held["typical"]), _unseen(held["offset"])
    return sums


def _seen(typical: Typical) -> dict[str, Any]:
    return {
        name: (seen.count, seen.total, None if seen.values is None else sorted(seen.values))
        for name, seen in typical.items()
    }


def _unseen(held: dict[str, Any]) -> Typical:
    return {
        name: checked(Seen(count, total, None if values is None else frozenset(values)))
        for name, (count, total, values) in held.items()
    }


def _classes() -> dict[str, type]:
    return {**classes(), **{kind.__name__: kind for kind in (Options, Learned, Counts)}}
