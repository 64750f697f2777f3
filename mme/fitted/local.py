"""Second derivatives of the criterion at the optimum, by which standard errors of variances are stated.

They are taken in the axes of the terms, where covariates have no origin and no unit: in the user's columns the Hessian
of a slope on x = 1e8 + z has no digits left to be inverted by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.derivatives.observed import hessian_by_slopes
from mme.engine.objective import Objective
from mme.numeric.curvature import curvature
from mme.search.joint import Joint
from mme.search.start import radii
from mme.search.verdict import Optimum


@dataclass(frozen=True, eq=False)
class Local:
    """The ``hessian`` by (theta, phi) at ``parameters``, NaN for those that were given.

    Theta is ``inside`` the axes, or in the user's columns where there are none. At the edge too: covariances are smooth
    functions of theta inside, though theta in the columns is none.
    """

    parameters: np.ndarray
    hessian: np.ndarray
    inside: bool


def local(objective: Objective, theta: np.ndarray, optimum: Optimum) -> Local:
    """Differentiate the criterion at theta and the optimum's phi.

    The search's own Hessian was brought along by secants, or averaged with what is expected: good to find the optimum,
    not to state standard errors.
    """
    if objective.plan.iterative:  # differences of its criterion are of chance
        return Local(np.append(theta, optimum.phi), optimum.hessian, False)
    coordinates = objective.model.coordinates
    return _differentiated(objective.in_axes, coordinates.inner(theta), optimum, coordinates.free)


def hessian_in_columns(objective: Objective, theta: np.ndarray, optimum: Optimum, found: Local) -> np.ndarray:
    """The Hessian by (theta, phi), theta in the user's columns, from that in the axes; at the edge by itself."""
    coordinates, k = objective.model.coordinates, theta.size
    if not found.inside:
        return found.hessian
    if coordinates.edge(found.parameters[:k] * objective.in_axes.theta_scale).any():
        return _differentiated(objective, theta, optimum, np.ones(k, dtype=bool)).hessian
    change, estimated = np.eye(len(found.hessian)), np.isfinite(np.diag(found.hessian))
    change[:k, :k] = coordinates.jacobian(theta)
    both, out = np.ix_(estimated, estimated), np.full(found.hessian.shape, np.nan)
    out[both] = (change.T @ np.nan_to_num(found.hessian) @ change)[both]
    return out


def _differentiated(objective: Objective, x: np.ndarray, optimum: Optimum, curved: np.ndarray) -> Local:
    """At theta = x of this objective, of which the entries ``curved`` say anything."""
    model, estimated = objective.model, np.isfinite(optimum.gradient)
    k, free, axes = model.k, estimated.copy(), objective.in_axes
    free[:k] &= curved
    radius = np.concatenate(_radius(axes, estimated[:k].any()))
    radius[:k] *= axes.theta_scale / objective.theta_scale
    joint, at = Joint(model, objective), np.concatenate([x, optimum.phi])

    def criterion(x: np.ndarray) -> float:
        parameters = at.copy()
        parameters[free] = x
        return joint(parameters)

    H = np.full((at.size, at.size), np.nan)
    H[np.ix_(estimated, estimated)] = 0.0
    if free.any():
        found = hessian_by_slopes(objective, at, free)
        if found is None:
            found = curvature(criterion, at[free], criterion(at[free]), radius[free]).hessian
        H[np.ix_(free, free)] = found
    return Local(at, H, objective.inside)


def _radius(objective: Objective, estimated: bool) -> tuple[np.ndarray, np.ndarray]:
    """How far theta, in the axes, and phi may be off at a start."""
    structure = objective.model.residual
    spread = np.zeros(0) if structure is None else structure.radius()
    return radii(objective) if estimated else np.ones(objective.model.k), spread
