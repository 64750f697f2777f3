"""A generalised model without its random effects, as a likelihood ratio takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.formula.bars import split
from mme.generalised.independent import independent
from mme.inference.comparison.nested import Difference


@dataclass(frozen=True)
class NoRandomEffects:
    """The maximum of the likelihood of independent records."""

    criterion: float
    dof: int

    @property
    def internals(self) -> Self:
        """Itself: there is nothing else to ask it."""
        return self

    @property
    def loglik(self) -> float:
        """Log likelihood."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """Criterion + 2 dof."""
        return self.criterion + 2.0 * self.dof


def nothing_random(fit: Record, formula: str) -> NoRandomEffects | None:
    """The model of the same fixed effects where a formula leaves a generalised fit no random term; None elsewhere."""
    if not isinstance(fit, GeneralisedFitted) or split(formula).bars:
        return None
    found = independent(fit.problem)
    return NoRandomEffects(found.value, found.gamma.size + found.tau.size)


def beyond_nothing(fit: Record) -> Difference | None:
    """What random effects add to none; None where the reference is not known: several variances."""
    return Difference(free=0, edge=1) if fit.model.k == 1 and fit.model.diagonal.all() else None
