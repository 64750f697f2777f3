"""Machine code made by a process of its own, so that no fit waits for the compiler, nor holds its 295 MiB.

One at a time makes a loop: many fits of several processes may ask for it together.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

# Seconds after which a process that makes a loop is taken for one that was ended.
_ENDED = 600.0
_PROGRAM = """
import json, os, sys
sys.path[:], mark, make, module, name, arguments, sizes = json.loads(sys.argv[1])
try:
    if hasattr(os, "nice"):
        os.nice(10)
    from mme.numeric.kernels import of_sizes
    __import__(module), __import__(make)
    loop = getattr(sys.modules[module], name)
    sys.modules[make].make(of_sizes(loop, **sizes) if sizes else loop, arguments)
finally:
    os.unlink(mark)
"""


class Beside:
    """What makes one loop after another in a process beside this one; ``by`` is the room whose ``make`` does it."""

    def __init__(self, by: str) -> None:
        self.by = by
        self.loop: Callable[..., Any] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a loop is being made."""
        return self.process is not None and self.process.poll() is None

    def has_ended(self, loop: Callable[..., Any]) -> bool:
        """Whether the process that was to make this loop has ended; True once."""
        if self.loop is not loop or self.is_busy:
            return False
        self.loop = self.process = None
        return True

    def start(self, loop: Callable[..., Any], arguments: str, folder: Path) -> None:
        """Begin to make a loop whose file is to stand in a folder, if nobody does; without a program for it not."""
        import subprocess

        given = _named(loop)
        if given is None or not Path(sys.executable or "").name.lower().startswith("python"):
            return
        mark = folder / f"{loop.__name__}.making"
        with suppress(OSError):
            if not _claimed(mark):
                return
            told = json.dumps(
                [list(map(str, sys.path)), str(mark.absolute()), self.by, *given[:2], arguments, given[2]]
            )
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, told],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            self.loop = loop


def _named(loop: Callable[..., Any]) -> tuple[str, str, dict[str, int]] | None:
    """The module of a loop, its name there and what :func:`mme.numeric.kernels.of_sizes` has set; None: not there."""
    module, name = sys.modules.get(loop.__module__), loop.__code__.co_name
    if module is None or loop.__module__ == "__main__" or getattr(module, name, None) is None:
        return None
    own = ((one, loop.__globals__.get(one)) for one in loop.__code__.co_names)
    sizes = {one: value for one, value in own if isinstance(value, int) and value != vars(module).get(one)}
    return loop.__module__, name, sizes


def _claimed(mark: Path) -> bool:
    """Whether this process is the one that makes the loop: it alone has made the file."""
    mark.parent.mkdir(parents=True, exist_ok=True)
    if mark.exists() and time() - mark.stat().st_mtime > _ENDED:
        mark.unlink(missing_ok=True)
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
