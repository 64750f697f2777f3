"""How much memory there is, and the refusal of what would take more: one policy for the whole package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mme.errors import MemoryForecastError
from mme.numeric.limits import limits

# Bytes that any machine has: a need up to here is met without asking, which takes as long as a small fit.
UNASKED = 2**26
# More than any machine has: no limit.
_UNLIMITED = 2**62


def available_bytes() -> int:
    """Memory that may still be taken: the limit that is set, else the least of what machine and process allow.

    That is what can be had without swapping, what is left to the container (cgroup) that the process runs in, and what
    is left of its own limit (``ulimit -v``).
    """
    if (allowed := limits().memory) is not None:
        return allowed
    return max(0, min(_free_bytes(), container_bytes()[1], process_bytes()[1]))


def machine_bytes() -> int:
    """The limit of memory, else that of this machine, container and process, whoever uses it."""
    if (allowed := limits().memory) is not None:
        return allowed
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    return min(of_machine, container_bytes()[0], process_bytes()[0])


def _free_bytes() -> int:
    """What the machine can give without swapping; four GiB if nothing is said."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30


def process_bytes() -> tuple[int, int]:
    """The limit of the address space of this process, and what of it is left."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return _UNLIMITED, _UNLIMITED
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return limit, limit - pages * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError, IndexError):
        return _UNLIMITED, _UNLIMITED


def container_bytes(proc: str = "/proc/self/cgroup", mount: str = "/sys/fs/cgroup") -> tuple[int, int]:
    """The least limit of memory among the control groups of this process, and the least that is left of one.

    ``proc`` names the groups, a line each; their files are below ``mount``, in version 1 of the interface in a folder
    ``memory`` of it. What files hold in the cache can be taken back, and counts as left.
    """
    least, left = _UNLIMITED, _UNLIMITED
    try:
        lines = Path(proc).read_text().splitlines()
    except OSError:
        return least, left
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number != "0" and "memory" not in controllers.split(","):
            continue
        names = ("memory.max", "memory.current", "inactive_file")
        if number != "0":
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        root = Path(mount) if number == "0" else Path(mount) / "memory"
        group = root / path.strip("/")
        for folder in (group, *(parent for parent in group.parents if parent == root or root in parent.parents)):
            limit, used = _number(folder / names[0]), _number(folder / names[1])
            if limit is not None and limit < _UNLIMITED:
                least = min(least, limit)
                left = min(left, limit - (used or 0) + _in_cache(folder / "memory.stat", names[2]))
    return least, left


def _number(file: Path) -> int | None:
    """The number that a file holds; None where there is no file, or no number in it ("max")."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _in_cache(file: Path, name: str) -> int:
    """The number behind a name in a file of such lines; zero where it is not."""
    try:
        return next((int(line.split()[1]) for line in file.read_text().splitlines() if line.split()[0] == name), 0)
    except (OSError, ValueError, IndexError):
        return 0


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say in a sentence that memory ran out where no forecast had seen it; ``what`` was being done.

    Raises
    ------
    MemoryForecastError
        In the place of a MemoryError.
    """
    try:
        yield
    except MemoryError as error:
        free = f"{available_bytes() / 2**30:.1f} GiB were free then"
        raise MemoryForecastError(
            f"memory ran out while {what}: {free}; a larger machine or limit is needed"
        ) from error


def fits(needed: int) -> bool:
    """Whether so many bytes may be taken; the system is not asked about what any machine has."""
    asked = limits().memory is not None or needed > UNASKED
    return not asked or needed <= available_bytes()


def require(needed: int, what: str, advice: str = "", *, always: bool = False) -> None:
    """Refuse, before anything is allocated, what is forecast to take more bytes than are free.

    ``what`` ends in the verb that takes the size as its object; ``advice`` follows the size of what is free. Whether
    small needs fit is asked too where ``always`` says so, or memory is limited.

    Raises
    ------
    MemoryForecastError
        It would not fit.

    Examples
    --------
    >>> require(2**62, "a matrix of all pairs would take")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mme.errors.MemoryForecastError: a matrix of all pairs would take 4294967296.0 GiB; ... GiB are free
    """
    asked = always or limits().memory is not None or needed > UNASKED
    if asked and needed > (available := available_bytes()):
        raise MemoryForecastError(f"{what} {needed / 2**30:.1f} GiB; {available / 2**30:.1f} GiB are free{advice}")


def require_in_process(needed: int, what: str) -> None:
    """Refuse what a library, where it finds no memory, ends the process for: the limit of the process has less left.

    Raises
    ------
    MemoryForecastError
        There is a limit (``ulimit -v``), and less is left of it.
    """
    left = process_bytes()[1]
    if left < needed:
        raise MemoryForecastError(
            f"{what} {needed / 2**20:.0f} MiB, and {max(left, 0) / 2**20:.0f} MiB are left of the limit of the process "
            "(ulimit -v); raise it"
        )
