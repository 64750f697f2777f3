r"""One evaluation for one of many responses, from sums: theta -> log|M| and the triangle of [X y].

Levels of the absorbed block with equal R_g are a class c, and what an evaluation takes of their N_g are sums over the
class. With W_c = (I + R_c T T'R_c')^-1, packed as its upper triangle, (A) of ``absorption.py`` is

    N'V_1^-1 N  =  N'(I - QQ')N  +  sum_c sum_ij W_c[i, j] sum_{g in c} N_g[i] N_g[j]'                              (C)

The other random effects fall into components that share neither a record nor a level of the absorbed block; each is
eliminated by itself, by the Cholesky factor of Lambda'S Lambda + I, S by (C) of its own columns.

Loops are written for the compiler: they run once for each response and each evaluation of its criterion. What they
take are three vectors, as a call with thirty arrays takes longer than what it does: ``design`` has the numbers of
``layout.py`` one array after another, ``at`` counts, then where each array begins, and ``room`` what
an evaluation overwrites.
"""

from __future__ import annotations

import numpy as np

from mme.numeric.kernels import in_any_order

# Places of ``at``: parameters; coefficients of a level, columns of X, classes, pairs of coefficients; components and
# other effects; other blocks and the most coefficients of theirs.
K, Q, P, C, PAIRS, F, M, BLOCKS, WIDEST = range(9)
# Of ``design``: T of the absorbed block by theta, R and levels of each class, X'(I - QQ')X, its sums by class; first
# effects, Z'(I - QQ')Z of each component and where it begins, the same beside X; first cells, their classes, their sums
# and where these begin, the same beside X; first levels, where each begins and its block; T of the other blocks, and q.
K_T, R, COUNT, XX, XX_OF = range(9, 14)
FIRST, ZZ, ZZ_AT, ZX = range(14, 18)
CELL_FIRST, CELL_CLASS, CELL_ZZ, CELL_ZZ_AT, CELL_ZX, CELL_AT = range(18, 24)
LEVEL_FIRST, LEVEL_AT, LEVEL_BLOCK, REST_T, REST_Q = range(24, 29)
# Of ``design`` too: what the criterion adds (constants, n or n - p, one for REML, sigma or NaN); of each entry of theta
# its natural unit, its row of T and its column.
SCALE, UNIT, ROW, COLUMN = range(29, 33)
# Of ``room``: T, A, L (q, q), W (C, pairs), border (p + 1, p + 1); T of the other blocks, S (m, m), S_N (m, p + 1) and
# a part of one column, m the most of a component.
T_, A_, L_, W_, BORDER, T_REST, S_, S_N, PART = range(33, 42)
# Triangles up to this size are factorised entry by entry.
_FEW = 8
# Numbers that ``room`` has, and places in all.
ROOM, PLACES = 42, 43


def reduced(x: np.ndarray, at: np.ndarray, design: np.ndarray, y: np.ndarray, room: np.ndarray) -> float:
    """log|M| at theta, and in ``room`` the lower factor of (N) as the border; NaN where no digits are left.

    ``y`` are the sums of one response on what X leaves of it: y'(I - QQ')y, then that of the columns of X, by class
    those of squares and those beside X, and those of the other columns of Z, at infinite T and by cell.
    """
    q, p, pairs = at[Q], at[P], at[PAIRS]
    factor_at(x, design, at[K_T], q, room, at[T_])
    logdet = level_weights(at, design, room)
    absorbed_border(at, design, y, room)
    widest = at[WIDEST]
    for t in range(at[BLOCKS]):
        factor_at(x, design, at[REST_T] + t * x.size * widest**2, widest, room, at[T_REST] + t * widest**2)
    beside = 1 + p + at[C] * pairs * (1 + p)
    for f in range(at[F]):
        logdet += eliminated(f, at, design, y, beside, room)
    return logdet if lower_factor(room, at[BORDER], p + 1) else np.nan


def factor_at(x: np.ndarray, design: np.ndarray, basis: int, q: int, room: np.ndarray, T: int) -> None:
    """T = sum_i x_i T_i (q, q)."""
    for e in range(q * q):
        room[T + e] = 0.0
        for i in range(x.size):
            room[T + e] += x[i] * design[basis + i * q * q + e]


