"""What a reader of a fit should know besides its numbers."""

from __future__ import annotations

import numpy as np

from mme.covariance.coordinates import tied
from mme.fitted.record import Fitted
from mme.formula.syntax import deparse
from mme.results.summary_rows import has_standard_errors, related_terms
from mme.tables.levels import runs_across

# A standard deviation of the random effects below this share of what their columns' size would make visible is zero.
_ZERO = 1e-5


def notes_of(fit: Fitted) -> list[str]:
    """What a reader should know besides the numbers; empty for an ordinary fit."""
    return [*_of_records(fit), *_of_the_model(fit), *_of_the_search(fit), *_of_what_was_given(fit)]


def _of_records(fit: Fitted) -> list[str]:
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
    notes = []
    if fit.dropped:
        notes.append(f"Fixed effects dropped, determined by earlier columns: {', '.join(fit.dropped)}.")
    if fit.singular and fit.optimum.verdict != "given":
        notes.append(
            f"Singular fit, on the boundary of the model: {'; '.join(boundary(fit))}. A valid result; a simpler "
            "random part would fit as well."
        )
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
    notes = []
    if fit.optimum.verdict in ("flat", "not converged"):
        notes.append(f"Optimum: {fit.optimum}.")
    if related_terms(fit) and fit.optimum.verdict != "given" and not has_standard_errors(fit):
        notes.append(
            f"Standard errors of the shares take some evaluations of a large factor: "
            f"heritability({related_terms(fit)[0].name!r}) computes them."
        )
    return notes


def _of_what_was_given(fit: Fitted) -> list[str]:
    """Parameters that were given, not estimated."""
    notes = []
    if fit.optimum.verdict == "given" and fit.model.k:
        notes.append("Theta was given, not estimated.")
    if fit.phi_given:
        notes.append(f"Of the residual structure {', '.join(fit.phi_given)} was given, not estimated.")
    if fit.model.sigma is not None:
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


def boundary(fit: Fitted) -> list[str]:
    """Say for each zero on a diagonal of T which variance is zero, or which coefficients are tied together.

    T[i, i] = 0 with the rest of its row not zero: b_i is a linear function of b_1 ... b_(i-1).
    """
    found, fit = [], fit.determined
    for term, T, (edge, zero) in zip(fit.model.terms, fit.model.T(fit.theta), _edges(fit), strict=True):
        for i in np.flatnonzero(edge).tolist():
            earlier = [j for j in range(i) if not zero[j]]
            if zero[i] or not earlier:
                found.append(f"the variance of {term.columns[i]} by {term.name} is zero")
            elif len(earlier) == 1:
                sign = "+" if T[i] @ T[earlier[0]] > 0 else "-"
                pair = f"{term.columns[earlier[0]]} and {term.columns[i]}"
                found.append(f"the correlation of {pair} by {term.name} is {sign}1")
            else:
                others = ", ".join(term.columns[j] for j in earlier)
                found.append(f"{term.columns[i]} by {term.name} is determined by {others}")
    return found or [f"{name} is at its bound" for name in fit.optimum.boundary]


def _edges(fit: Fitted) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each term which coefficients (q,) earlier ones determine, and which of them are zero."""
    objective, coordinates = fit.objective.in_axes, fit.model.coordinates
    found = []
    T = fit.model.T(coordinates.inner(fit.theta) * objective.theta_scale)
    for one, axes in zip(T, coordinates.axes, strict=True):
        if axes is None:
            found.append((np.abs(np.diag(one)) < _ZERO, np.linalg.norm(one, axis=1) < _ZERO))
        else:
            at = tied(one, axes)
            found.append((at.determined, at.zero))
    return found
