"""The record of a fit: what was fitted, what was found, and what follows from both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mme.engine.basis import FixedBasis, orthonormalise
from mme.engine.objective import Objective
from mme.engine.plan import Engine
from mme.engine.wide_basis import WideBasis
from mme.fitted.common import Record, once
from mme.fitted.local import Local, hessian_in_columns, local
from mme.fitted.varcorr import VarCorr, components
from mme.identifiability.reduced import without_held
from mme.model.problem import Model
from mme.relationship.lattice import Lattice
from mme.residual.whitening import Whitening
from mme.search.progress import Progress
from mme.search.verdict import UNBOUNDED, Optimum, of_reduced
from mme.solution.estimates import Estimates
from mme.tables.rows import Rows


@dataclass(frozen=True, eq=False, repr=False)
class Fitted(Record):
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
    source : Any
        Where the records are, and how they are read, of a model of sums: what needs records reads them again.
    """

    model: Model
    optimum: Optimum
    objective: Objective
    rows: Rows
    progress: Progress = False
    formula: str | None = None
    specification: Any = None
    source: Any = None

    @cached_property
    def estimates(self) -> Estimates:
        """The numbers behind the tables, as plain arrays."""
        return Estimates(self.objective, self.theta)

    @property
    def basis(self) -> FixedBasis:
        """Orthonormal basis of X, and which of its columns are kept."""
        return self.objective.basis

    @property
    def sigma(self) -> float:
        """Residual standard deviation (of a record of weight one)."""
        return self.estimates.sigma

    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects: ``varcorr["g"].sd``, ``.cov``, ``.corr``."""
        return VarCorr(components(self.model, self.theta, self.sigma), self.sigma, self.optimum.undetermined)

    @property
    def residual(self) -> dict[str, float]:
        """Natural parameters of the residual structure by name; empty without one."""
        structure = self.model.residual
        if structure is None:
            return self._of_field()
        return dict(zip(structure.names, structure.natural(self.optimum.phi).tolist(), strict=True))

    def _of_field(self) -> dict[str, float]:
        """Those of a field of residuals with a nugget, which is searched as a random one beside errors."""
        model = self.model
        for term, part, theta in zip(model.terms, model.structures, model.split(self.theta), strict=True):
            field = term.relationship
            if isinstance(field, Lattice) and field.nugget:
                own = dict(zip(field.names, field.natural(part.coordinates(theta)).tolist(), strict=True))
                return own | {"nugget": float(1.0 / (1.0 + theta[0] ** 2))}
        return {}

    @cached_property
    def hessian(self) -> np.ndarray:
        """Second derivatives of the criterion by (theta, phi) at the optimum; NaN for parameters that were given."""
        return hessian_in_columns(self.objective, self.theta, self.optimum, self.local)

    @cached_property
    def local(self) -> Local:
        """Slope and curvature of the criterion at the optimum, in the axes of the terms, for delta methods."""
        return local(self.objective, self.theta, self.optimum)

    @property
    def theta_given(self) -> bool:
        """Whether theta was given, not estimated."""
        k = self.model.k
        searched = self.optimum.undetermined or self.optimum.at_bounds
        return k > 0 and not searched and bool(np.isnan(self.optimum.gradient[:k]).all())

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
        structure, phi = self.model.residual, self.model.as_given.phi
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
        basis = self.objective.basis
        if isinstance(basis, WideBasis):
            return self.criterion - basis.logdet_of(self.model.weights)
        if self.model.compressed is not None and self.model.compressed.weighted:
            R = np.linalg.qr(once(self, "criterion_contrasts").X[:, basis.kept], mode="r")
            return self.criterion - 2.0 * float(np.log(np.abs(np.diag(R))).sum())
        if self.model.residual is not None or self.model.weights is not None:
            basis = orthonormalise(self.model.X[:, basis.kept], self.model.y, Whitening())
        return self.criterion - basis.logdet

    @property
    def dof(self) -> int:
        """Parameters estimated: fixed effects, theta, phi and sigma."""
        estimated = int(np.isfinite(self.optimum.gradient).sum())
        active = () if self.model.bounds is None else self.model.bounds.active
        at_bounds = sum(name not in ("sigma", "V_res") for name in active)
        ended = 0 if self.optimum.verdict == UNBOUNDED else len(self.optimum.ended)
        return self.objective.basis.kept.size + estimated + at_bounds + ended + int(self.model.estimates_sigma)

    @property
    def engine(self) -> Engine:
        """What was absorbed, what was factorised and how, and seconds by stage."""
        return self.objective.engine
