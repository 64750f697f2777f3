"""A zip of one JSON text and plain arrays: written without pickle, read with nothing taken on trust.

``fit.json`` (UTF-8) is ``{"format": "mme fit", "version": 1, "content": ...}``; ``arrays/0.npy``, ``arrays/1.npy``, ...
are in NumPy's own format, without objects. Names and sizes of the members are checked before anything is allocated.
An array is deflated where :func:`shrinks` says so, and stands as it is otherwise; a reader takes either.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mme.errors import MemoryForecastError, MMEError
from mme.files.encoding import PLAIN
from mme.numeric.memory import require

FORMAT, VERSION = "mme fit", 1
_TEXT = "fit.json"
_MEMBER = re.compile(r"arrays/(0|[1-9][0-9]{0,8})\.npy")
# No date in the file: equal fits make equal files.
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Deflating runs at 20 MB/s on digits without a pattern and at more than 50 on what shrinks to a quarter.
_WORTH = 0.25
_LEVEL = 1
_PIECES, _PIECE = 16, 4096


def write_archive(path: Path, content: Any, arrays: Sequence[np.ndarray]) -> None:
    """Write the file, whole or not at all.

    Raises
    ------
    MMEError
        It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as file:
            head = {"format": FORMAT, "version": VERSION, "content": content}
            file.writestr(_member(_TEXT), json.dumps(head, allow_nan=False))
            for k, array in enumerate(arrays):
                with file.open(_member(f"arrays/{k}.npy", shrinks(array)), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise MMEError(f"cannot write {path}: {error.strerror}") from None


def shrinks(array: np.ndarray) -> bool:
    """Whether an array is deflated: pieces from end to end of it shrink to a quarter, and it is no measurement.

    Measurements stand as they are: there are many of them, and they are read sooner so.

    Examples
    --------
    >>> shrinks(np.repeat(np.arange(1000), 100)), shrinks(np.random.default_rng(1).integers(0, 1000, 100_000))
    (True, False)
    """
    if array.dtype.kind in "fmM":
        return False
    flat = np.ravel(array, order="K")
    length = max(_PIECE // flat.itemsize, 1)
    if flat.size > _PIECES * length:
        starts = np.linspace(0, flat.size - length, _PIECES).astype(np.int64)
        flat = flat[starts[:, None] + np.arange(length)]
    return len(zlib.compress(flat.tobytes(), _LEVEL)) < _WORTH * flat.nbytes


def read_archive(path: Path) -> tuple[Any, list[np.ndarray]]:
    """The content and the arrays of a file.

    Raises
    ------
    MMEError
        There is no such file, it is something else, damaged, or of a later version.
    """
    try:
        with zipfile.ZipFile(path) as file, damaged(path):
            return _content(file, path), _arrays(file, path)
    except OSError as error:
        raise MMEError(f"cannot read {path}: {error.strerror or error}") from None
    except zipfile.BadZipFile:
        raise MMEError(f"{path} is not a fit saved by mme") from None


@contextlib.contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Whatever a broken file makes fail becomes one kind of error."""
    try:
        yield
    except (MMEError, OSError):
        raise
    except MemoryError:
        raise MemoryForecastError(f"{path} does not fit into memory") from None
    except Exception as error:
        raise MMEError(f"{path} is damaged, or not a fit saved by mme ({type(error).__name__}: {error})") from None


def _member(name: str, deflated: bool = True) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    return member


def _content(file: zipfile.ZipFile, path: Path) -> Any:
    """What the JSON text holds, after a look at names and sizes of all members."""
    members = file.infolist()
    names = [member.filename for member in members]
    if _TEXT not in names or len(set(names)) < len(names):
        raise MMEError(f"{path} is not a fit saved by mme")
    odd = [name for name in names if name != _TEXT and not _MEMBER.fullmatch(name)]
    if odd:
        raise MMEError(f"{path} holds {odd[0][:60]!r}, which is not part of a fit")
    size = sum(member.file_size for member in members)
    require(size, f"{path} unpacks to")
    head = json.loads(file.read(_TEXT).decode())
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise MMEError(f"{path} is not a fit saved by mme")
    if head.get("version") != VERSION:
        raise MMEError(
            f"{path} has version {str(head.get('version'))[:20]} of the format; this mme reads version {VERSION}: "
            "install a later one"
        )
    return head["content"]


def _arrays(file: zipfile.ZipFile, path: Path) -> list[np.ndarray]:
    members = [member for member in file.infolist() if member.filename != _TEXT]
    names = [f"arrays/{k}.npy" for k in range(len(members))]
    if {member.filename for member in members} != set(names):
        raise MMEError(f"{path}: its arrays are not numbered 0 to {len(members) - 1}")
    return [_array(file.read(name), name, path) for name in names]


def _array(content: bytes, name: str, path: Path) -> np.ndarray:
    """One array, after its header has been compared with the size of its member."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.kind not in PLAIN or expected != len(content) - stream.tell():
        raise MMEError(f"{path}: {name} is not a plain array of the size that it says")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
