"""Tests that are named: every fault is shown to them alone, all in one run.

What reaches which line need not be known, which takes a run of the whole suite: all faults of a room are tried against
the tests of that room in a minute or two, while these are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from resource import RUSAGE_CHILDREN, getrusage

from mutants.forked import Ended
from mutants.mutations import Mutation

# CPU seconds that they have without a fault.
_LONGEST = 600.0
# A fault that makes them take so many times their CPU seconds, and these seconds, is noticed.
_LONGER, _MORE = 3.0, 10.0


@dataclass(frozen=True)
class Named:
    """Files of tests, or tests of them, that passed without a fault in so many CPU seconds."""

    tests: tuple[str, ...]
    took: float
    are_sound = True

    @classmethod
    def of(cls, tests: tuple[str, ...], asked: Callable[[list[str], float, float], Ended]) -> Named:
        """Ask them where there is no fault: ``asked(tests, CPU seconds, until)``."""
        before = _seconds()
        ended = asked(list(tests), _LONGEST, inf)
        if ended.code != 0:
            raise ValueError(f"without a fault these do not pass: {', '.join(tests)}\n{ended.said[-600:]}")
        return cls(tests, _seconds() - before)

    def rounds(self, mutation: Mutation, source: bytes) -> Iterator[list[str]]:
        """All of them at once, whatever the fault."""
        yield list(self.tests)

    def most(self, tests: list[str]) -> float:
        """CPU seconds after which a fault is noticed."""
        return _LONGER * self.took + _MORE


def _seconds() -> float:
    """CPU seconds of the processes that were waited for."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
