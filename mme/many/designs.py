"""The design of the compiled loops, made of an objective and of its components with their sums."""

from __future__ import annotations

import numpy as np

from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.many.classes import Classes
from mme.many.layout import LoopLayout
from mme.many.sums import MergedProducts, Summed


def design_of(
    objective: Objective, classes: Classes, V: np.ndarray, X: np.ndarray, groups: list[list[Summed]]
) -> LoopLayout:
    """Everything in the order of ``layout.py``."""
    block, rest, (C, q, _), p = objective.absorbing, objective.rest, classes.R.shape, len(X)
    k, widest, w, pairs = objective.model.k, max([one.q for one in rest], default=1), p + 1, len(classes.pairs)
    J = classes.members.size
    G = np.zeros((1 + C * pairs, w, w))
    G[0, :p, :p], G[1:, :p, :p] = X @ X.T, classes.sums(V).reshape(C * pairs, p, p)
    is_wide = any(group[0].wide is not None for group in groups)
    V_rows = np.hstack([V.transpose(1, 2, 0).reshape(-1, p), np.zeros((q * J, 1))])[: q * J if is_wide else 0]
    ZN = [term.ZX for group in groups if len(group) == 1 for term in group[0].terms]
    ZN_rows = np.concatenate([np.zeros((0, w)), *(np.pad(one, ((0, 0), (0, 1))) for one in ZN)])
    gamma = np.concatenate([np.zeros((0, w, w)), *(MergedProducts.of(one).shared() for one in groups if len(one) > 1)])
    sizes = np.array([group[0].component.m for group in groups], dtype=np.int64)
    most, squares, rows = int(sizes.max(initial=0)), int((sizes**2).sum()), int(sizes.sum()) * w
    widths = max([group[0].component.m for group in groups if group[0].wide is not None], default=0)
    scale, unit, row, column = _criterion(objective)
    integers = [classes.members, *_of_components(groups), np.array([one.q for one in rest], dtype=np.int64)]
    parts = [group[0] for group in groups]
    numbers = [
        np.zeros((k, q, q)) if block is None else _basis_of(objective, (block,), q)[0],
        classes.R,
        classes.counts,
        _basis_of(objective, rest, widest),
        np.concatenate([np.zeros(0), *(term.ZZ.ravel() for part in parts for term in part.terms)]),
        np.concatenate([np.zeros(0), *(part.wide.ravel() for part in parts if part.wide is not None)]),
        scale,
        unit,
    ]
    of_rest = len(rest) * widest**2
    room = [q * q, C * q * q, C * q * q, len(G), w * w, of_rest, squares, squares, rows, rows]
    room += [q * J * widths, q * J * w if is_wide else 0, widest * max(most, w)]
    room += [w * w, len(G), q * q, of_rest, most**2, most**2, most**2, most * w]
    counts = [k, q, w, J, C, pairs, len(G), len(groups), most, len(rest), widest, len(ZN_rows), len(gamma), len(V_rows)]
    return LoopLayout.of(counts, [*integers, row, column], numbers, [G, ZN_rows, gamma, V_rows], room)


def _of_components(groups: list[list[Summed]]) -> list[np.ndarray]:
    """Whole numbers of components, of terms and of levels, in the order of ``layout.py``."""
    parts = [group[0] for group in groups]
    terms = [len(part.terms) for part in parts]
    size = np.array([part.component.m for part in parts], dtype=np.int64)
    merged = np.array([len(group) if len(group) > 1 else 0 for group in groups], dtype=np.int64)
    products = np.array([part.size * (part.size + 1) // 2 for part in parts], dtype=np.int64) * (merged > 0)
    wide = np.array([0 if part.wide is None else part.wide.size for part in parts], dtype=np.int64)
    of_term = np.repeat(np.arange(len(parts)), terms)
    none = np.zeros(0, dtype=np.int64)
    return [
        size,
        merged,
        np.cumsum([0, *terms]),
        _starts(products),
        np.where(wide > 0, _starts(wide), -1),
        _starts(size**2),
        _starts(size),
        np.cumsum([0, *(len(part.component.block_of) for part in parts)]),
        np.array([term.feature for part in parts for term in part.terms], dtype=np.int64),
        _starts(size[of_term] ** 2),
        _starts(np.where(merged[of_term] > 0, 0, size[of_term])),
        np.concatenate([none, *(part.component.level_at for part in parts)]),
        np.concatenate([none, *(part.component.block_of for part in parts)]),
    ]


def _starts(sizes: np.ndarray) -> np.ndarray:
    """Where pieces of these sizes begin, one after another."""
    return np.asarray(np.cumsum(sizes) - sizes)


def _basis_of(objective: Objective, blocks: tuple[Block, ...], q: int) -> np.ndarray:
    """(blocks, k, q, q): T of each block at each unit vector of theta, filled up with zeros."""
    units = np.eye(objective.model.k)
    out = np.zeros((len(blocks), len(units), q, q))
    for b, block in enumerate(blocks):
        out[b, :, : block.q, : block.q] = [block.T(unit) for unit in units]
    return out


def _criterion(objective: Objective) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Constants of the criterion; of each entry of theta its natural unit, its row and its column among all terms."""
    c, rows, cols, row, column = objective.constants, 0, 0, [np.zeros(0)], [np.zeros(0)]
    fixed = c.logdet_K + c.logdet_R + (c.logdet_X0 if c.reml else 0.0)
    for part in objective.model.structures:
        assert part.entries is not None
        row.append(rows + part.entries[0])
        column.append(cols + part.entries[1])
        rows, cols = rows + part.q, cols + part.q
    scale = np.array([fixed, c.n_effective, float(c.reml), np.nan if c.sigma is None else c.sigma])
    return scale, _unit(objective), np.concatenate(row).astype(np.int64), np.concatenate(column).astype(np.int64)


def _unit(objective: Objective) -> np.ndarray:
    """Theta (k,) at which the variance of an effect is that of its estimate by the records of its largest level."""
    unit = np.ones(objective.model.k)
    for block in objective.blocks:
        most = np.einsum("gaa->ga", block.gram).max(axis=0) ** -0.5
        for part, thetas, own in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
            unit[thetas] = part.per_row(most[own], 1.0)
    return unit / objective.theta_scale
