"""Loops as machine code on disk, in memory within a millisecond: the compiler takes 600, and LLVM by itself 30.

numba compiles a loop once for each processor and installation; its object file stands in ``__pycache__`` beside the
file of the loop, under a name that tells the state of all files it was made of. From then on a fit of fifty records
runs it, which cannot wait for the compiler. Such a loop takes numbers and contiguous arrays, returns a number,
allocates nothing and raises nothing.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import platform
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain, takewhile
from pathlib import Path
from typing import Any
from weakref import ref
from zlib import crc32

import numpy as np

from mme.numeric.kernels import callback, state
from mme.numeric.limits import limits
from mme.numeric.made_beside import Beside
from mme.numeric.object_file import placed

Loop = Callable[..., float]
_LOG = logging.getLogger("mme")

# Records that a fit counts for at the least: those that NumPy passes over while Python takes its steps.
_FEW = 1_000
# Numbers of an array up to which its address is as soon made as looked up.
_SHORT = 32
_DTYPES: dict[str, np.dtype[Any]] = {"F": np.dtype(np.float64), "I": np.dtype(np.int64), "U": np.dtype(np.uint32)}
_NUMBERS: dict[str, Any] = {"f": ctypes.c_double, "i": ctypes.c_int64}
# What the compiler's own library and Python's have for errors and for the memory of arrays: no loop gets there.
_UNUSED = r"@(?:numba_|NRT_|Py)\w*"
# What Linux tells of a processor that code is made for, on x86 and on ARM.
_TELLING = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU variant", "CPU part", "Features")
_records: dict[Loop, float] = {}
BESIDE = Beside(__name__)


def machine_code(loop: Loop, arguments: str, records: int) -> Loop | None:
    """The loop as machine code; None where it is not on disk, and making it takes longer than it saves.

    Parameters
    ----------
    loop : function
        Plain Python, as :func:`mme.numeric.kernels.kernel` takes it, that returns a number.
    arguments : str
        A word for each argument: ``i`` an integer, ``f`` a number, ``I1``, ``F2``, ... an array of so many dimensions;
        ``U1`` one of integers of 32 bits without a sign.
    records : int
        How many a fit will run it over, again and again. It is made where fits of this process have asked for it with
        ``limits().compiled_records`` of them together, and no file has it: beside this process, and before a fit that
        has as many by itself goes on.
    """
    if not limits().machine_code:
        return None
    found = _loaded(loop, arguments)
    return _asked_for(loop, arguments, max(records, _FEW)) if found is None else found


def _asked_for(loop: Loop, arguments: str, records: int) -> Loop | None:
    """The loop that no file had so far, if it is made now."""
    most = limits().compiled_records
    if BESIDE.has_ended(loop):
        _loaded.cache_clear()
    elif (asked := _records.get(loop, 0) + records) < most or BESIDE.is_busy:
        _records[loop] = asked
        return None
    else:
        _records[loop] = -np.inf  # once: where files cannot be written, or read, it would be made in vain again
        if records < most:
            BESIDE.start(loop, arguments, _place(loop, arguments)[0])
            return None
        try:
            make(loop, arguments)
        except Exception as problem:  # of a compiler that knows the text otherwise: the fit goes on without it
            _LOG.info("%s was not made as machine code: %s", loop.__name__, problem)
    return _loaded(loop, arguments)


def make(loop: Loop, arguments: str) -> None:
    """Compile the loop and keep its object file, where files may be written: some seconds."""
    from llvmlite import binding

    entry, text = callback(loop, arguments)
    module = binding.parse_assembly(_alone(text))
    declared = [one.name for one in chain(module.functions, module.global_variables) if one.is_declaration]
    code = _target().emit_object(module)
    head = {"entry": entry, "needs": _needed(declared), "crc": crc32(code)}
    folder, name = _place(loop, arguments)
    path = folder / f"{name}.{_processor():x}.o"
    own = folder / f"{path.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{loop.__name__}.*.o"):
            if not old.name.startswith(name):
                old.unlink(missing_ok=True)
        own.write_bytes(json.dumps(head).encode() + b"\n" + code)
        own.replace(path)
    except OSError:
        with suppress(OSError):
            own.unlink()
    _loaded.cache_clear()


def _alone(text: str) -> str:
    """LLVM's text without the libraries of compiler and Python: functions of theirs end the process."""
    body = r"{\n  call void @llvm.trap()\n  unreachable\n}"
    text = re.sub(rf"^declare (.*{_UNUSED}\(.*\)).*$", rf"define internal \1 {body}", text, flags=re.M)
    constant = rf"^({_UNUSED}) = external (?:local_unnamed_addr )?global (.*)$"
    text = re.sub(constant, r"\1 = internal global \2 zeroinitializer", text, flags=re.M)
    return f"{text}\ndeclare void @llvm.trap()"


