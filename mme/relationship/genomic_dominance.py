"""Dominance relationships from markers."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.relationship.genomic import centred


def vitezica(markers: Any, *, frequencies: Any = None) -> np.ndarray:
    r"""D = W W' / sum (2 p_j q_j)^2, W of dominance deviations: -2 q^2, 2 p q and -2 p^2 of 2, 1 and 0 copies.

    These are orthogonal to breeding values in Hardy-Weinberg proportions (Vitezica, Varona and Legarra 2013, Genetics
    195:1223-1230). A missing marker counts as zero; dosages between go along the parabola through the three.

    Parameters
    ----------
    markers : (n, m) array
        Copies of the counted allele, 0 to 2.
    frequencies : (m,) array, optional
        p; None: those observed.

    Examples
    --------
    >>> vitezica([[0], [1], [1], [2]]).tolist()[0]
    [1.0, -1.0, -1.0, 1.0]
    """
    Z, p, _ = centred(markers, frequencies)
    M = Z + 2.0 * p
    W = -2.0 * p**2 + (2.0 * p + 1.0) * M - M**2  # -2 p^2, 2 p q and -2 q^2 where M is 0, 1 and 2
    W[np.isnan(np.asarray(markers, dtype=float))] = 0.0
    return np.asarray(W @ W.T / float(np.sum((2.0 * p * (1.0 - p)) ** 2)))
