"""Loops as machine code: what the plain loop returns, from a file, without the compiler."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from mme.numeric import machine_code as room
from mme.numeric.kernels import of_sizes
from mme.numeric.limits import Limits, within
from mme.numeric.machine_code import Loop, machine_code
from mme.numeric.made_beside import Beside
from mme.numeric.triangles import rotate

ARGUMENTS = "i f I1 F2 F1"
ROTATES = "F3 I1 F2 F1"


def loop(power: int, scale: float, starts: np.ndarray, X: np.ndarray, sums: np.ndarray) -> float:
    """Sums of exponentials of rows between ``starts``, and the sum of their powers."""
    total = 0.0
    for g in range(starts.size - 1):
        for i in range(starts[g], starts[g + 1]):
            sums[g] += _row(X, i, scale)
        total += math.log1p(sums[g]) ** power
    return total


def _row(X: np.ndarray, i: int, scale: float) -> float:
    s = 0.0
    for j in range(X.shape[1]):
        s += math.exp(scale * X[i, j])
    return s


def given() -> tuple[np.ndarray, np.ndarray]:
    return np.array([0, 2, 2, 7]), np.random.default_rng(1).normal(size=(7, 3))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for object files."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def another() -> Loop:
    """The loop as a function that has not been asked for yet."""
    return FunctionType(loop.__code__, loop.__globals__, "loop")


def test_machine_code_returns_and_writes_what_the_plain_loop_does(folder: Path) -> None:
    starts, X = given()
    plain, own = np.zeros(3), np.zeros(3)
    room.make(loop, ARGUMENTS)
    found = machine_code(another(), ARGUMENTS, 1)
    assert found is not None
    assert found(2, 0.5, starts, X, own) == pytest.approx(loop(2, 0.5, starts, X, plain), rel=1e-14)
    np.testing.assert_allclose(own, plain, rtol=1e-14)
    for wrong in (X.T.copy().T, X.astype(np.float32)):
        with pytest.raises(TypeError, match="contiguous arrays of float64"):
            found(2, 0.5, starts, wrong, own)
    path = next(folder.glob("loop.*.o"))
    path.write_bytes(path.read_bytes()[:-1])
    assert machine_code(another(), ARGUMENTS, 1) is None, "a damaged file"
    path.write_bytes(b"")
    assert machine_code(another(), ARGUMENTS, 1) is None, "an empty file"
    path.rename(path.with_name(path.name.replace("loop.", "loop.0")))
    assert machine_code(another(), ARGUMENTS, 1) is None, "a file of another state"


LATER = """
import sys
import numpy as np
from mme.numeric.machine_code import machine_code
from tests.numeric.test_machine_code import ARGUMENTS, given, loop
starts, X = given()
print(machine_code(loop, ARGUMENTS, 1)(2, 0.5, starts, X, np.zeros(3)))
print("numba" in sys.modules, "llvmlite" in sys.modules)
import numba
@numba.njit
def refuses(n):
    if n < 0:
        raise ValueError("negative")
    return np.zeros(n).size
assert refuses(3) == 3
try:
    refuses(-1)
except ValueError as error:
    print(error)
"""


def test_a_file_serves_a_process_without_the_compiler_which_serves_afterwards(folder: Path) -> None:
    room.make(loop, ARGUMENTS)
    starts, X = given()
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=True)
    number, loaded, with_llvm, error = done.stdout.split()
    assert (loaded, error) == ("False", "negative")
    assert with_llvm == str(sys.platform != "linux" or platform.machine() != "x86_64")
    assert float(number) == pytest.approx(loop(2, 0.5, starts, X, np.zeros(3)), rel=1e-14)


def test_it_is_made_beside_a_process_whose_fits_have_asked_for_it_often_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise AssertionError("compiled in the process of the fit")

    monkeypatch.setattr(room, "make", refuses)
    one, beside = another(), Beside(room.__name__)
    monkeypatch.setattr(room, "BESIDE", beside)
    with within(Limits(compiled_records=3_000)):
        assert [machine_code(one, ARGUMENTS, 1) is None for _ in range(2)] == [True, True]
        assert beside.process is None, "too early"
        assert machine_code(one, ARGUMENTS, 1) is None
        assert beside.process is not None
        assert len(list(folder.glob("loop.making"))) == 1
        assert beside.process.wait() == 0
        found = machine_code(one, ARGUMENTS, 1)
    assert found is not None
    assert len(list(folder.glob("loop.*.o"))) == 1
    assert not list(folder.glob("loop.making"))
    with within(Limits(machine_code=False)):
        assert machine_code(one, ARGUMENTS, 1) is None


def test_one_process_makes_a_loop_for_all_that_ask(folder: Path) -> None:
    of_two, beside = of_sizes(rotate, Q=1, M=2), Beside(room.__name__)
    mark = folder / f"{of_two.__name__}.making"
    mark.write_text("")
    beside.start(of_two, ROTATES, folder)
    assert beside.process is None, "another process makes it"
    os.utime(mark, (0.0, 0.0))
    beside.start(of_two, ROTATES, folder)
    assert beside.process is not None, "that one was ended"
    assert beside.process.wait() == 0
    assert machine_code(of_two, ROTATES, 1) is not None


def test_without_a_place_for_files_there_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder / "file"))
    with within(Limits(compiled_records=1)):
        assert machine_code(another(), ARGUMENTS, 1) is None


def test_a_compiler_that_fails_is_gone_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("LLVM IR parsing error")

    monkeypatch.setattr(room, "callback", fails)
    with within(Limits(compiled_records=1)):
        assert machine_code(another(), ARGUMENTS, 1) is None


def test_machine_code_reads_the_array_that_it_is_given_and_no_earlier_one_of_its_place(folder: Path) -> None:
    room.make(loop, ARGUMENTS)
    found = machine_code(another(), ARGUMENTS, 1)
    assert found is not None
    starts, rng = np.arange(41), np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    for other in (X, X, rng.normal(size=(40, 3)), X[:40].copy(), X):
        own, plain = np.zeros(40), np.zeros(40)
        assert found(1, 0.5, starts, other, own) == pytest.approx(loop(1, 0.5, starts, other, plain), rel=1e-14)
        assert own == pytest.approx(plain, rel=1e-14)
        X *= 1.01
