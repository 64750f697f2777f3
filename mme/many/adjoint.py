r"""Slopes of the criterion by theta, backwards through one evaluation (``reduction.py``).

The criterion takes of the border B its determinants: with gamma = B_XX^-1 B_Xy and v = (-gamma, 1),

    B_bar = (n / pwrss) v v' (+ B_XX^-1 by REML; 1 / sigma^2 for n / pwrss where sigma is known).

With G = (Lambda'S Lambda + I)^-1, U = G Lambda'N, and K_bar = -N B_bar N' of a component that stands alone, or that
of (D) where ``c`` are merged, K_bar[a, b] = -sum omega_t omega_t' <B_bar, Gamma>:

    G_bar = c G - G Lambda'K_bar Lambda G,   S_bar = Lambda G_bar Lambda',
    Lambda_bar = 2 S Lambda G_bar + 2 K_bar Lambda G,
    N_bar = -2 Lambda U B_bar,               omega_bar_t = <S_bar, Z_t'Z_t> + <N_bar, Z_t'N_t>.

Of W_c = (I + A A')^-1, A = R T:  A_bar = 2 (J_c W - W W_bar W) A  and  T_bar = R'A_bar.
"""

from __future__ import annotations

import numpy as np

from mme.many.factors import invert_factor, square_inverse_factor, transpose
from mme.many.layout import (
    BESIDE,
    BLOCKS,
    BORDER,
    BORDER_BAR,
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
    OMEGA_BAR,
    OTHER,
    PAIRS,
    PRODUCT,
    REST_BASIS,
    REST_Q,
    REST_T_BAR,
    S_AT,
    SCALE,
    SIZE,
    SOLVED,
    T_BAR,
    T_BASIS,
    WIDE,
    WIDE_AT,
    WIDEST,
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
    N,
    Q,
    R,
    S,
    V,
    W,
    Y,
    copy_matrix,
)  # fmt: skip
from mme.many.reduction import lambda_times, matrix
from mme.numeric.kernels import in_any_order


def slopes(at: np.ndarray, design: np.ndarray, room: np.ndarray, out: np.ndarray) -> None:
    """Slopes (k,) of the criterion at the theta that was evaluated last."""
    w, q2, r2 = at[W], at[Q] ** 2, at[WIDEST] ** 2
    slopes_of_border(at, design, room)
    for u in range(at[FEATURES]):
        room[at[OMEGA_BAR] + u] = inner_product(room, at[BORDER_BAR], room, at[G] + u * w * w, w * w)
    room[at[REST_T_BAR] : at[REST_T_BAR] + at[BLOCKS] * r2] = 0.0
    for f in range(at[F]):
        slopes_of_component(f, at, design, room)
    slopes_of_levels(at, design, room)
    for i in range(out.size):
        out[i] = inner_product(room, at[T_BAR], design, at[T_BASIS] + i * q2, q2)
        for t in range(at[BLOCKS]):
            out[i] += inner_product(room, at[REST_T_BAR] + t * r2, design, at[REST_BASIS] + (t * at[K] + i) * r2, r2)


@in_any_order
def inner_product(one: np.ndarray, first: int, other: np.ndarray, start: int, count: int) -> float:
    """The inner product of ``count`` numbers of two vectors, from a first place in each."""
    own, more, s = one[first : first + count], other[start : start + count], 0.0
    for i in range(count):
        s += own[i] * more[i]
    return s


def slopes_of_border(at: np.ndarray, design: np.ndarray, room: np.ndarray) -> None:
    """B_bar (w, w), the slopes of the criterion by the border, from the lower factor of (N)."""
    w, n, sigma = at[W], design[at[SCALE] + 1], design[at[SCALE] + 3]
    p, L, B = w - 1, matrix(room, at[BORDER], w, w), matrix(room, at[BORDER_BAR], w, w)
    v = np.empty(w)
    v[p] = 1.0
    for a in range(p - 1, -1, -1):
        s = -L[p, a]
        for c in range(a + 1, p):
            s -= L[c, a] * v[c]
        v[a] = s / L[a, a]
    share = n / L[p, p] ** 2 if np.isnan(sigma) else 1.0 / sigma**2
    for a in range(w):
        for b in range(w):
            B[a, b] = share * v[a] * v[b]
    if design[at[SCALE] + 2] > 0.0 and p > 0:
        inverse, whole = np.empty((p, p)), np.empty((p, p))
        copy_matrix(L, inverse)
        invert_factor(inverse)
        square_inverse_factor(inverse, whole)
        for a in range(p):
            for b in range(p):
                B[a, b] += whole[a, b]


