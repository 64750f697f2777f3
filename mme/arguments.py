"""Arguments that are words, levels, counts, seeds or names -> the same, or a sentence that says what is needed.

None of them is compared with anything before its type is known: an array, a table or a missing value has no truth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from mme.arrays import shown
from mme.errors import MMEError


def is_word(given: Any, words: Collection[str]) -> bool:
    """Whether an argument is one of these words.

    Examples
    --------
    >>> is_word("raise", ["drop", "raise"]), is_word(np.zeros(2), ["drop", "raise"])
    (True, False)
    """
    return isinstance(given, str) and given in words


def check_level(given: Any) -> None:
    """Refuse what is no share between 0 and 1.

    Raises
    ------
    MMEError
        It is another number, or none.
    """
    if not (_is_number(given) and 0.0 < given < 1.0):
        raise MMEError(f"level must lie between 0 and 1, got {shown(given)}")


def count(given: Any, name: str, of: str = "") -> int:
    """A whole number of at least 1; ``of`` says of what.

    Examples
    --------
    >>> count(np.int64(3), "n", "of draws")
    3
    """
    if not isinstance(given, int | np.integer) or isinstance(given, bool) or given < 1:
        raise MMEError(f"{name} must be a whole number{of and f' {of}'}, at least 1; got {shown(given)}")
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
    readable = isinstance(given, Iterable) and not (isinstance(given, np.ndarray) and given.ndim != 1)
    names = list(given) if readable else [None]
    if not all(isinstance(name, str) for name in names):
        raise MMEError(f"{what} must be a name or a list of names, got {shown(given)}")
    return [str(name) for name in names]


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)
