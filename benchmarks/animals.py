#!/usr/bin/env python3
"""Henderson's equations of many animals at known variances: ``animals.py [QUESTION] [options]``.

``million``: a pedigree with inbreeding, its A-inverse, the equations and their solution, second by second.
``reliability``: prediction error variances of 100,000 animals by the selected inverse, against solutions by conjugate
gradients that know nothing of it. Simulated populations have overlapping generations: sires of one to four years,
dams of one to five, a record each in contemporary groups of herd and year.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme
from benchmarks import machine

# Variances of animals, contemporary groups and residuals: heritability 0.3.
ADDITIVE, CONTEMPORARY, RESIDUAL = 0.3, 0.2, 0.5
_YEARS = 20
_HERD_YEAR = 20  # records of a contemporary group
_OFFSPRING = 50  # of a sire in a year
_PROBES = 30
_UNITS = 5


@dataclass(frozen=True)
class Population:
    """Parents (-1: unknown), year of birth and contemporary group of each animal, parents before offspring."""

    sire: np.ndarray
    dam: np.ndarray
    year: np.ndarray
    group: np.ndarray


@dataclass
class Stages:
    """Seconds by stage, in order."""

    seconds: dict[str, float]

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        began = perf_counter()
        made = work()
        self.seconds[name] = perf_counter() - began
        return made


def population(n: int, rng: np.random.Generator) -> Population:
    """Animals born over the years in equal numbers; a sire is used by ``_OFFSPRING`` dams a year, at random."""
    year = np.arange(n) * _YEARS // n
    male = rng.random(n) < 0.5
    sire, dam = np.full(n, -1), np.full(n, -1)
    for now in range(1, _YEARS):
        born = np.flatnonzero(year == now)
        males = np.flatnonzero(male & (year >= now - 4) & (year < now))
        females = np.flatnonzero(~male & (year >= now - 5) & (year < now))
        chosen = rng.choice(males, min(max(born.size // _OFFSPRING, 2), males.size), replace=False)
        sire[born], dam[born] = rng.choice(chosen, born.size), rng.choice(females, born.size)
    herds = max(n // (_YEARS * _HERD_YEAR), 1)
    group = np.unique(rng.integers(herds, size=n) * _YEARS + year, return_inverse=True)[1]
    return Population(sire, dam, year, group)


def breeding_values(drawn: Population, mendelian: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """b ~ N(0, A): mean of the parents and Mendelian sampling, year by year."""
    b = np.append(np.sqrt(mendelian) * rng.standard_normal(mendelian.size), 0.0)  # position -1: unknown
    for now in range(1, _YEARS):
        born = np.flatnonzero(drawn.year == now)
        b[born] += 0.5 * (b[drawn.sire[born]] + b[drawn.dam[born]])
    return np.asarray(b[:-1])


def equations(drawn: Population, Ainv: sp.csc_array, y: np.ndarray) -> mme.MixedModelEquations:
    """Fixed years, random contemporary groups and animals."""
    n, J = y.size, int(drawn.group.max()) + 1
    rows = np.arange(n)
    Z = sp.hstack([sp.csr_array((np.ones(n), (rows, drawn.group)), shape=(n, J)), sp.eye_array(n, format="csr")])
    Ginv = sp.block_diag([sp.eye_array(J) / CONTEMPORARY, Ainv / ADDITIVE], format="csc")
    X = sp.csr_array((np.ones(n), (rows, drawn.year)), shape=(n, _YEARS))
    return mme.MixedModelEquations(y, X, Z, Ginv=Ginv, Rinv=1.0 / RESIDUAL)


def built(n: int, seed: int, stage: Stages) -> tuple[dict[str, Any], mme.MixedModelEquations, np.ndarray]:
    """What there is to say of the pedigree, the equations, and the breeding values that were drawn."""
    rng = np.random.default_rng(seed)
    drawn = stage("simulate the pedigree", lambda: population(n, rng))
    label = np.arange(1, n + 1)
    pedigree = stage("read the pedigree", lambda: mme.Pedigree(label, drawn.sire + 1, drawn.dam + 1))
    F = stage("inbreeding", lambda: pedigree.inbreeding)
    Ainv = stage("A-inverse", lambda: pedigree.Ainv)
    b = np.sqrt(ADDITIVE) * breeding_values(drawn, pedigree.mendelian, rng)
    groups = np.sqrt(CONTEMPORARY) * rng.standard_normal(int(drawn.group.max()) + 1)
    y = 0.1 * drawn.year + groups[drawn.group] + b + np.sqrt(RESIDUAL) * rng.standard_normal(n)
    eqs = stage("assemble the equations", lambda: equations(drawn, Ainv, y))
    symbolic = stage("forecast the factor", lambda: eqs.symbolic)
    said = {
        "animals": n,
        "inbred": int((F > 0).sum()),
        "mean F": float(F.mean()),
        "nnz A-inverse": Ainv.nnz,
        "equations": eqs.p + eqs.q,
        "nnz": eqs.coefficients.nnz,
        "nnz L": symbolic.nnz_L,
        "bytes of L": symbolic.bytes,
        "flops": symbolic.flops,
    }
    return said, eqs, b


def million(n: int, seed: int) -> dict[str, Any]:
    """Solve by whatever :meth:`MixedModelEquations.solve` chooses."""
    stage = Stages({})
    said, eqs, b = built(n, seed, stage)
    solution = stage("solve", eqs.solve)
    steps = getattr(solution.factor, "steps", None)
    accuracy = float(np.corrcoef(solution.b[-n:], b)[0, 1])
    if not solution.residual_norm < 1e-9:
        raise AssertionError(f"|rhs - C x| / |rhs| is {solution.residual_norm:.3g}")
    return {
        **said,
        "solved by": "CHOLMOD" if steps is None else f"conjugate gradients, {steps} steps",
        "residual": solution.residual_norm,
        "correlation of BLUP and truth": accuracy,
        "seconds": stage.seconds,
    }


def reliability(n: int, seed: int) -> dict[str, Any]:
    """PEV of all animals at once, and the same of a few and on average by another way.

    With C of (H) and v of independent signs on the animals, E v'C^-1 v is the sum of their PEV; C^-1 e_i holds that of
    animal i. Both by conjugate gradients.
    """
    stage = Stages({})
    said, eqs, b = built(n, seed, stage)
    solution = stage("factorise and solve", lambda: eqs.solve(method="direct"))
    pev = stage("selected inverse", solution.pev)[-n:]
    rng = np.random.default_rng(seed + 1)
    signs = np.zeros((_PROBES, eqs.p + eqs.q))
    signs[:, -n:] = rng.choice([-1.0, 1.0], size=(_PROBES, n))
    at = rng.choice(n, _UNITS, replace=False)
    units = np.zeros((_UNITS, eqs.p + eqs.q))
    units[np.arange(_UNITS), eqs.p + eqs.q - n + at] = 1.0
    by_probes = stage("probes", lambda: np.array([v @ _iterated(eqs, v) for v in signs])) / n
    by_units = stage("unit vectors", lambda: np.array([v @ _iterated(eqs, v) for v in units]))
    apart = float(np.abs(by_units / pev[at] - 1.0).max())
    z = float((by_probes.mean() - pev.mean()) / (by_probes.std(ddof=1) / np.sqrt(_PROBES)))
    if not (apart < 1e-6 and abs(z) < 4.0):
        raise AssertionError(f"PEV: {apart:.3g} from unit solutions, {z:.2f} standard errors from probes")
    error = solution.b[-n:] - b
    return {
        **said,
        "mean PEV": float(pev.mean()),
        "by probes": float(by_probes.mean()),
        "standard errors apart": z,
        "largest relative difference from unit solutions": apart,
        "mean squared error of BLUP": float(error @ error / n),
        "seconds": stage.seconds,
    }


def _iterated(eqs: mme.MixedModelEquations, v: np.ndarray) -> np.ndarray:
    """C^-1 v by conjugate gradients."""
    from scipy.sparse.linalg import cg

    found, stopped = cg(eqs.coefficients, v, rtol=1e-10, M=sp.diags_array(1.0 / eqs.coefficients.diagonal()))
    if stopped:
        raise AssertionError(f"no convergence: {stopped}")
    return np.asarray(found)


QUESTIONS = {"million": (million, 1_000_000), "reliability": (reliability, 100_000)}


def main(arguments: list[str] | None = None) -> int:
    """Answer one question and print it."""
    parser = argparse.ArgumentParser("animals.py", description=__doc__.split("\n")[0])
    parser.add_argument("question", nargs="?", default="million", choices=QUESTIONS)
    parser.add_argument("--animals", type=int, metavar="N", help="default: 1,000,000 or 100,000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="where the numbers go as well")
    options = parser.parse_args(arguments)
    answer, n = QUESTIONS[options.question]
    described = machine.describe()
    print(f"{described['cpu']}, {described['cores']} cores, {described['memory_gib']} GiB; load {described['load']}")
    said = answer(options.animals or n, options.seed)
    said["peak bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(*lines(said), sep="\n")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": described, options.question: said}, indent=1))
    return 0


def lines(said: dict[str, Any]) -> list[str]:
    """A line a number, then a line a stage."""
    shown = {name: value for name, value in said.items() if name != "seconds"}
    text = [f"{name:50}{_shown(name, value):>34}" for name, value in shown.items()]
    return [*text, *(f"  {name:48}{seconds:32.2f} s" for name, seconds in said["seconds"].items())]


def _shown(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if "bytes" in name:
        return f"{value / 2**30:.2f} GiB"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
