"""Powers, exponentials and logarithms of eta with their derivatives: links of exponential families are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mme.numeric.kept import kept


class Points:
    """A linear predictor (n,) with its logarithm and its exponential, each made once."""

    def __init__(self, eta: np.ndarray) -> None:
        self.eta = eta

    @kept
    def exp(self) -> np.ndarray:
        """exp(eta)."""
        return np.exp(self.eta)

    @kept
    def log(self) -> np.ndarray:
        """log|eta|."""
        return np.log(np.abs(self.eta))


@dataclass(frozen=True)
class Power:
    """c eta^p."""

    c: float
    p: float

    def __call__(self, points: Points) -> np.ndarray | float:
        """Its values: a number where it is constant."""
        if self.c == 0.0 or self.p == 0.0:
            return self.c
        value = points.eta if self.p == 1.0 else points.eta**self.p
        return value if self.c == 1.0 else self.c * value

    @property
    def derivative(self) -> Power:
        """c p eta^(p - 1)."""
        return Power(self.c * self.p, self.p - 1.0) if self.p else Power(0.0, 0.0)


@dataclass(frozen=True)
class Exp:
    """c exp(k eta)."""

    c: float
    k: int

    def __call__(self, points: Points) -> np.ndarray | float:
        """Its values."""
        value = points.exp if self.k == 1 else points.exp**self.k if self.k > 0 else 1.0 / points.exp**-self.k
        return value if self.c == 1.0 else self.c * value

    @property
    def derivative(self) -> Exp:
        """c k exp(k eta)."""
        return Exp(self.c * self.k, self.k)


@dataclass(frozen=True)
class Log:
    """c log|eta|."""

    c: float

    def __call__(self, points: Points) -> np.ndarray | float:
        """Its values."""
        return points.log if self.c == 1.0 else self.c * points.log

    @property
    def derivative(self) -> Power:
        """c / eta."""
        return Power(self.c, -1.0)


Function = Power | Exp | Log


def negative(function: Function) -> Function:
    """The function times -1."""
    return replace(function, c=-function.c)
