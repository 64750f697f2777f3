r"""One evaluation for one of many responses, from sums: theta -> log|M| and the triangle of [X y].

Levels of the absorbed block with equal R_g are a class c, and what an evaluation takes of their N_g are sums over the
class. With W_c = (I + R_c T T'R_c')^-1, packed as its upper triangle, (A) of ``absorption.py`` is

    N'V_1^-1 N  =  N'(I - QQ')N  +  sum_c sum_ij W_c[i, j] sum_{g in c} N_g[i] N_g[j]'  =  sum_u omega_u G_u,    (C)

omega the features: one, and all W_c[i, j]. The other random effects fall into components that share neither a record
nor a level of the absorbed block; each is eliminated by itself, by the Cholesky factor of Lambda'S Lambda + I, S by (C)
of its own columns. Components of equal S are eliminated once: with N = sum_t omega_t N_t and
K = Lambda (Lambda'S Lambda + I)^-1 Lambda' what they take from the border is

    sum_f N'K N  =  sum_{t a <= t'b} omega_t omega_t' K[a, b] Gamma,                                              (D)

Gamma the sum over f of N_t[a]'N_t'[b] (and its transpose where that is another).

A component that meets levels of many classes is wide: its sums by class would be many, and S = Z'(I - QQ')Z + Y'Y with
Y_g = L_g^-1 Q_g'Z is made by a product of matrices.

Loops are written for the compiler: they run once for each response and each evaluation of its criterion.
"""

from __future__ import annotations

import numpy as np

from mme.many.factors import factorise, forward, invert_factor, square_inverse_factor, transpose
from mme.many.layout import (
    BLOCKS,
    BORDER,
    COUNTS,
    FACTOR,
    FEATURE,
    FEATURES,
    FIRST_LEVEL,
    FIRST_TERM,
    GAMMA,
    GAMMA_AT,
    INVERSE,
    LEVEL_AT,
    LEVEL_BLOCK,
    MEMBERS,
    MERGED,
    N_AT,
    OMEGA,
    PART,
    REST_BASIS,
    REST_Q,
    REST_T,
    S_AT,
    SIZE,
    SOLVED,
    T_BASIS,
    WIDE,
    WIDE_AT,
    WIDEST,
    Y_N,
    ZN,
    ZN_AT,
    ZZ,
    ZZ_AT,
    A,
    C,
    F,
    G,
    J,
    K,
    L,
    N,
    Q,
    R,
    S,
    T,
    V,
    W,
    Y,
    copy_matrix,
)  # fmt: skip
from mme.numeric.kernels import in_any_order


def matrix(numbers: np.ndarray, first: int, rows: int, columns: int) -> np.ndarray:
    """A view of the numbers from ``first`` on as a matrix (rows, columns)."""
    return numbers[first : first + rows * columns].reshape(rows, columns)


