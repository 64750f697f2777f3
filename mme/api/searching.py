"""A checked model -> the record of its fit."""

from __future__ import annotations

import logging
from typing import Any

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.search.about_mean import search_about_mean
from mme.search.given import given_theta
from mme.search.known_derivatives import AUTO, check_search
from mme.search.progress import Progress
from mme.tables.rows import Rows

_LOG = logging.getLogger("mme")


def fit_model(
    model: Model,
    theta: Any,
    start: Any,
    progress: Progress,
    rows: Rows | None = None,
    formula: str | None = None,
    specification: Any = None,
    formula_seconds: float | None = None,
    search: str = AUTO,
) -> Fitted:
    """Fit a checked model; what describes its rows and its formula goes into the record."""
    if theta is not None and start is not None:
        raise MMEError("theta= evaluates there without a search, which start= would begin: give one of them")
    first = None if start is None else model.canonical(given_theta(start, model, "start"))
    found = search_about_mean(model, theta, progress, first, check_search(search))
    _LOG.info("%s", found.optimum)
    used = Rows.all(model.n) if rows is None else rows
    objective = found.objective if formula_seconds is None else found.objective.having_taken(formula=formula_seconds)
    follows_mean = model.residual is not None and model.residual.of_mean.any()
    by_iteration = found.objective.model.engine != model.engine
    changed = by_iteration or follows_mean or model.held is not None or model.bounds is not None
    model = found.objective.model if changed else model
    return Fitted(model, found.optimum, objective, used, progress, formula, specification)
