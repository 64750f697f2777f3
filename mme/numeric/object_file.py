"""The functions of an object file, put into memory: LLVM takes 30 ms and 49 MiB to do it, for each process anew.

An ELF file of x86-64 is its sections one behind the other, in which the addresses of symbols are to be written. Code of
LLVM's large model asks for whole addresses alone; what asks for anything else, or is of another kind, is left to LLVM.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

_HEADER = b"\x7fELF\x02\x01"  # 64 bits, the lowest byte first
_X86_64, _SECTION, _SYMBOL, _PLACE = 62, "<IIQQQQIIQQ", "<IBBHQQ", "<QQq"
_IN_MEMORY, _SYMBOLS, _PLACES, _ZEROS, _ABSOLUTE = 2, 2, 4, 8, 0xFFF1
# Kinds of places: a whole address, and a distance from the place.
_WHOLE, _DISTANCES = 1, (2, 4)
_READ_AND_EXECUTE = 5
# What debuggers and exceptions take.
_UNUSED = ".eh_frame"


class ElfSection(NamedTuple):
    """A section, its fields as ELF calls them, and where it stands in memory; None: nowhere."""

    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    at: int | None


def placed(code: bytes, entry: str, find: Callable[[str], int | None]) -> tuple[int, Any] | None:
    """The address of a function of an object file, and what keeps it there; None where LLVM is to do it.

    ``find`` gives the address of a function that the file does not have.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or code[:6] != _HEADER:
        return None
    if struct.unpack_from("<H", code, 18)[0] != _X86_64:
        return None
    sections, size = _sections(code)
    room = mmap.mmap(-1, size)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    for one in sections:
        if one.at is not None and one.type != _ZEROS:
            room[one.at : one.at + one.size] = code[one.offset : one.offset + one.size]
    symbols = _addresses(code, sections, start, find)
    asked = [one for one in sections if one.type == _PLACES and sections[one.info].at is not None]
    if not all(_written(code, one, sections, symbols, room, start) for one in asked):
        return None
    found = next((address for name, address in symbols if name == entry), None)
    protect = ctypes.CDLL(None).mprotect
    if found is None or protect(ctypes.c_void_p(start), ctypes.c_size_t(size), _READ_AND_EXECUTE):
        return None
    return found, room


def _sections(code: bytes) -> tuple[list[ElfSection], int]:
    """The sections, and the bytes that those in memory take."""
    (first,), (width, count, names) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<HHH", code, 58)
    fields = [struct.unpack_from(_SECTION, code, first + i * width) for i in range(count)]
    texts, found, size = fields[names][4], list[ElfSection](), 0
    for name, kind, flags, _, offset, length, link, info, align, _ in fields:
        called, at = _text(code, texts + name), None
        if flags & _IN_MEMORY and called != _UNUSED:
            at = -(-size // max(align, 1)) * max(align, 1)
            size = at + length
        found.append(ElfSection(called, kind, flags, offset, length, link, info, align, at))
    return found, max(size, 1)


def _addresses(
    code: bytes, sections: list[ElfSection], start: int, find: Callable[[str], int | None]
) -> list[tuple[str, int | None]]:
    """Name and address of each symbol; None where it has none."""
    table = next(one for one in sections if one.type == _SYMBOLS)
    found = list[tuple[str, int | None]]()
    for at in range(table.offset, table.offset + table.size, struct.calcsize(_SYMBOL)):
        name, _, _, section, value, _ = struct.unpack_from(_SYMBOL, code, at)
        called = _text(code, sections[table.link].offset + name)
        if section == 0:
            found.append((called, find(called) if called else None))
        elif section == _ABSOLUTE:
            found.append((called, value))
        else:
            base = sections[section].at if section < len(sections) else None
            found.append((called, None if base is None else start + base + value))
    return found


def _written(
    code: bytes,
    places: ElfSection,
    sections: list[ElfSection],
    symbols: list[tuple[str, int | None]],
    room: mmap.mmap,
    start: int,
) -> bool:
    """Whether all places of a section are of a known kind; they hold the addresses of their symbols then."""
    base = sections[places.info].at
    assert base is not None
    for at in range(places.offset, places.offset + places.size, struct.calcsize(_PLACE)):
        offset, info, addend = struct.unpack_from(_PLACE, code, at)
        kind, address, here = info & 0xFFFFFFFF, symbols[info >> 32][1], base + offset
        if address is None:
            return False
        distance = address + addend - start - here
        if kind == _WHOLE:
            struct.pack_into("<Q", room, here, address + addend)
        elif kind in _DISTANCES and -(2**31) <= distance < 2**31:
            struct.pack_into("<i", room, here, distance)
        else:
            return False
    return True


def _text(code: bytes, at: int) -> str:
    return code[at : code.index(b"\0", at)].decode()
