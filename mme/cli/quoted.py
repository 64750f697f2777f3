"""Labels that read like a missing value and stand in quotes: ``"NA"`` is text, NA is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What pandas takes as missing; an empty field always is.
MISSING = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)
# Goes before a quoted word, so that it is not read as missing; no text begins with it.
_MARK = "\x1e"


def words_of(given: str | None) -> tuple[str, ...]:
    """The words of ``--missing``, between commas; None: the usual ones."""
    return MISSING if given is None else tuple(word.strip() for word in given.split(",") if word.strip())


def marked(content: str, separator: str, words: Iterable[str]) -> bytes | None:
    """The text with a mark before each quoted word that would be missing, in UTF-8; None where there is none."""
    alternatives = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    if not alternatives:
        return None
    between = r"\s" if separator == r"\s+" else re.escape(separator) + r"\r\n"
    word = rf'(?<![^{between}])"({alternatives})"(?![^{between}])'
    found, count = re.subn(word, rf'"{_MARK}\1"', content)
    return found.encode() if count else None


def unmarked(label: object) -> object:
    """A label without its mark."""
    return label.removeprefix(_MARK) if isinstance(label, str) else label
