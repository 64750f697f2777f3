"""The scale of a response that the formula transforms: log(y), sqrt(y), the logit of y, powers.

With y = h(eta) on the way back, a mean on the scale of the response is h(eta), which is the median of y, or, adjusted
for bias, E h(eta + sigma z) with z standard normal: the mean of y where sigma counts all that varies. (emmeans takes
h + sigma^2 h'' / 2, the first terms of the same.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.formula.parser import parse_expression
from mme.formula.syntax import Call, Name, Node, Number, Op
from mme.results.shares import random_variances
from mme.tables.arguments import is_word, number

Function = Callable[[np.ndarray], np.ndarray]

_NODES = 48
_E = math.e


@dataclass(frozen=True, eq=False)
class ResponseScale:
    """h and its slope; ``ratio`` is what exp of a difference of two eta is, None where it is no ratio."""

    h: Function
    h_slope: Function
    ratio: str | None
    sigma: float = 0.0

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """E h(eta + sigma z)."""
        return self._average(self.h, eta)

    def slope(self, eta: np.ndarray) -> np.ndarray:
        """E h'(eta + sigma z)."""
        return self._average(self.h_slope, eta)

    def _average(self, f: Function, eta: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            if not self.sigma:
                return np.asarray(f(eta))
            z, weights = np.polynomial.hermite_e.hermegauss(_NODES)
            return np.asarray(f(eta[..., None] + self.sigma * z) @ weights / weights.sum())


def response_scale(fit: Fitted, scale: str, bias_adjust: Any) -> ResponseScale | None:
    """The way back to the response; None on the scale of the model.

    Raises
    ------
    MMEError
        The scale is another word, or the response is no transform whose inverse is known.
    """
    if not is_word(scale, ("link", "response")):
        raise MMEError(f"scale must be 'link' (that of the model) or 'response', got {scale!r}")
    if scale == "link":
        if bias_adjust is not False:
            raise MMEError("bias_adjust is of means on the scale of the response: scale='response'")
        return None
    found = _known(parse_expression(fit.specification.response)) if fit.specification else None
    if found is None:
        raise MMEError(
            f"scale='response': the inverse of {fit.model.response} is not known; log, log2, log10, log1p, sqrt, the "
            "logit log(y / (1 - y)) and powers I(y^p) are. The response is on its own scale otherwise"
        )
    return replace(found, sigma=_sigma(fit, bias_adjust))


def total_sd(fit: Fitted) -> float:
    """The root of the variances of all random terms and of the residual."""
    return float(np.sqrt(sum(random_variances(fit.model, fit.theta, fit.sigma)) + fit.sigma**2))


def deviation(fit: Fitted, word: Any) -> tuple[float, float]:
    """The standard deviation that effect sizes are over, and degrees of freedom on which it is known.

    Of the residual those are n - p; of all variances one less than the levels of the term that has fewest; a number is
    known exactly.
    """
    if is_word(word, ("total",)) and fit.model.terms:
        return total_sd(fit), max(float(min(term.n_levels for term in fit.model.terms) - 1), 1.0)
    if is_word(word, ("residual", "total")):
        return fit.sigma, max(float(fit.nobs - len(fit.fixed_names)), 1.0)
    needed = "effect_size must be 'residual', 'total' (all variances), or a standard deviation"
    return number(word, needed, lambda value: value > 0.0), np.inf


def _sigma(fit: Fitted, bias_adjust: Any) -> float:
    """The standard deviation that the mean is taken over."""
    if bias_adjust is False:
        return 0.0
    if bias_adjust is True or is_word(bias_adjust, ("total",)):
        return total_sd(fit)
    if is_word(bias_adjust, ("residual",)):
        return fit.sigma
    needed = "bias_adjust must be False, 'total' (all variances), 'residual', or a standard deviation"
    return number(bias_adjust, needed, lambda value: value >= 0.0)


def _known(node: Node) -> ResponseScale | None:
    """The inverse of a transform of one column."""
    if isinstance(node, Op) and node.symbol == "(":
        return _known(node.args[0])
    if isinstance(node, Call) and node.function == "I" and len(node.args) == 1:
        return _known(node.args[0])
    if isinstance(node, Call) and node.args:
        return _of_call(node.function.removeprefix("np."), node)
    match node:
        case Op("^", (Name(), Number(power))) if power:
            return _power(power)
        case Op("/", (Number(1), Name())):
            return _power(-1.0)
    return None


def _of_call(function: str, call: Call) -> ResponseScale | None:
    inside, base = call.args[0], _base(function, call)
    if isinstance(inside, Name):
        if base is not None:
            ratio = "ratio" if base == _E else None
            rate = float(np.log(base))
            return ResponseScale(lambda eta: np.exp(rate * eta), lambda eta: rate * np.exp(rate * eta), ratio)
        match function:
            case "sqrt":
                return ResponseScale(np.square, lambda eta: 2.0 * eta, None)
            case "log1p":
                return ResponseScale(np.expm1, np.exp, None)
            case "exp":
                return ResponseScale(np.log, np.reciprocal, None)
    if base == _E:
        match inside:
            case Op("/", (Name(y), Op("(", (Op("-", (Number(1), Name(other))),)))) if y == other:
                return _LOGIT
            case Op("+", (Name(), Number(c))) | Op("+", (Number(c), Name())):
                return ResponseScale(lambda eta: np.exp(eta) - c, np.exp, None)
    return None


def _base(function: str, call: Call) -> float | None:
    """The base of a logarithm."""
    if function in ("log2", "log10"):
        return float(function.removeprefix("log"))
    if function != "log":
        return None
    given = [*call.args[1:], *(value for name, value in call.keywords if name == "base")]
    if not given:
        return _E
    return float(given[0].value) if isinstance(given[0], Number) else None


def _power(p: float) -> ResponseScale:
    return ResponseScale(lambda eta: eta ** (1.0 / p), lambda eta: eta ** (1.0 / p - 1.0) / p, None)


_LOGIT = ResponseScale(expit, lambda eta: expit(eta) * expit(-eta), "odds_ratio")
