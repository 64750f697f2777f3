"""What to absorb and how to factorise the rest: a pure function of sizes and patterns, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field

from mme.blocks import Block
from mme.errors import MemoryForecastError
from mme.factor import available_bytes
from mme.remainder import pairs_forecast

# One pair of cells in the scatter takes a value and an index.
_BYTES_PER_PAIR = 12
# LAPACK on a dense remainder beats the bookkeeping of a sparse factor up to here whatever the fill.
_DENSE_BELOW = 200
# A dense factor is kept while its matrix is within this size; beyond it sparsity decides.
_DENSE_UP_TO = 6000


@dataclass(frozen=True)
class Plan:
    """Which block is absorbed (None: none) and whether the remainder is factorised densely, with the reasons."""

    absorb: int | None
    dense: bool
    reasons: tuple[str, ...]
    pairs: int = 0


@dataclass(frozen=True)
class Engine:
    """What was done: the plan's reasons, sizes of the factor, and seconds by stage."""

    absorbed: str | None
    remainder: str
    reasons: tuple[str, ...]
    n_random: int
    n_remainder: int
    nnz_L: int
    bytes: int
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in self.seconds.items())
        return "\n".join(
            [
                f"absorbed: {self.absorbed or 'nothing'}; remainder: {self.remainder}",
                f"{self.n_random:,} random effects, {self.n_remainder:,} after absorption, "
                f"{self.nnz_L:,} entries in its factor ({self.bytes / 2**20:.1f} MiB)",
                *(f"because {reason}" for reason in self.reasons),
                f"seconds by stage: {stages}",
            ]
        )


def plan(blocks: tuple[Block, ...], names: tuple[str, ...]) -> Plan:
    """Choose the engine for these blocks.

    The block with the most columns is absorbed when what is left can hold its Schur complement: the scatter of
    pairs must fit in memory, and so must the remainder.
    """
    if not blocks:
        return Plan(None, True, ("there are no random effects",))
    widest = max(range(len(blocks)), key=lambda b: blocks[b].J * blocks[b].q)
    rest = [block for b, block in enumerate(blocks) if b != widest]
    if not rest:
        return Plan(widest, True, (f"'{names[widest]}' is the only grouping factor",))
    m = sum(block.J * block.q for block in rest)
    pairs = pairs_forecast(blocks[widest], rest)
    if pairs * _BYTES_PER_PAIR > available_bytes() // 4:
        reason = f"absorbing '{names[widest]}' would pair {pairs:,} cells of the other factors"
        return Plan(None, False, (reason,), pairs)
    reasons = [f"'{names[widest]}' has the most random effects"]
    if m <= _DENSE_BELOW:
        return Plan(widest, True, (*reasons, f"{m} other random effects are few"), pairs)
    if m <= _DENSE_UP_TO and pairs > m * m / 8:
        return Plan(widest, True, (*reasons, f"the other {m:,} random effects meet in {pairs:,} pairs of cells"), pairs)
    return Plan(widest, False, (*reasons, f"the other {m:,} random effects stay sparse"), pairs)


def require_dense_memory(m: int) -> None:
    """Refuse a dense remainder that would not fit."""
    needed, available = 2 * 8 * m * m, available_bytes()
    if needed > available:
        raise MemoryForecastError(
            f"{m:,} random effects left after absorption need {needed / 2**30:.1f} GiB; "
            f"{available / 2**30:.1f} GiB are free"
        )
