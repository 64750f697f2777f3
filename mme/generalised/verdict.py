"""What the search of a generalised model found, in the user's terms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mme.generalised.far_parameters import relationship_parameters
from mme.generalised.fold import is_fold, of_fold
from mme.generalised.idle import idle
from mme.generalised.problem import Problem
from mme.generalised.search import GAIN, SearchEnd
from mme.generalised.separation import endless_variances, of_pure_levels, pure_levels, sentence, separation


@dataclass(frozen=True, eq=False)
class JointOptimum:
    """The optimum of a generalised fit.

    Attributes
    ----------
    theta : (k,) array
        Where the search ended, in the user's units: entries of T, absolute.
    tau : (r,) array
        Coordinates of the family's parameters; ``fit.dispersion`` has the natural ones.
    criterion : float
        -2 log likelihood, every constant included.
    evaluations, passes : int
        Points at which the criterion was computed, and passes over the records for their modes.
    reason : str
        Why the search stopped.
    boundary : tuple of str
        Components that are zero: variances of zero, correlations of plus or minus one.
    gradient : array
        Slope of the criterion by theta in the axes of the terms, beta on an orthogonal basis and tau.
    expected_decrease : float
        What one more step would gain on the criterion.
    verdict : str
        ``"minimum"``, ``"minimum on the boundary"``, ``"flat"``, ``"no finite maximum"`` of the likelihood, ``"not
        converged"`` or ``"given"``.
    separation : str
        What is separated, or why else the likelihood has no finite maximum; empty elsewhere.
    bound : str
        Records whose eta is held at the end of its range, and parameters of the family at their limits; empty where
        none is.
    undetermined : tuple of str
        What the design does not determine of the variances, in words.
    """

    theta: np.ndarray
    tau: np.ndarray
    criterion: float
    evaluations: int
    passes: int
    reason: str
    boundary: tuple[str, ...]
    gradient: np.ndarray = field(repr=False)
    expected_decrease: float
    verdict: str
    separation: str = ""
    bound: str = ""
    undetermined: tuple[str, ...] = ()

    @property
    def converged(self) -> bool:
        """The criterion cannot be lowered by more than a millionth from here."""
        return self.verdict != "not converged"

    def __str__(self) -> str:
        text = (
            f"{self.verdict} after {self.evaluations} evaluations, {self.passes} passes ({self.reason}), "
            f"criterion {self.criterion:.6f}"
        )
        if edge := [*self.boundary, *([self.bound] if self.bound else [])]:
            text += f"; at the edge: {', '.join(edge)}"
        if self.undetermined:
            text += f"; {'; '.join(self.undetermined)}"
        if not self.converged:
            text += f"; one more step promises {self.expected_decrease:.2g}"
        return text


def judge(problem: Problem, found: SearchEnd) -> JointOptimum:
    """Theta in the user's columns, and what is at the edge."""
    model, inner = problem.model, found.at.at.theta
    theta = model.canonical(model.coordinates.outer(inner))
    edge = model.coordinates.edge(inner * problem.sizes())
    flat = problem.undetermined if not found.given else None
    if flat is not None:
        edge &= problem.free
    names = tuple(model.theta_names[j] for j in np.flatnonzero(edge).tolist())
    promised = found.descent.promised
    bound = ", ".join([*at_limits(problem, found), *held_by_link(problem, found)])
    word = "minimum on the boundary" if names or bound else "minimum"
    word = "given" if found.given else "flat" if flat is not None else word
    said = _without_maximum(problem, found, theta)
    return JointOptimum(
        theta=theta,
        tau=found.at.at.tau,
        criterion=found.at.value,
        evaluations=found.criterion.evaluations,
        passes=found.criterion.passes,
        reason=found.descent.reason,
        boundary=names,
        gradient=found.descent.gradient,
        expected_decrease=promised,
        verdict="no finite maximum" if said else word if promised <= GAIN else "not converged",
        separation=said,
        bound=bound,
        undetermined=() if flat is None else flat.sentences,
    )


def _without_maximum(problem: Problem, found: SearchEnd, theta: np.ndarray) -> str:
    """Why the likelihood has no finite maximum; empty where it has one."""
    family, tau, promised = problem.family, found.at.at.tau, found.descent.promised
    apart = separation(found.at, converged=promised <= GAIN)
    if apart is None and (pure := pure_levels(found.at)):
        return of_pure_levels(problem, pure)
    said = "" if apart is None else sentence(problem, apart, found.at.at.gamma)
    said = said or family.without_maximum(tau) or family.exact(problem.data, tau)
    if not said and not family.has_intercept and found.at.value < GAIN:
        return (
            "complete separation: every record is in its category with a probability of one as coefficients and "
            "thresholds grow without bound, and the likelihood has no finite maximum. Join categories, or leave a "
            "column out"
        )
    if not said and promised > GAIN and is_fold(found.at):
        return of_fold(problem)
    return said or ("" if found.given else endless_variances(problem, theta))


def at_limits(problem: Problem, found: SearchEnd) -> list[str]:
    """Which parameters of the family, and of relationships, are at their limit."""
    tau, names = found.at.at.tau, problem.family.parameter_names(problem.data)
    of_family = np.flatnonzero(~found.free[found.free.size - tau.size :]).tolist()
    values = np.ravel(problem.family.natural(tau))
    said = [(names[j], values[j] < 1.0) for j in of_family]
    if not found.given and (of_relationships := relationship_parameters(problem)):
        held = ~found.free[: problem.model.k] & ~idle(problem, found.at.at.theta)
        of_terms = [j for j in of_relationships if held[j]]
        said += [(problem.model.theta_names[j], found.at.at.theta[j] < 0.0) for j in of_terms]
    return [f"{name} at its limit ({'zero' if zero else 'infinity'})" for name, zero in said]


def held_by_link(problem: Problem, found: SearchEnd) -> list[str]:
    """Which records the link holds, where it holds some."""
    wall, different = found.criterion.wall, found.criterion.different
    held = np.empty(0) if wall is None else wall.at_bound(found.descent.at.curved.mode.eta)
    if not held.size:
        return []
    alike = problem.alike if different is not problem else None
    count = held.size if alike is None else int(np.isin(alike.of_record, held).sum())
    records = "1 record" if count == 1 else f"{count} records"
    return [f"eta of {records} at zero, the end of the {problem.family.link} link"]
