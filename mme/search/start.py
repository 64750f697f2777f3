"""Where the search begins: theta from moments of the OLS residuals of each level.

With r = P y the OLS residual, P = I - QQ', Q the basis of X and z_g = Z_g'r for the levels g of a block t,

    E[z_g z_g'] = sigma^2 ( Z_g'P Z_g + sum_s sum_h Z_g'P Z_h H_s Z_h'P Z_g ),      H_s = T_s T_s' of every block s.

With levels weighted as if H were one, E_g = (I + Z_g'Z_g)^-1, and X_gh = E_g Z_g'P Z_h, least squares asks for

    sum_s sum_gh X_gh H_s X_gh'  =  sum_g E_g (z_g z_g' / sigma^2 - Z_g'P Z_g) E_g          for every block t:

one small linear system for all H_s together, exact for balanced designs. Z_g'P Z_h = C_gh - a_g'a_h is the product of
a cell, where there is one, less that of the parts a = Q'Z along X. What all blocks leave of r gives sigma^2.

A criterion of few levels can have several valleys. A small model is then searched from the lowest point to which
descents lead (``descents.py``) from these moments, from those by other weights, E_g = (I + c^2 Z_g'Z_g)^-1 with c
towards zero or infinity, from variances that are each a multiple of what one of their levels is known to, alike or
one term's before the others, and from others at random. A larger one begins at the lowest of such points, where other
weights make other H.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import chain, cycle, islice
from math import sqrt

import numpy as np

from mme.engine.absorption import Levels, absorb
from mme.engine.blocks import Block
from mme.engine.level_factors import factor_levels
from mme.engine.objective import Objective
from mme.search.descents import descend
from mme.search.valleys import Valleys

# Relative variances are started no smaller than this share of what one level's data could show.
_SMALLEST_SHARE = 0.02
# Sweeps over crossed factors: each leaves the share of a random crossing that is left of the last one, squared.
_SWEEPS = 3
# Levels with fewer records than one and a quarter each tell nothing by themselves.
_REPEATED = 0.8
_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.001, 0.3
# With more levels than this the moments of a block are one answer, and its criterion has one valley.
_MANY_LEVELS = 100
# Weights of levels are those of their records, or all alike, where c^2 Z_g'Z_g is this far from one.
_FAR = 100.0
# Levels are alike where R_g differs by no more than this share.
_ALIKE = 1e-9
# Starts are another where a parameter is so many times as large.
_UNLIKE = 1.5
# Steps of a multiple of the sizes of all variances.
_STRIDE = 10.0
# Descents are made from so many starts, and so many more for each parameter, where a term has at most this many levels;
# with more of them valleys become fewer, and so do starts.
_STARTS, _STARTS_A_PARAMETER, _FEW_LEVELS = 2, 4, 12
# Random standard deviations lie so many decades about their sizes: in turn near them, and far apart.
_DECADES = (1.5, 2.5)
# A descent that ends this many times as far out as any start, and as one, is after a response without residuals.
_AWAY = 1e3


@dataclass(frozen=True, eq=False)
class Weighted:
    """One block: R_g and Q_g'r of its levels, E_g = (I + R_g'R_g)^-1 as (q, q, J), and a_g' = Z_g'Q as (q, p, J)."""

    levels: Levels
    E: np.ndarray
    along_X: np.ndarray

    def with_levels(self, alike: bool) -> Weighted:
        """The same with levels weighted all alike, or each by its records."""
        records = np.einsum("aig,aig->g", self.levels.R, self.levels.R) / len(self.levels.R)
        some = records[records > 0.0]
        c2 = 1.0 if not some.size else _FAR / some.min() if alike else 1.0 / (_FAR * some.max())
        return replace(self, E=_weights(self.levels, np.sqrt(c2)))

    @cached_property
    def weighted_X(self) -> np.ndarray:
        """E_g a_g' (q, p, J)."""
        return np.asarray(np.einsum("ijg,jpg->ipg", self.E, self.along_X))


@dataclass(frozen=True, eq=False)
class Start:
    """Where a search begins, in the axes of the terms.

    Attributes
    ----------
    theta : (k,)
        The first point.
    radius : (k,)
        How far off it may be.
    size : (k,)
        Theta at which the variance of a level is that of its estimate by its own records; zeros where levels are alike.
    agreed : bool
        Whether the moments give one answer, whatever their weights.
    few_levels : bool
        Whether a term has few, so that the criterion can have several valleys.
    evaluations : int
        Of the criterion, to choose among several.
    valleys : Valleys or None
        The criterion with its slopes, where descents have chosen theta.
    """

    theta: np.ndarray
    radius: np.ndarray
    size: np.ndarray
    agreed: bool
    few_levels: bool
    evaluations: int
    valleys: Valleys | None = None


