r"""Whether records spread more than their family says, and whether there are more zeros: against simulated responses.

Pearson's sum of squares has no chi-square distribution where modes of random effects take part of the spread, counts
are small or answers binary. Its reference is what the fitted model gives: responses drawn with random effects of their
own, the modes found again, parameters held; the p that beta took are subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.family.base import Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.criterion import Criterion
from mme.numeric.limits import limits
from mme.results.simulate import GeneralisedSimulator

# Draws: at most, and at least, whatever the number of records.
_MOST, _LEAST = 100, 10
_SEED = 20


@dataclass(frozen=True, eq=False)
class Spread:
    """Pearson's sum of squares and the number of zeros of the records, and of each simulated response."""

    squares: float
    zeros: int
    drawn_squares: np.ndarray
    drawn_zeros: np.ndarray

    @property
    def ratio(self) -> float:
        """The sum of squares over its expectation: one where the family holds."""
        return self.squares / float(self.drawn_squares.mean())

    @property
    def z(self) -> float:
        """How many standard deviations it is above its expectation."""
        return _above(self.squares, self.drawn_squares)

    @property
    def zeros_z(self) -> float:
        """The same of the number of zeros."""
        return _above(float(self.zeros), self.drawn_zeros)


def _above(value: float, drawn: np.ndarray) -> float:
    sd = float(drawn.std(ddof=1))
    return (value - float(drawn.mean())) / sd if sd > 0.0 else 0.0


def reference(fit: GeneralisedFitted) -> Spread | None:
    """Made once for a fit; None where no draw has a mode."""
    problem, at, data = fit.problem, fit.searched.at.at, fit.problem.data
    simulate, rng = GeneralisedSimulator(problem, at), np.random.default_rng(_SEED)
    count = int(np.clip(limits().simulated_records // problem.n, _LEAST, _MOST))
    counts, squares, zeros = data.weights > 0.0, [], []
    for _ in range(count):
        try:
            y = simulate(rng, 1)[:, 0]
        except MMEError:  # means beyond what can be drawn
            continue
        drawn = problem.with_data(Observed(y, data.weights, data.levels))
        found = Criterion(drawn).at(at)
        if found is None:
            continue
        squares.append(_squares(fit, y, found.laplace.mode.eta, counts) - len(problem.Q))
        zeros.append(int((y[counts] == 0.0).sum()))
    if len(squares) < _LEAST // 2:
        return None
    observed = _squares(fit, data.y, fit.estimates.eta, counts)
    return Spread(observed, int((data.y[counts] == 0.0).sum()), np.array(squares), np.array(zeros, dtype=float))


def _squares(fit: GeneralisedFitted, y: np.ndarray, eta: np.ndarray, counts: np.ndarray) -> float:
    """Pearson's sum of squares of the records that count."""
    tau = fit.estimates.tau
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = fit.family.variance(eta, fit.problem.data.weights, tau)
        r = (y - fit.family.mean(eta, tau)) ** 2 / variance
    return float(np.nan_to_num(r[counts]).sum())
