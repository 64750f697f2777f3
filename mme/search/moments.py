"""Variances from moments of the OLS residuals of each level.

With r = P y the OLS residual, P = I - QQ', Q the basis of X and z_g = Z_g'r for the levels g of a block t,

    E[z_g z_g'] = sigma^2 ( Z_g'P Z_g + sum_s sum_h Z_g'P Z_h H_s Z_h'P Z_g ),      H_s = T_s T_s' of every block s.

With levels weighted as if H were one, E_g = (I + Z_g'Z_g)^-1, and X_gh = E_g Z_g'P Z_h, least squares asks for

    sum_s sum_gh X_gh H_s X_gh'  =  sum_g E_g (z_g z_g' / sigma^2 - Z_g'P Z_g) E_g          for every block t:

one small linear system for all H_s together, exact for balanced designs. Z_g'P Z_h = C_gh - a_g'a_h is the product of
a cell, where there is one, less that of the parts a = Q'Z along X. What all blocks leave of r gives sigma^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

import numpy as np

from mme.engine.absorption import absorb
from mme.engine.blocks import Block
from mme.engine.level_qr import level_qr, swept
from mme.engine.objective import Objective
from mme.numeric.lapack import least_squares
from mme.numeric.limits import limits
from mme.numeric.panels import panels
from mme.search.swept import freedom_within, shares
from mme.search.weighted_levels import WeightedLevels, is_repeated, weigh

# Sweeps over crossed factors: each leaves the share of a random crossing that is left of the last one, squared.
_SWEEPS = 3
# Columns of a level up to which H has an unknown for each two of them: a system of their fourth power.
_MOST_COLUMNS = 30


def moment_equations(
    objective: Objective,
) -> tuple[list[WeightedLevels], Callable[[list[WeightedLevels]], list[np.ndarray]]]:
    """The blocks weighted as if H were one, and the function that makes H of blocks with any weights."""
    blocks = weigh(objective)
    repeated = objective.once(_repeated, blocks)
    sigma = objective.model.sigma
    sigma2 = _residual_variance(objective, blocks, repeated) if sigma is None else sigma**2

    def solve(weighted: list[WeightedLevels]) -> list[np.ndarray]:
        if weighted is blocks:  # as if H were one
            system = objective.once(_system, weighted, repeated)
        else:
            system = _system(objective, weighted, repeated)
        return _solved(objective, system, weighted, sigma2)

    return blocks, solve


def _repeated(objective: Objective, blocks: list[WeightedLevels]) -> list[bool]:
    """Which blocks have repeated records in their levels."""
    return [
        not block.by_column and is_repeated(one, objective.model.n_records)
        for block, one in zip(objective.random, blocks, strict=True)
    ]


def _residual_variance(objective: Objective, blocks: list[WeightedLevels], repeated: list[bool]) -> float:
    """Sigma^2 from what all repeated blocks together leave of r, by sweeping them out in turn (backfitting)."""
    total, n = objective.basis.squares, objective.model.n_records
    among, freedom, left = objective.once(_freedom, blocks, repeated)
    explained = [float(np.vdot(blocks[b].levels.V, blocks[b].levels.V)) for b in among]
    smallest = min([total / n, *[(total - one) / own for one, own in zip(explained, freedom, strict=True)]])
    smallest = max(smallest, 1e-12 * total / n, 1e-300)
    # Levels without repeated records share what is left with the residual.
    share = 1.0 if all(repeated) else 0.5
    if len(among) < 2 or left <= 0.0:
        return share * smallest
    swept = objective.basis.r.copy()
    sweeps = [_sweep(objective.blocks[b].by_record) for b in among]
    for _ in range(_SWEEPS):
        for sweep in sweeps:
            sweep(swept)
    return share * min(max(float(np.vdot(swept, swept)) / left, 1e-6 * smallest), smallest)


def _freedom(
    objective: Objective, blocks: list[WeightedLevels], repeated: list[bool]
) -> tuple[list[int], list[float], float]:
    """The repeated blocks, the degrees of freedom that each of them leaves, at least one, and that all leave."""
    n, among = objective.model.n_records, [b for b, is_repeated in enumerate(repeated) if is_repeated]
    effects = [np.count_nonzero(blocks[b].levels.R[0, 0]) * len(blocks[b].levels.R) for b in among]
    fixed = [_fixed_within(objective, blocks[b]) + freedom_within(objective, objective.blocks[b]) for b in among]
    freedom = [max(n - own - of_X, 1.0) for own, of_X in zip(effects, fixed, strict=True)]
    # Crossed factors share their constant.
    return among, freedom, n - sum(effects) + len(among) - 1 - min(fixed, default=0.0)


def _sweep(block: Block) -> Callable[[np.ndarray], object]:
    """What takes the part along each level of a block out of a row (n,), which it overwrites."""
    if block.is_spherical:
        return lambda row: np.copyto(row, absorb(block, row[None, :])[1].N[0])
    codes, small = block.codes, block.codes.size <= limits().records_in_panel
    of = block.qr if small else level_qr(codes, block.J, block.columns_at(slice(None)))
    return partial(swept, of, codes, block.J)


def _fixed_within(objective: Objective, one: WeightedLevels) -> float:
    """tr(Q'(I - P_t)Q): degrees of freedom that fixed effects take within the levels of a block; none under ML."""
    if not objective.constants.reml:
        return 0.0
    if one.within is not None:
        return max(one.along_X.shape[1] - float(np.vdot(one.within, one.within)), 0.0)
    R, V = one.levels.R, np.zeros_like(one.along_X)
    for j in range(R.shape[0]):  # V_g = R_g'^-1 a_g': P_t Q by its length
        rest = one.along_X[j] - np.einsum("ig,ipg->pg", R[:j, j], V[:j])
        np.divide(rest, R[j, j], out=V[j], where=R[j, j] > 0.0)
    return max(one.along_X.shape[1] - float(np.vdot(V, V)), 0.0)


@dataclass(frozen=True, eq=False)
class _System:
    """The moment equations but for the response: of H, block after block, their entries ``at`` a slice each.

    ``alone`` are blocks of too many columns for an unknown each two. The right side of a repeated block is
    h h' / sigma^2 less its entry of ``known``; that of others, which have none, is a guess.
    """

    alone: list[bool]
    at: list[slice]
    matrix: np.ndarray
    scale: np.ndarray
    known: list[np.ndarray | None]


def _system(objective: Objective, blocks: list[WeightedLevels], repeated: list[bool]) -> _System:
    """The equations with levels as they are weighted."""
    alone = [one.levels.R.shape[0] > _MOST_COLUMNS for one in blocks]
    widths = [0 if is_wide else one.levels.R.shape[0] for one, is_wide in zip(blocks, alone, strict=True)]
    ends = list(accumulate([q * q for q in widths]))
    at = [slice(end - q * q, end) for end, q in zip(ends, widths, strict=True)]
    size, known = ends[-1] if ends else 0, list[np.ndarray | None]()
    system = np.zeros((size, size))
    for t, one in enumerate(blocks):
        if not repeated[t] or alone[t]:
            system[at[t], at[t]] = np.eye(widths[t] ** 2)
            known.append(None)
            continue
        of_pairs, of_levels = shares(objective, objective.blocks[t], one)
        residual, square = _of_levels(one)
        known.append(of_levels * residual)
        for s, other in enumerate(blocks):
            if s == t:
                system[at[t], at[s]] = of_pairs * square
            elif not (alone[s] or objective.blocks[s].is_spherical or objective.blocks[t].is_spherical):  # as if alone
                system[at[t], at[s]] = _squares(one, other, _met(objective, one, t, s))
    return _System(alone, at, system, 1.0 / np.sqrt(np.maximum(system.diagonal(), 1e-300)), known)


def _of_levels(one: WeightedLevels) -> tuple[np.ndarray, np.ndarray]:
    """sum_g E_g Z_g'P Z_g E_g of a block, and the matrix of H -> sum_gh X_gh H X_gh' among its levels."""
    if one.moments is not None:
        return one.moments.known, one.moments.square
    # Under ML the variance of a level is what remains without the fixed effects, estimated or not.
    own = one if one.reml else replace(one, along_X=np.zeros_like(one.along_X))
    half, R, each = one.half, one.levels.R, slice(None)
    met = _Met(each, each, R.shape[2], lambda cut: np.einsum("iag,ajg->ijg", half[:, :, cut], R[:, :, cut]))
    square = _squares(own, own, met)
    return _products_of_rows(one.half) - _products_of_rows(own.weighted_X), square


def _solved(objective: Objective, system: _System, blocks: list[WeightedLevels], sigma2: float) -> list[np.ndarray]:
    """H of every block from the joint moment equations; without repeated records a guess, as large as sigma^2."""
    target = np.zeros(len(system.matrix))
    for one, cut, known in zip(blocks, system.at, system.known, strict=True):
        q = len(one.levels.R)
        if known is not None:
            h = np.einsum("iag,ag->ig", one.half, one.levels.V[0])
            target[cut] = (h @ h.T / sigma2 - known).ravel()
        elif cut.stop > cut.start:
            target[cut] = np.eye(q).ravel() / q
    solved = least_squares(system.matrix * system.scale, target, 1e-10) * system.scale
    found = []
    for one, is_wide, cut, block in zip(blocks, system.alone, system.at, objective.random, strict=True):
        H = _of_many(one, sigma2) if is_wide else solved[cut].reshape(len(one.levels.R), -1)
        found.append((H + H.T) / 2 * np.eye(block.q) if block.is_spherical else (H + H.T) / 2)
    return found


def _of_many(one: WeightedLevels, sigma2: float) -> np.ndarray:
    """H = h I of a block of many columns, where only h is unknown: it comes of the traces of both sides."""
    half = np.einsum("ibg,abg->iag", one.E, one.levels.R, optimize=True)  # E_g R_g'
    h, C = np.einsum("iag,ag->ig", half, one.levels.V[0]), np.einsum("iag,ajg->ijg", half, one.levels.R, optimize=True)
    left = float(np.vdot(h, h)) / sigma2 - float(np.vdot(half, half)) + float(np.vdot(one.weighted_X, one.weighted_X))
    return left / max(float(np.vdot(C, C)), 1e-300) * np.eye(len(C))


@dataclass(frozen=True, eq=False)
class _Met:
    """The ``count`` cells of blocks t and s: their levels g of t and h of s, and E_g C_gh (q_t, q_s, cells) of some.

    There may be as many cells as records: what is made of them is never whole.
    """

    rows: np.ndarray | slice
    cols: np.ndarray | slice
    count: int
    products: Callable[[slice], np.ndarray]

    def levels(self, cut: slice) -> tuple[np.ndarray | slice, np.ndarray | slice]:
        """G and h of some cells."""
        g, h = (at[cut] if isinstance(at, np.ndarray) else cut for at in (self.rows, self.cols))
        return g, h


def _met(objective: Objective, one: WeightedLevels, t: int, s: int) -> _Met:
    """The cells of block t, whose weights are those of ``one``, and of block s."""
    absorbed, rest = objective.plan.absorb, objective.system.rest
    among = [b for b in range(len(objective.blocks)) if b != absorbed]
    if absorbed in (t, s):
        found, of_t = rest.crossing[among.index(s if t == absorbed else t)], t == absorbed
        whole = objective.system.absorbed.levels.R
    else:
        row, col = max(t, s), min(t, s)
        found, of_t, whole = rest.schur.products[among.index(row), among.index(col)], t == row, None
    cells, values = found.cells, found.values
    rows, cols = (cells.rows, cells.cols) if of_t else (cells.cols, cells.rows)

    def products(cut: slice) -> np.ndarray:
        C = values[cut]
        if whole is not None:  # R_g'(Q_g'Z)
            C = np.einsum("aic,caj->cij", whole[:, :, cells.rows[cut]], C)
        return np.einsum("iac,caj->ijc", one.E[:, :, rows[cut]], C if of_t else C.transpose(0, 2, 1))

    return _Met(rows, cols, cells.count, products)


def _squares(one: WeightedLevels, other: WeightedLevels, met: _Met) -> np.ndarray:
    """The matrix of H -> sum_gh X_gh H X_gh' on vec(H), from the cells of the two blocks.

    Levels that share no cell have the part along X alone: its sum over all pairs is a product of two sums over levels.
    """
    weighted, along_X = one.weighted_X, other.along_X
    (q, p, _), r = weighted.shape, len(along_X)
    if q == r == 1 and met.count <= limits().records_in_panel:
        return _square(weighted[0], along_X[0], met.rows, met.cols, met.products(slice(None))[0, 0])
    left = _gram(weighted).transpose(0, 2, 1, 3).reshape(q * q, p * p)
    right = _gram(along_X).transpose(1, 3, 0, 2).reshape(p * p, r * r)
    total = (left @ right).reshape(q, q, r, r).transpose(0, 2, 1, 3).copy()
    for cut in panels(met.count):
        here, (g, h) = met.products(cut), met.levels(cut)
        along = np.zeros(here.shape)
        for j in range(p):  # column by column: there may be many
            along += weighted[:, j][:, None, g] * along_X[:, j][None, :, h]
        total += _gram(here - along) - _gram(along)
    return np.asarray(total.transpose(0, 2, 1, 3)).reshape(q * q, -1)


def _square(
    weighted: np.ndarray, along_X: np.ndarray, rows: np.ndarray | slice, cols: np.ndarray | slice, products: np.ndarray
) -> np.ndarray:
    """As :func:`_squares` of one coefficient a level, by rows (p, J) and products (cells,)."""
    along = np.add.reduce(weighted[:, rows] * along_X[:, cols])
    left = products - along
    everywhere = np.vdot(weighted @ weighted.T, along_X @ along_X.T)
    return np.array([[everywhere + left @ left - along @ along]])


def _products_of_rows(X: np.ndarray) -> np.ndarray:
    """sum_ag X_iag X_jag (i, j)."""
    rows = X.reshape(len(X), -1)
    return np.asarray(rows @ rows.T)


def _gram(X: np.ndarray) -> np.ndarray:
    """sum_c X_ijc X_klc as (i, j, k, l)."""
    flat = X.reshape(X.shape[0] * X.shape[1], X.shape[2])  # columns of zeros leave none
    return np.asarray(flat @ flat.T).reshape(*X.shape[:2], *X.shape[:2])
