"""Random regressions at given values of their covariate: with w(x) the term's basis, w'b_g and its PEV w'PEV_g w."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.formula.along import in_sequence
from mme.formula.apart import as_written
from mme.formula.bar import Bar
from mme.formula.columns import build, coded_as
from mme.formula.evaluate import Evaluator
from mme.formula.syntax import Node, names_in
from mme.formula.transforms import CONSTANTS
from mme.results.breeding_values import chosen_term, functions_of
from mme.tables.frame import Frame

if TYPE_CHECKING:
    import pandas as pd


def curves(fit: Record, name: str | None, at: Mapping[str, Any]) -> pd.DataFrame:
    """``ebv, pev, reliability, accuracy, inbreeding, records`` of each level at each of these values.

    Raises
    ------
    MMEError
        The fit is by arrays; a column of the term's basis is missing among the values.
    """
    import pandas as pd

    t = chosen_term(fit, name, "curves")
    frame, values = values_at(fit, at)
    W = basis_at(fit, t, frame)
    table = functions_of(fit, t, {str(k): row for k, row in enumerate(W)})
    group, J = fit.model.terms[t].group, fit.model.terms[t].n_levels
    levels = [np.repeat(fit.model.terms[t].levels, len(W)), *(np.tile(one, J) for one in values.values())]
    return table.set_axis(pd.MultiIndex.from_arrays(levels, names=[group, *values]))


def values_at(fit: Record, at: Any) -> tuple[Frame, dict[str, np.ndarray]]:
    """The values ``at``, as a table and by column.

    Raises
    ------
    MMEError
        The fit is by arrays; these are no columns of one length.
    """
    if fit.specification is None:
        raise MMEError("curves are of a formula's covariates; this fit is by arrays: give weights, ebv(of={...})")
    if not isinstance(at, Mapping) or not at:
        raise MMEError("at= maps columns to values, as {'age': [1, 2, 3]}")
    values = {str(column): np.atleast_1d(np.asarray(one)) for column, one in at.items()}
    sizes = {column: one.shape for column, one in values.items()}
    if len(set(sizes.values())) > 1 or any(one.ndim != 1 for one in values.values()):
        raise MMEError(f"at= needs columns of one length, got {sizes}")
    return Frame(values), values


def basis_at(fit: Record, t: int, frame: Frame) -> np.ndarray:
    """The basis (m, q) of a term at these rows."""
    spec = fit.specification
    bar: Bar = spec.bars[t]
    if bar.by is not None and not any(column in frame for column in names_in(bar.by)):
        bar = as_written(bar)  # the curve of the level whose term it is
    needed = sorted(set().union(*(names_in(node) for node in bar.left.variables)))
    lacking = [column for column in needed if column not in frame and column not in CONSTANTS]
    if lacking:
        raise MMEError(f"at= lacks '{lacking[0]}', of which the term '{fit.model.terms[t].name}' is made")
    if bar.together:
        raise MMEError(
            f"the term '{fit.model.terms[t].name}' has coefficients of several columns: give ebv(of={{...}})"
        )
    evaluator = Evaluator(frame, spec.formula, spec.states)
    nodes: list[Node] = list(bar.left.variables)
    variables = {node: spec.recoded(node, evaluator.value(node)) for node in nodes}
    made = build(bar.left, variables | coded_as(variables, spec.bar_codings), frame.n)
    return np.asarray(in_sequence(bar, made, spec.sequences).values, dtype=float)
