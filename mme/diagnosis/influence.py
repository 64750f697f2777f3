r"""Leverage, Cook's distances and changes of beta when records or groups leave, by updating: nothing is fitted again.

Variance components and sigma are held at their estimates; what that leaves out is the change of theta itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.covariance.words import structure
from mme.diagnosis.groups import group_hats
from mme.diagnosis.hat import Hat, hat_of
from mme.diagnosis.large import large_shifts
from mme.diagnosis.levels import left_of
from mme.diagnosis.records import RecordHat
from mme.diagnosis.shifted import by_columns
from mme.diagnosis.wide_influence import wide_changes
from mme.engine.blocks import Block
from mme.engine.meetings import product_count
from mme.engine.objective import Objective
from mme.engine.plan import Plan, is_filled
from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.made_dense import made_dense
from mme.fitted.record import Fitted
from mme.model.term import Term
from mme.numeric.limits import limits
from mme.numeric.sums import by_code, cells
from mme.tables.arrays import as_array
from mme.tables.levels import factorise
from mme.tables.names import as_known

if TYPE_CHECKING:
    import pandas as pd

# Of a record of which the others leave less than the first share what it does to beta is found by a column of its own:
# differences lose up to twice the digits of the share. Where such records are too many, below the second share none are
# left.
_FEW_DIGITS, _NO_DIGITS = 1e-3, 1e-6


def leverage(fit: Fitted) -> Any:
    """Diagonal of the hat matrix of the conditional fit, one a row of the data: lme4's ``hatvalues``."""
    return fit.rows.aligned(fit.once(hat_of).diagonal, "leverage")


def cooks_distance(fit: Fitted, by: Any = None) -> Any:
    """Cook's distance of every record, or of every group of records."""
    p = fit.objective.basis.kept.size
    if by is not None:
        fit = made_dense(fit, "what groups of records do to a fit")
        delta, labels, name = _without_groups(fit, by)
        return _by_group((delta**2).sum(axis=1) / (p * fit.sigma**2), labels, name, "cooks_distance")
    if _correlated(fit):
        distance = (_record_shifts(fit) ** 2).sum(axis=1) / (p * fit.sigma**2)
        return fit.rows.aligned(distance, "cooks_distance")
    h, e = fit.once(hat_of).diagonal, fit.estimates.whitened_residual()
    left = left_of(h)
    distance = e**2 * h / (p * fit.sigma**2 * left**2)
    return fit.rows.aligned(distance, "cooks_distance")


def dfbeta(fit: Fitted, by: Any = None) -> pd.DataFrame:
    """beta - beta_(g): how far each fixed effect moves when a record, or a group of records, leaves."""
    import pandas as pd

    names = list(fit.fixed_names)
    if fit.model.is_wide and by is None:
        return pd.DataFrame(fit.rows.aligned(wide_changes(fit), "dfbeta")).set_axis(names, axis=1)
    if by is not None:
        fit = made_dense(fit, "what groups of records do to a fit")
        delta, labels, name = _without_groups(fit, by)
        return pd.DataFrame(_hat(fit).beta(delta), index=pd.Index(labels, name=name), columns=names)
    moved = _hat(fit).beta(_record_shifts(fit))
    return pd.DataFrame(fit.rows.aligned(moved, "dfbeta")).set_axis(names, axis=1)


def _correlated(fit: Fitted) -> bool:
    """Whether a record that leaves is more than a row of the whitened ones."""
    return fit.model.residual is not None and fit.model.residual.group is not None


def _hat(fit: Fitted) -> Hat:
    """The hat matrix of whitened records, for what it says of records as they are."""
    return Hat(fit.objective, fit.theta, fit.estimates.at)


def _record_shifts(fit: Fitted) -> np.ndarray:
    """Shifts (n, p) on the basis of :class:`Hat` when a record leaves."""
    e, hat = fit.estimates.whitened_residual(), _hat(fit) if _correlated(fit) else fit.once(hat_of)
    of_records = RecordHat(hat, e) if _correlated(fit) else None
    shifts = hat.without_records(e) if of_records is None else of_records.shifts
    left = 1.0 - hat.diagonal if of_records is None else of_records.share
    lost = np.flatnonzero(left < _FEW_DIGITS)
    if 0 < lost.size <= limits().records_by_columns // fit.nobs:
        shifts[lost] = by_columns(hat, lost)
    elif lost.size:
        shifts[left < _NO_DIGITS] = np.nan
    return shifts


