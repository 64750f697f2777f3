"""Names of coefficients and parameters: no two of a model are alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any


def unlike(names: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The names, no two alike: one that occurred before, or is taken, gets the first free number (``x``, ``x.1``).

    Examples
    --------
    >>> unlike(["x", "y", "x", "x.1"])
    ('x', 'y', 'x.2', 'x.1')
    """
    wanted, used = list(names), set(taken)
    given, out = set(wanted), []
    for name in wanted:
        if name in used:
            name = next(other for i in count(1) if (other := f"{name}.{i}") not in used and other not in given)
        used.add(name)
        out.append(name)
    return tuple(out)


def first_unlike(ways: Iterable[Sequence[str]], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The names in the first of several ways to write them in which no two are alike, nor as one that is taken.

    Examples
    --------
    >>> first_unlike([["a.b.c", "a.b.c"], ["`a.b`.c", "a.`b.c`"]])
    ('`a.b`.c', 'a.`b.c`')
    """
    used, first = set(taken), None
    for names in ways:
        first = names if first is None else first
        if len(set(names)) == len(names) and used.isdisjoint(names):
            return tuple(names)
    return unlike(first or (), used)


def quoted(parts: Iterable[str]) -> list[str]:
    """Parts of names; those that hold a dot in backticks, since a dot stands between parts.

    Examples
    --------
    >>> quoted(["a", "b.c"])
    ['a', '`b.c`']
    """
    return [f"`{part}`" if "." in part else part for part in parts]


def as_known(name: Any, known: Iterable[str]) -> Any:
    """A name as the fit has it: without the backticks of a formula, where only so it is one of those ``known``.

    Examples
    --------
    >>> as_known("`my group`.x", ["my group.x"]), as_known("`a.b`", ["`a.b`", "a.b"]), as_known(3, ["3"])
    ('my group.x', '`a.b`', 3)
    """
    if not isinstance(name, str) or "`" not in name or name in (names := set(known)):
        return name
    plain = name.replace("`", "")
    return plain if plain in names else name
