r"""Which variances no data of this design determine: eta has the same covariance Z G Z' for others.

That is of the design alone, as with normal records: the family changes nothing. The search holds at zero what can be
left out without loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.generalised.levels import weighted_gram
from mme.identifiability.identified import undetermined
from mme.identifiability.undetermined import Undetermined
from mme.model.problem import Model

# Levels by which the columns of a block are told apart: those of the most records.
_LEVELS = 50
# An eigenvalue of a level's Gram matrix, of unit diagonal, below this is zero.
_NOTHING = 1e-10


def undetermined_of(model: Model, blocks: Sequence[Block]) -> Undetermined | None:
    """What is not determined of the variances; None where all is."""
    if not any(_reason(blocks)):
        return None
    found = undetermined(Objective.of(replace(model, sigma=1.0)), thorough=True)
    return None if found is None or found.sigma else found


def held_at_zero(blocks: Sequence[Block], found: Undetermined, k: int) -> np.ndarray:
    """The entries of theta (k,) that are held at zero."""
    out = np.zeros(k, dtype=bool)
    for block in blocks:
        for term, part, thetas in zip(block.terms, block.structures, block.theta_slices, strict=True):
            columns, own = found.held[term], slice(thetas.start, thetas.start + part.inner.k)
            if columns.all():
                out[own] = True
            elif columns.any() and part.inner.entries is not None:
                rows, cols = part.inner.entries
                out[own] = columns[rows] | columns[cols]
    return out


def _reason(blocks: Sequence[Block]) -> list[bool]:
    """Whether a block has columns that no level tells apart, or two have the same levels."""
    alone = [block for block in blocks if not (block.by_column or block.entries is not None)]
    same = [one.J == other.J and one.cells(other).count <= one.J for b, one in enumerate(alone) for other in alone[:b]]
    return [*same, *(block.q > 1 and not _told_apart(block) for block in alone)]


def _told_apart(block: Block) -> bool:
    """Whether some level tells the columns of a block apart."""
    some = np.argsort(-np.bincount(block.codes, minlength=block.J), kind="stable")[:_LEVELS]
    A = np.moveaxis(weighted_gram(block, np.ones(block.codes.size))[:, :, some], 2, 0)
    size = np.sqrt(np.einsum("gaa->ga", A))
    size[size == 0.0] = 1.0
    return bool((np.linalg.eigvalsh(A / (size[:, :, None] * size[:, None, :]))[:, 0] > _NOTHING).any())
