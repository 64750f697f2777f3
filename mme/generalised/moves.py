r"""How beta and the modes move with the parameters, and what uncertain parameters leave uncertain of them.

With psi = (theta, gamma, tau), Sigma the covariance of its estimate, u the mode and l' the slope of log f at it,

    H_o du/dgamma_j = -M'W_o Q_j
    H_o du/dtheta_k = D_k'Z'l' - M'W_o Z D_k u - (dK^-1/dtheta_k) u,      D_k = dLambda/dtheta_k                 (U)
    H_o du/dtau_j   = M'dl'/dtau_j
    E = db/dpsi     = Lambda du/dpsi + (dLambda/dpsi) u

and (beta_hat - beta, b_hat - b) has the covariance of beta and E together, Sigma on both sides, with Lambda H_o^-1
Lambda' added to the part of b: the conditional variance, and the generalised delta method (Kristensen, Nielsen, Berg,
Skaug and Bell 2016, J. Stat. Softw. 70(5), section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mme.generalised.columns import Effects, Prior, along
from mme.generalised.laplace import Laplace, directions

# Half the width of differences of K^-1, of the size of its parameters.
_STEP = 1e-6


@dataclass(frozen=True, eq=False)
class Moves:
    """Derivatives along the axes of Sigma = F F': of beta (p, m), of the effects of each block (q, m, J), of tau."""

    beta: np.ndarray
    b: list[np.ndarray]
    tau: np.ndarray

    def variances(self) -> list[np.ndarray]:
        """What the parameters leave uncertain of the effects of every level, block by block (J, q, q)."""
        return [np.einsum("amg,bmg->gab", one, one) for one in self.b]


def moves(at: Laplace, Sigma: np.ndarray, free: np.ndarray) -> Moves:
    """(U) times F; ``Sigma`` (m, m) is that of the ``free`` parameters."""
    k, p = at.at.theta.size, at.at.gamma.size
    F = _root(Sigma)
    places = np.flatnonzero(free)
    beta = at.problem.beta_of_gamma @ F[(places >= k) & (places < k + p)]
    b = [np.zeros((block.q, F.shape[1], block.J)) for block in at.problem.blocks]
    wanted = {int(place): row for place, row in zip(places, F, strict=True)}
    for place, moved in _by_parameter(at):
        if place in wanted:
            for total, one in zip(b, moved, strict=True):
                total += one[:, None, :] * wanted[place][:, None]
    tau = np.zeros((free.size - k - p, F.shape[1]))
    of_tau = places >= k + p
    tau[places[of_tau] - k - p] = F[of_tau]
    return Moves(beta, b, tau)


def _root(Sigma: np.ndarray) -> np.ndarray:
    """F with Sigma = F F'; NaN where it is not known."""
    if not np.isfinite(Sigma).all():
        return np.full(Sigma.shape, np.nan)
    size = np.sqrt(np.maximum(Sigma.diagonal(), 0.0))
    size[size == 0.0] = 1.0
    values, vectors = np.linalg.eigh(Sigma / np.outer(size, size))
    return np.asarray(size[:, None] * vectors * np.sqrt(np.maximum(values, 0.0)))


def _by_parameter(at: Laplace) -> Iterator[tuple[int, Effects]]:
    """E, a parameter at a time, with the place of each in psi."""
    yield from _by_theta(at)
    problem, mode, k = at.problem, at.mode, at.at.theta.size
    assert mode.factor is not None
    W, prior, columns = mode.density.observed, mode.prior, problem.columns
    for j, row in enumerate(problem.Q):
        right = prior.transposed(columns.transposed(-W * row))
        yield k + j, prior.b(mode.factor.solve(right))
    for j, one in enumerate(mode.density.by_parameters):
        right = prior.transposed(columns.transposed(np.broadcast_to(one.slope, W.shape)))
        yield k + len(problem.Q) + j, prior.b(mode.factor.solve(right))


def _by_theta(at: Laplace) -> Iterator[tuple[int, Effects]]:
    """Along the parameters of T and of K."""
    problem, mode = at.problem, at.mode
    assert mode.factor is not None
    prior, columns, W = mode.prior, problem.columns, mode.density.observed
    force = columns.transposed(mode.density.slope)
    for t, block in enumerate(problem.blocks):
        for k, D in directions(block, at.at.theta):
            direct = columns.nothing()
            direct[t] = D @ mode.u[t]
            right = prior.transposed(columns.transposed(-W * columns.eta(direct)))
            right[t] = right[t] + D.T @ force[t]
            yield k, along(direct, 1.0, prior.b(mode.factor.solve(right)))
        if block.is_parametric:
            first = block.theta_slices[0]
            for k in range(first.start + block.structures[0].inner.k, first.stop):
                right = columns.nothing()
                right[t] = -_change_of_penalty(at, k)[t]
                yield k, prior.b(mode.factor.solve(right))


def _change_of_penalty(at: Laplace, k: int) -> Effects:
    """(dK^-1/dtheta_k) u by central differences."""
    theta = at.at.theta
    step = np.zeros(theta.size)
    step[k] = _STEP * max(1.0, abs(float(theta[k])))
    blocks = at.problem.blocks
    above, below = (Prior.at(blocks, theta + sign * step).penalty(at.mode.u) for sign in (1.0, -1.0))
    return [(one - other) / (2.0 * step[k]) for one, other in zip(above, below, strict=True)]
