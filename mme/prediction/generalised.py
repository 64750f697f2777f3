r"""Predictions of generalised models: of eta, of the mean given b, and of the mean of a new level.

The standard error of eta_hat = x'beta_hat + z'b_hat is that of :mod:`mme.generalised.moves`; of a mean it is |dmu/deta|
times as large. Intervals are eta_hat plus and minus a normal quantile, on the scale of the mean by its monotone link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.criterion import Criterion
from mme.generalised.marginal import marginal_means
from mme.generalised.monotone import between, eta_of
from mme.generalised.problem import Problem
from mme.prediction.new_record import NewRecords, checked_weights
from mme.prediction.predictor import (
    check_words,
    chosen_columns,
    kept_columns,
    only,
    parts_of,
    predictor,
    table,
    undetermined,
)
from mme.prediction.rows import PredictedRows, coded_rows, given_rows, rows_of_fit, widened
from mme.results.mean_of_eta import means_of
from mme.solution.prediction_error import OfLevels, combined, level_last, meetings
from mme.tables.arguments import check_level, is_word
from mme.tables.arrays import shown
from mme.tables.column import Factor

if TYPE_CHECKING:
    import pandas as pd

# Half the width of differences of z'G z by theta, in the axes.
_STEP = 1e-6
AVERAGE = "average"


@dataclass(frozen=True, eq=False)
class Predicted:
    """Means on the scale asked for, eta that stands for them, and where asked the standard errors of both (n,)."""

    fit: np.ndarray
    eta: np.ndarray
    se: np.ndarray | None
    eta_se: np.ndarray | None


def predict_generalised(
    fit: GeneralisedFitted,
    newdata: Any,
    kind: str,
    random: bool | str | Sequence[str],
    new_levels: str,
    interval: str | None,
    level: float,
    weights: Any,
) -> Any:
    """Predict the rows of a fit or new ones; see ``GeneralisedFit.predict()``."""
    _check(fit, kind, random, new_levels, interval, level)
    average = is_word(random, (AVERAGE,))
    columns = chosen_columns(fit, True if average else random)
    chosen = tuple(columns)
    if newdata is None:
        records = rows_of_fit(fit, chosen)
    else:
        given = given_rows(fit, newdata, chosen, labels=not average)
        if average:
            given = replace(given, groups=[(replace(one, codes=one.codes * 0 - 1), z) for one, z in given.groups])
            new_levels = "population"
        else:
            fit = widened_fit(fit, chosen, [factor for factor, _ in given.groups])
        records = coded_rows(fit.model, given, chosen, fit.model.terms, new_levels)
    records = only(records, columns)
    if interval == "prediction":
        trials = checked_weights(fit.family, weights, newdata, len(records.X))
        own = fit.problem.data.weights if newdata is None and weights is None else trials
        return _new_records(fit, records, average, own, level)
    if kind == "probability":
        return _of_categories(fit, records, average)
    found = (_averaged if average else _given_b)(fit, records, kind == "response", interval is not None)
    if newdata is not None and fit.dropped:
        found.fit[undetermined(fit, records)] = np.nan
    if found.se is None or found.eta_se is None:
        return records.rows.aligned(found.fit, "predicted")
    ends = _ends(fit, found, kind == "response", ndtri(0.5 + level / 2.0))
    return table(found.fit, ends, found.se, np.full(found.se.size, np.inf), records.rows)


def _check(fit: GeneralisedFitted, kind: str, random: Any, new_levels: str, interval: str | None, level: float) -> None:
    """Refuse words that there are not, or not together.

    Raises
    ------
    MMEError
        One of them is not known, or another one asks for what it has not.
    """
    check_words(new_levels, interval, ("confidence", "prediction"))
    check_level(level)
    if not is_word(kind, ("response", "link", "probability")):
        raise MMEError(f"type must be 'response', 'link' or 'probability', got {shown(kind)}")
    if kind == "probability" and (fit.family.has_intercept or interval is not None):
        raise MMEError(
            "type='probability' is of ordered categories, without intervals, which means() and average_effects() have; "
            "of binomial data type='response' is the probability"
        )
    if kind == "link" and interval == "prediction":
        raise MMEError("interval='prediction' is of a new response: write type='response'")
    if is_word(random, (AVERAGE,)) and kind == "link":
        raise MMEError(
            "random='average' is of means: on the scale of the link the average over b is random=False; write "
            "type='response'"
        )


def _of_categories(fit: GeneralisedFitted, records: PredictedRows, average: bool) -> pd.DataFrame:
    """The probability of each category, a column each."""
    import pandas as pd

    estimates, X = fit.estimates, kept_columns(fit, records)
    eta = predictor(X, estimates.beta, [0.0 * b for b in estimates.b] if average else estimates.b, records)
    if fit.dropped:
        eta[undetermined(fit, records)] = np.nan
    spread = prior_variance(fit, records, fit.searched.at.at.theta) if average else np.zeros(eta.size)
    columns = {label: marginal_means(mean, eta, spread, estimates.tau).mean for label, mean in means_of(fit).items()}
    table = pd.DataFrame(columns)
    rows = records.rows
    return pd.DataFrame(rows.full(table.to_numpy()), index=rows.index, columns=table.columns)


def _new_records(
    fit: GeneralisedFitted, records: PredictedRows, average: bool, weights: np.ndarray, level: float
) -> Any:
    """New records, of the levels given or of a level drawn anew."""
    estimates, X = fit.estimates, kept_columns(fit, records)
    if average:
        eta = predictor(X, estimates.beta, [0.0 * b for b in estimates.b], records)
        variance = np.einsum("ij,jk,ik->i", X, estimates.beta_cov, X)
        variance += prior_variance(fit, records, fit.searched.at.at.theta)
    else:
        eta, variance = predictor(X, estimates.beta, estimates.b, records), eta_variance(fit, X, records)
    if fit.dropped:
        eta[undetermined(fit, records)] = np.nan
    new = NewRecords.of(fit.family, estimates.tau, eta, np.sqrt(variance), weights)
    ends = new.quantile(0.5 - 0.5 * level), new.quantile(0.5 + 0.5 * level)
    return table(new.mean, ends, new.sd, np.full(eta.size, np.inf), records.rows)


def widened_fit(fit: GeneralisedFitted, chosen: tuple[int, ...], factors: list[Factor]) -> GeneralisedFitted:
    """The same fit with levels for new times of known series: at its parameters, whose covariance stays."""
    model = widened(fit.model, chosen, factors)
    if model is None:
        return fit
    problem, old = Problem(model, fit.family, fit.problem.data), fit.searched
    criterion = Criterion(problem, old.criterion.expected, old.criterion.points)
    at = criterion.at(old.at.at)
    assert at is not None
    wider = replace(fit, model=model, problem=problem, searched=replace(old, criterion=criterion, at=at.laplace))
    known = {"parameter_cov": fit.estimates.parameter_cov, "separation": fit.estimates.separation}
    vars(wider.estimates).update(known)
    return wider


def _given_b(fit: GeneralisedFitted, records: PredictedRows, response: bool, with_se: bool) -> Predicted:
    """At the modes; a level that the fit did not see has its expectation, zero, and its prior variance."""
    estimates = fit.estimates
    X = kept_columns(fit, records)
    eta = predictor(X, estimates.beta, estimates.b, records)
    if not response:
        se = np.sqrt(eta_variance(fit, X, records)) if with_se else None
        return Predicted(eta.copy(), eta, se, se)
    mean, slope = np.array(fit.family.mean(eta, estimates.tau)), fit.family.mean_slope(eta, estimates.tau)
    if not with_se:
        return Predicted(mean, eta, None, None)
    by_tau = _by_tau(fit, eta, np.zeros(eta.size))
    as_eta = np.divide(by_tau, slope[:, None], out=np.zeros(by_tau.shape), where=slope[:, None] != 0.0)
    se = np.sqrt(eta_variance(fit, X, records, as_eta))
    return Predicted(mean, eta, np.abs(slope) * se, se)


def _by_tau(fit: GeneralisedFitted, eta: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Derivatives (n, r) of means by the thresholds of ordered categories; other families have none in the mean."""
    tau = fit.estimates.tau
    out = np.zeros((eta.size, tau.size))
    if not fit.family.has_intercept:
        for j, step in enumerate(_STEP * np.eye(tau.size)):
            above, below = (marginal_means(fit.family, eta, spread, at).mean for at in (tau + step, tau - step))
            out[:, j] = (above - below) / (2.0 * _STEP)
    return out


