"""How much is tried: in every test run a little, by ``./run fuzz`` (HYPOTHESIS_PROFILE=thorough) much more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def examples(n: int) -> settings:
    """A test on ``n`` random examples, on 25 times as many where it is thorough."""
    return settings(max_examples=25 * n if THOROUGH else n)


def ends(values: Sequence[T]) -> list[T]:
    """A grid's first, middle and last value, or all of it where it is thorough."""
    return list(values) if THOROUGH or len(values) < 4 else [values[0], values[len(values) // 2], values[-1]]
