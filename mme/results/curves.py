r"""Random regressions at given values of their covariate: what an animal's curve is there, and how much of it is genes.

With w(x) the term's basis at x, the value of level g is w'b_g, its PEV w'PEV_g w, and of the variances at x

    v_t(x) = w_t'G_t w_t,      h^2(x) = v(x) / (sum_t v_t(x) + sigma^2)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.formula.along import in_sequence
from mme.formula.bar import Bar
from mme.formula.columns import build, coded_as
from mme.formula.evaluate import Evaluator
from mme.formula.syntax import Node, names_in
from mme.formula.transforms import CONSTANTS
from mme.results.breeding_values import chosen_term, functions_of
from mme.tables.frame import Frame

if TYPE_CHECKING:
    import pandas as pd

# Residual variances of records that differ by more are no one number.
_ALIKE = 1e-9


def curves(fit: Record, name: str | None, at: Mapping[str, Any]) -> pd.DataFrame:
    """``ebv, pev, reliability, accuracy, inbreeding, records`` of each level at each of these values.

    Raises
    ------
    MMEError
        The fit is by arrays; a column of the term's basis is missing among the values.
    """
    import pandas as pd

    t = chosen_term(fit, name, "curves")
    frame, values = _values(fit, at)
    W = _basis(fit, t, frame)
    table = functions_of(fit, t, {str(k): row for k, row in enumerate(W)})
    group, J = fit.model.terms[t].group, fit.model.terms[t].n_levels
    levels = [np.repeat(fit.model.terms[t].levels, len(W)), *(np.tile(one, J) for one in values.values())]
    return table.set_axis(pd.MultiIndex.from_arrays(levels, names=[group, *values]))


def variance_curve(fit: Record, name: str | None, at: Mapping[str, Any], rest: Mapping[str, float]) -> pd.DataFrame:
    """The variance of each term at these values, the ``rest`` by its name, their ``total`` and the ``share`` of one.

    Raises
    ------
    MMEError
        As :func:`curves`.
    """
    import pandas as pd

    t = chosen_term(fit, name, "variance_curve")
    frame, values = _values(fit, at)
    columns: dict[str, np.ndarray] = {}
    for s, term in enumerate(fit.model.terms):
        W = _basis(fit, s, frame)
        columns[term.name] = np.einsum("ma,ab,mb->m", W, fit.varcorr[term.name].cov, W)
    columns |= {label: np.full(frame.n, value) for label, value in rest.items()}
    total = np.sum(list(columns.values()), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = columns[fit.model.terms[t].name] / total
    index = pd.MultiIndex.from_arrays(list(values.values()), names=list(values))
    if len(values) == 1:
        index = pd.Index(*values.values(), name=next(iter(values)))
    return pd.DataFrame({**columns, "total": total, "share": share}, index=index)


def _values(fit: Record, at: Any) -> tuple[Frame, dict[str, np.ndarray]]:
    if fit.specification is None:
        raise MMEError("curves are of a formula's covariates; this fit is by arrays: give weights, ebv(of={...})")
    if not isinstance(at, Mapping) or not at:
        raise MMEError("at= maps columns to values, as {'age': [1, 2, 3]}")
    values = {str(column): np.atleast_1d(np.asarray(one)) for column, one in at.items()}
    sizes = {column: one.shape for column, one in values.items()}
    if len(set(sizes.values())) > 1 or any(one.ndim != 1 for one in values.values()):
        raise MMEError(f"at= needs columns of one length, got {sizes}")
    return Frame(values), values


def _basis(fit: Record, t: int, frame: Frame) -> np.ndarray:
    """The basis (m, q) of a term at these rows."""
    spec = fit.specification
    bar: Bar = spec.bars[t]
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


def residual_variance(fit: Fitted) -> float:
    """sigma^2 R_ii, where it is one number.

    Raises
    ------
    MMEError
        Residual variances differ among the records.
    """
    structure = fit.model.residual
    spread = np.zeros(1) if structure is None else structure.log_sd(fit.estimates.objective.phi)
    if np.ptp(spread) > _ALIKE:
        raise MMEError("variance_curve: residual variances differ among the records; fit.vpredict() has them by name")
    return float(fit.sigma**2 * np.exp(2.0 * np.ravel(spread)[0]))
