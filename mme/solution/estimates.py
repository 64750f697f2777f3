"""Everything numeric that a fit reports, computed from the objective at its theta: plain arrays, user's units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mme.engine.criterion import criterion, residual_sd
from mme.engine.objective import Objective
from mme.engine.pls import Evaluation, Factors, coordinates, effects, half_covariance, logdet_X, pwrss
from mme.engine.wide_basis import WideBasis
from mme.errors import MMEError
from mme.numeric.factor import NotPositiveDefiniteError
from mme.numeric.panels import term_values
from mme.numeric.sums import coding
from mme.residual import Bound
from mme.solution.diagonal import are_apart, by_term, conditional_blocks, half_with_columns_within, sensitivities
from mme.solution.grouped_errors import grouped_errors
from mme.solution.wide import WideCovariance

# Error of the criterion, by what elimination loses of pwrss, from which on pwrss is summed over the records.
_TOLERATED = 1e-8


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates at one theta; each is computed when first asked for, and once."""

    objective: Objective
    theta: np.ndarray

    @cached_property
    def in_axes(self) -> Estimates:
        """The same estimates, with theta in the axes of the terms."""
        objective = self.objective.in_axes
        if objective is self.objective:
            return self
        return Estimates(objective, objective.model.coordinates.inner(self.theta))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the objective and theta alone: factors are made again when they are asked for."""
        return Estimates, (self.objective, self.theta)

    @cached_property
    def at(self) -> Evaluation:
        """The factors at theta, level by level."""
        return self._evaluated(self.objective.factors(self.theta))

    @cached_property
    def _contrasts(self) -> Evaluation:
        """The factors that the likelihood takes: without the columns of Z within X (:mod:`mme.engine.span`)."""
        if self.objective.within is None:
            return self.at
        return self._evaluated(self.objective.contrast_factors(self.theta))

    def _evaluated(self, T: Factors) -> Evaluation:
        try:
            return self.objective.evaluation(T, self.theta)
        except NotPositiveDefiniteError:
            raise MMEError(
                "at these variances the model fits the response exactly: no residual variance is left"
            ) from None

    @cached_property
    def criterion(self) -> float:
        """-2 log (restricted) likelihood."""
        objective = self.objective
        if self._orthogonal is not None:
            logdet, border = self._orthogonal
            return criterion(objective.constants, logdet, logdet_X(border), pwrss(border))
        at = self._contrasts
        apart = objective.within is not None or objective.fixed is not None
        ml = apart and not objective.constants.reml
        logdet = objective.logdet_M(self.theta) if ml else at.logdet_M
        return criterion(objective.constants, logdet, logdet_X(at.border), self.pwrss)

    @cached_property
    def _orthogonal(self) -> tuple[float, np.ndarray] | None:
        """log|M| and the factor of (N) where Cholesky's have no digits left (:mod:`mme.engine.orthogonal`)."""
        large = self.objective.is_large(self.objective.contrast_factors(self.theta))
        return self.objective.contrasts(self.theta) if large else None

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return residual_sd(self.objective.constants, self.pwrss)

    @property
    def record_sd(self) -> np.ndarray:
        """Standard deviation of e for every record (n,): sigma sqrt(R_ii / weight_i)."""
        model = self.objective.model
        sd = np.full(model.n, self.sigma)
        if (root := model.root_weights) is not None:
            sd /= root
        if model.residual is not None:
            sd *= np.exp(model.residual.log_sd(self.objective.phi))
        return sd

    @cached_property
    def pwrss(self) -> float:
        """Penalised weighted residual sum of squares: |r - Q gamma - Z b|^2 + u'K^-1 u.

        Elimination leaves of r'r what its subtractions have not cancelled: eight digits at a variance ratio of 1e8.
        Where that shows in the criterion it is summed over the records, which errors of gamma and u enter at second
        order only.
        """
        if self._orthogonal is not None:
            return pwrss(self._orthogonal[1])
        r, eliminated = self.objective.basis.r, pwrss(self._contrasts.border)
        lost = np.finfo(float).eps * self.objective.constants.n_effective * float(r @ r)
        if lost < _TOLERATED * eliminated:
            return eliminated
        residual = self.whitened_residual(self._solution[0])
        return float(residual @ residual) + self._solution[1]

    def whitened_residual(self, gamma: np.ndarray | None = None, *, conditional: bool = True) -> np.ndarray:
        """Y - X beta - Z b, or y - X beta, whitened (n,), at the estimated beta or another on the basis of X.

        It is taken on that basis and in the columns of the blocks: where a covariate is far from zero, X beta in the
        user's units has errors of the size of that distance, rounded.
        """
        gamma = self._gamma if gamma is None else gamma
        residual = self.objective.basis.r - self.objective.basis.Q @ gamma
        for block, b in zip(self.objective.blocks, self._solution[2], strict=True):
            if conditional or block.is_fixed:
                for a, (column, effect) in enumerate(zip(block.columns, b.T, strict=True)):
                    part = effect[coding(block.codes, a)]
                    part = part if column is None else column * part
                    residual -= part if block.records is None else np.bincount(block.records, part)
        return np.asarray(residual)

    @cached_property
    def _solution(self) -> tuple[np.ndarray, float, list[np.ndarray]]:
        """Gamma, u'K^-1 u, and b of each block (J, q) with scaled columns.

        Without the columns within X, Q gamma is the mean with Z_w b_w of these, and b_w = T_w u what others tell of it.
        """
        objective, factors = self.objective, self.objective.contrast_factors(self.theta)
        gamma = coordinates(self._contrasts.border)
        y_minus_X_gamma = np.append(-gamma, 1.0)[None, :]
        u_absorbed, u_rest = effects(objective.system, self._contrasts, factors, y_minus_X_gamma)
        blocks = [b[:, :, 0] for b in objective.by_block(u_absorbed, u_rest, self.theta)]
        for block, within, b in zip(objective.blocks, objective.within or (), blocks, strict=False):
            if within.any():
                gamma = gamma - np.einsum("gap,ga->p", block.sums(objective.basis.N[:-1])[:, within], b[:, within])
        schur = objective.system.rest.at(factors.penalty).schur
        u = float(np.vdot(u_absorbed, u_absorbed)) + schur.penalty_of(u_rest[:, 0])
        return gamma, u, blocks

    @cached_property
    def beta(self) -> np.ndarray:
        """BLUE of the kept columns of X (p,)."""
        return self.objective.basis.coefficients(self._gamma, lambda: self._solution[2])

    @property
    def _gamma(self) -> np.ndarray:
        """Coordinates (p,) on the orthonormal basis of X of beta less its estimate by ordinary least squares."""
        return self._solution[0]

    @cached_property
    def _apart(self) -> bool:
        """Whether the effects of columns within X, where there are any, are uncorrelated with all others."""
        return are_apart(self.objective, self.theta)

    @cached_property
    def beta_cov(self) -> np.ndarray:
        """sigma^2 (X'V^-1 X)^-1 (p, p)."""
        return np.asarray(self.half.T @ self.half) if self.wide is None else self.wide.whole

    @property
    def se(self) -> np.ndarray:
        """Standard errors of beta (p,)."""
        return np.asarray(np.sqrt(np.diag(self.beta_cov) if self.wide is None else self.wide.variances))

    @cached_property
    def wide(self) -> WideCovariance | None:
        """The covariance of the fixed effects of a wide X; None where X is dense."""
        if not isinstance(self.objective.basis, WideBasis):
            return None
        return WideCovariance(self.objective, self.theta, self.at, self.sigma)

    @cached_property
    def half(self) -> np.ndarray:
        """F (m, p) with cov(beta) = F'F: var(c'beta) = |F c|^2 loses no digits where columns of X are far from zero.

        Uncorrelated effects H of columns Z_w = X C within X make beta uncertain by as much, C H C', and by no more.
        """
        objective = self.objective
        objective.model.require_dense("the whole covariance of beta")
        if not self._apart or any(block.relationship is not None for block in objective.blocks):
            return np.asarray(self.sigma * self._half_covariance)
        return half_with_columns_within(objective, self.theta, self._contrasts.border, self.sigma)

    @cached_property
    def _half_covariance(self) -> np.ndarray:
        """F' (p, p): (X'V^-1 X)^-1 = F F' in units of sigma^2."""
        return half_covariance(self.at.border, self.objective.basis.R_inverse)

    @cached_property
    def b(self) -> list[np.ndarray]:
        """BLUPs of each term (J, q)."""
        blocks = zip(self.objective.random, self._solution[2], strict=False)
        return by_term(self.objective.random, [block.effects(b, self.theta) for block, b in blocks])

    @cached_property
    def condvar(self) -> list[np.ndarray]:
        """var(b | y) of each term (J, q, q): beta held at its estimate."""
        out = [self.sigma**2 * H for H in self.given_beta.relative_variances]
        for one in self.objective.model.unknown_parents:
            out[one.term][one.groups] = 0.0
        return out

    @cached_property
    def given_beta(self) -> Estimates:
        """The same, with the sparse columns of a wide X given: M is that of the random effects alone."""
        objective = self.objective.given_beta
        return self if objective is self.objective else Estimates(objective, self.theta)

    @property
    def relative_variances(self) -> list[np.ndarray]:
        """Lambda M^-1 Lambda' of each term (J, q, q)."""
        blocks = zip(self.objective.blocks, conditional_blocks(self.objective, self.theta, self.at), strict=True)
        return by_term(self.objective.random, [block.covariance(H, self.theta) for block, H in blocks], square=True)

    @cached_property
    def pev(self) -> list[np.ndarray]:
        """var(b_hat - b) of each term (J, q, q): the uncertainty of beta included."""
        within = self.condvar
        if self.given_beta is not self:
            within = [self.sigma**2 * H for H in self.relative_variances]
        parts = zip(within, self._sensitivities, strict=True)
        return [one + self.sigma**2 * (E @ E.transpose(0, 2, 1)) for one, E in parts]

    @cached_property
    def _sensitivities(self) -> list[np.ndarray]:
        """E of each term (J, q, p), in the user's units."""
        blocks = zip(self.objective.blocks, sensitivities(self.objective, self.theta, self.at), strict=True)
        last = [block.effects(E.transpose(0, 2, 1), self.theta).transpose(0, 2, 1) for block, E in blocks]
        return by_term(self.objective.random, last)

    @cached_property
    def effects(self) -> list[np.ndarray]:
        """Effects of the levels of each term (J, q): b, and u* = a + Q g where unknown parents have fixed groups.

        They are measured from the groups that were dropped, and NaN where the records say nothing of a level's groups.
        """
        out, kept = list(self.b), self.objective.basis.kept
        for one in self.objective.model.unknown_parents:
            of_groups = one.in_levels(kept, self.beta[:, None])[:, :, 0]
            estimable = one.is_estimable(self.objective.model.X)
            out[one.term] = np.where(estimable, out[one.term] + of_groups, np.nan)
        return out

    @cached_property
    def along_beta(self) -> list[np.ndarray]:
        """D = Q F - E of each term (J, q, p), F F' the covariance of beta: effects_hat - effects has D D' of it.

        Q is zero without groups. NaN for groups that were dropped, and where the records say nothing of a level's.
        """
        out, kept = [-E for E in self._sensitivities], self.objective.basis.kept
        for one in self.objective.model.unknown_parents:
            self.objective.model.require_dense("covariances of prediction errors of animals with fixed groups")
            D = out[one.term] + one.in_levels(kept, self._half_covariance.T)
            D[one.unknown(kept, self.objective.model.X)] = np.nan
            out[one.term] = D
        return out

    @cached_property
    def effects_pev(self) -> list[np.ndarray]:
        """var(effects_hat - effects) of each term (J, q, q): condvar + sigma^2 D D'."""
        if not self.objective.model.unknown_parents or self.wide is not None:
            return grouped_errors(self.wide) if self.wide and self.objective.model.unknown_parents else self.pev
        parts = zip(self.condvar, self.along_beta, strict=True)
        return [one + self.sigma**2 * (D @ D.transpose(0, 2, 1)) for one, D in parts]

    @cached_property
    def population(self) -> np.ndarray:
        """X beta + offset (n,)."""
        return self._mean(conditional=False)

    @cached_property
    def fitted(self) -> np.ndarray:
        """X beta + Z b + offset (n,)."""
        return self._mean(conditional=True)

    def _mean(self, *, conditional: bool) -> np.ndarray:
        """Y less its residual, as X beta rounds at the size of a far covariate; by X beta where W^-1 is dense."""
        model = self.objective.model
        if (of_structure := model.residual) is not None and type(of_structure).colour is Bound.colour:
            mean = model.X[:, self.objective.basis.kept] @ self.beta
            for term, b in zip(model.terms, self.b, strict=True) if conditional else ():
                mean += term_values(term.codes, term.covariates, b)
            return np.asarray(mean if model.offset is None else mean + model.offset)
        residual = self.whitened_residual(conditional=conditional)
        if of_structure is not None:
            residual = of_structure.colour(self.objective.phi, residual[None])[0]
        return np.asarray(model.y - (residual if model.root_weights is None else residual / model.root_weights))
