"""The record of a fit: what was fitted, what was found, and what follows from both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from mme.engine.aliasing import Aliasing, aliasing
from mme.engine.objective import Objective
from mme.engine.plan import Engine
from mme.fitted.local import Local, local
from mme.fitted.varcorr import Component, VarCorr
from mme.identifiability.reduced import without_held
from mme.model.problem import Model
from mme.search.progress import Progress
from mme.search.verdict import Optimum, of_reduced
from mme.solution.estimates import Estimates
from mme.tables.rows import Rows

T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    """A fitted model as the rooms of this package see it; users hold it inside an ``mme.Fit``.

    Attributes
    ----------
    model : Model
        The checked problem.
    optimum : Optimum
        What the search found and how it is judged; theta and phi among it.
    objective : Objective
        The criterion of the model, assembled at phi.
    rows : Rows
        Which of the user's rows were used.
    progress : bool or callable
        Who is told of each evaluation, when the model is fitted again.
    formula : str or None
        The formula, when there was one.
    specification : Specification or None
        What the formula learned from the data.
    """

    model: Model
    optimum: Optimum
    objective: Objective
    rows: Rows
    progress: Progress = False
    formula: str | None = None
    specification: Any = None

    @property
    def theta(self) -> np.ndarray:
        """Parameters of the relative covariance factors (k,), in lme4's order; :attr:`theta_names` names them."""
        return self.optimum.theta

    def once(self, make: Callable[[Fitted], T]) -> T:
        """``make(self)``, made when it is first asked for and kept: a memo whose key is the function that makes."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    @cached_property
    def _made(self) -> dict[Callable[[Fitted], Any], Any]:
        return {}

    @cached_property
    def estimates(self) -> Estimates:
        """The numbers behind the tables, as plain arrays."""
        return Estimates(self.objective, self.theta)

    @property
    def theta_names(self) -> tuple[str, ...]:
        """Names of theta: ``g.x`` a standard deviation, ``g.x2.x1`` an off-diagonal entry of T."""
        return self.model.theta_names

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """Names of the fixed effects that are estimated."""
        return tuple(self.model.x_names[j] for j in self.objective.basis.kept.tolist())

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns of X left out because earlier columns determine them."""
        kept = set(self.objective.basis.kept.tolist())
        return tuple(name for j, name in enumerate(self.model.x_names) if j not in kept)

    @cached_property
    def aliasing(self) -> Aliasing:
        """What the columns left out are made of: the one test of what the data determine."""
        return aliasing(self.model.X, self.objective.basis)

    @property
    def sigma(self) -> float:
        """Residual standard deviation (of a record of weight one)."""
        return self.estimates.sigma

    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects: ``varcorr["g"].sd``, ``.cov``, ``.corr``."""
        parts = zip(self.model.terms, self.model.T(self.theta), strict=True)
        components = {term.name: Component(term.columns, self.sigma**2 * (T @ T.T)) for term, T in parts}
        return VarCorr(components, self.sigma, self.optimum.undetermined)

    @property
    def residual(self) -> dict[str, float]:
        """Natural parameters of the residual structure by name; empty without one."""
        structure = self.model.residual
        if structure is None:
            return {}
        return dict(zip(structure.names, structure.natural(self.optimum.phi).tolist(), strict=True))

    @property
    def relationships(self) -> dict[str, dict[str, float]]:
        """Natural parameters of relationships that have some, by term: ``{"ou(time | g)": {"range": 4.9}}``."""
        found = {}
        for term, part, theta in zip(
            self.model.terms, self.model.structures, self.model.split(self.theta), strict=True
        ):
            if part.relationship is not None:
                natural = part.relationship.natural(part.coordinates(theta)).tolist()
                found[term.name] = dict(zip(part.relationship.names, natural, strict=True))
        return found

    @cached_property
    def hessian(self) -> np.ndarray:
        """Second derivatives of the criterion by (theta, phi) at the optimum; NaN for parameters that were given."""
        return self.local.in_columns(self.model.coordinates, self.theta)

    @cached_property
    def local(self) -> Local:
        """Slope and curvature of the criterion at the optimum, in the axes of the terms, for delta methods."""
        return local(self.objective, self.theta, self.optimum)

    @property
    def singular(self) -> bool:
        """Some variance is zero or some correlation is one: an ordinary result, at the edge of the model."""
        return bool(self.optimum.boundary)

    @property
    def theta_given(self) -> bool:
        """Whether theta was given, not estimated."""
        k = self.model.k
        return k > 0 and not self.optimum.undetermined and bool(np.isnan(self.optimum.gradient[:k]).all())

    @cached_property
    def determined(self) -> Fitted:
        """The fit without the coefficients held at zero because the data do not determine their variances.

        Its beta, sigma and criterion are the same; the fit itself where nothing is held.
        """
        held = np.isnan(self.optimum.gradient[: self.model.k])
        if not self.optimum.undetermined or not held.any():
            return self
        rest = without_held(self.model, held)
        optimum, objective = of_reduced(self.optimum, rest), Objective.of(rest.model, phi=self.optimum.phi)
        return replace(self, model=rest.model, optimum=optimum, objective=objective)

    @property
    def phi_given(self) -> tuple[str, ...]:
        """Names of the parameters of the residual structure that were given, not estimated."""
        structure, phi = self.model.residual, self.model.phi
        if structure is None or phi is None:
            return ()
        return tuple(name for name, is_free in zip(structure.names, np.isnan(phi).tolist(), strict=True) if not is_free)

    @property
    def criterion(self) -> float:
        """-2 log (restricted) likelihood, with lme4's constants."""
        return self.estimates.criterion

    @property
    def criterion_contrasts(self) -> float:
        """-2 log density of orthonormal error contrasts: the REML criterion less log|X'X|; the deviance under ML."""
        if self.method == "ML":
            return self.criterion
        X = self.model.X[:, self.objective.basis.kept]
        return self.criterion - float(np.linalg.slogdet(X.T @ X)[1])

    @property
    def loglik(self) -> float:
        """Log (restricted) likelihood."""
        return -0.5 * self.criterion

    @property
    def method(self) -> str:
        """``"REML"`` or ``"ML"``."""
        return self.model.method

    @property
    def nobs(self) -> int:
        """Records used."""
        return self.model.n

    @property
    def n_dropped(self) -> int:
        """Rows of the data left out because something was missing."""
        return self.rows.n_dropped

    @property
    def dof(self) -> int:
        """Parameters estimated: fixed effects, theta, phi and sigma."""
        estimated = int(np.isfinite(self.optimum.gradient).sum())
        return self.objective.basis.kept.size + estimated + int(self.model.sigma is None)

    @property
    def aic(self) -> float:
        """Criterion + 2 dof."""
        return self.criterion + 2.0 * self.dof

    @property
    def bic(self) -> float:
        """Criterion + dof log(nobs)."""
        return self.criterion + self.dof * float(np.log(self.nobs))

    @property
    def engine(self) -> Engine:
        """What was absorbed, what was factorised and how, and seconds by stage."""
        return self.objective.engine
