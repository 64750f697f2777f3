r"""Every fit of lme4 that is stored, through the formula: what was estimated, and everything reported about it.

Two fits of each case are compared with the reference. The one *at lme4's theta* shares its argument with the
reference, so that only rounding separates them. The *searched* one ended somewhere else; how far off it may be follows
from the criterion f = -2 log-likelihood. The search ends where f exceeds its minimum by at most GAIN = 1e-8 or so.
Near the minimum f = min + d'H d / 2, and asymptotically var(theta_hat) = 2 H^-1, so that for any function g(theta)

    d'H d / 2 <= GAIN   =>   |g'd| <= sqrt(2 GAIN  g'H^-1 g) = sqrt(GAIN) sd(g):                                  (*)

a search that is off by GAIN moves every estimate by at most sqrt(GAIN) = 1e-4 of its own standard error. For theta_i
itself this is sqrt(2 GAIN (H^-1)_ii) <= sqrt(2 GAIN / lambda_min(H)). All tolerances here are such a share of a unit
that is taken from the reference alone.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import Case, lme4_case_names, load_case, private_cases
from dense import dense_fit, design, lower_factor

import mme

# What the search leaves on the -2 log-likelihood scale, twice, since its finite differences judge that themselves.
GAIN = 2e-8
SEARCHED = np.sqrt(GAIN)
# At the same theta: rounding, of ill-conditioned steps too, is below this share of a standard error.
SAME_THETA = 1e-7

# Where the reference is not good to rounding (tests/reference/README.md): the share of a standard error and the
# difference in the objective to which it holds. In `read` the truth takes lme4's place as far as it is known.
WEAK = {
    # y near 1e9 is stored to 1e-7 of sigma. The criterion is held to what the issue promises, 1e-6.
    "sim_bigoffset9_reml": (1e-5, 1e-6),
    # y near 1e6: in lme4's y'y - ... six digits cancel.
    "sim_bigoffset_reml": (1e-6, 1e-10),
    "sim_bigoffset_ml": (1e-6, 1e-10),
    # theta near 2000: lme4's search stopped 5e-6 short of it; the closed form has no beta and no effects.
    "sim_ratio_huge_reml": (1e-5, 1e-10),
    "sim_ratio_huge_ml": (1e-5, 1e-10),
}


@dataclass(frozen=True)
class Reference:
    """A stored case and the units in which a fit may differ from it."""

    name: str
    case: Case
    fields: dict[str, Any]

    @cached_property
    def theta(self) -> np.ndarray:
        return np.array(self.fields["theta"])

    @cached_property
    def free(self) -> np.ndarray:
        return ~np.array(self.fields["at_bound"])

    @cached_property
    def theta_sd(self) -> np.ndarray:
        """Return sd(theta_hat): sqrt(2 (H^-1)_ii) where the reference stores it, else its bound sqrt(2 / lambda_min).

        Zero for an entry on the boundary, where theta is not estimated but known.
        """
        if self._covariance is not None:
            return np.sqrt(np.diag(self._covariance))[:-1]
        sd = np.zeros(self.theta.size)
        if self.free.any():
            sd[self.free] = np.sqrt(2.0 / min(self.fields["optimizer"]["hessian_eigenvalues_theta_free"]))
        return sd

    @cached_property
    def sigma_sd(self) -> float:
        """Return sd(sigma_hat): stored, or the bound sigma / sqrt(2 nu), nu the records beyond all effects."""
        if self._covariance is not None:
            return float(np.sqrt(self._covariance[-1, -1]))
        q = sum(np.size(table["values"]) for table in self.fields["ranef"].values())
        return self.fields["sigma"] / np.sqrt(2.0 * max(self.fields["n"] - self.fields["p"] - q, 1))

    @property
    def _covariance(self) -> np.ndarray | None:
        """Covariance of (theta, sigma); on a singular fit what is stored is not one."""
        if self.fields["singular"] or "satterthwaite" not in self.fields:
            return None
        return np.array(self.fields["satterthwaite"]["vcov_varpar"])

    def terms(self, fit: mme.Fit) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """Each term of the fit with the reference's T and the standard errors of its entries."""
        out, used = [], 0
        for term in fit.internals.model.terms:
            k = term.q if term.covariance == "diagonal" else term.q * (term.q + 1) // 2
            piece = slice(used, used + k)
            out.append((term, lower_factor(self.theta[piece], term.q), lower_factor(self.theta_sd[piece], term.q)))
            used += k
        assert used == self.theta.size
        return out

    def cov_unit(self, T: np.ndarray, S: np.ndarray) -> np.ndarray:
        """Return the unit of sigma^2 T T' for sd(T) = S: |dT| T' + T |dT'| + 2 T T' dsigma / sigma, by rows' lengths.

        The conditional covariance of b moves less: (I + T'G T)^-1 damps each change.
        """
        sigma, length, error = self.fields["sigma"], np.linalg.norm(T, axis=1), np.linalg.norm(S, axis=1)
        moved = np.outer(length, error)
        return sigma**2 * (moved + moved.T) + 2.0 * sigma * self.sigma_sd * np.outer(length, length)

    def b_unit(self, T: np.ndarray, S: np.ndarray) -> np.ndarray:
        """Return the unit of b = T u (q,): u is within five sigma, and b moves by at most 2 |dT u| as T moves.

        (Scalar case: b = w e with w = t^2 g / (1 + t^2 g), so db = 2 (1 - w) u dt.) And by T u dsigma / sigma, as u is
        in units of sigma; and not less than 1e-3 of its prior SD, for tables whose T is known to many digits.
        """
        sigma, length, error = self.fields["sigma"], np.linalg.norm(T, axis=1), np.linalg.norm(S, axis=1)
        return 10.0 * sigma * error + 5.0 * self.sigma_sd * length + 1e-3 * sigma * length


