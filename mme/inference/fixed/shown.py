"""The tests of the fixed effects that a summary prints, unless they would cost more than the fit."""

from __future__ import annotations

import warnings

import numpy as np

from mme.derivatives.information import in_closed_form
from mme.errors import MMEWarning
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.inference.fixed.contrasts import coefficient_table
from mme.inference.fixed.methods import ddf_method, reference
from mme.inference.fixed.reference import Reference
from mme.inference.fixed.satterthwaite import satterthwaite
from mme.inference.fixed.z_tables import normal_reference
from mme.numeric.limits import limits
from mme.results.fixed_tests import FixedTests
from mme.results.genetics import evaluation_operations

_METHODS = {
    "satterthwaite": "degrees of freedom by Satterthwaite",
    "kenward-roger": "degrees of freedom by Kenward and Roger",
    "kenward-roger-linear": "degrees of freedom by Kenward and Roger, linear",
    "containment": "degrees of freedom by containment",
    "between-within": "degrees of freedom between and within subjects",
    "none": "p by the normal distribution",
}
_DEAR = (
    "Degrees of freedom and p-values would take longer than the fit: summary(ddf='satterthwaite') and coefficients() "
    "compute them, summary(ddf='none') prints p by the normal distribution."
)
_CORRELATIONS = "Standard errors and tests are by clusters; the correlations of fixed effects are those of the model."
_SOLVED = "Without a factor a standard error of a sparse column takes a solve: contrast({name: 1}) has it."


def fixed_tests(fit: Fitted, ddf: str | None = None) -> FixedTests:
    """Tests by the method named ``ddf``; None: Satterthwaite's, and t alone where that would cost more than the fit."""
    if ddf is None and not is_cheap(fit):
        se = fit.estimates.se
        untold: tuple[str, ...] = (_DEAR, _SOLVED) if fit.model.is_wide and np.isnan(se).any() else (_DEAR,)
        return FixedTests(se, _ratio(fit.estimates.beta, se), None, None, "t", notes=untold)
    method = "satterthwaite" if ddf is None else ddf_method(ddf)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", MMEWarning)
        table = coefficient_table(fit, reference(fit, method))
    notes = tuple(f"{str(one.message)[0].upper()}{str(one.message)[1:].rstrip('.')}." for one in said)
    se, df, t, p = (table[name].to_numpy() for name in ("se", "df", "t", "p"))
    how = "" if is_exact(fit) and method != "none" else _METHODS[method]
    return FixedTests(se, t, None if method == "none" else df, p, "t", how, notes)


def clustered_tests(fit: Fitted, to: Reference, robust: str, method: str) -> FixedTests:
    """Tests by a sandwich over clusters."""
    table = coefficient_table(fit, to)
    se, df, t, p = (table[name].to_numpy() for name in ("se", "df", "t", "p"))
    normal = method == "none"
    how = f"sandwich by clusters ({robust}), {_METHODS['none' if normal else 'satterthwaite']}"
    return FixedTests(se, t, None if normal else df, p, "t", how, (_CORRELATIONS,))


def is_exact(fit: Fitted) -> bool:
    """Whether nothing but sigma is estimated of the variances: t is then exact, on n - p degrees of freedom."""
    return fit.model.k == 0 and fit.model.residual is None


def generalised_fixed_tests(fit: GeneralisedFitted) -> FixedTests:
    """Tests by the normal distribution."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MMEWarning)  # the notes of the summary say it
        table = coefficient_table(fit, normal_reference(fit, "hessian"))
    se, z, p = (table[name].to_numpy() for name in ("se", "t", "p"))
    return FixedTests(se, z, None, p, "z")


def is_cheap(fit: Fitted) -> bool:
    """Whether Satterthwaite's degrees of freedom cost no more than the fit did, or hardly anything."""
    own = fit.determined
    if own.model.is_wide:
        return False
    if own.has(satterthwaite) or not own.fixed_names:
        return True
    free = int(np.isfinite(own.optimum.gradient).sum())
    if own.objective.plan.iterative:
        return free == 0
    if not free or (free == own.optimum.gradient.size and in_closed_form(own.objective, own.estimates.at)):
        return True
    evaluations = 3 * free * (free + 1)  # central differences of sixth order
    quick = evaluations * evaluation_operations(own.objective) <= limits().tests_operations
    return quick or evaluations <= own.optimum.evaluations


def _ratio(beta: np.ndarray, se: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(beta / se)
