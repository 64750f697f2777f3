"""The mutations are what they say: each is Python, differs from the file in one place, and is shown to a reader."""

import json
from dataclasses import replace
from math import inf

import pytest

from mutants.__main__ import chosen, equivalent, parser
from mutants.forked import Ended, run
from mutants.mutations import mutations
from mutants.named import Named
from mutants.reached import Reached, Recorder, hash_of, spans
from mutants.trying import ROOT, TESTS, Copy, asked_files, files

SOURCE = b'''"""1 + 1"""
LIMIT = 1e-9

@cache(2)
def f(x: int = 3) -> float:
    """x - 1"""
    x += 1.5
    if x <= LIMIT and not x:
        said = x + 7
        raise ValueError("2 - 1", said)
    return -(x + 2) * \xc3\xa9[0]
'''.replace(b"\xc3\xa9", "é".encode())


def test_every_kind_of_fault_is_made_and_nothing_else_is_touched():
    found = mutations("mme/engine/x.py", SOURCE)
    said = {(m.line, m.after) for m in found}
    assert (2, "LIMIT = 1e-05") in said
    assert {(7, "x -= 1.5"), (7, "pass"), (7, "x += 3.0")} <= said
    assert {(8, "if x > LIMIT and not x:"), (8, "if x <= LIMIT and x:")} <= said
    assert (8, "if x < LIMIT and not x:") not in said  # no number equals a tolerance to its last bit
    assert (8, "if x <= LIMIT or not x:") in said
    assert {(11, "return (x + 2) * é[0]"), (11, "return -(x - 2) * é[0]"), (11, "return -(x) * é[0]")} <= said
    assert {m.line for m in found} == {2, 7, 8, 11}  # no docstring, decorator, default or message
    for mutation in found:
        compile(mutation.applied(SOURCE), "x.py", "exec")
        assert mutation.applied(SOURCE) != SOURCE


def test_what_numpy_takes_for_the_same_is_no_fault_and_whole_bounds_are():
    said = {
        m.after for m in mutations("mme/engine/x.py", b"def f(x):\n    return x.reshape(-1, 3)[-1:] if x < 2 else x\n")
    }
    assert not any("-2, 3" in after for after in said)
    assert any("-1, 4" in after for after in said)
    assert any("[-2:]" in after for after in said)
    assert any("x <= 2" in after for after in said)


def test_one_more_than_a_size_and_an_estimate_of_memory_change_no_result():
    source = b"""MANY, FEW = 400, 3
def f(x):
    require(8 * x, "it needs")
    if x > MANY or x > FEW:
        return 400
"""
    assert {m.after for m in mutations("mme/engine/x.py", source)} == {
        "MANY, FEW = 400, 4",
        "if x < MANY or x > FEW:",
        "if x > MANY and x > FEW:",
        "if x > MANY or x >= FEW:",
        "if x > MANY or x < FEW:",
        "return 401",
    }


def test_on_both_sides_of_a_size_of_limits_are_the_same_numbers_unless_one_is_an_error():
    source = b"""def f(x):
    if 2 * x > limits().size * len(x) and x < 7:
        return x + 1
    if 3 * x > limits().size:
        raise ValueError(x)
"""
    said = {m.after for m in mutations("mme/engine/x.py", source)}
    assert said == {
        "if 2 * x > limits().size * len(x) or x < 7:",
        "if 2 * x > limits().size * len(x) and x <= 7:",
        "if 2 * x > limits().size * len(x) and x > 7:",
        "if 2 * x > limits().size * len(x) and x < 8:",
        "return x - 1",
        "return x + 2",
        "return x",
        "if 3 * x < limits().size:",
        "if 3 / x > limits().size:",
        "if 4 * x > limits().size:",
    }


def test_a_name_for_a_size_of_limits_is_that_size_and_its_shares_are_made_at_a_time():
    source = b"""def f(x, n):
    most, least = limits().size, n + 1
    step = max(1, min(n, limits().rows // (4 * n)))
    size = n * n + 1
    if n * size <= 4 * most or x > least:
        return x[:step]
    if n * x > 2 * most:
        raise ValueError(n)
"""
    said = {m.after for m in mutations("mme/engine/x.py", source)}
    assert said == {
        *(f"most, least = limits().size, n{other}" for other in (" - 1", " + 2", "")),
        *(f"if n * size <= 4 * most {other}:" for other in ("and x > least", "or x >= least", "or x < least")),
        *(f"if {other}:" for other in ("n / x > 2 * most", "n * x > 3 * most", "n * x < 2 * most", "n * x > 2 / most")),
    }


