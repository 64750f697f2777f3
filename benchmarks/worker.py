"""A peer's process: started for one model, asked by lines, ended by closing its input."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.peers import Peer

ROOT = Path(__file__).parents[1]
_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class PeerError(RuntimeError):
    """The peer failed, or took too long."""


def environment(threads: int) -> dict[str, str]:
    """The environment of every process that is timed."""
    return os.environ | dict.fromkeys(_THREADS, str(threads))


class Worker:
    """One adapter process for the model in a directory; ``hello`` is what it says of itself."""

    def __init__(self, peer: Peer, folder: Path, *, threads: int, limit: float) -> None:
        self.name, self.limit = peer.name, limit
        self._log = folder / f"{peer.name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*peer.command, str(folder)],
                cwd=ROOT,
                env=environment(threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._pending = b""
        self.hello = self._reply()

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises
        ------
        PeerError
            The process ended, or gave no reply within ``limit`` seconds; it is ended then.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps({"do": do, **fields}) + "\n").encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self._failure()) from None
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        deadline = monotonic() + self.limit
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while True:
                while b"\n" in self._pending:
                    line, self._pending = self._pending.split(b"\n", 1)
                    if line.startswith(b"@@"):
                        return dict(json.loads(line[2:]))
                if not ready.select(max(deadline - monotonic(), 0.0)):
                    self.close()
                    raise PeerError(f"no answer within {self.limit:.0f} s")
                if not (more := os.read(self._process.stdout.fileno(), 2**16)):
                    raise PeerError(self._failure())
                self._pending += more

    def _failure(self) -> str:
        self._process.wait()
        said = self._log.read_text(errors="replace").strip().splitlines()
        return "; ".join(line.strip() for line in said[-2:]) or f"ended with status {self._process.returncode}"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