def eta_variance(
    fit: GeneralisedFitted, X: np.ndarray, records: PredictedRows, by_tau: np.ndarray | None = None
) -> np.ndarray:
    """Variance (n,) of eta_hat - eta, from the joint covariance of (beta_hat, b_hat - b); X of the kept columns.

    ``by_tau`` (n, r) is how much of eta the family's parameters amount to.
    """
    estimates = fit.estimates
    mode, moves, problem = estimates.searched.at.mode, estimates.moves, estimates.problem
    assert mode.factor is not None
    own = [
        OfLevels(-one, level_last(H), T)
        for one, H, T in zip(moves.b, mode.factor.covariances(), mode.prior.T, strict=True)
    ]
    parts = parts_of(fit.model, problem.blocks, records)
    met = meetings(parts, [block.J for block in problem.blocks])
    F = moves.beta.T
    if by_tau is not None and by_tau.any():
        F, X = np.hstack([F, moves.tau.T]), np.hstack([X, by_tau])
    return combined(F, own, X, parts, met, mode.factor.between)


def _averaged(fit: GeneralisedFitted, records: PredictedRows, response: bool, with_se: bool) -> Predicted:
    """The mean integrated over b."""
    estimates, at = fit.estimates, fit.searched.at.at
    X = kept_columns(fit, records)
    eta = predictor(X, estimates.beta, [0.0 * b for b in estimates.b], records)
    means = marginal_means(fit.family, eta, prior_variance(fit, records, at.theta), estimates.tau)
    if not with_se:
        return Predicted(means.mean, eta, None, None)
    slopes = means.by_eta[:, None] * (X @ estimates.problem.beta_of_gamma)
    Sigma, free = estimates.joint_cov, fit.searched.free
    if Sigma is None:
        se = np.sqrt(np.einsum("ij,jk,ik->i", X, estimates.beta_cov, X)) * np.abs(means.by_eta)
    else:
        by_theta = [
            means.by_variance * variance_slope(fit, records, k) for k in np.flatnonzero(free[: at.theta.size]).tolist()
        ]
        spread = prior_variance(fit, records, at.theta)
        J = np.column_stack([*by_theta, slopes, _by_tau(fit, eta, spread)[:, free[at.theta.size + at.gamma.size :]]])
        se = np.sqrt(np.einsum("ij,jk,ik->i", J, Sigma, J))
    stands_for = eta_of(fit.family, means.mean, eta, estimates.tau)
    return Predicted(means.mean, stands_for, se, se / np.abs(fit.family.mean_slope(stands_for, estimates.tau)))


