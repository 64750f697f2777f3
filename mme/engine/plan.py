"""What to absorb and how to factorise the rest: a pure function of sizes and patterns, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mme.engine.blocks import Block
from mme.engine.meetings import filled_share, product_count
from mme.numeric.cholesky import Analysis
from mme.numeric.limits import limits
from mme.numeric.memory import available_bytes, require
from mme.numeric.sums import Cells

# One product of (S) in a list takes a value and an index; making the list takes its places too.
_BYTES_PER_PRODUCT = 34


@dataclass(frozen=True)
class Plan:
    """Which block is absorbed (None: none) and whether the remainder is factorised densely.

    A dense one may be ``summed`` from the cells of the levels anew each time, without a list of its products.
    """

    absorb: int | None
    dense: bool
    reasons: tuple[str, ...] = ()
    summed: bool = False


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


def plan(blocks: tuple[Block, ...], names: tuple[str, ...], crossings: list[Cells]) -> Plan:
    """Choose the engine from the pattern; ``crossings`` are the cells of the widest block with each of the others."""
    first = widest(blocks)
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
    spherical = any(block.is_spherical for block in blocks)
    summed = products > limits().listed_products and not spherical
    if m <= limits().dense_whatever_fill:
        return Plan(first, True, (*reasons, f"the other {m:,} are few"), summed)
    if m <= limits().dense_up_to and spherical:
        return Plan(first, True, (*reasons, f"the other {m:,} all meet in one level: a dense product"))
    if is_filled(m, products) or (summed and _fills_up(rest, crossings, m, products)):
        why = f"the other {m:,} meet in {products:,} products, too many to stay sparse"
        return Plan(first, True, (*reasons, why), summed)
    # Absorbing is eliminating first; where that fills in, CHOLMOD's order of all effects together is the better one.
    too_many = products * _BYTES_PER_PRODUCT > available_bytes() // 4
    if too_many or products > limits().fill_of_absorption * (m + sum(found.count for found in crossings)):
        return Plan(None, False, (f"absorbing '{names[first]}' would fill in ({products:,} products)",))
    return Plan(first, False, (*reasons, f"the other {m:,} meet in {products:,} products: sparse"))


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


def require_dense_memory(m: int, *, summed: bool) -> None:
    """Refuse a dense remainder that would not fit; one that is summed is made in one square, where it is factorised."""
    squares = 1 if summed else 2
    require(
        8 * squares * m * m,
        f"{m:,} random effects left after absorption need",
        ". Fewer levels of the crossed factors (those with few records joined into one) need less.",
    )
