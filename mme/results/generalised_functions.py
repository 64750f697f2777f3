"""Functions of the variances and the family's parameters of a generalised fit, with their standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.natural import generalised_names, generalised_values
from mme.results.components import random_components
from mme.results.functions import Written
from mme.results.generalised_shares import latent_variance
from mme.results.generalised_variances import errors_of

if TYPE_CHECKING:
    import pandas as pd


def predicted_generalised(fit: GeneralisedFitted, text: str, level: float) -> pd.Series:
    """``estimate, se, lower, upper``, by the delta method on all parameters of the search."""
    written, model, family = Written.of(text), fit.model, fit.family
    k, r = model.k, fit.optimum.tau.size
    names = generalised_names(model, family.parameter_names(fit.problem.data), fit.fixed_names)
    latent = latent_variance(family)
    known = {} if latent is None else {"V_dist": latent}

    def function(psi: np.ndarray) -> np.ndarray:
        theta, gamma, tau = np.split(psi, [k, psi.size - r])
        outer, own = model.coordinates.outer(theta), np.ravel(family.natural(tau))
        values = generalised_values(model, outer, own, fit.problem.beta(gamma)).tolist()
        return written.at(dict(zip(names, values, strict=True)) | random_components(model, outer, 1.0) | known)

    def error() -> float:
        found = float(errors_of(fit, function)[0])
        return found if found > 0.0 else np.nan

    return written.table(float(function(fit.searched.at.at.x)[0]), error, level)
