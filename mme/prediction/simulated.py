"""Responses drawn from a fit, for its rows or new ones: random effects drawn anew, as fitted, or without.

New levels that are related (animals of the fit's pedigree, new times of a process) are drawn with the covariance that
they have there; residuals of new rows with the structure of the fit, read from the columns of these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mme.errors import MemoryForecastError, MMEError, warn
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.numeric.memory import machine_bytes
from mme.numeric.panels import term_values
from mme.prediction.new_levels import NEW
from mme.prediction.new_record import checked_weights
from mme.prediction.new_residuals import structure_on_new_rows
from mme.prediction.predictor import kept_columns, predictor
from mme.prediction.rows import GivenRows, PredictedRows, coded_rows, given_rows, rows_of_fit, widened
from mme.results.simulate import RandomPart, Simulator, simulate_generalised, simulate_responses
from mme.tables.arguments import count, is_word, random_numbers
from mme.tables.arrays import numbers, shown


def simulated(
    fit: Fitted,
    nsim: int,
    seed: int | np.random.Generator | None,
    newdata: Any,
    random: Any,
    weights: Any,
    call: Mapping[str, Any] | None = None,
) -> Any:
    """(rows, nsim) responses: X beta + Z b + e; ``call`` has the arguments that made the fit.

    Raises
    ------
    MMEError
        ``random`` is another word; new rows have levels that a relationship does not know, or a residual structure that
        cannot be read from them.
    """
    is_new = _drawn_anew(random)
    if newdata is None and is_new:
        return fit.rows.aligned(simulate_responses(fit.estimates, nsim, seed), "simulated")
    nsim, rng = count(nsim, "nsim", "of simulations"), random_numbers(seed)
    if newdata is None:
        records = rows_of_fit(fit, _terms(fit, random))
        mean = predictor(kept_columns(fit, records), fit.estimates.beta, fit.estimates.b, records)
        return fit.rows.aligned(mean[:, None] + fit.sigma * Simulator(fit.estimates).noise(rng, nsim), "simulated")
    new = _NewRows(fit, newdata, random, fit.theta, fit.sigma)
    _forecast(new.n, nsim)
    noise = _noise(fit, newdata, new.n, weights, call or {})
    return new.records.rows.aligned(new.eta(nsim, rng) + fit.sigma * noise(rng, nsim), "simulated")


def simulated_generalised(
    fit: GeneralisedFitted,
    nsim: int,
    seed: int | np.random.Generator | None,
    newdata: Any,
    random: Any,
    weights: Any,
) -> Any:
    """(rows, nsim) responses of the family at eta = X beta + Z b + offset, on the scale of its response."""
    if newdata is None and _drawn_anew(random):
        return fit.rows.aligned(_told(fit, simulate_generalised(fit, nsim, seed)), "simulated")
    nsim, rng = count(nsim, "nsim", "of simulations"), random_numbers(seed)
    if newdata is None:
        records, trials = rows_of_fit(fit, _terms(fit, random)), fit.problem.data.weights
        mean = predictor(kept_columns(fit, records), fit.estimates.beta, fit.estimates.b, records)
        _forecast(mean.size, nsim)
        eta = np.repeat(mean[:, None], nsim, axis=1)
    else:
        theta = fit.model.coordinates.outer(fit.searched.at.at.theta)
        new = _NewRows(fit, newdata, random, theta, 1.0)
        _forecast(new.n, nsim)
        trials, records, eta = checked_weights(fit.family, weights, newdata, new.n), new.records, new.eta(nsim, rng)
    drawn = [fit.family.draw(one, trials, fit.estimates.tau, rng) for one in eta.T]
    return records.rows.aligned(_told(fit, np.column_stack(drawn)), "simulated")


def _told(fit: GeneralisedFitted, drawn: np.ndarray) -> np.ndarray:
    """The draws, with a warning where some have no mean."""
    missing = int(np.isnan(drawn).sum())
    if missing and not fit.family.everywhere:
        warn(
            f"{missing:,} of {drawn.size:,} simulated responses are missing: by the {fit.family.link} link of the "
            f"{fit.family.name} family eta must be positive, and the effects drawn make it negative there; the log "
            "link has a mean for every eta"
        )
    return drawn


def _drawn_anew(random: Any) -> bool:
    if not isinstance(random, bool | np.bool_) and not is_word(random, ("new", "fitted")):
        raise MMEError(f"random must be 'new' (drawn anew), 'fitted' (the BLUPs) or False (none), got {shown(random)}")
    return random is True or is_word(random, ("new",))


def _terms(fit: Record, random: Any) -> tuple[int, ...]:
    return tuple(range(len(fit.model.terms))) if random is not False else ()


def _forecast(n: int, nsim: int) -> None:
    if 8 * n * nsim > machine_bytes():
        raise MemoryForecastError(
            f"{nsim:,} simulations of {n:,} rows are more than this machine's memory holds: simulate fewer at a time, "
            "with other seeds"
        )


class _NewRows:
    """New rows: X beta + Z b with b drawn anew, as fitted, or zero."""

    def __init__(self, fit: Record, newdata: Any, random: Any, theta: np.ndarray, sigma: float) -> None:
        self.anew, chosen = _drawn_anew(random), _terms(fit, random)
        self.given = given_rows(fit, newdata, chosen)
        self.model: Model = widened(fit.model, chosen, [one for one, _ in self.given.groups]) or fit.model
        fixed = GivenRows(self.given.X, self.given.offset, [], self.given.index) if self.anew else self.given
        known = () if self.anew else chosen
        self.records: PredictedRows = coded_rows(fit.model, fixed, known, fit.model.terms, "error")
        self.n = self.records.X.shape[0]
        self.mean = predictor(kept_columns(fit, self.records), fit.estimates.beta, fit.estimates.b, self.records)
        if self.anew:
            self.random, self.coded = RandomPart(self.model, theta, sigma), self._coded()

    def _coded(self) -> PredictedRows:
        """Codes among the fit's levels where these are related, among the labels given where they are not."""
        terms, able = self.model.terms, GivenRows(self.given.X, self.given.offset, self.given.groups, None)
        coded = coded_rows(self.model, able, tuple(range(len(terms))), terms, "population")
        for term, codes, (factor, _) in zip(terms, coded.codes, self.given.groups, strict=True):
            if term.relationship is None and not term.by_column:
                if (factor.codes < 0).any():
                    raise MMEError(
                        f"a new row has no label of '{term.group}': its effect cannot be drawn; random=False"
                    )
            elif (codes == NEW).any():
                raise MMEError(
                    f"levels of term '{term.name}' are related, and some of the new rows' are not among them: their "
                    "effects cannot be drawn; random='fitted' takes the BLUPs of those that are"
                )
        return coded

    def eta(self, nsim: int, rng: np.random.Generator) -> np.ndarray:
        """(n, nsim)."""
        out = np.repeat(self.mean[:, None], nsim, axis=1)
        if not self.anew:
            return out
        for t, (term, (factor, _)) in enumerate(zip(self.model.terms, self.given.groups, strict=True)):
            free = term.relationship is None and not term.by_column
            codes, z = factor.codes if free else self.coded.codes[t], self.coded.covariates[t]
            for s in range(nsim):
                b = self.random.levels(t, len(factor.categories) if free else term.n_levels, rng)
                out[:, s] += term_values(codes, z, b)
        return out


