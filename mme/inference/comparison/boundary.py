r"""Tests of a variance that is zero: the hypothesis lies on the edge of the model, and Wilks' chi-square is too wide.

**Mixture.** Where one variance and its c covariances are zero, the likelihood ratio is half of the time that of c free
parameters and half of the time that of c + 1: :mod:`mme.inference.comparison.nested`.

**Exact.** With one variance component lambda = sigma_b^2 / sigma^2, P = I - X(X'X)^-1 X', mu_s the eigenvalues of Z'PZ
and w_s standard normal, the restricted likelihood ratio has under lambda = 0 exactly the distribution of

    sup_lambda  (n - p) log( sum w_s^2 / sum w_s^2 / (1 + lambda mu_s) ) - sum log(1 + lambda mu_s)                 (E)

(Crainiceanu & Ruppert 2004, J. R. Stat. Soc. B 66, 165-185), however few the levels. With Z_g = Q_g R_g, Z'PZ is the
diagonal of the R_g^2 less a matrix of rank p, and levels with equal R_g share all eigenvalues but p.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mme.engine.absorption import Levels, merge
from mme.engine.objective import Objective
from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.inference.comparison.comparable import same_span
from mme.inference.comparison.nested import Difference, difference
from mme.tables.arguments import count, random_numbers

# Levels that differ in R_g beyond which the eigenvalues would take minutes; the mixture is exact enough there.
_MOST_LEVELS = 8000
# lambda mu runs from the one to the other, in so many points; a parabola through the best three does the rest.
_LOWEST, _HIGHEST, _POINTS = 1e-5, 1_000_000, 221
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class VarianceTest:
    """A test of a variance that is zero.

    Attributes
    ----------
    statistic : float
        The (restricted) likelihood ratio, at least zero.
    p : float
        Probability of one as large where the variance is zero.
    reference : str
        What the statistic was compared with.
    null : array
        Statistics drawn under the hypothesis, sorted; empty for the mixture.
    """

    statistic: float
    p: float
    reference: str
    null: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))

    @property
    def error(self) -> float:
        """Standard error of p from the number of draws."""
        return float(np.sqrt(self.p * (1.0 - self.p) / self.null.size)) if self.null.size else 0.0


def variance_test(large: Record, small: Record | None = None) -> VarianceTest:
    """Test whether one variance, with its covariances, is zero: likelihood ratio against a mixture of chi-squares."""
    if small is None:
        if not isinstance(large, Fitted):
            raise MMEError("a generalised model needs the fit without the variance too: variance_test(large, small)")
        if large.model.k != 1 or large.model.residual is not None:
            also = (
                "" if large.model.residual is None else " and a residual structure, which is estimated anew without it"
            )
            raise MMEError(
                f"this fit has {large.model.k} variance parameters{also}: give the fit without the one to be tested"
            )
        _check_estimated(large)
        tested, without = Difference(free=0, edge=1), large.objective(np.zeros(1))
    else:
        if small.dof > large.dof:
            raise MMEError(f"the second fit has more parameters ({small.dof}) than the first ({large.dof}): swap them")
        tested, without = difference(small, large), small.criterion
        if tested.edge != 1 or not same_span(small, large):
            raise MMEError(
                "the fits do not differ by a variance: this test is of one variance more in the first fit, with its "
                "covariances; see mme.anova"
            )
    statistic = max(without - large.criterion, 0.0)
    return VarianceTest(statistic, tested.tail(statistic), tested.reference)


def exact_rlrt(fit: Fitted, n: int = 10_000, *, seed: int | None = None) -> VarianceTest:
    """Test the only variance of a model by the exact distribution of its restricted likelihood ratio, simulated."""
    _check_single(fit)
    n = count(n, "n", "of draws")
    eigenvalues, counts = spectrum(fit.objective)
    constants = fit.objective.constants
    null = np.sort(_draws(eigenvalues, counts, constants.n - constants.p, int(n), random_numbers(seed)))
    statistic = max(fit.objective(np.zeros(1)) - fit.objective(fit.theta), 0.0)
    exceeded = n - int(np.searchsorted(null, statistic, side="left"))
    p = (1.0 + exceeded) / (1.0 + n)
    return VarianceTest(statistic, p, f"exact distribution, {n} draws", null)


def _check_estimated(fit: Fitted) -> None:
    if fit.theta_given:
        raise MMEError("theta was given to this fit: a likelihood ratio needs the fit at its optimum")


def _check_single(fit: Fitted) -> None:
    model = fit.model
    _check_estimated(fit)
    if fit.method != "REML":
        raise MMEError("the restricted likelihood ratio needs a fit by REML; refit with method='REML'")
    if len(model.terms) != 1 or model.k != 1:
        raise MMEError(
            f"the exact test is for a model with one variance, this one has {model.k} parameters of "
            f"{len(model.terms)} random terms; use variance_test on this fit and the one without"
        )
    if model.terms[0].q != 1:
        raise MMEError(
            f"the exact test is for one coefficient a level, term '{model.terms[0].name}' has {model.terms[0].q} with "
            "a common variance; use variance_test on this fit and the one without"
        )
    odd = {"related levels": model.terms[0].relationship, "a residual structure": model.residual, "sigma=": model.sigma}
    for what, given in odd.items():
        if given is not None:
            raise MMEError(f"the exact test is not available with {what}; use variance_test")


def spectrum(objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Positive eigenvalues of Z'PZ of the absorbed scalar term, and how often each occurs."""
    whole, p = objective.system.absorbed.levels, objective.system.p
    scale = objective.blocks[0].scale[0]
    levels = merge(Levels(whole.R, whole.V[:p])) if p else whole
    if levels.J > _MOST_LEVELS:
        raise MMEError(
            f"{levels.J} levels with different amounts of data: their eigenvalues would take too long, and with so "
            "many the mixture is exact enough; use variance_test"
        )
    R = scale * levels.R[0, 0]
    B = R * levels.V[:p, 0]
    among = np.linalg.eigvalsh(np.diag(R * R) - B.T @ B)
    alone = np.zeros(R.size) if levels.multiplicity is None else levels.multiplicity - 1.0
    values, counts = np.concatenate([among, R * R]), np.concatenate([np.ones(R.size), alone])
    kept = (values > 1e-10 * values.max()) & (counts > 0.0)
    return _pooled(values[kept], counts[kept])


