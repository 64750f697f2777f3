"""Likelihood-ratio tests of nested fits whose reference is simulated: both models fitted to draws from the smaller.

p is (1 + the ratios that are no smaller than the observed one) / (1 + n), whatever the difference between the models:
variances on the edge of their range, fixed effects of few groups, both at once (Davison & Hinkley 1997, ch. 4; Halekoh
& Hoejsgaard 2014, J. Statist. Softw. 59(9)). Replicate i of a comparison has a random stream of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError, warn
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.inference.comparison.comparable import check_same_records, within_span
from mme.inference.comparison.compare import anova, by_one_method
from mme.many.generalised_refits import refit_all_generalised
from mme.many.refits import refit_all
from mme.numeric.bars import Progress, reporter
from mme.numeric.processors import processors
from mme.results.simulate import GeneralisedSimulator, Simulator
from mme.tables.arguments import count, entropy

if TYPE_CHECKING:
    import pandas as pd

# Replicates that are fitted together before progress is told.
_TOGETHER = 250
# A larger model that fits a response worse than the smaller by more than this does not hold it.
_WORSE = 1e-3


def simulated_anova(
    *fits: Record, n: int = 1000, seed: int | None = None, workers: int | None = None, progress: Progress = False
) -> pd.DataFrame:
    """The table of likelihood ratios with p by simulation, its Monte Carlo error, and the replicates that it is of."""
    table = anova(*fits)
    n, origin = count(n, "n"), entropy(seed).entropy
    threads = processors() if workers is None else count(workers, "workers")
    ordered = sorted(by_one_method(fits), key=lambda fit: fit.dof)
    pairs = list(pairwise(ordered))
    for small, large in pairs:
        _check(small, large)
    report, done, p, used = reporter("anova", n * len(pairs), progress), 0, [np.nan], [0]
    for j, pair in enumerate(pairs):
        ratios: list[np.ndarray] = []
        try:
            for found in _ratios(*pair, n, (origin, j), threads):
                ratios.append(found)
                done += found.size
                report(done)
        except KeyboardInterrupt:
            if not ratios:
                raise
            warn(f"interrupted: the p-value is of {sum(map(len, ratios))} of {n} replicates")
        known = np.concatenate(ratios)
        above = int((known >= table["chisq"].iloc[j + 1]).sum())
        p.append((1 + above) / (1 + known.size))
        used.append(known.size)
    share = np.array(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        return table.assign(p=share, p_error=np.sqrt(share * (1.0 - share) / np.array(used)), n=used)


def _check(small: Record, large: Record) -> None:
    """Refuse fits that were not searched, or whose X do not hold one another."""
    check_same_records(small, large)
    if any(isinstance(fit, Fitted) and fit.theta_given for fit in (small, large)):
        raise MMEError("theta was given to one of the fits: a likelihood ratio is of fits at their optimum")
    if not within_span(small, large):
        raise MMEError("the fits differ in their fixed effects, and neither X holds the other: they are not nested")


def _ratios(small: Record, large: Record, n: int, origin: tuple[Any, int], threads: int) -> Iterator[np.ndarray]:
    """Likelihood ratios of n responses drawn from the smaller fit, in pieces."""
    if isinstance(small, GeneralisedFitted):
        draw: Any = GeneralisedSimulator(small.problem, small.searched.at.at)
    else:
        draw = Simulator(small.estimates)
    for first in range(0, n, _TOGETHER):
        Y = [draw(_stream(origin, i), 1)[:, 0] for i in range(first, min(first + _TOGETHER, n))]
        below, above = (_criteria(fit, np.column_stack(Y), threads) for fit in (small, large))
        if (above > below + _WORSE).any():
            raise MMEError(
                "the larger model fits a response drawn from the smaller one worse than that does: they are not nested"
            )
        yield np.maximum(below - above, 0.0)


def _stream(origin: tuple[Any, int], i: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(origin[0], spawn_key=(origin[1], i)))


def _criteria(fit: Record, Y: np.ndarray, threads: int) -> np.ndarray:
    """-2 log likelihood (B,) of responses (n, B)."""
    if isinstance(fit, GeneralisedFitted):
        return refit_all_generalised(fit, Y, lambda one: one, threads, start_here=True).criterion
    assert isinstance(fit, Fitted)
    return refit_all(fit, Y, lambda one: one, threads).criterion
