"""What can go wrong, as types.

Everything that is the input's fault is an :class:`MMEError` (a ``ValueError``), so that one ``except`` is enough;
everything that is worth a sentence but no stop is an :class:`MMEWarning`.
"""

from __future__ import annotations


class MMEError(ValueError):
    """The input cannot be used as given; the message says what was found, what is needed and what to do."""


class FormulaError(MMEError):
    """A formula that does not parse; the message carries a caret under the place."""

    @classmethod
    def at(cls, formula: str, position: int, problem: str) -> FormulaError:
        """Build the error for ``problem`` at character ``position`` of ``formula``."""
        return cls(f"{problem}\n    {formula}\n    {' ' * position}^")


class MemoryForecastError(MMEError):
    """The forecast of memory exceeds what the machine has; nothing was allocated."""


class MMEWarning(UserWarning):
    """The result stands, but the input looks like a slip."""