def slopes_of_component(f: int, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> None:
    """Add the part of one component to the slopes by the features and by T of the other blocks."""
    m, w, first = at[at[SIZE] + f], at[W], at[at[S_AT] + f]
    alone, L_f, G_bar = at[at[MERGED] + f] == 0, matrix(room, at[FACTOR] + first, m, m), matrix(room, at[INVERSE], m, m)
    if alone:
        invert_factor(L_f)
        square_inverse_factor(L_f, G_bar)
        slopes_beside(f, L_f, G_bar, at, room)
    else:
        square_inverse_factor(L_f, G_bar)
        slopes_of_merged(f, G_bar, at, room)
    P = matrix(room, at[PRODUCT], m, m)
    copy_matrix(G_bar, P)
    lambda_times(f, P, False, at, room)
    transpose(P)  # G_bar Lambda'
    add_by_blocks(f, at[S] + first, at[PRODUCT], m, 2.0, at, room)
    lambda_times(f, P, False, at, room)  # S_bar
    if at[at[WIDE_AT] + f] >= 0:
        slopes_of_wide(f, P, at, design, room)
        return
    for t in range(at[at[FIRST_TERM] + f], at[at[FIRST_TERM] + f + 1]):
        s = inner_product(room, at[PRODUCT], design, at[ZZ] + at[at[ZZ_AT] + t], m * m)
        if alone:
            s += inner_product(room, at[BESIDE], room, at[ZN] + at[at[ZN_AT] + t] * w, m * w)
        room[at[OMEGA_BAR] + at[at[FEATURE] + t]] += s


def slopes_beside(f: int, L_f: np.ndarray, G_bar: np.ndarray, at: np.ndarray, room: np.ndarray) -> None:
    """G_bar = G + U B_bar U', N_bar, and what N gives to the slopes by T, where L^-1 is known."""
    m, w, row = L_f.shape[0], at[W], at[at[N_AT] + f] * at[W]
    U, UB, B = matrix(room, at[SOLVED] + row, m, w), matrix(room, at[BESIDE], m, w), matrix(room, at[BORDER_BAR], w, w)
    for a in range(m):  # U = L^-T (L^-1 Lambda'N)
        for i in range(w):
            s = 0.0
            for b in range(a, m):
                s += L_f[b, a] * U[b, i]
            U[a, i] = s
    UB[:] = 0.0
    add_product(1.0, U, B, UB)  # B_bar is symmetric
    add_product(1.0, UB, U, G_bar)
    for a in range(m):
        for i in range(w):
            UB[a, i] *= -2.0
    add_by_blocks(f, at[N] + row, at[BESIDE], w, 1.0, at, room)
    lambda_times(f, UB, False, at, room)


def add_product(times: float, one: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """Add a multiple of the product of a matrix (m, c) and the transpose of another (k, c) to a third (m, k)."""
    for a in range(one.shape[0]):
        for b in range(other.shape[0]):
            s = 0.0
            for c in range(one.shape[1]):
                s += one[a, c] * other[b, c]
            out[a, b] += times * s


def add_by_blocks(f: int, one: int, other: int, columns: int, times: float, at: np.ndarray, room: np.ndarray) -> None:
    """Add the blocks of levels of one (m, columns) times other' to the slopes by T."""
    widest = at[WIDEST]
    for level in range(at[at[FIRST_LEVEL] + f], at[at[FIRST_LEVEL] + f + 1]):
        block, row = at[at[LEVEL_BLOCK] + level], at[at[LEVEL_AT] + level]
        for a in range(at[at[REST_Q] + block]):
            for b in range(at[at[REST_Q] + block]):
                s = inner_product(room, one + (row + a) * columns, room, other + (row + b) * columns, columns)
                room[at[REST_T_BAR] + (block * widest + a) * widest + b] += times * s


def slopes_of_merged(f: int, G_bar: np.ndarray, at: np.ndarray, room: np.ndarray) -> None:
    """By (D): omega_bar, Lambda_bar = 2 K_bar Lambda G, and c G - G Lambda'K_bar Lambda G in the place of G."""
    m, w, first = G_bar.shape[0], at[W], at[at[FIRST_TERM] + f]
    K_f, K_bar, half = matrix(room, at[OTHER], m, m), matrix(room, at[PRODUCT], m, m), np.empty((m, m))
    copy_matrix(G_bar, half)
    lambda_times(f, half, False, at, room)
    transpose(half)  # G Lambda'
    copy_matrix(half, K_f)
    lambda_times(f, K_f, False, at, room)
    K_bar[:] = 0.0
    size, product = m * (at[at[FIRST_TERM] + f + 1] - first), at[GAMMA] + at[at[GAMMA_AT] + f] * w * w
    for u in range(size):
        one, a = at[at[FEATURE] + first + u // m], u % m
        for v in range(u, size):
            other, b = at[at[FEATURE] + first + v // m], v % m
            slope = -inner_product(room, at[BORDER_BAR], room, product, w * w)
            room[at[OMEGA_BAR] + one] += slope * room[at[OMEGA] + other] * K_f[a, b]
            room[at[OMEGA_BAR] + other] += slope * room[at[OMEGA] + one] * K_f[a, b]
            by_K = 0.5 * slope * room[at[OMEGA] + one] * room[at[OMEGA] + other]
            K_bar[a, b] += by_K
            K_bar[b, a] += by_K
            product += w * w
    copy_matrix(half, K_f)
    add_by_blocks(f, at[PRODUCT], at[OTHER], m, 2.0, at, room)
    merged = at[at[MERGED] + f]
    K_f[:] = 0.0
    add_product(1.0, half, K_bar, K_f)  # G Lambda'K_bar, which is symmetric
    for a in range(m):
        for b in range(m):
            G_bar[a, b] *= merged
    add_product(-1.0, K_f, half, G_bar)


def slopes_of_wide(f: int, S_bar: np.ndarray, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> None:
    """Add the part of a wide component to omega_bar: W_bar_g = B_g S_bar B_g' + B_g N_bar V_g', made symmetric."""
    m, q, w, levels, first = S_bar.shape[0], at[Q], at[W], at[J], at[WIDE] + at[at[WIDE_AT] + f]
    np.dot(matrix(design, first, q * levels, m), S_bar, matrix(room, at[Y], q * levels, m))
    E, N_bar = matrix(room, at[Y], q * levels, m), matrix(room, at[BESIDE], m, w)
    for i in range(q * levels):
        for c in range(w):
            value = room[at[V] + i * w + c]
            for a in range(m):
                E[i, a] += value * N_bar[a, c]
    for g in range(levels):
        u = at[OMEGA_BAR] + 1 + at[at[MEMBERS] + g] * at[PAIRS]
        for i in range(q):
            for j in range(i, q):
                one, other = i * levels + g, j * levels + g
                room[u] += inner_product(room, at[Y] + one * m, design, first + other * m, m)
                if j > i:
                    room[u] += inner_product(room, at[Y] + other * m, design, first + one * m, m)
                u += 1


def slopes_of_levels(at: np.ndarray, design: np.ndarray, room: np.ndarray) -> None:
    """T_bar (q, q), the slopes by T of the absorbed block, from those by its features."""
    q, u = at[Q], 1
    T_bar, W_c, W_bar, M = matrix(room, at[T_BAR], q, q), np.empty((q, q)), np.empty((q, q)), np.empty((q, q))
    T_bar[:] = 0.0
    for c in range(at[C]):
        for i in range(q):
            for j in range(i, q):
                W_c[i, j] = room[at[OMEGA] + u]
                W_bar[i, j] = room[at[OMEGA_BAR] + u] * (1.0 if i == j else 0.5)
                W_c[j, i], W_bar[j, i] = W_c[i, j], W_bar[i, j]
                u += 1
        for i in range(q):
            for j in range(q):
                s = design[at[COUNTS] + c] if i == j else 0.0
                for a in range(q):
                    s -= W_bar[i, a] * W_c[a, j]
                M[i, j] = s  # J_c I - W_bar W
        for i in range(q):  # T_bar += R'(2 W M A)
            for j in range(q):
                s = 0.0
                for a in range(q):
                    for b in range(q):
                        s += 2.0 * W_c[i, a] * M[a, b] * room[at[A] + (c * q + b) * q + j]
                for a in range(i, q):
                    T_bar[a, j] += design[at[R] + (c * q + i) * q + a] * s
