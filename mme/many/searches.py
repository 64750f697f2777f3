"""Many responses of one model, searched together: least squares, sums, and a compiled search for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from mme.engine.objective import Objective
from mme.many.adjoint import slopes
from mme.many.curvature import criterion_of
from mme.many.elsewhere import search_all
from mme.many.inference import estimate_all, slopes_all
from mme.many.shared import SharedSums
from mme.numeric.kernels import argument, kernel
from mme.numeric.limits import limits
from mme.numeric.processors import in_threads

# Where searches begin: each term's variances at these multiples of their natural units, of which there are at most so
# many combinations; of more terms all at one multiple.
_MULTIPLES, _COMBINATIONS = (0.0, 0.7, 2.0, 6.0), 64
# Curvature, scaled to a unit diagonal, below which the Hessian does not tell a direction (``satterthwaite.py``).
_FLAT = 1e-6
# What the compiled loops call: the criterion of theta, at, design, room; slopes of at, design, room, into a vector.
_CRITERION = "float64(float64[::1], int64[::1], float64[::1], float64[::1])"
_SLOPES = "void(int64[::1], float64[::1], float64[::1], float64[::1])"


@dataclass(frozen=True, eq=False)
class Ends:
    """Where searches ended.

    Attributes
    ----------
    theta : (B, k) in the axes of the terms.
    criterion, promised, evaluations : (B,) there, what another Newton step promises, evaluations of the criterion.
    beta : (B, p) fixed effects, of the columns of X that are kept.
    sigma : (B,) residual standard deviation.
    variances, df : (B, contrasts) of the contrasts asked for; Satterthwaite's degrees of freedom where they are.
    """

    theta: np.ndarray
    criterion: np.ndarray
    promised: np.ndarray
    evaluations: np.ndarray
    beta: np.ndarray
    sigma: np.ndarray
    variances: np.ndarray
    df: np.ndarray


@dataclass(frozen=True, eq=False)
class Searches:
    """A model that is searched for many responses at once."""

    shared: SharedSums

    @classmethod
    def of(cls, objective: Objective) -> Searches | None:
        """Make it; None where each response must be searched by itself."""
        shared = None if objective.model.is_wide else SharedSums.of(objective)
        return None if shared is None else cls(shared)

    @property
    def objective(self) -> Objective:
        """The criterion of one response, theta in the axes of the terms."""
        return self.shared.objective

    @property
    def together(self) -> int:
        """Responses that are handled at a time."""
        return max(1, limits().response_numbers // (3 * self.objective.model.n + 2 * self.shared.design.width))

    def search(
        self,
        Y: np.ndarray,
        contrasts: np.ndarray,
        starts: np.ndarray | None = None,
        threads: int = 1,
        freedom: bool = False,
    ) -> Ends:
        """Search for responses (B, n), from ``starts`` (B, k) too; ``contrasts`` (c, p) are of X's kept columns.

        With ``freedom`` Satterthwaite's degrees of freedom of the contrasts are found too.
        """
        pieces = [slice(first, first + self.together) for first in range(0, len(Y), self.together)]
        own = np.zeros((len(Y), 0, self.objective.model.k)) if starts is None else starts[:, None, :]
        found = [self._searched(Y[at], contrasts, own[at], threads, freedom) for at in pieces]
        return Ends(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _searched(
        self, Y: np.ndarray, contrasts: np.ndarray, starts: np.ndarray, threads: int, freedom: bool
    ) -> tuple[np.ndarray, ...]:
        B, k, p = len(Y), self.objective.model.k, self.objective.system.p
        r, beta = self._least_squares(Y)
        sums = np.ascontiguousarray(self.shared.sums(r))
        own = np.ascontiguousarray(starts)
        theta, told, gamma, two = np.empty((B, k)), np.empty((B, 3)), np.empty((B, p)), np.empty((B, 2))
        variances, z = np.empty((B, len(contrasts))), self._turned(contrasts)
        hessian, along = np.empty((B, k, k)), np.empty((B, len(contrasts), k))

        def run(at: slice) -> None:
            layout = self.shared.design
            vectors, both = (layout.at, layout.design, layout.room.copy()), _evaluations()
            _compiled(search_all)(sums[at], own[at], self._common, *vectors, theta[at], told[at], *both)
            _compiled(estimate_all)(sums[at], theta[at], z, *vectors, gamma[at], two[at], variances[at], both[0])
            if freedom:
                _compiled(slopes_all)(sums[at], theta[at], z, *vectors, hessian[at], along[at], *both)

        in_threads(run, B, threads)
        beta = beta + gamma @ self.objective.basis.R_inverse.T
        df = self._freedom(hessian, along) if freedom else np.full(variances.shape, np.inf)
        return theta, told[:, 0], told[:, 1], told[:, 2].astype(np.int64), beta, np.sqrt(two[:, 1]), variances, df

    def _freedom(self, hessian: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Satterthwaite's degrees of freedom (B, contrasts)."""
        share = 1.0 / self.objective.constants.n_effective if self.objective.model.sigma is None else 0.0
        known = np.isfinite(hessian).all(axis=(1, 2)) & np.isfinite(slopes).all(axis=(1, 2))
        hessian[~known], slopes[~known] = np.eye(hessian.shape[1]), np.nan
        size = np.sqrt(np.maximum(np.abs(np.einsum("bii->bi", hessian)), _FLAT))
        values, vectors = np.linalg.eigh(hessian / (size[:, :, None] * size[:, None, :]))
        along = np.einsum("bck,bki->bci", slopes / size[:, None, :], vectors)
        curved = values > _FLAT
        inverse = share + np.einsum("bci,bi->bc", along**2, np.where(curved, 1.0 / np.where(curved, values, 1.0), 0.0))
        open_ = (np.abs(along) > 1e-3) & ~curved[:, None, :]
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(open_.any(axis=2), np.nan, 1.0 / inverse))

    def _turned(self, contrasts: np.ndarray) -> np.ndarray:
        """R^-T c (c, p) of contrasts of the kept columns of X."""
        return np.ascontiguousarray(contrasts @ self.objective.basis.R_inverse)

    def _least_squares(self, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (B, n) of least squares, whitened, and beta (B, p). They are projected twice, against rounding."""
        objective, basis = self.objective, self.objective.basis
        offset = objective.model.offset
        Y = Y if offset is None else Y - offset
        level = Y.mean(axis=1) if self._of_constant is not None else np.zeros(len(Y))
        white, Q = objective.whitening(Y - level[:, None]), basis.N[:-1]
        gamma = white @ Q.T
        r = white - gamma @ Q
        again = r @ Q.T
        r -= again @ Q
        beta = (gamma + again) @ basis.R_inverse.T
        return r, beta if self._of_constant is None else beta + level[:, None] * self._of_constant

    @cached_property
    def _common(self) -> np.ndarray:
        """Thetas (m, k) that every search tries first: T is diagonal; the first theta is zero."""
        model, u = self.objective.model, self.shared.design.unit
        terms = np.concatenate([np.full(part.k, t) for t, part in enumerate(model.structures)])
        multiples = _MULTIPLES[::2] if self.shared.is_wide else _MULTIPLES
        together = len(multiples) ** len(model.structures) > _COMBINATIONS
        same = [(m,) * len(model.structures) for m in multiples]
        chosen = same if together else list(product(multiples, repeat=len(model.structures)))
        return np.array([np.where(model.diagonal, np.array(one)[terms] * u, 0.0) for one in chosen])

    @cached_property
    def _of_constant(self) -> np.ndarray | None:
        """Beta (p,) of a response of ones, to take means off responses first; None where X does not span it."""
        basis = self.objective.basis
        ones, Q = self.objective.whitening(np.ones((1, self.objective.model.n)))[0], basis.N[:-1]
        along = Q @ ones
        spanned = np.linalg.norm(ones - along @ Q) <= 1e-12 * np.linalg.norm(ones)
        return np.asarray(basis.R_inverse @ along) if spanned else None


def _evaluations() -> tuple[Any, Any]:
    """The criterion and its slopes, for the compiled loops."""
    return argument(criterion_of, _CRITERION), argument(slopes, _SLOPES)


def _compiled(loop: Callable[..., None]) -> Callable[..., Any]:
    return kernel(loop, limits().interpreted_steps + 1)
