r"""What the levels of the absorbed factor do to beta, many levels at a time.

Among the records of level g, with F_g, B_g and H_2 as in ``hat.py``,

    H_gg = Z_g S_g Z_g' + U_g U_g',    Z_g = [z_1  z_2 - z_1 F_g B_g],    S_g = diag(T (I + A'A)^-1 T', H_2),      (L1)

with the entries of H_2 between the effects that the level meets. Where these and the fixed effects are fewer than the
records, (I - H_gg)^-1 is one of their number,

    (I - Z S Z')^-1 = I + Z (I - S Z'Z)^-1 S Z',    [P t] = U'(I - Z S Z')^-1 [U e],    U'(I - H)^-1 e = (I - P)^-1 t;
                                                                                                                   (L2)
else it is taken as it stands. Levels of about the same size are padded to one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mme.engine.objective import Objective
from mme.engine.pls import Evaluation
from mme.numeric.limits import limits
from mme.numeric.sums import Column, by_code, of_pair
from mme.solution.diagonal import level_covariance
from mme.solution.gains import Pattern, scaled_gain

# I - H has eigenvalues up to one; below this they are rounding: the rest of the data leave something undetermined.
DETERMINED = 1e-11


def left_of(h: np.ndarray) -> np.ndarray:
    """1 - h of leverages; NaN of a record that has a column of its own, without which nothing is known there."""
    return np.where(1.0 - h > DETERMINED, 1.0 - h, np.nan)


def level_shifts(
    objective: Objective,
    theta: np.ndarray,
    at: Evaluation,
    H_2: np.ndarray | Pattern,
    U: np.ndarray,
    e: np.ndarray,
) -> np.ndarray:
    """U_g'(I - H_gg)^-1 e_g of every level (J, p), with U (n, p) and e (n,); NaN where that is not determined."""
    block = objective.absorbing
    assert block is not None
    inner, effects = level_covariance(objective, theta, at), _effects(objective, theta, at)
    order, sizes = by_code(block.codes, block.J), np.bincount(block.codes, minlength=block.J)
    first, met, q = np.cumsum(sizes) - sizes, np.diff(effects.first), block.q
    out = np.empty((block.J, U.shape[1]))
    for levels in _batches(sizes, met + q + U.shape[1]):
        present = np.arange(sizes[levels].max()) < sizes[levels, None]
        # a level's last record stands for those that it has not
        records = order.take(first[levels, None] + np.minimum(np.arange(present.shape[1]), sizes[levels, None] - 1))
        k = int(met[levels].max())
        S = np.zeros((levels.size, q + k, q + k))
        S[:, :q, :q] = inner[levels]
        held = effects.of(levels, k)
        S[:, q:, q:] = _between(H_2, effects.at[held])
        Z = np.zeros((*records.shape, q + k))
        for a, column in enumerate(block.columns):
            Z[:, :, a] = 1.0 if column is None else column.take(records)
        effects.fill(Z[:, :, q:], records)
        Z[:, :, q:] -= Z[:, :, :q] @ effects.FB[held].transpose(0, 2, 1)
        Z[:, :, q:] *= (np.arange(k) < met[levels, None])[:, None]
        Z *= present[:, :, None]
        out[levels] = _shifts(Z, S, U.take(records, axis=0) * present[:, :, None], e.take(records) * present)
    return out


def _shifts(Z: np.ndarray, S: np.ndarray, U: np.ndarray, e: np.ndarray) -> np.ndarray:
    """U'(I - Z S Z' - U U')^-1 e, level by level (levels, p)."""
    (n, k), p, U_t = Z.shape[1:], U.shape[2], U.transpose(0, 2, 1)
    if 2 * n < k + p:
        return (U_t @ _solved(np.eye(n) - Z @ S @ Z.transpose(0, 2, 1) - U @ U_t, e)[:, :, None])[:, :, 0]
    U_e = np.concatenate([U, e[:, :, None]], axis=2)
    Z_t = Z.transpose(0, 2, 1)
    ZU_e = Z_t @ U_e
    P_t = U_t @ U_e + ZU_e[:, :, :p].transpose(0, 2, 1) @ np.linalg.solve(np.eye(k) - S @ (Z_t @ Z), S @ ZU_e)
    return _solved(np.eye(p) - P_t[:, :, :p], P_t[:, :, p])


