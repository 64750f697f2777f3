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
# Smaller numbers are zero.
NOTHING = mpf("1e-280")

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


def log_of(p: Any, q: Any) -> Any:
    """log p, where q = 1 - p is given too."""
    return mp.log(p) if p < 0.5 else mp.log1p(-q)


def binomial(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    s = mp.nint(y * a) if abs(y * a - mp.nint(y * a)) < 1e-6 else y * a
    p, q = PROBABILITIES[family.link](eta)
    choose = mp.loggamma(a + 1) - mp.loggamma(s + 1) - mp.loggamma(a - s + 1)
    return choose + (s * log_of(p, q) if s else 0) + ((a - s) * log_of(q, p) if s != a else 0)


def poisson(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    mean = MEANS[family.link](eta)
    return a * ((y * mp.log(mean) if y else 0) - mean - mp.loggamma(y + 1))


def gaussian(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    mean, phi = MEANS[family.link](eta), mp.exp(tau[0])
    return -mp.log(2 * mp.pi * phi / a) / 2 - a * (y - mean) ** 2 / (2 * phi)


def gamma(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    mean, shape = MEANS[family.link](eta), a / mp.exp(tau[0])
    return shape * mp.log(shape / mean) + (shape - 1) * mp.log(y) - shape * y / mean - mp.loggamma(shape)


def inverse_gaussian(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    mean, phi = MEANS[family.link](eta), mp.exp(tau[0])
    return -mp.log(2 * mp.pi * phi * y**3 / a) / 2 - a * (y - mean) ** 2 / (2 * phi * mean**2 * y)


DENSITIES: dict[str, Callable[..., Any]] = {
    "binomial": binomial,
    "poisson": poisson,
    "gaussian": gaussian,
    "gamma": gamma,
    "inverse.gaussian": inverse_gaussian,
}


def exact(family: Family, y: float, a: float, eta: float, tau: Any, by: int | None = None) -> list[Any]:
    """log f and its four derivatives in eta, or the derivatives of these by a coordinate of tau."""
    f = DENSITIES[family.name]
    tau = [mpf(float(t)) for t in tau]
    y, a, eta = mpf(float(y)), mpf(float(a)), mpf(float(eta))
    if a == 0:
        return [mpf(0)] * 5

    def moved(step: Any) -> list[Any]:
        at = [t + step if k == by else t for k, t in enumerate(tau)]
        series = mp.taylor(lambda x: f(family, y, a, x, at), eta, 4, chop=False)
        return [c * mp.factorial(k) for k, c in enumerate(series)]

    if by is None:
        return moved(0)
    h = mpf(10) ** -18
    return [(up - down) / (2 * h) for up, down in zip(moved(h), moved(-h), strict=True)]


def orders(density: Density | ByParameter) -> list[np.ndarray]:
    """log f, slope, -W and -dW; by a parameter there is no dW."""
    more = [density.observed_slope] if isinstance(density, Density) else []
    return [density.value, density.slope, -density.observed, *(-one for one in more)]


def worst(family: Family, data: Observed, eta: np.ndarray, tau: np.ndarray) -> dict[str, Any]:
    """Errors of log f and its derivatives, relative to them and to what the rounding of eta and tau makes of them."""
    density = family.at(data, eta, tau)
    parts = [density, *density.by_parameters]
    got = [orders(part) for part in parts]
    out: dict[str, Any] = {}
    for i in range(data.n):
        args = (family, data.y[i], data.weights[i], eta[i], tau)
        want = [exact(*args), *(exact(*args, by) for by in range(len(parts) - 1))]
        for part in range(len(parts)):
            for order in range(len(got[part])):
                exactly = want[part][order]
                moved = sum(abs(one[order]) * (1 + abs(t)) for one, t in zip(want[1:], tau, strict=False))
                inner = abs(want[part][order + 1]) * (1 + abs(eta[i])) + moved
                scale = abs(exactly) + (inner + (part > 0 and order == 0)) * UNITS + NOTHING
                error = float(abs(mpf(float(got[part][order][i])) - exactly) / scale)
                name = f"order {order} part {part}"
                if error > out.get(name, (-1.0,))[0]:
                    out[name] = (error, float(data.y[i]), float(data.weights[i]), float(eta[i]), float(exactly))
    return out