def prior_variance(fit: GeneralisedFitted, records: PredictedRows, inner: np.ndarray) -> np.ndarray:
    """sum_t z_t'G_t z_t (n,) of independent new levels, at theta in the axes."""
    total = np.zeros(len(records.X))
    T = fit.model.T(fit.model.coordinates.outer(inner))
    for t, z in zip(records.terms, records.covariates, strict=True):
        total += T[t][0, 0] ** 2 if z is None else ((z @ T[t]) ** 2).sum(axis=1)
    return total


def variance_slope(fit: GeneralisedFitted, records: PredictedRows, k: int) -> np.ndarray:
    """Its derivative (n,) by one entry of theta: exact but for rounding, as G is quadratic in theta."""
    theta, step = fit.searched.at.at.theta, np.zeros(fit.searched.at.at.theta.size)
    step[k] = _STEP * max(1.0, abs(float(theta[k])))
    above, below = (prior_variance(fit, records, theta + sign * step) for sign in (1.0, -1.0))
    return np.asarray((above - below) / (2.0 * step[k]))


def _ends(fit: GeneralisedFitted, found: Predicted, response: bool, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends (n,) of the intervals, the lower first."""
    assert found.eta_se is not None
    ends = np.array([found.eta + sign * quantile * found.eta_se for sign in (-1.0, 1.0)])
    return between(fit.family, ends, fit.estimates.tau) if response else (ends[0], ends[1])
