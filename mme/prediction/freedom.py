r"""Degrees of freedom of predictions: of t = x'beta + z'b, and of a new record about it.

The variance of the error, v = var(t_hat - t), of (V) in :mod:`mme.solution.prediction_error`, is estimated as that of
a contrast of fixed effects is, and t's degrees of freedom come the same way:

* Satterthwaite: (1) of :mod:`mme.inference.fixed.satterthwaite` with g = d log v / d(theta, phi), sigma profiled out.
  For a new record v + sigma^2 r is in place of v. Without random effects that is the contrast x'beta.

* Kenward and Roger: with the variances gamma of V = sum_r gamma_r V_r and W their covariance,

      df = 2 / sum_rs W_rs u_r u_s,    u_r = d log v / d gamma_r,    v_A = v - sum_rs W_rs d^2 v / d gamma_r d gamma_s

  v is the least of functions linear in gamma, one for each unbiased linear predictor, so that its second derivatives
  are -2 times the covariance of the derivatives of t_hat: v_A adds twice what estimating gamma adds, as Prasad and Rao
  (1990, J. Amer. Statist. Assoc. 85:163) and Harville and Jeske (1992, ibid. 87:724). For x'beta it is Kenward and
  Roger's adjusted variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mme.derivatives.estimated import Estimated
from mme.derivatives.variance_derivatives import directions
from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.inference.fixed.kenward_roger import KenwardRoger, kenward_roger
from mme.inference.fixed.methods import ddf_method, reference
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.reference import Normal, Reference, reciprocal
from mme.inference.fixed.satterthwaite import Satterthwaite
from mme.inference.fixed.wide import WideReference
from mme.numeric.differences import one_sided
from mme.numeric.limits import limits
from mme.solution.estimates import Estimates
from mme.solution.joint import Entries
from mme.solution.prediction_error import Errors

# Differences of first order: their error is some 1e-6 of the derivative, by steps of this share of a unit.
_STEP = 1e-6
# Degrees of freedom that are as good as more: half the width of a 95% interval changes by 1.2 parts in their number.
_PLENTY = 10_000.0
# Condition of T beyond which a variance is, to rounding, zero.
_SINGULAR = 1e6


def check_interval(level: float, ddf: str) -> None:
    """Refuse a level or a method that there is not, before anything is computed."""
    t_quantile(level, np.zeros(0))
    ddf_method(ddf)


def half_widths(fit: Fitted, errors: Errors, ddf: str, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half the widths (n,) of intervals at this level, standard errors, and degrees of freedom."""
    se, df = standard_errors(fit, errors, ddf)
    half = t_quantile(level, df)
    half *= se
    return half, se, df


