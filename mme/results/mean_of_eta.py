"""What is averaged over records: the mean of a family, or of ordered categories the probability of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.family.base import Family, Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.marginal import MeanOfEta
from mme.tables.spelling import labels_of

# Half the width of differences by eta.
_STEP = 1e-5


@dataclass(frozen=True, eq=False)
class OfCategory:
    """P(Y = category) as a function of eta; the category is a code."""

    family: Family
    category: int

    @property
    def name(self) -> str:
        """The name of the family."""
        return self.family.name

    @property
    def link(self) -> str:
        """No link whose integral has a closed form."""
        return "category"

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """The probability of the category."""
        data = Observed(np.full(eta.size, float(self.category)), np.ones(eta.size))
        below, up_to = self.family.cdf(data, eta, tau)
        return up_to - below

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """dP / d eta, by differences."""
        return np.asarray((self.mean(eta + _STEP, tau) - self.mean(eta - _STEP, tau)) / (2.0 * _STEP))


def means_of(fit: GeneralisedFitted) -> dict[str, MeanOfEta]:
    """The means of a fit as functions of eta, by label: one, or one per category."""
    levels = fit.problem.data.levels
    if fit.family.has_intercept:
        return {"": fit.family}
    return {label: OfCategory(fit.family, j) for j, label in enumerate(labels_of(np.array(levels)))}
