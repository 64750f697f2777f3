"""A field of residuals with a nugget: the model of a random field beside errors, which has a sparse inverse."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from mme.model.term import Term
from mme.residual.fields import Axis
from mme.residual.rstructure import Times, WithNugget
from mme.tables.levels import factorise


def axes_beside_nugget(residual: Any) -> list[Axis] | None:
    """The axes of ``(AR1(...) * AR1(...)).with_nugget()``, alone or in a list of one; None for anything else."""
    if isinstance(residual, list | tuple) and len(residual) == 1:
        residual = residual[0]
    if not isinstance(residual, WithNugget) or not isinstance(residual.structure, Times):
        return None
    axes = [part.axis() for part in residual.structure.parts]
    found = [axis for axis in axes if axis is not None]
    return found if len(found) == len(axes) else None


def beside_errors(terms: Sequence[Term], residual: Any) -> tuple[Sequence[Term], Any]:
    """The terms with the field that such residuals are, of arrays, and the residuals that are left."""
    axes = axes_beside_nugget(residual)
    if axes is None or any(isinstance(axis.place, str) or axis.kind != "ar1" for axis in axes):
        return terms, residual
    groups = [factorise(axis.group, "group")[0] for axis in axes if axis.group is not None]
    fields = reduce(lambda one, other: one * (other.max() + 1) + other, groups) if groups else None
    places = {axis.called or f"{j + 1}": np.asarray(axis.place) for j, axis in enumerate(axes)}
    return [*terms, Term.field(places, fields, nugget=True)], None
