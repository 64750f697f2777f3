"""Copies of the tree with one fault each, and whether its tests notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path
from queue import Queue
from signal import SIGXCPU
from time import monotonic

from mutants.mutations import Mutation

ROOT = Path(__file__).parents[2]
FIRST = "tests/engine/test_first_principles.py"
# Which tests, beside first principles, are those of a folder of mme/.
TESTS = {
    "engine": [
        "tests/engine",
        "tests/iterative",
        "tests/numeric/test_limits.py",
        "tests/inference/test_estimability.py",
        "tests/identifiability/test_undetermined_shares.py",
    ],
    "solution": [
        "tests/engine/test_engines_agree.py",
        "tests/iterative",
        "tests/results",
        "tests/prediction",
        "tests/diagnosis",
    ],
    "derivatives": [
        "tests/derivatives",
        "tests/inference/test_satterthwaite.py",
        "tests/inference/test_kenward_roger.py",
        "tests/inference/test_kenward_roger_residual.py",
        "tests/search/test_average_information.py",
    ],
    "inference": ["tests/inference"],
    "residual": ["tests/residual", "tests/api/test_given.py", "tests/inference/test_residual_intervals.py"],
}
# A fault that makes the tests of a folder take more CPU seconds than this is noticed; a busy machine makes none longer.
LONGEST = 600
# What pytest returns where all tests passed, or where no test has the name.
_PASSED = (0, 4)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutation: ``killed`` by the test named, or survived; None: time was up before an answer."""

    mutation: Mutation
    killed: bool | None
    by: str
    seconds: float


def files(folder: str) -> list[Path]:
    """The source files of a folder of mme/."""
    return sorted(path for path in (ROOT / "mme" / folder).rglob("*.py") if path.name != "__init__.py")


def suite_of(path: str) -> list[str]:
    """First principles, the examples of the room, the tests whose text names it, then the others of its folder."""
    room = Path(path).with_suffix("").parts
    module, folder = ".".join(room), room[1]
    found = [file for place in TESTS[folder] for file in _test_files(ROOT / place)]
    near = [file for file in found if module in file.read_text() or file.stem.endswith(room[-1])]
    ordered = dict.fromkeys([*near, *found])
    return [FIRST, path, *(str(file.relative_to(ROOT)) for file in ordered if file != ROOT / FIRST)]


def _test_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("test_*.py"))


class Copy:
    """A tree of its own in which faults are made: never where one works."""

    def __init__(self, folder: Path) -> None:
        self.root, self.sound = folder, dict[str, bool]()
        ignore = shutil.ignore_patterns(".*", "*.egg-info", "demo-output")
        shutil.copytree(ROOT, folder, ignore=ignore, dirs_exist_ok=True)

    def runs(self, tests: list[str], limit: float) -> tuple[bool | None, str]:
        """Whether the tests pass (None: no answer in so many seconds), and the first that does not."""
        limited = ["sh", "-c", f'ulimit -S -t {LONGEST}; exec "$@"', "sh"]
        pytest = ["-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-m", "not slow"]
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        env = kept | threads | {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            run = subprocess.run(
                [*limited, sys.executable, *pytest, *tests],
                cwd=self.root,
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=None if limit == inf else limit,
            )
        except subprocess.TimeoutExpired:
            return None, "no end"
        if run.returncode == -SIGXCPU:
            return False, "no end"
        failed = [line.split(" ", 1)[1] for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return run.returncode in _PASSED, failed[0].split(" - ")[0] if failed else ""

    def tried(self, mutation: Mutation, until: float) -> Verdict:
        """Put the fault in, run the tests, take it out again."""
        began = monotonic()
        while True:
            passed, by = self._faulty(mutation, until - monotonic())
            took = monotonic() - began
            if passed is None or passed or self._is_sound(by):
                return Verdict(mutation, None if passed is None else not passed, by, took)

    def _faulty(self, mutation: Mutation, limit: float) -> tuple[bool | None, str]:
        """The answer of the tests to a fault, without those that fail anyway."""
        if limit <= 0:
            return None, ""
        path = self.root / mutation.path
        path.write_bytes(mutation.applied((ROOT / mutation.path).read_bytes()))
        unsound = [word for test, is_sound in self.sound.items() if not is_sound for word in ("--deselect", test)]
        try:
            return self.runs([*unsound, *suite_of(mutation.path)], limit)
        finally:
            shutil.copy2(ROOT / mutation.path, path)

    def _is_sound(self, test: str) -> bool:
        """Whether a test passes where there is no fault; asked once a test."""
        if "::" in test and test not in self.sound:
            self.sound[test] = self.runs([test], inf)[0] is True
            if not self.sound[test]:
                print(f"fails without a fault as well, left out: {test}", file=sys.stderr, flush=True)
        return self.sound.get(test, True)


def verdicts(mutations: Iterable[Mutation], place: Path, workers: int, until: float) -> Iterator[Verdict]:
    """Try mutations on so many copies at a time, as long as there is time; in the order in which they are done."""
    copies: Queue[Copy] = Queue()
    for worker in range(workers):
        copies.put(Copy(place / str(worker)))
    done: Queue[Verdict | BaseException] = Queue()
    stop = threading.Event()

    def one(mutation: Mutation) -> None:
        if stop.is_set() or monotonic() >= until:
            done.put(Verdict(mutation, None, "", 0.0))
            return
        copy = copies.get()
        try:
            done.put(copy.tried(mutation, until))
        except BaseException as error:
            done.put(error)
        finally:
            copies.put(copy)

    waiting = list(mutations)
    with ThreadPoolExecutor(workers) as pool:
        for mutation in waiting:
            pool.submit(one, mutation)
        try:
            for _ in waiting:
                verdict = done.get()
                if isinstance(verdict, BaseException):
                    raise verdict
                yield verdict
        finally:
            stop.set()
