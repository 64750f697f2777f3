"""The criterion at a mode that is known: nothing is searched."""

from __future__ import annotations

from mme.generalised.columns import Effects, Prior
from mme.generalised.criterion import Criterion
from mme.generalised.fast import at_joint_mode
from mme.generalised.laplace import Laplace, Psi
from mme.generalised.mode import mode_at
from mme.generalised.quadrature import Quadrature


def at_mode(criterion: Criterion, point: Psi, u: Effects) -> Laplace | None:
    """(L), (Q) or (F) at a point whose mode is u; None where u is no mode."""
    problem = criterion.problem
    prior = Prior.at(problem.blocks, point.theta)
    if criterion.points == 0:
        return at_joint_mode(problem, prior, point, u)
    mode = mode_at(problem, prior, problem.offset + point.gamma @ problem.Q, point.tau, u)
    if mode.factor is None:
        return None
    if criterion.points > 1:
        return Quadrature(problem, point, mode, mode.factor, False, criterion.points)
    expected = criterion.expected and not problem.family.canonical
    factor = problem.equations.factor(prior, mode.density.expected) if expected else mode.factor
    return Laplace(problem, point, mode, factor, criterion.expected)
