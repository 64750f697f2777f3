"""Cross-products of Z and N = [X y] on the pattern of a model, absorbing the block of its plan."""

from __future__ import annotations

import numpy as np

from mme.engine.absorption import Absorbed, Levels, Projected, absorb, absorb_nothing, merge
from mme.engine.assembly import ModelPattern, Weighted, split
from mme.engine.basis import FixedBasis
from mme.engine.blocks import Block
from mme.engine.long_levels import absorb_by_rows, absorb_long
from mme.engine.pls import System
from mme.engine.remainder import no_remainder, remainder, sums_within
from mme.numeric.limits import limits
from mme.numeric.triangles import loop_is_at_hand


def joined(pattern: ModelPattern, made: Weighted) -> System:
    """Cross-products of Z and N = [X y] on the pattern, absorbing the block of the plan."""
    blocks, absorbing = split(made.blocks, pattern.plan.absorb)
    long = made.basis.long
    if pattern.rest is None and absorbing is not None and long is not None and _goes_in_passes(absorbing):
        return _of_levels(absorb_long(absorbing, long), pattern)
    absorbed, rows, C = _absorbed(absorbing, made.basis, blocks)
    if pattern.rest is None:
        return _of_levels(absorbed, pattern)
    rest = remainder(pattern.rest, blocks, absorbed, rows, C, pattern.penalty)
    return System(made.basis.m - 1, absorbed, (), rest, pattern.elimination)


def _absorbed(
    absorbing: Block | None, basis: FixedBasis, others: tuple[Block, ...]
) -> tuple[Absorbed, Projected, np.ndarray]:
    """The absorption, what it leaves of Z, and C of the other blocks."""
    if basis.long is not None and absorbing is not None and not absorbing.is_spherical:
        return absorb_by_rows(absorbing, basis.long, others)
    N = basis.N if basis.long is None else basis.long.whole()  # made anew where it is asked for: it is as large as X
    absorbed, rows = absorb_nothing(N) if absorbing is None else absorb(absorbing, N)
    return absorbed, rows.without_N(), sums_within(others, rows)


def _goes_in_passes(block: Block) -> bool:
    """Whether records are rotated into the triangles of their levels: few columns, and a loop that is at hand."""
    few = block.q <= limits().columns_in_passes
    return few and not block.is_spherical and loop_is_at_hand(block.codes.size, block.q)


def _of_levels(absorbed: Absorbed, pattern: ModelPattern) -> System:
    """The system of levels beside which nothing else is random."""
    (m, q, J), chunks = absorbed.levels.V.shape, merge(absorbed.levels).chunks()
    return System(m - 1, absorbed, chunks, no_remainder(q * J, m), pattern.elimination)


def exchanged(system: System, basis: FixedBasis, absorbing: Block | None) -> System:
    """The system with the last column of N from this basis, whose other columns are the same."""
    r = basis.N[-1:]
    one, rows = absorb_nothing(r) if absorbing is None else absorb(absorbing, r)
    V = np.concatenate([system.absorbed.levels.V[:-1], one.levels.V])
    levels = Levels(one.levels.R, V, one.levels.multiplicity, one.levels.singular)
    absorbed = system.absorbed.exchanged(levels, basis.N, rows.N)
    if system.rest.m == 0:
        return System(system.p, absorbed, merge(levels).chunks(), system.rest, system.elimination)
    return System(system.p, absorbed, system.chunks, system.rest.with_response(rows.N), system.elimination)
