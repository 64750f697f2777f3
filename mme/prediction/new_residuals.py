"""The residual structure of a fit on new rows, read from their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.formula.residual_columns import residual_column
from mme.residual import Bound, bind
from mme.residual.rstructure import ByLevel, Times, WithNugget
from mme.tables.frame import Frame


@dataclass(frozen=True, eq=False)
class NewVariances:
    """Standard deviations of residuals of the last ``n`` records of ``bound``, by the phi of the fit's ``known``."""

    known: Bound
    bound: Bound
    n: int

    def log_sd(self, phi: np.ndarray) -> np.ndarray:
        """Their logarithms (n,), in units of sigma."""
        return self.bound.log_sd(self.bound.coordinates(self.known.natural(phi)))[-self.n :]


def new_variances(fit: Fitted, newdata: Any, n: int, call: Mapping[str, Any] | None) -> NewVariances | None:
    """Standard deviations of the residuals of new rows by their own columns; None where all have sigma.

    Raises
    ------
    MMEError
        They cannot be read from these rows, or depend on fitted means.
    """
    known = fit.model.residual
    if known is None or not known.log_sd(fit.objective.phi).any():
        return None
    weights = (
        "the residual variance of this fit differs from record to record: give weights= for the new rows, a number a "
        "row or a column of theirs (variance = sigma^2 / weight)"
    )
    if known.of_mean.any() or call is None:
        raise MMEError(weights)
    try:
        return NewVariances(known, _structure(fit, newdata, n, call, _each_alone), n)
    except MMEError as error:
        raise MMEError(f"{error}; or {weights.partition(': ')[2]}") from None


def log_sd_along(
    fit: Fitted, at: Mapping[str, Any], call: Mapping[str, Any] | None
) -> Callable[[np.ndarray], np.ndarray | float]:
    """Log standard deviations of residuals (m,) at m values of their columns, in units of sigma, as a function of phi.

    Raises
    ------
    MMEError
        The residual variances differ, and these columns do not say how.
    """
    table = {column: np.atleast_1d(np.asarray(values)) for column, values in at.items()}
    try:
        found = new_variances(fit, table, max(map(len, table.values())), call)
    except MMEError as error:
        raise MMEError(
            f"the residual variances of this fit differ among the records ({str(error).partition(';')[0]}); give the "
            "columns of the residual structure in at= too, or take fit.vpredict(), which has them by name"
        ) from None
    return (lambda phi: 0.0) if found is None else found.log_sd


def structure_on_new_rows(fit: Fitted, newdata: Any, n: int, call: Mapping[str, Any]) -> Bound:
    """The structure that ``call`` has as the user wrote it, bound to n new rows, or to those of the fit and then these.

    The latter where the new rows do not show every stratum or occasion; their groups are then others than those of the
    fit, whatever they are called.

    Raises
    ------
    MMEError
        The structure is not known as it was written, or cannot be read from these rows.
    """
    return _structure(fit, newdata, n, call, _by_themselves)


def _structure(fit: Fitted, newdata: Any, n: int, call: Mapping[str, Any], read: Callable[..., Bound]) -> Bound:
    """What ``read`` makes of the structure, with the parameters that the fit has."""
    residual, known = call.get("residual"), fit.model.residual
    if residual is None or known is None or fit.specification is None:
        raise MMEError(
            "the residual structure of this fit cannot be read from new rows: it was made of arrays, or read from a "
            "file; fit the formula again, or simulate without newdata"
        )
    bound = read(residual, Frame(call["data"]), fit.rows.kept, Frame(newdata), n, known.names)
    if bound.names != known.names:
        raise MMEError(
            f"the residual structure of the fit has the parameters {', '.join(known.names)}, with the new rows it has "
            f"{', '.join(bound.names)}: they may have no stratum, and no occasion, that the fit did not see"
        )
    return bound


def _by_themselves(residual: Any, old: Frame, kept: np.ndarray, new: Frame, n: int, names: tuple[str, ...]) -> Bound:
    """The structure on the new rows, or, where they do not show all of its parameters, on those of the fit too."""
    try:
        bound = bind(residual, lambda given: residual_column(new, np.ones(n, dtype=bool), given), n)
        if bound.names == names:
            return bound
    except MMEError:
        pass
    return _beside_old(residual, old, kept, new, n)


def _beside_old(residual: Any, old: Frame, kept: np.ndarray, new: Frame, n: int) -> Bound:
    structures = residual if isinstance(residual, list | tuple) else [residual]
    groups = [one.group for one in structures if getattr(one, "group", None) is not None]

    def column(given: Any) -> Any:
        above, below = residual_column(old, kept, given), residual_column(new, np.ones(n, dtype=bool), given)
        if any(given is group for group in groups):
            return np.array([*(f"old {one}" for one in above), *(f"new {one}" for one in below)], dtype=object)
        return np.concatenate([np.asarray(above), np.asarray(below)])

    return bind(residual, column, int(kept.sum()) + n)


def _each_alone(residual: Any, old: Frame, kept: np.ndarray, new: Frame, n: int, _: tuple[str, ...]) -> Bound:
    """The structure bound to the records of the fit, and behind them to new ones that nothing correlates."""
    batch = [*["old"] * int(kept.sum()), *(f"new {i}" for i in range(n))]
    made = dict[Any, np.ndarray]()

    def column(given: Any) -> Any:
        if any(given is one for one in made.values()):
            return given
        parts = residual_column(old, kept, given), residual_column(new, np.ones(n, dtype=bool), given)
        return np.concatenate([np.asarray(part) for part in parts])

    def alone(group: Any) -> np.ndarray:
        """The groups, of which each new record is one of its own: one array for each that was given."""
        key = group if isinstance(group, str) else id(group)
        if key not in made:
            labels = batch if group is None else [f"{one} {of}" for one, of in zip(batch, column(group), strict=True)]
            made[key] = np.array(labels, dtype=object)
        return made[key]

    structures = residual if isinstance(residual, list | tuple) else [residual]
    return bind([_with_groups(one, alone) for one in structures], column, len(batch))


def _with_groups(one: Any, groups: Callable[[Any], np.ndarray]) -> Any:
    """The structure with other groups, and those of its parts."""
    if isinstance(one, Times):
        return Times(tuple(_with_groups(part, groups) for part in one.parts))
    if isinstance(one, ByLevel | WithNugget):
        return replace(one, structure=_with_groups(one.structure, groups))
    return replace(one, group=groups(one.group)) if is_dataclass(type(one)) and hasattr(one, "group") else one
