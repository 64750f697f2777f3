"""A paragraph for the methods of a paper: what was fitted, how, with what; to be edited."""

from __future__ import annotations

import platform
import textwrap

from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.formula.syntax import deparse
from mme.inference.fixed.methods import ddf_method
from mme.inference.fixed.shown import is_exact
from mme.model.term import Term
from mme.results.generalised_rows import approximation
from mme.version import __version__

_WIDTH = 80
_RELATED = {"Pedigree": ", related by their pedigree"}
_GIVEN = ", related by a given matrix"
_DDF = {
    "satterthwaite": "t and F tests with degrees of freedom by Satterthwaite's method",
    "kenward-roger": "t and F tests with standard errors and degrees of freedom by Kenward and Roger's method",
    "kenward-roger-linear": (
        "t and F tests with standard errors and degrees of freedom by Kenward and Roger's method of first order"
    ),
    "containment": "t and F tests with degrees of freedom by containment",
    "between-within": "t and F tests with degrees of freedom between and within subjects",
    "none": "Wald tests by the normal and chi-square distributions",
}


def methods_text(fit: Record, ddf: str) -> str:
    """Sentences on the model, its estimation, its tests and the software, and on what is unusual about the fit."""
    parts = [_model(fit), *_random(fit), _estimation(fit), _tests(fit, ddf), *_unusual(fit)]
    parts.append(f"The analysis was made with mme {__version__} in Python {platform.python_version()}.")
    return textwrap.fill(" ".join(parts), _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def _model(fit: Record) -> str:
    kind = "linear mixed model" if fit.model.terms else "linear model"
    if isinstance(fit, GeneralisedFitted):
        ordinal = not fit.family.has_intercept
        law = "cumulative probabilities of ordered categories" if ordinal else f"{fit.family.name} distribution"
        kind = f"generalised {kind} ({law}, {fit.family.link} link)"
    names = _fixed(fit)
    fixed = f"with fixed effects of {', '.join(names)}" if names else "with an intercept alone for fixed effect"
    written = f"; in the notation of lme4: {fit.formula}" if fit.formula else ""
    return f"We fitted a {kind} to {fit.nobs:,} observations of {fit.model.response} {fixed}{written}."


def _fixed(fit: Record) -> list[str]:
    """The terms of the fixed part as they are written, or, of a fit by arrays, the columns of X."""
    if fit.specification is None or fit.specification.wide:
        return [name for name in fit.fixed_names if name != "(Intercept)"]
    return [":".join(map(deparse, term)) for term in fit.specification.fixed.terms if term]


def _random(fit: Record) -> list[str]:
    """A sentence a random term, and one on residuals that have a structure."""
    parts = [
        _of_term(term, structure.correlated)
        for term, structure in zip(fit.model.terms, fit.model.structures, strict=True)
    ]
    found = [f"Random effects were {'; '.join(parts)}."] if parts else []
    residual = getattr(fit.model, "residual", None)
    return [*found, f"Residuals had the covariance structure {residual.kind}."] if residual is not None else found


def _of_term(term: Term, correlated: bool) -> str:
    columns = ["intercepts" if name == "(Intercept)" else f"slopes of {name}" for name in term.columns]
    related = _RELATED.get(type(term.relationship).__name__, "" if term.relationship is None else _GIVEN)
    together = (", correlated" if correlated else ", uncorrelated") if term.q > 1 else ""
    return f"{' and '.join(columns)}{together}, for {term.n_levels:,} levels of {term.group}{related}"


def _estimation(fit: Record) -> str:
    if isinstance(fit, GeneralisedFitted):
        how = approximation(fit).replace(" (", ", ").replace(")", "")
        return f"Parameters were estimated by maximum likelihood ({how})."
    if not fit.model.terms and fit.model.residual is None:
        return "Parameters were estimated by least squares."
    if fit.method == "REML":
        return "Variances were estimated by restricted maximum likelihood (REML)."
    return "Parameters were estimated by maximum likelihood."


def _tests(fit: Record, ddf: str) -> str:
    if isinstance(fit, GeneralisedFitted):
        return "Fixed effects were tested by Wald tests (z and chi-square)."
    if isinstance(fit, Fitted) and is_exact(fit):
        return f"Fixed effects were tested by t and F tests on {fit.nobs - len(fit.fixed_names):,} degrees of freedom."
    return f"Fixed effects were tested by {_DDF[ddf_method(ddf)]}."


def _unusual(fit: Record) -> list[str]:
    """What a reader must know: rows and columns left out, an edge of the model, a search that did not end well."""
    said = []
    if fit.n_dropped:
        rows = "row" if fit.n_dropped == 1 else "rows"
        said.append(f"{fit.n_dropped:,} {rows} with missing values {'was' if rows == 'row' else 'were'} left out.")
    if fit.dropped:
        said.append(f"Columns that others determine were left out: {', '.join(fit.dropped)}.")
    if fit.singular:
        said.append("The estimate lies on the boundary of the model: a variance is zero or a correlation is one.")
    if not fit.optimum.converged and fit.optimum.verdict != "given":
        said.append(f"The search did not end at a clear maximum ({fit.optimum.verdict}).")
    return said
