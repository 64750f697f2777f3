"""What can go wrong, as types.

Everything that is the input's fault is an :class:`MMEError` (a ``ValueError``), so that one ``except`` is enough;
everything that is worth a sentence but no stop is an :class:`MMEWarning`.
"""

from __future__ import annotations

import re
import sys
import warnings

# How NumPy writes a scalar.
_SCALAR = re.compile(
    r"\bnp\.(?:(?:u?int\d+|float\d+|longdouble|complex\d+|bool|str_|bytes_|datetime64|timedelta64)\(([^()]*)\)|(True|False)_)"
)
# Characters of a formula that a message shows.
_LINE = 120


class MMEError(ValueError):
    """The input cannot be used as given; the message says what was found, what is needed and what to do."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*map(_as_users_write, parts))


class FormulaError(MMEError):
    """A formula that does not parse; the message carries a caret under the place."""

    @classmethod
    def at(cls, formula: str, position: int, problem: str) -> FormulaError:
        """Build the error for ``problem`` at character ``position`` of ``formula``, of which a line is shown."""
        if len(formula) > _LINE:
            start = max(0, min(position - _LINE // 2, len(formula) - _LINE))
            before, after = ("... " if start else ""), (" ..." if start + _LINE < len(formula) else "")
            formula, position = before + formula[start : start + _LINE] + after, position - start + len(before)
        return cls(f"{problem}\n    {formula}\n    {' ' * position}^")


class MemoryForecastError(MMEError):
    """There is too little memory: the forecast exceeds it, before anything is allocated, or it ran out all the same."""


class MMEWarning(UserWarning):
    """The result stands, but the input looks like a slip."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*map(_as_users_write, parts))


def warn(message: str) -> None:
    """Give an :class:`MMEWarning` that points at the line outside this package that asked."""
    frame, level, outside = sys._getframe(1), 2, 2
    while frame.f_back is not None:
        if _is_ours(frame.f_globals.get("__name__")):
            outside = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, MMEWarning, stacklevel=outside)


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == "mme"


def _as_users_write(part: object) -> object:
    """A message with NumPy's scalars as plain ones: 7 and 'a' for np.int64(7) and np.str_('a').

    Examples
    --------
    >>> _as_users_write("levels np.int64(1), [np.float64(0.5), np.str_('a')], np.True_")
    "levels 1, [0.5, 'a'], True"
    """
    if not isinstance(part, str) or "np." not in part:
        return part
    return _SCALAR.sub(lambda found: found[1] or found[2] or "", part)
