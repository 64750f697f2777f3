"""The protocol of an adapter: a request a line on stdin, a reply a line on stdout that starts with ``@@``.

    {}                                                        (at once) -> {"versions", "threads", "import"}
    {"do": "fit", "method": "REML", "times": 3}  -> {"seconds": [...], "held", "peak", "criterion", "evaluations", ...}
    {"do": "evaluate", "times": 10}              -> {"seconds": [...]}: the criterion alone, at the estimates
    {"do": "after"}                              -> {name: seconds}: what users ask of a fit

``held`` is the memory of the process before the fit, ``peak`` the most it held during it, in bytes.
"""

from __future__ import annotations

import gc
import json
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any


def serve(
    package: str,
    load: Callable[[Path, dict[str, Any]], Any],
    fit: Callable[[Any, str], Any],
    describe: Callable[[Any], dict[str, Any]],
    evaluate: Callable[[Any, int], list[float]] | None = None,
    after: Callable[[Any], dict[str, float]] | None = None,
) -> None:
    """Answer requests about the model in the directory named on the command line until stdin ends.

    ``load(folder, model)`` -> data; ``fit(data, method)`` is what is timed; ``describe(fit)`` -> its criterion and
    whatever else it tells; ``evaluate(fit, times)`` -> seconds; ``after(fit)`` -> seconds by name.
    """
    folder = Path(sys.argv[1])
    model = json.loads((folder / "model.json").read_text())
    began = perf_counter()
    module = import_module(package)
    imported = perf_counter() - began
    data = load(folder, model)
    _reply(
        {"versions": {package: module.__version__, "Python": platform.python_version()}, "import": imported} | _blas()
    )
    result: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "evaluate":
            _reply({"seconds": evaluate(result, request["times"]) if evaluate else None})
        elif request["do"] == "after":
            _reply(after(result) if after else {})
        else:
            seconds, result = [], None
            gc.collect()
            held = forget_peak()
            for _ in range(request["times"]):
                result = None
                began = perf_counter()
                result = fit(data, request["method"])
                seconds.append(perf_counter() - began)
            _reply({"seconds": seconds, "held": held, "peak": _status("VmHWM"), **describe(result)})


def timed(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


def forget_peak() -> int | None:
    """Start the count of peak memory anew, where the system can; bytes held now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)


def _blas() -> dict[str, Any]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return {"threads": None}
    return {"threads": [f"{one['internal_api']} {one['version']}: {one['num_threads']}" for one in threadpool_info()]}


def _reply(fields: dict[str, Any]) -> None:
    print("@@" + json.dumps(fields), flush=True)