def level_weights(at: np.ndarray, design: np.ndarray, room: np.ndarray) -> float:
    """W_c of all classes, packed, and log|I + A_g A_g'| of all levels."""
    logdet, q, T, A, L = 0.0, at[Q], at[T_], at[A_], at[L_]
    for c in range(at[C]):
        R_c, W_c = at[R] + c * q * q, at[W_] + c * at[PAIRS]
        if q == 1:
            square = 1.0 + (design[R_c] * room[T]) ** 2
            room[W_c] = 1.0 / square
            logdet += design[at[COUNT] + c] * np.log(square)
            continue
        for i in range(q):
            for j in range(q):
                s = 0.0
                for a in range(i, q):
                    s += design[R_c + i * q + a] * room[T + a * q + j]
                room[A + i * q + j] = s
        for i in range(q):
            for j in range(i + 1):
                s = 1.0 if i == j else 0.0
                for a in range(q):
                    s += room[A + i * q + a] * room[A + j * q + a]
                room[L + i * q + j] = s
        lower_factor(room, L, q)
        product = 1.0
        for i in range(q):
            product *= room[L + i * q + i]
        logdet += 2.0 * design[at[COUNT] + c] * np.log(product)
        inverse_of_factor(room, L, q)
        e = 0
        for i in range(q):
            for j in range(i, q):
                s = 0.0
                for a in range(j, q):
                    s += room[L + a * q + i] * room[L + a * q + j]
                room[W_c + e] = s
                e += 1
    return logdet


def absorbed_border(at: np.ndarray, design: np.ndarray, y: np.ndarray, room: np.ndarray) -> None:
    """The lower triangle of (C) for N = [X y]."""
    p, border, classes = at[P], at[BORDER], at[C] * at[PAIRS]
    wide, squares, beside = p + 1, 1 + p, 1 + p + classes
    for a in range(p):
        for b in range(a + 1):
            s = design[at[XX] + a * p + b]
            for e in range(classes):
                s += room[at[W_] + e] * design[at[XX_OF] + (e * p + a) * p + b]
            room[border + a * wide + b] = s
        s = y[1 + a]
        for e in range(classes):
            s += room[at[W_] + e] * y[beside + e * p + a]
        room[border + p * wide + a] = s
    s = y[0]
    for e in range(classes):
        s += room[at[W_] + e] * y[squares + e]
    room[border + p * wide + p] = s


@in_any_order
def eliminated(f: int, at: np.ndarray, design: np.ndarray, y: np.ndarray, beside: int, room: np.ndarray) -> float:
    """log|Lambda'S Lambda + I| of one component, whose part is taken from the border; NaN where no digits are left."""
    m, wide, S, N, border = (
        int(design[at[FIRST] + f + 1] - design[at[FIRST] + f]),
        at[P] + 1,
        at[S_],
        at[S_N],
        at[BORDER],
    )
    component(f, m, at, design, y, beside, room)
    multiply_lambda(f, m, at, design, room)
    for a in range(m):
        room[S + a * m + a] += 1.0
    if not lower_factor(room, S, m):
        return np.nan
    logdet = 0.0
    for a in range(m):
        pivot = room[S + a * m + a]
        logdet += 2.0 * np.log(pivot)
        for r in range(wide):
            s = room[N + a * wide + r]
            for b in range(a):
                s -= room[S + a * m + b] * room[N + b * wide + r]
            room[N + a * wide + r] = s / pivot
        for r in range(wide):
            for c in range(r + 1):
                room[border + r * wide + c] -= room[N + a * wide + r] * room[N + a * wide + c]
    return logdet


def component(f: int, m: int, at: np.ndarray, design: np.ndarray, y: np.ndarray, beside: int, room: np.ndarray) -> None:
    """S (m, m) of one component and its columns beside N, by (C)."""
    p, pairs, S, N, start = at[P], at[PAIRS], at[S_], at[S_N], int(design[at[FIRST] + f])
    wide, by_cell = p + 1, beside + at[M]
    room[S : S + m * m] = 0.0
    added(room, S, design, at[ZZ] + int(design[at[ZZ_AT] + f]), m * m, 1.0)
    for a in range(m):
        for r in range(p):
            room[N + a * wide + r] = design[at[ZX] + (start + a) * p + r]
        room[N + a * wide + p] = y[beside + start + a]
    for cell in range(int(design[at[CELL_FIRST] + f]), int(design[at[CELL_FIRST] + f + 1])):
        squares, row = at[CELL_ZZ] + int(design[at[CELL_ZZ_AT] + cell]), int(design[at[CELL_AT] + cell])
        W_c = at[W_] + int(design[at[CELL_CLASS] + cell]) * pairs
        for e in range(pairs):
            w = room[W_c + e]
            added(room, S, design, squares + e * m * m, m * m, w)
            for a in range(m):
                here = row + e * m + a
                for r in range(p):
                    room[N + a * wide + r] += w * design[at[CELL_ZX] + here * p + r]
                room[N + a * wide + p] += w * y[by_cell + here]


