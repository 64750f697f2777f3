"""Which tests execute which line, and how long they take: a fault is shown first to the quickest that reach it.

Each file of tests is run once under coverage, and what it reached is kept in ``build/mutants`` until that file of tests
changes. Where a source has changed since, its lines have moved: the lines of a function, as it stood then, say which
tests reach it. Tests that share what was computed once (fixtures of a module, cached fits) are those of a whole file.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from mutants.mutations import Mutation

Found = dict[str, Any]
# Tests are asked in rounds: so many CPU seconds (without a fault) of the quickest, then more; files of tests that share
# what they computed are asked whole in the last.
_ROUNDS = (4.0, 20.0, 60.0)
_BESIDE = 20.0
# A fault that makes tests take so many times their CPU seconds, and these seconds, is noticed.
_LONGER, _MORE = 8.0, 60.0


class Recorder:
    """A plugin that notes the lines each function of tests executes, and its CPU seconds."""

    def __init__(self, root: Path, folders: Iterable[str], into: Path) -> None:
        from coverage import Coverage

        self.root, self.into = root, into
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.coverage = Coverage(
            data_file=None, config_file=False, branch=False, include=[f"{root}/mme/{f}/*" for f in folders]
        )
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One context for all parameters of a test."""
        name, began = item.nodeid.split("[")[0], process_time()
        self.coverage.switch_context(name)
        try:
            return (yield)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + process_time() - began
            self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails without a fault says nothing of one, and is not asked."""
        if report.failed:
            self.failed.add(report.nodeid.split("[")[0])

    def pytest_sessionfinish(self) -> None:
        """Write what was reached: of each source its text's hash, its functions, and the tests of each line."""
        self.coverage.stop()
        seconds = {name: took for name, took in self.seconds.items() if name not in self.failed}
        data, tests = self.coverage.get_data(), list(seconds)
        number = {name: i for i, name in enumerate(tests)}
        sources = {}
        for file in data.measured_files():
            text = Path(file).read_bytes()
            by_line = data.contexts_by_lineno(file).items()
            lines = {line: sorted(number[name] for name in names if name in number) for line, names in by_line}
            sources[str(Path(file).relative_to(self.root))] = {
                "hash": hash_of(text),
                "spans": spans(text),
                "lines": {line: numbers for line, numbers in lines.items() if numbers},
            }
        self.into.write_text(json.dumps({"tests": tests, "seconds": seconds, "sources": sources}))


def hash_of(text: bytes) -> str:
    """A name for a text."""
    return sha256(text).hexdigest()[:16]


def spans(source: bytes) -> dict[str, list[int]]:
    """First and last line of each function, by its name with those of the classes it stands in."""
    found: dict[str, list[int]] = {}

    def enter(node: ast.AST, outside: str) -> None:
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.FunctionDef | ast.ClassDef):
                name = f"{outside}.{part.name}".strip(".")
                if isinstance(part, ast.FunctionDef):
                    found[name] = [part.lineno, part.end_lineno or part.lineno]
                enter(part, name)

    enter(ast.parse(source), "")
    return found


@dataclass(frozen=True)
class Reached:
    """The files of tests with what each reached."""

    files: tuple[Found, ...]
    are_sound = False

    @classmethod
    def read(cls, kept: Iterable[Path]) -> Reached:
        """From what was written for each file of tests."""
        return cls(tuple(json.loads(path.read_text()) for path in kept if path.exists()))

    def rounds(self, mutation: Mutation, source: bytes) -> Iterator[list[str]]:
        """Tests that reach a fault, the quickest first, in rounds; then those that share what these computed."""
        left = self.tests_of(mutation, source)
        took = self.seconds(left)
        beside = self.beside(left)
        for budget in _ROUNDS:
            some, total = [], 0.0
            while left and (total + took[left[0]] <= budget or not some):
                total += took[left[0]]
                some.append(left.pop(0))
            yield some
        also = self.seconds(beside)
        total = 0.0
        yield [test for test in beside if (total := total + also[test]) <= _BESIDE]

    def most(self, tests: Iterable[str]) -> float:
        """CPU seconds after which a fault is noticed."""
        return _LONGER * sum(self.seconds(tests).values()) + _MORE

    def seconds(self, tests: Iterable[str]) -> dict[str, float]:
        """CPU seconds of tests."""
        every = {name: took for file in self.files for name, took in file["seconds"].items()}
        return {name: every[name] for name in tests}

    def tests_of(self, mutation: Mutation, source: bytes) -> list[str]:
        """Tests that execute the line of a fault, the quickest first; of a compiled or new line, those of its file."""
        wanted = {name for file in self.files for name in _that_reach(file, mutation, source)}
        return self._by_seconds(wanted or (name for file in self.files for name in _that_enter(file, mutation.path)))

    def beside(self, tests: Iterable[str]) -> list[str]:
        """The other tests of their files, the quickest first: they may use what was computed for these."""
        known = set(tests)
        files = {name.split("::")[0] for name in known}
        others = (name for file in self.files for name in file["tests"] if name.split("::")[0] in files)
        return self._by_seconds(name for name in others if name not in known)

    def _by_seconds(self, tests: Iterable[str]) -> list[str]:
        took = self.seconds(tests)
        return sorted(took, key=lambda name: took[name])


def _that_reach(file: Found, mutation: Mutation, source: bytes) -> set[str]:
    """Tests of one file that reach a fault: its statement, its function, or what uses the constant of a module."""
    found = file["sources"].get(mutation.path)
    if found is None:
        return set()
    if mutation.function == "the module":
        wanted = [line for name in _users(source, mutation.line) for line in _lines(found["spans"].get(name))]
    elif found["hash"] == hash_of(source):
        wanted = _statement(source, mutation.line)
    else:
        wanted = _lines(found["spans"].get(mutation.function))
    return {file["tests"][number] for line in wanted for number in found["lines"].get(str(line), ())}


def _that_enter(file: Found, path: str) -> set[str]:
    """Tests of one file that execute any line of a source."""
    found = file["sources"].get(path, {"lines": {}})
    return {file["tests"][number] for numbers in found["lines"].values() for number in numbers}


def _lines(span: list[int] | None) -> list[int]:
    return list(range(span[0] + 1, span[1] + 1)) if span else []


def _statement(source: bytes, line: int) -> list[int]:
    """Lines of the innermost statement around a line; of a compound one, of its head."""
    around = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and _first(node) <= line <= _last(node)
    ]
    inner = max(around, key=_first)
    return list(range(_first(inner), _last(inner) + 1))


def _first(node: ast.stmt) -> int:
    return node.lineno


def _last(node: ast.stmt) -> int:
    """The last line of a statement, without the statements inside it."""
    body = getattr(node, "body", None)
    return max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno


def _users(source: bytes, line: int) -> list[str]:
    """Functions that read the constants assigned on a line of a module."""
    tree = ast.parse(source)
    names = {
        part.id
        for node in tree.body
        if isinstance(node, ast.Assign) and node.lineno <= line <= (node.end_lineno or node.lineno)
        for target in node.targets
        for part in ast.walk(target)
        if isinstance(part, ast.Name)
    }
    text = source.decode().splitlines()
    found = spans(source)
    return [f for f, (a, b) in found.items() if any(n in one for one in text[a - 1 : b] for n in names)]
