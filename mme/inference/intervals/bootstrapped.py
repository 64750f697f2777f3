"""Replicates of a bootstrap: their spread, and intervals of all kinds from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError
from mme.inference.intervals.kinds import KINDS, basic, bca, percentile, studentised
from mme.numeric.delta import bounded, unbounded
from mme.tables.arguments import check_level, is_word
from mme.tables.arrays import shown
from mme.tables.names import unlike

if TYPE_CHECKING:
    import pandas as pd


class Behind(ABC):
    """The fit behind replicates: what some kinds of intervals ask of it beside these."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """What values the parameters can take, lower and upper (P,)."""

    @abstractmethod
    def without_groups(self) -> np.ndarray:
        """Estimates (groups, P) without each group."""

    @abstractmethod
    def standard_errors(self, theta: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the fit (P,), and of replicates (n, P) that ended there, on the scale without bounds."""


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of a bootstrap.

    Attributes
    ----------
    names : tuple of str
        Parameters: ``sd_x|g``, ``cor_x2.x1|g``, ``sigma``, those of a residual structure, then the fixed effects.
    estimates : (P,) array
        Their values in the fit that the responses were drawn from.
    values : (n, P) array
        Those of each refit; NaN where it failed, and for a correlation beside a standard deviation of zero.
    theta : (n, k) array
        The relative covariance parameters of each refit.
    singular, converged : (n,) bool
        Whether a refit ended on the boundary; whether its search converged.
    failures : dict
        Why refits failed, and how many did for each reason.
    seed : int
        Makes the same replicates again.
    behind : Behind or None
        The fit that the replicates are of.
    """

    names: tuple[str, ...]
    theta_names: tuple[str, ...]
    estimates: np.ndarray
    values: np.ndarray
    theta: np.ndarray
    singular: np.ndarray
    converged: np.ndarray
    failures: dict[str, int]
    seed: int
    behind: Behind | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Replicates asked for."""
        return int(self.values.shape[0])

    @property
    def n_failed(self) -> int:
        """Replicates that gave no estimates."""
        return sum(self.failures.values())

    @cached_property
    def replicates(self) -> pd.DataFrame:
        """One row per replicate: the parameters, ``theta_...``, ``singular`` and ``converged``."""
        import pandas as pd

        theta = pd.DataFrame(self.theta, columns=unlike((f"theta_{name}" for name in self.theta_names), self.names))
        singular, converged = unlike(("singular", "converged"), self.names)
        flags = pd.DataFrame({singular: self.singular, converged: self.converged})
        return pd.concat([pd.DataFrame(self.values, columns=list(self.names)), theta, flags], axis=1)

    def summary(self) -> pd.DataFrame:
        """``estimate, bias, se`` and ``n``, the replicates that have a value, of each parameter."""
        import pandas as pd

        found = np.isfinite(self.values)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(found, self.values, 0.0).sum(axis=0) / found.sum(axis=0)
            squares = np.where(found, self.values - mean, 0.0) ** 2
            se = np.sqrt(squares.sum(axis=0) / np.maximum(found.sum(axis=0) - 1, 0))
        columns = {"estimate": self.estimates, "bias": mean - self.estimates, "se": se, "n": found.sum(axis=0)}
        return pd.DataFrame(columns, index=list(self.names))

    def confint(self, level: float = 0.95, kind: str = "percentile") -> pd.DataFrame:
        """``lower, upper`` of each parameter, from the replicates that did not fail.

        Parameters
        ----------
        level : float
            Coverage aimed at.
        kind : str
            ``"percentile"``: quantiles of the replicates; ``"basic"``: twice the estimate less these; ``"normal"``: the
            estimate less its bias, plus and minus a normal quantile of standard errors; ``"bca"``: quantiles moved for
            bias and skewness, which takes a refit without each group; ``"studentised"``: each replicate in units of its
            own standard error, on the scale without bounds (logarithms of standard deviations, Fisher's z of
            correlations), NaN where variances end at zero (Davison & Hinkley 1997, ch. 5).

        Raises
        ------
        MMEError
            The word is another; ``"bca"`` of a model that has no independent groups.
        """
        import pandas as pd

        if not is_word(kind, KINDS):
            raise MMEError(f"kind must be one of {', '.join(map(repr, KINDS))}; got {shown(kind)}")
        check_level(level)
        return pd.DataFrame(self._limits(level, kind), index=list(self.names), columns=["lower", "upper"])

    def _limits(self, level: float, kind: str) -> np.ndarray:
        """Limits (P, 2)."""
        if kind == "normal":
            table = self.summary()
            half = ndtri(0.5 + level / 2.0) * table["se"].to_numpy()
            middle = table["estimate"].to_numpy() - table["bias"].to_numpy()
            return np.column_stack([middle - half, middle + half])
        if kind == "basic":
            return basic(self.estimates, self.values, level)
        if kind == "percentile":
            return percentile(self.values, level)
        if self.behind is None:
            raise MMEError(f"kind='{kind}' takes the fit, and these replicates have none: use 'percentile' or 'basic'")
        if kind == "bca":
            return bca(self.estimates, self.values, self._without_groups, level)
        return self._studentised(level)

    def _studentised(self, level: float) -> np.ndarray:
        assert self.behind is not None
        low, high = self.behind.bounds
        with np.errstate(divide="ignore", invalid="ignore"):
            u, u_of = unbounded(self.estimates, low, high), unbounded(self.values, low, high)
            limits = studentised(u, self._errors[0], u_of, self._errors[1], level)
            return np.asarray(bounded(limits, low[:, None], high[:, None]))

    @cached_property
    def _without_groups(self) -> np.ndarray:
        assert self.behind is not None
        return self.behind.without_groups()

    @cached_property
    def _errors(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.behind is not None
        return self.behind.standard_errors(self.theta, self.values)

    def __repr__(self) -> str:
        text = f"Bootstrap of {self.n} replicates, seed {self.seed}: {int(self.singular.sum())} singular, "
        text += f"{int((~self.converged).sum()) - self.n_failed} not converged, {self.n_failed} failed"
        reasons = "".join(f"\n  {count} x {reason}" for reason, count in self.failures.items())
        return f"{text}{reasons}\n{self.summary().to_string()}"
