"""How many processors there are to work with, and work that is shared out to threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(run: Callable[[slice], None], count: int, threads: int) -> None:
    """Run on pieces of ``count`` things, by compiled loops, which hold no lock; no thing knows of another."""
    if threads <= 1 or count < 2 * threads:
        return run(slice(0, count))
    size = -(-count // (4 * threads))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, (slice(first, min(first + size, count)) for first in range(0, count, size))))
