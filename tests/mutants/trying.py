"""Copies of the tree with one fault each, and whether the tests that reach it notice."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache, partial
from math import inf
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from mutants.forked import Ended, import_libraries, run
from mutants.mutations import Mutation
from mutants.named import Named
from mutants.reached import Reached, Recorder, hash_of

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "mutants"
# The folders of mme/ in which faults are made, and the tests that are asked beside the examples of a folder.
TESTS = {
    "engine": [
        "tests/engine",
        "tests/iterative",
        "tests/identifiability",
        "tests/numeric/test_limits.py",
        "tests/streaming/test_sums.py",
        "tests/inference/test_estimability.py",
    ],
    "inference": [
        "tests/inference",
        "tests/api/test_wide_fits.py",
        "tests/generalised/test_separation.py",
        "tests/search/test_bounds.py",
        "tests/search/test_hold.py",
        "tests/streaming/test_calls_of_chunks.py",
        "tests/relationship/test_unknown_parents.py",
    ],
    "residual": ["tests/residual", "tests/api/test_given.py", "tests/search/test_valleys_of_ranges.py"],
    "solution": ["tests/engine", "tests/iterative", "tests/results", "tests/prediction", "tests/diagnosis"],
    "derivatives": ["tests/derivatives", "tests/inference", "tests/search/test_average_information.py"],
}
# Where faults are made unless other places are named.
USUAL = ("engine", "inference", "residual")
# CPU seconds that tests have without a fault.
_LONGEST = 600.0


class Asked(Protocol):
    """Which tests a fault is shown to."""

    @property
    def are_sound(self) -> bool:
        """Whether it has been seen that all of them pass without a fault."""

    def rounds(self, mutation: Mutation, source: bytes) -> Iterator[list[str]]:
        """The tests, in rounds that are asked one after the other until one notices."""

    def most(self, tests: list[str]) -> float:
        """CPU seconds of a round: a fault that makes them take more is noticed."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutation: ``killed`` by the test named, or survived; None: time was up before an answer."""

    mutation: Mutation
    killed: bool | None
    by: str
    seconds: float
    asked: int


def files(folder: str) -> list[Path]:
    """The source files of a folder of mme/."""
    return sorted(path for path in (ROOT / "mme" / folder).rglob("*.py") if path.name != "__init__.py")


def asked_files(folders: Iterable[str]) -> list[str]:
    """Files whose tests are asked about faults in these folders: their tests, and their own, for the examples."""
    places = [ROOT / place for folder in folders for place in TESTS[folder]]
    found = [file for at in places for file in ([at] if at.is_file() else sorted(at.rglob("test_*.py")))]
    examples = [path for folder in folders for path in files(folder) if b">>>" in path.read_bytes()]
    return list(dict.fromkeys(str(path.relative_to(ROOT)) for path in (*found, *examples)))


@dataclass
class Copy:
    """A tree of its own in which faults are made: never where one works."""

    root: Path
    sound: dict[str, bool] = field(default_factory=dict)
    faults: int = 0

    def __post_init__(self) -> None:
        """Copy with the times of files, so that what is compiled already counts."""
        ignore = shutil.ignore_patterns(".*", "*.egg-info", "demo-output", "build", "dist")
        shutil.copytree(ROOT, self.root, ignore=ignore)

    def asked(self, tests: list[str], cpu: float, until: float) -> Ended:
        """Run tests until one fails."""
        arguments = ["-x", "--tb=no", "-m", "not slow", *tests]
        return run(self.root, arguments, self.root / "log.txt", cpu, until)

    def tried(self, mutation: Mutation, tests: Asked, until: float) -> Verdict:
        """Put the fault in, ask the tests round by round, take it out again."""
        began, path = monotonic(), self.root / mutation.path
        source = (ROOT / mutation.path).read_bytes()
        path.write_bytes(mutation.applied(source))
        self.faults += 1
        os.utime(path, (10**9 + self.faults, 10**9 + self.faults))  # a time of its own: nothing compiled counts
        try:
            killed, by, asked = self._noticed(tests.rounds(mutation, source), tests, until)
        finally:
            shutil.copy2(ROOT / mutation.path, path)
        if killed and not tests.are_sound and not self._is_sound(by, until):
            print(f"fails without a fault as well, left out: {by}", file=sys.stderr, flush=True)
            return self.tried(mutation, tests, until)
        return Verdict(mutation, killed, by, monotonic() - began, asked)

    def _noticed(self, some_rounds: Iterable[list[str]], tests: Asked, until: float) -> tuple[bool | None, str, int]:
        """Whether one of the rounds notices, the test that does, and how many were asked."""
        asked = 0
        for some in some_rounds:
            wanted = [test for test in some if self.sound.get(test, True) and self.sound.get(test.split("::")[0], True)]
            if not wanted:
                continue
            asked += len(wanted)
            ended = self.asked(wanted, tests.most(wanted), until)
            if ended.passed is not True:
                return (None if ended.passed is None else True), ended.by, asked
        return False, "", asked

    def _is_sound(self, by: str, until: float) -> bool:
        """Whether a test, or a file of tests that could not be read, passes where there is no fault; asked once."""
        test = by.split("[")[0]
        if ".py" in test and test not in self.sound:
            self.sound[test] = self.asked([test], _LONGEST, until).passed is not False
        return self.sound.get(test, True)


