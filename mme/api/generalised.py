"""``GeneralisedFit``: what users hold in their hands after ``glmer``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.api.generalised_breeding import GeneralisedBreeding
from mme.api.generalised_checks import GeneralisedChecks
from mme.api.generalised_fixed import GeneralisedFixedEffects
from mme.api.generalised_intervals import GeneralisedIntervals
from mme.api.generalised_means import GeneralisedMeans
from mme.api.generalised_output import GeneralisedOutput
from mme.api.generalised_random import GeneralisedRandomEffects
from mme.api.generalised_records import GeneralisedRecords
from mme.family.base import Family
from mme.fitted.generalised import Course
from mme.fitted.offered import offered
from mme.fitted.varcorr import VarCorr
from mme.generalised.verdict import JointOptimum
from mme.model.problem import Model
from mme.tables.calls import explains

if TYPE_CHECKING:
    import pandas as pd

    from mme.generalised.check import LaplaceCheck


@explains(lambda fit, parameter: offered(fit.internals, parameter))
class GeneralisedFit(
    GeneralisedFixedEffects,
    GeneralisedMeans,
    GeneralisedIntervals,
    GeneralisedOutput,
    GeneralisedRecords,
    GeneralisedChecks,
    GeneralisedRandomEffects,
    GeneralisedBreeding,
):
    """A fitted generalised linear mixed model. Made by :func:`mme.glmer` and :func:`mme.glm_fit`.

    ``internals`` is the record: the problem, where the search ended, estimates as plain arrays.
    """

    @property
    def family(self) -> Family:
        """The distribution and its link."""
        return self.internals.family

    @property
    def model(self) -> Model:
        """The checked problem: ``model.X``, ``model.terms`` with their ``Z``."""
        return self.internals.model

    @property
    def theta(self) -> np.ndarray:
        """Entries of the covariance factors T (k,), absolute, in lme4's order; :attr:`theta_names` names them."""
        return self.internals.theta

    @property
    def optimum(self) -> JointOptimum:
        """What the search found and how it is judged."""
        return self.internals.optimum

    @property
    def engine(self) -> Course:
        """How the equations of the modes are solved, with the evaluations and passes that the search took."""
        return self.internals.engine

    @cached_property
    def beta(self) -> pd.Series:
        """Maximum likelihood estimates of the fixed effects, on the scale of the link."""
        import pandas as pd

        return pd.Series(self.internals.estimates.beta, index=list(self.fixed_names), name="beta")

    @cached_property
    def beta_cov(self) -> pd.DataFrame:
        """The covariance of :attr:`beta`, from the Hessian of the criterion by all parameters."""
        import pandas as pd

        names = list(self.fixed_names)
        return pd.DataFrame(self.internals.estimates.beta_cov, index=names, columns=names)

    @property
    def dispersion(self) -> float | None:
        """The single parameter of the family: a dispersion, a size, a precision; None where it has none or several."""
        found = list(self.internals.parameters.values())
        return found[0] if len(found) == 1 else None

    @property
    def parameters(self) -> dict[str, float]:
        """The family's parameters that were estimated, by name."""
        return self.internals.parameters

    @property
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects on the scale of the link: ``varcorr["g"].sd``."""
        return self.internals.varcorr

    @property
    def method(self) -> str:
        """``"ML"``: REML is of linear models."""
        return self.internals.method

    @property
    def criterion(self) -> float:
        """-2 log likelihood, every constant included."""
        return self.internals.criterion

    @property
    def hessian(self) -> np.ndarray:
        """Second derivatives of the criterion by theta, beta and the family's coordinates (``optimum.tau``) (m, m).

        In the user's columns; NaN for what was given or is held at zero, and of ``n_agq=0`` for beta.
        """
        return self.internals.hessian

    @property
    def loglik(self) -> float:
        """Log likelihood at the optimum: -criterion / 2."""
        return self.internals.loglik

    @property
    def dof(self) -> int:
        """Parameters estimated: fixed effects, theta, and those of the family."""
        return self.internals.dof

    @cached_property
    def fitted(self) -> Any:
        """The mean of each row at the modes of the random effects (NaN where a row was dropped)."""
        return self.internals.rows.aligned(self.internals.estimates.fitted, "fitted")

    def criterion_at(self, theta: Any = None, beta: Any = None) -> float:
        """-2 log likelihood at other parameters: the same approximation, the modes found anew, nothing searched.

        Parameters
        ----------
        theta : (k,) array or mapping by :attr:`theta_names`, optional
            Entries of the covariance factors, absolute; those of the fit by default.
        beta : (p,) array or mapping by :attr:`fixed_names`, optional
            Fixed effects on the scale of the link; those of the fit by default. The family's own parameters are those
            of the fit.

        Examples
        --------
        >>> import mme
        >>> data = {"y": [0, 1, 4, 2, 0, 0, 7, 3], "g": [1, 1, 2, 2, 3, 3, 4, 4]}
        >>> fit = mme.glmer("y ~ 1 + (1 | g)", data, "poisson")
        >>> fit.criterion_at() == fit.criterion < fit.criterion_at(theta=[0.5]), round(fit.criterion_at([0.0]), 4)
        (True, 41.3066)
        """
        from mme.fitted.generalised_refit import criterion_at

        return criterion_at(self.internals, theta, beta)

    def laplace_check(self, points: int | None = None) -> LaplaceCheck:
        """Compare Laplace's approximation with quadrature: the change of -2 log likelihood and of the fixed effects.

        Parameters
        ----------
        points : int, optional
            Nodes along each random coefficient; for one grouping factor with up to three coefficients a level. None:
            15, and 7 where there are three.

        Returns
        -------
        LaplaceCheck
            ``difference`` of -2 log likelihood at the estimates, and the ``shift`` of each fixed effect, in its
            standard errors, to the optimum of quadrature: where it is not small, fit with ``n_agq=points``.

        Examples
        --------
        >>> import mme
        >>> data = {"y": [0, 1, 1, 1, 0, 0, 1, 0], "g": [1, 1, 2, 2, 3, 3, 4, 4]}
        >>> check = mme.glmer("y ~ 1 + (1 | g)", data, "binomial").laplace_check()
        >>> check.points, abs(check.difference) < 1.0
        (15, True)
        """
        from mme.generalised.check import laplace_check

        if points is None:
            points = 15 if sum(term.q for term in self.internals.model.terms) < 3 else 7
        return laplace_check(self.internals.estimates, self.fixed_names, points)
