"""The record of a generalised fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.engine.aliasing import Aliasing
from mme.engine.basis import FixedBasis
from mme.family.base import Family
from mme.fitted.common import Record
from mme.fitted.varcorr import VarCorr, components
from mme.generalised.estimates import GeneralisedEstimates
from mme.generalised.problem import Problem
from mme.generalised.search import SearchEnd
from mme.generalised.verdict import JointOptimum
from mme.model.problem import Model
from mme.numeric.kept import kept
from mme.search.progress import Progress
from mme.tables.rows import Rows


@dataclass(frozen=True)
class Course:
    """How the equations of the modes are solved, and what the search took.

    Attributes
    ----------
    equations : str
        What is absorbed, and how the rest is factorised.
    compiled : bool
        Whether levels were passed over by a compiled loop.
    evaluations : int
        Points at which the criterion was computed, with its gradient or without.
    passes : int
        Passes over the records for the modes at these points.
    different : int or None
        Records that differ, where others were counted with them: what a pass goes over. None: all were passed over.
    """

    equations: str
    compiled: bool
    evaluations: int
    passes: int
    different: int | None = None

    def __str__(self) -> str:
        loop = "compiled passes" if self.compiled else "passes"
        records = "the records" if self.different is None else f"{self.different} different records"
        return f"{self.equations}; {self.evaluations} evaluations, {self.passes} {loop} over {records}"


@dataclass(frozen=True, eq=False, repr=False)
class GeneralisedFitted(Record):
    """A fitted generalised model; users hold it inside an ``mme.GeneralisedFit``.

    Attributes
    ----------
    problem : Problem
        The model with its family and what was observed, conditioned.
    searched : SearchEnd
        Where the search ended: the mode of the random effects, the criterion and its gradient.
    optimum : JointOptimum
        The same in the user's terms.
    rows, progress, formula, specification
        As in :class:`mme.fitted.common.Record`.
    """

    model: Model
    problem: Problem
    searched: SearchEnd
    optimum: JointOptimum
    rows: Rows
    progress: Progress = False
    formula: str | None = None
    specification: Any = None

    @property
    def family(self) -> Family:
        """The distribution and its link."""
        return self.problem.family

    @property
    def basis(self) -> FixedBasis:
        """Orthonormal basis of X, and which of its columns are kept."""
        return self.problem.basis

    @kept
    def aliasing(self) -> Aliasing:
        """What the columns left out are made of, among the records that count."""
        return self.problem.aliasing

    @kept
    def estimates(self) -> GeneralisedEstimates:
        """The numbers behind the tables, as plain arrays."""
        return GeneralisedEstimates(self.problem, self.searched)

    @kept
    def hessian(self) -> np.ndarray:
        """Second derivatives of the criterion by (theta, beta, tau) in the user's columns; NaN for what is held."""
        at, free, k, coordinates = self.searched.at.at, self.searched.free, self.model.k, self.model.coordinates
        of_beta, change = slice(k, k + at.gamma.size), np.eye(free.size)
        turned = np.where(coordinates.inner(self.theta) * at.theta < 0.0, -1.0, 1.0)  # columns of T have free signs
        change[:k, :k] = turned[:, None] * coordinates.jacobian(self.theta)
        change[of_beta, of_beta] = np.linalg.inv(self.problem.beta_of_gamma)
        known = free & np.isfinite(change).all(axis=1)
        both, whole, out = np.ix_(known, known), np.zeros(change.shape), np.full(change.shape, np.nan)
        whole[np.ix_(free, free)] = self.estimates.hessian
        out[both] = change[both].T @ whole[both] @ change[both]
        return out

    @property
    def sigma(self) -> float:
        """One: theta is absolute."""
        return 1.0

    @kept
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects, on the scale of the link."""
        return VarCorr(components(self.model, self.theta), None, self.optimum.undetermined)

    @property
    def parameters(self) -> dict[str, float]:
        """The family's parameters that were estimated, by name."""
        natural = self.family.natural(self.optimum.tau)
        names = self.family.parameter_names(self.problem.data)
        return dict(zip(names, np.asarray(natural).tolist(), strict=True))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns of X left out because earlier columns determine them."""
        return tuple(self.model.x_names[j] for j in self.problem.dropped.tolist())

    @property
    def engine(self) -> Course:
        """How the equations of the modes are solved, and what the search took."""
        criterion = self.searched.criterion
        compiled = criterion.records is not None and criterion.records.compiled
        description = criterion.different.equations.description
        few = criterion.different
        different = None if few is self.problem else few.n
        return Course(description, compiled, criterion.evaluations, criterion.passes, different)

    @property
    def criterion(self) -> float:
        """-2 log likelihood, every constant included."""
        return self.optimum.criterion

    @property
    def dof(self) -> int:
        """Parameters estimated: fixed effects, theta, and those of the family."""
        k = 0 if self.searched.given else self.model.k - int((~self.problem.free & self.model.coordinates.free).sum())
        return int(self.basis.kept.size) + k + self.optimum.tau.size
