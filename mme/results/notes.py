"""What a reader of a fit should know besides its numbers."""

from __future__ import annotations

import numpy as np

from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.formula.syntax import deparse
from mme.results.edges import edges
from mme.results.summary_rows import has_standard_errors, related_terms
from mme.search.verdict import UNBOUNDED
from mme.tables.levels import runs_across


def notes_of(fit: Fitted) -> list[str]:
    """What a reader should know besides the numbers; empty for an ordinary fit."""
    return [*of_records(fit), *_of_the_model(fit), *_of_the_search(fit), *_of_what_was_given(fit)]


def of_records(fit: Record) -> list[str]:
    """Rows that the fit does not use."""
    notes = []
    if fit.rows.outside:
        notes.append(f"Of {fit.rows.kept.size} rows the subset leaves {fit.rows.outside} out.")
    if fit.n_dropped:
        rows = (
            "1 row with a missing value was" if fit.n_dropped == 1 else f"{fit.n_dropped} rows with missing values were"
        )
        notes.append(f"{rows} left out.")
    return notes


def _of_the_model(fit: Fitted) -> list[str]:
    """Columns that are dropped, variances on the boundary, and what residuals say of groups."""
    notes = [*of_dropped(fit)]
    if fit.singular and fit.optimum.verdict not in ("given", UNBOUNDED):
        notes.append(of_the_boundary(boundary(fit)))
    structure = fit.model.residual
    if structure is not None and structure.kind.startswith("CompoundSymmetry") and fit.residual["rho"] < 0.0:
        notes.append(
            "The covariance within groups is negative: a marginal model of the records, which no variance of group "
            "effects would give."
        )
    across = _across(fit)
    if across:
        notes.append(
            f"The groups of the residuals run across the levels of {', '.join(across)}, with several records in each: "
            "if their labels are used anew there, write the combination, such as 'block/plot'."
        )
    return notes


def _of_the_search(fit: Fitted) -> list[str]:
    """A verdict that is not plain convergence, and standard errors that are not computed unasked."""
    notes = [f"At the bound: {', '.join(fit.optimum.at_bounds)}."] if fit.optimum.at_bounds else []
    if fit.optimum.verdict == "flat" or fit.optimum.elsewhere or not fit.optimum.converged:
        notes.append(f"Optimum: {fit.optimum}.")
    if related_terms(fit) and fit.optimum.verdict != "given" and not has_standard_errors(fit):
        notes.append(
            f"Standard errors of the shares take some evaluations of a large factor: "
            f"heritability({related_terms(fit)[0].name!r}) computes them."
        )
    return notes


def _of_what_was_given(fit: Fitted) -> list[str]:
    """Parameters that were given, not estimated."""
    notes, model = [], fit.model.as_given
    held = model.held
    if held is not None:
        names = [name for name, value in zip(fit.theta_names, held.values.tolist(), strict=True) if value == value]
        notes.append(f"Held, not estimated: {', '.join(names)}.")
    elif fit.optimum.verdict == "given" and fit.model.k:
        notes.append("Theta was given, not estimated.")
    if fit.phi_given:
        notes.append(f"Of the residual structure {', '.join(fit.phi_given)} was given, not estimated.")
    if model.sigma is not None and not (held is not None and held.beside_sigma):
        notes.append("The residual standard deviation was given, not estimated.")
    return notes


def _across(fit: Fitted) -> list[str]:
    """Factors of the model whose cells with the residuals' groups could be groups themselves, where no time tells."""
    structure = fit.model.residual
    if structure is None or structure.group is None or not structure.absorbs_intercept:
        return []
    codes = {term.group: term.first_codes for term in fit.model.terms}
    if fit.specification is not None:
        owners = np.array(fit.specification.column_terms)
        for name in map(deparse, fit.specification.codings):
            columns = fit.model.X[:, np.flatnonzero(owners == name)] if owners.size == fit.model.X.shape[1] else None
            if columns is not None and columns.shape[1]:
                codes.setdefault(name, np.unique(columns, axis=0, return_inverse=True)[1].ravel())
    return [name for name, of in codes.items() if runs_across(structure.group, of)]


def of_dropped(fit: Record) -> list[str]:
    """Columns of X that are dropped."""
    return [f"Fixed effects dropped, determined by earlier columns: {', '.join(fit.dropped)}."] if fit.dropped else []


def of_the_boundary(found: list[str]) -> str:
    """A note that says what is at the edge of the model, and that this is no fault."""
    return (
        f"Singular fit, on the boundary of the model: {'; '.join(found)}. A valid result; a simpler model would "
        "fit as well."
    )


def boundary(fit: Fitted) -> list[str]:
    """Say for each zero on a diagonal of T which variance is zero, or which coefficients are tied together.

    Sigma and parameters of the residuals at their edges follow.
    """
    own, optimum = fit.determined, fit.determined.optimum
    others = [name for name in optimum.boundary if name != "sigma" and name not in optimum.ended]
    found = edges(own.model, own.theta, own.objective.in_axes.theta_scale)
    found = found or [f"{name} is at its bound" for name in others]
    if "sigma" in optimum.boundary:
        found.append("the residual variance is zero")
    whose = [" of the residuals" * (name not in own.model.theta_names) for name in optimum.ended]
    ended = zip(optimum.ended, whose, strict=True)
    return [*found, *(f"{name}{of} is at the end of its range" for name, of in ended)]
