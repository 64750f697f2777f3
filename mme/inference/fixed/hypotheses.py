"""Linear hypotheses as text: ``"Days = 0"``, ``"2*a + b = 3"``, ``"a = b, c = 0"`` -> contrasts and right sides.

    hypotheses  =  equation { "," equation }
    equation    =  side { "=" side }                a = b = c is two equations; a side alone is compared with zero
    side        =  [sign] product { sign product }
    product     =  factor { ("*" | "/") factor }    linear: one factor has coefficients at most, and none after "/"
    factor      =  number | name | "(" side ")" | sign factor

A name is that of a coefficient, as it is printed, or the same in backticks; the longest that fits is taken, so that
``(Intercept)``, ``x:fb`` and ``poly(x, 2)1`` are names and not arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mme.errors import FormulaError, MMEError
from mme.fitted.common import Record
from mme.formula.syntax import shortened
from mme.inference.fixed.contrasts import estimable, joint_table, t_table
from mme.inference.fixed.reference import Reference

if TYPE_CHECKING:
    import pandas as pd

# Beyond this depth reading would exhaust the stack; nobody writes so.
_DEEPEST = 100
_NUMBER = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"`[^`]*`|[^\W\d][\w.:]*|.", re.DOTALL)


def hypothesis_table(fit: Record, text: str, to: Reference) -> pd.DataFrame:
    """The t test of one equation, the F test of several."""
    if not isinstance(text, str):
        raise MMEError(f"a hypothesis is text, such as '{fit.fixed_names[-1]} = 0'; for weights see contrast()")
    rows, right, labels = read_hypotheses(text, fit.model.x_names)
    L = estimable(fit, rows)
    if len(L) == 1:
        return t_table(to, L, right, labels)
    return joint_table(fit, to, L, right, labels, ", ".join(labels))


def read_hypotheses(text: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """L (m, p), the right sides (m,) and the equations as text.

    Raises
    ------
    FormulaError
        The text is not a list of linear equations in the names; a caret shows where.

    Examples
    --------
    >>> L, right, labels = read_hypotheses("2*(a - b)/4 = 3, x:fb = a", ["(Intercept)", "a", "b", "x:fb"])
    >>> L.tolist(), right.tolist(), labels
    ([[0.0, 0.5, -0.5, 0.0], [0.0, -1.0, 0.0, 1.0]], [3.0, 0.0], ['2*(a - b)/4 = 3', 'x:fb = a'])
    """
    with np.errstate(all="ignore"):  # what overflows is named
        return _Reader(text, names).hypotheses()


class _Reader:
    """A side is a vector of p weights and, last, a constant."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text, self.at, self.names, self.depth = text, 0, names, 0
        longest = sorted(names, key=len, reverse=True)
        self.patterns = [(name, _pattern(name)) for name in longest]

    def hypotheses(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        rows: list[np.ndarray] = []
        labels: list[str] = []
        while True:
            self._equation(rows, labels)
            if not self._take(","):
                break
        if self.at < len(self.text):
            raise self._error("expected an operator, '=' or ','")
        found = np.array(rows)
        lost = ~np.isfinite(found).all(axis=1)
        if lost.any():
            shown = shortened(labels[int(np.argmax(lost))])
            raise MMEError(f"'{shown}' has a weight or a constant beyond the range of double precision")
        flat = ~found[:, :-1].any(axis=1)
        if flat.any():
            raise MMEError(f"'{labels[int(np.argmax(flat))]}' has no coefficient left in it: there is nothing to test")
        return found[:, :-1], -found[:, -1], labels

    def _equation(self, rows: list[np.ndarray], labels: list[str]) -> None:
        sides, texts = [], []
        while True:
            start = self._skip()
            sides.append(self._side())
            texts.append(self.text[start : self.at].strip())
            if not self._take("="):
                break
            self._take("=")  # == will do
        if len(sides) == 1:
            sides, texts = [*sides, np.zeros_like(sides[0])], [*texts, "0"]
        rows += [left - right for left, right in pairwise(sides)]
        labels += [f"{left} = {right}" for left, right in pairwise(texts)]

    def _side(self) -> np.ndarray:
        total = self._product()
        while True:
            if self._take("+"):
                total = total + self._product()
            elif self._take("-"):
                total = total - self._product()
            else:
                return total

    def _product(self) -> np.ndarray:
        total = self._factor()
        while True:
            start = self.at
            if self._take("*"):
                other = self._factor()
                if total[:-1].any() and other[:-1].any():
                    raise self._error("a product of coefficients is not linear", start)
                total = total * other[-1] if not other[:-1].any() else other * total[-1]
            elif self._take("/"):
                other = self._factor()
                if other[:-1].any() or other[-1] == 0.0:
                    raise self._error("only division by a number other than zero is linear", start)
                total = total / other[-1]
            else:
                return total

    def _factor(self) -> np.ndarray:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} parentheses or signs within each other")
        value = self._read_factor()
        self.depth -= 1
        return value

    def _read_factor(self) -> np.ndarray:
        start, value = self._skip(), np.zeros(len(self.names) + 1)
        for name, pattern in self.patterns:
            if found := pattern.match(self.text, start):
                self.at = found.end()
                value[self.names.index(name)] = 1.0
                return value
        if found := _NUMBER.match(self.text, start):
            self.at = found.end()
            value[-1] = float(found.group())
            return value
        if self._take("-"):
            return -self._factor()
        if self._take("+"):
            return self._factor()
        if self._take("("):
            value = self._side()
            if not self._take(")"):
                raise self._error("expected ')'")
            return value
        raise self._unknown(start)

    def _skip(self) -> int:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at

    def _take(self, symbol: str) -> bool:
        taken = self.text.startswith(symbol, self._skip())
        self.at += taken
        return taken

    def _unknown(self, start: int) -> FormulaError:
        if start >= len(self.text):
            return self._error("expected a coefficient or a number", start)
        word = _WORD.match(self.text, start)
        given = word.group().strip("`") if word else ""
        close = get_close_matches(given, self.names, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"the coefficients are {', '.join(self.names)}"
        return self._error(f"'{given}' is no coefficient; {hint}", start)

    def _error(self, problem: str, at: int | None = None) -> FormulaError:
        return FormulaError.at(self.text, self.at if at is None else at, problem)


def _pattern(name: str) -> re.Pattern[str]:
    """The name with any spacing, not followed by more of a word; or in backticks."""
    spaced = r"\s*".join(re.escape(part) for part in name.split())
    end = r"(?![\w.])" if re.match(r"[\w.]", name[-1:]) else ""
    return re.compile(rf"`{spaced}`|{spaced}{end}")
