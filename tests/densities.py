"""Log densities of the families by their definitions, in sixty digits: what the library's are held to.

Each is a function of y, the prior weight, eta and tau, all numbers of mpmath; derivatives are mpmath's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

from mme.family.base import ByParameter, Density, Family, Observed

mp.dps = 60
# What four units of the last place of eta are, to an error of 1e-13 of the value.
UNITS = mpf("0.004")

PROBABILITIES: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "logit": lambda x: (1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x))),
    "probit": lambda x: (mp.erfc(-x / mp.sqrt(2)) / 2, mp.erfc(x / mp.sqrt(2)) / 2),
    "cloglog": lambda x: (-mp.expm1(-mp.exp(x)), mp.exp(-mp.exp(x))),
    "cauchit": lambda x: (mp.atan2(1, -x) / mp.pi, mp.atan2(1, x) / mp.pi),
}
MEANS: dict[str, Callable[[Any], Any]] = {
    "log": mp.exp,
    "identity": lambda x: x,
    "inverse": lambda x: 1 / x,
    "sqrt": lambda x: x * x,
    "1/mu^2": lambda x: 1 / mp.sqrt(x),
}


def binomial(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    s = mp.nint(y * a) if abs(y * a - mp.nint(y * a)) < 1e-6 else y * a
    p, q = PROBABILITIES[family.link](eta)
    choose = mp.loggamma(a + 1) - mp.loggamma(s + 1) - mp.loggamma(a - s + 1)
    return choose + (s * mp.log(p) if s else 0) + ((a - s) * mp.log(q) if s != a else 0)


def poisson(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    mean = MEANS[family.link](eta)
    return a * ((y * mp.log(mean) if y else 0) - mean - mp.loggamma(y + 1))


DENSITIES: dict[str, Callable[..., Any]] = {"binomial": binomial, "poisson": poisson}


def exact(family: Family, y: float, a: float, eta: float, tau: Any, order: int, by: int | None = None) -> Any:
    """The derivative of this order in eta of log f, and once by a coordinate of tau."""
    f = DENSITIES[family.name]
    tau = [mpf(float(t)) for t in tau]
    y, a, eta = mpf(float(y)), mpf(float(a)), mpf(float(eta))
    if a == 0:
        return mpf(0)

    def of_tau(step: Any) -> Any:
        moved = [t + step if k == by else t for k, t in enumerate(tau)]
        return mp.diff(lambda x: f(family, y, a, x, moved), eta, order) if order else f(family, y, a, eta, moved)

    return of_tau(0) if by is None else mp.diff(of_tau, 0, 1)


def orders(density: Density | ByParameter) -> list[np.ndarray]:
    """log f, slope, -W and -dW; by a parameter there is no dW."""
    more = [density.observed_slope] if isinstance(density, Density) else []
    return [density.value, density.slope, -density.observed, *(-one for one in more)]


def worst(family: Family, data: Observed, eta: np.ndarray, tau: np.ndarray) -> dict[str, float]:
    """Errors of log f and its derivatives, relative to them and to what the rounding of eta and tau makes of them."""
    density = family.at(data, eta, tau)
    out = {}
    sets = [("", density, None), *((f" by {k}", part, k) for k, part in enumerate(density.by_parameters))]
    for what, part, by in sets:
        for order, got in enumerate(orders(part)):
            errors = [0.0]
            for i in range(data.n):
                args = (family, data.y[i], data.weights[i], eta[i], tau)
                want, more = exact(*args, order, by), exact(*args, order + 1, by)
                moved = sum(abs(exact(*args, order, k) * mpf(float(tau[k]))) for k in range(len(tau)) if by is None)
                scale = abs(want) + abs(more) * (1 + abs(eta[i])) * UNITS + moved * UNITS
                error = abs(mpf(float(got[i])) - want)
                errors.append(float(error / scale) if scale else float(error))
            out[f"order {order}{what}"] = max(errors)
    return out
