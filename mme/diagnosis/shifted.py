"""What a record does to beta where the others of its group nearly tell it: by a column that is one in this record.

Beside X and the column d_i of record i, y_i fits exactly, and beta is that of all other records (Cook and Weisberg
1982, Residuals and Influence in Regression, section 2.2.2), whatever the covariance of the records. P_ii is then a
small difference of large numbers, and this is none: an evaluation each, O(n).
"""

from __future__ import annotations

import numpy as np

from mme.diagnosis.hat import Hat
from mme.engine.objective import Objective
from mme.solution.estimates import Estimates


def by_columns(hat: Hat, records: np.ndarray) -> np.ndarray:
    """Shifts (records, p) on the basis of :class:`Hat`; NaN for a record without which a fixed effect is lost."""
    model, p = hat.objective.model, hat.objective.system.p
    kept = hat.objective.basis.kept
    model = model.beside(X=model.X[:, kept], x_names=tuple(model.x_names[j] for j in kept.tolist()))
    beta = Estimates(hat.objective, hat.theta).beta
    shifts = np.full((records.size, p), np.nan)
    for at, i in enumerate(records.tolist()):
        own = np.zeros((model.n, 1))
        own[i] = 1.0
        beside = model.beside(X=np.hstack([model.X, own]), x_names=(*model.x_names, "record"))
        objective = Objective.of(beside, phi=hat.objective.phi)
        if objective.basis.kept.size == p + 1:
            shifts[at] = hat.coordinates(beta - Estimates(objective, hat.theta).beta[:p])
    return shifts
