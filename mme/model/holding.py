"""Parameters of a model held at given values, by name: ratios, standard deviations, variances, correlations, sigma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.covariance.base import GStructure
from mme.errors import MMEError
from mme.model.term import Term
from mme.residual import Bound
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


def read_hold(
    given: Any,
    terms: Sequence[Term],
    structures: Sequence[GStructure],
    residual: Bound | None,
    theta_names: Sequence[str],
    natural_names: Sequence[str],
) -> HeldByName:
    """What ``hold={name: value}`` says.

    Names are those of theta (relative to sigma), of ``confint()`` (``sd_x|g``, ``rho|g``, ``sigma``), ``V_g`` and
    ``V_g.x`` of variances, ``V_res``, and those of the residual structure.

    Raises
    ------
    MMEError
        A name or value is none of the model's, or the parameter shares its coordinates with others.
    """
    if not isinstance(given, Mapping):
        raise MMEError(f"hold is given by name, hold={{'sigma': value}}; got {shown(given)}")
    k, of_residual, sigma = len(theta_names), () if residual is None else residual.names, None
    values, in_units, phi = np.full(k, np.nan), np.zeros(k, dtype=bool), dict[str, float]()
    places = _places(terms, structures)
    for name, value in given.items():
        variance, number = str(name).startswith("V_"), _number(name, value)
        if name in ("sigma", "V_res"):
            sigma = _positive(name, np.sqrt(number) if variance else number)
        elif name in of_residual:
            phi[name] = number
        elif name in theta_names:
            at = list(theta_names).index(name)
            _part(structures, at, str(name))
            values[at] = number
        elif name in natural_names or name in places:
            at = places[name] if name in places else list(natural_names).index(name)
            values[at], in_units[at] = _coordinate(structures, at, np.sqrt(number) if variance else number, str(name))
        else:
            known = [*theta_names, *natural_names, *places, "sigma", "V_res", *of_residual]
            raise MMEError(f"hold: there is no parameter {name!r}; the model has {', '.join(dict.fromkeys(known))}")
    return HeldByName(None if np.isnan(values).all() else Holding(values, in_units), phi, sigma)


def _places(terms: Sequence[Term], structures: Sequence[GStructure]) -> dict[str, int]:
    """Where the standard deviation stands in theta whose square is called ``V_g`` or ``V_g.x``."""
    found, start = dict[str, int](), 0
    for term, part in zip(terms, structures, strict=True):
        sd = np.flatnonzero(part.diagonal)
        if sd.size == term.q:
            for at, column in zip((start + sd).tolist(), term.columns, strict=True):
                found[f"V_{term.name}" if term.q == 1 else f"V_{term.name}.{column}"] = at
                found.setdefault(f"V_{term.group}.{column}", at)
        elif sd.size == 1:
            found[f"V_{term.name}"] = start + int(sd[0])
        start += part.k
    return found


def _coordinate(structures: Sequence[GStructure], at: int, value: float, name: str) -> tuple[float, bool]:
    """The entry of theta that makes a natural parameter of its structure this, and whether it is in units of sigma."""
    part, at = _part(structures, at, name)
    low, high = part.natural_bounds[at]
    if not low <= value <= high:
        raise MMEError(f"hold: {name} must be between {low:g} and {high:g}, got {value:g}")
    held = part.hold(np.zeros(part.k), at)
    return float(held.theta(np.zeros(part.k - 1), value)[at]), bool(part.times_sigma[at])


def _part(structures: Sequence[GStructure], at: int, name: str) -> tuple[GStructure, int]:
    """The structure that an entry of theta is of, and its place there."""
    part = structures[0]
    for part in structures:
        if at < part.k:
            break
        at -= part.k
    if part.correlated and part.mixes:
        raise MMEError(
            f"hold: {name} is one of an unstructured covariance, whose entries are searched together; write diag(), "
            "cs() or || for coefficients whose parameters stand alone, or give all of theta="
        )
    return part, at


def _number(name: Any, value: Any) -> float:
    variance = str(name).startswith("V_")
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
    if not is_number or not np.isfinite(value) or (variance and value < 0):
        bound = ", not negative" if variance else ""
        raise MMEError(f"hold: {name} must be a finite number{bound}, got {value!r}")
    return float(value)


def _positive(name: Any, value: float) -> float:
    if not value > 0.0:
        raise MMEError(f"hold: {name} must be positive")
    return float(value)
