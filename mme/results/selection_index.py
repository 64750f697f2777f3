r"""The selection index: the linear function of phenotypes that goes with what is to be improved.

    H = w'a,    I = b'p,    b = P^-1 G w,      accuracy r = sqrt(b'G w / w'C w),     response = i G'b / sqrt(b'P b)

P covers the phenotypes, G the phenotypes with the breeding values, C the breeding values (Hazel 1943, Genetics 28:476).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arguments import number
from mme.tables.arrays import numbers

if TYPE_CHECKING:
    import pandas as pd

# A pivot this small against its diagonal entry is rounding.
_DEPENDENT = 1e-10


@dataclass(frozen=True, eq=False)
class SelectionIndex:
    """An index and what selection on it does.

    Attributes
    ----------
    weights : Series
        b, by phenotype.
    accuracy : float
        Correlation of the index with the goal.
    response : Series
        Expected response of the breeding values, by trait of the goal.
    gain : float
        Expected response of the goal, w'response.
    sd : float
        Standard deviation of the index.
    """

    weights: pd.Series
    accuracy: float
    response: pd.Series
    gain: float
    sd: float

    def __repr__(self) -> str:
        return f"SelectionIndex: accuracy {self.accuracy:.3f}, gain {self.gain:.4g}\n{self.weights.to_string()}"


def selection_index(P: Any, G: Any, weights: Any, *, C: Any = None, intensity: float = 1.0) -> SelectionIndex:
    """Smith and Hazel's index.

    Parameters
    ----------
    P : (k, k) array or DataFrame
        Covariances of the phenotypes.
    G : (k, t) array or DataFrame
        Covariances of the phenotypes with the breeding values of the goal.
    weights : (t,) array, mapping or Series
        Economic values of the traits of the goal.
    C : (t, t) array, optional
        Covariances of these breeding values; None: G, which then is of the same traits.
    intensity : float
        i, standardised selection differential.

    Raises
    ------
    MMEError
        Sizes do not go together, P is not positive definite.

    Examples
    --------
    One's own record, h2 = 0.25: the accuracy is its root.

    >>> index = selection_index([[100.0]], [[25.0]], [1.0])
    >>> index.weights.tolist(), index.accuracy
    ([0.25], 0.5)
    """
    import pandas as pd

    rows = [str(one) for one in getattr(P, "columns", range(np.shape(P)[0]))]
    traits = [str(one) for one in getattr(G, "columns", rows if np.shape(G) == np.shape(P) else range(np.shape(G)[-1]))]
    if isinstance(weights, dict):
        unknown = sorted(set(map(str, weights)) ^ set(traits))
        if unknown:
            raise MMEError(f"weights must be of the traits {', '.join(traits)}; {unknown[0]!r} is on one side alone")
        weights = [dict(zip(map(str, weights), weights.values(), strict=True))[one] for one in traits]
    p, g, w = numbers(P, "P"), numbers(G, "G"), np.atleast_1d(numbers(weights, "weights"))
    if p.shape != (len(rows), len(rows)) or g.shape != (len(rows), w.size):
        raise MMEError(f"P must be (k, k), G (k, t) for t = {w.size} weights; got {p.shape} and {g.shape}")
    c = g if C is None else numbers(C, "C")
    if c.shape != (w.size, w.size):
        raise MMEError(f"C must be ({w.size}, {w.size}), the covariances of the goal's breeding values; got {c.shape}")
    i = number(intensity, "intensity must be a positive number", lambda value: value > 0.0)
    if np.linalg.eigvalsh(p / np.sqrt(np.outer(np.diag(p), np.diag(p))))[0] < _DEPENDENT:
        raise MMEError("P is not positive definite: a phenotype follows from others")
    b = np.linalg.solve(p, g @ w)
    sd = float(np.sqrt(b @ p @ b))
    response = i * (g.T @ b) / sd
    goal = float(w @ c @ w)
    return SelectionIndex(
        pd.Series(b, index=rows, name="b"),
        float(np.sqrt(b @ g @ w / goal)),
        pd.Series(response, index=traits, name="response"),
        float(w @ response),
        sd,
    )
