"""What many responses share: the design of the compiled loops, and the linear maps that make their sums of a response.

Made of an objective in the axes of its terms (:mod:`mme.engine.objective`), where levels of the absorbed block are few
classes or small, and what is left of the random effects falls into small components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.absorption import absorb, absorb_nothing
from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.many.classes import Classes
from mme.many.components import ClassCells, Others
from mme.many.layout import LoopLayout
from mme.numeric.limits import limits


@dataclass(frozen=True, eq=False)
class SharedSums:
    """What responses share.

    Attributes
    ----------
    objective : Objective
        The criterion of one of them, theta in the axes.
    design : LoopLayout
        For the compiled loops.
    unit : (k,) array
        Natural units of theta at small variances.
    Q : (n, q J) sparse
        Orthonormal columns of the absorbed block, effect by effect.
    within : (p + m, n) array
        X and the other columns of Z less their parts between levels.
    linear : (sums, q J) sparse
        Makes the sums by class that are linear in Q'y of them.
    classes : Classes
        Levels that are alike.
    """

    objective: Objective
    design: LoopLayout
    unit: np.ndarray
    Q: sp.csr_array
    within: np.ndarray
    linear: sp.csr_array
    classes: Classes

    def sums(self, r: np.ndarray) -> np.ndarray:
        """The sums (B, sums) of responses less their parts in X (B, n), in the order of ``reduction.reduced``."""
        between, classes = r @ self.Q, self.classes  # Q'r, (B, q J)
        rest = r - between @ self.Q.T
        of_rows = rest @ self.within.T
        by_level = between.reshape(len(r), -1, classes.members.size)
        products = np.stack([(1.0 + (i < j)) * by_level[:, i] * by_level[:, j] for i, j in classes.pairs], axis=1)
        squares = (products.reshape(-1, products.shape[2]) @ classes.indicator.T).reshape(*products.shape[:2], -1)
        by_class, p = between @ self.linear.T, self.design.XX.shape[0]
        of_X = classes.C * len(classes.pairs) * p
        return np.hstack(
            [
                np.einsum("bn,bn->b", rest, rest)[:, None],
                of_rows[:, :p],
                squares.transpose(0, 2, 1).reshape(len(r), -1),
                by_class[:, :of_X],
                of_rows[:, p:],
                by_class[:, of_X:],
            ]
        )

    @classmethod
    def of(cls, objective: Objective) -> SharedSums | None:
        """Make it; None for a model that is not of this kind, or too large for a factor at each theta."""
        objective = objective.in_axes
        if not _applies(objective):
            return None
        block, p, n = objective.absorbing, objective.system.p, objective.model.n
        absorbed, rows = absorb_nothing(objective.basis.N) if block is None else absorb(block, objective.basis.N)
        (q, J), V, X = absorbed.levels.R.shape[1:], absorbed.levels.V[:p], rows.N[:p]
        Q, classes = _orthonormal(rows.codes, rows.Z, rows.lengths, n, J, q), Classes.of(absorbed.levels.R)
        others = Others.of(objective.rest, Q, n)
        if others is None or classes.C * len(classes.pairs) * p**2 > limits().operations_a_response:
            return None
        cells = ClassCells.of(others, classes, V)
        if (others.sizes.astype(float) ** 3).sum() / 3.0 + cells.ZZ.size > limits().operations_a_response:
            return None
        design = _layout(objective, classes, V, X, others, cells)
        linear = sp.csr_array(sp.vstack([classes.map(V), cells.map]))
        return cls(objective, design, _unit(objective), Q, np.vstack([X, others.within]), linear, classes)


def _applies(objective: Objective) -> bool:
    """Whether T is linear in theta, levels are independent, and nothing of R is searched."""
    model = objective.model
    return (
        model.k > 0
        and model.held is None
        and model.bounds is None
        and objective.within is None
        and bool(model.coordinates.free.all())
        and not objective.plan.iterative
        and (objective.phi.size == 0 or (model.phi is not None and not np.isnan(model.phi).any()))
        and all(part.entries is not None for part in model.structures)
        and all(block.is_block_diagonal and not block.is_spherical for block in objective.blocks)
    )


def _orthonormal(
    codes: np.ndarray, Z: list[np.ndarray | None], lengths: np.ndarray, n: int, J: int, q: int
) -> sp.csr_array:
    """Q (n, q J): orthogonal columns of the absorbed block over their lengths, column j J + g."""
    if J == 0:
        return sp.csr_array((n, 0))
    record = np.arange(n)
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    values = [(np.ones(n) if z is None else z) * inverse[codes, j] for j, z in enumerate(Z)]
    cols = [j * J + codes for j in range(q)]
    at = np.tile(record, q), np.concatenate(cols)
    return sp.csr_array(sp.coo_array((np.concatenate(values), at), shape=(n, q * J)))


def _layout(
    objective: Objective, classes: Classes, V: np.ndarray, X: np.ndarray, others: Others, cells: ClassCells
) -> LoopLayout:
    """Everything in the order of ``reduction.py``."""
    block, rest, (C, q, _), p, e = objective.absorbing, objective.rest, classes.R.shape, len(X), len(classes.pairs)
    k, widest, most = objective.model.k, max([one.q for one in rest], default=1), int(others.sizes.max(initial=0))
    arrays = [
        np.zeros((k, q, q)) if block is None else _basis_of(objective, (block,), q)[0],
        classes.R,
        classes.counts,
        X @ X.T,
        classes.sums(V),
        *others.arrays(),
        others.within @ X.T,
        *cells.arrays(),
        *others.levels(),
        _basis_of(objective, rest, widest),
        np.array([one.q for one in rest]),
        *_criterion(objective),
    ]
    counts = [k, q, p, C, e, others.sizes.size, len(others.within), len(rest), widest]
    room = [q * q] * 3 + [C * e, (p + 1) ** 2, len(rest) * widest**2, most**2, most * (p + 1)]
    room.append(widest * max(most, p + 1))
    return LoopLayout.of(counts, arrays, room)


def _basis_of(objective: Objective, blocks: tuple[Block, ...], q: int) -> np.ndarray:
    """(blocks, k, q, q): T of each block at each unit vector of theta, filled up with zeros."""
    units = np.eye(objective.model.k)
    out = np.zeros((len(blocks), len(units), q, q))
    for b, block in enumerate(blocks):
        out[b, :, : block.q, : block.q] = [block.T(unit) for unit in units]
    return out


def _criterion(objective: Objective) -> list[np.ndarray]:
    """Constants of the criterion; of each entry of theta its natural unit, its row and its column among all terms."""
    c, rows, cols, row, column = objective.constants, 0, 0, [np.zeros(0)], [np.zeros(0)]
    fixed = c.logdet_K + c.logdet_R + (c.logdet_X0 if c.reml else 0.0)
    for part in objective.model.structures:
        assert part.entries is not None
        row.append(rows + part.entries[0])
        column.append(cols + part.entries[1])
        rows, cols = rows + part.q, cols + part.q
    scale = np.array([fixed, c.n_effective, float(c.reml), np.nan if c.sigma is None else c.sigma])
    return [scale, _unit(objective), np.concatenate(row), np.concatenate(column)]


def _unit(objective: Objective) -> np.ndarray:
    """Theta (k,) at which the variance of an effect is that of its estimate by the records of its largest level."""
    unit = np.ones(objective.model.k)
    for block in objective.blocks:
        most = np.einsum("gaa->ga", block.gram).max(axis=0) ** -0.5
        for part, thetas, own in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
            unit[thetas] = part.per_row(most[own], 1.0)
    return unit / objective.theta_scale