def test_the_size_of_zeros_passes_and_counts_of_nothing_are_of_no_result():
    source = b"""from y import LIMIT
def f(x, size, n):
    size[size == 0.0] = 1.0
    size[n == 0.0] = 3.0
    for _ in range(2):
        x = x / np.where(size > 0.0, size, 1.0) + np.where(size > 0.0, n, 4.0)
    x = np.where(size == 0.0, 2.5, size)
    return np.bincount(x, minlength=1).max() > LIMIT
"""
    said = {m.after for m in mutations("mme/engine/x.py", source)}
    assert "size[n == 0.0] = 6.0" in said
    assert any("n, 8.0" in after for after in said)
    assert any("size > 1.0, size" in after for after in said)
    assert "return np.bincount(x, minlength=1).max() < LIMIT" in said
    assert not any(
        part in after for after in said for part in ("= 2.0", "range(3)", "size, 2.0", "5.0", "minlength=2", ">= L")
    )


def test_a_name_for_a_tolerance_and_the_steps_of_a_loop_are_of_no_result():
    source = b"""LIMIT = 1e-9
def f(x, n):
    most = LIMIT * x
    loop = kernel(sums, 20 * n) or self._loop(sums, 20 * n)
    return loop(x) < most or n > max(LIMIT, x) or x < -LIMIT or n < x or x / max(n, 1e-300) < np.sqrt(LIMIT)
"""
    said = {m.after for m in mutations("mme/engine/x.py", source)}
    assert not any(
        "loop(x) <= most" in after or "n >= max" in after or "<= -" in after or "/ n" in after for after in said
    )
    assert not any("<= np.sqrt" in after or "1e-296" in after for after in said)
    assert any("loop(x) > most" in after for after in said)
    assert any("n <= x" in after for after in said)


def test_what_is_made_for_steps_sizes_and_texts_alone_is_of_no_result():
    source = b"""_EACH = 20
def f(x, n):
    steps, seen = 0, n + 1
    most = 2 * n
    steps = _EACH * n
    size = most * n
    if size <= limits().size:
        return kernel(sums, steps)(x)
    return seen + 3
"""
    assert {m.line for m in mutations("mme/engine/x.py", source)} == {3, 9}


def test_random_directions_serve_whatever_number_they_start_from():
    source = b"def f(n):\n    return np.random.default_rng(0).normal(size=n + 1)\n"
    said = {m.after for m in mutations("mme/engine/x.py", source)}
    assert any("n - 1" in after for after in said)
    assert not any("default_rng(1)" in after for after in said)


def test_a_seed_chooses_the_same_mutations_again():
    assert chosen(["residual"], 5, 3) == chosen(["residual"], 5, 3)
    assert chosen(["residual"], 5, 3) != chosen(["residual"], 5, 4)
    assert not {m.key for m in chosen([*TESTS], 10**6, 1)} & set(equivalent())


REACHED_SOURCE = b"""LIMIT = 3
class C:
    def f(self, x):
        if x > LIMIT:
            return x + 1
        return x

def g(x):
    return x - 2
"""


def reached_of(lines: dict[str, list[int]], seconds: list[float], source: bytes = REACHED_SOURCE) -> Reached:
    tests = [f"t.py::{i}" for i in range(len(seconds))]
    found = {"hash": hash_of(source), "spans": spans(source), "lines": lines}
    file = {"tests": tests, "seconds": dict(zip(tests, seconds, strict=True)), "sources": {"mme/engine/x.py": found}}
    return Reached((file,))


def test_a_fault_is_shown_to_the_tests_that_execute_its_line_the_quickest_first():
    every = {(m.line, m.after): m for m in mutations("mme/engine/x.py", REACHED_SOURCE)}
    reached = reached_of({"4": [0, 1, 2], "5": [2], "6": [0, 1], "9": [3]}, [3.0, 1.0, 2.0, 0.1])
    assert reached.tests_of(every[5, "return x - 1"], REACHED_SOURCE) == ["t.py::2"]
    assert reached.tests_of(every[4, "if x >= LIMIT:"], REACHED_SOURCE) == ["t.py::1", "t.py::2", "t.py::0"]
    of_constant = reached.tests_of(every[1, "LIMIT = 4"], REACHED_SOURCE)
    assert of_constant == ["t.py::1", "t.py::2", "t.py::0"]  # those of the functions that read it
    moved = b"# a line more\n" + REACHED_SOURCE  # the lines of the function as they stood are asked
    fault = replace(every[5, "return x - 1"], line=6)
    assert reached.tests_of(fault, moved) == ["t.py::1", "t.py::2", "t.py::0"]


def test_all_tests_of_a_file_are_asked_where_no_test_is_seen_to_execute_a_line():
    fault = next(m for m in mutations("mme/engine/x.py", REACHED_SOURCE) if m.after == "return x - 1")
    compiled = replace(fault, line=9)
    assert reached_of({"4": [1], "6": [0]}, [1.0, 2.0]).tests_of(compiled, REACHED_SOURCE) == ["t.py::0", "t.py::1"]


