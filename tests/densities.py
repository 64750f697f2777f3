"""Log densities of the families by their definitions, in ninety digits: what the library's are held to.

Each is a function of y, the prior weight, eta and tau, all numbers of mpmath; derivatives are mpmath's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

from mme.family.base import ByParameter, Density, Family, Observed

mp.dps = 90
# What four units of the last place of eta are, to an error of 1e-13 of the value.
UNITS = mpf("0.004")
# Nine points this far apart give four derivatives, the last one to 1e-24.
STEP = mpf(10) ** -6
POWERS = ("identity", "inverse", "sqrt", "1/mu^2")
STENCILS = [
    [mpf(c) / d for c in row]
    for d, row in (
        (840, [3, -32, 168, -672, 0, 672, -168, 32, -3]),
        (5040, [-9, 128, -1008, 8064, -14350, 8064, -1008, 128, -9]),
        (240, [-7, 72, -338, 488, 0, -488, 338, -72, 7]),
        (240, [7, -96, 676, -1952, 2730, -1952, 676, -96, 7]),
    )
]
# Smaller numbers are zero.
NOTHING = mpf("1e-45")

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


def negative_binomial(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    mean, parameter = mp.exp(eta), mp.exp(tau[0] if len(tau) else mpf(family.given))
    k = parameter if family.name == "nbinom2" else mean / parameter
    choose = mp.loggamma(y + k) - mp.loggamma(k) - mp.loggamma(y + 1)
    return a * (choose - k * mp.log1p(mean / k) + y * mp.log(mean / (mean + k)))


def beta(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    (p, q), P = PROBABILITIES[family.link](eta), mp.exp(tau[0])
    gammas = mp.loggamma(P) - mp.loggamma(P * p) - mp.loggamma(P * q)
    return a * (gammas + (P * p - 1) * mp.log(y) + (P * q - 1) * mp.log(1 - y))


def ordinal(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    theta = [tau[0] + sum(mp.exp(t) for t in tau[1 : k + 1]) for k in range(len(tau))]
    ends = [(mpf(0), mpf(1)), *(PROBABILITIES[family.link](t - eta) for t in theta), (mpf(1), mpf(0))]
    (below, above), (to, beyond) = ends[int(y)], ends[int(y) + 1]
    return a * (log_of(to, beyond) if y == 0 else mp.log(above - beyond if below > 0.4 else to - below))


def tweedie(family: Any, y: Any, a: Any, eta: Any, tau: Any) -> Any:
    mean, phi, p = mp.exp(eta), mp.exp(tau[0]) / a, 1 + 1 / (1 + mp.exp(-tau[1]))
    body = (y * mean ** (1 - p) / (1 - p) if y else 0) - mean ** (2 - p) / (2 - p)
    if y == 0:
        return body / phi
    alpha = (2 - p) / (1 - p)
    log_z = -alpha * mp.log(y) + alpha * mp.log(p - 1) - (1 - alpha) * mp.log(phi) - mp.log(2 - p)
    middle = int(y ** (2 - p) / (phi * (2 - p)))
    width = int(12 * mp.sqrt(middle + 1)) + 40
    terms = (
        mp.exp(j * log_z - mp.loggamma(1 + j) - mp.loggamma(-alpha * j) + body / phi)
        for j in range(max(1, middle - width), middle + width)
    )
    return mp.log(mp.fsum(terms)) - mp.log(y)


DENSITIES: dict[str, Callable[..., Any]] = {
    "binomial": binomial,
    "poisson": poisson,
    "gaussian": gaussian,
    "gamma": gamma,
    "inverse.gaussian": inverse_gaussian,
    "nbinom2": negative_binomial,
    "nbinom1": negative_binomial,
    "beta": beta,
    "ordinal": ordinal,
    "tweedie": tweedie,
}


def step(family: Family, eta: Any) -> Any:
    """The distance of points along eta."""
    return STEP * (abs(mpf(float(eta))) if family.link in POWERS else 1)


def exact(family: Family, y: float, a: float, eta: float, tau: Any, by: int | None = None) -> list[Any]:
    """log f and its four derivatives in eta, or the derivatives of these by a coordinate of tau."""
    f = DENSITIES[family.name]
    tau = [mpf(float(t)) for t in tau]
    y, a, eta = mpf(float(y)), mpf(float(a)), mpf(float(eta))
    if a == 0:
        return [mpf(0)] * 5

    step_of_eta = step(family, eta)

    def moved(step: Any) -> list[Any]:
        at = [t + step if k == by else t for k, t in enumerate(tau)]
        around = [f(family, y, a, eta + j * step_of_eta, at) for j in range(-4, 5)]
        return [around[4], *(mp.fdot(c, around) / step_of_eta**k for k, c in enumerate(STENCILS, 1))]

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
                if part:  # a derivative by the logarithm of a parameter is a share of what it is of
                    inner += 5 * abs(want[0][order]) + (order == 0)
                noise = abs(want[0][0]) * mpf(10) ** (-58 if part else -76) / step(family, eta[i]) ** order
                scale = abs(exactly) + inner * UNITS + noise + NOTHING
                error = float(abs(mpf(float(got[part][order][i])) - exactly) / scale)
                name = f"order {order} part {part}"
                if error > out.get(name, (-1.0,))[0]:
                    out[name] = (error, float(data.y[i]), float(data.weights[i]), float(eta[i]), float(exactly))
    return out