def reduced(x: np.ndarray, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> float:
    """log|M| at theta, and in the room the lower factor of (N) as the border; NaN where no digits are left."""
    w, q2, r2 = at[W], at[Q] ** 2, at[WIDEST] ** 2
    combine(x, design, at[T_BASIS], room, at[T], q2)
    logdet = level_weights(at, design, room)
    border = matrix(room, at[BORDER], w, w)
    for a in range(w):
        for b in range(a + 1):
            s = 0.0
            for u in range(at[FEATURES]):
                s += room[at[OMEGA] + u] * room[at[G] + (u * w + a) * w + b]
            border[a, b] = s
    for t in range(at[BLOCKS]):
        combine(x, design, at[REST_BASIS] + t * at[K] * r2, room, at[REST_T] + t * r2, r2)
    for f in range(at[F]):
        logdet += eliminate(f, border, at, design, room)
    return logdet if factorise(border) else np.nan


def combine(x: np.ndarray, design: np.ndarray, basis: int, room: np.ndarray, T: int, size: int) -> None:
    """T = sum_i x_i T_i, entry by entry."""
    for e in range(size):
        s = 0.0
        for i in range(x.size):
            s += x[i] * design[basis + i * size + e]
        room[T + e] = s


def level_weights(at: np.ndarray, design: np.ndarray, room: np.ndarray) -> float:
    """The features, L_c^-1 of all classes, and log|I + A_g A_g'| of all levels, A = R T."""
    logdet, q, u = 0.0, at[Q], at[OMEGA] + 1
    T_ = matrix(room, at[T], q, q)
    room[at[OMEGA]] = 1.0
    for c in range(at[C]):
        if q == 1:
            value = design[at[R] + c] * T_[0, 0]
            square = 1.0 + value * value
            room[at[A] + c], room[at[L] + c], room[u] = value, 1.0 / np.sqrt(square), 1.0 / square
            logdet += design[at[COUNTS] + c] * np.log(square)
            u += 1
            continue
        R_c, A_c, L_c = at[R] + c * q * q, at[A] + c * q * q, matrix(room, at[L] + c * q * q, q, q)
        for i in range(q):
            for j in range(q):
                s = 0.0
                for a in range(i, q):
                    s += design[R_c + i * q + a] * T_[a, j]
                room[A_c + i * q + j] = s
        for i in range(q):
            for j in range(i + 1):
                s = 1.0 if i == j else 0.0
                for a in range(q):
                    s += room[A_c + i * q + a] * room[A_c + j * q + a]
                L_c[i, j] = s
        factorise(L_c)
        product = 1.0
        for i in range(q):
            product *= L_c[i, i]
        logdet += 2.0 * design[at[COUNTS] + c] * np.log(product)
        invert_factor(L_c)
        for i in range(q):
            for j in range(i, q):
                s = 0.0
                for a in range(j, q):
                    s += L_c[a, i] * L_c[a, j]
                room[u] = s
                u += 1
    return logdet


def eliminate(f: int, border: np.ndarray, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> float:
    """log|Lambda'S Lambda + I| of one component, whose part is taken from the border; NaN where no digits are left."""
    m, w, first = at[at[SIZE] + f], at[W], at[at[S_AT] + f]
    S_f, L_f = matrix(room, at[S] + first, m, m), matrix(room, at[FACTOR] + first, m, m)
    if at[at[WIDE_AT] + f] >= 0:
        by_levels(f, S_f, at, design, room)
    else:
        by_terms(f, S_f, at, design, room)
    copy_matrix(S_f, L_f)
    lambda_times(f, L_f, True, at, room)
    transpose(L_f)
    lambda_times(f, L_f, True, at, room)
    for a in range(m):
        L_f[a, a] += 1.0
    if not factorise(L_f):
        return np.nan
    logdet, merged = 0.0, at[at[MERGED] + f]
    for a in range(m):
        logdet += 2.0 * np.log(L_f[a, a])
    if merged > 0:
        subtract_merged(f, L_f, border, at, room)
        return logdet * merged
    row = at[at[N_AT] + f] * w
    solved = matrix(room, at[SOLVED] + row, m, w)
    copy_matrix(matrix(room, at[N] + row, m, w), solved)
    lambda_times(f, solved, True, at, room)
    forward(L_f, solved)
    for a in range(m):
        for i in range(w):
            for j in range(i + 1):
                border[i, j] -= solved[a, i] * solved[a, j]
    return logdet


def by_terms(f: int, S_f: np.ndarray, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> None:
    """S (m, m) of a component and, where it stands alone, its columns beside N (m, w), by (C)."""
    m, w, here, rows = S_f.shape[0], at[W], at[S] + at[at[S_AT] + f], at[N] + at[at[N_AT] + f] * at[W]
    alone = at[at[MERGED] + f] == 0
    room[here : here + m * m] = 0.0
    room[rows : rows + m * w] = 0.0
    for t in range(at[at[FIRST_TERM] + f], at[at[FIRST_TERM] + f + 1]):
        omega = room[at[OMEGA] + at[at[FEATURE] + t]]
        add_multiple(room, here, design, at[ZZ] + at[at[ZZ_AT] + t], m * m, omega)
        if alone:
            add_multiple(room, rows, room, at[ZN] + at[at[ZN_AT] + t] * w, m * w, omega)


@in_any_order
def add_multiple(total: np.ndarray, first: int, other: np.ndarray, start: int, count: int, times: float) -> None:
    """Add ``times`` the numbers of ``other`` from ``start`` on to those of ``total`` from ``first`` on."""
    own, more = total[first : first + count], other[start : start + count]
    for i in range(count):
        own[i] += times * more[i]


def by_levels(f: int, S_f: np.ndarray, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> None:
    """S and N of a wide component: Z'(I - QQ')Z + Y'Y, and beside N."""
    m, q, w, levels, B = S_f.shape[0], at[Q], at[W], at[J], at[WIDE] + at[at[WIDE_AT] + f]
    room[at[Y] : at[Y] + q * levels * m] = 0.0
    room[at[Y_N] : at[Y_N] + q * levels * w] = 0.0
    for g in range(levels):
        inverse = at[L] + at[at[MEMBERS] + g] * q * q
        for i in range(q):
            for j in range(i + 1):
                value, own, other = room[inverse + i * q + j], i * levels + g, j * levels + g
                add_multiple(room, at[Y] + own * m, design, B + other * m, m, value)
                add_multiple(room, at[Y_N] + own * w, room, at[V] + other * w, w, value)
    first, row, t = at[at[S_AT] + f], at[N] + at[at[N_AT] + f] * w, at[at[FIRST_TERM] + f]
    Y_ = matrix(room, at[Y], q * levels, m)
    np.dot(Y_.T, Y_, S_f)
    np.dot(Y_.T, matrix(room, at[Y_N], q * levels, w), matrix(room, row, m, w))
    add_multiple(room, at[S] + first, design, at[ZZ] + at[at[ZZ_AT] + t], m * m, 1.0)
    add_multiple(room, row, room, at[ZN] + at[at[ZN_AT] + t] * w, m * w, 1.0)


def subtract_merged(f: int, L_f: np.ndarray, border: np.ndarray, at: np.ndarray, room: np.ndarray) -> None:
    """Subtract (D) from the border; the factor L_f is replaced by its inverse."""
    m, w, first, product = L_f.shape[0], at[W], at[at[FIRST_TERM] + f], at[GAMMA] + at[at[GAMMA_AT] + f] * at[W] ** 2
    K_f = matrix(room, at[INVERSE], m, m)
    invert_factor(L_f)
    square_inverse_factor(L_f, K_f)
    lambda_times(f, K_f, False, at, room)
    transpose(K_f)
    lambda_times(f, K_f, False, at, room)
    size = m * (at[at[FIRST_TERM] + f + 1] - first)
    for u in range(size):
        one = room[at[OMEGA] + at[at[FEATURE] + first + u // m]]
        for v in range(u, size):
            value = one * room[at[OMEGA] + at[at[FEATURE] + first + v // m]] * K_f[u % m, v % m]
            for i in range(w):
                for j in range(i + 1):
                    border[i, j] -= value * room[product + i * w + j]
            product += w * w


def lambda_times(f: int, M: np.ndarray, is_transposed: bool, at: np.ndarray, room: np.ndarray) -> None:
    """Lambda M, or Lambda'M, of the rows M (m, c) of a component, in place, level by level."""
    columns, widest = M.shape[1], at[WIDEST]
    for level in range(at[at[FIRST_LEVEL] + f], at[at[FIRST_LEVEL] + f + 1]):
        block, row = at[at[LEVEL_BLOCK] + level], at[at[LEVEL_AT] + level]
        q, T_ = at[at[REST_Q] + block], at[REST_T] + block * widest * widest
        if q == 1:
            for c in range(columns):
                M[row, c] *= room[T_]
            continue
        part = room[at[PART] : at[PART] + q * columns]
        part[:] = 0.0
        for j in range(q):
            for a in range(q):
                t = room[T_ + a * widest + j] if is_transposed else room[T_ + j * widest + a]
                if t != 0.0:
                    add_row(part, j * columns, M, row + a, t)
        for j in range(q):
            for c in range(columns):
                M[row + j, c] = part[j * columns + c]


@in_any_order
def add_row(part: np.ndarray, first: int, M: np.ndarray, row: int, times: float) -> None:
    """Add a multiple of a row of M to the numbers of ``part`` from ``first`` on."""
    for c in range(M.shape[1]):
        part[first + c] += times * M[row, c]
