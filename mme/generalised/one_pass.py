r"""(L) and its gradient of one block of independent levels, level by level in one compiled pass over sorted records.

A level's mode needs its own records alone: Newton's method runs to its end on them while they are in the cache, and the
same records then give h, W' and what the gradient sums. Nothing as long as the data is made in between. Each function
is plain Python; :func:`mme.numeric.kernels.kernel` compiles them together.
"""

from __future__ import annotations

import math

import numpy as np

from mme.family.point import by_size, slopes, whole

# The kind of family that has a parameter k.
_SIZED = 2
# Newton's decrement below which a full step is taken without a look at the density.
_NEAR = 0.05
# A decrement below which one more full step ends at the mode to rounding.
_CLOSE = 1e-12
_STEPS, _HALVINGS = 100, 40
# Its arguments, as mme.numeric.machine_code calls them.
ARGUMENTS = "i f I1 F2 F2 F2 F2 F2 F2 F2 F2 F1 F1 I1"


def one_pass(
    kind: int,
    k: float,
    starts: np.ndarray,
    records: np.ndarray,
    T: np.ndarray,
    u: np.ndarray,
    M: np.ndarray,
    L: np.ndarray,
    along: np.ndarray,
    sums: np.ndarray,
    by_T: np.ndarray,
    by_gamma: np.ndarray,
    by_k: np.ndarray,
    steps: np.ndarray,
) -> float:
    """(L) less what no parameter changes; infinite where a level has no mode.

    ``records`` has y, weight, the part of eta that u does not change, z (q) and the row of Q (p) side by side; those of
    level g are ``starts[g]`` to ``starts[g + 1]``. T is (q, q). ``u`` (J, q) becomes the modes; ``by_T`` (q, q),
    ``by_gamma`` (p,) and ``by_k`` (1,), by log k where the family has one, and ``steps`` (1,), those of all levels, are
    added to. M, L, ``along`` and ``sums`` are :func:`rooms` to work in.
    """
    total, lost = 0.0, 0.0
    for g in range(len(u)):
        first, n = starts[g], starts[g + 1] - starts[g]
        _scaled(records, first, n, T, M)
        taken = _mode(kind, k, records, first, n, M, L, u, g, along)
        if taken < 0:
            return math.inf
        steps[0] += taken
        value = _at_mode(kind, records, first, n, M, L, u, g, sums, by_T, by_gamma, by_k) - lost
        grown = total + value
        lost = (grown - total) - value
        total = grown
    return total


