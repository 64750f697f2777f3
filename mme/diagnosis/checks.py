"""What is unusual about a fit, in plain language: what was found, what it means, what to try. Often nothing is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mme.diagnosis.findings import Diagnosis, Finding
from mme.engine.blocks import Block
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.model.term import Term
from mme.results.notes import boundary
from mme.search.verdict import UNBOUNDED, open_parameters, search_names

# A variance of fewer values than this has a relative standard error above 70% (sqrt(2 / (J - 1))).
_FEW_LEVELS = 5
# Columns whose sizes differ by more than this (lme4's limit) give tables that nobody can read.
_SCALES_APART = 1e5
# Residual standard deviation as a share of the response's: the model explains all but a hundred-millionth.
_EXACT = 1e-4
# An origin this many standard deviations from the data, and a correlation that says no more than that.
_FAR_ORIGIN, _NEARLY_ONE = 5.0, 0.99
# Smallest eigenvalue of the Gram matrix of columns of unit mean square, below which they depend on each other.
_DEPENDENT = 1e-10


def diagnose(fit: Fitted) -> Diagnosis:
    """Say in plain language what is unusual about the fit, what it means and what to try."""
    checks = (_optimum, _blocks, few_levels, _repeats, scales, origin, _exact, dropped_columns)
    findings = tuple(finding for check in checks for finding in check(fit))
    return Diagnosis(fit.formula or f"Model of {fit.model.response}", findings)


def _optimum(fit: Fitted) -> Iterator[Finding]:
    optimum = fit.optimum
    if optimum.verdict == "given":
        return
    if optimum.verdict == UNBOUNDED:
        why = optimum.without_bound
        simpler = (
            "give the residuals fewer parameters, or leave those records out."
            if optimum.ended
            else "simplify the random part: fewer slopes, diag() for correlated ones, fewer terms."
        )
        yield Finding(
            UNBOUNDED,
            f"{why[0].upper()}{why[1:]}.",
            "There are no estimates of REML or ML; what is reported is a point on the way.",
            simpler,
        )
    elif not optimum.converged:
        yield Finding(
            "not converged",
            f"The search did not reach a minimum of the criterion ({optimum.reason}); one more step promises "
            f"{optimum.expected_decrease:.2g}.",
            "The estimates are not those of REML or ML; how far off they are is not known.",
            "simplify the random part; centre and rescale covariates; mend first whatever else is found here.",
        )
    if optimum.elsewhere:
        yield Finding(
            "lower elsewhere",
            f"{optimum.elsewhere[0].upper()}{optimum.elsewhere[1:]}.",
            "The likelihood has no maximum; the estimates are those of the best of its local maxima that was found.",
            "simplify the random part: fewer slopes, diag() for correlated ones, fewer terms.",
        )
    if fit.singular:
        yield singular(boundary(fit))
    yield from _flat(fit)


def singular(sentences: list[str]) -> Finding:
    """The finding that the estimate lies at the edge of the model, in the words of the notes."""
    return Finding(
        "singular",
        f"Singular fit: {'; '.join(sentences)}.",
        "The likelihood is highest at the edge of the model. This is a valid estimate, not an error, but its "
        "uncertainty is one-sided, and tests that assume an inner maximum do not hold.",
        _singular_remedy(sentences),
    )


def undetermined_variances(sentences: tuple[str, ...]) -> Finding:
    """The finding that the design does not tell variances apart."""
    return Finding(
        "flat",
        f"The data do not determine all variances: {'; '.join(sentences)}.",
        "Other values of these variances fit equally well, and none of them is an estimate: one held at zero is left "
        "out. Fitted values, fixed effects and the criterion are not affected.",
        "leave out the terms that are held at zero, those that the fixed effects determine, or those that describe the "
        "same variation as others.",
    )


def _flat(fit: Fitted) -> Iterator[Finding]:
    """Variances that the data do not determine, or directions along which the criterion is flat."""
    optimum = fit.optimum
    if optimum.undetermined:
        yield undetermined_variances(optimum.undetermined)
    elif optimum.flat and not fit.singular:
        names = ", ".join(_open_parameters(fit)) or "theta"
        yield Finding(
            "flat",
            f"The criterion is flat in {optimum.flat} direction(s): the data do not determine {names}.",
            "Other values of these parameters fit equally well; only their combination is known. Fitted values, fixed "
            "effects and the criterion are not affected.",
            "centre the covariate: see the origin, below."
            if any(origin(fit))
            else "leave out one of the terms that describe the same variation (a factor whose levels are those of "
            "another, a term that stands in the model twice, a correlation).",
        )


def _singular_remedy(sentences: list[str]) -> str:
    remedies = []
    if any("variance of" in sentence for sentence in sentences):
        remedies.append(
            "leave the term with zero variance out, or keep it if the design asks for it: nothing else changes"
        )
    if any("variance of" not in sentence for sentence in sentences):
        remedies.append("drop the correlation, (x || g), or a slope; centre the covariate")
    return "; ".join([*remedies, "more levels are what helps to find a small variance"]) + "."


def _open_parameters(fit: Fitted) -> tuple[str, ...]:
    """Parameters that take part in the directions in which the criterion is flat."""
    return open_parameters(fit.optimum.hessian, fit.optimum.flat, search_names(fit.model))


def _blocks(fit: Fitted) -> Iterator[Finding]:
    yield from same_effects(fit, fit.objective.blocks)


def same_effects(fit: Record, blocks: Iterable[Block]) -> Iterator[Finding]:
    """Terms on one grouping factor (or on two that name the same groups) whose columns depend on each other."""
    for block in blocks:
        if len(block.terms) < 2:
            continue
        columns = np.array([np.ones(block.codes.shape[-1]) if column is None else column for column in block.columns])
        gram = columns @ columns.T / fit.nobs
        if np.linalg.eigvalsh(gram)[0] < _DEPENDENT:
            terms = [fit.model.terms[t] for t in block.terms]
            names = " and ".join(f"({' + '.join(term.columns)} | {term.group})" for term in terms)
            yield Finding(
                "same effects",
                f"{names} describe the same effects: their columns are the same, or depend on each other.",
                "Only the sum of their variances is determined; how it is divided between them is arbitrary. Fitted "
                "values, fixed effects and the criterion are not affected.",
                "leave one of them out.",
            )


def few_levels(fit: Record) -> Iterator[Finding]:
    """Grouping factors with too few levels for a variance."""
    if fit.optimum.verdict == "given":
        return
    for term in _by_group(fit):
        if 1 < term.n_levels < _FEW_LEVELS:
            error = 100.0 * np.sqrt(2.0 / (term.n_levels - 1))
            yield Finding(
                "few levels",
                f"'{term.group}' has {term.n_levels} levels.",
                f"Its variance is estimated from {term.n_levels} values: its relative standard error is at least "
                f"{error:.0f}%, whatever the number of records.",
                f"make '{term.group}' a fixed effect if its levels are of interest themselves; keep it random if they "
                "stand for others, and read its variance and the tests as rough.",
            )


def _repeats(fit: Fitted) -> Iterator[Finding]:
    """A variance is told from the residual variance by levels with more records than coefficients."""
    if fit.model.sigma is not None or fit.optimum.verdict == "given":
        return
    for term in _by_group(fit):
        q = max(one.q for one in fit.model.terms if one.group == term.group)
        repeated = int((_appearances(term) > q).sum())
        if repeated < _FEW_LEVELS <= term.n_levels:
            records = "one record" if q == 1 else f"{q} records"
            yield Finding(
                "few repeats",
                f"{'No' if repeated == 0 else f'Only {repeated}'} of the {term.n_levels:,} levels of '{term.group}' "
                f"{'has' if repeated < 2 else 'have'} more than {records}.",
                "A level's effect and the residual cannot be told apart within a level with so few records: how the "
                "variance is divided between them rests on the rest of the model alone.",
                "group more coarsely, leave the term out, use fewer random coefficients, or give sigma= if the "
                "residual standard deviation is known.",
            )


def _appearances(term: Term) -> np.ndarray:
    """How often each level (J,) has a coefficient in a record: once a record, where all columns share its level."""
    if not term.by_column or term.covariates is None:
        return np.bincount(term.codes, minlength=term.n_levels)
    return np.bincount(term.codes[term.covariates.T != 0.0], minlength=term.n_levels)


def _by_group(fit: Record) -> list[Term]:
    """One term of each grouping factor with independent levels."""
    return list({term.group: term for term in fit.model.terms if term.relationship is None}.values())


def scales(fit: Record) -> Iterator[Finding]:
    """Columns that differ by powers of ten."""
    if fit.model.is_wide:
        return
    X = fit.model.X[:, fit.basis.kept]
    spread = dict(zip(fit.fixed_names, X.std(axis=0).tolist(), strict=True))
    for term in fit.model.terms:
        if term.covariates is not None:
            spread |= dict(zip(term.columns, term.covariates.std(axis=0).tolist(), strict=True))
    spread = {name: sd for name, sd in spread.items() if sd > 0.0}
    if len(spread) < 2:
        return
    small, large = min(spread, key=spread.__getitem__), max(spread, key=spread.__getitem__)
    if spread[large] > _SCALES_APART * spread[small]:
        yield Finding(
            "scales",
            f"The columns are on very different scales: the standard deviation of '{large}' is {spread[large]:.2g}, "
            f"that of '{small}' {spread[small]:.2g}.",
            "The estimates are right, as columns are rescaled inside the search; but coefficients and variances differ "
            "by so many powers of ten that they are hard to read.",
            f"divide '{large}' by a power of ten (or standardise the columns); coefficients change in proportion.",
        )


def origin(fit: Record) -> Iterator[Finding]:
    """An intercept and a slope correlated by plus or minus one only because zero is far outside the data."""
    for term, part in zip(fit.model.terms, fit.varcorr.values(), strict=True):
        if term.covariates is None:
            continue
        ones = np.flatnonzero((term.covariates == 1.0).all(axis=0))
        for j in range(term.q):
            x = term.covariates[:, j]
            if not ones.size or j == ones[0] or not abs(x.mean()) > _FAR_ORIGIN * x.std() > 0.0:
                continue
            corr = part.corr[ones[0], j]
            if abs(corr) > _NEARLY_ONE:
                yield Finding(
                    "origin",
                    f"Intercept and '{term.columns[j]}' by '{term.name}' have a correlation of {corr:.3f}, and "
                    f"'{term.columns[j]}' lies at {x.min():.4g} to {x.max():.4g}.",
                    f"The intercept is the value at {term.columns[j]} = 0, far outside the data, where any difference "
                    "of slopes has become a difference of intercepts. The correlation is about the origin, not the "
                    "groups.",
                    f"centre it: {term.columns[j]} - {x.mean():.4g}. The model is the same; its intercept can be read.",
                )


def _exact(fit: Fitted) -> Iterator[Finding]:
    if fit.model.sigma is not None:
        return
    spread = float(fit.model.y.std())
    if fit.sigma < _EXACT * spread:
        yield Finding(
            "nearly exact",
            f"The fit is nearly exact: sigma is {fit.sigma:.3g}, the standard deviation of the response {spread:.3g}.",
            "Fixed and random effects reproduce the response almost to the last digit. Either the response is a "
            "function of them by construction, or there are nearly as many effects as records.",
            "look for a column that was computed from the response, for a grouping factor that identifies records, and "
            "for rounded or duplicated records.",
        )


def dropped_columns(fit: Record) -> Iterator[Finding]:
    """Columns that earlier ones determine."""
    if not fit.dropped:
        return
    places = fit.aliasing.dropped[:_FEW_LEVELS].tolist()
    found = [fit.aliasing.combination(j, fit.model.x_names) for j in places]
    more = f", and {len(fit.dropped) - len(found)} more" if len(fit.dropped) > len(found) else ""
    yield Finding(
        "dropped columns",
        f"{len(fit.dropped)} column(s) of X were left out, as earlier ones determine them: {'; '.join(found)}{more}.",
        "The data hold no separate information on their coefficients. Fitted values are those of the full X; the "
        "coefficients that are left take over what the dropped ones would have said.",
        "leave them out of the formula, or code factors and interactions so that every cell has records.",
    )
