"""Which of the parameters (theta, phi) are searched, and in what units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mme.covariance.turns import Turns, turns_at
from mme.engine.objective import Objective
from mme.model.problem import Model
from mme.numeric.counted import NO_VALUE
from mme.numeric.differences import slopes
from mme.numeric.kept import kept
from mme.residual.base import Bound

# Steps of one in one of few parameters of residuals move their mean logarithm by this where it matters, and all steps
# together never by more than so much.
_FEW, _FAR, _FARTHEST = 6, 1.0, 200.0


@dataclass(frozen=True, eq=False)
class Searched:
    """Coordinates x of order one of what is searched of (theta, phi), theta in the axes of the terms.

    Attributes
    ----------
    model : the model.
    first : (k + phi,) the first parameters, at which those that are not searched stay.
    scale : (k + phi,) units: x is a parameter times its scale.
    estimated : (k + phi,) bool, which were not given.
    free : (k + phi,) bool, which are searched: those estimated, but for entries of theta that the axes hold at zero.
    turns : Turns or None, axes turned so that x are good coordinates of the covariances where the search is.
    spread : Bound or None, residuals whose standard deviations move far together, by their mean logarithm c(phi): sizes
        of effects are searched beside them, x = theta scale exp(c(phi at first) - c(phi)).
    """

    model: Model
    first: np.ndarray
    scale: np.ndarray
    estimated: np.ndarray
    free: np.ndarray
    turns: Turns | None = None
    spread: Bound | None = None

    @classmethod
    def of(cls, objective: Objective, first: np.ndarray, theta_given: bool) -> Searched:
        """What is searched of a criterion in the axes, from these first parameters."""
        model, of_phi = objective.model, np.ones(objective.phi.size, dtype=bool)
        scale = np.concatenate([objective.theta_scale, np.ones(objective.phi.size)])
        estimated = np.ones(first.size, dtype=bool)
        estimated[: model.k] = not theta_given
        if model.held is not None:
            estimated[: model.k] &= np.isnan(model.held.values)
        if model.phi is not None:
            estimated[model.k :] = np.isnan(model.phi)
        free = estimated & np.concatenate([model.coordinates.free, of_phi])
        return cls(model, first, scale, estimated, free, spread=_moving_far(model, first))

    @kept
    def even(self) -> np.ndarray:
        """Coordinates in which the criterion is even together with others: standard deviations."""
        of_phi = np.zeros(self.first.size - self.model.k, dtype=bool)
        return np.concatenate([self.model.diagonal, of_phi])[self.free]

    def parameters(self, x: np.ndarray) -> np.ndarray:
        """All parameters where the coordinates of those searched are x."""
        if self.turns is not None:
            return self._unturned(x, self.turns)
        if self.all_free and self.spread is None:
            return np.asarray(x / self._unit)
        parameters = self.first.copy()
        parameters[self.free] = x / self._unit
        if self.spread is not None:
            parameters[self._sizes] /= self._beside(parameters)
        return parameters

    def many(self, points: np.ndarray) -> np.ndarray:
        """All parameters (S, k + phi) where the coordinates of those searched are the rows of ``points``."""
        if self.turns is None and self.spread is None and self.all_free:
            return np.asarray(points / self._unit)
        return np.array([self.parameters(x) for x in points])

    def _unturned(self, z: np.ndarray, turns: Turns) -> np.ndarray:
        at, k = self.first * self.scale, self.model.k
        at[self.free] = z
        at[:k] = turns.inner(at[:k])
        return np.asarray(at / self.scale)

    def x(self, parameters: np.ndarray) -> np.ndarray:
        """The coordinates x of all parameters (k + phi,)."""
        if self.spread is not None:
            parameters = np.where(self._sizes, parameters * self._beside(parameters), parameters)
        return self.widths(parameters)

    def widths(self, differences: np.ndarray) -> np.ndarray:
        """Differences of x, of these differences of all parameters from the first ones."""
        return np.asarray((differences * self.scale)[self.free])

    def turned(self, x: np.ndarray) -> tuple[Searched, np.ndarray] | None:
        """The same search in axes turned to suit the covariances at x, with x there; None where no turn is needed."""
        if self.model.held is not None:
            return None
        at, k = self.parameters(x) * self.scale, self.model.k
        turns = turns_at(self.model.coordinates, at[:k])
        if turns is None:
            return None
        at[:k] = turns.outer(at[:k])
        return replace(self, turns=turns, spread=None), at[self.free]

    @property
    def across(self) -> np.ndarray:
        """Which coordinates are covariances between turned axes."""
        out = np.zeros(self.first.size, dtype=bool)
        if self.turns is not None:
            out[: self.model.k] = self.turns.across
        return out[self.free]

    def jacobian(self, parameters: np.ndarray) -> np.ndarray:
        """The derivatives (k + phi, k + phi) of all coordinates by all parameters."""
        if self.spread is not None:
            return self._jacobian_of_spread(parameters, self.spread)
        if self.turns is None:
            return np.diag(self.scale)
        out, k = np.diag(self.scale), self.model.k
        out[:k, :k] = self.turns.jacobian((parameters * self.scale)[:k]) * self.scale[:k]
        return out

    def by_coordinates(self, parameters: np.ndarray) -> np.ndarray:
        """The derivatives (k + phi, free) of all parameters by the coordinates that are searched."""
        return np.asarray(np.linalg.inv(self.jacobian(parameters))[:, self.free])

    def _jacobian_of_spread(self, parameters: np.ndarray, spread: Bound) -> np.ndarray:
        out, k = np.diag(np.where(self._sizes, self._beside(parameters), 1.0) * self.scale), self.model.k
        try:
            by_phi = slopes(lambda phi: spread.log_sd(phi).mean(keepdims=True), parameters[k:])[:, 0]
        except NO_VALUE:  # beside an end of what the structure can be
            by_phi = np.full(parameters.size - k, np.nan)
        out[:, k:] -= np.where(self._sizes, np.diag(out) * parameters, 0.0)[:, None] * by_phi
        return out

    def _beside(self, parameters: np.ndarray) -> float:
        """What sizes beside sigma are to be multiplied by, to be sizes beside the residuals where phi is the first."""
        assert self.spread is not None
        here, first = (float(np.mean(self.spread.log_sd(of[self.model.k :]))) for of in (parameters, self.first))
        return float(np.exp(np.clip(first - here, -_FARTHEST, _FARTHEST)))

    @kept
    def _sizes(self) -> np.ndarray:
        return growing(self.model) & self.free

    @kept
    def all_free(self) -> bool:
        """Whether all parameters are searched."""
        return bool(self.free.all())

    @kept
    def _unit(self) -> np.ndarray:
        return self.scale[self.free]


def _moving_far(model: Model, first: np.ndarray) -> Bound | None:
    """The residuals, if a step of their parameters moves all their standard deviations by more than they differ."""
    residual, phi = model.residual, first[model.k :]
    if residual is None or not model.k or phi.size > _FEW:
        return None
    here = residual.log_sd(phi).mean()
    try:
        moved = [abs(residual.log_sd(phi + one).mean() - here) for one in np.eye(phi.size)]
    except NO_VALUE:  # a step beyond what the structure can be
        return None
    return residual if max(moved) > _FAR else None


def growing(model: Model) -> np.ndarray:
    """Which parameters (k + phi,) are sizes beside sigma: entries of T, without the parameters of relationships."""
    sizes = [part.per_row(np.full(part.q, 2.0), 1.0) > 1.5 for part in model.structures]
    return np.concatenate([*sizes, np.zeros(0 if model.residual is None else model.residual.k, dtype=bool)])
