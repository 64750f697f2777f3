"""What a reader of a generalised fit should know besides its numbers."""

from __future__ import annotations

from mme.fitted.generalised import GeneralisedFitted
from mme.results.edges import edges
from mme.results.notes import of_dropped, of_records, of_the_boundary


def notes_of(fit: GeneralisedFitted) -> list[str]:
    """What a reader should know besides the numbers; empty for an ordinary fit."""
    notes = [*of_records(fit), *_of_weights(fit), *of_dropped(fit)]
    if fit.singular:
        notes.append(of_the_boundary(generalised_boundary(fit)))
    if fit.optimum.bound:
        notes.append(f"At its bound: {fit.optimum.bound}. Standard errors are those with it held there.")
    if fit.optimum.separation:
        notes.append(f"{fit.optimum.separation[0].upper()}{fit.optimum.separation[1:].rstrip('.')}.")
    elif fit.optimum.undetermined or not fit.optimum.converged:
        notes.append(f"Optimum: {fit.optimum}.")
    if fit.fixed_names and fit.estimates.parameter_cov is None:
        notes.append(
            "The criterion has no minimum in every direction here (its Hessian is not positive definite): standard "
            "errors are those at the variances found, as if these were known."
        )
    return notes


def _of_weights(fit: GeneralisedFitted) -> list[str]:
    """Records that count for nothing."""
    nothing = int((fit.problem.data.weights == 0.0).sum())
    if not nothing:
        return []
    return [f"{nothing} record{'s have weights' if nothing > 1 else ' has a weight'} of zero and count for nothing."]


def generalised_boundary(fit: GeneralisedFitted) -> list[str]:
    """Say for each zero on a diagonal of T which variance is zero, or which coefficients are tied together."""
    size = fit.problem.sizes()
    found = edges(fit.model, fit.theta, size)
    return found or [f"{name} is at its bound" for name in fit.optimum.boundary]
