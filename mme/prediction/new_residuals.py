"""The residual structure of a fit on new rows, read from their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.formula.residual_columns import residual_column
from mme.residual import Bound, bind
from mme.tables.frame import Frame


def structure_on_new_rows(fit: Fitted, newdata: Any, n: int, call: Mapping[str, Any]) -> Bound:
    """The structure that ``call`` has as the user wrote it, bound to n new rows, or to those of the fit and then these.

    The latter where the new rows do not show every stratum or occasion; their groups are then others than those of the
    fit, whatever they are called.

    Raises
    ------
    MMEError
        The structure is not known as it was written, or cannot be read from these rows.
    """
    residual, known = call.get("residual"), fit.model.residual
    if residual is None or known is None or fit.specification is None:
        raise MMEError(
            "the residual structure of this fit cannot be read from new rows: it was made of arrays, or read from a "
            "file; fit the formula again, or simulate without newdata"
        )
    new = Frame(newdata)
    try:
        bound = bind(residual, lambda given: residual_column(new, np.ones(n, dtype=bool), given), n)
        if bound.names == known.names:
            return bound
    except MMEError:
        pass
    bound = _beside_old(residual, Frame(call["data"]), fit.rows.kept, new, n)
    if bound.names != known.names:
        raise MMEError(
            f"the residual structure of the fit has the parameters {', '.join(known.names)}, with the new rows it has "
            f"{', '.join(bound.names)}: they may have no stratum, and no occasion, that the fit did not see"
        )
    return bound


def _beside_old(residual: Any, old: Frame, kept: np.ndarray, new: Frame, n: int) -> Bound:
    structures = residual if isinstance(residual, list | tuple) else [residual]
    groups = [one.group for one in structures if getattr(one, "group", None) is not None]

    def column(given: Any) -> Any:
        above, below = residual_column(old, kept, given), residual_column(new, np.ones(n, dtype=bool), given)
        if any(given is group for group in groups):
            return np.array([*(f"old {one}" for one in above), *(f"new {one}" for one in below)], dtype=object)
        return np.concatenate([np.asarray(above), np.asarray(below)])

    return bind(residual, column, int(kept.sum()) + n)
