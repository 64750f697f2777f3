"""Fits whose likelihoods can be compared: of the same records, seen in the same way."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.engine.wide_basis import WideBasis
from mme.errors import MMEError
from mme.family.base import Family
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.inference.comparison.random_blocks import columns_by_names, spanned
from mme.model.problem import Model
from mme.numeric.rank import RANK_TOLERANCE

# Rounding of sums that were made in another order.
_SAME = 1e-9


def same_span(one: Record, other: Record) -> bool:
    """Whether two X have one column space, whatever their records' variances."""
    return one.basis.kept.size == other.basis.kept.size and within_span(one, other)


def within_span(one: Record, other: Record) -> bool:
    """Whether the columns of one X are combinations of those of another."""
    if isinstance(other.basis, WideBasis):
        return _within_wide(one, other.basis, other.model)
    return not one.model.is_wide and spanned(basis_of(one), basis_of(other))


def _within_wide(one: Record, basis: WideBasis, model: Model) -> bool:
    """By combinations of the columns, which are in the span, but for accidents of probability zero, if they all are."""
    X = one.model.X[:, one.basis.kept]
    rows = np.ascontiguousarray((X @ np.random.default_rng(0).standard_normal((X.shape[1], 2))).T)
    rows = rows if model.root_weights is None else rows * model.root_weights
    left = basis.sweep(rows)
    left -= (left @ basis.Q) @ basis.Q.T
    return bool((np.linalg.norm(left, axis=1) <= RANK_TOLERANCE * np.linalg.norm(rows, axis=1)).all())


def basis_of(fit: Record) -> np.ndarray:
    """X R^-1 (n, p), where whitened X = Q R: near orthogonal columns of X's own span."""
    if fit.model.compressed is not None:
        return columns_by_names(fit.fixed_names)
    basis = fit.basis
    return np.asarray(fit.model.X[:, basis.kept] @ basis.R_inverse)


def check_comparable(fits: tuple[Record, ...]) -> None:
    """Refuse fits whose likelihoods are of different data."""
    if len(fits) < 2:
        raise MMEError(f"anova compares two or more fits, got {len(fits)}")
    first = fits[0]
    generalised = [fit for fit in fits if isinstance(fit, GeneralisedFitted)]
    if generalised and len(generalised) < len(fits):
        raise MMEError(
            "anova cannot compare fits of linear and of generalised models; fit both by mme.lmer, or both by mme.glmer"
        )
    methods = sorted({fit.method for fit in fits})
    if len(methods) > 1:
        raise MMEError(
            "anova cannot compare REML with ML fits, whose criteria are different likelihoods; refit with method='ML'"
        )
    if any(fit.nobs != first.nobs or not _same_response(fit.model, first.model) for fit in fits[1:]):
        sizes = ", ".join(str(fit.nobs) for fit in fits)
        raise MMEError(
            f"the fits do not share their records (responses of {sizes} records): rows with missing "
            "values were dropped differently, or the responses differ; fit all models to the same rows"
        )
    if any(fit.model.compressed is not None for fit in fits):
        _check_same_sums(fits)
    elif methods == ["REML"] and any(not same_span(first, fit) for fit in fits[1:]):
        raise MMEError(
            "REML fits with different fixed effects cannot be compared: REML is the likelihood of what the fixed "
            "effects leave, so each has different data; refit with method='ML'"
        )
    for fit in generalised[1:]:
        _check_same_likelihood(generalised[0], fit)


def _same_response(one: Model, other: Model) -> bool:
    """Whether two models have one response; of sums, one mean and one standard deviation of it."""
    a, b = one.compressed, other.compressed
    if a is None or b is None:
        return a is b and np.array_equal(one.y, other.y)
    moments = [(sums.mean(model.y), sums.sd(model.y), sums.logdet_W) for sums, model in ((a, one), (b, other))]
    return bool(np.allclose(moments[0], moments[1], rtol=_SAME, atol=_SAME * moments[0][1]))


def _check_same_sums(fits: tuple[Record, ...]) -> None:
    """Refuse REML fits of sums with other columns in X: rows of sums of two models have no common records."""
    first = fits[0]
    alike = all(fit.fixed_names == first.fixed_names for fit in fits[1:])
    logdets = [fit.basis.logdet for fit in fits]
    if first.method == "REML" and not (alike and np.allclose(logdets, logdets[0], rtol=_SAME, atol=_SAME)):
        raise MMEError(
            "REML fits with different fixed effects cannot be compared: REML is the likelihood of what the fixed "
            "effects leave, so each has different data; refit with method='ML'"
        )


def _check_same_likelihood(one: GeneralisedFitted, other: GeneralisedFitted) -> None:
    """Refuse generalised fits whose criteria are -2 log L of different densities, or different approximations to it."""
    if not np.array_equal(one.problem.data.weights, other.problem.data.weights):
        what = "numbers of trials or weights" if one.family.name == "binomial" else "weights"
        raise MMEError(f"the fits have different {what}: their likelihoods are of different data")
    if not _same_family(one.family, other.family):
        raise MMEError(
            f"the fits are of different families, {one.family!r} and {other.family!r}: neither model holds the other "
            "as a special case inside its range, so that their likelihood ratio is no chi-square; compare their aic, "
            "which have all constants"
        )
    ways = [_approximation(fit) for fit in (one, other)]
    if ways[0] != ways[1]:
        raise MMEError(
            f"the criteria are different approximations to the likelihood, {' and '.join(ways)}: fit all models by the "
            "same"
        )


def _approximation(fit: GeneralisedFitted) -> str:
    """How a fit approximates its likelihood, in words of :func:`mme.glmer`."""
    criterion = fit.searched.criterion
    if criterion.points == 1 and not fit.family.canonical:
        return f"laplace='{'expected' if criterion.expected else 'observed'}'"
    return f"n_agq={criterion.points}"


def _same_family(one: Family, other: Family) -> bool:
    """Whether two are one distribution, with the same link and the same parameters given."""
    return type(one) is type(other) and (repr(one) == repr(other) or vars(one) == vars(other))


def check_same_records(small: Record, large: Record) -> None:
    """Refuse fits that see the records' variances differently."""
    if what := seen_otherwise(small, large):
        raise MMEError(f"the fits have different {what}: they differ by more than fixed or random effects")
    if not _same_residual(small, large):
        raise MMEError(
            "the fits have different residual structures: the distribution of the likelihood ratio is not known here"
        )


def seen_otherwise(one: Record, other: Record) -> str:
    """What is given for the records and differs between two fits; empty where nothing does."""
    given = ("weights", "offset", "sigma")
    return next((what for what in given if not _same(getattr(one.model, what), getattr(other.model, what))), "")


def _same(one: Any, other: Any) -> bool:
    return (one is None) == (other is None) and np.array_equal(one, other)


def _same_residual(small: Record, large: Record) -> bool:
    """Whether two residual structures are one: the same parameters, and at these the same whitening of y."""
    one, other = small.model.residual, large.model.residual
    if one is None or other is None:
        return one is other
    phi, y = small.optimum.phi, small.model.y[None, :]
    return one.names == other.names and np.array_equal(one.whiten(phi, y), other.whiten(phi, y))
