"""What every record of a fit knows, of a linear model or of a generalised one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np

from mme.engine.aliasing import Aliasing, aliasing
from mme.engine.basis import FixedBasis
from mme.engine.wide_aliasing import wide_aliasing
from mme.engine.wide_basis import WideBasis
from mme.errors import MMEError
from mme.fitted.varcorr import VarCorr
from mme.model.compressed import EachOnce
from mme.model.problem import Model
from mme.search.progress import Progress
from mme.tables.rows import Rows

T = TypeVar("T")


def require_records(fit: Record, what: str) -> None:
    """Refuse what takes the records of a fit that has their sums.

    Raises
    ------
    MMEError
        It was made of chunks: the sums of its levels tell nothing of single records.
    """
    if fit.model.compressed is not None:
        raise MMEError(
            f"{what} takes the records themselves, and this fit was made of their sums by level; fit the formula to a "
            "table in memory, or to a sample of its groups"
        )


def each_once(model: Model) -> EachOnce | None:
    """Of a model of sums, rows that count every record once; None where these have its weight alone."""
    sums, X = model.compressed, model.X
    if sums is None or sums.weighted:
        plain = None if sums is None else sums.plain
        return plain if plain is not None and plain.X.shape[1] == X.shape[1] else None
    Z = (np.ones((X.shape[0], 1)) if term.covariates is None else term.covariates for term in model.terms)
    return EachOnce(X, tuple(Z), sums.ones, 1.0)


def once(fit: Record, what: str) -> EachOnce:
    """The rows of sums that count every record once, whatever its weight.

    Raises
    ------
    MMEError
        The sums have none: their file is of an earlier version, or X has columns of groups of unknown parents.
    """
    if (rows := each_once(fit.model)) is None:
        raise MMEError(
            f"{what} counts every record once, and these sums have their weights alone: their file is of an earlier "
            "version, or X has groups of unknown parents; sum the chunks again, or fit to a table in memory"
        )
    return rows


class Record(ABC):
    """A fitted model as the rooms of this package see it, whatever its family.

    Attributes
    ----------
    model : Model
        The checked problem.
    rows : Rows
        Which of the user's rows were used.
    progress : bool or callable
        Who is told of each evaluation, when the model is fitted again.
    formula : str or None
        The formula, when there was one.
    specification : Specification or None
        What the formula learned from the data.
    optimum : Optimum or JointOptimum
        What the search found and how it is judged.
    """

    model: Model
    rows: Rows
    progress: Progress
    formula: str | None
    specification: Any
    optimum: Any

    @property
    @abstractmethod
    def estimates(self) -> Any:
        """The numbers behind the tables, as plain arrays."""

    @property
    @abstractmethod
    def basis(self) -> FixedBasis:
        """Orthonormal basis of X, and which of its columns are kept."""

    @property
    @abstractmethod
    def sigma(self) -> float:
        """Residual standard deviation, in which theta is measured; one for generalised models."""

    @property
    @abstractmethod
    def criterion(self) -> float:
        """-2 log likelihood, restricted or not."""

    @property
    @abstractmethod
    def dof(self) -> int:
        """Parameters estimated."""

    @property
    def theta(self) -> np.ndarray:
        """Parameters of the relative covariance factors (k,), in lme4's order; :attr:`theta_names` names them."""
        return np.asarray(self.optimum.theta)

    def once(self, make: Callable[[Self], T]) -> T:
        """``make(self)``, made when it is first asked for and kept: a memo whose key is the function that makes."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    def has(self, make: Callable[[Self], Any]) -> bool:
        """Whether ``make(self)`` was asked for before."""
        return make in self._made

    @cached_property
    def _made(self) -> dict[Callable[[Any], Any], Any]:
        return {}

    @property
    def theta_names(self) -> tuple[str, ...]:
        """Names of theta: ``g.x`` a standard deviation, ``g.x2.x1`` an off-diagonal entry of T."""
        return self.model.theta_names

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """Names of the fixed effects that are estimated."""
        return tuple(self.model.x_names[j] for j in self.basis.kept.tolist())

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns of X left out because earlier columns determine them."""
        kept = set(self.basis.kept.tolist())
        return tuple(name for j, name in enumerate(self.model.x_names) if j not in kept)

    @cached_property
    def aliasing(self) -> Aliasing:
        """What the columns left out are made of: the one test of what the data determine."""
        if isinstance(self.basis, WideBasis):
            return wide_aliasing(self.basis)
        return aliasing(self.model.X, self.basis)

    @cached_property
    @abstractmethod
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects: ``varcorr["g"].sd``, ``.cov``, ``.corr``."""

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

    @property
    def singular(self) -> bool:
        """Some variance is zero or some correlation is one: an ordinary result, at the edge of the model."""
        return bool(self.optimum.boundary)

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
        return self.model.n_records

    @property
    def n_dropped(self) -> int:
        """Rows of the data left out because something was missing."""
        return self.rows.n_dropped

    @property
    def aic(self) -> float:
        """Criterion + 2 dof."""
        return self.criterion + 2.0 * self.dof

    @property
    def bic(self) -> float:
        """Criterion + dof log(nobs)."""
        return self.criterion + self.dof * float(np.log(self.nobs))
