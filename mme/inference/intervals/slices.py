"""R with one natural parameter held: coordinates of what is free beside it, and the phi that they make.

Where a natural parameter is a function of one coordinate alone, that coordinate is put where the value asks for it. The
others (the correlations of an unstructured or a Toeplitz R) share their coordinates: of these all but the one held are
free as they are, within the convex set of positive definite matrices, at whose edge the likelihood ends of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.residual import Bound
from mme.residual.given import entangled, has_inverse


@dataclass(frozen=True, eq=False)
class Slice:
    """The phi with one natural parameter held.

    Attributes
    ----------
    start, radius : (K - 1,) arrays
        What is free, at the phi of a fit, and about how far off it may be: never zero, also at a correlation of one.
    bounds : (float, float)
        Of the value held.
    phi : callable
        phi(free, value): all coordinates (K,); NaN where R would not be positive definite.
    """

    start: np.ndarray
    radius: np.ndarray
    bounds: tuple[float, float]
    phi: Callable[[np.ndarray, float], np.ndarray]


def hold_residual(structure: Bound, x: np.ndarray, at: int) -> Slice:
    """Hold the natural parameter that stands at this place.

    Raises
    ------
    MMEError
        The structure has no inverse of natural().

    Examples
    --------
    >>> from mme.residual import AR1, Heterogeneous, bind
    >>> R = bind([AR1([1, 2, 3], ["a", "a", "a"]), Heterogeneous(["u", "v", "v"])], np.asarray, 3)
    >>> held = hold_residual(R, np.array([0.2, np.log(3.0)]), 0)
    >>> R.natural(held.phi(held.start, 0.5))
    array([0.5, 3. ])
    """
    if not has_inverse(structure):
        raise MMEError(
            f"{structure.names[at]} of {structure.kind} has no profile: it cannot be held without coordinates(), the "
            "inverse of natural(), which the structure does not have"
        )
    radius, natural = 0.1 * structure.radius(), structure.natural(x)
    together = entangled(structure)[at]
    moved = np.array([structure.natural(x + step)[j] for j, step in enumerate(np.diag(radius))])
    others = np.delete(np.arange(structure.k), at)

    def phi(free: np.ndarray, value: float) -> np.ndarray:
        mixed = np.insert(free, at, value)
        target = structure.natural(np.where(together, x, mixed))
        target[together] = mixed[together]
        try:
            with np.errstate(divide="ignore", invalid="ignore"):  # a bound is an infinite coordinate
                found = structure.coordinates(target)
        except MMEError:
            found = np.full(structure.k, np.nan)
        return np.where(together, found, mixed)

    return Slice(
        start=np.where(together, natural, x)[others],
        radius=np.where(together, np.maximum(np.abs(moved - natural), np.spacing(np.abs(natural))), radius)[others],
        bounds=structure.bounds[at],
        phi=phi,
    )
