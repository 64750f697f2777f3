"""Times the exact and the iterative engine on ratings of users and items, each in a process of its own.

    python -m benchmarks.scale --rows 1000000 --users 6040 --items 3706
    python -m benchmarks.scale --rows 10000000 --users 69878 --items 10677 --engines iterative
    python -m benchmarks.scale --engines iterative gpboost

Where several are run they must agree first: theta within what the iterative engine states, and with gpboost, whose
Krylov methods maximise the likelihood, as do then the others, within a tenth of a standard error.
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
# Of gpboost, which stops at its own tolerance.
_PEER = 0.1

_FIT = """
import json, resource, sys, time
from benchmarks import tables
import mme
rows, users, items, engine, method = *map(int, sys.argv[1:4]), *sys.argv[4:]
mme.lmer("y ~ x + (1 | user) + (1 | item)", tables.ratings(5000, 300, 200), engine=engine)  # loads what is loaded once
table = tables.ratings(rows, users, items)
began = time.process_time()
fit = mme.lmer("y ~ x + (1 | user) + (1 | item)", table, engine=engine, method=method)
fit.beta, fit.ranef()
took = time.process_time() - began
chance = fit.engine.stochastic
print(json.dumps({
    "cpu": took, "GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "theta": fit.theta.tolist(),
    "hessian": fit.internals.optimum.hessian.tolist(), "error": None if chance is None else chance.error,
    "engine": str(fit.engine),
}))
"""

_PEER_FIT = """
import json, os, resource, sys, time
import gpboost, numpy as np
from benchmarks import tables
table = tables.ratings(*map(int, sys.argv[1:4]))
groups = np.column_stack([table["user"].cat.codes, table["item"].cat.codes])
y, X = table["y"].to_numpy(), np.column_stack([np.ones(len(table)), table["x"]])
began = time.process_time()
model = gpboost.GPModel(group_data=groups, likelihood="gaussian", matrix_inversion_method="iterative",
                        num_parallel_threads=int(os.environ.get("OMP_NUM_THREADS", "1")))
model.fit(y=y, X=X)
took = time.process_time() - began
variances = np.ravel(model.get_cov_pars(format_pandas=False))[:3]
print(json.dumps({
    "cpu": took, "GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    "theta": np.sqrt(variances[1:] / variances[0]).tolist(), "engine": "gpboost " + gpboost.__version__,
}))
"""


def measured(rows: int, users: int, items: int, engine: str, method: str = "REML") -> dict[str, Any]:
    """Fit in a new process: CPU seconds, peak memory, theta."""
    sizes = [str(rows), str(users), str(items)]
    script = [_PEER_FIT, *sizes] if engine == "gpboost" else [_FIT, *sizes, engine, method]
    asked = [sys.executable, "-c", *script]
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
    parser.add_argument(
        "--engines", nargs="+", choices=["exact", "iterative", "gpboost"], default=["exact", "iterative"]
    )
    asked = parser.parse_args(arguments)
    method = "ML" if "gpboost" in asked.engines else "REML"
    found = {name: measured(asked.rows, asked.users, asked.items, name, method) for name in asked.engines}
    ours = next((one for name, one in found.items() if name != "gpboost"), None)
    if ours is not None and "gpboost" in found:
        apart = distance(ours, found["gpboost"])
        if apart > _PEER:
            print(f"gpboost is {apart:.2g} standard errors apart", file=sys.stderr)
            return 1
        print(f"theta of gpboost agrees within {apart:.1g} standard errors")
    if {"exact", "iterative"} <= set(found) and (error := found["iterative"]["error"]) is not None:
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
