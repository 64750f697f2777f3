#!/usr/bin/env python3
"""What is asked of a fit, beside the time of the fit: ``after.py [MODEL ...] [options]``.

Every question is put to a fit of its own, so that nothing is known from an earlier one. Above one, a question takes
longer than the fit that it is about. Profiles and bootstraps, which are made of fits, are left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme
from benchmarks import machine, tables

Question = Callable[[mme.Fit, pd.DataFrame], Any]


def _insteval(_: int) -> tuple[str, pd.DataFrame]:
    case = tables.stored_case("insteval_3_reml")
    return case["formula"], tables.stored_table(case["data"])


MODELS: dict[str, Callable[[int], tuple[str, pd.DataFrame]]] = {
    "insteval": _insteval,
    "slope": lambda n: ("y ~ x1 + (x1 | g)", tables.grouped(n, n // 20)),
    "nested": lambda n: ("y ~ x + (1 | school/klass)", tables.pupils(n, n // 500, n // 25)),
    "crossed": lambda n: ("y ~ x + (1 | a) + (1 | b)", tables.crossed(n, n // 50, n // 2000)),
}


def _last(fit: mme.Fit) -> np.ndarray:
    return np.eye(len(fit.fixed_names))[-1]


QUESTIONS: dict[str, Question] = {
    "summary()": lambda fit, _: fit.summary(),
    "anova(), Satterthwaite": lambda fit, _: fit.anova(),
    "anova(ddf='kenward-roger')": lambda fit, _: fit.anova(ddf="kenward-roger"),
    "contrast(L)": lambda fit, _: fit.contrast(_last(fit)),
    "confint()": lambda fit, _: fit.confint(),
    "ranef, condvar(), pev()": lambda fit, _: (fit.ranef, fit.condvar(), fit.pev()),
    "shrinkage()": lambda fit, _: fit.shrinkage(),
    "predict(data)": lambda fit, data: fit.predict(data),
    "predict(data, interval='confidence')": lambda fit, data: fit.predict(data, interval="confidence"),
    "predict(data, interval='prediction')": lambda fit, data: fit.predict(data, interval="prediction"),
    "leverage()": lambda fit, _: fit.leverage(),
    "cooks_distance()": lambda fit, _: fit.cooks_distance(),
    "cooks_distance(by=first factor)": lambda fit, _: fit.cooks_distance(by=fit.internals.model.terms[0].group),
    "cooks_distance(by=last factor)": lambda fit, _: fit.cooks_distance(by=fit.internals.model.terms[-1].group),
    "scaled_residuals()": lambda fit, _: fit.scaled_residuals(),
    "r2(), icc(), diagnose()": lambda fit, _: (fit.r2(), fit.icc(), fit.diagnose()),
    "draws(10)": lambda fit, _: fit.draws(10, seed=1),
    "simulate()": lambda fit, _: fit.simulate(seed=1),
    "tidy(), glance()": lambda fit, _: (fit.tidy(), fit.glance()),
    "augment()": lambda fit, _: fit.augment(),
    "save(path)": lambda fit, _: _with_file(fit.save, "fit.mme"),
    "report(path)": lambda fit, _: _with_file(fit.report, "fit.html"),
}


def _with_file(write: Callable[[str], Any], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(str(Path(folder) / name))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what was made."""
    began = perf_counter()
    made = work()
    return perf_counter() - began, made


def ask(name: str, rows: int, repeats: int) -> dict[str, Any]:
    """Median seconds of the fit and of every question to it."""
    formula, data = MODELS[name](rows)
    mme.lmer(formula, data)  # what a process does once
    seconds: dict[str, list[float]] = {"fit": [], **{question: [] for question in QUESTIONS}}
    for _ in range(repeats):
        for question, work in QUESTIONS.items():
            took, fit = timed(lambda: mme.lmer(formula, data))
            seconds["fit"].append(took)
            seconds[question].append(timed(lambda work=work, fit=fit: work(fit, data))[0])
    return {"formula": formula, "rows": len(data), "seconds": {what: median(each) for what, each in seconds.items()}}


def markdown(answers: dict[str, dict[str, Any]], described: dict[str, Any], repeats: int) -> str:
    """The page: a table of ratios, a column a model."""
    heads = [f"{name}, {said['rows']:,} rows" for name, said in answers.items()]
    fits = [_shown(said["seconds"]["fit"]) for said in answers.values()]
    lines = [
        "# After the fit",
        "",
        f"What is asked of a fit, as a share of the fit's own time: medians of {repeats}, each question to its own "
        f"fit. {described['cpu']}, {described['cores']} cores, {described['memory_gib']} GiB, {described['system']}; "
        f"load {described['load']} before the run. Python {platform.python_version()}, mme {mme.__version__}.",
        "",
        *(f"* {name}: `{said['formula']}`" for name, said in answers.items()),
        "",
        f"| | {' | '.join(heads)} |",
        f"|---|{'--:|' * len(heads)}",
        f"| the fit | {' | '.join(fits)} |",
    ]
    for question in QUESTIONS:
        ratios = [said["seconds"][question] / said["seconds"]["fit"] for said in answers.values()]
        lines.append(f"| `{question}` | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return "\n".join(lines)


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{1000 * seconds:.3g} ms"


def main(arguments: list[str] | None = None) -> int:
    """Ask the models named, or all, and print the table."""
    parser = argparse.ArgumentParser("after.py", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; default: all")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of simulated data; default: 1,000,000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="where the numbers go as well")
    parser.add_argument("--markdown", metavar="FILE", help="where the page goes, as in benchmarks/AFTER.md")
    options = parser.parse_args(arguments)
    unknown = set(options.models) - set(MODELS)
    if unknown:
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    described = machine.describe()
    answers = {name: ask(name, options.rows, options.repeats) for name in options.models or MODELS}
    page = markdown(answers, described, options.repeats)
    print(page)
    if options.markdown:
        Path(options.markdown).write_text(page + "\n")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": described, "after": answers}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
