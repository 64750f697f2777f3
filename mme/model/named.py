"""The parameters of a model by the names that users give them: which each is, and its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np

from mme.covariance.base import GStructure
from mme.errors import MMEError
from mme.model.term import Term
from mme.residual import Bound
from mme.tables.names import as_known, first_unlike, quoted


@dataclass(frozen=True)
class NamedPlace:
    """What a name means: a kind of parameter, and its place among these; or the square of it.

    Kinds are ``"ratio"``, an entry of theta; ``"natural"``, what is reported of that entry; ``"phi"`` of the residual
    structure; and ``"sigma"``.
    """

    name: str
    kind: str
    at: int
    squared: bool = False

    def plain(self, value: float) -> float:
        """The parameter from the value of its name."""
        return sqrt(value) if self.squared else value

    def value(self, plain: float) -> float:
        """The value of the name from the parameter."""
        return plain * plain if self.squared else plain


@dataclass(frozen=True, eq=False)
class Named:
    """Names of the parameters of terms, of their residual structure, and of sigma.

    They are those of theta (relative to sigma), of ``confint()`` (``sd_x|g``, ``rho|g``, ``sigma``), ``V_g`` and
    ``V_g.x`` of variances, ``V_res``, and those of the residual structure.
    """

    terms: tuple[Term, ...]
    structures: tuple[GStructure, ...]
    residual: Bound | None
    theta_names: tuple[str, ...]
    natural_names: tuple[str, ...]

    @property
    def k(self) -> int:
        """Length of theta."""
        return len(self.theta_names)

    def place(self, name: Any, what: str) -> NamedPlace:
        """Find a name; ``what`` is the argument that has it.

        Raises
        ------
        MMEError
            The model has no such parameter, or it is searched together with others.
        """
        of_residual = () if self.residual is None else self.residual.names
        name = as_known(name, (*self.theta_names, *self.natural_names, *self._variances))
        squared = str(name).startswith("V_")
        if name in ("sigma", "V_res"):
            return NamedPlace(name, "sigma", 0, squared)
        if name in of_residual:
            return NamedPlace(name, "phi", of_residual.index(name))
        if name in self.theta_names:
            found = NamedPlace(name, "ratio", self.theta_names.index(name))
        elif name in self._variances:
            found = NamedPlace(name, "natural", self._variances[name], squared)
        elif name in self.natural_names:
            found = NamedPlace(name, "natural", self.natural_names.index(name))
        else:
            known = [*self.theta_names, *self.natural_names, *self._variances, "sigma", "V_res", *of_residual]
            raise MMEError(f"{what}: there is no parameter {name!r}; the model has {', '.join(dict.fromkeys(known))}")
        self._require_alone(found, what)
        return found

    def coordinate(self, place: NamedPlace, value: float, what: str) -> float:
        """The entry of theta, times sigma where it is in its units, that makes a natural parameter this."""
        part, at = self._part(place.at)
        low, high = part.natural_bounds[at]
        if not low <= value <= high:
            raise MMEError(f"{what}: {place.name} must be between {low:g} and {high:g}, got {value:g}")
        held = part.hold(np.zeros(part.k), at)
        return float(held.theta(np.zeros(part.k - 1), value)[at])

    def in_units(self, place: NamedPlace) -> bool:
        """Whether the parameter is in units of the response, and its entry of theta that over sigma."""
        part, at = self._part(place.at)
        return place.kind == "natural" and bool(part.times_sigma[at])

    def range(self, place: NamedPlace) -> tuple[float, float]:
        """What values the name can have."""
        if place.kind == "sigma":
            return 0.0, np.inf
        if place.kind == "phi":
            assert self.residual is not None
            return self.residual.bounds[place.at]
        part, at = self._part(place.at)
        low, high = part.natural_bounds[at]
        if place.kind == "ratio":  # of a standard deviation the sign is none
            low, high = (0.0, np.inf) if part.diagonal[at] else (-np.inf, np.inf)
        return place.value(low), place.value(high)

    def value(self, place: NamedPlace, theta: np.ndarray, phi: np.ndarray, sigma: float) -> float:
        """The value of the name where the model has these parameters."""
        if place.kind == "sigma":
            return place.value(sigma)
        if place.kind == "phi":
            assert self.residual is not None
            return float(self.residual.natural(phi)[place.at])
        if place.kind == "ratio":
            return float(theta[place.at])
        part, at = self._part(place.at)
        start = place.at - at
        return place.value(float(part.natural(theta[start : start + part.k], sigma)[at]))

    @cached_property
    def _variances(self) -> dict[str, int]:
        """Where the standard deviation stands in theta whose square is called ``V_g`` or ``V_g.x``."""
        found, start = dict[str, int](), 0
        for term, part in zip(self.terms, self.structures, strict=True):
            sd = np.flatnonzero(part.diagonal)
            if sd.size == term.q:
                for at, column in zip((start + sd).tolist(), term.columns, strict=True):
                    found[f"V_{term.name}" if term.q == 1 else f"V_{term.name}.{column}"] = at
                    found.setdefault(f"V_{term.group}.{column}", at)
            elif sd.size == 1:
                found[f"V_{term.name}"] = start + int(sd[0])
            start += part.k
        return found

    def _part(self, at: int) -> tuple[GStructure, int]:
        """The structure that an entry of theta is of, and its place there."""
        part = self.structures[0]
        for part in self.structures:
            if at < part.k:
                break
            at -= part.k
        return part, at

    def _require_alone(self, place: NamedPlace, what: str) -> None:
        part, _ = self._part(place.at)
        if part.correlated and part.mixes:
            raise MMEError(
                f"{what}: {place.name} is one of an unstructured covariance, whose entries are searched together; "
                "write diag(), cs() or || for coefficients whose parameters stand alone, or give all of theta="
            )


def named_parameters(terms: Sequence[Term], structures: Sequence[GStructure], residual: Bound | None) -> Named:
    """The parameters of these terms and their residuals, by name."""
    names = told_apart(terms, [part.names for part in structures])
    return Named(tuple(terms), tuple(structures), residual, names, natural_names(terms, structures))


def natural_names(terms: Sequence[Term], structures: Sequence[GStructure]) -> tuple[str, ...]:
    """lme4's names of standard deviations and correlations, in the order of theta."""
    return told_apart(terms, [part.natural_names for part in structures])


def told_apart(
    terms: Sequence[Term], write: Sequence[Callable[[str, Sequence[str]], Sequence[str]]]
) -> tuple[str, ...]:
    """Names of the parameters of all terms, ``write[t](term, columns)`` of each: no two alike.

    A term is called by its grouping factor where that will do, else by its own name (``g.1``); columns with dots are
    put in backticks where names would be alike without.
    """
    names: list[str] = []
    of_group = [name for term, written in zip(terms, write, strict=True) for name in written(term.group, term.columns)]
    for term, written in zip(terms, write, strict=True):
        alike = any(of_group.count(name) > 1 for name in written(term.group, term.columns))
        called = (term.name,) if alike else (term.group, term.name)
        ways = ((of, columns) for columns in (term.columns, quoted(term.columns)) for of in called)
        names += first_unlike((written(of, columns) for of, columns in ways), names)
    return tuple(names)
