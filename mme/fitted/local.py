"""Second derivatives of the criterion at the optimum, by which standard errors of variances are stated.

They are taken in the axes of the terms, where covariates have no origin and no unit: in the user's columns the Hessian
of a slope on x = 1e8 + z has no digits left to be inverted by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.covariance.coordinates import Coordinates
from mme.derivatives.observed import hessian_by_slopes
from mme.engine.objective import Objective
from mme.numeric.curvature import curvature
from mme.search.joint import Joint
from mme.search.start import radii
from mme.search.verdict import Optimum


@dataclass(frozen=True, eq=False)
class Local:
    """The ``hessian`` by (theta, phi) at ``parameters``, NaN for those that were given.

    Theta is ``inside`` the axes, or in the user's columns where there are none and where it is no smooth function of
    those.
    """

    parameters: np.ndarray
    hessian: np.ndarray
    inside: bool

    def in_columns(self, coordinates: Coordinates, theta: np.ndarray) -> np.ndarray:
        """The Hessian by theta in the user's columns."""
        if not self.inside:
            return self.hessian
        change, estimated = np.eye(len(self.hessian)), np.isfinite(np.diag(self.hessian))
        change[: theta.size, : theta.size] = coordinates.jacobian(theta)
        both, out = np.ix_(estimated, estimated), np.full(self.hessian.shape, np.nan)
        out[both] = (change.T @ np.nan_to_num(self.hessian) @ change)[both]
        return out


def local(objective: Objective, theta: np.ndarray, optimum: Optimum) -> Local:
    """Differentiate the criterion at theta and the optimum's phi.

    The search's own Hessian was brought along by secants, or averaged with what is expected: good to find the optimum,
    not to state standard errors.
    """
    if objective.plan.iterative:  # differences of its criterion are of chance
        return Local(np.append(theta, optimum.phi), optimum.hessian, False)
    model, estimated = objective.model, np.isfinite(optimum.gradient)
    k, inside, x = model.k, objective.in_axes, model.coordinates.inner(theta)
    scale, free = np.ones(estimated.size), estimated.copy()
    scale[:k] = inside.theta_scale
    radius = scale * np.concatenate(_radius(inside, estimated[:k].any()))
    if model.coordinates.edge(x * scale[:k]).any():
        inside, x = objective, theta
        scale[:k] = objective.theta_scale
    else:
        free[:k] &= model.coordinates.free
    joint, at = Joint(model, inside), np.concatenate([x, optimum.phi])

    def criterion(x: np.ndarray) -> float:
        parameters = at.copy()
        parameters[free] = x
        return joint(parameters)

    H = np.full((at.size, at.size), np.nan)
    H[np.ix_(estimated, estimated)] = 0.0
    if free.any():
        found = hessian_by_slopes(inside, at, free)
        if found is None:
            found = curvature(criterion, at[free], criterion(at[free]), (radius / scale)[free]).hessian
        H[np.ix_(free, free)] = found
    return Local(at, H, inside.inside)


def _radius(objective: Objective, estimated: bool) -> tuple[np.ndarray, np.ndarray]:
    """How far theta, in the axes, and phi may be off at a start."""
    structure = objective.model.residual
    spread = np.zeros(0) if structure is None else structure.radius()
    return radii(objective) if estimated else np.ones(objective.model.k), spread
