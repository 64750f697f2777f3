r"""Where a mode ends: a log f that is not concave in eta can lose its maximum, and with it Laplace's approximation.

As the parameters come near such a point, H becomes singular: log|H| falls without end, and the criterion with it,
whatever the likelihood does. A search that ends beside such a point has found no minimum; there may be one elsewhere.
"""

from __future__ import annotations

import numpy as np

from mme.generalised.laplace import Laplace
from mme.generalised.problem import Problem

# Where var(b | y) is so many times var(b), the mode is about to cease: of a concave log f it is never larger.
_LARGER = 100.0


def is_fold(at: Laplace) -> bool:
    """Whether some level's mode is about to cease."""
    if at.mode.factor is None:
        return True
    theta = at.at.theta
    for block, V, T in zip(at.problem.blocks, at.mode.factor.covariances(), at.mode.prior.T, strict=True):
        prior = np.einsum("ab,ab->a", T, T)
        held = np.einsum("gaa->ga", V)
        if block.is_block_diagonal and theta.size and (held > _LARGER * np.maximum(prior, 1e-12)).any():
            return True
    return False


def of_fold(problem: Problem) -> str:
    """The sentence on it."""
    family = problem.family
    return (
        f"the curvature at a mode vanishes: log f of the {family.name} family by the {family.link} link is not "
        "concave, and Laplace's approximation rises without end where a mode ceases to be; its values mean nothing "
        "there. Use another link, laplace='expected', or fewer random effects"
    )
