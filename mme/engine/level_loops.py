"""The loops over levels of :mod:`mme.engine.accumulation`: numbers and arrays alone, kept on disk as machine code."""

from __future__ import annotations

import numpy as np

from mme.numeric.limits import limits
from mme.numeric.machine_code import Loop, machine_code

# What the loops take, by the words of :func:`mme.numeric.machine_code.machine_code`.
ARGUMENTS = {
    "subtract_numbers": "F2 i I1 I1 U1 F1 F1",
    "subtract_rows": "F2 i I1 I1 U1 F2 F3 F1",
    "collect": "F3 F2 i I1 I1 U1 F2 F1",
    "take_numbers": "F2 I1 U1 F1 F1 F2 F1",
    "take_rows": "F2 I1 U1 F2 F3 F2 F2 F2",
}


def at_hand(plain: Loop, entries: int) -> Loop | None:
    """The loop from disk; where it is not there, it is made beside this fit of so many ``entries``, which goes on."""
    return machine_code(plain, ARGUMENTS[plain.__name__], min(entries, limits().compiled_records - 1))


def subtract_numbers(
    columns: np.ndarray, width: int, ends: np.ndarray, at: np.ndarray, row: np.ndarray, B: np.ndarray, U: np.ndarray
) -> float:
    """columns[j, i] -= sum_g B_gi U_g B_gj for i >= j, ``width`` columns at a time; B (entries,) and U (J,).

    Level g is at entry ``at[g]``, which moves from its first one to its end.
    """
    m = len(columns)
    for stop in range(width, m + width, width):
        for g in range(ends.size):
            end = ends[g]
            while at[g] < end and row[at[g]] < stop:
                first = at[g]
                j, times = row[first], U[g] * B[first]
                for e in range(first, end):
                    columns[j, row[e]] -= times * B[e]
                at[g] += 1
    return 0.0


def subtract_rows(
    columns: np.ndarray,
    width: int,
    ends: np.ndarray,
    at: np.ndarray,
    row: np.ndarray,
    B: np.ndarray,
    U: np.ndarray,
    times: np.ndarray,
) -> float:
    """The same for B (entries, q) and U (J, q, q): columns[j, i] -= sum_g B_gi'U_g B_gj; ``times`` (q,) is room."""
    m, q = len(columns), B.shape[1]
    for stop in range(width, m + width, width):
        for g in range(ends.size):
            end = ends[g]
            while at[g] < end and row[at[g]] < stop:
                first = at[g]
                j = row[first]
                for a in range(q):
                    times[a] = 0.0
                    for b in range(q):
                        times[a] += U[g, a, b] * B[first, b]
                for e in range(first, end):
                    total = 0.0
                    for a in range(q):
                        total += B[e, a] * times[a]
                    columns[j, row[e]] -= total
                at[g] += 1
    return 0.0


def collect(
    half: np.ndarray,
    H: np.ndarray,
    width: int,
    ends: np.ndarray,
    at: np.ndarray,
    row: np.ndarray,
    B: np.ndarray,
    along: np.ndarray,
) -> float:
    """half[g] += B_gi H_ij B_gj' over i >= j, the diagonal by half; half (J, q, q), B (entries, q), ``along`` (q,)."""
    m, q = len(H), B.shape[1]
    for stop in range(width, m + width, width):
        for g in range(ends.size):
            end = ends[g]
            while at[g] < end and row[at[g]] < stop:
                first = at[g]
                j = row[first]
                for a in range(q):
                    along[a] = -0.5 * H[j, j] * B[first, a]
                for e in range(first, end):
                    for a in range(q):
                        along[a] += H[j, row[e]] * B[e, a]
                for a in range(q):
                    for b in range(q):
                        half[g, a, b] += along[a] * B[first, b]
                at[g] += 1
    return 0.0


def take_numbers(
    out: np.ndarray, ends: np.ndarray, row: np.ndarray, B: np.ndarray, U: np.ndarray, V: np.ndarray, along: np.ndarray
) -> float:
    """out -= sum_g B_g U_g B_g'V for numbers B (entries,) and U (J,): each level gathers, and gives back.

    ``along`` (c,) has room for what it gathers.
    """
    columns, first = V.shape[1], 0
    for g in range(ends.size):
        for k in range(columns):
            along[k] = 0.0
        for e in range(first, ends[g]):
            for k in range(columns):
                along[k] += B[e] * V[row[e], k]
        for k in range(columns):
            along[k] *= U[g]
        for e in range(first, ends[g]):
            for k in range(columns):
                out[row[e], k] -= B[e] * along[k]
        first = ends[g]
    return 0.0


def take_rows(
    out: np.ndarray,
    ends: np.ndarray,
    row: np.ndarray,
    B: np.ndarray,
    U: np.ndarray,
    V: np.ndarray,
    along: np.ndarray,
    times: np.ndarray,
) -> float:
    """The same for B (entries, q) and U (J, q, q), with room (q, c) twice."""
    columns, q, first = V.shape[1], B.shape[1], 0
    for g in range(ends.size):
        for a in range(q):
            for k in range(columns):
                along[a, k] = 0.0
                times[a, k] = 0.0
        for e in range(first, ends[g]):
            for a in range(q):
                for k in range(columns):
                    along[a, k] += B[e, a] * V[row[e], k]
        for a in range(q):
            for b in range(q):
                for k in range(columns):
                    times[a, k] += U[g, a, b] * along[b, k]
        for e in range(first, ends[g]):
            for a in range(q):
                for k in range(columns):
                    out[row[e], k] -= B[e, a] * times[a, k]
        first = ends[g]
    return 0.0