def _without_groups(fit: Fitted, by: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Shifts (J, p) on the basis of :class:`Hat`, labels and the name of the groups."""
    codes, labels, name = grouping(fit, by)
    model = fit.model
    if model.residual is not None and model.residual.group is not None and not _within(model.residual.group, codes):
        if labels.size == model.n:  # a record each
            return _record_shifts(fit)[np.argsort(codes)], labels, name
        raise MMEError(
            f"the residuals are correlated across the groups of '{name}': correlated records must leave together, or "
            "one by one"
        )
    if all(term.relationship is None and _within(term.codes, codes) for term in model.terms):
        r = fit.estimates.whitened_residual(conditional=False)
        return fit.once(hat_of).without_blocks(codes, labels.size, r), labels, name
    return _crossed(fit, codes, labels.size), labels, name


def grouping(fit: Record, by: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Codes, labels and name of the groups that are to leave."""
    if isinstance(by, str):
        by = as_known(by, [name for term in fit.model.terms for name in (term.name, term.group)])
        for term in fit.model.terms:
            if by in (term.name, term.group):
                used = np.bincount(term.first_codes, minlength=term.n_levels) > 0  # related levels may have no records
                return (np.cumsum(used) - 1)[term.first_codes], np.asarray(term.levels)[used], term.group
        known = ", ".join(f"'{term.group}'" for term in fit.model.terms) or "none"
        raise MMEError(
            f"by='{by}' is no grouping factor of the fit (they are {known}), nor a column of its data; labels, one a "
            "row of the data, will do"
        )
    name = str(getattr(by, "name", None) or "group")
    labels = as_array(by, "by")
    if labels.ndim != 1 or labels.size not in (fit.rows.kept.size, fit.nobs):
        raise MMEError(f"by has shape {labels.shape} for the {fit.rows.kept.size} rows of the data")
    return (*factorise(fit.rows.used(labels), name), name)


def _within(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether every level of the inner factor lies in one level of the outer."""
    first = np.zeros(int(inner.max()) + 1, dtype=np.int64)
    for codes in np.atleast_2d(inner):
        first[codes] = outer
    return bool((first[inner] == outer).all())


def _crossed(fit: Fitted, codes: np.ndarray, J: int) -> np.ndarray:
    """Shifts (J, p) when random effects reach beyond the groups.

    The levels of the absorbed factor have all that (H2) needs, and so have any groups where the remainder is dense.
    Elsewhere the groups' own levels are absorbed, and large groups left out by an evaluation each.
    """
    e, absorbed = fit.estimates.whitened_residual(), fit.objective.absorbing
    if any(block.records is not None for block in fit.objective.random):
        hat = _hat(fit)
        return hat.without_groups(e, RecordHat(hat, e).of_groups(codes, J), J)
    if absorbed is not None and _is(absorbed, codes):
        return fit.once(hat_of).without_levels(e)
    sizes, hats = np.bincount(codes, minlength=J), group_hats(fit.objective, fit.theta, fit.once(hat_of).at)
    delta = np.full((J, fit.objective.basis.kept.size), np.nan)
    is_small = sizes <= limits().large_group
    small, large = np.flatnonzero(is_small), np.flatnonzero(~is_small)
    if hats is None and small.size:
        delta[small] = _absorbing(fit, codes, is_small).without_levels(e)[: small.size]
    elif hats is not None:
        if small.size:
            delta[small] = fit.once(hat_of).without_groups(e, hats.of(codes, small), small.size)
        records = np.split(by_code(codes, J), np.cumsum(sizes)[:-1])
        delta[large] = large_shifts(hats, fit.once(hat_of).U, e, [records[g] for g in large])
    for g in large[np.isnan(delta[large]).any(axis=1)].tolist():
        delta[g] = fit.once(hat_of).without(codes != g)
    return delta


def _absorbing(fit: Fitted, codes: np.ndarray, small: np.ndarray) -> Hat:
    """The same fit with the small groups absorbed; a factor that is not in the model enters with theta = 0."""
    objective, model, theta = fit.objective, fit.model, fit.theta
    found = [b for b, block in enumerate(objective.blocks) if _is(block, codes)] if small.all() else []
    absorb = found[0] if found else len(objective.blocks)
    if not found:
        # records of large groups are levels of their own, behind the small groups
        rank, alone = np.cumsum(small) - 1, ~small[codes]
        codes = np.where(alone, small.sum() + np.cumsum(alone) - 1, rank[codes])
        leaving = Term(codes, name="leaving")
        structures = (*model.structures, structure("unstructured", 1, leaving.name))
        model = replace(model, terms=(*model.terms, leaving), structures=structures)
        theta = np.append(theta, 0.0)
    others = [block for b, block in enumerate(objective.blocks) if b != absorb]
    moved = Objective.of(model, phi=objective.phi, plan=Plan(absorb, _is_dense(codes, others)))
    return Hat(moved, theta, moved.evaluate(theta))


def _is_dense(codes: np.ndarray, others: list[Block]) -> bool:
    """Whether absorbing a factor fills the remainder, as the engine judges it for the widest one."""
    J, m = int(codes.max()) + 1, sum(block.J * block.q for block in others)
    met = [cells(codes, block.codes, J, block.J) for block in others]
    return is_filled(m, product_count(met, [block.q for block in others], J, 1))


def _is(block: Block, codes: np.ndarray) -> bool:
    return block.is_block_diagonal and np.array_equal(block.codes, codes)


def _by_group(values: np.ndarray, labels: np.ndarray, name: str, what: str) -> pd.Series:
    import pandas as pd

    return pd.Series(values, index=pd.Index(labels, name=name), name=what)
