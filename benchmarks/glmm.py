#!/usr/bin/env python3
"""Generalised models beside glmer and glmmTMB: ``glmm.py [MODEL ...] [options]``.

Criteria are compared first: a peer that ends below mme is a failure, one that ends above is told. Then the fit call, by
formula, data in memory, in seconds of the processor; and the most memory that the process held during it. Each package
runs in a process of its own, which has fitted the model once before it is timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import machine, tables
from benchmarks.peers import Peer, in_python, in_r, r_has
from benchmarks.worker import PeerError, Worker

# A peer below mme by more than this, as a share of the criterion, has the better optimum.
_BELOW = 1e-9
MME = in_python("glmm_mme")
# Name -> adapter and number of quadrature points, zero for lme4's fast fit.
PEERS: dict[str, tuple[Peer, int]] = {
    "glmer": (Peer("glmer", in_r("glmer").command, lambda: r_has("lme4", "jsonlite")), 1),
    "glmer nAGQ=0": (Peer("glmer", in_r("glmer").command, lambda: r_has("lme4", "jsonlite")), 0),
    "glmmTMB": (in_r("glmmTMB"), 1),
}


@dataclass(frozen=True)
class GlmmModel:
    """A model, its table at a share of the full size, and how often it is timed; ``without`` names what is too slow."""

    formula: str
    family: str
    table: Callable[[float], pd.DataFrame | None]
    times: int = 5
    without: tuple[str, ...] = ()


def _stored(name: str) -> Callable[[float], pd.DataFrame]:
    """A table of the reference models."""

    def read(share: float) -> pd.DataFrame:
        from tests.glmm import data_of

        return _with_factors(data_of(name))

    return read


def _from_r(call: str, *factors: str) -> Callable[[float], pd.DataFrame | None]:
    """A table of an R package; None without R."""

    def read(share: float) -> pd.DataFrame | None:
        if not r_has("lme4"):
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            write = f"write.csv({call}, '{path}', row.names = FALSE)"
            subprocess.run(["Rscript", "-e", write], capture_output=True, check=True)
            return _with_factors(pd.read_csv(path, dtype=dict.fromkeys(factors, "str")))

    return read


def _with_factors(table: pd.DataFrame) -> pd.DataFrame:
    """Text columns as factors, numbers as doubles."""
    numeric = pd.api.types.is_numeric_dtype
    return pd.DataFrame({name: v.astype(float) if numeric(v) else pd.Categorical(v) for name, v in table.items()})


def counts(n: int, J: int) -> Callable[[float], pd.DataFrame]:
    """``y, x, g``: counts with a random intercept for each of J groups."""

    def draw(share: float) -> pd.DataFrame:
        rng, m, groups = np.random.default_rng(20_260), int(n * share), max(int(J * share), 2)
        g, x = rng.integers(groups, size=m), rng.standard_normal(m)
        y = rng.poisson(np.exp(0.3 + 0.4 * x + 0.5 * rng.standard_normal(groups)[g]))
        return pd.DataFrame({"y": y.astype(float), "x": x, "g": tables.factor(g, "g")})

    return draw


def answers(n: int, J_a: int, J_b: int) -> Callable[[float], pd.DataFrame]:
    """``y, x, a, b``: yes and no in random cells of J_a x J_b levels."""

    def draw(share: float) -> pd.DataFrame:
        rng, m = np.random.default_rng(20_261), int(n * share)
        J, K = max(int(J_a * share), 2), max(int(J_b * share), 5)
        a, b, x = rng.integers(J, size=m), rng.integers(K, size=m), rng.standard_normal(m)
        eta = 0.2 + 0.6 * x + rng.standard_normal(J)[a] + 0.7 * rng.standard_normal(K)[b]
        y = (rng.random(m) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
        return pd.DataFrame({"y": y, "x": x, "a": tables.factor(a, "a"), "b": tables.factor(b, "b")})

    return draw


MODELS = {
    "cbpp": GlmmModel("cbind(incidence, size - incidence) ~ period + (1 | herd)", "binomial", _stored("cbpp"), 9),
    "contraception": GlmmModel(
        "use ~ age + I(age^2) + urban + ch + (urban | district)", "binomial", _stored("Contraception")
    ),
    "answers": GlmmModel("y ~ cond + trial + (cond | subj)", "binomial", _stored("sim_seed"), 3),
    "verbagg": GlmmModel(
        "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "binomial", _from_r("lme4::VerbAgg", "id"), 3
    ),
    "poisson 1e5": GlmmModel("y ~ x + (1 | g)", "poisson", counts(100_000, 10_000), 3),
    "poisson 1e6": GlmmModel("y ~ x + (1 | g)", "poisson", counts(1_000_000, 100_000), 3, ("glmer", "glmmTMB")),
    "crossed 1e5": GlmmModel("y ~ x + (1 | a) + (1 | b)", "binomial", answers(100_000, 10_000, 100), 3, ("glmer",)),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure the models named, or all; 1 where a peer has a better optimum than mme."""
    options = _parser().parse_args(arguments)
    unknown = set(options.models) - set(MODELS) or set(options.peers) - set(PEERS)
    if unknown:
        _parser().error(f"no {', '.join(sorted(unknown))}; there are {', '.join([*MODELS, *PEERS])}")
    described, rows = machine.describe(), {}
    print(f"{described['cpu']}, {described['cores']} cores; load {described['load']} before the run", flush=True)
    for name in options.models or MODELS:
        rows[name] = measured(MODELS[name], options)
        print("\n".join([f"\n{name}: {MODELS[name].formula}", *lines(rows[name])]), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": described, "models": rows}, indent=1))
    return int(any("below" in one for row in rows.values() for one in row.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("glmm.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; default: all")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of the size of simulated tables; default: 1")
    parser.add_argument("--repeats", type=int, help="fits that are timed; default: by model")
    parser.add_argument("--limit", type=float, default=900.0, metavar="SECONDS", help="a peer's longest answer (900)")
    parser.add_argument("--json", metavar="FILE", help="where the numbers go as well")
    return parser


def measured(model: GlmmModel, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What each package says of a model: mme first."""
    table = model.table(options.share)
    if table is None:
        return {"mme": {"skipped": "its table is in R's lme4, which is not installed"}}
    times = options.repeats or model.times
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"mme": _asked(MME, 1, folder, model, table, times, options.limit)}
        for peer in options.peers:
            adapter, points = PEERS[peer]
            if peer in model.without and options.share >= 1.0:
                found[peer] = {"skipped": "minutes"}
            elif not adapter.present():
                found[peer] = {"skipped": "not installed"}
            else:
                found[peer] = _asked(adapter, points, folder, model, table, times, options.limit)
                compare(found["mme"], found[peer], points)
    return found


def _asked(
    adapter: Peer, points: int, folder: Path, model: GlmmModel, table: pd.DataFrame, times: int, limit: float
) -> dict[str, Any]:
    """Criterion, median seconds of the processor and peak of memory of one package."""
    columns = [tables.write_column(folder, str(name), table[name]) for name in table.columns]
    fields = {"formula": model.formula, "family": model.family, "n_agq": points, "text": False}
    fields |= {"columns": columns, "rows": len(table), "bars": []}
    (folder / "model.json").write_text(json.dumps(fields))
    try:
        with Worker(adapter, folder, threads=1, limit=limit) as worker:
            first = worker.ask("fit", method="ML", times=1)
            slow = first["cpu"] > 20.0
            runs = [worker.ask("fit", method="ML", times=1)["cpu"] for _ in range(0 if slow else times)]
            return {**worker.hello, **first, "cpu": median(runs or [first["cpu"]])}
    except PeerError as error:
        return {"skipped": str(error)}


def compare(mine: dict[str, Any], theirs: dict[str, Any], points: int) -> None:
    """How far above mme a peer ends, and how much longer it takes."""
    if "skipped" in mine or "skipped" in theirs:
        return
    theirs["above"] = theirs["criterion"] - mine["criterion"]
    theirs["ratio"] = theirs["cpu"] / mine["cpu"]
    if points and theirs["above"] < -_BELOW * (abs(mine["criterion"]) + 100.0):
        theirs["below"] = True


def lines(row: dict[str, dict[str, Any]]) -> list[str]:
    """A line a package."""
    said = []
    for name, one in row.items():
        if "skipped" in one:
            said.append(f"  {name:13} skipped: {one['skipped']}")
            continue
        peak = f"{one['peak'] / 2**20:6.0f} MiB" if one.get("peak") else "        "
        beside = f"  {one['ratio']:6.1f}x, {one['above']:+.2e} above mme" if "ratio" in one else ""
        said.append(
            f"  {name:13} {one['criterion']:16.6f}  {one['cpu']:8.3f} CPU s  {one['evaluations']:5} evaluations "
            f"{peak}{beside}{'  BELOW MME' if one.get('below') else ''}"
        )
    return said


if __name__ == "__main__":
    sys.exit(main())
