"""Rows in words: lines for the terminal, a page of Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.questions import QUESTIONS, Row

Machine = dict[str, Any]

# Rows from which on the page tells how far the fit is from its floor.
_FLOORED = 10_000


def lines(row: Row, machine: Machine) -> list[str]:
    """What was measured of one model, a line each package."""
    levels = " + ".join(f"{count:,} {name}" for name, count in row["levels"].items())
    said = [f"{row['task']}:  {row['formula']}  by {row['method']}, {row['n']:,} rows, {levels}"]
    if "failed" in row:
        return [*said, f"  FAILED: {row['failed']}"]
    mine = row["mme"]
    said.append(
        f"  mme          {_numbers(mine)}; first fit {seconds(mine['first'])} after {seconds(mine['import'])} of import"
    )
    for name, peer in row["peers"].items():
        if "skipped" in peer:
            said.append(f"  {name:12} not timed: {peer['skipped']}")
        else:
            said.append(f"  {name:12} {_numbers(peer)}; criterion {peer['excess']:+.1e}; {ratio(row, name)}")
    said += [f"  stages       {', '.join(stages(row, machine))}"]
    if row["n"] >= 100_000:
        said.append(f"  after it     {', '.join(f'{name} {seconds(value)}' for name, value in mine['after'].items())}")
    return said


def verdict(name: str, rows: list[Row]) -> list[str]:
    """What the answers to a question say together, when none failed."""
    return [] if any("failed" in row for row in rows) else QUESTIONS[name].verdict(rows)


def _numbers(one: Row) -> str:
    parts = [f"{seconds(one['seconds']):>8}"]
    if one["evaluations"]:
        parts.append(f"{one['evaluations']} evaluations")
    if one["evaluation"]:
        parts.append(f"{seconds(one['evaluation'])} each")
    if one["peak"]:
        parts.append(
            f"peak {one['peak'] / 2**20:,.0f} MiB, {(one['peak'] - one['held']) / 2**20:,.0f} of them for the fit"
        )
    return ", ".join(parts)


def ratio(row: Row, name: str) -> str:
    """How many times faster, of which method where it is not the row's, and whether that was the aim."""
    peer = row["peers"][name]
    text = f"{peer['ratio']:.3g}x" + ("" if peer["method"] == row["method"] else f" by {peer['method']}")
    if name != "lme4" or row["aim"] is None:
        return text
    return f"{text} (aim {row['aim']:g}x: {'reached' if peer['ratio'] >= row['aim'] else 'MISSED'})"


def seconds(value: float) -> str:
    """Format seconds with three digits in a unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} us"


def floor(row: Row, machine: Machine) -> dict[str, float]:
    """Seconds below which no solver can go, by stage: bytes at memory speed plus flops at BLAS speed.

    ``total`` is one pass over the data and, for each evaluation, one over the levels and the factor that remains.
    """
    speeds = machine["speeds"]
    each = {
        stage: bytes_ / speeds["bytes_per_second"] + flops / speeds["flops_per_second"]
        for stage, (bytes_, flops) in row["mme"]["work"].items()
    }
    return {**each, "total": each["data"] + each["search"]} if each else {}


def stages(row: Row, machine: Machine) -> list[str]:
    """Seconds by stage and how far each is from its floor."""
    lowest = floor(row, machine)
    spent = {**row["mme"]["stages"], "total": row["mme"]["seconds"]}
    return [
        f"{stage} {seconds(value)}" + (f" ({value / lowest[stage]:,.1f}x its floor)" if lowest.get(stage) else "")
        for stage, value in spent.items()
    ]


def markdown(results: dict[str, Any]) -> str:
    """The page of one run."""
    machine, rows = results["machine"], results["rows"]
    said = [
        "# Results",
        "",
        f"One run of `benchmarks/bench.py` on {results['date']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, {results['threads']} BLAS thread(s), load "
        f"{machine['load']} before the run. Memory was read at {machine['speeds']['bytes_per_second'] / 1e9:.1f} GB/s, "
        f"matrices multiplied at {machine['speeds']['flops_per_second'] / 1e9:.1f} Gflop/s.",
        "",
        "; ".join(versions(rows)) + ".",
        "",
        "Medians of paired runs (mme, peer, mme, peer, ...) of the fit call, data in memory, after both had fitted the "
        "model once and agreed on the criterion. The ratio is the median over the pairs; mme's row is of runs alone. "
        "Peak: of the process during its first fit, libraries and data included.",
        *(["", results["note"]] if "note" in results else []),
    ]
    for name, tasks in results["questions"].items():
        asked = [rows[task] for task in tasks if task in rows]
        said += ["", f"## {QUESTIONS[name].asks}", "", *_table(asked), ""]
        said += [f"* {sentence}" for sentence in verdict(name, asked)]
    said += _floors(list(rows.values()), machine)
    return "\n".join(said).replace("\n\n\n", "\n\n") + "\n"


def versions(rows: dict[str, Row]) -> list[str]:
    """Each package that was started, with its versions and the threads of its BLAS."""
    found: dict[str, str] = {}
    for row in rows.values():
        for one in [row.get("mme", {}), *row.get("peers", {}).values()]:
            if "versions" in one:
                numbers = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
                found[next(iter(one["versions"]))] = f"{numbers} (threads: {', '.join(one['threads'] or ['not told'])})"
    return list(found.values())


def _table(rows: list[Row]) -> list[str]:
    said = [
        "| model | package | fit | ratio | evaluations | an evaluation | peak MiB |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        formula = row["formula"].replace("|", "\\|")  # a bar ends a cell, even inside code
        if "failed" in row:
            said.append(f"| {row['task']}: `{formula}` | mme | FAILED: {row['failed']} | | | | |")
            continue
        said.append(f"| {row['task']}: `{formula}` | {' | '.join(_cells('mme', row['mme'], ''))} |")
        for name, peer in row["peers"].items():
            if "skipped" in peer:
                said.append(f"| | {name} | {peer['skipped']} | | | | |")
            else:
                said.append(f"| | {' | '.join(_cells(name, peer, ratio(row, name)))} |")
    return said


def _cells(name: str, one: Row, times: str) -> list[str]:
    each = seconds(one["evaluation"]) if one["evaluation"] else ""
    peak = f"{one['peak'] / 2**20:,.0f}" if one["peak"] else ""
    return [name, seconds(one["seconds"]), times, str(one["evaluations"] or ""), each, peak]


def _floors(rows: list[Row], machine: Machine) -> list[str]:
    said = []
    for row in rows:
        if row["n"] >= _FLOORED and (lowest := floor(row, machine)):
            total, spent = lowest["total"], row["mme"]["seconds"]
            by_stage = ", ".join(stages(row, machine)[:-1])
            said.append(f"| {row['task']} | {seconds(spent)} | {seconds(total)} | {spent / total:.3g} | {by_stage} |")
    if not said:
        return []
    return [
        "",
        "## How far from the floor",
        "",
        "The floor is one pass over the data at memory speed and, for each evaluation, one pass over the absorbed "
        "levels and the flops of the remaining factor at BLAS speed. Models of fewer rows are bound by the "
        "interpreter.",
        "",
        "| model | fit | floor | times | by stage |",
        "|---|--:|--:|--:|---|",
        *said,
    ]
