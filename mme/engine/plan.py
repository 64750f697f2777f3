"""What to absorb and how to factorise the rest: a pure function of sizes and patterns, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite

from mme.engine.accumulation import runs_at_once
from mme.engine.blocks import Block
from mme.engine.meetings import filled_share, product_count, spread
from mme.errors import MMEError
from mme.numeric.cholesky import Analysis, Work
from mme.numeric.limits import limits
from mme.numeric.memory import available_bytes, fits, require
from mme.numeric.sums import Cells

# One product of (S) in a list takes a value and an index; making the list takes its places too.
_BYTES_PER_PRODUCT = 34


@dataclass(frozen=True)
class Plan:
    """Which block is absorbed (None: none) and whether the remainder is factorised densely.

    A dense one may be ``summed`` from the cells of the levels anew each time, without a list of its products; so is one
    that is ``iterative``: solved by conjugate gradients, without a factor.
    """

    absorb: int | None
    dense: bool
    reasons: tuple[str, ...] = ()
    summed: bool = False
    iterative: bool = False

    def require_factor(self, what: str) -> None:
        """Refuse what differences of the criterion are taken for: without a factor its values are of chance."""
        if self.iterative:
            raise MMEError(
                f"{what} takes values of the criterion, which the iterative engine knows with an error of chance; "
                "use engine='exact', where its factor fits"
            )


@dataclass(frozen=True)
class Stochastic:
    """What of a fit by the iterative engine is of chance, as the probes themselves show it.

    Attributes
    ----------
    probes : int
        Random probes from which traces are averaged.
    error : float
        No combination of the variance parameters is further from its exact estimate than this many of its standard
        errors, with 95 % confidence.
    criterion_error : float
        The standard error of the criterion.
    iterations : int
        Products that a solve takes.
    steps : int
        Steps of the search.
    """

    probes: int
    error: float
    iterations: int
    steps: int
    criterion_error: float = float("nan")

    def __str__(self) -> str:
        if not isfinite(self.error):
            return (
                f"how far the variances are from the exact estimates is not known: {self.steps} steps came to no end "
                f"({self.probes} probes)"
            )
        return (
            f"within {self.error:.2g} standard errors of the exact estimates of the variances (95 %, {self.probes} "
            f"probes), criterion +- {self.criterion_error:.2g}; {self.steps} steps, {self.iterations} iterations each"
        )


@dataclass(frozen=True)
class Engine:
    """What was done: the plan's reasons, sizes of the factor, and seconds by stage."""

    absorbed: str | None
    remainder: str
    reasons: tuple[str, ...]
    n_random: int
    n_remainder: int
    nnz_L: int
    flops: float
    bytes: int
    seconds: dict[str, float] = field(default_factory=dict)
    stochastic: Stochastic | None = None

    def taking(self, **seconds: float) -> Engine:
        """The description with the seconds of further stages."""
        return replace(self, seconds=seconds)

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in self.seconds.items())
        return "\n".join(
            [
                f"absorbed: {self.absorbed or 'nothing'}; remainder: {self.remainder}",
                f"{self.n_random:,} random effects, {self.n_remainder:,} after absorption, "
                f"{self.nnz_L:,} entries in its factor ({self.bytes / 2**20:.1f} MiB, {self.flops:.2g} flops)",
                *(f"because {reason}" for reason in self.reasons),
                *([] if self.stochastic is None else [str(self.stochastic)]),
                f"seconds by stage: {stages}",
            ]
        )


def widest(blocks: tuple[Block, ...]) -> int | None:
    """The block with the most columns among those with independent levels: the one to absorb."""
    independent = [b for b, block in enumerate(blocks) if block.is_block_diagonal]
    return max(independent, key=lambda b: blocks[b].J * blocks[b].q, default=None)


def is_filled(m: int, products: int) -> bool:
    """Whether a remainder of m effects, to which so many products go, is better dense."""
    return m <= limits().dense_up_to and products > limits().nearly_dense * m * m


