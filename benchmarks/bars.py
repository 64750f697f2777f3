"""The bars of an lme4 formula, for peers that take the fixed and the random part apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BAR = re.compile(r"\(([^()|]*)(\|\|?)([^()|]*)\)")


@dataclass(frozen=True)
class Bar:
    """``(left | group)``, or ``(left || group)`` where ``independent``."""

    left: str
    group: str
    independent: bool

    @property
    def is_intercept(self) -> bool:
        """Whether each level has an intercept only."""
        return self.left == "1"


def split_bars(formula: str) -> tuple[str, list[Bar]]:
    """Split a formula into its fixed part and its bars.

    Examples
    --------
    >>> split_bars("y ~ x + (1 + x || g)")
    ('y ~ x', [Bar(left='1 + x', group='g', independent=True)])
    >>> split_bars("y ~ (1 | a/b)")[0]
    'y ~ 1'
    """
    bars = [Bar(left.strip(), group.strip(), bar == "||") for left, bar, group in _BAR.findall(formula)]
    response, fixed = formula.split("~", 1)
    terms = [term.strip() for term in _BAR.sub("", fixed).split("+")]
    return f"{response.strip()} ~ {' + '.join(term for term in terms if term) or '1'}", bars