def _solved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left^-1 right of symmetric matrices (levels, s, s); NaN where one is singular."""
    values, vectors = np.linalg.eigh(left)
    values[values.min(axis=1, initial=1.0) < DETERMINED] = np.nan
    return np.asarray((vectors @ ((right[:, None] @ vectors)[:, 0] / values)[:, :, None])[:, :, 0])


def _between(H: np.ndarray | Pattern, at: np.ndarray) -> np.ndarray:
    """Entries of H among effects (levels, k), as (levels, k, k)."""
    i, j = at[:, :, None], at[:, None, :]
    return H.entries(i, j)[0] if isinstance(H, Pattern) else np.asarray(H[i, j])


def _batches(sizes: np.ndarray, widths: np.ndarray) -> Iterator[np.ndarray]:
    """Levels of about the same size, as many as a batch holds."""
    order = np.argsort(sizes, kind="stable")
    while order.size:
        numbers = sizes[order] * np.maximum.accumulate(widths[order]) * np.arange(1, order.size + 1)
        count = max(int(np.searchsorted(numbers, limits().level_batch_numbers)), 1)
        yield order[:count]
        order = order[count:]


@dataclass(frozen=True, eq=False)
class _Effects:
    """The random effects beside the absorbed ones that each level meets, level by level from ``first``.

    ``at`` are their numbers and ``FB`` (effects, q) their F_g B_g; ``places`` (n,) are those of a record among the
    effects of its level, by coefficient, and ``values`` its covariates.
    """

    first: np.ndarray
    at: np.ndarray
    FB: np.ndarray
    places: list[np.ndarray]
    values: list[Column]

    def of(self, levels: np.ndarray, k: int) -> np.ndarray:
        """Where the effects that these levels meet stand among all (levels, k).

        A level that meets fewer than k has places of other levels after its own; the caller masks them.
        """
        return np.minimum(self.first[levels, None] + np.arange(k), max(self.at.size - 1, 0))

    def fill(self, Z: np.ndarray, records: np.ndarray) -> None:
        """z_2 of these records (levels, n), into zeros."""
        i, j = np.ix_(*map(np.arange, records.shape))
        for place, column in zip(self.places, self.values, strict=True):
            Z[i, j, place.take(records)] = 1.0 if column is None else column.take(records)


def _effects(objective: Objective, theta: np.ndarray, at: Evaluation) -> _Effects:
    block, rest = objective.absorbing, objective.system.rest
    assert block is not None
    F = scaled_gain(objective, theta, at).transpose(2, 0, 1)
    level, number, FB = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], [np.zeros((0, block.q))]
    for other, cross, start in zip(rest.blocks, rest.crossing, rest.offsets[:-1].tolist(), strict=True):
        level.append(np.repeat(cross.cells.rows, other.q))
        number.append((start + cross.cells.cols[:, None] * other.q + np.arange(other.q)).ravel())
        FB.append(np.einsum("cxa,caj->cjx", F[cross.cells.rows], cross.values).reshape(-1, block.q))
    every = np.concatenate(level)
    order = by_code(every, block.J)
    first = np.searchsorted(every[order], np.arange(block.J + 1))
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size) - first[every[order]]
    places, values, begin = [], [], 0
    for other, cross in zip(rest.blocks, rest.crossing, strict=True):
        for a, column in enumerate(other.columns):
            places.append(rank[begin + of_pair(cross.cells.of_record, 0, a) * other.q + a])
            values.append(column)
        begin += cross.cells.count * other.q
    return _Effects(first, np.concatenate(number)[order], np.concatenate(FB)[order], places, values)
