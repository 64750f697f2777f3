"""What was estimated of (theta, phi, log sigma), and the estimates where some of it is further.

A standard deviation s that is held in units of the response has theta = s / sigma, which moves as sigma does: sigma is
then a parameter of its own. Elsewhere it is known, or profiled out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mme.solution.estimates import Estimates


@dataclass(frozen=True, eq=False)
class Estimated:
    """The free ``entries`` (of theta and phi) about ``origin``, and log sigma behind them where it is one of them."""

    origin: Estimates
    entries: np.ndarray

    @property
    def sigma_too(self) -> bool:
        """Whether sigma was estimated beside standard deviations that are held."""
        held = self.origin.objective.model.held
        return held is not None and held.beside_sigma

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.entries.sum()) + self.sigma_too

    def moved(self, x: np.ndarray) -> Estimates:
        """Estimates where the parameters are further by x (size,)."""
        origin, count = self.origin, int(self.entries.sum())
        at = np.concatenate([origin.theta, origin.objective.phi])
        at[self.entries] += x[:count]
        theta, phi = np.split(at, [origin.theta.size])
        objective, held = origin.objective.at(phi), origin.objective.model.held
        if held is None or not held.beside_sigma:
            return Estimates(objective, theta)
        longer = float(np.exp(x[count]))
        constants = replace(objective.constants, sigma=origin.sigma * longer)
        return Estimates(replace(objective, constants=constants), np.where(held.in_units, theta / longer, theta))
