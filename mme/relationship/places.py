"""The labels of places on the grid of a field: ``field:row:col``."""

from __future__ import annotations

import numpy as np

from mme.tables.spelling import labels_of

# What stands between the parts of a label.
BETWEEN = ":"


def place_labels(fields: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``field:row:col`` of each place, ``row:col`` where the field has no name."""
    written = [[f"{one:g}" if float(f"{one:g}") == one else repr(one) for one in axis] for axis in places.tolist()]
    out = np.empty(fields.size, dtype=object)
    parts = zip(fields.tolist(), *written, strict=True)
    out[:] = [BETWEEN.join(part if part[0] else part[1:]) for part in parts]
    return out


def labels_of_places(fields: np.ndarray | None, places: np.ndarray) -> np.ndarray:
    """The labels of new rows, None where the field or a coordinate is missing."""
    known = np.isfinite(places).all(axis=0)
    if fields is not None:
        known &= np.array([label is not None for label in fields.tolist()], dtype=bool)
    out = np.full(known.size, None, dtype=object)
    named = np.full(int(known.sum()), "", dtype=object)
    if fields is not None:
        named[:] = labels_of(fields[known])
    out[known] = place_labels(named, places[:, known])
    return out
