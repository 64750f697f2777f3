"""Parameters of a model kept between bounds, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.model.holding import HeldByName, Holding
from mme.model.named import Named, NamedPlace
from mme.residual.given import given_coordinates
from mme.tables.arrays import shown


@dataclass(frozen=True, eq=False)
class Bounds:
    """Bounds of parameters, by their names.

    Attributes
    ----------
    limits : dict
        Lower and upper bound of each, infinite where there is none.
    held, sigma, phi
        What the user holds beside them: of theta, sigma, and coordinates of the residual structure.
    active : dict
        The parameters that a fit has at a bound, and their values. A model fitted with them holds them there.
    """

    limits: dict[str, tuple[float, float]]
    held: Holding | None
    sigma: float | None
    phi: np.ndarray | None
    active: dict[str, float] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """What the user holds, as the fields of a model."""
        return {"held": self.held, "sigma": self.sigma, "phi": self.phi}

    def holding(self, named: Named, active: Mapping[str, float]) -> dict[str, Any]:
        """The fields of a model that holds what the user does, and these parameters."""
        if not active:
            return self.fields
        held, sigma, phi = self.held or _nothing(named.k), self.sigma, self.phi
        values, in_units = held.values.copy(), held.in_units.copy()
        for name, value in active.items():
            place = named.place(name, "bounds")
            plain = place.plain(value)
            if place.kind == "sigma":
                sigma = plain
            elif place.kind == "phi":
                own = given_coordinates(named.residual, {name: plain})
                assert own is not None
                phi = own if phi is None else np.where(np.isnan(own), phi, own)
            else:
                ratio = place.kind == "ratio"
                values[place.at] = plain if ratio else named.coordinate(place, plain, "bounds")
                in_units[place.at] = named.in_units(place)
        return {"held": None if np.isnan(values).all() else Holding(values, in_units), "sigma": sigma, "phi": phi}


def _nothing(k: int) -> Holding:
    return Holding(np.full(k, np.nan), np.zeros(k, dtype=bool))


def read_bounds(
    given: Any, named: Named, held: HeldByName, sigma: float | None, phi: np.ndarray | None
) -> Bounds | None:
    """What ``bounds={name: (low, high)}`` says, beside what is held; None for no bounds.

    Raises
    ------
    MMEError
        A name is none of the model's, is held or given besides, or there is no value between its bounds.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise MMEError(f"bounds are given by name, bounds={{'sigma': (low, high)}}; got {shown(given)}")
    limits, places = dict[str, tuple[float, float]](), dict[tuple[str, int], str]()
    for name, pair in given.items():
        place = named.place(name, "bounds")
        low, high = _within(_pair(place.name, pair), named.range(place), place.name)
        one = (place.kind.replace("ratio", "natural"), place.at)
        if one in places:
            raise MMEError(f"bounds: {places[one]} and {name} are bounds of one parameter; give one of them")
        if _is_held(place, held, sigma, phi):
            raise MMEError(f"bounds: {name} is held, and is not searched; leave its bounds or its value out")
        if place.kind == "phi":
            assert named.residual is not None
            typical = float(named.residual.natural(named.residual.start())[place.at])
            given_coordinates(named.residual, {name: typical})  # whether it stands alone
        places[one], limits[place.name] = name, (low, high)
    limits = {name: pair for name, pair in limits.items() if pair != named.range(named.place(name, "bounds"))}
    return Bounds(limits, held.theta, sigma, phi) if limits else None


def _pair(name: str, given: Any) -> tuple[float, float]:
    """Both bounds, infinite for None."""
    try:
        low, high = (side if at is None else float(at) for at, side in zip(given, (-inf, inf), strict=True))
    except (TypeError, ValueError):
        low = high = np.nan
    if isnan(low) or isnan(high) or isinstance(given, str):
        raise MMEError(f"bounds: {name} takes a pair (low, high), None for no bound on a side; got {shown(given)}")
    if low == high:
        raise MMEError(
            f"bounds: {name} has one value, {low:g}, between its bounds: hold={{{name!r}: {low:g}}} holds it"
        )
    if low > high:
        raise MMEError(f"bounds: {name} has no value between {low:g} and {high:g}; the lower bound comes first")
    return low, high


def _within(pair: tuple[float, float], whole: tuple[float, float], name: str) -> tuple[float, float]:
    """The bounds, no wider than what values the parameter can have."""
    low, high = max(pair[0], whole[0]), min(pair[1], whole[1])
    if not low < high:
        raise MMEError(
            f"bounds: {name} is always between {whole[0]:g} and {whole[1]:g}; it has no value between {pair[0]:g} and "
            f"{pair[1]:g}"
        )
    return low, high


def _is_held(place: NamedPlace, held: HeldByName, sigma: float | None, phi: np.ndarray | None) -> bool:
    if place.kind == "sigma":
        return sigma is not None
    if place.kind == "phi":
        return phi is not None and not np.isnan(phi[place.at])
    return held.theta is not None and not np.isnan(held.theta.values[place.at])