@dataclass(frozen=True)
class Compared:
    """A reference and both fits, with the share of a standard error by which each may differ."""

    reference: Reference
    searched: mme.Fit
    same_theta: mme.Fit

    @property
    def fits(self) -> list[tuple[mme.Fit, float]]:
        same = WEAK.get(self.reference.name, (SAME_THETA, 0.0))[0]
        return [(self.same_theta, same), (self.searched, SEARCHED + same)]


@pytest.fixture(scope="module", params=[*lme4_case_names(), *private_cases("tlc")])
def compared(request: pytest.FixtureRequest) -> Compared:
    """Fit one case twice; a warning is an error: none of these models deserves one."""
    reference = read(request.param)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case = reference.case
        searched = case.fit()
        m = searched.internals.model
        X = pd.DataFrame(m.X, columns=list(m.x_names))
        same = mme.fit(
            m.y, X, m.terms, method=m.method, weights=m.weights, offset=m.offset, theta=reference.fields["theta"]
        )
    return Compared(reference, searched, same)


def read(name: str) -> Reference:
    """Read a case; where lme4 is known to be off, put the truth into its place."""
    case = load_case(name)
    fields = dict(case.json)
    if name == "sim_badscale_microslope_reml":
        # Derived from a fit with the covariate in other units: theta of the slope scales, its errors with it.
        base = load_case("sim_badscale_reml").json
        scale = np.diag([*np.abs(np.array(fields["theta"]) / base["theta"]), 1.0])
        covariance = scale @ np.array(base["satterthwaite"]["vcov_varpar"]) @ scale
        fields |= {"singular": False, "at_bound": base["at_bound"], "satterthwaite": {"vcov_varpar": covariance}}
    elif name.startswith("sim_bigoffset") and "base" not in name:
        fields |= without_offset(case)
    elif name.startswith("sim_ratio_huge"):
        fields |= closed_form(fields)
    return Reference(name, case, fields)


