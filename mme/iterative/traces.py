r"""Traces of Z'V^-1 Z by random probes, with what the preconditioner gives of them known exactly.

With S of ``schur.py``, its diagonal blocks S_gg and its others S°, M of the remainder, signs z and x = M^-1 z,

    absorbed:      sum_g R_g'W_g R_g - sum_g C_g Lambda M^-1 Lambda'C_g',              C_g = R_g'W_g B_g,
    not absorbed:  sum_g D_g S_gg - sum_g D_g (S° Lambda M^-1 Lambda'S°)_gg D_g',      D_g = (I + S_gg H)^-1,      (T)

in which M^-1 = E x z' (Hutchinson 1990), but for what all levels of a factor have in common, which is taken out of z
and counted once (:mod:`mme.engine.iteration`). What is known comes first, and nothing is divided by a T that may be
zero.
One solve a probe serves all blocks. In the absorbed block x is x - P^-1 z, P the preconditioner, whose own part is
known as well. A related block has

    T^-T (J I - sum_g [M^-1 (K^-1 (x) I)]_gg) T^-1 = sum_g [S Lambda M^-1]_gg T^-1,                                 (K)

by x - P^-1 z too: the left side where its levels are well determined, the right one where T is small, by probes that
are zero in the other blocks, whose x would be divided by T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.engine.iteration import AVERAGED, beside, each_probe, signs
from mme.iterative.point import IteratedPoint
from mme.numeric.factor import factorise
from mme.numeric.panels import panels


@dataclass(frozen=True, eq=False)
class Probes:
    """Solutions ``x`` = M^-1 z for the columns z of so many probes, from the theta before: the next solve begins there.

    The columns (m, shared + count) are those of :func:`mme.engine.iteration.beside`.
    """

    count: int
    x: np.ndarray | None = None

    def solved(self, point: IteratedPoint) -> tuple[Probes, np.ndarray, int]:
        """The probes at another theta, the columns z, and the steps of the solve."""
        factor = point.factor
        z = beside(factor.operator.shared, signs(factor.m, self.count))
        start = factor.operator.precondition(z)
        if self.x is not None:
            start[:, : self.x.shape[1]] = self.x
        found = factor.solved(z, AVERAGED, start)
        return Probes(self.count, found.x), z, found.iterations

    def doubled(self) -> Probes:
        """Twice as many probes, of which the first half are these."""
        return Probes(2 * self.count, self.x)


def traces(point: IteratedPoint, probes: Probes, z: np.ndarray) -> list[np.ndarray]:
    """sum_g (Z'V^-1 Z)_gg of every random block, an estimate of each probe (count, q, q)."""
    assert probes.x is not None
    operator = point.factor.operator
    away = probes.x - operator.precondition(z)
    moved = [operator.moved(one) for one in (probes.x, z)]
    through = [operator.without_penalty(one) for one in moved]
    out = []
    for i, (b, at) in enumerate(point.slices.items()):
        if point.objective.blocks[b].is_fixed:
            continue
        if point.objective.blocks[b].relationship is not None:
            out.append(_of_related(point, i, away[at], z, probes.count))
            continue
        S, T = operator.information[i], point.T[b]
        J, q, _ = S.shape
        D = np.linalg.inv(np.eye(q) + S @ (T @ T.T))
        one, other = (
            D @ (product[at].reshape(J, q, -1) - S @ own[at].reshape(J, q, -1))
            for product, own in zip(through, moved, strict=True)
        )
        taken = each_probe(np.einsum("gak,gbk->kab", one, other), z.shape[1] - probes.count)
        out.append(_symmetric(np.einsum("gab,gbc->ac", D, S) - taken))
    out.insert(point.absorbed, _of_absorbed(point, away, z, probes.count))
    return out


def _of_related(point: IteratedPoint, i: int, away: np.ndarray, z: np.ndarray, count: int) -> np.ndarray:
    """(K) of the i-th block that is not absorbed, whose levels are related."""
    b, operator = point.others[i], point.factor.operator
    at, S, D, inverse = point.slices[b], operator.information[i], operator.inverses[i], point.inverse_T[b]
    J, q, _ = S.shape
    determined = np.linalg.eigvalsh(point.T[b].T @ S.mean(axis=0) @ point.T[b])
    if determined.min() < operator.schur.precision_diagonals[i].mean():
        return _of_small(point, i, z, count)
    paired = np.asarray(point.schur.precision[at, at] @ z[at]).reshape(J, q, -1)
    known = inverse @ np.einsum("gab,gbc->ac", D, point.T[b].T @ S)  # T^-T P^-1 T'S: nothing cancels
    taken = each_probe(np.einsum("gak,gbk->kab", away.reshape(J, q, -1), paired), z.shape[1] - count)
    return _symmetric(known - inverse @ taken @ inverse.T)


def _of_small(point: IteratedPoint, i: int, z: np.ndarray, count: int) -> np.ndarray:
    """(K) by its right side, from solves of their own; what diagonal blocks of S make of K, all at T = 0, is known."""
    b, operator = point.others[i], point.factor.operator
    at, S, T = point.slices[b], operator.information[i], point.T[b]
    J, q, _ = S.shape
    shared = z.shape[1] - count
    kept = z[at].any(axis=0) | (np.arange(z.shape[1]) >= shared)
    alone = np.zeros((len(z), int(kept.sum())))
    alone[at] = z[at][:, kept]
    own, every = alone[at].reshape(J, q, -1), np.arange(J)
    precision = factorise(point.objective.blocks[b].relationship.precision)
    start = alone.copy()
    start[at] = precision.solve(own.reshape(J, -1)).reshape(J * q, -1)
    x = point.factor.solved(alone, AVERAGED, start).x
    away = operator.without_penalty(operator.moved(x))[at].reshape(own.shape) - S @ (T @ start[at].reshape(own.shape))
    forms = np.einsum("gak,gbk->kab", away, own)
    known = np.einsum("gab,g->ab", S, precision.inverse_entries(every, every)) @ T
    return _symmetric((known + each_probe(forms, int(kept[:shared].sum()))) @ point.inverse_T[b].T)


def _of_absorbed(point: IteratedPoint, away: np.ndarray, z: np.ndarray, count: int) -> np.ndarray:
    """(T) of the absorbed block."""
    rest, levels = point.objective.system.rest, point.objective.system.absorbed.levels
    T, W = [point.T[b] for b in point.others], point.at.levels.weights()
    through = np.einsum("bag,bcg->acg", levels.R, W)  # R_g'W_g
    known = np.einsum("abg,bcg->ac", through, levels.R)
    for cross, factor, D in zip(rest.crossing, T, point.factor.operator.inverses, strict=True):
        for cut in panels(cross.cells.count):
            C = np.einsum("abe,ebi->eai", through[:, :, cross.cells.rows[cut]], cross.values[cut]) @ factor
            known = known - np.einsum("eai,eij,ebj->ab", C, D[cross.cells.cols[cut]], C, optimize=True)
    q, J, columns = levels.R.shape[0], levels.J, z.shape[1]
    sampled = np.empty((columns, q, q))
    for k in range(0, columns, 8):  # columns at a time: there may be many levels
        part = slice(k, k + 8)
        one, other = (
            np.einsum("abg,bgk->agk", through, np.asarray(rest.B.T @ rest.apply_lambda(v, T)).reshape(q, J, -1))
            for v in (np.ascontiguousarray(away[:, part]), np.ascontiguousarray(z[:, part]))
        )
        sampled[part] = np.einsum("agk,bgk->kab", one, other)
    return _symmetric(known - each_probe(sampled, columns - count))


def _symmetric(values: np.ndarray) -> np.ndarray:
    return 0.5 * (values + values.transpose(0, 2, 1))
