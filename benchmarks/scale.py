"""Times the exact and the iterative engine on ratings of users and items, each in a process of its own.

    python -m benchmarks.scale --rows 1000000 --users 6040 --items 3706
    python -m benchmarks.scale --rows 10000000 --users 69878 --items 10677 --engines iterative

Where both are run they must agree first: theta within what the iterative engine states.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import numpy as np

# Beside the error that is stated, in standard errors: what the searches themselves leave.
_SEARCH = 1e-3

_FIT = """
import json, resource, sys, time
from benchmarks import tables
import mme
rows, users, items, engine = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
table = tables.ratings(rows, users, items)
began = time.process_time()
fit = mme.lmer("y ~ x + (1 | user) + (1 | item)", table, engine=engine)
fit.beta, fit.ranef()
took = time.process_time() - began
chance = fit.engine.stochastic
print(json.dumps({
    "cpu": took, "GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "theta": fit.theta.tolist(),
    "hessian": fit.internals.optimum.hessian.tolist(), "error": None if chance is None else chance.error,
    "engine": str(fit.engine),
}))
"""


def measured(rows: int, users: int, items: int, engine: str) -> dict[str, Any]:
    """Fit in a new process: CPU seconds, peak memory, theta."""
    asked = [sys.executable, "-c", _FIT, str(rows), str(users), str(items), engine]
    found: dict[str, Any] = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    return found


def distance(exact: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest distance of a combination of theta, in its standard errors."""
    apart = np.array(other["theta"]) - exact["theta"]
    return float(np.sqrt(0.5 * apart @ np.array(exact["hessian"]) @ apart))


def main(arguments: list[str] | None = None) -> int:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--engines", nargs="+", choices=["exact", "iterative"], default=["exact", "iterative"])
    asked = parser.parse_args(arguments)
    found = {name: measured(asked.rows, asked.users, asked.items, name) for name in asked.engines}
    if len(found) == 2 and (error := found["iterative"]["error"]) is not None:
        apart = distance(found["exact"], found["iterative"])
        if apart > error + _SEARCH:
            print(f"the engines are {apart:.2g} standard errors apart, {error:.2g} are stated", file=sys.stderr)
            return 1
        print(f"theta agrees within {apart:.1g} standard errors ({error:.2g} stated)")
    for name, one in found.items():
        print(f"{name:10s} {one['cpu']:8.1f} CPU s  {one['GB']:6.2f} GB  theta {np.round(one['theta'], 5).tolist()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
