"""Families of contrasts among means: what each compares, with emmeans' coefficients and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from itertools import pairwise as successive
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arguments import is_word
from mme.tables.arrays import numbers, shown

# Coefficients (k, m) of k contrasts of m means, and the names of the contrasts.
Coefficients = tuple[np.ndarray, list[str]]

# Polynomials of higher degrees are of no interest.
_DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


def pairwise(names: Sequence[str], reference: str | None = None) -> Coefficients:
    """Each mean less each later one: ``a - b``."""
    pairs = list(combinations(range(len(names)), 2))
    C = np.zeros((len(pairs), len(names)))
    for row, (i, j) in enumerate(pairs):
        C[row, i], C[row, j] = 1.0, -1.0
    return C, [f"{names[i]} - {names[j]}" for i, j in pairs]


def reference(names: Sequence[str], reference: str | None = None) -> Coefficients:
    """Each other mean less that of the reference, the first level unless it is named: ``b - a``."""
    if reference is not None and reference not in names:
        raise MMEError(f"reference={shown(reference)} is no level; they are {', '.join(map(repr, names))}")
    at = 0 if reference is None else list(names).index(reference)
    others = [i for i in range(len(names)) if i != at]
    C = np.zeros((len(others), len(names)))
    C[np.arange(len(others)), others] = 1.0
    C[:, at] = -1.0
    return C, [f"{names[i]} - {names[at]}" for i in others]


def sequential(names: Sequence[str], reference: str | None = None) -> Coefficients:
    """Each mean less the one before it: ``b - a``, ``c - b``."""
    C = np.diff(np.eye(len(names)), axis=0)
    return C, [f"{after} - {before}" for before, after in successive(names)]


def polynomial(names: Sequence[str], reference: str | None = None) -> Coefficients:
    """Orthogonal polynomials over levels an equal step apart, in whole numbers: ``linear``, ``quadratic``, ...

    They are Chebyshev's t_n of m points, by the recurrence

        (n + 1) t_{n+1}(x) = (2 n + 1) x t_n(x) - n (m^2 - n^2) t_{n-1}(x),    x = 1 - m, 3 - m, ..., m - 1

    (Abramowitz and Stegun 1964, 22.17), over what all entries share.

    Examples
    --------
    >>> polynomial(["1", "2", "3", "4"])[0].astype(int).tolist()
    [[-3, -1, 1, 3], [1, -1, -1, 1], [-1, 3, -3, 1]]
    """
    m = len(names)
    x = np.arange(1 - m, m, 2).astype(object)  # whole numbers of any size
    rows = list[np.ndarray]()
    before = now = x**0
    for n in range(min(len(_DEGREES), m - 1)):
        before, now = now, ((2 * n + 1) * x * now - n * (m**2 - n**2) * before) // (n + 1)
        rows.append((now // np.gcd.reduce(now)).astype(float))
    return np.array(rows).reshape(len(rows), m), list(_DEGREES[: len(rows)])


def effect(names: Sequence[str], reference: str | None = None) -> Coefficients:
    """Each mean less the average of all: ``a effect``."""
    m = len(names)
    return np.eye(m) - 1.0 / m, [f"{name} effect" for name in names]


FAMILIES: dict[str, Callable[..., Coefficients]] = {
    "pairwise": pairwise,
    "reference": reference,
    "sequential": sequential,
    "polynomial": polynomial,
    "effect": effect,
}
# emmeans' words for the same.
_ALSO = {
    "pairs": "pairwise",
    "tukey": "pairwise",
    "trt.vs.ctrl": "reference",
    "dunnett": "reference",
    "consec": "sequential",
    "poly": "polynomial",
    "eff": "effect",
}
# How p-values of a family are adjusted unless it is said.
DEFAULTS = {"pairwise": "tukey", "reference": "dunnett", "sequential": "mvt", "polynomial": "none", "effect": "fdr"}


def family_word(contrast: Any) -> str:
    """The word of a family; ``"own"`` for coefficients that are given.

    Raises
    ------
    MMEError
        It is none.
    """
    if isinstance(contrast, Mapping):
        return "own"
    word = _ALSO.get(contrast, contrast) if isinstance(contrast, str) else contrast
    if not is_word(word, FAMILIES):
        raise MMEError(
            f"contrast must be one of {', '.join(map(repr, FAMILIES))}, or coefficients of your own by name, "
            f'{{"high - low": {{"low": -1, "high": 1}}}}; got {shown(contrast)}'
        )
    return str(word)


def coefficients(contrast: Any, names: Sequence[str], against: Any) -> Coefficients:
    """The contrasts of a family, or of the user's own, among means of these names."""
    word = family_word(contrast)
    if word != "own":
        return FAMILIES[word](names, None if against is None else str(against))
    rows = {str(name): _own(row, names, str(name)) for name, row in contrast.items()}
    return np.array(list(rows.values())).reshape(len(rows), len(names)), list(rows)


def _own(given: Any, names: Sequence[str], what: str) -> np.ndarray:
    """One row of the user's own: by level, or one number per level."""
    if isinstance(given, Mapping):
        weights = {str(level): weight for level, weight in given.items()}
        if unknown := [level for level in weights if level not in names]:
            known = ", ".join(map(repr, names))
            raise MMEError(f"contrast '{what}': {', '.join(map(repr, unknown))} is no level; they are {known}")
        given = [weights.get(name, 0.0) for name in names]
    row = np.atleast_1d(numbers(given, f"contrast '{what}'"))
    if row.shape != (len(names),) or not np.isfinite(row).all():
        raise MMEError(f"contrast '{what}' needs {len(names)} finite numbers, one a mean ({', '.join(names)})")
    return row


def interaction(contrasts: Sequence[Any], levels: Sequence[Sequence[str]]) -> Coefficients:
    """Products of the contrasts of each factor: differences of differences, the last factor fastest."""
    parts = [coefficients(one, names, None) for one, names in zip(contrasts, levels, strict=True)]
    C: np.ndarray = np.ones((1, 1))
    for own, _ in parts:
        C = np.kron(C, own)
    return C, [" : ".join(names) for names in product(*(names for _, names in parts))]
