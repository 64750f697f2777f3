"""Counts that stand for cost: they are the same on every machine, however busy."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

from mme.engine.objective import Objective


def calls(function: Callable[[], Any]) -> int:
    """Count the functions that a call enters, Python's and built-in ones: a loop over rows or levels enters as many."""
    return _events(function, lambda _frame, event: event in ("call", "c_call"))


def entered(function: Callable[[], Any], *methods: Callable[..., Any]) -> int:
    """Count how often a call enters one of these methods, which are written in Python."""
    codes = [method.__code__ for method in methods]
    return _events(function, lambda frame, event: event == "call" and frame.f_code in codes)


def evaluations(function: Callable[[], Any]) -> int:
    """Count how often a call evaluates the criterion of a model, with or without what follows from it."""
    return entered(function, Objective.evaluate, Objective.triangle)


def _events(function: Callable[[], Any], counted: Callable[[Any, str], bool]) -> int:
    count = 0

    def enter(frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += counted(frame, event)

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()  # its callbacks, which Hypothesis has, come when they come
    sys.setprofile(enter)
    try:
        function()
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
    return count


def peak_bytes(function: Callable[[], Any]) -> int:
    """Measure the most memory that a call holds at a time, in bytes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
