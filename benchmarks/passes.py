#!/usr/bin/env python3
"""How far a pass over the records of a generalised model is from its floor: ``passes.py [RECORDS]``.

The floor is one exponential a record and a sum. An evaluation of the criterion with its gradient, at modes that are
known, is a step of Newton's method (slope and W of each record), the density there (log f, slope, W and its slope) and
two rounds of sums; from modes of zero it takes some steps more. Nanoseconds of the processor a record, best of five.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme
from benchmarks import machine
from mme.family.point import slopes, whole
from mme.generalised.criterion import Criterion
from mme.generalised.level_totals import LevelTotals
from mme.generalised.problem import Problem
from mme.generalised.sorted_records import SortedRecords
from mme.generalised.start import start
from mme.model.problem import build_model
from mme.numeric.kernels import kernel
from mme.numeric.limits import Limits, within

_LEVEL = 10


def exponentials(kind: int, records: np.ndarray) -> float:
    """The floor: the sum of exp(eta)."""
    total = 0.0
    for i in range(len(records)):
        total += math.exp(records[i, 2])
    return total


def of_slopes(kind: int, records: np.ndarray) -> float:
    """What a step of Newton's method takes of each record."""
    total = 0.0
    for i in range(len(records)):
        slope, w = slopes(kind, 1.0, records[i, 0], records[i, 1], records[i, 2])
        total += slope * w
    return total


def of_densities(kind: int, records: np.ndarray) -> float:
    """What the criterion and its gradient take."""
    total = 0.0
    for i in range(len(records)):
        value, slope, w, change = whole(kind, 1.0, records[i, 0], records[i, 1], records[i, 2])
        total += value + slope * w * change
    return total


def drawn(family: mme.Family, n: int) -> Problem:
    """Records with a covariate and a random intercept, ten a level."""
    rng = np.random.default_rng(1)
    g, x = rng.integers(0, n // _LEVEL, n), rng.normal(size=n)
    eta = 0.2 + 0.3 * x + 0.5 * rng.normal(size=n // _LEVEL)[g]
    data = family.observe(family.draw(eta, np.ones(n), np.zeros(0), rng), None, "y")
    model = build_model(data.y, np.column_stack([np.ones(n), x]), [mme.Term(g)], method="ML")
    return Problem(model, family, data)


def best(run: Callable[[], object], times: int = 5) -> float:
    """Least seconds of the processor."""
    seconds = []
    for _ in range(times):
        began = process_time()
        run()
        seconds.append(process_time() - began)
    return min(seconds)


def measured(family: mme.Family, n: int) -> dict[str, float]:
    """Nanoseconds a record of every stage."""
    problem = drawn(family, n)
    sorted_, point = SortedRecords(problem), start(problem)
    zero = np.zeros((problem.blocks[0].J, 1))
    first = sorted_.at(point, zero.copy())
    assert first is not None
    again = sorted_.at(point, first.modes.copy())
    assert again is not None
    records, levels = sorted_.records, problem.blocks[0].J
    stages: dict[str, Callable[[], object]] = {
        "exp and a sum": lambda: kernel(exponentials, 10 * n)(0, records),
        "slope and W": lambda: kernel(of_slopes, 10 * n)(family.kind, records),
        "density": lambda: kernel(of_densities, 10 * n)(family.kind, records),
        f"evaluation at the modes, {again.steps / levels:.1f} steps": lambda: sorted_.at(point, first.modes.copy()),
        f"evaluation from zero, {first.steps / levels:.1f} steps": lambda: sorted_.at(point, zero.copy()),
    }
    if LevelTotals.serves(problem):
        totals = LevelTotals(problem)
        stages["the same by totals of levels"] = lambda: totals.at(point, first.modes.copy())
    found = {name: best(run) / n * 1e9 for name, run in stages.items()}
    with within(Limits(machine_code=False, compiled_records=10**12)):
        by_numpy = Criterion(problem)

        def together() -> None:
            at = replace(by_numpy, u=[first.modes.T.copy()]).at(point)
            assert at is not None
            at.gradient()

        found["the same by NumPy, at the modes"] = best(together) / n * 1e9
    return found


def main() -> None:
    """Print a line a stage."""
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    print(f"{machine.describe()['cpu']}; load {machine.describe()['load']}; {n:,} records, {_LEVEL} a level")
    for family in (mme.Poisson(), mme.Binomial()):
        print(f"\n{family}")
        rows = measured(family, n)
        floor = rows["exp and a sum"]
        for name, value in rows.items():
            print(f"  {name:45} {value:8.1f} ns a record {value / floor:6.1f} x the floor")


if __name__ == "__main__":
    main()