def _noise(
    fit: Fitted, newdata: Any, n: int, weights: Any, call: Mapping[str, Any]
) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Draws (n, nsim) of the residuals of new rows, in units of sigma."""
    sd = _sd(fit, newdata, weights, n)
    if fit.model.residual is None:
        return lambda rng, nsim: rng.standard_normal((n, nsim)) * sd
    bound = structure_on_new_rows(fit, newdata, n, call)
    x = bound.coordinates(np.array(list(fit.residual.values())))

    def noise(rng: np.random.Generator, nsim: int) -> np.ndarray:
        return np.asarray(bound.colour(x, rng.standard_normal((nsim, bound.n)))[:, -n:].T * sd)

    return noise


def _sd(fit: Fitted, newdata: Any, weights: Any, n: int) -> np.ndarray | float:
    """Residual standard deviations of new rows, in units of sigma."""
    if weights is None:
        if fit.model.weights is not None:
            raise MMEError("the fit has weights: give weights= for the new rows, a number a row or a column of theirs")
        return 1.0
    values = numbers(newdata[weights] if isinstance(weights, str) else weights, "weights")
    if values.shape not in ((), (1,), (n,)) or not (values > 0.0).all():
        raise MMEError(f"weights must be {n} positive numbers, one a new row")
    return np.asarray(1.0 / np.sqrt(np.broadcast_to(values, (n,))))[:, None]
