"""Arguments that are words, levels, counts, seeds or names -> the same, or a sentence that says what is needed.

An argument is compared with nothing before its type is known: an array, a table or a missing value is neither true
nor false.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import shown

# Counts beyond this are slips of the keyboard: nobody waits for them, and none fits in memory.
_MOST = 10**9


def is_word(given: Any, words: Collection[str]) -> bool:
    """Whether an argument is one of these words.

    Examples
    --------
    >>> is_word("raise", ["drop", "raise"]), is_word(np.zeros(2), ["drop", "raise"])
    (True, False)
    """
    return isinstance(given, str) and given in words


def check_level(given: Any, name: str = "level") -> None:
    """Refuse a level of confidence, or of a test, that is no number between 0 and 1.

    Raises
    ------
    MMEError
        It is another number, or none.
    """
    number(given, f"{name} must lie between 0 and 1", lambda level: 0.0 < level < 1.0)


def number(given: Any, needed: str, holds: Callable[[float], bool], advice: str = "") -> float:
    """A finite number that satisfies ``holds``; the error says ``needed``, then what was given and ``advice``.

    Raises
    ------
    MMEError
        It is none, or it does not hold.

    Examples
    --------
    >>> number(np.float32(0.5), "ridge must be a number, at least 0", lambda ridge: ridge >= 0.0)
    0.5
    """
    try:
        value = float(given) if _is_number(given) else np.nan
    except OverflowError:  # an integer beyond the range of doubles
        value = np.nan
    if not (np.isfinite(value) and holds(value)):
        raise MMEError(f"{needed}, got {shown(given)}{advice and f'. {advice}'}")
    return value


def yes_or_no(given: Any, name: str) -> bool:
    """An argument that is True or False.

    Raises
    ------
    MMEError
        It is neither.
    """
    if not isinstance(given, bool | np.bool_):
        raise MMEError(f"{name} must be True or False, got {shown(given)}")
    return bool(given)


def path_of(given: Any) -> Path:
    """The path of a file.

    Raises
    ------
    MMEError
        It is neither text nor a path.
    """
    if not isinstance(given, str | os.PathLike) or "\0" in str(given) or not Path(given).name:
        raise MMEError(f"path must be the name of a file, as text or a path; got {shown(given)}")
    return Path(given)


def check_options(given: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse options by name that ``what`` does not take.

    Raises
    ------
    MMEError
        One is not known; those that are stand in the message.
    """
    strange = sorted(set(given) - set(known))
    if strange:
        takes = f"takes the options {', '.join(known)}" if known else "takes no options"
        raise MMEError(f"{what} {takes}; got {', '.join(strange)}")


def count(given: Any, name: str, of: str = "") -> int:
    """A whole number of at least 1; ``of`` says of what.

    Examples
    --------
    >>> count(np.int64(3), "n", "of draws")
    3
    """
    if not isinstance(given, int | np.integer) or isinstance(given, bool) or not 1 <= given <= _MOST:
        limits = f"at most {_MOST:,}" if _is_number(given) and given > _MOST else "at least 1"
        raise MMEError(f"{name} must be a whole number{of and f' {of}'}, {limits}; got {shown(given)}")
    return int(given)


def random_numbers(seed: Any) -> np.random.Generator:
    """A generator of random numbers: that of a seed, or the one that is given.

    Raises
    ------
    MMEError
        The seed is none that NumPy takes.
    """
    if isinstance(seed, np.random.BitGenerator | np.random.Generator):
        return np.random.default_rng(seed)
    return np.random.default_rng(entropy(seed))


def entropy(seed: Any) -> Any:
    """What a seed of NumPy starts from: a whole number, several, a ``SeedSequence``, or None for another every time."""
    try:
        return np.random.SeedSequence(seed) if not isinstance(seed, np.random.SeedSequence) else seed
    except (TypeError, ValueError):
        raise MMEError(f"seed must be a whole number, at least 0, or None; got {shown(seed)}") from None


def names_of(given: Any, what: str) -> list[str]:
    """One name or several, as a list.

    Raises
    ------
    MMEError
        It is neither text nor a sequence of texts.

    Examples
    --------
    >>> names_of("a", "factors"), names_of(("a", "b"), "factors")
    (['a'], ['a', 'b'])
    """
    if isinstance(given, str):
        return [given]
    readable = isinstance(given, Iterable) and getattr(given, "ndim", 1) == 1
    names = list(given) if readable else [None]
    if not all(isinstance(name, str) for name in names):
        raise MMEError(f"{what} must be a name or a list of names, got {shown(given)}")
    return [str(name) for name in names]


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)
