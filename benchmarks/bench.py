#!/usr/bin/env python3
"""Time mme, alone and beside its peers: ``bench.py [QUESTION ...] [options]``.

Agreement of the criterion is asserted before anything is timed. ``bench.py --results`` turns the JSON of a run into
``RESULTS.md``. See ``questions.py`` for the questions and ``peers/`` for the packages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import machine, report
from benchmarks.measure import DisagreementError, Settings, measure
from benchmarks.peers import PEERS, Peer
from benchmarks.questions import QUESTIONS, Row, Task
from benchmarks.worker import PeerError, environment

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> int:
    """Run the questions; 1 when mme disagreed with a reference or failed."""
    options = _parser().parse_args(arguments)
    path = Path(options.json) if options.json else HERE / "results.json"
    if options.results:
        (HERE / "RESULTS.md").write_text(report.markdown(json.loads(path.read_text())))
        return 0
    settings = Settings(options.repeats, options.threads, options.limit, options.quick)
    peers = _present(options.peers)
    described = machine.describe() | {"speeds": _speeds(settings)}
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": described,
        "threads": settings.threads,
        "quick": settings.quick,
        "questions": {},
        "rows": {},
    }
    print("\n".join(_headline(described, settings)), flush=True)
    for name in options.questions or list(QUESTIONS):
        question, rows = QUESTIONS[name], results["rows"]
        tasks = question.tasks(settings.quick)
        results["questions"][name] = [task.name for task in tasks]
        print(f"\n== {name}: {question.asks}", flush=True)
        for task in tasks:
            if task.name in rows:
                print(f"{task.name}: above")
                continue
            rows[task.name] = _measured(task, peers, settings)
            if options.json or not settings.quick:
                path.write_text(json.dumps(results, indent=1))
            print("\n".join(report.lines(rows[task.name], described)), flush=True)
        print(*(f"  -> {said}" for said in report.verdict(name, [rows[task.name] for task in tasks])), sep="\n")
    print("", *report.versions(results["rows"]), sep="\n", flush=True)
    return int(any("failed" in row for row in results["rows"].values()))


def _parser() -> argparse.ArgumentParser:
    asked = "\n".join(f"  {name:12}{question.asks}" for name, question in QUESTIONS.items())
    parser = argparse.ArgumentParser(
        "bench.py",
        description="Time mme, alone and beside other packages.",
        epilog=f"questions:\n{asked}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="default: all", type=_question)
    parser.add_argument("--peers", metavar="NAMES", help=f"of {','.join(PEERS)}; 'none'; default: all that are here")
    parser.add_argument("--repeats", type=int, metavar="N", help="pairs a model (default: 3 large, 7 small ones)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="BLAS threads of every process (1)")
    parser.add_argument("--limit", type=float, default=600.0, metavar="SECONDS", help="a peer's longest answer (600)")
    parser.add_argument("--json", metavar="FILE", help="where the numbers go (benchmarks/results.json; not if quick)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the sizes, one pair: does everything run?")
    parser.add_argument("--results", action="store_true", help="time nothing; write RESULTS.md from the JSON")
    return parser


def _question(name: str) -> str:
    if name not in QUESTIONS:
        raise argparse.ArgumentTypeError(f"'{name}' is none of: {', '.join(QUESTIONS)}")
    return name


def _present(names: str | None) -> list[Peer]:
    """The peers that are wanted and here; the others are named."""
    wanted = [name for name in (names.split(",") if names is not None else PEERS) if name not in ("", "none")]
    if unknown := [name for name in wanted if name not in PEERS]:
        raise SystemExit(f"no peer is called {', '.join(unknown)}; there are {', '.join(PEERS)}")
    here = [PEERS[name] for name in wanted if PEERS[name].present()]
    for name in wanted:
        if PEERS[name] not in here:
            print(f"skipped: {name} is not installed (bench_peers.py installs it)")
    return here


def _speeds(settings: Settings) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.machine", "0.05" if settings.quick else "1"]
    env = environment(settings.threads)
    measured = subprocess.run(command, cwd=HERE.parent, env=env, check=True, capture_output=True)
    return dict(json.loads(measured.stdout))


def _headline(described: dict[str, Any], settings: Settings) -> list[str]:
    speeds = described["speeds"]
    said = [
        f"{described['cpu']}, {described['cores']} cores, {described['memory_gib']} GiB, {described['system']}",
        f"{settings.threads} BLAS thread(s) a process; load {described['load']} before the run; memory "
        f"{speeds['bytes_per_second'] / 1e9:.1f} GB/s, BLAS {speeds['flops_per_second'] / 1e9:.1f} Gflop/s",
    ]
    if described["load"] > 0.5:
        said.append("the machine is busy: these times are noise")
    return said


def _measured(task: Task, peers: list[Peer], settings: Settings) -> Row:
    try:
        return measure(task, peers, settings)
    except (DisagreementError, PeerError) as error:
        fields = {"task": task.name, "formula": task.formula, "method": task.method, "n": 0, "levels": {}}
        return {**fields, "failed": str(error)}


if __name__ == "__main__":
    sys.exit(main())
