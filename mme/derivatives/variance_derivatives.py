r"""How the covariance of beta and the likelihood change with the variances: in closed form, or from evaluations.

Degrees of freedom need two kinds of derivatives. Where ``information.py`` has those of V in closed form they follow by
the chain rule. Elsewhere an evaluation of the engine returns all that either takes: log|V|, the triangle of X'V^-1 X,
and y'Py. No n x n matrix is formed, and records are not read again.

* Along the likelihood (:func:`profile_derivatives`): by theta and phi, which are free to take any sign, so by central
  differences of sixth order. Steps are a share of rho (``units.py``), the distance of the nearest singularity: the
  truncation error is then the same in all models.

* Along the variances themselves (:func:`linear_derivatives`): V / sigma^2 = I + Z H Z' is linear in H, which must
  stay positive semi-definite. Directions D = f f' never leave that cone, wherever H lies, if they are followed one
  way: a polynomial through points on [0, tau] gives both derivatives at 0, where f is scaled so that no eigenvalue of
  V^-1 Z D Z' exceeds one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mme.derivatives.estimated import Estimated
from mme.derivatives.information import Direction, Information, information
from mme.derivatives.observed import observed
from mme.derivatives.slopes import slopes_by_theta
from mme.derivatives.units import largest_eigenvalue, level_information, natural_units
from mme.engine.objective import Objective
from mme.engine.pls import half_covariance
from mme.errors import MMEError
from mme.iterative.minimum import slopes_by_probes
from mme.numeric.differences import central, one_sided
from mme.numeric.lapack import triangular_solve
from mme.solution.estimates import Estimates

# Step as a share of rho: truncation is then some 1e-7 of the second derivative, rounding of the criterion less.
_STEP = 0.03
# Step in the coordinates of a residual structure, smooth over distances of order one.
_STEP_PHI = 0.03
# Differences reach three steps; no shorter ones keep them on one side of a kink, where they are the mean of both.
_REACH, _SHORTEST = 3.2, 2e-3
# That is not so where R is nearly singular. A step over which the criterion rises by more than a hundredth,
# and whose second derivatives of order four and six differ by this share, is taken again, a quarter of it.
_LONG, _BENT, _SHORTER = 0.02, 1e-4, 3


@dataclass(frozen=True, eq=False)
class ProfileDerivatives:
    """Derivatives at the optimum by the k parameters of :class:`Estimated`, theta in the axes of the terms.

    ``gradient`` (k,) and ``hessian`` (k, k) are of the criterion. ``half`` (p, p) turns a contrast c into z = half c
    with var(c'beta) = sigma^2 z'z, and ``slopes`` (k, p, p) are those of log var(c'beta) = z' slopes z / z'z, sigma
    profiled out. ``units`` (k,) are rho, the parameters' natural units.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    half: np.ndarray
    slopes: np.ndarray
    units: np.ndarray


def profile_derivatives(origin: Estimates, free: np.ndarray) -> ProfileDerivatives:
    """Derivatives of the criterion and of beta's covariance by what is free in (theta, phi), or :class:`Estimated`."""
    closed = information(origin.objective, origin.theta, origin.at) if free.size and free.all() else None
    if closed is not None:
        return _by_chain_rule(origin, closed)
    parameters = Estimated(origin, free)
    exact = None if origin.objective.plan.iterative or parameters.sigma_too else _by_scores(origin, free)
    return exact or _by_differences(parameters)


def _by_chain_rule(origin: Estimates, of: Information) -> ProfileDerivatives:
    """Derivatives of the criterion and of beta's covariance in closed form, sigma profiled out."""
    objective, p = origin.objective, origin.objective.system.p
    found = slopes_by_theta(objective, origin.theta, of)
    gradient, hessian = found.of_criterion(objective.constants, origin.pwrss)
    slopes = -found.first[:, :p, :p]
    if objective.constants.sigma is None:
        slopes += found.log_pwrss[0][:, None, None] * np.eye(p)
    return ProfileDerivatives(
        gradient=gradient,
        hessian=hessian,
        half=half_covariance(origin.at.border, objective.basis.R_inverse),
        slopes=slopes,
        units=natural_units(objective, origin.theta),
    )


def _by_scores(origin: Estimates, free: np.ndarray) -> ProfileDerivatives | None:
    """Differences of the exact score, of many parameters (:mod:`mme.derivatives.observed`)."""
    objective, p = origin.objective, origin.objective.system.p
    covariance = _relative_covariance(origin)
    at = np.concatenate([origin.theta, objective.phi])
    found = observed(objective, at, free, lambda one, theta: covariance(Estimates(one, theta)))
    if found is None:
        return None
    units = np.ones(at.size)
    if free[: objective.model.k].any():
        units[: objective.model.k] = natural_units(objective, origin.theta)
    return ProfileDerivatives(
        gradient=found.gradient,
        hessian=found.hessian,
        half=half_covariance(origin.at.border, objective.basis.R_inverse),
        slopes=found.slopes.reshape(len(found.slopes), p, p),
        units=units[free],
    )


def _relative_covariance(origin: Estimates) -> Callable[[Estimates], np.ndarray]:
    """The covariance of beta at other parameters where that of ``origin`` is the identity, as a vector."""
    p, basis = origin.objective.system.p, origin.objective.basis
    whole = origin.at.border[:p, :p]

    def covariance(one: Estimates) -> np.ndarray:
        change = np.eye(p) if one.objective.basis is basis else basis.R @ one.objective.basis.R_inverse
        relative = triangular_solve(one.at.border[:p, :p], change.T @ whole, transposed=False)
        return np.asarray((one.sigma / origin.sigma) ** 2 * (relative.T @ relative)).ravel()

    return covariance


def _by_differences(parameters: Estimated) -> ProfileDerivatives:
    """Central differences by what was estimated, again with shorter steps where one came too near a singularity."""
    objective, k, free = parameters.origin.objective, parameters.origin.theta.size, parameters.entries
    step = np.full(k + objective.phi.size, _STEP_PHI)
    if objective.model.residual is not None:
        to_kink = objective.model.residual.smooth_within(objective.phi) / _REACH
        step[k:] = np.clip(to_kink, _SHORTEST, _STEP_PHI)
    if free[:k].any():
        step[:k] = _STEP * natural_units(objective, parameters.origin.theta)
    step = np.append(step[free], [_STEP] * parameters.sigma_too)
    units = step / _STEP
    found, too_long = _differences(parameters, step, units)
    for _ in range(_SHORTER):
        if not too_long.any():
            break
        step = np.where(too_long, 0.25 * step, step)
        found, too_long = _differences(parameters, step, units)
    return found


def _differences(parameters: Estimated, step: np.ndarray, units: np.ndarray) -> tuple[ProfileDerivatives, np.ndarray]:
    """Central differences of these steps (k,), and which of them are too long."""
    origin, free = parameters.origin, parameters.entries
    objective, p = origin.objective, origin.objective.system.p
    half, covariance = half_covariance(origin.at.border, objective.basis.R_inverse), _relative_covariance(origin)

    def values(x: np.ndarray) -> np.ndarray:
        one = parameters.moved(x * step)
        return np.append(covariance(one), 0.0 if chance is not None else one.criterion)

    chance = slopes_by_probes(objective, origin.theta) if objective.plan.iterative else None
    first, second, of_five = central(values, step.size, p * p + 1)
    curve = np.diag(second)
    found = ProfileDerivatives(
        gradient=first[:, -1] / step if chance is None else chance.gradient[free],
        hessian=second / np.outer(step, step) if chance is None else chance.hessian[np.ix_(free, free)],
        half=half,
        slopes=first[:, :-1].reshape(step.size, p, p) / step[:, None, None],
        units=units,
    )
    return found, (curve > _LONG) & (np.abs(of_five - curve) > _BENT * curve)


@dataclass(frozen=True, eq=False)
class Linear:
    """X'V^-1 X and log|V| for V = I + sum_i x_i V_i (units of sigma^2), and their derivatives by the x_i.

    ``C_i`` (k, p, p) and ``C_ij`` (k, k, p, p) are derivatives of X'V^-1 X in coordinates in which it is the identity
    (those of ``half``); ``L_i`` (k,) and ``L_ij`` (k, k) those of log|V|; ``x`` (k,) is where V is.
    """

    x: np.ndarray
    C_i: np.ndarray
    C_ij: np.ndarray
    L_i: np.ndarray
    L_ij: np.ndarray


@dataclass(frozen=True, eq=False)
class _Direction:
    """D = F F' (q, q) added to the relative covariance H of one term, F (q, r)."""

    term: int
    F: np.ndarray


@dataclass(frozen=True, eq=False)
class Directions:
    """A basis D_i of the covariances H of all terms, and the coordinates x (k,) of H in it: H = sum x_i D_i."""

    objective: Objective
    theta: np.ndarray
    x: np.ndarray
    basis: list[_Direction]

    def moved(self, along: Sequence[int], t: float) -> np.ndarray:
        """Theta of H + t times the mean of these D_i."""
        return _moved(self.objective, self.theta, [(self.basis[i], t / len(along)) for i in along])


def directions(origin: Estimates, *, fixed: bool = False) -> Directions:
    """The directions along which variances are moved; none where they are ``fixed``.

    Raises
    ------
    MMEError
        The covariance of a term is not linear in its parameters.
    """
    x, basis = (np.zeros(0), []) if fixed else _directions(origin.objective, origin.theta)
    return Directions(origin.objective, origin.theta, x, basis)


def linear_derivatives(origin: Estimates, *, fixed: bool = False) -> Linear:
    """First and second derivatives by the entries of each term's H = T T', in a basis of rank-one matrices.

    With ``fixed`` H is known, and there are none. Mixed ones from the second derivative along (D_i + D_j) / 2.

    Raises
    ------
    MMEError
        The covariance of a term is not linear in its parameters.
    """
    of = directions(origin, fixed=fixed)
    closed = information(origin.objective, origin.theta, origin.at) if of.basis else None
    if closed is None:
        return _linear_by_differences(origin, of)
    p = origin.objective.system.p
    log_V, log_V2, first, second = closed.derivatives([_in_block(origin.objective, one) for one in of.basis])
    return Linear(of.x, first[:, :p, :p], second[:, :, :p, :p], log_V, log_V2)


def _linear_by_differences(at: Estimates, of: Directions) -> Linear:
    """One-sided differences along the directions."""
    objective, k = at.objective, of.x.size
    p = objective.system.p
    R_X = at.at.border[:p, :p]

    def line(*along: int) -> tuple[np.ndarray, np.ndarray]:
        return one_sided(lambda t: values(of.moved(along, t)), origin)

    def values(theta: np.ndarray) -> np.ndarray:
        logdet, border = objective.triangle(theta)
        half = triangular_solve(R_X, border[:p, :p], transposed=False)
        return np.append(half @ half.T, logdet)

    origin = values(at.theta)

    first, second = np.zeros((k, p * p + 1)), np.zeros((k, k, p * p + 1))
    for i in range(k):
        first[i], second[i, i] = line(i)
    for i in range(k):
        for j in range(i):
            mixed = line(i, j)[1]
            second[i, j] = second[j, i] = 2.0 * mixed - 0.5 * (second[i, i] + second[j, j])
    C_i, C_ij = first[:, :-1].reshape(k, p, p), second[:, :, :-1].reshape(k, k, p, p)
    return Linear(of.x, C_i, C_ij, first[:, -1], second[:, :, -1])


def _in_block(objective: Objective, direction: _Direction) -> Direction:
    """F F' among the scaled columns of the term's block."""
    b = next(b for b, block in enumerate(objective.blocks) if direction.term in block.terms)
    block = objective.blocks[b]
    at = block.column_slices[block.terms.index(direction.term)]
    F = np.zeros((block.q, direction.F.shape[1]))
    F[at] = direction.F
    F = np.column_stack([block.moved(f) for f in F.T])
    return Direction(b, F @ F.T)


def _moved(objective: Objective, theta: np.ndarray, added: list[tuple[_Direction, float]]) -> np.ndarray:
    """Theta of H + sum t F F'."""
    pieces = objective.model.split(theta)
    for direction, t in added:
        part = objective.model.structures[direction.term]
        pieces[direction.term] = part.added(pieces[direction.term], direction.F, t)
    return np.concatenate([np.zeros(0), *pieces])


def _directions(objective: Objective, theta: np.ndarray) -> tuple[np.ndarray, list[_Direction]]:
    """A basis of each term's covariances, and the coordinates of H in it."""
    x: list[float] = []
    directions: list[_Direction] = []
    model = objective.model
    information = level_information(objective, theta)
    for t, (term, part, piece) in enumerate(zip(model.terms, model.structures, model.split(theta), strict=True)):
        found = part.directions(piece, information[t].mean(axis=0))
        if found is None:
            raise MMEError(
                f"term '{term.name}': its covariance, {part.kind}, is not linear in its parameters, as "
                "Kenward and Roger's method needs; use ddf='satterthwaite'"
            )
        for F, coordinate in zip(*found, strict=True):
            # No eigenvalue of V^-1 Z (I (x) F F') Z' exceeds the largest of F'D_g F (D).
            largest = largest_eigenvalue(F.T @ information[t] @ F)
            x.append(float(coordinate) * largest)
            directions.append(_Direction(t, F / np.sqrt(largest)))
    return np.array(x), directions
