r"""Exponential dispersion families: everything of log f in eta comes from two functions, A and B.

    log f = (a/phi) (y A(eta) + B(eta)) + c(y, phi) = s(y, phi) - (a/phi) d(y, mu) / 2,       mu = -B'/A',

with prior weights a, s the highest value over mu, d the unit deviance (McCullagh & Nelder 1989, section 2.2). Then

    slope = (a/phi) (y A' + B')          W_o = -(a/phi) (y A'' + B'')       W_e = (a/phi) A' mu'
    dW_o = -(a/phi) (y A''' + B''')      dW_e = (a/phi) (A'' mu' + A' mu'')

log f is made of s and d, for c is as large as y A + B and of the other sign: see :mod:`mme.family.saddle`.
"""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mme.errors import MMEError
from mme.family.base import ByParameter, Density, Family, Observed
from mme.family.functions import Exp, Function, Log, Points, Power, negative
from mme.numeric.kept import kept

# The mean as a function of eta, by the name of the link; links whose mean is positive where eta is.
MEANS: dict[str, Function] = {
    "log": Exp(1.0, 1),
    "identity": Power(1.0, 1.0),
    "inverse": Power(1.0, -1.0),
    "sqrt": Power(1.0, 2.0),
    "1/mu^2": Power(1.0, -0.5),
}
_AS_ETA = ("identity", "inverse", "1/mu^2")


class Shape(NamedTuple):
    """A and B of a family under one link."""

    A: Function
    B: Function


