"""REML criterion and ML deviance: arithmetic on the pieces of one evaluation.

    REML:  log|M| + log|K| + log|R| + log|X'V^-1 X| + (n - p)(1 + log(2 pi pwrss / (n - p)))
    ML:    log|M| + log|K| + log|R|                 +  n     (1 + log(2 pi pwrss /  n     ))

with V and R = W^-1/2 R(phi) W^-1/2 in units of sigma^2. These are the constants of lme4, nlme and SAS. The density of
orthonormal error contrasts (Harville 1974, Biometrika 61:383-385) has log|X'X| less, which does not depend on theta
(``fit.criterion_contrasts``). With sigma known the last bracket is log(2 pi sigma^2) + pwrss / (n_eff sigma^2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Constants:
    """What of the criterion theta does not change: n, rank p, log|X'R^-1 X|, log|R|, log|K|."""

    n: int
    p: int
    logdet_X0: float
    logdet_R: float
    logdet_K: float
    reml: bool
    sigma: float | None

    @property
    def n_effective(self) -> int:
        """Divisor of pwrss in sigma^2: n - p under REML, n under ML."""
        return self.n - self.p if self.reml else self.n


def criterion(constants: Constants, logdet_M: float, logdet_X: float, pwrss: float) -> float:
    """-2 log (restricted) likelihood, profiled over beta and, unless sigma is known, over sigma."""
    return float(_sum_of_terms(constants, logdet_M, logdet_X, pwrss, log))


def criteria_of(constants: Constants, logdets_M: np.ndarray, logdets_X: np.ndarray, pwrss: np.ndarray) -> np.ndarray:
    """The criterion (S,) of the pieces (S,) of many evaluations."""
    return np.asarray(_sum_of_terms(constants, logdets_M, logdets_X, pwrss, np.log))


def _sum_of_terms(c: Constants, logdet_M: Any, logdet_X: Any, pwrss: Any, log_of: Callable[[Any], Any]) -> Any:
    logdets, n = logdet_M + (c.logdet_K + c.logdet_R), c.n_effective
    if c.reml:
        logdets = logdets + (logdet_X + c.logdet_X0)
    if c.sigma is None:
        return logdets + n * (1.0 + log_of(2.0 * pi * pwrss / n))
    return logdets + n * log(2.0 * pi * c.sigma**2) + pwrss / c.sigma**2


def of_least_squares(constants: Constants, squares: float) -> float:
    """The criterion where T = 0, from the OLS residuals r'r: |M| |K| is one, X'V^-1 X that of least squares."""
    return criterion(constants, -constants.logdet_K, 0.0, squares)


def residual_sd(constants: Constants, pwrss: float) -> float:
    """Sigma: as given, or its estimate sqrt(pwrss / n_eff)."""
    return constants.sigma if constants.sigma is not None else sqrt(pwrss / constants.n_effective)
