"""The same fit with a dense X, where that fits: for questions that are not answered column by column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.engine.objective import Objective
from mme.fitted.record import Fitted
from mme.numeric.limits import limits
from mme.numeric.memory import require

# Rows as long as the records for each column that are there at one time; passes over products of all columns.
_COPIES, _PASSES = 4, 4


def made_dense(fit: Fitted, what: str, instead: str = "") -> Fitted:
    """The fit with all columns of X dense; the fit itself where they are. ``what`` asks for it, not ``instead``.

    Nothing is searched: it has the criterion, the estimates and the columns left out of the fit.

    Raises
    ------
    MMEError
        A dense X does not fit the memory, or its products would take more than minutes.
    """
    model = fit.model
    if not model.is_wide:
        return fit
    n, p = model.X.shape
    operations = float(_PASSES * n) * p**2
    if operations > limits().hessian_operations:
        model.require_dense(f"{what} takes a dense X and {operations:.1e} operations, so that it")
    require(8 * _COPIES * n * p, f"{what} takes a dense X: products of {n:,} x {p:,} numbers need", instead)
    return fit.once(_dense)


def _dense(fit: Fitted) -> Fitted:
    model = fit.model.beside(X=np.asarray(fit.model.X.toarray(), order="F"))
    return replace(fit, model=model, objective=Objective.of(model, phi=fit.optimum.phi))
