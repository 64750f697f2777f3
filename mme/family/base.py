r"""The protocol of a family: the density of a record given its linear predictor eta, and what it changes with eta.

Everything is a function of eta, never of the mean: a mean of 1 - 1e-20 is a one, its eta is 46. Free parameters (a
dispersion, the size of a negative binomial, thresholds) have coordinates tau (r,) without bounds: logarithms of what
is positive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Where eta is as good as infinite, and -log f of weight one there, at most: the bound of log f is a probability of one.
_FAR, _BOUND = 300.0, 0.01


@dataclass(frozen=True, eq=False)
class Observed:
    """What was observed: y (n,) and prior weights (n,).

    For binomial data y is the proportion of successes and the weights are the numbers of trials, for ordinal data y
    has the codes of the categories. ``levels`` are labels of categories, where the response had some.
    """

    y: np.ndarray
    weights: np.ndarray
    levels: tuple[Any, ...] = ()
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What depends on the records alone (constants of log f), made when it is first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    @property
    def n(self) -> int:
        """Number of records."""
        return int(self.y.size)

    def at(self, rows: np.ndarray | slice) -> Observed:
        """The same for some of the records."""
        return Observed(self.y[rows], self.weights[rows], self.levels)


class Density(ABC):
    """log f(y | eta, tau) of every record (n,) at one eta and tau, and its derivatives; each made when it is asked for.

    What several of them share (one exponential a record) is made once.
    """

    @property
    @abstractmethod
    def value(self) -> np.ndarray:
        """log f (n,), every constant included; prior weights are in it."""

    @property
    @abstractmethod
    def slope(self) -> np.ndarray:
        """d log f / d eta (n,)."""

    @property
    @abstractmethod
    def observed(self) -> np.ndarray:
        """W_o = -d^2 log f / d eta^2 (n,): it can be negative where log f is not concave."""

    @property
    @abstractmethod
    def observed_slope(self) -> np.ndarray:
        """dW_o / d eta (n,)."""

    @property
    @abstractmethod
    def expected(self) -> np.ndarray:
        """W_e (n,), the mean of W_o over y: Fisher's information. W_o itself for a canonical link."""

    @property
    @abstractmethod
    def expected_slope(self) -> np.ndarray:
        """dW_e / d eta (n,)."""

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """Derivatives by each coordinate of tau; none where the family has no free parameter."""
        return ()


@dataclass(frozen=True, eq=False)
class ByParameter:
    """Derivatives by one coordinate of tau, one value per record (n,): of log f, of its slope, of W_o and of W_e.

    Where that of W_e is dear, a function makes it when it is asked for.
    """

    value: np.ndarray
    slope: np.ndarray
    observed: np.ndarray
    of_expected: np.ndarray | Callable[[], np.ndarray]

    @property
    def expected(self) -> np.ndarray:
        """Of W_e."""
        return self.of_expected() if callable(self.of_expected) else self.of_expected


