"""What is unusual about a generalised fit, in plain language: what was found, what it means, what to try."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mme.diagnosis.checks import (
    dropped_columns,
    few_levels,
    origin,
    same_effects,
    scales,
    singular,
    undetermined_variances,
)
from mme.diagnosis.dispersion import reference
from mme.diagnosis.findings import Diagnosis, Finding
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.verdict import at_limits, held_by_link
from mme.results.generalised_notes import generalised_boundary

# Records of a level, on average, below which Laplace's approximation is off where answers are 0 and 1.
_SMALL = 10.0
# Standard deviations above what simulated responses have, and the share, that are no accident and no trifle.
_ABOVE, _MORE = 3.0, 1.1
# Families whose variance the mean decides, and those of counts.
_OF_THE_MEAN, _OF_COUNTS = ("binomial", "poisson"), ("poisson", "nbinom2", "nbinom1")


def diagnose_generalised(fit: GeneralisedFitted) -> Diagnosis:
    """Say in plain language what is unusual about the fit, what it means and what to try."""
    checks = (
        _separation,
        _search,
        _singular,
        _bound,
        _blocks,
        few_levels,
        _small_groups,
        _spread,
        scales,
        origin,
        dropped_columns,
    )
    findings = tuple(finding for check in checks for finding in check(fit))
    return Diagnosis(fit.formula or f"Model of {fit.model.response}", findings)


def _separation(fit: GeneralisedFitted) -> Iterator[Finding]:
    said = fit.optimum.separation
    if said:
        yield Finding(
            "separation",
            said[0].upper() + said.partition(". ")[0][1:] + ".",
            (said.partition(". ")[2] or said) + ".",
            "compare models by their likelihoods, which have limits; join levels that have one answer alone; leave the "
            "column out; or say what is known of its coefficient before the data, by a prior.",
        )


def _search(fit: GeneralisedFitted) -> Iterator[Finding]:
    optimum = fit.optimum
    if not optimum.converged:
        yield Finding(
            "not converged",
            f"The search did not reach a maximum of the likelihood ({optimum.reason}); one more step promises "
            f"{optimum.expected_decrease:.2g} on the criterion.",
            "The estimates are not those of maximum likelihood; how far off they are is not known.",
            "simplify the random part; centre and rescale covariates; mend first whatever else is found here.",
        )
    if optimum.undetermined:
        yield undetermined_variances(optimum.undetermined)


def _singular(fit: GeneralisedFitted) -> Iterator[Finding]:
    if fit.singular:
        yield singular(generalised_boundary(fit))


def _bound(fit: GeneralisedFitted) -> Iterator[Finding]:
    """Parameters that ended at a limit, and records that the link holds."""
    if limits := at_limits(fit.problem, fit.searched):
        yield Finding(
            "at its limit",
            f"The likelihood is highest with {', '.join(limits)}.",
            "A valid estimate at the end of the model. It has no standard error; those of the others are with it held.",
            "nothing has to be done, or take the model that it is: no correlation for a range of zero, one effect for "
            "an infinite range, Poisson for an infinite size.",
        )
    if held := held_by_link(fit.problem, fit.searched):
        yield Finding(
            "bound of the link",
            f"At its bound: {', '.join(held)}.",
            "Estimates are the best ones within the range of the link; standard errors are those with these records "
            "held there, and normal intervals can be poor.",
            "the log link has no such bound.",
        )


def _blocks(fit: GeneralisedFitted) -> Iterator[Finding]:
    if not fit.optimum.undetermined:
        yield from same_effects(fit, fit.problem.blocks)


def _small_groups(fit: GeneralisedFitted) -> Iterator[Finding]:
    """Few binary answers a level: Laplace's approximation, and what a variance of single answers means."""
    data = fit.problem.data
    counts = data.weights > 0.0
    if fit.family.name != "binomial" or (data.weights[counts] > 1.0).any() or fit.searched.criterion.points > 1:
        return
    for term in {term.group: term for term in fit.model.terms if term.relationship is None}.values():
        records = np.bincount(term.first_codes[counts], minlength=term.n_levels)
        mean = float(records.sum()) / max(int((records > 0).sum()), 1)
        if mean <= 1.0:
            yield Finding(
                "single answers",
                f"Every level of '{term.group}' has one answer, 0 or 1.",
                "One answer cannot spread: the variance of its level and the size of all coefficients are one number, "
                "and the data do not tell them apart.",
                f"leave (1 | {term.group}) out; effects of observations are for counts and for several trials.",
            )
        elif mean < _SMALL:
            several = len({one.group for one in fit.model.terms}) > 1
            yield Finding(
                "small groups",
                f"The levels of '{term.group}' have {mean:.3g} answers of 0 and 1 each, on average.",
                "Laplace's approximation of the likelihood is rough where a level has few binary answers: variances "
                "come out too small, and coefficients with them.",
                "quadrature is for one grouping factor: compare with the model of this factor alone, by n_agq=9."
                if several
                else "use quadrature, n_agq=9, and see how far the estimates move.",
            )


def _spread(fit: GeneralisedFitted) -> Iterator[Finding]:
    """Records against simulated responses."""
    data, name = fit.problem.data, fit.family.name
    binary = name == "binomial" and not (data.weights > 1.0).any()
    if name not in (*_OF_THE_MEAN, *_OF_COUNTS) or binary or fit.optimum.separation:
        return
    found = fit.once(reference)
    if found is None:
        return
    draws = found.drawn_squares.size
    if name in _OF_THE_MEAN and found.z > _ABOVE and found.ratio > _MORE:
        other = "negative binomial (mme.NegativeBinomial())" if name == "poisson" else "beta-binomial"
        yield Finding(
            "overdispersion",
            f"The records spread {found.ratio:.3g} times as much as the {name} family says: Pearson's sum of squares "
            f"is {found.squares:.5g}, and {found.drawn_squares.mean():.5g} on average of {draws} responses drawn from "
            "the fit, modes found again.",
            f"Standard errors of the fixed effects are too small, by up to {np.sqrt(found.ratio):.2g} times, and "
            "p-values with them.",
            f"a {other} family, or an effect of each record, (1 | record); look for a covariate or a grouping that is "
            "missing first.",
        )
    if name in _OF_COUNTS and found.zeros_z > _ABOVE and found.zeros > _MORE * found.drawn_zeros.mean():
        yield Finding(
            "zero inflation",
            f"There are {found.zeros:,} zeros, and {found.drawn_zeros.mean():.4g} on average of {draws} responses "
            "drawn from the fit.",
            "Some zeros come about in another way than small counts do, or counts spread more than the family says.",
            "a negative binomial family first, which has more zeros of the same mean; then a model of whether there is "
            "a count at all beside that of the counts.",
        )
