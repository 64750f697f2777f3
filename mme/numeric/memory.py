"""How much memory there is, and the refusal of what would take more: one policy for the whole package."""

from __future__ import annotations

import os

from mme.errors import MemoryForecastError
from mme.numeric.limits import limits

# Bytes that any machine has: a need up to here is met without asking, which takes as long as a small fit.
UNASKED = 2**26


def available_bytes() -> int:
    """Memory that may still be taken: the limit, else what can be had without swapping; four GiB if nothing is said."""
    if (allowed := limits().memory) is not None:
        return allowed
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


def machine_bytes() -> int:
    """The limit of memory, else that of this machine, whoever uses it; more than any has if the system does not say."""
    if (allowed := limits().memory) is not None:
        return allowed
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63


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