def added(room: np.ndarray, S: int, design: np.ndarray, start: int, count: int, w: float) -> None:
    """Add w times numbers of the design to what stands in the room."""
    if count > _FEW**2:
        own, other = room[S : S + count], design[start : start + count]
        for b in range(count):
            own[b] += w * other[b]
        return
    for b in range(count):
        room[S + b] += w * design[start + b]


def multiply_lambda(f: int, m: int, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> None:
    """Lambda'S Lambda and Lambda'S_N of one component, in place, level by level."""
    wide, q_T = at[P] + 1, at[WIDEST] ** 2
    for side in range(2):
        for level in range(int(design[at[LEVEL_FIRST] + f]), int(design[at[LEVEL_FIRST] + f + 1])):
            row, block = int(design[at[LEVEL_AT] + level]), int(design[at[LEVEL_BLOCK] + level])
            q, T = int(design[at[REST_Q] + block]), at[T_REST] + block * q_T
            across(room, at[S_] + row * m, m, q, T, at[WIDEST], at[PART])
            if side == 0:
                across(room, at[S_N] + row * wide, wide, q, T, at[WIDEST], at[PART])
        if side == 0:  # Lambda'S, whose transpose has the rows for the other side
            for a in range(m):
                for b in range(a):
                    one, other = at[S_] + a * m + b, at[S_] + b * m + a
                    room[one], room[other] = room[other], room[one]


def across(room: np.ndarray, start: int, columns: int, q: int, T: int, widest: int, part: int) -> None:
    """T' times q rows of a matrix, one after another from ``start``, in place."""
    if q == 1:
        for c in range(columns):
            room[start + c] *= room[T]
        return
    if columns > _FEW:
        return across_by_rows(room, start, columns, q, T, widest, part)
    for c in range(columns):
        for j in range(q):
            s = 0.0
            for a in range(q):
                s += room[T + a * widest + j] * room[start + a * columns + c]
            room[part + j] = s
        for j in range(q):
            room[start + j * columns + c] = room[part + j]


@in_any_order
def across_by_rows(room: np.ndarray, start: int, columns: int, q: int, T: int, widest: int, part: int) -> None:
    """The same for longer rows."""
    for j in range(q):
        own = room[part + j * columns : part + (j + 1) * columns]
        own[:] = 0.0
        for a in range(q):
            row, t = room[start + a * columns : start + (a + 1) * columns], room[T + a * widest + j]
            for c in range(columns):
                own[c] += t * row[c]
    room[start : start + q * columns] = room[part : part + q * columns]


def lower_factor(room: np.ndarray, L: int, m: int) -> bool:
    """Cholesky's factor in place of a lower triangle (m, m); whether every pivot was positive."""
    if m > _FEW:
        return lower_factor_by_rows(room[L : L + m * m].reshape(m, m))
    for i in range(m):
        for j in range(i + 1):
            s = room[L + i * m + j]
            for a in range(j):
                s -= room[L + i * m + a] * room[L + j * m + a]
            if j < i:
                room[L + i * m + j] = s / room[L + j * m + j]
            elif s > 0.0:
                room[L + i * m + i] = np.sqrt(s)
            else:
                return False
    return True


@in_any_order
def lower_factor_by_rows(A: np.ndarray) -> bool:
    """The same for a larger one: row by row, whose products are of neighbours."""
    m = A.shape[0]
    for j in range(m):
        own = A[j]
        s = own[j]
        for a in range(j):
            s -= own[a] * own[a]
        if not s > 0.0:
            return False
        pivot = np.sqrt(s)
        own[j] = pivot
        for i in range(j + 1, m):
            row = A[i]
            s = row[j]
            for a in range(j):
                s -= row[a] * own[a]
            row[j] = s / pivot
    return True


def inverse_of_factor(room: np.ndarray, L: int, m: int) -> None:
    """The inverse of a lower triangle (m, m) in its place."""
    for i in range(m):
        room[L + i * m + i] = 1.0 / room[L + i * m + i]
        for j in range(i):
            s = 0.0
            for a in range(j, i):
                s -= room[L + i * m + a] * room[L + a * m + j]
            room[L + i * m + j] = s * room[L + i * m + i]
