"""A user's own family: its log density, and of the derivatives those that the user knows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family import observing
from mme.family.base import ByParameter, Density, Family, Observed
from mme.family.best import best_value
from mme.family.stencils import derivative, derivative_by
from mme.numeric.kept import kept


class OwnFamily(Family):
    """A family by its log density; derivatives that are not given are differences of the highest that is.

    A subclass gives :meth:`log_density`, :meth:`mean` and :meth:`variance`, and may give :meth:`log_slope`,
    :meth:`log_curvature`, :meth:`log_third`, :meth:`information`, :meth:`allowed`, :meth:`draw`, :meth:`first_eta`,
    :meth:`first_tau` and names of ``parameters``, whose natural values are exp(tau). :func:`mme.check_family` holds
    what is given against differences.

    Attributes
    ----------
    needed : str
        What is said of a response that is not allowed: ``"positive"``.

    Examples
    --------
    Exponential times with a log link: log f = -eta - y exp(-eta).

    >>> class Exponential(OwnFamily):
    ...     name, link, needed = "exponential", "log", "positive"
    ...     def allowed(self, y):
    ...         return y > 0
    ...     def log_density(self, y, eta, tau):
    ...         return -eta - y * np.exp(-eta)
    ...     def log_slope(self, y, eta, tau):
    ...         return y * np.exp(-eta) - 1.0
    ...     def mean(self, eta, tau):
    ...         return np.exp(eta)
    ...     def variance(self, eta, weights, tau):
    ...         return np.exp(2.0 * eta) / weights
    >>> family = Exponential()
    >>> density = family.at(family.observe([2.0], None, "y"), np.zeros(1), np.empty(0))
    >>> density.value, density.slope, density.observed.round(9)
    (array([-2.]), array([1.]), array([2.]))
    """

    name, link = "own", "own"
    needed = "allowed"

    @abstractmethod
    def log_density(self, y: np.ndarray, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """log f (n,), of weight one, every constant included."""

    def log_slope(self, y: np.ndarray, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """d log f / d eta (n,)."""
        return derivative(lambda x: self.log_density(y, x, tau), eta)

    def log_curvature(self, y: np.ndarray, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """d^2 log f / d eta^2 (n,)."""
        if self._gives("log_slope"):
            return derivative(lambda x: self.log_slope(y, x, tau), eta)
        return derivative(lambda x: self.log_density(y, x, tau), eta, 2)

    def log_third(self, y: np.ndarray, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """d^3 log f / d eta^3 (n,)."""
        if self._gives("log_curvature"):
            return derivative(lambda x: self.log_curvature(y, x, tau), eta)
        if self._gives("log_slope"):
            return derivative(lambda x: self.log_slope(y, x, tau), eta, 2)
        return derivative(lambda x: self.log_density(y, x, tau), eta, 3)

    def information(self, y: np.ndarray, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Fisher's information W_e (n,), which does not depend on y; where it is not given, W_o stands for it."""
        return -self.log_curvature(y, eta, tau)

    def allowed(self, y: np.ndarray) -> np.ndarray:
        """Where a response (n,) can be used."""
        return np.ones(y.shape, dtype=bool)

    def _gives(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(OwnFamily, method)

    # What follows ----------------------------------------------------------------------------------------------------

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is of numbers that are allowed."""
        data = observing.observed(y, weights, name)
        observing.refuse(~self.allowed(data.y), data.y, name, self.needed, f"the family '{self.name}' says so")
        return data

    def first_eta(self, data: Observed) -> np.ndarray:
        """Zero."""
        return np.zeros(data.n)

    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """Return the density."""
        return OwnDensity(self, data, eta, tau)

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """By differences."""
        return derivative(lambda x: self.mean(x, tau), eta)

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Refused where it is not given."""
        raise MMEError(f"the family '{self.name}' cannot be simulated: give it a method draw(eta, weights, tau, rng)")

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Refused where it is not given."""
        raise MMEError(f"the family '{self.name}' has no quantile residuals: give it a method cdf(data, eta, tau)")

    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Twice the fall of log f from its highest value over eta."""
        return 2.0 * (best_value(self, data, tau) - self.at(data, eta, tau).value)


class OwnDensity(Density):
    """log f of a user's family and its derivatives."""

    def __init__(self, family: OwnFamily, data: Observed, eta: np.ndarray, tau: np.ndarray) -> None:
        self.family, self.data, self.eta, self.tau = family, data, eta, tau

    @kept
    def value(self) -> np.ndarray:
        """log f."""
        return self.data.weights * self.family.log_density(self.data.y, self.eta, self.tau)

    @kept
    def slope(self) -> np.ndarray:
        """D log f / d eta."""
        return self.data.weights * self.family.log_slope(self.data.y, self.eta, self.tau)

    @kept
    def observed(self) -> np.ndarray:
        """Less the second derivative."""
        return -self.data.weights * self.family.log_curvature(self.data.y, self.eta, self.tau)

    @kept
    def observed_slope(self) -> np.ndarray:
        """Less the third derivative."""
        return -self.data.weights * self.family.log_third(self.data.y, self.eta, self.tau)

    @kept
    def expected(self) -> np.ndarray:
        """W_e."""
        return self.data.weights * self.family.information(self.data.y, self.eta, self.tau)

    @kept
    def expected_slope(self) -> np.ndarray:
        """By differences; dW_o where W_o stands for W_e."""
        if not self.family._gives("information"):
            return self.observed_slope
        moved = derivative(lambda x: self.family.information(self.data.y, x, self.tau), self.eta)
        return self.data.weights * moved

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """By differences."""
        return tuple(self._by(k) for k in range(self.tau.size))

    def _by(self, k: int) -> ByParameter:
        """By the k-th coordinate of tau."""

        def part(name: str) -> np.ndarray:
            return derivative_by(lambda at: getattr(self.family.at(self.data, self.eta, at), name), self.tau, k)

        return ByParameter(part("value"), part("slope"), part("observed"), lambda: part("expected"))
