"""Pytest in a fork of a process that has imported the libraries: what a run costs is the package and its tests."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGXCPU
from time import monotonic, sleep
from typing import Any

# What the package and its tests import of others; a library that is not here is not needed here.
LIBRARIES = (
    "numpy scipy.sparse.linalg scipy.stats scipy.optimize scipy.special scipy.interpolate scipy.integrate pandas numba"
    " nlopt hypothesis.extra.numpy hypothesis.strategies pytest _pytest.doctest mpmath sksparse.cholmod coverage"
)
# A run that takes so many times its CPU seconds waits for what does not come.
_WAITING = 10.0
# What pytest returns where all tests passed, or where no test has the name.
PASSED = (0, 4, 5)


def import_libraries() -> None:
    """Import the libraries, once for all forks, and keep the collector from touching what they share."""
    for name in LIBRARIES.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()


@dataclass(frozen=True)
class Ended:
    """How a run ended: what pytest returned (None: it was stopped), whether its own time ended, what it wrote."""

    code: int | None
    endless: bool
    said: str

    @property
    def passed(self) -> bool | None:
        """Whether all tests passed; None: no answer in time."""
        return False if self.endless else None if self.code is None else self.code in PASSED

    @property
    def by(self) -> str:
        """The first test that failed."""
        lines = (line.split(" ", 1)[1] for line in self.said.splitlines() if line.startswith(("FAILED ", "ERROR ")))
        return "no end" if self.endless else next(lines, "").split(" - ")[0]


def run(
    root: Path, arguments: list[str], log: Path, cpu: float, until: float, plugin: Any = None, waiting: float = _WAITING
) -> Ended:
    """Run pytest in a tree with so many CPU seconds, and so many times as long; ``plugin()`` makes one in the fork."""
    child = os.fork()
    if child == 0:
        _in_child(root, arguments, log, cpu, plugin)
    status = _waited(child, min(until, monotonic() + waiting * cpu))
    said = log.read_text(errors="replace") if log.exists() else ""
    if status is None:
        return Ended(None, monotonic() < until, said)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, code in (-SIGXCPU, -SIGKILL), said)


def _in_child(root: Path, arguments: list[str], log: Path, cpu: float, plugin: Callable[[], Any] | None) -> None:
    """What the fork does; it never returns."""
    code = 70
    try:
        whole = int(cpu) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 5))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(root)
        here = Path(__file__).parents[2]
        sys.path[:] = [
            str(root),
            *(p for p in sys.path if Path(p or ".").resolve() not in (here, here / "tests", root)),
        ]
        os.environ |= {"PYTHONPATH": str(root), "HYPOTHESIS_PROFILE": "mutants"}
        import pytest

        code = int(pytest.main([*arguments, "-q", "-p", "no:cacheprovider"], plugins=[plugin()] if plugin else None))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _waited(child: int, until: float) -> int | None:
    """The status of a fork; None where it had to be stopped as time was up."""
    while monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        sleep(0.05)
    os.kill(child, SIGKILL)
    os.waitpid(child, 0)
    return None
