"""Everything numeric that a generalised fit reports, in the user's units, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.errors import warn
from mme.generalised.columns import Effects
from mme.generalised.curvature import covariance, expected_given_theta, given_theta, hessian
from mme.generalised.moves import Moves, moves
from mme.generalised.problem import Problem
from mme.generalised.scoring import first_inverse
from mme.generalised.search import GAIN, SearchEnd
from mme.generalised.separation import Separation, across, growing, separation
from mme.numeric.kept import kept
from mme.numeric.lapack import cholesky

# A variance that is infinite: its root has room for products.
_LARGE = 1e200


@dataclass(frozen=True, eq=False)
class GeneralisedEstimates:
    """Estimates at the optimum; each is computed when first asked for, and once."""

    problem: Problem
    searched: SearchEnd

    @property
    def tau(self) -> np.ndarray:
        """Coordinates of the family's parameters (r,)."""
        return self.searched.at.at.tau

    @kept
    def beta(self) -> np.ndarray:
        """Fixed effects of the kept columns of X (p,)."""
        return self.problem.beta(self.searched.at.at.gamma)

    @kept
    def separation(self) -> Separation | None:
        """Directions in which the likelihood of beta has no maximum."""
        return separation(self.searched.at, converged=self.searched.descent.promised <= GAIN)

    @kept
    def hessian(self) -> np.ndarray:
        """Second derivatives of the criterion by the free parameters among theta in the axes, gamma and tau."""
        found = self.searched
        inverse = found.descent.inverse
        if self.separation is not None:  # steps of a search that went to infinity are no sizes of differences
            inverse = first_inverse(found.at)[np.ix_(found.free, found.free)]
            by_gamma = 2.0 * across(expected_given_theta(found.at), self.separation.span)
            inverse[self._of_gamma, self._of_gamma] = np.nan_to_num(0.5 * by_gamma)
        return hessian(found.criterion, found.at, found.free, inverse)

    @kept
    def parameter_cov(self) -> np.ndarray | None:
        """Their covariance 2 H^-1, across directions of separation; None where H is not positive definite."""
        if self.separation is None:
            return covariance(self.hessian)
        found = 2.0 * across(self.hessian, self.separation.span, self._of_gamma.start)
        return None if np.isnan(found).any() else found

    @property
    def joint_cov(self) -> np.ndarray | None:
        """``parameter_cov``; None for the fast criterion too, in which beta has no part."""
        return None if self.searched.criterion.points == 0 else self.parameter_cov

    @property
    def _of_gamma(self) -> slice:
        """Where gamma stands among the free parameters."""
        start = int(self.searched.free[: self.problem.model.k].sum())
        return slice(start, start + len(self.problem.Q))

    @kept
    def beta_cov(self) -> np.ndarray:
        """The covariance of beta (p, p), what theta and the dispersion leave uncertain included.

        That of theta held where the Hessian is not positive definite, and for the fast criterion, in which beta has no
        part; infinite for coefficients without a limit.
        """
        if self.joint_cov is None:
            return self.beta_cov_given_theta
        return self._of_beta(self.joint_cov[self._of_gamma, self._of_gamma])

    @kept
    def beta_cov_given_theta(self) -> np.ndarray:
        """The covariance of beta (p, p) with theta and the dispersion held: lme4's from RX."""
        return self._of_beta(self._gamma_cov_given_theta)

    @kept
    def _gamma_cov_given_theta(self) -> np.ndarray:
        at = self.searched.at
        if self.separation is None:
            found = given_theta(at)
        else:
            found = 2.0 * across(expected_given_theta(at), self.separation.span)
        if np.isnan(found).any():
            warn(
                "standard errors are not known: at the optimum, with all means at the ends of their range, the records "
                "hold no information on the fixed effects; see diagnose()"
            )
        return found

    def _of_beta(self, V: np.ndarray) -> np.ndarray:
        """The covariance of beta from that of gamma."""
        C = self.problem.beta_of_gamma
        V = np.asarray(C @ V @ C.T)
        if self.separation is not None:
            grows = growing(self.problem, self.separation)
            V[grows], V[:, grows] = 0.0, 0.0
            V[grows, grows] = np.inf
        return V

    @kept
    def se(self) -> np.ndarray:
        """Standard errors of beta (p,)."""
        return np.asarray(np.sqrt(np.diag(self.beta_cov)))

    @kept
    def half(self) -> np.ndarray:
        """F (p, p) with cov(beta) = F'F, a large number in place of infinity."""
        return half_of(self.beta_cov)

    @kept
    def half_given_theta(self) -> np.ndarray:
        """F (p, p) with F'F the covariance of beta at theta and the dispersion held."""
        return half_of(self.beta_cov_given_theta)

    @kept
    def b(self) -> list[np.ndarray]:
        """Modes of the random effects of each term (J, q)."""
        mode, theta = self.searched.at.mode, self.searched.at.at.theta
        blocks = zip(self.problem.blocks, mode.prior.b(mode.u), strict=True)
        return self.by_term([block.effects(b.T, theta) for block, b in blocks])

    @property
    def effects(self) -> list[np.ndarray]:
        """Effects of the levels of each term (J, q): the modes, as no groups of unknown parents stand beside them."""
        return self.b

    @kept
    def block_condvar(self) -> list[np.ndarray]:
        """var(b | y) of every level, block by block (J, q, q), in the user's columns."""
        theta, factor = self.searched.at.at.theta, self.searched.at.mode.factor
        assert factor is not None
        return [block.covariance(H, theta) for block, H in zip(self.problem.blocks, factor.covariances(), strict=True)]

    @kept
    def condvar(self) -> list[np.ndarray]:
        """var(b | y) of every level of each term (J, q, q), parameters held: from H at the mode."""
        return self.by_term(self.block_condvar)

    @kept
    def moves(self) -> Moves:
        """How beta and the modes move with uncertain parameters."""
        at, free = self.searched.at, self.searched.free
        if self.joint_cov is not None:
            return moves(at, self.joint_cov, free)
        of_gamma = np.zeros(free.size, dtype=bool)
        of_gamma[at.at.theta.size : at.at.theta.size + at.at.gamma.size] = True
        return moves(at, self._gamma_cov_given_theta, of_gamma)

    @kept
    def block_pev(self) -> list[np.ndarray]:
        """var(b_hat - b) of every level, block by block (J, q, q), in the user's columns."""
        theta, parts = self.searched.at.at.theta, zip(self.problem.blocks, self.moves.variances(), strict=True)
        moved = [block.covariance(V, theta) for block, V in parts]
        return [one + other for one, other in zip(self.block_condvar, moved, strict=True)]

    @kept
    def pev(self) -> list[np.ndarray]:
        """var(b_hat - b) of each term (J, q, q): what parameters leave uncertain included."""
        return self.by_term(self.block_pev)

    @property
    def effects_pev(self) -> list[np.ndarray]:
        """That of the effects of the levels: ``pev``."""
        return self.pev

    def by_term(self, blocks: list[np.ndarray]) -> list[np.ndarray]:
        """Cut the blocks (J, q) or (J, q, q) into terms, in the model's order."""
        out: dict[int, np.ndarray] = {}
        for block, values in zip(self.problem.blocks, blocks, strict=True):
            for term, columns in zip(block.terms, block.column_slices, strict=True):
                out[term] = values[:, columns] if values.ndim == 2 else values[:, columns, columns]
        return [out[t] for t in range(len(out))]

    @property
    def u(self) -> Effects:
        """Modes of the spherical effects, block by block (q, J)."""
        return self.searched.at.mode.u

    @property
    def eta(self) -> np.ndarray:
        """X beta + Z b + offset (n,)."""
        return self.searched.at.mode.eta

    @kept
    def population(self) -> np.ndarray:
        """X beta + offset (n,): the linear predictor of a level whose random effects are zero."""
        return np.asarray(self.problem.offset + self.searched.at.at.gamma @ self.problem.Q)

    @kept
    def fitted(self) -> np.ndarray:
        """The mean of each record at the modes (n,)."""
        return self.problem.family.mean(self.eta, self.tau)


def half_of(V: np.ndarray) -> np.ndarray:
    """F (p, p) with V = F'F, a large number in place of infinity."""
    V = np.where(np.isinf(V), _LARGE, V)
    size = np.sqrt(np.where(V.diagonal() > 0.0, V.diagonal(), 1.0))
    L, failed = cholesky(V / np.outer(size, size))
    if failed:
        values, vectors = np.linalg.eigh(V / np.outer(size, size))
        L = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(L.T * size)
