"""What an evaluation takes of a model, in steps by what each depends on.

* its pattern (:class:`ModelPattern`): levels, cells, pairs, numbering, the plan, the symbolic analysis; once a model;
* weights and phi (:func:`weighted`, ``cross_products.joined``): whitened columns, their cross-products and absorption;
* the response (``cross_products.exchanged``): one column of the cross-products.

A step that has what it needs from the one before makes no more than its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from mme.engine.basis import FixedBasis, long_basis, orthonormalise
from mme.engine.block_pattern import BlockPattern, block_patterns
from mme.engine.blocks import Block
from mme.engine.centring import Centred, CentredColumns, centred, centred_columns, centred_sums
from mme.engine.criterion import Constants
from mme.engine.elimination import DenseElimination, Elimination, SparseElimination, WholeElimination
from mme.engine.iteration import IterativeElimination
from mme.engine.penalty import Penalty
from mme.engine.plan import (
    Engine,
    Plan,
    after_analysis,
    filled_by_relationships,
    instead_of_absorbing,
    plan,
    require_dense_memory,
    require_iterative_memory,
    widest,
)
from mme.engine.remainder import RemainderPattern, remainder_pattern
from mme.engine.schur_pattern import SchurPattern, penalty_values
from mme.engine.schur_sum import SumPattern
from mme.engine.span import within_X
from mme.engine.unpenalised import fixed_block
from mme.engine.wide_basis import WideBasis, WideX, whitened, wide, wide_basis
from mme.errors import MMEError
from mme.model.problem import Model
from mme.numeric.factor import Analysis, analyse
from mme.numeric.limits import limits
from mme.numeric.sums import Cells, no_cells
from mme.residual.mixing import Mixing
from mme.residual.whitening import Whitening

# A factor of all effects together is taken instead of one beside absorbed levels where it takes this share of its
# operations: absorption keeps digits.
_CHEAPER = 0.6


@dataclass(frozen=True, eq=False)
class Plain:
    """X and the terms before weights and phi; ``mixing`` is the pattern of a whitening that mixes levels of a term."""

    X: Centred | CentredColumns | WideX
    blocks: tuple[BlockPattern, ...]
    mixing: Mixing | None


@dataclass(frozen=True, eq=False)
class Weighted:
    """X, y and the terms as weights and phi make them; ``within`` as in :class:`mme.engine.objective.Objective`."""

    basis: FixedBasis
    blocks: tuple[Block, ...]
    within: tuple[np.ndarray, ...] | None
    constants: Constants


@dataclass(frozen=True, eq=False)
class ModelPattern:
    """What neither weights nor phi nor y change.

    ``rest`` is None where nothing is left after absorption; what is left is factorised by ``elimination``.
    ``penalty`` are the values of K^-1 (x) I, ``penalty_at`` gives them where relationships have parameters.
    """

    plain: Plain
    plan: Plan
    rest: RemainderPattern | None
    elimination: Elimination
    penalty: np.ndarray
    penalty_at: Penalty | None

    def suits(self, made: Weighted) -> bool:
        """Whether X and the absorbed block have the rank that they had, and the pattern was kept whole."""
        if self.rest is None:
            return True
        _, absorbed = split(made.blocks, self.plan.absorb)
        rank = 1 if absorbed is None else absorbed.rank
        return self.rest.is_whole and self.rest.q == rank and self.rest.schur.border == made.basis.m

    def kept(self, *, for_weights: bool) -> ModelPattern:
        """The pattern with the places of all products, for steps to other weights; or without them: they are many."""
        return self if self.rest is None else replace(self, rest=self.rest.kept(for_weights=for_weights))


def split(blocks: tuple[Block, ...], absorb: int | None) -> tuple[tuple[Block, ...], Block | None]:
    """The blocks that are not absorbed, and the one that is."""
    if absorb is None:
        return blocks, None
    return (*blocks[:absorb], *blocks[absorb + 1 :]), blocks[absorb]


def in_order(blocks: tuple[Block, ...], absorb: int | None) -> tuple[Block, ...]:
    """The absorbed block, then the others."""
    rest, absorbed = split(blocks, absorb)
    return rest if absorbed is None else (absorbed, *rest)


def names_of(model: Model, blocks: tuple[Block, ...]) -> tuple[str, ...]:
    """The name of each block: those of its terms, with slashes between them."""
    return tuple([_name_of(model, block) for block in blocks])


def _name_of(model: Model, block: Block) -> str:
    if block.is_fixed:
        return "columns of X"
    return "/".join(dict.fromkeys([model.terms[t].name for t in block.terms]))


def whitening_of(model: Model, phi: np.ndarray) -> Whitening:
    """The whitening W of the model's records at this phi."""
    return Whitening(model.weights, model.residual, phi)