def closed_form(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the balanced one-way layout gives in closed form, and none that depend on lme4's theta."""
    exact = fields["exact"]
    cov = (exact["theta"] * exact["sigma"]) ** 2
    gained = exact["objective"] - fields["objective"]
    return {
        "theta": [exact["theta"]],
        "sigma": exact["sigma"],
        "se": [exact["se_mean"]],
        "vcov_beta": [[exact["se_mean"] ** 2]],
        "varcorr": {"grp": {"names": ["(Intercept)"], "cov": [[cov]], "sd": [np.sqrt(cov)], "corr": [[1.0]]}},
        "ss_resid": None,
        **{key: fields[key] + gained for key in ("objective", "AIC", "BIC")},
    }


def without_offset(case: Case) -> dict[str, Any]:
    """Return the fields of y + offset from those of y: it moves the intercept and nothing else.

    The objective is that of the numbers as they are stored: what is left of them, exactly, after subtraction.
    """
    response = case.json["formula"].split(" ~ ")[0]
    offset = {"ybig": 1e6, "ybig9": 1e9}[response]
    fields = dict(load_case("sim_bigoffset_base_reml").json if response == "ybig9" else case.json)
    table, theta = case.data, np.array([fields["theta"]])
    X = np.column_stack([np.ones(len(table)), table["x"]])
    blocks = [(design(table["grp"]), theta, None)]
    objective = dense_fit(table[response].to_numpy() - offset, X, blocks, method=case.method).criterion
    fields |= {key: fields[key] + objective - fields["objective"] for key in ("AIC", "BIC", "objective")}
    if response == "ybig9":
        fields["beta"] = [fields["beta"][0] + offset, *fields["beta"][1:]]
        fields["fitted_head"] = [value + offset for value in fields["fitted_head"]]
        predicted = {key: fields["predict"][key] + offset for key in ("conditional", "population", "new_level")}
        fields["predict"] = fields["predict"] | predicted
        fields["ss_fitted"] = None
    return fields


def within(found: Any, stored: Any, tolerance: Any) -> None:
    """Assert |found - stored| <= tolerance, elementwise, and say how many tolerances apart they are."""
    excess = np.abs(np.asarray(found, dtype=float) - np.asarray(stored, dtype=float)) - np.asarray(tolerance)
    assert (excess <= 0.0).all(), f"found {found}\nstored {stored}\ntolerance {tolerance}"


def reports(compared: Compared, field: str) -> dict[str, Any]:
    """Return the reference's fields; skip a case that does not have this one."""
    if compared.reference.fields.get(field) is None:
        pytest.skip(f"the reference has no {field}")
    return compared.reference.fields


# -- the criterion and the search -------------------------------------------------------------------------------------


def test_criterion_at_lme4s_theta_is_lme4s(compared):
    stored = compared.reference.fields["objective"]
    # Ten roundings of log-determinants that are of the criterion's size, in either program.
    tolerance = 1e-14 * (abs(stored) + 1e4) + WEAK.get(compared.reference.name, (0.0, 0.0))[1]
    within(compared.same_theta.criterion, stored, tolerance)
    within(compared.same_theta.internals.objective(compared.reference.theta), stored, tolerance)


def test_search_ends_no_higher_than_the_best_of_lme4s(compared):
    stored = compared.reference.fields["objective"]
    # Lower would mean that the reference is not a minimum: all of them are (gradients are stored), WEAK ones aside.
    within(
        compared.searched.criterion, stored, GAIN + 1e-14 * abs(stored) + WEAK.get(compared.reference.name, (0, 0))[1]
    )


def test_verdict_is_a_minimum_and_on_the_boundary_only_where_the_fit_is_singular(compared):
    optimum, fields = compared.searched.optimum, compared.reference.fields
    assert optimum.verdict == ("minimum on the boundary" if fields["singular"] else "minimum")
    assert optimum.converged
    assert compared.searched.singular == fields["singular"]
    at_zero = [name for name, bound in zip(compared.searched.theta_names, fields["at_bound"], strict=True) if bound]
    assert list(optimum.boundary) == at_zero
    assert optimum.expected_decrease <= GAIN
    assert optimum.flat == 0
    k = compared.searched.theta.size
    assert optimum.evaluations < 60 + 40 * k  # lme4's BOBYQA: 35 to 1,100 on these cases


def test_theta_is_found_as_closely_as_the_curvature_allows(compared):
    reference, fit = compared.reference, compared.searched
    if "theta_names" in reference.fields:
        assert list(fit.theta_names) == reference.fields["theta_names"]
    assert fit.theta.shape == reference.theta.shape
    # A singular fit: on the boundary an entry is exactly zero, not nearly.
    assert (fit.theta[~reference.free] == 0.0).all()
    free = reference.free
    within(fit.theta[free], reference.theta[free], compared.fits[1][1] * reference.theta_sd[free])


def test_relative_covariance_is_that_of_lme4(compared):
    # T T' is identified on singular fits too, where T need not be.
    T_found = compared.searched.internals.model.T(compared.searched.theta)
    for (_, T, S), found in zip(compared.reference.terms(compared.searched), T_found, strict=True):
        moved = np.abs(S) @ np.abs(T.T)
        within(found @ found.T, T @ T.T, SEARCHED * (moved + moved.T) + 1e-14)


# -- what is reported -------------------------------------------------------------------------------------------------


def test_sigma(compared):
    for fit, share in compared.fits:
        within(fit.sigma, compared.reference.fields["sigma"], share * compared.reference.sigma_sd)


def test_fixed_effects_and_their_names(compared):
    fields = compared.reference.fields
    for fit, share in compared.fits:
        assert fit.beta.index.tolist() == fields["beta_names"]
        assert list(fit.dropped) == fields.get("dropped_columns", [])
        # beta and theta are asymptotically independent: beta moves by less than (*) allows it
        within(fit.beta, fields["beta"], share * np.array(fields["se"]))


def test_standard_errors_and_covariance_of_the_fixed_effects(compared):
    fields = compared.reference.fields
    se = np.array(fields["se"])
    for fit, share in compared.fits:
        # Satterthwaite's df is defined by sd(se^2) = se^2 sqrt(2 / df), so sd(se) = se / sqrt(2 df), and df >= 1/2.
        within(fit.se, se, share * se)
        assert fit.beta_cov.index.tolist() == fit.beta_cov.columns.tolist() == fields["beta_names"]
        if "vcov_beta" in fields:
            within(fit.beta_cov, fields["vcov_beta"], 2.0 * share * np.outer(se, se))


def test_likelihood_information_criteria_and_counts(compared):
    fields = reports(compared, "AIC")
    fit = compared.searched
    assert fit.dof == fields["df"]
    assert fit.nobs == fields["n"]
    assert fit.n_dropped == len(compared.reference.case.data) - fields["n"]
    assert {term.group: term.n_levels for term in fit.internals.model.terms} == fields["ngroups"]
    off = 2.0 * GAIN + 1e-14 * abs(fields["objective"]) + WEAK.get(compared.reference.name, (0, 0))[1]
    within(fit.loglik, fields["objective"] / -2.0, off)
    within(fit.aic, fields["AIC"], off)
    within(fit.bic, fields["BIC"], off)


def test_variances_and_correlations(compared):
    fields, reference = reports(compared, "varcorr"), compared.reference
    for fit, share in compared.fits:
        assert list(fit.varcorr) == list(fields["varcorr"])
        for term, T, S in reference.terms(fit):
            stored, found = fields["varcorr"][term.name], fit.varcorr[term.name]
            assert list(found.names) == stored["names"]
            unit = reference.cov_unit(T, S)
            within(found.cov, stored["cov"], share * unit + 1e-14 * np.abs(stored["cov"]))
            sd = np.array(stored["sd"])
            if (sd > 0).all():  # d sd = d var / (2 sd); a correlation has two of them and the covariance
                within(found.sd, sd, share * np.diag(unit) / (2 * sd) + 1e-14 * sd)
                relative = unit / np.outer(sd, sd)
                own = np.diag(relative)
                within(found.corr, stored["corr"], share * (relative + own + own[:, None]) + 1e-13)


def test_predicted_random_effects(compared):
    reference = compared.reference
    reports(compared, "ranef")
    for fit, share in compared.fits:
        tables = fit.ranef(by="term")
        for term, T, S, stored, _ in stored_effects(reference, fit):
            found = tables[term.name]
            assert list(found.columns) == list(stored.columns)
            assert sorted(found.index.astype(str)) == sorted(stored.index)
            within(found.set_axis(found.index.astype(str)).loc[stored.index], stored, share * reference.b_unit(T, S))


def test_conditional_variances_of_the_random_effects(compared):
    reference = compared.reference
    reports(compared, "ranef")
    for fit, share in compared.fits:
        arrays = fit.condvar(by="term")
        for term, T, S, stored, condvar in stored_effects(reference, fit):
            order = pd.Index(term.levels.astype(str)).get_indexer(stored.index)
            floor = 1e-13 * reference.fields["sigma"] ** 2 * np.abs(T) @ np.abs(T.T)
            within(arrays[term.name][order], condvar, share * reference.cov_unit(T, S) + floor)


def stored_effects(reference: Reference, fit: mme.Fit):
    """Yield each term with T, sd(T), and the reference's BLUPs (levels x names) and conditional variances."""
    used: dict[str, int] = {}
    for term, T, S in reference.terms(fit):
        table = reference.fields["ranef"][term.group]
        first = used.get(term.group, 0)
        used[term.group] = first + term.q
        columns = table["names"][first : first + term.q]
        values = np.array(table["values"]).reshape(len(table["levels"]), -1)[:, first : first + term.q]
        condvar = table["condVar"]
        if table["condVar_is_list_per_term"]:
            condvar = list(condvar.values())[int(term.name.rpartition(".")[2]) if first else 0]
        stored = pd.DataFrame(values, index=table["levels"], columns=columns)
        yield term, T, S, stored, np.reshape(condvar, (len(stored), term.q, term.q))


def test_fitted_values_and_residuals(compared):
    fields = reports(compared, "fitted_head")
    for fit, share in compared.fits:
        root_w = np.ones(10) if fit.internals.model.weights is None else np.sqrt(fit.internals.model.weights[:10])
        # (*) for X beta + Z b: both shrink the noise of a record, so that their own error is below it
        unit = fields["sigma"] / root_w
        kept = ~np.isnan(np.asarray(fit.fitted))
        within(np.asarray(fit.fitted)[kept][:10], fields["fitted_head"], share * unit)
        within(np.asarray(fit.residuals)[kept][:10], fields["resid_head"], share * unit)


def test_sums_of_squares_at_lme4s_theta(compared):
    fields, fit = reports(compared, "ss_resid"), compared.same_theta
    share, weights = compared.fits[0][1], fit.internals.model.weights
    weighted = float(fit.residuals**2 @ (np.ones(fit.nobs) if weights is None else weights))
    pwrss = fit.sigma**2 * (fit.nobs - fields["p"] * (fit.method == "REML"))
    within(fit.residuals @ fit.residuals, fields["ss_resid"], share * fields["ss_resid"])
    within(weighted, fields["ss_resid_weighted"], share * fields["ss_resid_weighted"])
    within(pwrss, fields["pwrss"], share * fields["pwrss"])
    within(pwrss - weighted, fields["ss_u"], share * fields["pwrss"])
    if fields["ss_fitted"] is not None:
        within(fit.fitted @ fit.fitted, fields["ss_fitted"], share * fields["ss_fitted"])


def test_determinants_at_lme4s_theta(compared):
    fields, fit = reports(compared, "ss_resid"), compared.same_theta
    share, weights, reml = compared.fits[0][1], fit.internals.model.weights, fit.method == "REML"
    # log|X'V^-1 X| from var(beta) = sigma^2 (X'V^-1 X)^-1, and log|M| from what is left of the criterion
    log_RX = fields["p"] * np.log(fit.sigma**2) - np.linalg.slogdet(fit.beta_cov)[1]
    freedom = fit.nobs - fields["p"] * reml
    log_W = 0.0 if weights is None else np.log(weights).sum()
    log_M = fit.criterion - reml * log_RX + log_W - freedom * (1.0 + np.log(2.0 * np.pi * fit.sigma**2))
    within(log_RX, fields["ldRX2"], share)
    within(log_M, fields["ldL2"], share)


def test_predictions_with_and_without_random_effects_and_for_a_new_level(compared):
    stored = reports(compared, "predict")["predict"]
    reference, fit = compared.reference, compared.searched
    row = reference.case.data.iloc[[stored["row_used"] - 1]]
    # lme4 1.1-31 leaves an offset that was given as an argument out of predictions from new data; this library adds it.
    offset = float(row[reference.fields["offset"]].iloc[0]) if reference.fields["offset"] else 0.0
    tolerance = (SEARCHED + compared.fits[0][1]) * reference.fields["sigma"]
    for found, key in (
        (fit.predict(row), "conditional"),
        (fit.predict(row, random=False), "population"),
    ):
        assert found.index.equals(row.index)
        within(found.iloc[0], stored[key] + offset, tolerance)
    within(fit.predict().loc[row.index[0]], stored["conditional"] + offset, tolerance)
    within(fit.predict(random=False).loc[row.index[0]], stored["population"] + offset, tolerance)
    if stored["new_level"] is not None:
        unseen = row.assign(**dict.fromkeys(stored["new_level_factors"], "never seen"))
        within(fit.predict(unseen, new_levels="population").iloc[0], stored["new_level"] + offset, tolerance)
        with pytest.raises(mme.MMEError, match="never seen"):
            fit.predict(unseen)


def test_prediction_error_variance_is_the_conditional_one_and_what_beta_adds(compared):
    fit = compared.same_theta
    condvar, pev = fit.condvar(by="term"), fit.pev(by="term")
    for term, T in zip(fit.internals.model.terms, fit.internals.model.T(fit.theta), strict=True):
        prior = fit.sigma**2 * T @ T.T
        slack = 1e-9 * np.trace(prior)
        for smaller, larger in ((condvar[term.name], pev[term.name]), (pev[term.name], prior[None])):
            assert (np.linalg.eigvalsh(larger - smaller)[:, 0] >= -slack).all()
