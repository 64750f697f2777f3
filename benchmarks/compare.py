#!/usr/bin/env python3
"""Time this tree against another commit of it, in pairs: ``compare.py BASE [MODEL ...] [--repeats N]``.

The base is checked out beside the tree; each time is that of a process of its own, base and head in turn, so that what
slows the machine slows both. A ratio is head over base: below one is faster. Criterion and evaluations should be equal;
where they are not, the line says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import pandas as pd

sys.path.append(str(Path(__file__).resolve().parents[1]))  # last: a tree that is timed comes first, by PYTHONPATH

from benchmarks import tables

ROOT = Path(__file__).resolve().parents[1]
Model = tuple[str, Callable[[], pd.DataFrame]]

_MILLION = 1_000_000
SMALL: dict[str, Model] = {
    "sleepstudy, slope": ("Reaction ~ Days + (Days | Subject)", lambda: tables.stored_table("sleepstudy")),
    "sleepstudy, independent": ("Reaction ~ Days + (Days || Subject)", lambda: tables.stored_table("sleepstudy")),
    "sleepstudy, intercept": ("Reaction ~ Days + (1 | Subject)", lambda: tables.stored_table("sleepstudy")),
    "Penicillin, crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", lambda: tables.stored_table("Penicillin")),
    "Machines, slopes": ("score ~ Machine + (0 + Machine | Worker)", lambda: tables.stored_table("Machines")),
}
LARGE: dict[str, Model] = {
    "slope": ("y ~ x1 + (x1 | g)", lambda: tables.grouped(_MILLION, 100_000)),
    "independent slope": ("y ~ x1 + (x1 || g)", lambda: tables.grouped(_MILLION, 100_000)),
    "intercept": ("y ~ x1 + (1 | g)", lambda: tables.grouped(_MILLION, 1_000)),
    "nested": ("y ~ x + (1 | school/klass)", lambda: tables.pupils(_MILLION, 2_000, 40_000)),
    "crossed": ("y ~ x + (1 | a) + (1 | b)", lambda: tables.crossed(_MILLION, 20_000, 500)),
    "insteval": ("y ~ service + (1 | s) + (1 | d) + (1 | dept)", lambda: tables.stored_table("InstEval")),
}
MODELS = SMALL | LARGE


def timed(name: str) -> dict[str, Any]:
    """In a process with one tree first on its path: the least CPU seconds of a few fits, evaluations, criterion."""
    import mme

    formula, table = MODELS[name]
    data, seconds = table(), []
    for _ in range(20 if name in SMALL else 2):
        began = process_time()
        fit = mme.lmer(formula, data)
        seconds.append(process_time() - began)
    return {"seconds": min(seconds), "evaluations": fit.optimum.evaluations, "criterion": fit.criterion}


def asked(tree: Path, name: str) -> dict[str, Any]:
    """The answer of a tree to one model, from a process of its own; this file is the same for both."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    env = os.environ | threads | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-W", "ignore", __file__, "--time", name]
    run = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{name} failed in {tree}:\n{run.stderr}")
    return dict(json.loads(run.stdout))


@contextmanager
def checked_out(base: str) -> Iterator[Path]:
    """A commit of this repository in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", "-q", str(tree), base], check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)


def compared(base: Path, name: str, repeats: int) -> str:
    """A line: seconds of both, their ratio over the pairs, and what else differs."""
    pairs = [(asked(base, name), asked(ROOT, name)) for _ in range(repeats)]
    ratios = [head["seconds"] / old["seconds"] for old, head in pairs]
    old, head = (min(pair[side]["seconds"] for pair in pairs) for side in (0, 1))
    first, second = pairs[0]
    line = f"{name:26}{1000 * old:10.2f} ms{1000 * head:10.2f} ms   ratio {head / old:.3f}, pairs {median(ratios):.3f}"
    if first["evaluations"] != second["evaluations"]:
        line += f"; evaluations {first['evaluations']} -> {second['evaluations']}"
    apart = second["criterion"] - first["criterion"]
    return line if abs(apart) < 1e-6 else f"{line}; criterion moved by {apart:.3g}"


def main(arguments: list[str] | None = None) -> int:
    """Compare the models that are named, or all."""
    parser = argparse.ArgumentParser("./run compare", description=__doc__.split("\n")[0])
    parser.add_argument("base", nargs="?", default="HEAD", help="a commit, branch or tag (HEAD: what is not committed)")
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; or small, large; default: all")
    parser.add_argument("--repeats", type=int, default=3, help="pairs a model (3)")
    parser.add_argument("--time", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.time:
        print(json.dumps(timed(options.time)))
        return 0
    groups = {"small": [*SMALL], "large": [*LARGE]}
    names = [name for word in options.models or groups for name in groups.get(word, [word])]
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"no model {', '.join(unknown)}; there are {', '.join(MODELS)}")
    print(f"{'':26}{options.base[:10]:>13}{'this tree':>13}")
    with checked_out(options.base) as base:
        for name in names:
            print(compared(base, name, options.repeats), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