def plan(
    blocks: tuple[Block, ...],
    names: tuple[str, ...],
    crossings: list[Cells],
    engine: str = "exact",
    *,
    reml: bool = True,
) -> Plan:
    """Choose the engine from the pattern; ``crossings`` are the cells of the widest block with each of the others.

    ``engine`` is the word of the user: what must be exact, or iterative, or either by the forecast.
    """
    first = widest(blocks)
    chosen = _exact_plan(blocks, names, crossings, first)
    if engine == "exact":
        return chosen
    able = [name for name, block in zip(names, blocks, strict=True) if is_iterable(block, reml)]
    if engine == "iterative" and (first is None or len(able) < len(blocks)):
        unable = next((name for name in names if name not in able), "every factor has a relationship")
        raise MMEError(
            "engine='iterative' takes factors of which a record has one level, one of them without a relationship, and "
            f"no parameters of relationships, and a wide X by REML ({unable}); engine='exact' takes all"
        )
    if first is None or len(blocks) == 1 or len(able) < len(blocks):
        return chosen
    rest = [block for b, block in enumerate(blocks) if b != first]
    why = "it was asked for" if engine == "iterative" else _beyond_reach(chosen, rest, crossings)
    if why is None:
        return chosen
    return Plan(first, False, (f"'{names[first]}' has the most random effects", why), summed=True, iterative=True)


def is_iterable(block: Block, reml: bool) -> bool:
    """Whether the iterative engine takes a block: levels that a record has one of, without parameters of their own.

    Columns of X are among the equations of REML alone.
    """
    if block.is_fixed and not reml:
        return False
    return not (block.is_spherical or block.by_column or block.is_parametric or block.entries is not None)


def _beyond_reach(chosen: Plan, rest: list[Block], crossings: list[Cells]) -> str | None:
    """Why a factor is not to be tried: its forecast, before any order of elimination is sought; None where it is."""
    m = sum(block.J * block.q for block in rest)
    flops, limit = m**3 / 3, limits().dense_operations
    if chosen.dense:
        if not fits(8 * m * m):
            return f"a dense factor of the other {m:,} takes {8 * m * m / 2**30:.1f} GiB"
        return None if flops <= limit else f"a dense factor of the other {m:,} takes {flops:.2g} operations"
    if m <= limits().dense_up_to:
        return None
    if (core := spread(crossings, [block.q for block in rest])) * m < (3.0 * limit) ** (1.0 / 3.0):
        return None
    return (
        f"the other {m:,} are so mixed that any order of elimination is forecast to end in a dense {int(core * m):,}: "
        f"{(core * m) ** 3 / 3:.2g} operations"
    )


def _exact_plan(blocks: tuple[Block, ...], names: tuple[str, ...], crossings: list[Cells], first: int | None) -> Plan:
    """The plan with a factor; the ``first`` block is the widest."""
    if first is None:
        why = "all levels are related" if blocks else "there are no random effects"
        if any(block.relationship is None for block in blocks):
            why = "no grouping factor is block-diagonal by level"
        return Plan(None, sum(block.J * block.q for block in blocks) <= limits().dense_whatever_fill, (why,))
    if len(blocks) == 1:
        return Plan(first, True, (f"'{names[first]}' is the only grouping factor",))
    rest = [block for b, block in enumerate(blocks) if b != first]
    m = sum(block.J * block.q for block in rest)
    products = product_count(crossings, [block.q for block in rest], blocks[first].J, blocks[first].n_weights)
    reasons = (f"'{names[first]}' has the most random effects",)
    if (dense := _why_dense(blocks, rest, crossings, m, products)) is not None:
        return Plan(first, True, (*reasons, dense), _is_summed(blocks, first, crossings, m, products))
    # Absorbing is eliminating first; where that fills in, CHOLMOD's order of all effects together is the better one.
    too_many = products * _BYTES_PER_PRODUCT > available_bytes() // 4
    if too_many or products > limits().fill_of_absorption * (m + sum(found.count for found in crossings)):
        return Plan(None, False, (f"absorbing '{names[first]}' would fill in ({products:,} products)",))
    return Plan(first, False, (*reasons, f"the other {m:,} meet in {products:,} products: sparse"))


