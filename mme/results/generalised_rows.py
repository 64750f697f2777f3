"""The lines that the summary of a generalised fit has and that of a linear fit has not."""

from __future__ import annotations

import numpy as np

from mme.fitted.generalised import GeneralisedFitted
from mme.results.summary_rows import quantile_rows
from mme.results.summary_rows import source as source_of
from mme.results.text import Row

TITLE = "Generalised linear mixed model fit by maximum likelihood"
# Parameters of a family beyond which a line is no place for them.
_MOST_PARAMETERS = 8


def source(fit: GeneralisedFitted) -> list[str]:
    """Family, approximation, formula or response, and the ranges of trials or weights and offset, a line each."""
    family, weights = fit.family, fit.problem.data.weights
    given = None if (weights == 1.0).all() else weights
    called = "Trials" if family.name == "binomial" else "Weights"
    head = [f"Family: {family.name}, link {family.link}", f"Approximation: {approximation(fit)}"]
    return [*head, *source_of(fit, given, called)]


def approximation(fit: GeneralisedFitted) -> str:
    """How the random effects are integrated out, and by which information where observed and expected differ."""
    criterion = fit.searched.criterion
    if criterion.points == 0:
        return "penalised likelihood, beta not integrated (n_agq=0)"
    if criterion.points > 1:
        return f"adaptive Gauss-Hermite, {criterion.points} points"
    if fit.family.canonical:
        return "Laplace"
    return f"Laplace ({'expected' if criterion.expected else 'observed'} information)"


def residual_rows(fit: GeneralisedFitted) -> list[Row]:
    """Quantiles of (y - mean) / sd(y): Pearson's residuals."""
    return quantile_rows(pearson(fit)[fit.problem.data.weights > 0.0])


def pearson(fit: GeneralisedFitted) -> np.ndarray:
    """(y - mean) / sd(y given b) (n,); zero where the weight is."""
    data, estimates = fit.problem.data, fit.estimates
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = (data.y - estimates.fitted) / np.sqrt(fit.family.variance(estimates.eta, data.weights, estimates.tau))
    # a mean that is its record to the last digit has neither residual nor variance
    return np.where(np.isnan(scaled), 0.0, scaled)


def parameter_line(fit: GeneralisedFitted) -> list[str]:
    """The parameters of the family in a line, where it has some."""
    values = [f"{name} {value:.5g}" for name, value in fit.parameters.items()]
    if len(values) > _MOST_PARAMETERS:
        values = [*values[:_MOST_PARAMETERS], f"and {len(values) - _MOST_PARAMETERS} more: see parameters"]
    return [f"Family parameters: {', '.join(values)}"] if values else []