def plain(model: Model, whiten: Whitening) -> Plain:
    """X centred and the blocks of the terms, before weights and phi."""
    if model.compressed is not None:
        return Plain(centred_sums(model.X, model.compressed.ones, model.x_names), *block_patterns(model, whiten))
    blocks = block_patterns(model, whiten)
    if (long := model.long_X) is not None and (near := centred_columns(long)) is not None:
        return Plain(near, *blocks)
    return Plain(wide(model.X, model.p_given) if model.is_wide else centred(model.X), *blocks)


def weighted(model: Model, of: Plain, whiten: Whitening) -> Weighted | None:
    """X, y and the terms of whitened records; None where the whitening has entries beyond the known ones."""
    W = None if of.mixing is None else of.mixing.values(whiten)
    if of.mixing is not None and W is None:
        return None
    sweep = None
    if isinstance(of.X, WideX):
        wide, F = of.X, whitened(of.X, whiten)
        basis = conditioned(model, lambda y: wide_basis(wide, F, y, whiten))
        sweep = basis.sweep if isinstance(basis, WideBasis) else None
    else:
        near = of.X
        basis = conditioned(model, lambda y: orthonormalised(model, y, whiten, near))
    aligned = [within_X(block.weighted(whiten, W), basis) for block in of.blocks]
    if sweep is not None and sweep.F.shape[1]:
        aligned.append((fixed_block(sweep.F, sweep.pooled), np.zeros(1, dtype=bool)))
    blocks, found = tuple([block for block, _ in aligned]), tuple([found for _, found in aligned])
    within = found if any(one.any() for one in found) else None
    return Weighted(basis, blocks, within, _constants(model, basis, blocks, whiten))


def orthonormalised(model: Model, y: np.ndarray, whiten: Whitening, near: Centred | CentredColumns) -> FixedBasis:
    """The basis of X beside y: by panels of columns, or of X as a whole where these have not the digits."""
    if isinstance(near, CentredColumns):
        if whiten.structure is None and (found := long_basis(y, whiten, near)) is not None:
            return found
        near = centred(model.X)
    return orthonormalise(model.X, y, whiten, near)


def conditioned(model: Model, make: Callable[[np.ndarray], FixedBasis]) -> FixedBasis:
    """The basis of X beside the OLS residual of y, which ``make`` gives for y less its offset.

    Raises
    ------
    MMEError
        There are too few records for X, or X fits y exactly.
    """
    n, estimated = model.n_records, int(model.sigma is None)
    basis = make(model.y_less_offset)
    if n - basis.kept.size < estimated:
        raise MMEError(f"{n} records cannot carry {basis.kept.size} fixed effects and a residual variance")
    if model.sigma is None and sqrt(basis.squares) <= 1e-13 * basis.length:
        raise MMEError(
            f"the fixed effects fit the response '{model.response}' exactly: there is no variance left to estimate"
        )
    return basis


def _constants(model: Model, basis: FixedBasis, blocks: tuple[Block, ...], whiten: Whitening) -> Constants:
    return Constants(
        n=model.n_records,
        p=basis.kept.size,
        logdet_X0=basis.logdet,
        logdet_R=whiten.logdet - (0.0 if model.compressed is None else model.compressed.logdet_W),
        logdet_K=sum([block.logdet_K for block in blocks]),
        reml=model.method == "REML",
        sigma=model.sigma,
    )