def standard_errors(fit: Fitted, errors: Errors, ddf: str) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors (n,) and degrees of freedom (n,) by the method named ``ddf``."""
    to = reference(fit, ddf)
    if isinstance(to, WideReference):
        to = to.of_records
    if isinstance(to, Normal):
        return np.sqrt(errors.variance), np.full(len(errors.X), np.inf)
    if errors.residual is None and not errors.parts:
        return _of_contrasts(to, errors.X)
    if isinstance(to, Satterthwaite):
        return np.sqrt(errors.variance), _satterthwaite(fit, to, errors)
    plain = fit.model.residual is None and fit.model.held is None
    if not isinstance(to, KenwardRoger) or not plain or ddf_method(ddf) != "kenward-roger":
        raise MMEError(
            f"intervals of predictions have no degrees of freedom by {ddf_method(ddf)} here: fixed effects alone have; "
            "use ddf='satterthwaite'"
        )
    return _kenward_roger(fit, errors)


def _of_contrasts(to: Reference, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    step = limits().freedom_rows
    pieces = [X[first : first + step] for first in range(0, len(X), step)]
    se, df = [to.se(x) for x in pieces], [to.df(x) for x in pieces]
    return np.concatenate([np.zeros(0), *se]), np.concatenate([np.zeros(0), *df])


def _satterthwaite(fit: Fitted, to: Satterthwaite, errors: Errors) -> np.ndarray:
    if not to.units.size:  # nothing was estimated but sigma
        return to.df_of(np.zeros((0, len(errors.X))))
    moved = _moved(fit, to, errors.estimates.in_axes)
    least = _least_df(fit, to, moved)
    return to.df_in_pieces(_slopes(errors, moved)) if least < _PLENTY else np.full(len(errors.X), least)


@dataclass(frozen=True, eq=False)
class _Moved:
    """Estimates where one of the parameters that were estimated is further by a step."""

    step: float
    estimates: Estimates


def _moved(fit: Fitted, to: Satterthwaite, origin: Estimates) -> list[_Moved]:
    parameters = Estimated(origin, np.isfinite(fit.optimum.gradient))
    steps = _STEP * to.units
    return [
        _Moved(step, parameters.moved(step * (np.arange(steps.size) == i))) for i, step in enumerate(steps.tolist())
    ]


def _slopes(errors: Errors, moved: list[_Moved]) -> Iterator[np.ndarray]:
    """Slopes of log v by what was estimated, of some records at a time (k, records)."""
    origin = errors.estimates.in_axes
    entries = Entries.of(errors)
    start, own = origin.sigma**2 * entries.at(origin), errors.own(origin)
    slopes, added = np.empty((len(moved), start.size)), list[np.ndarray]()
    for i, one in enumerate(moved):
        there = one.estimates
        slopes[i] = (there.sigma**2 * entries.at(there) - start) / one.step
        added.append(np.asarray((errors.own(there) - own) / one.step))
    done = 0
    for g in entries.in_pieces(slopes):
        cut = slice(done, done + g.shape[1])
        for row, more in zip(g, added, strict=True):
            row += more[cut] if more.ndim else more
        with np.errstate(invalid="ignore", divide="ignore"):
            g /= errors.variance[cut]
        yield g
        done = cut.stop


def _least_df(fit: Fitted, to: Satterthwaite, moved: list[_Moved]) -> float:
    """The smallest degrees of freedom of any variance, which no prediction has less of; zero where it is not known.

    v = a'G a + sigma^2 w'R w is a sum of parts that the weights of the best predictor, in which v is stationary, do not
    move: the slopes of log v are the mean of theirs, weighted by their shares, and no longer than the longest of these.
    With u = T'a those of a term are u'(T^-1 T_i + T_i'T^-T) u / u'u + d log sigma^2 / d theta_i.
    """
    model, k = fit.model, fit.model.k
    known = fit.objective.phi.size == 0 and len(moved) == k and model.held is None and not to.flat.size
    if not known or any(part.entries is None for part in model.structures):
        return 0.0
    sigma = np.array([2.0 * np.log(one.estimates.sigma / fit.sigma) / one.step for one in moved])
    most = to.share + 0.5 * float(sigma @ to.A @ sigma)
    ends = np.cumsum([part.k for part in model.structures])
    for part, T, end in zip(model.structures, model.T(fit.estimates.in_axes.theta), ends.tolist(), strict=True):
        if not np.linalg.cond(T) < _SINGULAR:
            return 0.0
        slopes = sigma[:, None, None] * np.eye(part.q)
        for i, unit in enumerate(np.eye(part.k), start=end - part.k):
            half = np.linalg.solve(T, part.T(unit))
            slopes[i] += half + half.T
        B = slopes.reshape(k, -1)
        most = max(most, to.share + 0.5 * float(np.linalg.eigvalsh(B.T @ to.A @ B)[-1]))
    return 1.0 / most if most > 0.0 else np.inf


def _kenward_roger(fit: Fitted, errors: Errors) -> tuple[np.ndarray, np.ndarray]:
    """With f = v / sigma^2 at H = G / sigma^2 = sum x_i D_i: v(gamma, s) = s f(gamma / s), taken at s = 1."""
    W, origin, n = fit.determined.once(kenward_roger).W, errors.estimates.in_axes, len(errors.X)
    lines, entries = directions(origin, fixed=fit.theta_given), Entries.of(errors)
    k, x, start = lines.x.size, lines.x, entries.at(origin)

    def line(*along: int) -> tuple[np.ndarray, np.ndarray]:
        return one_sided(lambda t: entries.at(Estimates(origin.objective, lines.moved(along, t))), start)

    first, second = np.zeros((k + 1, start.size)), np.zeros((k, k, start.size))
    for i in range(k):
        first[i], second[i, i] = line(i)
    for i in range(k):
        for j in range(i):
            second[i, j] = second[j, i] = 2.0 * line(i, j)[1] - 0.5 * (second[i, i] + second[j, j])
    by_s = np.vstack([np.eye(k), -x])[: len(W)]  # d^2 v by (gamma, s) is this times that by gamma, on both sides
    first[k] = np.einsum("ij,ijm->m", by_s.T @ W @ by_s, second)
    *slopes, curve = entries.forms(first)
    u, f = np.zeros((k + 1, n)), errors.variance / origin.sigma**2
    u[:k] = slopes
    u[k] = f - x @ u[:k]  # a new residual's r, in f, is the slope by s of s r
    with np.errstate(invalid="ignore", divide="ignore"):
        u = u[: len(W)] / f
        df = reciprocal(0.5 * np.einsum("in,in->n", W @ u, u))
    return origin.sigma * np.sqrt(f - curve), df