def start(objective: Objective, *, descending: bool = True) -> Start:
    """Choose the first theta: that of the moments, or where weights change them the lowest of several.

    Descents from several choose for a small model, unless they are not wanted.
    """
    objective = objective.in_axes
    blocks, solve = _moments(objective)
    floors = _floors(objective, blocks)
    pieces = _pieces(objective, solve(blocks), floors)
    theta, radius = _nearest(objective, pieces), _radius(objective, blocks, pieces, floors)
    few = min((block.J for block in objective.blocks), default=_MANY_LEVELS) < _MANY_LEVELS
    if not few or all(_alike(one) for one in blocks):
        return Start(_best_relationship(objective, theta), radius, np.zeros(theta.size), True, few, 0)
    weightings = [[one.with_levels(alike) for one in blocks] for alike in (False, True)]
    others = [_nearest(objective, _pieces(objective, solve(weighted), floors)) for weighted in weightings]
    size = _size(objective, blocks)
    valleys = Valleys.of(objective) if descending else None
    if valleys is not None:
        theta, evaluations = _lowest(objective, valleys, [theta, *others], size)
        return Start(theta, np.maximum(radius, _LARGEST_RADIUS * np.abs(theta)), size, False, few, evaluations, valleys)
    unlike, evaluations = [other for other in others if _differ(theta, other, size)], 0
    if unlike:
        along, evaluations = _along(objective, size)
        theta, evaluations = min([theta, *unlike, along], key=objective), evaluations + 2 + len(unlike)
        radius = np.maximum(radius, _LARGEST_RADIUS * np.abs(theta))
    return Start(_best_relationship(objective, theta), radius, size, not unlike, few, evaluations)


def _alike(one: Weighted) -> bool:
    """Whether all levels of a block have the same R_g: weights then change nothing."""
    R = one.levels.R
    return bool(np.ptp(R, axis=2).max() <= _ALIKE * np.abs(R).max())


def radii(objective: Objective) -> np.ndarray:
    """How far off the moments may be (k,), in the axes of the terms."""
    objective = objective.in_axes
    blocks, solve = _moments(objective)
    floors = _floors(objective, blocks)
    return _radius(objective, blocks, _pieces(objective, solve(blocks), floors), floors)


def _moments(objective: Objective) -> tuple[list[Weighted], Callable[[list[Weighted]], list[np.ndarray]]]:
    """The blocks weighted as if H were one, and what makes H of blocks however weighted."""
    blocks = [_weighted(objective, b) for b in range(len(objective.blocks))]
    repeated = [
        not block.by_column and _is_repeated(one, objective.model.n)
        for block, one in zip(objective.blocks, blocks, strict=True)
    ]
    sigma = objective.model.sigma
    sigma2 = _residual_variance(objective, blocks, repeated) if sigma is None else sigma**2
    products = cache(partial(_products, objective))  # the same however levels are weighted
    return blocks, partial(_solve_moments, objective, products, repeated=repeated, sigma2=sigma2)


def _floors(objective: Objective, blocks: list[Weighted]) -> list[np.ndarray]:
    """The smallest variances (q,) of each block to start from."""
    information = [_information(one).mean(axis=1) for one in blocks]
    return _by_column(objective, [_SMALLEST_SHARE / np.maximum(one, 1e-300) for one in information])


def _by_column(objective: Objective, values: list[np.ndarray]) -> list[np.ndarray]:
    """Values (q,) of each block: coefficients of one variance have one value."""
    blocks = objective.blocks
    return [np.repeat(one, block.q) if block.is_spherical else one for block, one in zip(blocks, values, strict=True)]


def _information(one: Weighted) -> np.ndarray:
    """The diagonals of Z_g'Z_g (q, J)."""
    return np.asarray(np.einsum("aig,aig->ig", one.levels.R, one.levels.R))


