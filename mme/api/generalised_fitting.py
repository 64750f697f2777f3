"""The ways in to generalised models: arrays, or a formula and a table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mme.api.generalised import GeneralisedFit
from mme.api.remembered import remembered
from mme.errors import MMEError, warn
from mme.family.base import Family
from mme.family.words import family_of
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.generalised.quadrature import MOST_POINTS
from mme.generalised.search import COSTS, SearchEnd
from mme.generalised.search import search as search_optimum
from mme.generalised.start import carried, carried_modes, near
from mme.generalised.start import start as first_point
from mme.generalised.verdict import JointOptimum, judge
from mme.identifiability.saturated import require_identifiable
from mme.model.checks import labels_beside
from mme.model.problem import build_model
from mme.model.term import Term
from mme.search.given import given_theta
from mme.search.progress import Progress, finished
from mme.search.progress import told as progress_told
from mme.tables.arguments import is_word
from mme.tables.arrays import shown
from mme.tables.calls import explained
from mme.tables.rows import Rows

_INFORMATION = ("observed", "expected")
_SEARCHES = ("gradient", "derivative-free")


@remembered
@explained
def glmer(
    formula: str,
    data: Any,
    family: str | Family = "binomial",
    *,
    n_agq: int = 1,
    laplace: str = "observed",
    search: str = "gradient",
    theta: Any = None,
    start: Any = None,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    relationship: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    subset: Any = None,
    na_action: str = "drop",
    progress: Progress = False,
) -> GeneralisedFit:
    r"""Fit a generalised linear mixed model given by an lme4 formula, by maximum likelihood.

    y_i given b has a density of the family with mean g^-1(eta_i), eta = X beta + Z b + offset, b = Lambda u,
    u ~ N(0, K (x) I). The criterion is -2 log of Laplace's approximation to the marginal likelihood, with every
    constant, minimised over theta, beta and the family's own parameters together by its exact gradient.

    Parameters
    ----------
    formula : str
        As in :func:`mme.lmer`. The response may be ``cbind(success, failure)``, 0 and 1, truth values, two labels (the
        second in sorted order is a success), counts, or a proportion with the numbers of trials as weights.
    data : DataFrame, Polars or Arrow table, or mapping of arrays
        The columns that the formula names.
    family : str or Family
        ``"binomial"``, ``"poisson"``, ... or an object: ``mme.Binomial(link="probit")``.
    n_agq : int
        Points of adaptive Gauss-Hermite quadrature along each random coefficient; 1 is Laplace's approximation. For one
        grouping factor, with up to three coefficients a level. Values of all n_agq are on one scale. 0 is lme4's fast
        fit, in which beta maximises the penalised likelihood beside the modes: rough where groups are small.
    laplace : str
        The information in the determinant: ``"observed"``, minus the second derivative of the log density, which is
        Laplace's approximation proper (glmmTMB); or ``"expected"`` (lme4). They are one for canonical links.
    search : str
        ``"gradient"``: by the exact gradient of the criterion; ``"derivative-free"``: by its values, a slow check.
    theta : (k,) array or mapping by name, optional
        Not searched, but held there: entries of the covariance factors, absolute, in the order and by the names of
        :attr:`GeneralisedFit.theta_names`. Fixed effects and the family's parameters are searched still.
    start : (k,) array or mapping by name, optional
        Theta of a similar fit, where the search begins.
    weights : column name or array, optional
        Numbers of trials of proportions; for other families weights that multiply the log density, or divide the
        dispersion. Zeros count for nothing.
    offset : column name or array, optional
        A known part of eta.
    exposure : column name or array, optional
        Its logarithm is added to the offset.
    relationship, contrasts, subset, na_action
        As in :func:`mme.lmer`.
    progress : bool or callable
        As in :func:`mme.lmer`; a callable gets (evaluation, criterion, (theta, beta, the family's parameters)).

    Returns
    -------
    GeneralisedFit

    Raises
    ------
    MMEError
        The formula does not parse, or the data cannot be used; the message says why.

    Warns
    -----
    MMEWarning
        The likelihood has no finite maximum: records are separated by columns that the message names, or every level
        has one answer alone. Or the search did not reach the maximum.

    Examples
    --------
    >>> import mme
    >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "of": [14, 12, 9, 5, 21, 22]}
    >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
    >>> round(fit.criterion, 4), fit.beta.round(3).to_dict()
    (24.4887, {'(Intercept)': -1.214})
    """
    from mme.formula.design import design

    parts = design(
        formula,
        data,
        weights=weights,
        offset=offset,
        exposure=exposure,
        na_action=na_action,
        relationship=relationship,
        contrasts=contrasts,
        subset=subset,
        response="family",
    )
    if not parts.terms:
        raise MMEError(
            f"no random effects in '{formula}': add a term such as (1 | g), or use a generalised linear model"
        )
    rows = Rows(parts.kept, parts.index, parts.outside)
    return _fitted(
        parts.outcome,
        parts.X,
        parts.terms,
        family_of(family),
        _told(laplace, n_agq, search),
        parts.weights,
        theta=theta,
        start=start,
        offset=parts.offset,
        x_names=parts.x_names,
        response=parts.spec.response,
        rows=rows,
        formula=formula,
        specification=parts.spec,
        progress=progress,
    )


@explained
def glm_fit(
    y: Any,
    X: Any,
    terms: Sequence[Term],
    family: str | Family = "binomial",
    *,
    n_agq: int = 1,
    laplace: str = "observed",
    search: str = "gradient",
    theta: Any = None,
    start: Any = None,
    weights: Any = None,
    offset: Any = None,
    progress: Progress = False,
) -> GeneralisedFit:
    """Fit a generalised linear mixed model given by arrays: the parameters are those of :func:`mme.glmer`.

    Parameters
    ----------
    y : (n,) array, or (n, 2) array of successes and failures
        Response.
    X : (n, p) array
        Fixed-effect columns; give the column of ones yourself.
    terms : sequence of Term
        Random effects.
    family, n_agq, laplace, search, theta, start, weights, offset, progress
        As in :func:`mme.glmer`.

    Returns
    -------
    GeneralisedFit

    Examples
    --------
    >>> import mme, numpy as np
    >>> fit = mme.glm_fit([0, 1, 2, 4, 9, 7], np.ones((6, 1)), [mme.Term([1, 1, 2, 2, 3, 3])], "poisson")
    >>> fit.varcorr["g"].sd.round(3)
    array([0.92])
    """
    told = _told(laplace, n_agq, search)
    how = {"theta": theta, "start": start, "progress": progress}
    return _fitted(y, X, terms, family_of(family), told, weights, offset=offset, **how)


def _told(laplace: Any, n_agq: Any, by: Any) -> dict[str, Any]:
    """What the search is told: the information in the determinant, the points of a quadrature, how it searches."""
    if not is_word(laplace, _INFORMATION):
        raise MMEError(f'laplace must be "observed" or "expected", got {shown(laplace)}')
    whole = isinstance(n_agq, int | np.integer) and not isinstance(n_agq, bool)
    if not whole or not 0 <= n_agq <= MOST_POINTS:
        raise MMEError(f"n_agq must be a whole number from 0 to {MOST_POINTS}, got {shown(n_agq)}")
    if n_agq > 1 and laplace == "expected":
        raise MMEError("laplace='expected' is of Laplace's approximation: leave it out, or use n_agq=1")
    if not is_word(by, _SEARCHES):
        raise MMEError(f'search must be "gradient" or "derivative-free", got {shown(by)}')
    by_values = bool(by == "derivative-free")
    return {"expected": bool(laplace == "expected"), "points": int(n_agq), "by_values": by_values}


def _fitted(
    outcome: Any,
    X: Any,
    terms: Sequence[Term],
    family: Family,
    told: dict[str, Any],
    weights: Any,
    *,
    theta: Any = None,
    start: Any = None,
    response: str = "y",
    rows: Rows | None = None,
    formula: str | None = None,
    specification: Any = None,
    progress: Progress = False,
    **given: Any,
) -> GeneralisedFit:
    """Check, search, judge."""
    data = family.observe(outcome, weights, response)
    if not (data.weights > 0.0).any():
        raise MMEError("all weights are zero: no record counts, and there is nothing to fit")
    model = build_model(data.y, X, terms, method="ML", response=response, wide=False, **given)
    labels_beside({f"response '{response}'": outcome, "X": X, "weights": weights}, model.terms)
    if theta is None and (family.name, family.link) == ("gaussian", "identity"):
        known = "theta= if its standard deviation is known"
        require_identifiable(model if weights is None else model.beside(weights=data.weights), known)
    problem = Problem(model, family, data)
    found = _searched(problem, told, _begin(problem, theta, start), progress)
    used = Rows.all(model.n) if rows is None else rows
    record = GeneralisedFitted(
        model, problem, found, judge(problem, found), used, formula=formula, specification=specification
    )
    logging.getLogger("mme").info("%s", record.engine)
    logging.getLogger("mme").info("%s", record.optimum)
    _warn(record.optimum)
    return GeneralisedFit(record)


def _searched(problem: Problem, told: dict[str, Any], begun: dict[str, Any], progress: Progress) -> SearchEnd:
    """The end of the search, which begins where that of the records that count ends: no others lead it."""
    few = problem.counting
    counted = None if begun or few is problem else _searched(few, told, begun, progress).at
    if counted is not None:
        begun = {"first": carried(counted.at, few, problem), "modes": carried_modes(counted.u, few, problem)}
    tell = progress_told(progress, lambda at: _in_columns(problem, at), "theta, beta")
    found = search_optimum(problem, **told, **begun, tell=tell)
    if counted is not None and found.at.value > counted.value + COSTS:  # its modes are not found from there
        found = min(found, search_optimum(problem, **told, tell=tell), key=lambda end: end.at.value)
    finished(tell)
    return found


def _in_columns(problem: Problem, at: Psi) -> np.ndarray:
    """Theta, beta and the family's parameters in the user's columns and units."""
    return np.concatenate([problem.model.coordinates.outer(at.theta), problem.beta(at.gamma), at.tau])


def _begin(problem: Problem, theta: Any, start: Any) -> dict[str, Any]:
    """What the search is told of theta: that it is given, or where to begin."""
    if theta is None and start is None:
        return {}
    if theta is not None and start is not None:
        raise MMEError("give theta, to be held, or start, where its search begins; not both")
    model, what = problem.model, "start" if theta is None else "theta"
    inner = model.coordinates.inner(given_theta(start if theta is None else theta, model, what))
    point = replace(first_point(problem), theta=inner)
    return {"first": point, "given": True} if start is None else {"first": near(problem, point)}


def _warn(optimum: JointOptimum) -> None:
    """Say where the answer is not the best one, or there is none that is finite."""
    if optimum.separation:
        warn(optimum.separation[0].upper() + optimum.separation[1:])
    elif not optimum.converged:
        warn(f"the search did not reach a maximum of the likelihood: {optimum}; see diagnose()")
