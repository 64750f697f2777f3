"""How many processors there are to work with, and work that is shared out to threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Made = TypeVar("Made")


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


def made_in_threads(make: Callable[[int], Made], items: list[int], threads: int) -> Iterator[Made]:
    """What is made of each, in order; for work that holds no lock. An interruption waits for no more than is begun."""
    if threads <= 1 or len(items) < 2:
        yield from map(make, items)
        return
    each = [copy_context() for _ in items]  # a thread has the limits of its caller
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(lambda context, item: context.run(make, item), each, items)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