def _pooled(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct eigenvalues and how often each occurs; those that differ by rounding alone are one."""
    order = np.argsort(values)
    values, counts = values[order], counts[order]
    first = np.concatenate(([True], np.diff(values) > 1e-9 * values[1:]))
    starts = np.flatnonzero(first)
    return values[starts], np.add.reduceat(counts, starts)


def _draws(mu: np.ndarray, counts: np.ndarray, freedom: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of (E): its supremum over a grid of lambda, then over the parabola through the best three points."""
    lam = np.concatenate(([0.0], np.geomspace(_LOWEST / mu.max(), _HIGHEST / mu.min(), _POINTS)))
    shrunk = 1.0 / (1.0 + np.outer(mu, lam))
    logdet = counts @ np.log1p(np.outer(mu, lam))
    out, others = np.empty(n), freedom - round(counts.sum())
    step = max(1, _NUMBERS_AT_ONCE // (lam.size + mu.size))
    for first in range(0, n, step):
        size = min(step, n - first)
        squares = rng.chisquare(counts, (size, mu.size))
        left = rng.chisquare(others, size) if others else np.zeros(size)
        total = squares.sum(axis=1) + left
        ratio = freedom * np.log(total[:, None] / (squares @ shrunk + left[:, None])) - logdet
        out[first : first + size] = highest(ratio)
    return out


def highest(ratio: np.ndarray) -> np.ndarray:
    """The supremum (draws,) of each row, at least zero: of a parabola through its best three points.

    Points are evenly spaced but for the first, lambda = 0.
    """
    rows = np.arange(ratio.shape[0])
    best = ratio.argmax(axis=1)
    inner = np.clip(best, 2, ratio.shape[1] - 2)  # no parabola goes through lambda = 0, nor beyond the last
    low, middle, high = ratio[rows, inner - 1], ratio[rows, inner], ratio[rows, inner + 1]
    bend = np.where(best == inner, 2.0 * middle - low - high, np.inf)
    return np.asarray(np.maximum(ratio[rows, best] + (high - low) ** 2 / (8.0 * np.maximum(bend, 1e-300)), 0.0))
