#!/usr/bin/env python3
"""Many fixed effects beside random ones: ``many_fixed.py [--rows N] [--fixed F] [--random J] [--moving SHARE]``.

Pupils (random) in schools (fixed), of whom a share of the records is of another school. First a small problem is fitted
by the dense engine, and by lme4 where R has it: their criteria and estimates must agree with those of a sparse X. Then
the problem asked for is fitted, and the seconds of the processor are told.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme
from mme.numeric.limits import Limits, within

FORMULA = "y ~ x + factor(school) + (1 | pupil)"
# Records, schools, pupils of the small problem, and limits by which its X stays sparse.
_SMALL = (6000, 300, 1000)
_SPARSE = Limits(dense_fixed=2, dense_fixed_operations=1.0)
# Criteria and estimates, in standard errors, of one model by two programs.
_SAME, _NEAR = 1e-5, 1e-3
_LME4 = """
options(digits = 12); suppressMessages(library(lme4)); d <- read.csv(commandArgs(TRUE)[1]); began <- proc.time()
m <- lmer(y ~ x + factor(school) + (1 | pupil), d)
cat(proc.time()[1] - began[1], REMLcrit(m), fixef(m)["x"], sqrt(vcov(m)["x", "x"]), fixef(m)["factor(school)7"])
"""


def pupils(rows: int, schools: int, count: int, moving: float) -> dict[str, np.ndarray]:
    """Records of pupils, each with a school of its own, of which a share is of another."""
    rng = np.random.default_rng(1)
    pupil, x = rng.integers(0, count, rows), rng.standard_normal(rows)
    school = np.where(rng.random(rows) < moving, rng.integers(0, schools, rows), pupil % schools)
    y = 2.0 + 0.3 * x + 0.5 * rng.standard_normal(schools)[school] + 0.8 * rng.standard_normal(count)[pupil]
    return {"y": y + rng.standard_normal(rows), "x": x, "school": school, "pupil": pupil}


def fitted(data: dict[str, Any], engine: str = "auto") -> tuple[Any, float]:
    """The fit with its estimates and standard errors, and seconds of the processor."""
    began = process_time()
    fit = mme.lmer(FORMULA, data, engine=engine)
    fit.coefficients(ddf="none")
    return fit, process_time() - began


def by_lme4(data: dict[str, np.ndarray]) -> list[float] | None:
    """Seconds, criterion, slope, its standard error and a school's effect by lme4; None without it."""
    import pandas as pd

    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        pd.DataFrame(data).to_csv(file.name, index=False)
        try:
            told = subprocess.run(["Rscript", "-e", _LME4, file.name], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
    return [float(number) for number in told.stdout.split()]


def agreement(moving: float, *, peer: bool) -> list[str]:
    """What is wrong at the small size, and the ratios of seconds, as text; the program ends where engines differ."""
    fitted(pupils(200, 5, 20, moving))  # what is loaded with the first fit
    data = pupils(*_SMALL, moving)
    dense, dense_seconds = fitted(data)
    with within(_SPARSE):
        fitted(pupils(200, 5, 20, moving))
        wide, seconds = fitted(data)
    assert wide.model.is_wide
    apart = np.abs(wide.beta - dense.beta) / dense.se
    assert abs(wide.criterion - dense.criterion) < _SAME
    assert float(apart.max()) < _NEAR
    np.testing.assert_allclose(wide.se, dense.se, rtol=1e-4)
    lines = [f"dense X    {dense_seconds:8.2f} CPU s, {dense_seconds / seconds:.1f} times that of a sparse one; agrees"]
    found = by_lme4(data) if peer else None
    if found is not None:
        taken, criterion, slope, se, effect = found
        assert abs(wide.criterion - criterion) < 1e-3
        assert abs(wide.beta["x"] - slope) < _NEAR * se
        assert abs(wide.beta["factor(school)7"] - effect) < _NEAR * wide.se["factor(school)7"]
        lines.append(f"lme4       {taken:8.2f} CPU s, {taken / seconds:.1f} times; agrees")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Compare, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--fixed", type=int, default=10_000)
    parser.add_argument("--random", type=int, default=100_000)
    parser.add_argument("--moving", type=float, default=0.0)
    parser.add_argument("--engine", default="auto", choices=["auto", "exact", "iterative"])
    parser.add_argument("--no-peer", action="store_true", help="leave lme4 out")
    asked = parser.parse_args(arguments)
    print(f"{_SMALL[0]:,} records, {_SMALL[1]:,} fixed, {_SMALL[2]:,} random:")
    print("\n".join(agreement(asked.moving, peer=not asked.no_peer)))
    fit, seconds = fitted(pupils(asked.rows, asked.fixed, asked.random, asked.moving), asked.engine)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{asked.rows:,} records, {asked.fixed:,} fixed, {asked.random:,} random, {asked.moving:.0%} moving:")
    print(f"sparse X   {seconds:8.2f} CPU s, {peak:.2f} GB at most, {fit.optimum.evaluations} evaluations")
    print(fit.engine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