def rooms(most: int, q: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Arrays for the records of the largest level, that has ``most``, and for what is summed over one."""
    return np.empty((most, q + 7)), np.empty((q, q)), np.empty((3, q)), np.empty((3 + 2 * q, q))


def _scaled(records: np.ndarray, first: int, n: int, T: np.ndarray, M: np.ndarray) -> None:
    """m_i = T'z_i of the records of a level."""
    q = len(T)
    for i in range(n):
        for a in range(q):
            m = 0.0
            for b in range(q):
                m += T[b, a] * records[first + i, 3 + b]
            M[i, a] = m


def _mode(
    kind: int,
    k: float,
    records: np.ndarray,
    first: int,
    n: int,
    M: np.ndarray,
    L: np.ndarray,
    u: np.ndarray,
    g: int,
    along: np.ndarray,
) -> int:
    """u becomes the mode of a level and L the factor of its H there; the steps taken, -1 where there is no mode."""
    q, last = len(L), False
    for taken in range(_STEPS):
        if last:
            _density(kind, k, records, first, n, M, L, u, g)
            return taken if _factorise(L) else -1
        _force(kind, k, records, first, n, M, u, g, along, L)
        if not _factorise(L):
            return -1
        for a in range(q):
            along[1, a] = along[0, a]
        _solve(L, along, 1)
        decrement = 0.0
        for a in range(q):
            decrement += along[1, a] * along[0, a]
        if not decrement < math.inf:
            return -1
        last = decrement < _CLOSE
        step = 1.0
        if decrement > _NEAR:
            before = _loss(kind, k, records, first, n, M, u, g)
            for _ in range(_HALVINGS):
                for a in range(q):
                    along[2, a] = u[g, a] + step * along[1, a]
                if _loss(kind, k, records, first, n, M, along, 2) <= before - 1e-4 * step * decrement:
                    break
                step *= 0.5
        for a in range(q):
            u[g, a] += step * along[1, a]
    return -1


def _force(
    kind: int,
    k: float,
    records: np.ndarray,
    first: int,
    n: int,
    M: np.ndarray,
    u: np.ndarray,
    g: int,
    along: np.ndarray,
    L: np.ndarray,
) -> None:
    """Slope M'l' - u of the penalised log density, in ``along[0]``, and the lower triangle of H = M'W M + I."""
    q = len(L)
    for a in range(q):
        along[0, a] = -u[g, a]
        for b in range(a):
            L[a, b] = 0.0
        L[a, a] = 1.0
    for i in range(n):
        eta = records[first + i, 2]
        for a in range(q):
            eta += M[i, a] * u[g, a]
        slope, w = slopes(kind, k, records[first + i, 0], records[first + i, 1], eta)
        for a in range(q):
            along[0, a] += M[i, a] * slope
            wm = w * M[i, a]
            for b in range(a + 1):
                L[a, b] += wm * M[i, b]


def _density(
    kind: int, k: float, records: np.ndarray, first: int, n: int, M: np.ndarray, L: np.ndarray, u: np.ndarray, g: int
) -> None:
    """log f, its slope, W and dW/deta of each record behind its row of M, then what k changes; H in L's triangle."""
    q = len(L)
    for a in range(q):
        for b in range(a + 1):
            L[a, b] = 1.0 if a == b else 0.0
    for i in range(n):
        eta = records[first + i, 2]
        for a in range(q):
            eta += M[i, a] * u[g, a]
        y, weight = records[first + i, 0], records[first + i, 1]
        M[i, q], M[i, q + 1], M[i, q + 2], M[i, q + 3] = whole(kind, k, y, weight, eta)
        if kind == _SIZED:
            M[i, q + 4], M[i, q + 5], M[i, q + 6] = by_size(k, y, weight, eta)
        for a in range(q):
            wm = M[i, q + 2] * M[i, a]
            for b in range(a + 1):
                L[a, b] += wm * M[i, b]


def _at_mode(
    kind: int,
    records: np.ndarray,
    first: int,
    n: int,
    M: np.ndarray,
    L: np.ndarray,
    u: np.ndarray,
    g: int,
    sums: np.ndarray,
    by_T: np.ndarray,
    by_gamma: np.ndarray,
    by_k: np.ndarray,
) -> float:
    """The part of a level in (L), and in its gradient; see :mod:`mme.generalised.laplace`.

    Rows of ``sums`` are s, Z'c, Z'l', Z'W M (q of them) and H^-1 (q).
    """
    q, p = len(L), by_gamma.size
    inverse, value, lost, total = 3 + q, 0.0, 0.0, 0.0
    _inverse(L, sums, inverse)
    for a in range(inverse):
        for b in range(q):
            sums[a, b] = 0.0
    for a in range(q):
        total += 2.0 * math.log(L[a, a]) + u[g, a] ** 2
    for i in range(n):
        h = 0.0
        for a in range(q):
            for b in range(q):
                h += M[i, a] * sums[inverse + a, b] * M[i, b]
        part = M[i, q] - lost
        grown = value + part
        lost = (grown - value) - part
        value = grown
        if kind == _SIZED:
            by_k[0] += h * M[i, q + 6] - 2.0 * M[i, q + 4]
        slope, w = M[i, q + 1], M[i, q + 2]
        M[i, q + 3] *= h
        for a in range(q):
            sums[0, a] += M[i, a] * M[i, q + 3]
            sums[2, a] += records[first + i, 3 + a] * slope
            for b in range(q):
                sums[3 + a, b] += w * records[first + i, 3 + a] * M[i, b]
    _solve(L, sums, 0)
    for i in range(n):
        c = M[i, q + 3] - 2.0 * M[i, q + 1]
        for a in range(q):
            c -= M[i, q + 2] * M[i, a] * sums[0, a]
            if kind == _SIZED:
                by_k[0] += M[i, a] * sums[0, a] * M[i, q + 5]
        for a in range(q):
            sums[1, a] += records[first + i, 3 + a] * c
        for j in range(p):
            by_gamma[j] += records[first + i, 3 + q + j] * c
    _add_by_T(by_T, u, g, sums)
    return total - 2.0 * value


def _add_by_T(by_T: np.ndarray, u: np.ndarray, g: int, sums: np.ndarray) -> None:
    """Z'c u' + Z'l' s' + 2 Z'W M H^-1 of a level."""
    q = len(by_T)
    for a in range(q):
        for b in range(q):
            by_T[a, b] += sums[1, a] * u[g, b] + sums[2, a] * sums[0, b]
            for k in range(q):
                by_T[a, b] += 2.0 * sums[3 + a, k] * sums[3 + q + k, b]


def _loss(kind: int, k: float, records: np.ndarray, first: int, n: int, M: np.ndarray, u: np.ndarray, g: int) -> float:
    """-log of the penalised density of one level."""
    loss = 0.0
    q = u.shape[1]
    for a in range(q):
        loss += 0.5 * u[g, a] ** 2
    for i in range(n):
        eta = records[first + i, 2]
        for a in range(q):
            eta += M[i, a] * u[g, a]
        loss -= whole(kind, k, records[first + i, 0], records[first + i, 1], eta)[0]
    return loss


def _factorise(L: np.ndarray) -> bool:
    """The lower triangle of H becomes its Cholesky factor; False where it has none."""
    q = len(L)
    for i in range(q):
        for j in range(i):
            for k in range(j):
                L[i, j] -= L[i, k] * L[j, k]
            L[i, j] /= L[j, j]
            L[i, i] -= L[i, j] ** 2
        if not L[i, i] > 0.0:
            return False
        L[i, i] = math.sqrt(L[i, i])
    return True


def _solve(L: np.ndarray, x: np.ndarray, row: int) -> None:
    """A row of x becomes (L L')^-1 times it."""
    q = len(L)
    for i in range(q):
        for j in range(i):
            x[row, i] -= L[i, j] * x[row, j]
        x[row, i] /= L[i, i]
    for i in range(q - 1, -1, -1):
        for j in range(i + 1, q):
            x[row, i] -= L[j, i] * x[row, j]
        x[row, i] /= L[i, i]


def _inverse(L: np.ndarray, x: np.ndarray, row: int) -> None:
    """(L L')^-1 in the rows of x from ``row`` on."""
    q = len(L)
    for c in range(q):
        for a in range(q):
            x[row + c, a] = 1.0 if a == c else 0.0
        _solve(L, x, row + c)
