"""The machine in words, and the two speeds that no solver can beat: reading memory and multiplying matrices.

As a script (``python -m benchmarks.machine SHARE``) it measures the speeds, in a process of its own so that the
threads of the run apply.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def describe() -> dict[str, Any]:
    """CPU, cores, memory, system, and how busy the machine is before the run."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = f"{platform.system()} {platform.release()}"
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": system,
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def speeds(share: float = 1.0) -> dict[str, float]:
    """Bytes a second of an inner product that does not fit into any cache; flops a second of a matrix product."""
    import numpy as np

    length, size = max(int(share * 2**25), 2**20), max(int(share * 2000), 200)
    left, right, matrix = np.ones(length), np.ones(length), np.ones((size, size))
    return {
        "bytes_per_second": 16.0 * length / _best(lambda: left @ right),
        "flops_per_second": 2.0 * size**3 / _best(lambda: matrix @ matrix),
    }


def _best(work: Any, times: int = 5) -> float:
    def once() -> float:
        began = perf_counter()
        work()
        return perf_counter() - began

    return min(once() for _ in range(times))


if __name__ == "__main__":
    print(json.dumps(speeds(float(sys.argv[1]))))
