"""Responses drawn from a linear fit, for its rows or new ones: random effects drawn anew, as fitted, or without."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.numeric.panels import term_values
from mme.prediction.predictor import kept_columns, predictor
from mme.prediction.rows import GivenRows, coded_rows, given_rows, rows_of_fit
from mme.results.simulate import Simulator, simulate_responses
from mme.tables.arguments import count, is_word, random_numbers
from mme.tables.arrays import numbers, shown


def simulated(
    fit: Fitted, nsim: int, seed: int | np.random.Generator | None, newdata: Any, random: Any, weights: Any
) -> Any:
    """(rows, nsim) responses: X beta + Z b + e.

    Raises
    ------
    MMEError
        ``random`` is another word; new rows have a residual structure, or levels that a relationship does not know.
    """
    if not isinstance(random, bool | np.bool_) and not is_word(random, ("new", "fitted")):
        raise MMEError(f"random must be 'new' (drawn anew), 'fitted' (the BLUPs) or False (none), got {shown(random)}")
    is_new = random is True or is_word(random, ("new",))
    if newdata is None and is_new:
        return fit.rows.aligned(simulate_responses(fit.estimates, nsim, seed), "simulated")
    nsim, rng = count(nsim, "nsim", "of simulations"), random_numbers(seed)
    if newdata is None:
        chosen = tuple(range(len(fit.model.terms))) if random is not False else ()
        records = rows_of_fit(fit, chosen)
        mean = predictor(kept_columns(fit, records), fit.estimates.beta, fit.estimates.b, records)
        return fit.rows.aligned(mean[:, None] + fit.sigma * Simulator(fit.estimates).noise(rng, nsim), "simulated")
    return _for_new_rows(fit, nsim, rng, newdata, None if is_new else random is not False, weights)


def _for_new_rows(
    fit: Fitted, nsim: int, rng: np.random.Generator, newdata: Any, fitted: bool | None, weights: Any
) -> Any:
    """Responses of new rows; ``fitted`` None: random effects drawn anew, True: the BLUPs, False: none."""
    if fit.model.residual is not None:
        raise MMEError("residuals of new rows have no structure that is known: simulate without newdata")
    chosen = tuple(range(len(fit.model.terms))) if fitted is not False else ()
    given = given_rows(fit, newdata, chosen)
    known = chosen if fitted else ()
    only = given if fitted else GivenRows(given.X, given.offset, [], given.index)
    records = coded_rows(fit.model, only, known, fit.model.terms, "error")
    mean = predictor(kept_columns(fit, records), fit.estimates.beta, fit.estimates.b, records)
    out = np.repeat(mean[:, None], nsim, axis=1)
    if fitted is None:
        for s in range(nsim):
            out[:, s] += _drawn(fit, given, rng)
    return records.rows.aligned(
        out + fit.sigma * rng.standard_normal(out.shape) * _sd(fit, newdata, weights, len(out)), "simulated"
    )


def _drawn(fit: Fitted, given: GivenRows, rng: np.random.Generator) -> np.ndarray:
    """Z b of new rows with b drawn anew, one for each label."""
    out = np.zeros(len(given.X))
    for (factor, covariates), term, T in zip(given.groups, fit.model.terms, fit.model.T(fit.theta), strict=True):
        if term.relationship is not None or term.by_column:
            raise MMEError(
                f"levels of term '{term.name}' are related: their effects are drawn for the rows of the fit alone; "
                "random='fitted' takes the BLUPs"
            )
        if (factor.codes < 0).any():
            raise MMEError(f"a new row has no label of '{term.group}': its effect cannot be drawn; random=False")
        b = rng.standard_normal((len(factor.categories), term.q)) @ (fit.sigma * T).T
        out += term_values(factor.codes, covariates, b)
    return out


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
