r"""Whether the variance of a process, whose levels have one record each, is told from that of the residuals.

V = sigma^2 I + Z (K(x) (x) H) Z' has derivatives by sigma^2, by the entries of H and by x. Where every level has one
record, and all that K(x) correlates is one step apart, K(x) = I + f(x) C with one matrix C, and three parameters make
the two coefficients of I and C: a nugget beside a process of which one distance is seen.
"""

from __future__ import annotations

import numpy as np

from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.identifiability.independence import (
    DEPENDENT,
    ProjectedRows,
    TermDerivatives,
    derivatives_of_terms,
    related,
    spread,
)
from mme.identifiability.undetermined import Undetermined
from mme.numeric.limits import limits

# Step of the differences of K by its parameters, of order one.
_STEP = 1e-3
# Vectors on which products are looked at.
_VECTORS = 4


def beside_one_record(objective: Objective) -> Undetermined | None:
    """Say which processes the data cannot tell from the residuals; None: none.

    Dependence among the derivatives of one term and of sigma^2 is dependence, whatever else is in the model.
    """
    model = objective.model
    some = [b for b, block in enumerate(objective.random) if _has_one_record(block)]
    if model.sigma is not None or not some:
        return None
    rows, parts = ProjectedRows.of(objective), derivatives_of_terms(objective)
    sentences, parameters, start = [], np.zeros(model.k, dtype=bool), 0
    for part, structure, term in zip(parts, model.structures, model.terms, strict=True):
        own, start = slice(start, start + structure.k), start + structure.k
        if part.block not in some or term.parametric is None or _smallest(rows, part) > DEPENDENT:
            continue
        parameters[own] = True
        names = " and ".join(term.parametric.names)
        sentences.append(
            f"the variance of {term.name}, its {names} and the variance of the residuals cannot be told apart: there "
            "is one record a level, and all pairs of correlated ones are as far apart"
        )
    if not sentences:
        return None
    held = tuple(np.zeros(part.q, dtype=bool) for part in model.structures)
    return Undetermined(tuple(sentences), parameters, True, len(sentences), held)


def _has_one_record(block: Block) -> bool:
    """Whether each level of a relationship with parameters has a record at most."""
    if block.relationship is None or not block.is_parametric or block.by_column or block.entries is not None:
        return False
    return block.codes.size <= block.J <= limits().related_levels_asked and int(np.bincount(block.codes).max()) == 1


def _smallest(among: ProjectedRows, part: TermDerivatives) -> float:
    """The smallest singular value of the derivatives of V by one term's parameters and by sigma^2, of unit length."""
    block, n = among.blocks[part.block], among.Q.shape[1]
    W = _projected(among, np.random.default_rng(2).standard_normal((_VECTORS, n)))
    sums = block.sums(W)
    theta = np.zeros(block.theta_slices[0].stop)
    x = np.asarray(block.relationship.starts()[0], dtype=float)
    theta[theta.size - x.size :] = x
    K_sums = related(block, sums, theta)
    made = [spread(block, part.at, D @ K_sums[:, part.at], n) for D in part.moved]
    H = part.moved.sum(axis=0)
    for j in range(x.size):
        step = np.zeros(theta.size)
        step[theta.size - x.size + j] = _STEP
        change = related(block, sums, theta + step) - related(block, sums, theta - step)
        made.append(spread(block, part.at, H @ change[:, part.at], n))
    rows = np.array([_projected(among, one).ravel() for one in [*made, W]])
    if not np.isfinite(rows).all():
        return np.inf
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.all():
        return 0.0
    return float(np.linalg.svd(rows / lengths[:, None], compute_uv=False)[-1])


def _projected(among: ProjectedRows, rows: np.ndarray) -> np.ndarray:
    rows = rows if among.sweep is None else among.sweep(rows)
    return rows - (rows @ among.Q.T) @ among.Q if len(among.Q) else rows
