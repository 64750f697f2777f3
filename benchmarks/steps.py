#!/usr/bin/env python3
"""What a step in phi costs, in pairs: ``steps.py BASE [HEAD] [options]``, two checkouts of this repository.

A search over the parameters of a residual structure evaluates the criterion at one phi after another. Where the
structure stands beside effects that cross its groups, making the cross-products at each phi takes most of the time.
Both checkouts run by turns, each in a process of its own; a step is timed in seconds of the processor, and the ratio of
a pair is of runs that stood next to each other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# Subjects, times of each, items, columns of each level, and what is random.
CASES = {
    "ar1, items, 1e4": (500, 20, 100, 1, ("item",)),
    "ar1, subjects and items, 1e4": (500, 20, 100, 1, ("subject", "item")),
    "ar1, subjects and items, 1e5": (5000, 20, 500, 1, ("subject", "item")),
    "ar1, slopes of both, 2e4": (1000, 20, 200, 2, ("subject", "item")),
    "ar1, items, 1e5": (5000, 20, 500, 1, ("item",)),
}


def measure(subjects: int, times: int, items: int, q: int, random: tuple[str, ...], steps: int) -> list[float]:
    """Seconds of each step in phi, and the criterion after the last one, with the ``mme`` that is imported."""
    import mme
    from mme.engine.objective import Objective
    from mme.model.problem import build_model

    rng, n = np.random.default_rng(0), subjects * times
    levels = {"subject": np.repeat(np.arange(subjects), times), "item": rng.integers(0, items, n)}
    time = np.tile(np.arange(times), subjects)
    X = np.column_stack([np.ones(n), rng.standard_normal(n), time])
    y = X @ [1.0, 0.5, 0.1] + rng.standard_normal(n) + sum(rng.standard_normal(g.max() + 1)[g] for g in levels.values())
    terms = [mme.Term(levels[name], X[:, :q], name=name) for name in random]
    model = build_model(y, X, terms, residual=mme.AR1(time, levels["subject"]))
    objective = getattr(Objective, "of", Objective)(model, phi=np.array([0.3]))
    theta, seconds = np.ones(model.k), []
    for step in range(steps):
        began = process_time()
        objective = objective.at(np.array([0.31 + 0.01 * step]))
        seconds.append(process_time() - began)
    return [*seconds, float(objective(theta))]


def _run(checkout: Path, case: str, steps: int) -> list[float]:
    """What a process with the ``mme`` of a checkout measures."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", __file__, "--case", case, "--steps", str(steps)]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    measured: list[float] = json.loads(found)
    return measured


def main() -> None:
    """Print the seconds of both and the ratios of their pairs, case by case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("head", nargs="?", type=Path, default=ROOT, help="another one (this one)")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="in each run, of which the quickest counts")
    parser.add_argument("--case", choices=CASES, help="measure this one here and now, for the program itself")
    given = parser.parse_args()
    if given.case is not None:
        warnings.simplefilter("ignore")
        print(json.dumps(measure(*CASES[given.case], steps=given.steps)))
        return
    if given.base is None:
        parser.error("which checkout is the base?")
    for case in CASES:
        pairs = [[_run(tree, case, given.steps) for tree in (given.base, given.head)] for _ in range(given.pairs)]
        base, head = ([min(pair[side][:-1]) for pair in pairs] for side in (0, 1))
        ratios = [before / after for before, after in zip(base, head, strict=True)]
        apart = max(abs(one[-1] - other[-1]) for one, other in pairs)
        print(
            f"{case:30s} base {1e3 * min(base):7.2f} ms  head {1e3 * min(head):7.2f} ms  "
            f"ratios {' '.join(f'{ratio:.2f}' for ratio in ratios)} (median {median(ratios):.2f})  "
            f"criterion apart {apart:.1e}"
        )


if __name__ == "__main__":
    main()