class ExponentialFamily(Family):
    """A family of one dispersion at most, whose A, B and mean are powers, exponentials or logarithms of eta."""

    shapes: ClassVar[dict[str, Shape]]
    canonical_link: ClassVar[str]
    positive_mean: ClassVar[bool] = True
    # Whether log f goes on to negative eta, where it can.
    goes_on: bool = False

    def __init__(self, link: str) -> None:
        if not isinstance(link, str) or link not in self.shapes:
            raise wrong_link(self.name, link, self.shapes)
        self.link, self.canonical = link, link == self.canonical_link
        A, B = self.shapes[link]
        A1, B1 = A.derivative, B.derivative
        A2, B2 = A1.derivative, B1.derivative
        # of log f, its slope, W_o and dW_o
        self.shape, self.shape_slope = Shape(A, B), Shape(A1, B1)
        self.shape_observed = Shape(negative(A2), negative(B2))
        self.shape_change = Shape(negative(A2.derivative), negative(B2.derivative))
        self.mean_function = MEANS[link]
        self.positive = self.positive_mean and link in _AS_ETA
        self.everywhere = not self.positive

    def __repr__(self) -> str:
        return f"{type(self).__name__}(link={self.link!r})"

    # What a family says of itself ------------------------------------------------------------------------------------

    @abstractmethod
    def half_deviance(self, data: Observed, points: Points) -> np.ndarray:
        """d(y, mu) / 2 (n,): of weight one and dispersion one."""

    def direct(self, data: Observed) -> np.ndarray | None:
        """c (n,) of log f = a (y A + B) + c where that sum has its digits; None elsewhere."""
        return None

    @abstractmethod
    def saturated(self, data: Observed, dispersion: float) -> np.ndarray:
        """s (n,): log f at the best mean for each record alone."""

    def saturated_slope(self, data: Observed, dispersion: float) -> np.ndarray:
        """Ds / d log phi (n,), where the family has a dispersion."""
        raise NotImplementedError

    @abstractmethod
    def variance_function(self, mean: np.ndarray) -> np.ndarray:
        """V(mu): var(y) = (phi/a) V(mu)."""

    # What follows ----------------------------------------------------------------------------------------------------

    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """Return the density; -inf where the mean is out of range, with derivatives NaN."""
        return ExponentialDensity(self, data, self.points(eta, data), self.dispersion(tau))

    @property
    def endless(self) -> ExponentialFamily:
        """The family whose log f goes on past the end of eta where it can."""
        twin = copy(self)
        twin.goes_on = True
        return twin

    def points(self, eta: np.ndarray, data: Observed | None = None) -> Points:
        """Eta, NaN where the link has no mean, but for records whose log f goes on."""
        inside = eta > 0.0 if self.positive else None
        if self.goes_on and inside is not None and data is not None:
            past = data.once("past the bound", lambda: self.past_bound(data))
            inside = inside if past is None else inside | past
        return Points(eta if inside is None or inside.all() else np.where(inside, eta, np.nan))

    def log_ratio(self, data: Observed, points: Points) -> np.ndarray:
        """log(mu/y) (n,); log mu where y is zero."""
        if self.link == "log":
            return points.eta - data.once("log y", lambda: np.log(np.where(data.y > 0.0, data.y, 1.0)))
        y = data.once("y but zeros", lambda: np.where(data.y > 0.0, data.y, 1.0))
        return np.log(self.of_eta(self.mean_function, points) / y)

    def dispersion(self, tau: np.ndarray) -> float:
        """phi."""
        return float(np.exp(tau[0])) if self.parameters else 1.0

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """mu(eta)."""
        return self.of_eta(self.mean_function, self.points(eta))

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """d mu / d eta."""
        return self.of_eta(self.mean_function.derivative, self.points(eta))

    def variance(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """(phi/a) V(mu)."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return self.dispersion(tau) * self.variance_function(self.mean(eta, tau)) / weights

    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """A d(y, mu)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return 2.0 * data.weights * self.half_deviance(data, self.points(eta))

    @staticmethod
    def of_eta(function: Function, points: Points) -> np.ndarray:
        """Values of a function of eta (n,); beyond the range of doubles infinite."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return np.broadcast_to(np.asarray(function(points)), points.eta.shape)


class ExponentialDensity(Density):
    """log f of an exponential family and its derivatives."""

    def __init__(self, family: ExponentialFamily, data: Observed, points: Points, dispersion: float) -> None:
        self.family, self.data, self.points, self.phi = family, data, points, dispersion

    @kept
    def value(self) -> np.ndarray:
        """s - (a/phi) d / 2; a (y A + B) + c where that is as good."""
        c = self.family.direct(self.data)
        if c is None:
            return self._saturated - self._loss
        return self._linear(*self.family.shape) + c

    @kept
    def slope(self) -> np.ndarray:
        """(a/phi) (y A' + B')."""
        return self._linear(*self.family.shape_slope)

    @kept
    def observed(self) -> np.ndarray:
        """-(a/phi) (y A'' + B'')."""
        return self._linear(*self.family.shape_observed)

    @kept
    def observed_slope(self) -> np.ndarray:
        """-(a/phi) (y A''' + B''')."""
        return self._linear(*self.family.shape_change)

    @kept
    def expected(self) -> np.ndarray:
        """(a/phi) A' mu'."""
        if self.family.canonical:
            return self.observed
        A1, mean1 = self.family.shape.A.derivative, self.family.mean_function.derivative
        with np.errstate(over="ignore", invalid="ignore"):
            return self._scaled(self._of(A1) * self._of(mean1))

    @kept
    def expected_slope(self) -> np.ndarray:
        """(a/phi) (A'' mu' + A' mu'')."""
        if self.family.canonical:
            return self.observed_slope
        A1, mean1 = self.family.shape.A.derivative, self.family.mean_function.derivative
        with np.errstate(over="ignore", invalid="ignore"):
            return self._scaled(self._of(A1.derivative) * self._of(mean1) + self._of(A1) * self._of(mean1.derivative))

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """By log phi: log f has 1/phi as a factor, but for s."""
        if not self.family.parameters:
            return ()
        value = self._loss + self.family.saturated_slope(self.data, self.phi)
        return (ByParameter(value, -self.slope, -self.observed, -self.expected),)

    @kept
    def _loss(self) -> np.ndarray:
        """(a/phi) d / 2, infinite where the link has no mean."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            loss = self._scaled(self.family.half_deviance(self.data, self.points))
        return np.where(np.isnan(self.points.eta), np.inf, loss) if self.family.positive else loss

    @kept
    def _saturated(self) -> np.ndarray:
        if self.family.parameters:
            return self.family.saturated(self.data, self.phi)
        return self.data.once("saturated", lambda: self.family.saturated(self.data, 1.0))

    def _linear(self, A: Function, B: Function) -> np.ndarray:
        """(a/phi) (y A + B)."""
        a, b, y = self._of(A), self._of(B), self.data.y
        if isinstance(a, float) and a in (0.0, 1.0):
            return self._scaled(y + b if a else b)
        return self._scaled(y * a + b)

    def _of(self, function: Function) -> Any:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return function(self.points)

    def _scaled(self, values: Any) -> np.ndarray:
        """(a/phi) times values."""
        data = self.data
        if not data.once("weights differ from one", lambda: bool((data.weights != 1.0).any())):
            return np.broadcast_to(values if self.phi == 1.0 else values / self.phi, data.y.shape)
        return values * (data.weights if self.phi == 1.0 else data.weights / self.phi)


def wrong_link(family: str, link: Any, links: Any) -> MMEError:
    """The error for a link that a family does not have."""
    given = repr(link) if isinstance(link, str) else f"an object of type {type(link).__name__}"
    return MMEError(f"the {family} family has the links {', '.join(map(repr, links))}; got {given}")


__all__ = ["MEANS", "Exp", "ExponentialDensity", "ExponentialFamily", "Log", "Power", "Shape", "wrong_link"]
