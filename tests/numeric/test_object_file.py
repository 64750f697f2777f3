"""Object files put into memory by ourselves: their functions are called, what is not known here is left to LLVM."""

from __future__ import annotations

import ctypes
import json
import platform
import sys
from pathlib import Path

import pytest

from mme.numeric import machine_code as room
from mme.numeric.object_file import placed

known_here = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="another system's files are left to LLVM"
)


def loop(n: int, x: float) -> float:
    """Sum of the first n terms of a series of which each is chosen among constants."""
    total = 0.0
    for i in range(n):
        total += _SIGNS[i % 3] * _power(x, i)
    return total


_SIGNS = (1.0, -0.5, 0.25)


def _power(x: float, i: int) -> float:
    return x**i


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """The name of a loop and its object file."""
    folder: Path = tmp_path_factory.mktemp("loops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(folder))
        room.make(loop, "i f")
    head, _, code = next(folder.glob("*.o")).read_bytes().partition(b"\n")
    return json.loads(head)["entry"], code


def _of_c(name: str) -> int | None:
    c = ctypes.CDLL(None)
    return ctypes.cast(getattr(c, name), ctypes.c_void_p).value if hasattr(c, name) else None


@known_here
def test_a_function_of_a_file_is_called_where_it_was_put(made: tuple[str, bytes]) -> None:
    entry, code = made
    found = placed(code, entry, _of_c)
    assert found is not None
    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)(found[0])
    assert function(7, 1.5) == pytest.approx(loop(7, 1.5), rel=1e-15)


def test_other_kinds_of_files_and_unknown_names_are_left_to_llvm(made: tuple[str, bytes]) -> None:
    entry, code = made
    assert placed(b"", entry, _of_c) is None
    assert placed(b"\xcf\xfa\xed\xfe" + code[4:], entry, _of_c) is None, "Mach-O"
    assert placed(code[:18] + b"\xb7\x00" + code[20:], entry, _of_c) is None, "AArch64"
    assert placed(code, "another", _of_c) is None
