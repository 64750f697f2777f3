r"""The exact score of the criterion by theta and phi, by what the criterion says of each small matrix.

The criterion C of V = Z (K (x) H) Z' + R, H = T T', in units of sigma^2, has dC = <S, dV> with

    S = P - c P y y'P by REML,      V^-1 - c P y y'P by ML,      c = 1 / sigma^2,                                 (S)

sigma profiled out or known. Of a block it takes Phi = sum_gh K_gh (Z'S Z)_gh (q, q): C changes by <Phi, dH>. With u of
Henderson's equations in spherical effects, v_g = T^-1'u_g is (K Z'P y)_g; with N = sum_g (Z'Z Lambda M^-1 Lambda')_gg

    Phi = N H^-1 - sum_g (Z'k)_g v_g(k)' - c sum_g (Z'e)_g v_g(e)'                                              (Phi)

without K itself; T is evaluated beside theta where it is singular, which Phi is smooth in. Of a residual structure it
takes the blocks of S among the records of a group (:mod:`mme.residual.sensitivity`), of a relationship with parameters
what :mod:`mme.derivatives.relationships` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mme.derivatives.relationships import OfRelationship, of_relationships, relationship_score
from mme.derivatives.uncertainty import Meetings, Uncertainty
from mme.derivatives.whole import WholeUncertainty, fits_whole, is_mixed
from mme.engine.objective import Objective
from mme.engine.pls import pwrss
from mme.errors import MMEError
from mme.numeric.memory import UNASKED, available_bytes
from mme.residual.sensitivity import Sensitivity
from mme.solution.estimates import Estimates

# T is evaluated with standard deviations of at least this, columns of unit size.
_LEAST = 1e-4
# Arrays of the size of all blocks of records that are alive at one time.
_COPIES = 6


@dataclass(frozen=True, eq=False)
class OfStructure:
    """A structure of G in its block: where its theta stands, its columns, and the derivatives of H by these.

    A (q_b, q) takes its columns to those of the block; ``weights`` (q, q) are Phi of its columns; ``slopes`` (k, q, q)
    are dH, and ``second`` (k, k) those of <weights, H>.
    """

    block: int
    at: slice
    A: np.ndarray
    weights: np.ndarray
    slopes: np.ndarray
    second: np.ndarray


@dataclass(frozen=True, eq=False)
class Score:
    """The slopes of a criterion at theta and its phi, with a ``share`` of what y has in them."""

    objective: Objective
    theta: np.ndarray
    meetings: Meetings
    share: float = 1.0

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """(P), at theta or beside it where a T is singular."""
        kind = WholeUncertainty if is_mixed(self.objective) else Uncertainty
        return kind(Estimates(self.objective, self._inside), self.meetings)

    @cached_property
    def gradient(self) -> np.ndarray:
        """By theta, then phi (k + r,)."""
        out = np.zeros(self.theta.size)
        for part in self.parts:
            out[part.at] = np.einsum("iab,ab->i", part.slopes, part.weights)
        for one in self.relationships:
            out[one.at] = relationship_score(one, self.uncertainty, self.weights)
        structure = self.objective.model.residual
        if structure is None:
            return out
        return np.append(out, structure.score(self.objective.phi, self._sensitivity()))

    @cached_property
    def c(self) -> float:
        """1 / sigma^2."""
        constants = self.objective.constants
        if constants.sigma is not None:
            return 1.0 / constants.sigma**2
        return constants.n_effective / pwrss(self.uncertainty.estimates.at.border)

    @property
    def weights(self) -> np.ndarray:
        """The weights in S of the rows of (P) (p + 1,)."""
        return np.append(np.full(self.objective.system.p, float(self.objective.constants.reml)), self.share * self.c)

    @cached_property
    def parts(self) -> list[OfStructure]:
        """The structures of all terms, block by block."""
        found = []
        for b, block in enumerate(self.objective.random):
            A = self.change(b)
            Phi = A.T @ self.phi[b] @ A
            for part, at, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
                theta, unit = self.theta[at], self.units[at]
                weights = Phi[columns, columns]
                second = part.curvature(theta, unit, weights)
                found.append(OfStructure(b, at, A[:, columns], weights, part.slopes(theta, unit), second))
        return found

    @cached_property
    def relationships(self) -> list[OfRelationship]:
        """The parameters of relationships, block by block."""
        return of_relationships(self.objective.blocks, self._inside)

    @cached_property
    def phi(self) -> list[np.ndarray]:
        """Phi of every block (q, q), in its own columns."""
        of, found = self.uncertainty, []
        for b, block in enumerate(self.objective.random):
            T = block.T(self._inside)
            first = np.linalg.solve(T @ T.T, of.gains(b).T).T
            v = self.solved(b)
            sums = v if block.relationship is None else block.sums(of.rows)
            Phi = first - np.tensordot(sums * self.weights, v, ((0, 2), (0, 2)))
            found.append(0.5 * (Phi + Phi.T))
        return found

    def solved(self, b: int) -> np.ndarray:
        """v = K Z'k and K Z'P y of a block (J, q, p + 1)."""
        T = self.objective.blocks[b].T(self._inside)
        return np.matmul(np.linalg.inv(T).T, self.uncertainty.spherical[b])

    def change(self, b: int) -> np.ndarray:
        """A (q, q): a covariance H of the columns that theta is of is A H A' of the block's."""
        block = self.objective.blocks[b]
        A = np.eye(block.q) if block.C is None or block.inside else block.C
        A = block.scale[:, None] * A
        return A if block.turn is None else block.turn @ A

    @cached_property
    def units(self) -> np.ndarray:
        """The size of entries of theta (k,) that matters."""
        return 1.0 / self.objective.theta_scale

    @cached_property
    def _inside(self) -> np.ndarray:
        """Theta at which no T is singular."""
        model = self.objective.model
        pieces = zip(model.structures, model.split(self.theta), model.split(_LEAST * self.units), strict=True)
        return np.concatenate([np.zeros(0), *(part.inside(piece, least) for part, piece, least in pieces)])

    def _sensitivity(self) -> Sensitivity:
        structure, of = self.objective.model.residual, self.uncertainty
        assert structure is not None
        return structure.sensitivity(self.objective.phi, lambda members: of.among(members, self.weights))


def has_score(objective: Objective) -> bool:
    """Whether (Phi) holds for this model, and what it takes fits into memory."""
    model = objective.model
    if objective.fixed is not None and not objective.constants.reml:  # of V^-1, where M gives what columns of X leave
        return False
    if is_mixed(objective) and (objective.fixed is not None or not fits_whole(objective)):
        return False
    group = None if model.residual is None else model.residual.group
    among = model.n if group is None else int((np.bincount(group).astype(float) ** 2).sum())
    rows = 2 * (model.k + objective.phi.size) + 2 * objective.system.p
    needed = 8 * (rows * model.n + _COPIES * among)
    return needed <= UNASKED or needed <= available_bytes() // 2


def _with_inverses(objective: Objective) -> Objective:
    """The objective with something beside covariances that have no inverse at any theta."""
    blocks = []
    for block in objective.blocks:
        parts = zip(block.structures, block.column_slices, strict=True)
        made = tuple(part.with_inverse(_LEAST / block.size[columns]) for part, columns in parts)
        changed = any(one is not other for one, other in zip(made, block.structures, strict=True))
        blocks.append(replace(block, structures=made) if changed else block)
    if all(one is other for one, other in zip(blocks, objective.blocks, strict=True)):
        return objective
    return replace(objective, blocks=tuple(blocks))


def score(objective: Objective, theta: np.ndarray, meetings: Meetings) -> Score | None:
    """The score at theta; None where it has no digits: variances without bound, or no residuals."""
    if objective.is_large(objective.factors(theta)):
        return None
    found = Score(_with_inverses(objective), theta, meetings)
    try:
        finite = np.isfinite(found.gradient).all()
    except (MMEError, np.linalg.LinAlgError):
        return None
    return found if finite else None
