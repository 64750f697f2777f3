"""What many responses share: the design of the compiled loops, and the linear maps that make their sums of a response.

Made of an objective in the axes of its terms (:mod:`mme.engine.objective`), where levels of the absorbed block are few
classes or small, and what is left of the random effects falls into small components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.absorption import absorb, absorb_nothing
from mme.engine.objective import Objective
from mme.many.classes import Classes
from mme.many.components import components_of
from mme.many.designs import design_of
from mme.many.layout import KEPT, LoopLayout
from mme.many.sums import MergedProducts, RowMaps, Summed, groups_of, summed
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
    Q : (n, q J) sparse
        Orthonormal columns of the absorbed block, effect by effect.
    within : (p + m, n) array
        X and the other columns of Z less their parts between levels.
    by_class, by_term : sparse, of q J columns
        Make of Q'y the sums by class beside X, and the rows of terms.
    alone : (rows,) array
        Rows of the terms of components that stand alone; ``merged`` has those of others.
    classes : Classes
        Levels that are alike.
    """

    objective: Objective
    design: LoopLayout
    Q: sp.csr_array
    within: np.ndarray
    by_class: sp.csr_array
    by_term: sp.csr_array
    alone: np.ndarray
    merged: list[MergedProducts]
    classes: Classes

    @property
    def is_wide(self) -> bool:
        """Whether an evaluation takes products of large matrices."""
        return bool(self.design.at[KEPT] > 0)

    def sums(self, r: np.ndarray) -> np.ndarray:
        """The sums (B, sums) of responses less their parts in X (B, n), in the order of ``layout.put_response``."""
        between, classes, p = r @ self.Q, self.classes, self.objective.system.p  # Q'r, (B, q J)
        rest = r - between @ self.Q.T
        of_rows = rest @ self.within.T
        first = np.hstack([of_rows[:, :p], np.einsum("bn,bn->b", rest, rest)[:, None]])
        by_level = between.reshape(len(r), -1, classes.members.size)
        products = np.stack([(1.0 + (i < j)) * by_level[:, i] * by_level[:, j] for i, j in classes.pairs], axis=1)
        squares = (products.reshape(-1, products.shape[2]) @ classes.indicator.T).reshape(*products.shape[:2], -1)
        beside = (between @ self.by_class.T).reshape(len(r), classes.C * len(classes.pairs), p)
        G = np.concatenate([beside, squares.transpose(0, 2, 1).reshape(len(r), -1, 1)], axis=2)
        rows = np.hstack([of_rows[:, p:], between @ self.by_term.T])
        gamma = [one.of_responses(rows).reshape(len(r), -1) for one in self.merged]
        levels = [between] if self.is_wide else []
        return np.hstack([first, G.reshape(len(r), -1), rows[:, self.alone], *gamma, *levels])

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
        if classes.C * len(classes.pairs) * p**2 > limits().operations_a_response:
            return None
        components = components_of(objective.rest, Q, n, classes)
        if components is None or sum(one.m**3 / 3.0 for one in components) > limits().operations_a_response:
            return None
        first = np.cumsum([0, *(one.m for one in components)])
        maps = RowMaps(q * J, int(first[-1]))
        parts = [summed(one, at, classes, V, X, maps) for one, at in zip(components, first.tolist(), strict=False)]
        groups = groups_of(parts, p)
        if _operations(groups, p + 1) > limits().operations_a_response:
            return None
        return cls(
            objective=objective,
            design=design_of(objective, classes, V, X, groups),
            Q=Q,
            within=np.vstack([X, *(one.within for one in components)]),
            by_class=classes.map(V),
            by_term=maps.matrix,
            alone=np.concatenate([np.zeros(0, int), *(t.rows for g in groups if len(g) == 1 for t in g[0].terms)]),
            merged=[MergedProducts.of(group) for group in groups if len(group) > 1],
            classes=classes,
        )


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


def _operations(groups: list[list[Summed]], w: int) -> float:
    """Operations of one evaluation; those of products of matrices count an eighth."""
    total = 0.0
    for group in groups:
        part, m = group[0], group[0].component.m
        total += m**3 / 3.0 + len(part.terms) * m * (m + w)
        total += 0.0 if part.wide is None else part.wide.size * m / 8.0
        total += part.size**2 / 2.0 * w * w if len(group) > 1 else 0.0
    return total


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
