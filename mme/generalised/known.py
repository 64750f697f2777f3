"""The criterion at a mode that is known: nothing is searched."""

from __future__ import annotations

from mme.generalised.columns import Effects, Prior
from mme.generalised.fast import at_joint_mode
from mme.generalised.laplace import Laplace, Psi
from mme.generalised.mode import mode_at
from mme.generalised.problem import Problem
from mme.generalised.quadrature import Quadrature


def at_mode(problem: Problem, point: Psi, u: Effects, *, expected: bool, points: int) -> Laplace | None:
    """(L), (Q) or (F) at a point whose mode is u; None where u is no mode."""
    prior = Prior.at(problem.blocks, point.theta)
    if points == 0:
        return at_joint_mode(problem, prior, point, u)
    mode = mode_at(problem, prior, problem.offset + point.gamma @ problem.Q, point.tau, u)
    if mode.factor is None:
        return None
    if points > 1:
        return Quadrature(problem, point, mode, mode.factor, False, points)
    of_expected = expected and not problem.family.canonical
    factor = problem.equations.factor(prior, mode.density.expected) if of_expected else mode.factor
    return Laplace(problem, point, mode, factor, expected)
