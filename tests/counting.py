"""Counts that stand for cost: they are the same on every machine, however busy."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

from mme.engine.objective import Objective


def calls(function: Callable[[], Any]) -> int:
    """Count the functions that a call enters, Python's and built-in ones: a loop over rows or levels enters as many."""
    count = 0

    def enter(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(enter)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def evaluations(function: Callable[[], Any]) -> int:
    """Count how often a call evaluates the criterion of a model, with or without what follows from it."""
    count, codes = 0, (Objective.evaluate.__code__, Objective.triangle.__code__)

    def enter(frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code in codes

    before = sys.getprofile()
    sys.setprofile(enter)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def peak_bytes(function: Callable[[], Any]) -> int:
    """Measure the most memory that a call holds at a time, in bytes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
