r"""log P(a < x <= b) of a link's distribution, and its derivatives as the interval moves, and as its upper end does.

P = F(b) - F(a) loses its digits in the tails. For the logistic and the least extreme value distribution it is a
product, with the gap d = b - a a constant as the interval moves:

    logit     log P = log F(b) + log(1 - F(a)) + log(1 - exp(-d))
    cloglog   log P = log(1 - F(a)) + log F(c),    c = a + log(exp(d) - 1);

for the others P = F(b) (1 - r), r = F(a)/F(b), or from the upper tail P = (1 - F(a)) (1 - r),
r = (1 - F(b))/(1 - F(a)), whichever is the nearer tail, with the logarithms of both.
"""

from __future__ import annotations

import numpy as np

from mme.family.links import PROBABILITIES
from mme.family.probability import Probability


def intervals(link: str, a: np.ndarray, b: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return log P, three derivatives in x, that by b, and two derivatives in x of it (7, n).

    Either a is -inf for all, or b is inf for all, or neither for any.
    """
    F, out = PROBABILITIES[link], np.zeros((7, a.size))
    if np.isinf(a[0]):
        at = F(b)
        out[:4] = [at.log_p(k) for k in range(4)]
        out[4:] = out[1:4]
    elif np.isinf(b[0]):
        at = F(a)
        out[:4] = [at.log_q(k) for k in range(4)]
    elif link == "logit":
        _product(F(a), F(b), np.log(-np.expm1(-gap)), np.ones(gap.shape), -np.exp(-gap) / np.expm1(-gap), out)
    elif link == "cloglog":
        shifted = F(a + np.where(gap > 30.0, gap, np.log(np.expm1(np.minimum(gap, 30.0)))))
        _product(F(a), shifted, np.zeros(gap.shape), -1.0 / np.expm1(-gap), np.zeros(gap.shape), out)
    else:
        _difference(F(a), F(b), out)
    return out


def _product(
    low: Probability, high: Probability, log: np.ndarray, rate: np.ndarray, rest: np.ndarray, out: np.ndarray
) -> None:
    """log P = log(1 - F(a)) + log F(.) + log, the upper end moves the second by its rate, the last by rest."""
    for k in range(4):
        out[k] = low.log_q(k) + high.log_p(k)
    out[0] += log
    out[4:] = [rate * high.log_p(k) for k in (1, 2, 3)]
    out[4] += rest


def _difference(low: Probability, high: Probability, out: np.ndarray) -> None:
    """log P = log F(b) + log(1 - r), or of the upper tail; g = log r, t = r/(1 - r), dt/dx = t (1 + t) g'."""
    upper = low.eta + high.eta > 0.0
    large = [np.where(upper, low.log_q(k), high.log_p(k)) for k in range(4)]
    small = [np.where(upper, high.log_q(k), low.log_p(k)) for k in range(4)]
    g, g1, g2, g3 = (one - other for one, other in zip(small, large, strict=True))
    t = 1.0 / np.expm1(np.minimum(-g, 700.0))
    t1 = t * (1.0 + t) * g1
    t2 = t * (1.0 + t) * (g2 + (1.0 + 2.0 * t) * g1**2)
    out[0] = large[0] + np.log(-np.expm1(g))
    out[1], out[2] = large[1] - t * g1, large[2] - t * g2 - t1 * g1
    out[3] = large[3] - t * g3 - 2.0 * t1 * g2 - t2 * g1
    for k, (of_small, of_large) in enumerate(
        (
            (t * small[1], (1.0 + t) * large[1]),
            (t * small[2] + t1 * small[1], (1.0 + t) * large[2] + t1 * large[1]),
            (
                t * small[3] + 2.0 * t1 * small[2] + t2 * small[1],
                (1.0 + t) * large[3] + 2.0 * t1 * large[2] + t2 * large[1],
            ),
        )
    ):
        out[4 + k] = np.where(upper, -of_small, of_large)
