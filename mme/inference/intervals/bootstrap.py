"""Parametric bootstrap: the model fitted again to responses drawn from itself.

A refit takes over all that does not depend on y (:meth:`mme.engine.objective.Objective.with_response`) and starts from
the theta that the responses were drawn from. Replicate i has a random stream of its own, made of the seed and i, so
that results do not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError
from mme.fitted.natural import residual_names
from mme.fitted.record import Fitted
from mme.inference.intervals.refits import (
    Progress,
    Refitter,
    collected,
    parameters_of,
    replicates,
    reporter,
    safe_start_method,
)
from mme.inference.intervals.whole import AllParameters
from mme.numeric.limits import limits
from mme.numeric.processors import processors
from mme.results.resample import DRAWS
from mme.search.found import Found
from mme.search.loop import search
from mme.tables.arguments import check_level, count, entropy, is_word
from mme.tables.arrays import shown
from mme.tables.names import unlike

if TYPE_CHECKING:
    import pandas as pd

# Replicates that are searched together before progress is told.
_TOGETHER = 250
_KINDS = ("percentile", "basic", "normal")


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of a parametric bootstrap.

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
        """A row a replicate: the parameters, ``theta_...``, ``singular`` and ``converged``."""
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
            estimate less its bias, plus and minus a normal quantile of standard errors (Davison & Hinkley 1997, ch. 5).
        """
        import pandas as pd

        if not is_word(kind, _KINDS):
            raise MMEError(f"kind must be one of {', '.join(map(repr, _KINDS))}; got {shown(kind)}")
        check_level(level)
        if kind == "normal":
            table = self.summary()
            half = ndtri(0.5 + level / 2.0) * table["se"]
            middle = table["estimate"] - table["bias"]
            return pd.DataFrame({"lower": middle - half, "upper": middle + half})
        tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
        ends = np.array([_quantiles(column[np.isfinite(column)], tails) for column in self.values.T])
        if kind == "basic":
            ends = 2.0 * self.estimates[:, None] - ends[:, ::-1]
        return pd.DataFrame(ends, index=list(self.names), columns=["lower", "upper"])

    def __repr__(self) -> str:
        text = f"Bootstrap of {self.n} replicates, seed {self.seed}: {int(self.singular.sum())} singular, "
        text += f"{int((~self.converged).sum()) - self.n_failed} not converged, {self.n_failed} failed"
        reasons = "".join(f"\n  {count} x {reason}" for reason, count in self.failures.items())
        return f"{text}{reasons}\n{self.summary().to_string()}"


def _quantiles(values: np.ndarray, tails: list[float]) -> np.ndarray:
    """Quantile p is the (n + 1) p-th of n values."""
    return np.quantile(values, tails, method="weibull") if values.size else np.full(2, np.nan)


def bootstrap(
    fit: Fitted,
    n: int,
    seed: int | None,
    workers: int | None,
    progress: Progress,
    *,
    searching: Callable[..., Found] = search,
    start_method: str | None = None,
    draws: str = "parametric",
) -> Bootstrap:
    """Draw n responses from a fit and fit its model to each, by ``searching``; see ``fit.bootstrap()``.

    ``start_method`` is how processes begin, "fork" or "spawn"; None: as the model allows.
    """
    n, workers = count(n, "n"), None if workers is None else count(workers, "workers")
    if not is_word(draws, DRAWS):
        raise MMEError(f"draws must be one of {', '.join(map(repr, DRAWS))}; got {shown(draws)}")
    origin: Any = entropy(seed).entropy
    whole, asked, fit = AllParameters.of(fit), fit, fit.determined
    whole.warn(asked, "the bootstrap has no values of")
    known, plan = fit.objective, fit.objective.plan
    given = fit.theta_given and fit.model.held is None
    refitter = Refitter(fit.model, fit.theta, fit.optimum.phi, plan, given, origin, known, searching, draws)
    assert refitter.simulator is not None  # refused before processes begin
    processes, least = min(processors() if workers is None else int(workers), int(n)), 1
    if n >= limits().responses_together and refitter.batch is not None:  # no process begins as quickly
        processes, least = 1, _TOGETHER
    pieces = replicates(refitter, int(n), processes, start_method or safe_start_method(known), least)
    table, reasons = collected(pieces, int(n), reporter(progress, int(n)))
    P, k = whole.places.size, fit.model.k
    given_phi = fit.model.as_given.phi
    if given_phi is not None:  # they are the same in all refits: nothing can be said of their spread
        names = residual_names(fit.model, fit.fixed_names)
        first = P - len(fit.fixed_names) - len(names)
        table[:, first + np.flatnonzero(~np.isnan(given_phi))] = np.nan
    return Bootstrap(
        names=whole.names,
        theta_names=fit.theta_names,
        estimates=whole.spread(parameters_of(fit.objective, fit.theta)),
        values=whole.spread(table[:, :P]),
        theta=table[:, P : P + k],
        singular=table[:, P + k] == 1.0,
        converged=table[:, P + k + 1] == 1.0,
        failures=reasons,
        seed=origin,
    )