def _why_dense(
    blocks: tuple[Block, ...], rest: list[Block], crossings: list[Cells], m: int, products: int
) -> str | None:
    """Why a dense factor of the remainder is the better one; None where it may be sparse."""
    spherical = any(block.is_spherical for block in blocks)
    if m <= limits().dense_whatever_fill:
        return f"the other {m:,} are few"
    if m <= limits().dense_up_to and spherical:
        return f"the other {m:,} all meet in one level: a dense product"
    is_long = products > limits().listed_products and not spherical
    if is_filled(m, products) or (is_long and _fills_up(rest, crossings, m, products)):
        return f"the other {m:,} meet in {products:,} products, too many to stay sparse"
    return None


def _is_summed(blocks: tuple[Block, ...], first: int, crossings: list[Cells], m: int, products: int) -> bool:
    """Whether the products of a dense remainder are not listed: they are too many, or as soon added up at once."""
    if any(block.is_spherical for block in blocks):
        return False
    if products > limits().listed_products or products <= limits().summed_products:
        return products > limits().listed_products
    widths = [block.q for b, block in enumerate(blocks) if b != first]
    entries = sum(found.count * q for found, q in zip(crossings, widths, strict=True))
    absorbed = blocks[first]
    return runs_at_once(entries, products // absorbed.n_weights, m, absorbed.rank, absorbed.J)


def _fills_up(rest: list[Block], crossings: list[Cells], m: int, products: int) -> bool:
    """Whether a large remainder is as good as dense, whatever its order, and a dense factor of it in reach."""
    if m**3 / 3 > limits().dense_operations or products <= limits().nearly_dense * m * m:
        return False
    return filled_share(crossings, [block.q for block in rest]) > 2.0 * limits().nearly_dense


def after_analysis(plan: Plan, analysis: Analysis) -> Plan:
    """The plan once the fill of the sparse factor is known: LAPACK where it has filled in so far that it is quicker."""
    share = analysis.nnz_L / (0.5 * analysis.n * (analysis.n + 1))
    if analysis.n > limits().dense_up_to or share < 2.0 * limits().nearly_dense:
        return plan
    return replace(plan, dense=True, reasons=(*plan.reasons, f"but their factor would fill to {100 * share:.0f} %"))


def filled_by_relationships(plan: Plan, rest: tuple[Block, ...]) -> Plan:
    """The plan, dense where inverses of relationships without zeros fill so much of the remainder by themselves."""
    if plan.dense or plan.iterative:
        return plan
    m = sum(block.J * block.q for block in rest)
    if m > limits().dense_up_to:
        return plan
    full = [block for block in rest if block.relationship is not None and not block.is_parametric]
    full = [one for one in full if one.relationship.precision.nnz > 2.0 * limits().nearly_dense * one.J * one.J]
    share = sum((block.J * block.q) ** 2 for block in full) / m**2
    if share < 2.0 * limits().nearly_dense:
        return plan
    return replace(plan, dense=True, reasons=(*plan.reasons, "the inverse of its relationship has no zeros"))


def instead_of_absorbing() -> Plan:
    """The plan that factorises all effects together, once this is known to take fewer operations."""
    return Plan(None, False, ("all effects together take fewer operations than those beside absorbed levels",))


def require_dense_memory(m: int, *, summed: bool) -> None:
    """Refuse a dense remainder that would not fit; one that is summed is made in one square, where it is factorised."""
    squares = 1 if summed else 2
    require(
        8 * squares * m * m,
        f"{m:,} random effects left after absorption need",
        "; engine='iterative' needs no factor, and fewer levels of the crossed factors (those with few records joined "
        "into one) a smaller one",
    )


def require_iterative_memory(work: Work) -> None:
    """Refuse solves whose entries and columns would not fit."""
    require(work.bytes, "the entries of the crossed factors and the columns that are solved for need")