def test_every_test_that_reaches_a_fault_is_asked_once_and_those_beside_it_last():
    fault = next(m for m in mutations("mme/engine/x.py", REACHED_SOURCE) if m.after == "return x - 1")
    found = list(reached_of({"5": [0, 2, 3]}, [500.0, 0.5, 2.0, 20.0]).rounds(fault, REACHED_SOURCE))
    assert found == [["t.py::2"], ["t.py::3"], ["t.py::0"], ["t.py::1"]]


def test_the_tests_that_are_asked_are_there():
    found = asked_files(TESTS)
    assert "tests/engine/test_first_principles.py" in found
    assert "mme/inference/fixed/hypotheses.py" in found
    assert all((ROOT / name).exists() for name in found)


def test_a_test_that_fails_without_a_fault_is_left_out_of_its_file(tmp_path):
    written = tmp_path / "reached.json"
    tests = tmp_path / "test_two.py"
    tests.write_text("def test_holds():\n    assert True\n\ndef test_fails():\n    assert False\n")
    ended = run(tmp_path, [str(tests)], tmp_path / "log", 60.0, inf, lambda: Recorder(ROOT, ["engine"], written))
    assert ended.passed is False
    assert [name.split("::")[1] for name in json.loads(written.read_text())["tests"]] == ["test_holds"]


def test_what_is_said_to_be_equivalent_is_still_there():
    sources = [path for folder in TESTS for path in files(folder)]
    every = {m.key for path in sources for m in mutations(str(path.relative_to(ROOT)), path.read_bytes())}
    assert set(equivalent()) <= every


def test_a_file_of_tests_that_cannot_be_read_notices_nothing(tmp_path):
    """It fails whatever the fault, and is left out once it has failed without one."""

    class Unreadable(Copy):
        def __post_init__(self) -> None:
            self.root.joinpath("mme/engine").mkdir(parents=True)

        def asked(self, tests, cpu, until):
            unread = any(test.startswith("bad.py") for test in tests)
            return Ended(2 if unread else 0, False, "ERROR bad.py\n" if unread else "")

    fault = next(m for m in mutations("mme/engine/pls.py", (ROOT / "mme/engine/pls.py").read_bytes()) if m.new == "-")
    tests = {"tests": ["bad.py::a", "good.py::b"], "seconds": {"bad.py::a": 1.0, "good.py::b": 1.0}}
    found = {"hash": "", "spans": {fault.function: [1, 2]}, "lines": {"2": [0, 1]}}
    reached = Reached((tests | {"sources": {fault.path: found}},))
    verdict = Unreadable(tmp_path).tried(fault, reached, inf)
    assert verdict.killed is False
    assert verdict.asked == 1


def test_a_run_that_waits_for_what_does_not_come_has_an_end(tmp_path):
    tests = tmp_path / "test_one.py"
    tests.write_text("import time\n\ndef test_waits():\n    time.sleep(1000.0)\n")
    ended = run(tmp_path, [str(tests)], tmp_path / "log", 60.0, inf, waiting=0.02)
    assert (ended.passed, ended.by) == (False, "no end")


def test_tests_that_are_named_are_asked_alone_and_about_every_fault(tmp_path):
    """They are asked once without a fault, which none that passes is asked again, and once with each."""
    source = (ROOT / "mme/engine/lambdas.py").read_bytes()
    asked = []

    def products(text):
        return text.count(b"*")

    class Asking(Copy):
        def __post_init__(self) -> None:
            self.root.joinpath("mme/engine").mkdir(parents=True)
            self.root.joinpath("mme/engine/lambdas.py").write_bytes(source)

        def asked(self, tests, cpu, until):
            asked.append(tests)
            noticed = products((self.root / "mme/engine/lambdas.py").read_bytes()) < products(source)
            return Ended(1, False, "FAILED a.py::f - x\n") if noticed else Ended(0, False, "")

    options = parser().parse_args(["--tests", "a.py,b.py", "mme/engine/lambdas.py"])
    assert options.tests == ("a.py", "b.py")
    faults = chosen(options.places, options.n, options.seed)
    every = mutations("mme/engine/lambdas.py", source)
    assert {fault.key for fault in faults} == {fault.key for fault in every} - set(equivalent())
    copy = Asking(tmp_path)
    named = Named.of(options.tests, copy.asked)
    killed = {fault for fault in faults if copy.tried(fault, named, inf).killed}
    assert killed == {fault for fault in faults if products(fault.applied(source)) < products(source)} != set()
    assert asked == [["a.py", "b.py"]] * (1 + len(faults))


@pytest.mark.parametrize("code", [1, 4, 5])
def test_tests_that_fail_without_a_fault_or_that_are_not_there_are_refused(code):
    with pytest.raises(ValueError, match=r"without a fault these do not pass: a\.py"):
        Named.of(("a.py",), lambda tests, cpu, until: Ended(code, False, "said"))