def _pieces(objective: Objective, moments: list[np.ndarray], floors: list[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
    """Theta of the structures nearest to H of each block, by its own columns."""
    return [
        tuple(
            part.nearest(H[columns, columns], floor[columns])
            for part, columns in zip(block.structures, block.column_slices, strict=True)
        )
        for block, H, floor in zip(objective.blocks, moments, floors, strict=True)
    ]


def _nearest(objective: Objective, pieces: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Theta of all blocks from that of each, by its own columns."""
    theta = np.ones(objective.model.k)
    for block, of_block in zip(objective.blocks, pieces, strict=True):
        for part, thetas, columns, piece in zip(
            block.structures, block.theta_slices, block.column_slices, of_block, strict=True
        ):
            theta[thetas] = piece / part.per_row(block.size[columns], 1.0)
    return theta


def _radius(
    objective: Objective, blocks: list[Weighted], pieces: list[tuple[np.ndarray, ...]], floors: list[np.ndarray]
) -> np.ndarray:
    """A standard deviation over J levels is known to about 1 / sqrt(2 J) of itself."""
    radius = np.ones(objective.model.k)
    for block, one, of_block, floor in zip(objective.blocks, blocks, pieces, floors, strict=True):
        error = min(max(sqrt(0.5 / one.levels.J), _SMALLEST_RADIUS), _LARGEST_RADIUS)
        for part, thetas, columns, piece in zip(
            block.structures, block.theta_slices, block.column_slices, of_block, strict=True
        ):
            T = part.T(piece)
            spread = np.sqrt(np.maximum((T * T).sum(axis=1), floor[columns]))
            radius[thetas] = part.radius(error * spread, error) / part.per_row(block.size[columns], 1.0)
    return radius


def _size(objective: Objective, blocks: list[Weighted]) -> np.ndarray:
    """Theta without correlations, each variance that of a typical level's own estimate."""
    typical = [
        np.array([1.0 / np.median(column[column > 0.0]) if column.any() else 1.0 for column in _information(one)])
        for one in blocks
    ]
    typical = _by_column(objective, typical)
    return _nearest(objective, _pieces(objective, [np.diag(variance) for variance in typical], typical))


def _differ(theta: np.ndarray, other: np.ndarray, size: np.ndarray) -> bool:
    """Whether a parameter of one start is much larger than of the other, both beyond a thousandth of its size."""
    one, two = (np.abs(x) + 1e-3 * np.abs(size) + 1e-300 for x in (theta, other))
    return bool((np.maximum(one / two, two / one) > _UNLIKE).any())


def _along(objective: Objective, size: np.ndarray) -> tuple[np.ndarray, int]:
    """The lowest of multiples of ``size``, from one upwards while the criterion falls, and the evaluations."""
    at, here, further, evaluations = size, objective(size), objective(_STRIDE * size), 2
    while further < here:
        at, here, further, evaluations = _STRIDE * at, further, objective(_STRIDE**2 * at), evaluations + 1
    return at, evaluations


def _lowest(
    objective: Objective, valleys: Valleys, moments: list[np.ndarray], size: np.ndarray
) -> tuple[np.ndarray, int]:
    """Theta where the lowest of several descents ends, and their evaluations."""
    scale, free = objective.theta_scale, objective.model.coordinates.free
    share = min(1.0, _FEW_LEVELS / min(block.J for block in objective.blocks))
    count = _STARTS + round(_STARTS_A_PARAMETER * share * size.size)
    several = islice(chain(moments, _trials(objective, size)), count)
    starts = np.unique(np.where(free, np.array(list(several)) * scale, 0.0), axis=0)
    found = descend(valleys, starts, valleys.canonical)
    away = np.abs(found.x).max(axis=1) > _AWAY * max(1.0, float(np.abs(starts).max()))
    lowest = found.x[int(np.argmin(np.where(away, np.inf, found.f)))] / scale
    return min([moments[0], lowest], key=objective), found.evaluations + 2


def _trials(objective: Objective, size: np.ndarray) -> Iterator[np.ndarray]:
    """Thetas of variances of these sizes: larger all together, one term's before the others', and at random."""
    model = objective.model
    yield from (size, _STRIDE * size, _STRIDE**2 * size)
    for own in model.split(np.arange(size.size)):
        yield np.where(np.isin(np.arange(size.size), own), _STRIDE, 1.0 / _STRIDE) * size
    typical, rng = np.where(size > 0.0, size, 0.3 * size.mean()), np.random.default_rng(0)
    for decades in cycle(_DECADES):
        direction = np.where(model.diagonal, 1.0, rng.normal(size=size.size))
        yield 10.0 ** rng.uniform(-decades, decades, size.size) * typical * direction


def _best_relationship(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Theta with the parameters of each relationship at that of their candidates whose criterion is lowest."""
    for block in objective.blocks:
        if block.is_parametric:
            own = slice(block.theta_slices[0].stop - block.relationship.k, block.theta_slices[0].stop)
            trials = [np.concatenate([theta[: own.start], x, theta[own.stop :]]) for x in block.relationship.starts()]
            theta = min(trials, key=objective)
    return theta


def _weighted(objective: Objective, b: int) -> Weighted:
    """A block's levels, as absorbed or by a QR of its own; r is the last of the columns of N = [Q r].

    Where a record has several levels Z_g has no QR by records: its own one, of the first column, stands for the others.
    """
    system, block = objective.system, objective.blocks[b]
    whole = system.absorbed.levels
    if block.is_spherical:
        return _spherical(objective, block)
    if b == objective.plan.absorb:
        levels = Levels(whole.R, whole.V[-1:])
        along_X = np.einsum("aig,pag->ipg", whole.R, whole.V[:-1])
    else:
        levels = absorb(block.by_record, objective.basis.N[-1:])[0].levels
        t = objective.rest.index(block)
        at = slice(system.rest.offsets[t], system.rest.offsets[t + 1])
        Z_N = system.rest.C[at] + system.rest.B[at] @ whole.V.reshape(system.p + 1, -1).T
        along_X = Z_N[:, :-1].reshape(block.J, block.q, -1).transpose(1, 2, 0)
    return Weighted(levels, _weights(levels, 1.0), along_X)


def _weights(levels: Levels, c: float) -> np.ndarray:
    """E_g = (I + c^2 R_g'R_g)^-1 as (q, q, J)."""
    transposed = Levels(np.ascontiguousarray(levels.R.transpose(1, 0, 2)), levels.V)
    return factor_levels(transposed, c * np.eye(len(levels.R))).weights()


def _spherical(objective: Objective, block: Block) -> Weighted:
    """One level with coefficients of one variance: its singular values are levels, of one coefficient each."""
    s, U = block.spectrum.s, block.spectrum.U
    along = U @ objective.basis.N.T
    levels = Levels(s.reshape(1, 1, -1), along[:, -1].reshape(1, 1, -1))
    return Weighted(levels, (1.0 / (1.0 + s**2)).reshape(1, 1, -1), (s * along[:, :-1].T)[None])


def _is_repeated(one: Weighted, n: int) -> bool:
    """Whether levels have records enough to tell their variance from the residual one without their relationship."""
    q = one.levels.R.shape[0]
    return int((one.levels.R[0, 0] > 0.0).sum()) * q < _REPEATED * n


def _residual_variance(objective: Objective, blocks: list[Weighted], repeated: list[bool]) -> float:
    """Sigma^2 from what all repeated blocks together leave of r, by sweeping them out in turn (backfitting)."""
    r, n = objective.basis.r, objective.model.n
    total = float(r @ r)
    among = [b for b, is_repeated in enumerate(repeated) if is_repeated]
    effects = {b: int((blocks[b].levels.R[0, 0] > 0.0).sum()) * blocks[b].levels.R.shape[0] for b in among}
    explained = {b: float(np.vdot(blocks[b].levels.V, blocks[b].levels.V)) for b in among}
    fixed = {b: _fixed_within(objective, blocks[b]) for b in among}
    freedom = {b: max(n - effects[b] - fixed[b], 1.0) for b in among}
    smallest = min([total / n, *((total - explained[b]) / freedom[b] for b in among)])
    smallest = max(smallest, 1e-12 * total / n, 1e-300)
    # Levels without repeated records share what is left with the residual.
    share = 1.0 if all(repeated) else 0.5
    # Crossed factors share their constant.
    left = n - sum(effects.values()) + len(among) - 1 - min(fixed.values(), default=0.0)
    if len(among) < 2 or left <= 0.0:
        return share * smallest
    swept = objective.basis.N[-1:]
    for _ in range(_SWEEPS):
        for b in among:
            swept = absorb(objective.blocks[b].by_record, swept)[1].N
    return share * min(max(float(np.vdot(swept, swept)) / left, 1e-6 * smallest), smallest)


def _fixed_within(objective: Objective, one: Weighted) -> float:
    """tr(Q'(I - P_t)Q): degrees of freedom that fixed effects take within the levels of a block; none under ML."""
    if not objective.constants.reml:
        return 0.0
    R, V = one.levels.R, np.zeros_like(one.along_X)
    for j in range(R.shape[0]):  # V_g = R_g'^-1 a_g': P_t Q by its length
        rest = one.along_X[j] - np.einsum("ig,ipg->pg", R[:j, j], V[:j])
        np.divide(rest, R[j, j], out=V[j], where=R[j, j] > 0.0)
    return max(one.along_X.shape[1] - float(np.vdot(V, V)), 0.0)


def _solve_moments(
    objective: Objective,
    met: Callable[[int, int], _Met],
    blocks: list[Weighted],
    *,
    repeated: list[bool],
    sigma2: float,
) -> list[np.ndarray]:
    """H of every block from the joint moment equations; without repeated records a guess, as large as sigma^2."""
    widths = [one.levels.R.shape[0] for one in blocks]
    ends = np.cumsum([q * q for q in widths]).tolist()
    at = [slice(end - q * q, end) for end, q in zip(ends, widths, strict=True)]
    size = ends[-1] if ends else 0
    system, target = np.zeros((size, size)), np.zeros(size)
    for t, one in enumerate(blocks):
        if not repeated[t]:
            system[at[t], at[t]], target[at[t]] = np.eye(widths[t] ** 2), np.eye(widths[t]).ravel() / widths[t]
            continue
        half = np.einsum("ibg,abg->iag", one.E, one.levels.R)  # E_g R_g'
        h = np.einsum("iag,ag->ig", half, one.levels.V[0])
        # Under ML the variance of a level is what remains without the fixed effects, estimated or not.
        own = one if objective.constants.reml else replace(one, along_X=np.zeros_like(one.along_X))
        residual = np.einsum("iag,jag->ij", half, half) - np.einsum("ipg,jpg->ij", own.weighted_X, own.weighted_X)
        target[at[t]] = (h @ h.T / sigma2 - residual).ravel()
        for s, other in enumerate(blocks):
            if s == t:
                levels, products = np.arange(one.levels.J), np.einsum("iag,ajg->ijg", half, one.levels.R)
                system[at[t], at[s]] = _squares(own, own, levels, levels, products)
            elif not (objective.blocks[s].is_spherical or objective.blocks[t].is_spherical):  # these as if alone
                rows, cols, values = met(t, s)
                products = np.einsum("iac,caj->ijc", one.E[:, :, rows], values)
                system[at[t], at[s]] = _squares(one, other, rows, cols, products)
    scale = 1.0 / np.sqrt(np.maximum(np.diag(system), 1e-300))
    solved = np.linalg.lstsq(system * scale, target, rcond=1e-10)[0] * scale
    found = [(H + H.T) / 2 for H in (solved[cut].reshape(q, q) for cut, q in zip(at, widths, strict=True))]
    return [H * np.eye(block.q) if block.is_spherical else H for block, H in zip(objective.blocks, found, strict=True)]


# The cells of two blocks: their levels of each, and (cells, q, q').
_Met = tuple[np.ndarray, np.ndarray, np.ndarray]


def _products(objective: Objective, t: int, s: int) -> _Met:
    """Z_t'Z_s by cell: the cell's levels of t and of s, and (cells, q_t, q_s)."""
    absorbed, rest = objective.plan.absorb, objective.system.rest
    among = [b for b in range(len(objective.blocks)) if b != absorbed]
    if absorbed in (t, s):
        crossing = rest.crossing[among.index(s if t == absorbed else t)]
        R = objective.system.absorbed.levels.R[:, :, crossing.cells.rows]
        cells, values = crossing.cells, np.einsum("aic,caj->cij", R, crossing.values)  # R_g'(Q_g'Z)
        of_t = t == absorbed
    else:
        row, col = max(t, s), min(t, s)
        found = rest.schur.products[among.index(row), among.index(col)]
        cells, values, of_t = found.cells, found.values, t == row
    return (cells.rows, cells.cols, values) if of_t else (cells.cols, cells.rows, values.transpose(0, 2, 1))


def _squares(one: Weighted, other: Weighted, rows: np.ndarray, cols: np.ndarray, products: np.ndarray) -> np.ndarray:
    """The matrix of H -> sum_gh X_gh H X_gh' on vec(H), from E_g C_gh (q_t, q_s, cells) at levels (rows, cols).

    Levels that share no cell have the part along X alone: its sum over all pairs is a product of two sums over levels.
    """
    weighted, along = one.weighted_X, np.zeros(products.shape)
    for p in range(weighted.shape[1]):  # column by column: there may be many, and many cells
        along += np.einsum("ic,jc->ijc", weighted[:, p][:, rows], other.along_X[:, p][:, cols])
    everywhere = np.einsum("ipkr,jplr->ijkl", _gram(weighted), _gram(other.along_X))
    total = _gram(products - along) - _gram(along) + everywhere
    return np.asarray(total.transpose(0, 2, 1, 3)).reshape(len(products) ** 2, -1)


def _gram(X: np.ndarray) -> np.ndarray:
    """sum_c X_ijc X_klc as (i, j, k, l)."""
    flat = X.reshape(-1, X.shape[2])
    return np.asarray(flat @ flat.T).reshape(*X.shape[:2], *X.shape[:2])