class Copies:
    """Processes that each have a copy of the tree; tasks are done one at a time in each."""

    def __init__(self, place: Path, workers: int) -> None:
        import_libraries()
        context = get_context("fork")
        numbers = context.SimpleQueue()
        for worker in range(workers):
            numbers.put(worker)
        self.pool = ProcessPoolExecutor(workers, context, _in_worker, (numbers, place))

    def done(self, task: Callable[..., Any], over: Iterable[Any]) -> Iterator[Any]:
        """Results of ``task(one, copy)`` over many, in the order in which they are done."""
        waiting = [self.pool.submit(_on_copy, task, one) for one in over]
        try:
            yield from (future.result() for future in as_completed(waiting))
        finally:
            self.pool.shutdown(cancel_futures=True)


_worker: dict[str, Copy] = {}


def _in_worker(numbers: Any, place: Path) -> None:
    """Make the copy of one process."""
    _worker["copy"] = Copy(place / str(numbers.get()))


def _on_copy(task: Callable[..., Any], one: Any) -> Any:
    return task(one, _worker["copy"])


def reach(tests: Iterable[str], place: Path, workers: int) -> None:
    """Find which tests reach which lines, for files of tests of which it is not kept."""
    KEPT.mkdir(parents=True, exist_ok=True)
    missing = [name for name in tests if not _kept(name).exists()]
    if missing:
        for i, took in enumerate(Copies(place, workers).done(_recorded, missing)):
            print(f"what tests reach: {i + 1} of {len(missing)} files ({took})", file=sys.stderr, flush=True)


def _kept(name: str) -> Path:
    """Where it is kept what a file of tests reaches, as it stands beside the modules of ``tests/`` that it imports."""
    text = (ROOT / name).read_bytes()
    words = {word.decode() for word in re.findall(rb"^from (?:tests\.)?(\w+) import", text, re.MULTILINE)}
    helpers = [ROOT / "tests" / f"{word}.py" for word in sorted(words)]
    texts = [name.encode(), text, *(path.read_bytes() for path in helpers if path.exists())]
    return KEPT / f"{Path(name).stem}-{hash_of(b''.join(texts))}.json"


def _recorded(name: str, copy: Copy) -> str:
    """Run one file of tests and keep what it reached."""
    began, into = monotonic(), _kept(name)
    part = into.with_suffix(".part")
    recorder = partial(Recorder, copy.root, TESTS, part)
    ended = run(copy.root, ["-m", "not slow", "--tb=line", name], copy.root / "log.txt", 3600.0, inf, recorder)
    if ended.passed is not True:
        print(f"what fails in {name} without a fault is not asked:\n{ended.said[-600:]}", file=sys.stderr, flush=True)
    if ended.code in (0, 1) and part.exists():  # whatever failed, the file was run to its end
        part.rename(into)
    return f"{name}, {monotonic() - began:.0f} s"


@dataclass(frozen=True)
class Task:
    """What is asked of a copy for each mutation: the tests that ``asked()`` makes in its process, and until when."""

    asked: Callable[[], Asked]
    until: float

    def __call__(self, mutation: Mutation, copy: Copy) -> Verdict:
        """The verdict on one mutation, while there is time."""
        if monotonic() >= self.until:
            return Verdict(mutation, None, "", 0.0, 0)
        return copy.tried(mutation, self.asked(), self.until)


@cache
def _reached(tests: tuple[str, ...]) -> Reached:
    return Reached.read(_kept(name) for name in tests)


def _named(tests: tuple[str, ...], copy: Copy) -> Named:
    return Named.of(tests, copy.asked)


def _asked(mutations: list[Mutation], named: tuple[str, ...], place: Path, workers: int) -> Callable[[], Asked]:
    """Tests that are named, or those that reach a fault."""
    if named:
        (found,) = Copies(place / "sound", 1).done(_named, [named])
        return partial(Named, found.tests, found.took)
    tests = tuple(asked_files(dict.fromkeys(Path(mutation.path).parts[1] for mutation in mutations)))
    reach(tests, place / "reach", workers)
    return partial(_reached, tests)


def verdicts(
    mutations: list[Mutation], named: tuple[str, ...], place: Path, workers: int, minutes: float
) -> Iterator[Verdict]:
    """Try mutations on so many copies at a time, for so many minutes; in the order in which they are done."""
    asked = _asked(mutations, named, place, workers)
    until = monotonic() + 60.0 * minutes
    yield from Copies(place / "tried", workers).done(Task(asked, until), mutations)
