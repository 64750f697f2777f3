r"""Marginal means of factors (least-squares means) and their pairwise comparisons.

A mean is l'beta with l the average of the rows of X over a reference grid: every combination of the levels of the
factors in the fixed part, with equal weights, and covariates at the means of their columns, a transform at f(mean(x))
(Searle, Speed and Milliken 1980, Amer. Statist. 34:216; Lenth's emmeans). A column of two numbers is at both, as a
factor is. Of a factor that is nested in another, each of its levels in one of the other's, the combinations that occur
have the equal weights. The offset is at its mean; random effects are at zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import FormulaError, MMEError
from mme.fitted.common import Record
from mme.formula.parser import parse_expression
from mme.formula.syntax import deparse, names_in
from mme.formula.values import numeric
from mme.inference.fixed.bound import covariates
from mme.inference.fixed.occurrence import Axis
from mme.inference.fixed.reference_grid import Grid
from mme.inference.fixed.wanted import wanted
from mme.inference.fixed.wide_grid import reference_grid
from mme.tables import dates
from mme.tables.arguments import is_word
from mme.tables.arrays import shown
from mme.tables.frame import intake

if TYPE_CHECKING:
    import pandas as pd

# What ``at`` calls the offset.
_OFFSET = "offset"
# How the cells that a mean is averaged over are weighted.
_WEIGHTS = ("equal", "proportional", "cells")


@dataclass(frozen=True, eq=False)
class Means:
    """Rows ``L`` (m, columns of X) of the marginal means, beside them the ``offset``; their levels, and of what.

    The first ``n_by`` names are those of by.
    """

    L: np.ndarray
    offset: float
    levels: tuple[tuple[Any, ...], ...]
    names: tuple[str, ...]
    n_by: int

    @property
    def index(self) -> pd.Index:
        """The index of a table of means: a level of each name."""
        import pandas as pd

        if len(self.names) == 1:
            return pd.Index([labels[0] for labels in self.levels], name=self.names[0])
        return pd.MultiIndex.from_tuples(self.levels, names=self.names)


def marginal_means(
    fit: Record,
    factors: str | Sequence[str],
    by: str | Sequence[str],
    at: Mapping[str, Any] | None,
    weights: str = "equal",
) -> Means:
    """Average the reference grid over all that is not named.

    Covariates that ``at`` puts at several values are named so: unless they are among the factors they are by.

    Raises
    ------
    MMEError
        The fit is not by formula, a name is no factor of its fixed part, or a covariate's value is not known.
    """
    spec = fit.specification
    if spec is None:
        raise MMEError(
            "marginal means need a fit by formula (mme.lmer, mme.glmer), which knows the factors; see contrast()"
        )
    if not is_word(weights, _WEIGHTS):
        raise MMEError(f"weights must be 'equal', 'proportional' or 'cells', got {shown(weights)}")
    given = _given(fit, at)
    offset = spec.offset_mean if _OFFSET not in given else _number(_OFFSET, given.pop(_OFFSET))
    grid = reference_grid(fit, {name: _values(name, value) for name, value in given.items()})
    own, others = wanted(fit, factors, by)
    others += [name for name, value in given.items() if _is_several(value) and name not in [*own, *others]]
    names = [*others, *own]
    axes = [_axis(grid, name, given) for name in names]
    if len(set(axes)) < len(axes) or not own:
        known = ", ".join(f"'{deparse(node)}'" for node in grid.factors) or "none"
        raise MMEError(f"name each factor once, and at least one: got {names}; the factors are {known}")
    L, levels = grid.means(axes, weights), tuple(product(*(grid.labels(axis) for axis in axes)))
    occurs = ~np.isnan(L).any(axis=1)
    L, levels = L[occurs], tuple(label for label, is_one in zip(levels, occurs.tolist(), strict=True) if is_one)
    if fit.model.unknown_parents:  # their groups are covariates, at their mean
        of_groups = fit.model.means_of_X(slice(fit.model.p_given, None))
        L = np.hstack([L, np.tile(of_groups, (len(L), 1))])
    return Means(L, offset, levels, tuple(names), len(others))


def _axis(grid: Grid, name: str, given: Mapping[str, Any]) -> Axis:
    """What a name stands for: a covariate that ``at`` puts somewhere, a factor, or a covariate of two values.

    A factor is named as the formula writes it, or by the column that it is made of.
    """
    if name in given:
        return name
    written = _as_printed(name)
    exact = [node for node in grid.factors if deparse(node) == written]
    found = exact or [node for node in grid.factors if name in names_in(node)]
    if not found and name in grid.values:
        return name
    if len(found) != 1:
        known = ", ".join(f"'{one}'" for one in [*map(deparse, grid.factors), *grid.values]) or "none"
        if not found and name in grid.spec.means:
            raise MMEError(f"'{name}' is a covariate at its mean; give its values, at={{'{name}': [...]}}")
        raise MMEError(f"'{name}' is not a factor of the fixed part; its factors are {known}")
    return found[0]


def points_of(at: Any) -> dict[str, Any]:
    """What ``at`` maps to values.

    Raises
    ------
    MMEError
        It is no mapping.
    """
    if at is not None and not isinstance(at, Mapping):
        raise MMEError(f"at must map covariates to values, as {{'x': 3.0}}; got {type(at).__name__}")
    return dict(at or {})


def _given(fit: Record, at: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``at`` says, of covariates of the fixed part and of the offset alone."""
    at = points_of(at)
    known = {name for node in covariates(fit.specification) for name in [deparse(node), *names_in(node)]}
    known |= fit.specification.means.keys() | (set() if fit.model.offset is None else {_OFFSET})
    given = {name if name in known else _as_printed(name): values for name, values in (at or {}).items()}
    unknown = [name for name in given if name not in known]
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        raise MMEError(f"at: {', '.join(map(repr, unknown))} is no covariate of the fixed part; they are {listed}")
    return given


def _as_printed(name: Any) -> str:
    """The name as terms are printed: ``log(x+1)`` is ``log(x + 1)``."""
    try:
        return deparse(parse_expression(str(name)))
    except FormulaError:
        return str(name)


def _is_several(given: Any) -> bool:
    """Whether this is a list of values, of any library."""
    return isinstance(given, Iterable) and not isinstance(given, str) and getattr(given, "ndim", 1) > 0


def _is_date(value: Any) -> bool:
    return dates.is_moment(value) or (isinstance(value, str) and dates.spelt(value) is not None)


def _number(name: str, given: Any) -> float:
    if _is_several(given):
        raise MMEError(f"at: '{name}' needs one number, got {shown(given)}")
    return float(_values(name, given)[0])


def _values(name: str, given: Any) -> np.ndarray:
    """The values at which a covariate is put, each once."""
    what = f"at: '{name}'"
    several = list(given) if _is_several(given) else [given]
    several = [dates.number(value) if _is_date(value) else value for value in several]
    values = np.asarray(numeric(intake(several, what), what), dtype=float) if several else np.zeros(0)
    if not values.size or not np.isfinite(values).all():
        raise MMEError(f"{what} needs a number or a list of numbers, got {shown(given)}")
    return np.array(list(dict.fromkeys(values.tolist())))