def pattern_of(
    model: Model, plain: Plain, made: Weighted, known: Plan | None, analysis: Analysis | None
) -> ModelPattern:
    """The pattern, of the blocks' levels alone; by a ``known`` plan and analysis where they are at hand."""
    blocks = made.blocks
    chosen, crossings = _planned(model, blocks, known)
    rest, absorbed = split(blocks, chosen.absorb)
    if not rest:
        return ModelPattern(plain, chosen, None, DenseElimination(0), penalty_values(rest), None)
    chosen = filled_by_relationships(chosen, rest) if known is None else chosen
    if chosen.dense:  # before anything is made
        require_dense_memory(sum(block.J * block.q for block in rest), summed=chosen.summed)
    how = {"summed": chosen.summed, "dense": chosen.dense}
    pattern = remainder_pattern(rest, absorbed, tuple(crossings), made.basis.m, **how)
    elimination: Elimination = (WholeElimination if chosen.summed else DenseElimination)(pattern.schur.m)
    if isinstance(pattern.schur, SumPattern) and chosen.iterative:
        elimination = IterativeElimination(pattern.schur.m, pattern.schur.rows.level.size)
        require_iterative_memory(elimination.work)
    elif not chosen.dense:
        analysis = _analysed(pattern, analysis)
        if known is None and absorbed is not None and analysis.flops > limits().dear_order and _is_related(rest):
            together = remainder_pattern(blocks, None, tuple(_crossings(blocks, None)), made.basis.m)
            other = _analysed(together, None)
            if other.flops < _CHEAPER * analysis.flops:
                chosen, pattern, analysis, rest = instead_of_absorbing(), together, other, blocks
        analysis.require_memory("the random effects of this model")
        chosen = after_analysis(chosen, analysis) if known is None else chosen
        elimination = elimination if chosen.dense else SparseElimination(analysis)
    penalty = penalty_values(rest)
    return ModelPattern(plain, chosen, pattern, elimination, penalty, Penalty.of(rest, penalty))


def _analysed(pattern: RemainderPattern, known: Analysis | None) -> Analysis:
    """The analysis of the pattern of M; the ``known`` one where it is of this pattern."""
    assert isinstance(pattern.schur, SchurPattern)  # a sum is made for a dense factor
    lower = pattern.schur.lower()
    return known if known is not None and known.is_of(lower) else analyse(lower)


def _is_related(rest: tuple[Block, ...]) -> bool:
    """Whether levels have a relationship, whose own order of elimination may be better than one that absorbs others."""
    return any(block.relationship is not None for block in rest)


def _planned(model: Model, blocks: tuple[Block, ...], known: Plan | None) -> tuple[Plan, list[Cells]]:
    """The plan, and the cells of the block that it absorbs with each of the others."""
    absorbing = widest(blocks) if known is None else known.absorb
    crossings = _crossings(blocks, absorbing)
    if known is not None:
        return known, [cells.narrow() for cells in crossings] if known.iterative else crossings
    engine = "exact" if model.residual is not None else model.engine
    chosen = plan(blocks, names_of(model, blocks), crossings, engine, reml=model.method == "REML")
    if chosen.iterative:
        return chosen, [cells.narrow() for cells in crossings]
    return chosen, crossings if chosen.absorb == absorbing else _crossings(blocks, chosen.absorb)


def _crossings(blocks: tuple[Block, ...], absorbing: int | None) -> list[Cells]:
    """The cells of the absorbed block with each of the others."""
    if absorbing is None:
        return [no_cells() for _ in blocks]
    one = blocks[absorbing]
    return [one.cells(other) for b, other in enumerate(blocks) if b != absorbing]


def describe(model: Model, blocks: tuple[Block, ...], pattern: ModelPattern, seconds: dict[str, float]) -> Engine:
    """The account of the engine: what is absorbed, how the rest is factorised and why, and seconds by stage."""
    work, absorb = pattern.elimination.work, pattern.plan.absorb
    return Engine(
        absorbed=None if absorb is None else names_of(model, blocks)[absorb],
        remainder=work.description,
        reasons=pattern.plan.reasons,
        n_random=sum(block.J * block.q for block in blocks if not block.is_fixed),
        n_remainder=0 if pattern.rest is None else pattern.rest.schur.m,
        nnz_L=work.nnz_L,
        flops=work.flops,
        bytes=work.bytes,
        seconds=seconds,
    )