class Family(ABC):
    """A distribution with its link: objects without state of the data.

    Attributes
    ----------
    name, link : str
        What they are called: ``"binomial"``, ``"logit"``.
    parameters : tuple of str
        Names of the natural parameters that are estimated, in the order of tau: ``("dispersion",)``, ``("size",)``.
    canonical : bool
        Whether W_o = W_e for every y.
    everywhere : bool
        Whether every eta has a density: not where a mean that must be positive is eta itself, or its inverse.
    kind : int or None
        What :mod:`mme.family.point`, the density of one record in compiled loops, calls the family; None where there
        is no such form.
    has_intercept : bool
        Whether X may hold an intercept; not where thresholds stand for it.
    whole : str
        What y counts: ``"ones"``, or ``"trials"`` of which it is a share; empty for a measurement.
    even : bool
        Whether log f is the same at eta and -eta: the likelihood has valleys by the signs of eta.
    merges : str
        Records of one eta that one record of their summed weights can stand for: ``"sums"``, all, with the weighted
        mean of y; ``"copies"``, those of one y; empty: none, as where weights divide the dispersion.
    """

    name: str
    link: str
    parameters: tuple[str, ...] = ()
    canonical: bool = False
    everywhere: bool = True
    kind: int | None = None
    has_intercept: bool = True
    whole: str = ""
    even: bool = False
    merges: str = ""

    def options(self) -> dict[str, Any]:
        """The arguments that make the family again, plain values by name: what a file keeps of it."""
        return {"link": self.link}

    # -- the response -------------------------------------------------------------------------------------------------

    @abstractmethod
    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check the response (``name`` in messages) and the prior weights (None: ones).

        Raises
        ------
        MMEError
            A value that the family cannot have; the message says which, in which row, and what is needed.
        """

    @abstractmethod
    def first_eta(self, data: Observed) -> np.ndarray:
        """A linear predictor (n,) near the records, finite: where the fit of beta begins."""

    def parameter_names(self, data: Observed) -> tuple[str, ...]:
        """Names of the natural parameters for these data: ``parameters``, but for thresholds between levels."""
        return self.parameters

    def first_tau(self, data: Observed, eta: np.ndarray) -> np.ndarray:
        """Coordinates of the free parameters to begin with, eta of a fit without random effects."""
        return np.zeros(len(self.parameters))

    # -- the density --------------------------------------------------------------------------------------------------

    @abstractmethod
    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """log f and its derivatives at eta (n,) and tau (r,)."""

    def natural(self, tau: np.ndarray) -> np.ndarray:
        """The natural parameters (r,) at tau: exp(tau), unless the family says otherwise."""
        return np.exp(tau)

    def tau_of(self, natural: np.ndarray) -> np.ndarray:
        """Tau (r,) at natural parameters, NaN where they are none of the family's."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(natural)

    def natural_slope(self, tau: np.ndarray) -> np.ndarray:
        """d natural / d tau (r, r)."""
        return np.diag(np.exp(tau))

    def past_bound(self, data: Observed) -> np.ndarray | None:
        """Which records (n,) have a finite log f where eta ends, that goes on smoothly; None where none has."""
        return None

    @property
    def endless(self) -> Family:
        """The family whose log f goes on past the end of eta where it can."""
        return self

    def sides(self, data: Observed, tau: np.ndarray) -> np.ndarray:
        """Where log f of each record (n,) has its bound: 1 at infinity, -1 at minus infinity, 0 in between."""
        with np.errstate(all="ignore"):
            high, low = (self.at(data, np.full(data.n, end), tau) for end in (_FAR, -_FAR))
            up = (high.slope >= 0.0) & (np.abs(high.value) <= _BOUND * data.weights)
            down = (low.slope <= 0.0) & (np.abs(low.value) <= _BOUND * data.weights)
        return up.astype(int) - down.astype(int)

    def size_of(self, tau: np.ndarray) -> float:
        """The k of :mod:`mme.family.point`; one where the family has none."""
        return 1.0

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """The least and the largest y, or bounds of them."""
        return -np.inf, np.inf

    def without_maximum(self, tau: np.ndarray) -> str:
        """A sentence on why the likelihood rises without end, where parameters that a search ended with say so."""
        return ""

    def exact(self, data: Observed, tau: np.ndarray) -> str:
        """The same where the records are fitted without error."""
        return ""

    # -- means and draws ----------------------------------------------------------------------------------------------

    @abstractmethod
    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """E(y | eta): of a proportion for binomial data, of a count otherwise."""

    @abstractmethod
    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """d mean / d eta."""

    @abstractmethod
    def variance(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """var(y | eta)."""

    @abstractmethod
    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Responses (n,) drawn at eta, on the scale of ``Observed.y``."""

    @abstractmethod
    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(Y < y) and P(Y <= y) (n,) each: what randomised quantile residuals take."""

    @abstractmethod
    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Twice log f at the best mean for the record alone less log f at eta, times the dispersion, (n,)."""
