"""The estimates, the likelihood and the verdict of a fit."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mme.api.base import Face
from mme.engine.plan import Engine
from mme.fitted.varcorr import VarCorr
from mme.model.problem import Model
from mme.search.verdict import Optimum

if TYPE_CHECKING:
    import pandas as pd


class Numbers(Face):
    """What was estimated, and how well it fits."""

    @property
    def model(self) -> Model:
        """The checked problem: ``model.X``, ``model.y``, ``model.terms`` with their ``Z``, ``model.residual``."""
        return self.internals.model

    @property
    def theta(self) -> np.ndarray:
        """Parameters of the relative covariance factors (k,), in lme4's order; :attr:`theta_names` names them."""
        return self.internals.theta

    @property
    def optimum(self) -> Optimum:
        """What the search found and how it is judged."""
        return self.internals.optimum

    @cached_property
    def beta(self) -> pd.Series:
        """Best linear unbiased estimates of the fixed effects."""
        import pandas as pd

        return pd.Series(self.internals.estimates.beta, index=list(self.fixed_names), name="beta")

    @cached_property
    def beta_cov(self) -> pd.DataFrame:
        """sigma^2 (X'V^-1 X)^-1: the covariance of :attr:`beta`."""
        import pandas as pd

        names = list(self.fixed_names)
        return pd.DataFrame(self.internals.estimates.beta_cov, index=names, columns=names)

    @property
    def sigma(self) -> float:
        """Residual standard deviation (of a record of weight one)."""
        return self.internals.sigma

    @property
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects: ``varcorr["g"].sd``, ``.cov``, ``.corr``."""
        return self.internals.varcorr

    @property
    def residual(self) -> dict[str, float]:
        """Natural parameters of the residual structure by name; empty without one."""
        return self.internals.residual

    @property
    def hessian(self) -> np.ndarray:
        """Second derivatives of the criterion by (theta, phi) at the optimum; NaN for parameters that were given."""
        return self.internals.hessian

    @property
    def criterion(self) -> float:
        """-2 log (restricted) likelihood, with lme4's constants."""
        return self.internals.criterion

    @property
    def criterion_contrasts(self) -> float:
        """-2 log density of orthonormal error contrasts: the REML criterion less log|X'X|; the deviance under ML."""
        return self.internals.criterion_contrasts

    @property
    def loglik(self) -> float:
        """Log likelihood at the optimum, restricted under REML: -criterion / 2."""
        return self.internals.loglik

    @property
    def method(self) -> str:
        """``"REML"`` or ``"ML"``."""
        return self.internals.method

    @property
    def dof(self) -> int:
        """Parameters estimated: fixed effects, theta, phi and sigma."""
        return self.internals.dof

    @property
    def engine(self) -> Engine:
        """How the equations are solved: what was absorbed, what was factorised and how, and seconds by stage."""
        return self.internals.engine
