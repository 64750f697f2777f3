"""Parameters of a residual structure that are given by name, and which coordinates hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.residual.base import Bound


def given_coordinates(structure: Bound | None, given: Any) -> np.ndarray | None:
    """Coordinates (k,) of parameters given as ``{name: value}``, NaN for those that are free; None where all are.

    Parameters that share coordinates (the correlations of an unstructured R) are given together or not at all.

    Raises
    ------
    MMEError
        A name or value is none of the structure's, or some of those that belong together are missing.

    Examples
    --------
    >>> from mme.residual import AR1, Heterogeneous, bind
    >>> R = bind([AR1([1, 2, 3], ["a", "a", "a"]), Heterogeneous(["u", "v", "v"])], np.asarray, 3)
    >>> given_coordinates(R, {"rho": 0.0})
    array([ 0., nan])
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        example = "'rho'" if structure is None else repr(structure.names[0])
        raise MMEError(f"phi is given by name, phi={{{example}: value}}; got {type(given).__name__}")
    values = {str(name).removesuffix("|residual"): value for name, value in given.items()}
    if not values:
        return None
    if structure is None:
        raise MMEError(f"phi gives {_listed(values)}, but there is no residual= structure that it could be of")
    unknown = [name for name in values if name not in structure.names]
    if unknown:
        raise MMEError(f"phi names {_listed(unknown)}, but the parameters of residual= are {_listed(structure.names)}")
    if not has_inverse(structure):
        raise MMEError(
            f"phi: parameters of {structure.kind} cannot be given without coordinates(), the inverse of natural(), "
            "which the structure does not have"
        )
    held = np.array([name in values for name in structure.names])
    missing = (entangled(structure)[held].any(axis=0) & ~held).nonzero()[0].tolist()
    if missing:
        others = _listed([structure.names[i] for i in missing])
        raise MMEError(f"phi: {others} must be given as well: together with {_listed(values)} they make one matrix")
    natural = structure.natural(structure.start())
    for i in held.nonzero()[0].tolist():
        natural[i] = _value(values[structure.names[i]], structure.names[i], structure.bounds[i])
    return np.where(held, structure.coordinates(natural), np.nan)


def entangled(structure: Bound) -> np.ndarray:
    """Which natural parameters share coordinates, directly or by way of others (K, K): at a point in general position.

    Examples
    --------
    >>> from mme.residual import Unstructured
    >>> R = Unstructured(["a", "b", "c"] * 2, [1, 1, 1, 2, 2, 2]).bind(np.asarray, 6)
    >>> R.names
    ('cor.b.a', 'cor.c.a', 'cor.c.b', 'sd.b/sd.a', 'sd.c/sd.a')
    >>> entangled(R).astype(int)[[0, 3]]
    array([[1, 1, 1, 0, 0],
           [0, 0, 0, 1, 0]])
    """
    x = np.linspace(0.3, 0.7, structure.k)
    there = structure.natural(x)
    moved = np.array([structure.natural(x + step) for step in np.diag(np.full(structure.k, 0.1))])
    shared = (np.abs(moved - there) > 1e-12 * np.abs(there)) | np.eye(structure.k, dtype=bool)
    shared |= shared.T
    for _ in range(structure.k.bit_length()):  # paths of twice the length
        shared = shared @ shared
    return np.asarray(shared)


def has_inverse(structure: Bound) -> bool:
    """Whether the structure says which coordinates make natural parameters; a user's own need not."""
    try:
        structure.coordinates(structure.natural(structure.start()))
    except NotImplementedError:
        return False
    return True


def _value(value: Any, name: str, bounds: tuple[float, float]) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    low, high = bounds
    if not number or not low < float(value) < high:
        raise MMEError(f"phi: {name} must be a number between {low:g} and {high:g}, got {value!r}")
    return float(value)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))
