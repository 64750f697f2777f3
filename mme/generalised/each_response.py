"""The passes of many responses of one model with one block of levels, one after the other."""

from __future__ import annotations

import numpy as np

from mme.family.point import rising
from mme.generalised.one_coefficient import one_coefficient
from mme.generalised.one_pass import one_pass, rooms


def each_response(
    scalar: int | None,
    kind: int,
    k: np.ndarray,
    starts: np.ndarray,
    records: np.ndarray,
    offset: np.ndarray,
    rows: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray,
    above: np.ndarray,
    gamma: np.ndarray,
    T: np.ndarray,
    u: np.ndarray,
    by_T: np.ndarray,
    by_gamma: np.ndarray,
    by_k: np.ndarray,
    value: np.ndarray,
) -> None:
    """(L) less a constant of each response into ``value`` (b,), infinite without modes, and what gradients are made of.

    ``rows`` (b,) are the places of the responses among Y and ``weights`` (B, n) and ``above`` (B, most). Parameters k
    (b,), ``gamma`` (b, p), T (b, q, q) and modes u (b, J, q) are of each; ``by_T``, ``by_gamma`` and ``by_k`` (b, 1)
    are zeros. ``scalar`` is None where a level has several coefficients: what is not called is not compiled.
    """
    own, q, steps = records.copy(), T.shape[1], np.zeros(1, np.int64)
    M, L, along, sums = rooms(np.diff(starts).max(), q)
    for b in range(rows.size):
        for i in range(own.shape[0]):
            eta = offset[i]
            for j in range(gamma.shape[1]):
                eta += own[i, 3 + q + j] * gamma[b, j]
            own[i, 0], own[i, 1], own[i, 2] = Y[rows[b], i], weights[rows[b], i], eta
        if scalar is None:
            found = one_pass(
                kind, k[b], starts, own, T[b], u[b], M, L, along, sums, by_T[b], by_gamma[b], by_k[b], steps
            )
        else:
            found = one_coefficient(kind, k[b], starts, own, T[b], u[b], M, by_T[b], by_gamma[b], by_k[b], steps)
        outside, slope = rising(k[b], above[rows[b]])
        by_k[b, 0] -= 2.0 * slope
        found -= 2.0 * outside
        value[b] = found if np.isfinite(found) else np.inf