def _needed(declared: Sequence[str]) -> list[str]:
    """Functions of C that these stand for: LLVM's own, llvm.exp.f64, can be one."""
    names = [one.split(".")[1] if one.startswith("llvm.") else one for one in declared]
    return [name for name, one in zip(names, declared, strict=True) if name == one or hasattr(_c(), name)]


@cache
def _c() -> ctypes.CDLL:
    """The library of C."""
    return ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("msvcrt")


def _place(loop: Loop, arguments: str) -> tuple[Path, str]:
    """The folder of the object files of a loop, and how their names begin in the present state of its files."""
    folder = os.environ.get("NUMBA_CACHE_DIR") or Path(loop.__code__.co_filename).parent / "__pycache__"
    return Path(folder), f"{loop.__name__}.{crc32(f'{state(loop)} {arguments}'.encode()):x}"


@cache
def _processor() -> int:
    """A number for what machine code depends on beside its text: as Linux tells it, without LLVM."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            told = [line for line in takewhile(str.strip, lines) if line.startswith(_TELLING)]
    except OSError:
        told = []
    if told:
        return crc32("".join([platform.machine(), *told]).encode())
    from llvmlite import binding

    parts = binding.get_process_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    return crc32(repr(parts).encode())


def _target() -> Any:
    """The machine that code is made for, this one: whoever loads code owns one of its own."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    name, features = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


@cache
def _loaded(loop: Loop, arguments: str) -> Loop | None:
    """The loop from its object file; None where there is none for this machine."""
    folder, name = _place(loop, arguments)
    if not any(folder.glob(f"{name}.*.o")):  # before llvmlite is loaded
        return None
    path = folder / f"{name}.{_processor():x}.o"
    if not path.exists():
        return None
    text, _, code = path.read_bytes().partition(b"\n")
    try:
        head = json.loads(text)
    except ValueError:
        return None
    if crc32(code) != head["crc"]:
        return None
    found = placed(code, head["entry"], _address_of) or (_linked(code, head["entry"]) if _has(head["needs"]) else None)
    return None if found is None else _called(*found, arguments.split())


def _address_of(name: str) -> int | None:
    """Where a function of C stands."""
    return ctypes.cast(getattr(_c(), name), ctypes.c_void_p).value if hasattr(_c(), name) else None


def _has(names: Sequence[str]) -> bool:
    """Whether the process has these functions: exp, log1p, ..."""
    from llvmlite import binding

    for name in names:
        if binding.address_of_symbol(name) is None:
            if (address := _address_of(name)) is None:
                return False
            binding.add_symbol(name, address)
    return True


def _linked(code: bytes, entry: str) -> tuple[int, Any]:
    """The address of a function of an object file, and LLVM's engine, which keeps it there."""
    from llvmlite import binding

    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine.get_function_address(entry), engine


def _called(address: int, kept: Any, words: Sequence[str]) -> Loop:
    """The function at an address, called with numbers, and with the address and shape of each array."""
    function = ctypes.CFUNCTYPE(ctypes.c_double, *chain(*map(_types, words)))(address)
    dtypes = [_DTYPES.get(word[0]) for word in words]
    # Of each argument the array that it was last, and its address and shape: long ones are met again in the next call.
    known: list[tuple[Any, tuple[int, ...]]] = [(lambda: None, ())] * len(words)

    def run(*values: Any, _kept: Any = kept) -> float:
        flat: list[Any] = []
        for at, (value, dtype) in enumerate(zip(values, dtypes, strict=True)):
            if dtype is None:
                flat.append(value)
                continue
            if value.size <= _SHORT:
                flat += _address(value, dtype)
                continue
            last, numbers = known[at]
            if last() is not value:
                numbers = _address(value, dtype)
                known[at] = ref(value), numbers
            flat += numbers
        return float(function(*flat))

    return run


def _address(value: Any, dtype: np.dtype) -> tuple[int, ...]:
    """Where an array stands, and its shape."""
    flags = value.flags
    if value.dtype != dtype or not flags.c_contiguous:
        raise TypeError(f"machine code takes contiguous arrays of {dtype}")
    # Of its buffer an address takes a quarter of the time that ``array.ctypes`` takes.
    quick = flags.writeable and value.size
    return ctypes.addressof(ctypes.c_char.from_buffer(value)) if quick else value.ctypes.data, *value.shape


def _types(word: str) -> list[Any]:
    """What C calls an argument: a number, or an address and a shape."""
    return [_NUMBERS[word]] if word in _NUMBERS else [ctypes.c_void_p, *[ctypes.c_int64] * int(word[1:])]
