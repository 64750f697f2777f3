"""Parameters of a model held at given values, by name: ratios, standard deviations, variances, correlations, sigma."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.model.named import Named
from mme.tables.arrays import shown


@dataclass(frozen=True, eq=False)
class Holding:
    """Entries of theta (k,) that are held: their values, NaN for those that are free.

    Those ``in_units`` (k,) of the response are standard deviations, and theta these over sigma. ``beside_sigma`` says
    of a model whose sigma is known that it is known by a search, which a fit to another response is to make anew.
    """

    values: np.ndarray
    in_units: np.ndarray
    beside_sigma: bool = False

    def at(self, sigma: float | None) -> np.ndarray:
        """Theta (k,) at sigma."""
        return np.where(self.in_units, self.values / (1.0 if sigma is None else sigma), self.values)

    def among(self, entries: np.ndarray) -> Holding:
        """That of some entries of theta."""
        return Holding(self.values[entries], self.in_units[entries], self.beside_sigma)

    @property
    def asks_for_sigma(self) -> bool:
        """Whether what is held of theta depends on sigma."""
        return bool(self.in_units.any())


@dataclass(frozen=True, eq=False)
class HeldByName:
    """What a user holds: of theta (None: nothing), of the residual structure by name, and sigma."""

    theta: Holding | None
    phi: dict[str, float]
    sigma: float | None


def read_hold(given: Any, named: Named) -> HeldByName:
    """What ``hold={name: value}`` says; names are those of :class:`mme.model.named.Named`.

    Raises
    ------
    MMEError
        A name or value is none of the model's, or the parameter shares its coordinates with others.
    """
    if given is None:
        return HeldByName(None, {}, None)
    if not isinstance(given, Mapping):
        raise MMEError(f"hold is given by name, hold={{'sigma': value}}; got {shown(given)}")
    values, in_units = np.full(named.k, np.nan), np.zeros(named.k, dtype=bool)
    sigma, phi = None, dict[str, float]()
    for name, value in given.items():
        place = named.place(name, "hold")
        number = place.plain(_number(name, value, place.squared))
        if place.kind == "sigma":
            sigma = _positive(name, number)
        elif place.kind == "phi":
            phi[name] = number
        elif place.kind == "ratio":
            values[place.at] = number
        else:
            values[place.at], in_units[place.at] = named.coordinate(place, number, "hold"), named.in_units(place)
    return HeldByName(None if np.isnan(values).all() else Holding(values, in_units), phi, sigma)


def _number(name: Any, value: Any, squared: bool) -> float:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
    if not is_number or not np.isfinite(value) or (squared and value < 0):
        bound = ", not negative" if squared else ""
        raise MMEError(f"hold: {name} must be a finite number{bound}, got {value!r}")
    return float(value)


def _positive(name: Any, value: float) -> float:
    if not value > 0.0:
        raise MMEError(f"hold: {name} must be positive")
    return float(value)
