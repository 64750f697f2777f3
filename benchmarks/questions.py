"""The questions: which models answer each, and what the answers must show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from benchmarks import tables

Row = dict[str, Any]

# An evaluation is called flat while the slowest of it takes no longer than this times the fastest.
_FLAT = 2.0


@dataclass(frozen=True)
class Task:
    """One model on one table.

    ``reference`` is the criterion of the stored reference fit; ``text`` times formula, strings and summary instead of
    arrays; ``aim`` is the ratio to lme4 that is wanted; ``repeats`` how many pairs are timed.
    """

    name: str
    formula: str
    table: Callable[[], pd.DataFrame]
    method: str = "REML"
    reference: float | None = None
    weights: str | None = None
    offset: str | None = None
    text: bool = False
    aim: float | None = None
    repeats: int = 7


@dataclass(frozen=True)
class Question:
    """``asks`` in words, ``tasks(quick)``, and ``verdict(rows)``: what the answers say together, a sentence each."""

    asks: str
    tasks: Callable[[bool], list[Task]]
    verdict: Callable[[list[Row]], list[str]] = lambda rows: []


def case(name: str, **options: Any) -> Task:
    """Make the task of a stored reference case."""
    fields = tables.stored_case(name)
    return Task(
        name if not options.get("text") else f"{name} (text)",
        fields["formula"],
        lambda: tables.stored_table(fields["data"]),
        method="REML" if fields["REML"] else "ML",
        reference=fields["objective"],
        weights=fields.get("weights"),
        offset=fields.get("offset"),
        **options,
    )


def sized(quick: bool, *sizes: int) -> list[int]:
    """Sizes as they are, or a hundredth of them where it is quick."""
    return [max(size // 100, 20) if quick else size for size in sizes]


def slopes(n: int, J: int, q: int = 2, **options: Any) -> Task:
    """q correlated coefficients a group."""
    x = " + ".join(f"x{j}" for j in range(1, q))
    options = {"repeats": 3 if n * q >= 1_000_000 else 5} | options
    name = f"{q}x{q}, {n:,} rows, {J:,} groups{' (text)' if options.get('text') else ''}"
    return Task(name, f"y ~ {x} + ({x} | g)", lambda: tables.grouped(n, J, q), **options)


def intercept(n: int, J: int, **options: Any) -> Task:
    """A random intercept."""
    name = f"intercept, {n:,} rows, {J:,} groups{' (text)' if options.get('text') else ''}"
    return Task(name, "y ~ x1 + (1 | g)", lambda: tables.grouped(n, J), repeats=3, **options)


def crossing(n: int, J_a: int, J_b: int, **options: Any) -> Task:
    """Two crossed factors."""
    name = f"crossed, {n:,} rows, {J_a:,} x {J_b:,} levels"
    return Task(name, "y ~ x + (1 | a) + (1 | b)", lambda: tables.crossed(n, J_a, J_b), repeats=3, **options)


def nesting(n: int, schools: int, classes: int, **options: Any) -> Task:
    """Pupils in classes in schools."""
    name = f"nested, {n:,} rows, {classes:,} classes in {schools:,} schools"
    return Task(name, "y ~ x + (1 | school/klass)", lambda: tables.pupils(n, schools, classes), repeats=3, **options)


def _slope_million(quick: bool, **options: Any) -> Task:
    n, J = sized(quick, 1_000_000, 100_000)
    return slopes(n, J, **options)


def _millions(quick: bool) -> list[Task]:
    return [task for name in ("slope", "intercept", "crossed", "nested") for task in QUESTIONS[name].tasks(quick)]


def _classics(quick: bool) -> list[Task]:
    if quick:
        return [case("sleepstudy_slope_reml", aim=5.0)]
    others = "sleepstudy_int dyestuff penicillin pastes_nested machines_nested oats_nitro orthodont_slope cake_linear"
    return [case("sleepstudy_slope_reml", aim=5.0), *(case(f"{name}_reml") for name in others.split())]


def _parameters(quick: bool) -> list[Task]:
    small = [case(f"{name}_reml") for name in ("machines_cellmean3x3", "oxboys_3x3", "oxboys_q4", "sim_q4")]
    n, J = sized(quick, 200_000, 20_000)
    return [*small[: 1 if quick else None], slopes(n, J, 3), slopes(n, J, 4)]


def _strings(quick: bool) -> list[Task]:
    stored = [] if quick else [case("insteval_3_reml", text=True, repeats=3)]
    return [*stored, _slope_million(quick, text=True)]


def _cases(quick: bool) -> list[Task]:
    names = tables.stored_case_names()
    return [case(name, text=True, aim=1.0, repeats=3) for name in (names[:2] if quick else names)]


def _flat(rows: list[Row]) -> list[str]:
    times = [row["evaluation"] for row in rows]
    listed = ", ".join(f"{1000 * time:.3g} ms at {row['n']:,}" for time, row in zip(times, rows, strict=True))
    word = "flat" if max(times) <= _FLAT * min(times) else "NOT flat"
    return [f"an evaluation takes {listed} rows: {word}"]


def _linear(rows: list[Row]) -> list[str]:
    each = [f"{1e9 * row['evaluation'] / sum(row['levels'].values()):.0f} at {row['levels']['g']:,}" for row in rows]
    return [f"nanoseconds an evaluation and group: {', '.join(each)} groups"]


def _memory(rows: list[Row]) -> list[str]:
    said = []
    for row in rows:
        if mine := row["mme"]["peak"]:
            theirs = {name: peer["peak"] for name, peer in row["peers"].items() if peer.get("peak")}
            compared = [
                f"{'below' if mine < peak else 'NOT below'} {name}'s {peak / 2**20:,.0f}"
                for name, peak in theirs.items()
            ]
            said.append(", ".join([f"{row['task']}: {mine / 2**20:,.0f} MiB", *compared]))
    return said


def _slower(rows: list[Row]) -> list[str]:
    said = []
    for name in dict.fromkeys(name for row in rows for name in row["peers"]):
        ratios = {row["task"]: row["peers"][name]["ratio"] for row in rows if "ratio" in row["peers"].get(name, {})}
        slower = [f"{task} {ratio:.2f}x" for task, ratio in ratios.items() if ratio < 1.0]
        if ratios:
            said.append(
                f"{name}: {len(ratios)} cases timed, median {median(ratios.values()):.3g}x, "
                f"slower than it: {', '.join(slower) or 'none'}"
            )
    return said


QUESTIONS = {
    "classics": Question("What does a small model of the textbooks take?", _classics),
    "insteval": Question(
        "Crossed factors of real data: 73,421 ratings of 1,128 lecturers by 2,972 students?",
        lambda quick: [
            case("insteval_3_reml", aim=8.0, repeats=3),
            *([] if quick else [case("insteval_2_ml", repeats=3)]),
        ],
    ),
    "rows": Question(
        "Does an evaluation stay flat while rows are added to the same groups?",
        lambda quick: [slopes(n, sized(quick, 2_000)[0]) for n in sized(quick, 10_000, 100_000, 1_000_000)],
        _flat,
    ),
    "groups": Question(
        "How does it grow with the number of groups, at ten rows each?",
        lambda quick: [*(slopes(10 * J, J) for J in sized(quick, 1_000, 10_000)), _slope_million(quick, aim=60.0)],
        _linear,
    ),
    "slope": Question(
        "A correlated intercept and slope for 100,000 groups of a million rows?",
        lambda quick: [_slope_million(quick, aim=60.0)],
    ),
    "intercept": Question(
        "A random intercept for 100,000 groups of a million rows?",
        lambda quick: [intercept(*sized(quick, 1_000_000, 100_000), aim=100.0)],
    ),
    "crossed": Question(
        "Two crossed factors of 50,000 and 2,000 levels, a million rows in random cells?",
        lambda quick: [crossing(*sized(quick, 1_000_000, 50_000, 2_000), aim=14.0)],
    ),
    "nested": Question(
        "A million pupils in 40,000 classes in 2,000 schools?",
        lambda quick: [nesting(*sized(quick, 1_000_000, 2_000, 40_000), aim=50.0)],
    ),
    "parameters": Question("Many covariance parameters: 3 x 3 and 4 x 4?", _parameters),
    "strings": Question("From strings in a data frame and a formula to a summary?", _strings),
    "memory": Question("How much memory does a million rows take at its peak?", _millions, _memory),
    "cases": Question("Is any reference case slower than in lme4, from strings to a summary?", _cases, _slower),
}
