"""What means are of, as several packages spell it: ``["A", "B"]``, ``"A:B"``, SAS's ``"A * B"``, ``"~ A | B"``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mme.errors import FormulaError, MMEError
from mme.fitted.common import Record
from mme.formula.parser import parse_expression
from mme.formula.syntax import Node, Op, deparse, names_in
from mme.tables.arguments import names_of

# What joins the factors of a cell.
_JOINED = (":", "*", "+")


def wanted(fit: Record, factors: str | Sequence[str], by: str | Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of factors, and of those that they are within: cells of A and B are ``"A:B"``, within B ``"A | B"``.

    Raises
    ------
    MMEError
        It is emmeans' formula with contrasts to its left.
    """
    own, within = list[str](), list[str]()
    for name in names_of(factors, "factors"):
        left, bar, right = name.partition("|") if not _is_known(fit, name) else (name, "", "")
        own += _apart(fit, _right_of_tilde(left))
        within += _apart(fit, right) if bar else []
    return own, [*wanted_by(fit, by), *within]


def wanted_by(fit: Record, by: str | Sequence[str]) -> list[str]:
    """Names of the factors that something is within."""
    return [part for name in names_of(by, "by") for part in _apart(fit, name)]


def _right_of_tilde(name: str) -> str:
    """A factor that is written as one side of a formula."""
    left, tilde, right = name.partition("~")
    if tilde and left.strip():
        raise MMEError(
            f"factors: contrasts have an argument of their own: write ({right.strip()!r}, contrast={left.strip()!r}) "
            f"for {name!r}"
        )
    return right if tilde else name


def _apart(fit: Record, name: str) -> list[str]:
    """The factors of a product; a name that the model knows, or that is none, stays as it is."""
    if _is_known(fit, name):
        return [name]
    try:
        return [deparse(part) for part in _parts(parse_expression(name.strip()))]
    except FormulaError:
        return [name]


def _is_known(fit: Record, name: str) -> bool:
    """Whether this is a variable of the fixed part, or a column that one is made of."""
    spec = fit.specification
    if spec is None or name in spec.means:
        return True
    return any(name == deparse(node) or name in names_in(node) for node in spec.codings)


def _parts(node: Node) -> Iterator[Node]:
    if isinstance(node, Op) and node.symbol in _JOINED:
        for part in node.args:
            yield from _parts(part)
    else:
        yield node
