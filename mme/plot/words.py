"""What pictures call the response and what is measured in it."""

from __future__ import annotations

from collections.abc import Sequence

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.formula.parser import parse_expression
from mme.formula.syntax import Call, deparse

# Inches of a character of a label.
_CHARACTER = 0.07


def response_of(fit: Record) -> str:
    """The response by a name that fits beside an axis: of ``cbind(ill, well)`` the successes.

    Examples
    --------
    >>> short("cbind(ill, of - ill)"), short("log(y)")
    ('ill', 'log(y)')
    """
    return short(fit.model.response)


def short(response: str) -> str:
    """The response without its failures."""
    if not response.startswith("cbind("):
        return response
    try:
        node = parse_expression(response)
    except MMEError:
        return response
    return deparse(node.args[0]) if isinstance(node, Call) and node.args else response


def abridged(labels: Sequence[str], most: int = 26) -> list[str]:
    """Labels of at most so many characters: of longer ones the middle is left out, as long as all stay different.

    Examples
    --------
    >>> abridged(["District of Upper Somewhere 012 (north)", "District of Upper Somewhere 013 (north)"], 20)
    ['District …12 (north)', 'District …13 (north)']
    >>> abridged(["a", "the second of two long names"], 12)
    ['a', 'the s… names']
    """
    for tail in (most // 2, (2 * most) // 3 - 1, most // 4, most - 2, 1):
        head = most - 1 - tail
        found = [one if len(one) <= most else f"{one[:head]}…{one[len(one) - tail :]}" for one in labels]
        if len(set(found)) == len(set(labels)):
            return found
    return list(labels)


def room(labels: Sequence[str], usual: int = 12) -> float:
    """Inches that a picture needs beyond its own width for labels longer than usual beside it.

    Examples
    --------
    >>> room(["a", "b"]), round(room(["Vegetable garden, unfertilised"]), 2)
    (0.0, 1.26)
    """
    return _CHARACTER * max(max(map(len, labels), default=0) - usual, 0)


def units(response: str, column: str) -> str:
    """What a coefficient is measured in: the response for an intercept, the response a unit of the column otherwise.

    Examples
    --------
    >>> units("Reaction", "(Intercept)"), units("Reaction", "Days")
    ('Reaction', 'Reaction per Days')
    """
    return response if column.startswith("(Intercept)") else f"{response} per {column}"


def effect_words(fit: Record) -> tuple[str, str]:
    """What the random effects of a fit are called, and what they are measured in."""
    if isinstance(fit, GeneralisedFitted):
        return "mode", f"{fit.family.link} of {response_of(fit)}"
    return "BLUP", response_of(fit)
