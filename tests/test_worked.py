r"""The worked examples of the field's teaching texts.

Balanced one-way layout, J groups of n, by REML, with the mean squares between (MSB) and within (MSE):

    sigma_e^2 = MSE,   sigma_g^2 = max((MSB - MSE) / n, 0),   b_j = w (ybar_j - ybar),   w = 1 - MSE / MSB.        (1)

Prior against posterior: a covariance that maximises the likelihood repeats itself in one step of EM, so that exactly

    ML:    sigma_g^2 = mean_j( b_j^2 + var(b_j | y) )          (beta held at its estimate)
    REML:  sigma_g^2 = mean_j( b_j^2 + var(b_hat_j - b_j) )    (the uncertainty of beta included)                  (2)

for every design and, as matrices, for every term (Laird & Ware 1982). In the balanced one-way layout the BLUPs sum
to zero, var(b_hat_j - b_j) = (1 - w) sigma_g^2 + w sigma_g^2 / J, and sum_j b_j^2 = (J - 1) w sigma_g^2; (2) reads

    REML:  sigma_g^2 = variance of the BLUPs (divisor J - 1) + var(b_j | y),      ML: the same with divisor J.       (3)

Searched numbers differ from closed forms by up to sqrt(GAIN) of a standard error; see test_reference_cases.py.
"""

import numpy as np
import pytest
from cases import load_case, load_data, load_worked, private_cases
from dense import dense_fit, design, lower_factor

import mme

WORKED = load_worked()
SEARCHED = np.sqrt(2e-8)
TLC = private_cases("tlc_int")


def half_a_digit(printed: float) -> float:
    """Return half a unit of the last decimal of a printed number.

    >>> half_a_digit(14.08403), half_a_digit(5.112717)
    (5e-06, 5e-07)
    """
    return 0.5 * 10.0 ** -len(repr(printed).partition(".")[2])


def mean_squares(table, response: str, factor: str) -> tuple[float, float, int, int]:
    """Return MSB, MSE, J and n of a balanced one-way layout."""
    groups = table.groupby(factor)[response]
    J, n = groups.ngroups, len(table) // groups.ngroups
    within = (table[response] - groups.transform("mean")) ** 2
    return n * groups.mean().var(ddof=1), within.sum() / (J * (n - 1)), J, n


# -- fixed effects against random effects: four simulated tables -------------------------------------------------------


@pytest.fixture(params=list(WORKED["worked0"]), scope="module")
def table(request):
    """Fit one of the tables: five groups, sd ratios 1/5, 5/5, 5/1, and 1/5 with 500 a group."""
    stored = WORKED["worked0"][request.param]
    data = load_data(stored["data"])
    return request.param, stored, data, mme.lmer("y ~ 1 + (1 | g)", data)


def test_fixed_effect_estimates_are_the_group_means_as_printed(table):
    _, stored, data, fit = table
    as_fixed = mme.fit(data["y"], mme.Term(data["g"]).Z, [])
    for found in (as_fixed.beta.to_numpy(), fit.shrinkage()["g"]["no_pooling"].to_numpy()):
        np.testing.assert_allclose(found, stored["fe"], rtol=1e-13)
        for value, printed in zip(found, stored["printed_fe"], strict=True):
            assert abs(value - printed) <= half_a_digit(printed)


def test_random_effect_predictions_are_those_printed(table):
    name, stored, _, fit = table
    found = fit.coef()["g"]["(Intercept)"].to_numpy()
    # b moves by 2 (1 - w) |u| d theta, below sigma sd(theta) x 10; sd(theta) is about theta / sqrt(2 J): all below
    np.testing.assert_allclose(found, stored["re_tight"], rtol=0, atol=SEARCHED * stored["sigma"])
    for value, tight, printed in zip(found, stored["re_tight"], stored["printed_re"], strict=True):
        # The printed column of model2 came from an optimiser that stopped 1.7e-5 short.
        short = 1.7e-5 if name == "model2" else 0.0
        assert abs(tight - printed) <= half_a_digit(printed) + short
        assert abs(value - printed) <= half_a_digit(printed) + short + abs(value - tight)
    assert fit.singular == stored["singular"] == (name == "model1")


def test_variances_are_those_of_the_analysis_of_variance(table):
    _, stored, data, fit = table
    MSB, MSE, J, n = mean_squares(data, "y", "g")
    sigma2_g = max((MSB - MSE) / n, 0.0)
    sigma2_e = MSE if sigma2_g > 0 else data["y"].var(ddof=1)
    closed = stored["anova_closed_form"]
    assert closed["var_g"] == pytest.approx(sigma2_g, rel=1e-12, abs=0)
    assert closed["var_e"] == pytest.approx(sigma2_e, rel=1e-12)
    # sd of a variance on v degrees of freedom is sqrt(2 / v) of it
    assert fit.sigma**2 == pytest.approx(sigma2_e, rel=SEARCHED * np.sqrt(2 / (J * (n - 1))))
    assert fit.varcorr["g"].cov[0, 0] == pytest.approx(
        sigma2_g, rel=SEARCHED * np.sqrt(2 / (J - 1)) * MSB / (MSB - MSE)
    )
    assert fit.criterion == pytest.approx(stored["REMLcrit"], rel=0, abs=2e-8 + 1e-13 * stored["REMLcrit"])


def test_predictions_shrink_the_means_by_the_closed_form(table):
    _, stored, data, fit = table
    MSB, MSE, J, n = mean_squares(data, "y", "g")
    weight = max(1.0 - MSE / MSB, 0.0)
    means = data.groupby("g")["y"].mean()
    closed = means.mean() + weight * (means - means.mean())
    ratio = n * stored["theta"] ** 2  # as stored: at lme4's theta
    formula = means.mean() + ratio / (1.0 + ratio) * (means - means.mean())
    np.testing.assert_allclose(stored["re_shrinkage_formula"], formula, rtol=1e-13)
    shrunk = fit.shrinkage()["g"]
    # the weight's own standard error: 1 - w is a ratio of mean squares on J - 1 and J (n - 1) degrees of freedom
    off = SEARCHED * (1.0 - weight) * np.sqrt(2 / (J - 1) + 2 / (J * (n - 1)))
    np.testing.assert_allclose(shrunk["weight"], weight, rtol=0, atol=off)
    np.testing.assert_allclose(shrunk["partial_pooling"], closed, rtol=1e-12, atol=off * np.ptp(means))
    np.testing.assert_allclose(shrunk["pooled"], data["y"].mean(), rtol=1e-13)
    assert (shrunk["n"] == n).all()


# -- prior against posterior: four settings ----------------------------------------------------------------------------


@pytest.fixture(params=list(WORKED["worked1"]), scope="module")
def setting(request):
    """Fit one of the settings (1,000 groups; variance between / within, records a group) by REML."""
    stored = WORKED["worked1"][request.param]
    data = load_data(stored["data"])
    return stored, data, mme.lmer("y ~ 1 + (1 | id)", data)


def test_prior_variance_and_variance_of_the_blups_are_those_of_the_closed_form(setting):
    stored, data, fit = setting
    MSB, MSE, J, n = mean_squares(data, "y", "id")
    assert n == stored["repeated"]
    sigma2, w = (MSB - MSE) / n, 1.0 - MSE / MSB
    prior, blups = fit.varcorr["id"].cov[0, 0], fit.ranef()["id"]["(Intercept)"].var(ddof=1)
    unit = SEARCHED * np.sqrt(2 / (J - 1) + 2 / (J * (n - 1))) / w  # relative standard error of sigma2, and more
    assert prior == pytest.approx(sigma2, rel=unit)
    assert blups == pytest.approx(w * sigma2, rel=2 * unit)
    assert prior == pytest.approx(stored["closed_form"]["var_id"], rel=unit)
    assert blups == pytest.approx(stored["closed_form"]["blup_variance"], rel=2 * unit)
    # and as in lme4, which stops with relative steps of 1e-6 or so
    assert prior == pytest.approx(stored["lmer"]["var_id"], rel=unit + 1e-6)
    assert blups == pytest.approx(stored["lmer"]["blup_variance"], rel=2 * unit + 1e-6)
    assert fit.criterion == pytest.approx(stored["lmer"]["REMLcrit"], rel=0, abs=1e-6)


def test_estimates_lie_where_simulation_puts_them(setting):
    stored, _, fit = setting
    prior, blups = fit.varcorr["id"].cov[0, 0], fit.ranef()["id"]["(Intercept)"].var(ddof=1)
    for value, part in ((prior, "prior"), (blups, "blup")):
        quantiles = stored["monte_carlo_400"][part]["q"]
        assert quantiles[0] < value < quantiles[-1]
    # the BLUPs vary less than what they predict: w sigma_g^2, at the true variances what the text's formula gives
    n, prior_variance, error = stored["repeated"], stored["prior_variance"], stored["error_variance"]
    w = n * prior_variance / (n * prior_variance + error)
    assert stored["theory_blup_variance"] == pytest.approx(w * prior_variance, rel=1e-12)
    assert blups < prior


def test_conditional_variance_and_variance_of_the_blups_add_up_to_the_prior(setting):
    _, data, reml = setting
    ml = mme.lmer("y ~ 1 + (1 | id)", data, method="ML")
    for fit, ddof in ((reml, 1), (ml, 0)):
        b = fit.ranef()["id"]["(Intercept)"]
        total = b.var(ddof=ddof) + fit.condvar()["id"].mean()
        # (3) says that the derivative by sigma_g^2 is zero: J (prior - total) / prior^2, which at the end of a search
        # is at most 2 sqrt(GAIN) / sd(prior), with sd(prior) > prior sqrt(2 / J)
        assert total == pytest.approx(fit.varcorr["id"].cov[0, 0], rel=SEARCHED * np.sqrt(2 / b.size))


MODELS = {
    "unbalanced, one slope": ("y ~ x + f + (1 | grp)", "sim_missing"),
    "correlated slope": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    "three coefficients": ("height ~ age + age2 + (age + age2 | Subject)", "Oxboys"),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_prior_covariance_is_the_mean_square_of_the_blups_and_their_uncertainty(model, method):
    formula, name = MODELS[model]
    fit = mme.lmer(formula, load_data(name), method=method)
    spread = fit.pev() if method == "REML" else fit.condvar()
    for term, b in fit.ranef().items():
        prior, J = fit.varcorr[term].cov, len(b)
        explained = (b.T @ b).to_numpy() / J + spread[term].mean(axis=0)  # (2)
        root = np.linalg.inv(np.linalg.cholesky(prior))
        # In units of the prior the derivative of the criterion by it is J (I - explained): as above, for a few entries
        np.testing.assert_allclose(root @ explained @ root.T, np.eye(prior.shape[0]), rtol=0, atol=4 * SEARCHED)


# -- the TLC trial ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=TLC, scope="module")
def trial(request):
    """Fit blood lead of 100 children at four visits, by REML or ML."""
    case = load_case(request.param)
    return WORKED["worked3"][case.method], mme.lmer("lead ~ group * week + (1 | id)", case.data, method=case.method)


def test_trial_standard_deviations_are_those_printed_and_those_of_nlme(trial):
    stored, fit = trial
    found = [float(fit.varcorr["id"].sd[0]), fit.sigma]
    printed = {"REML": [5.112717, 4.214287], "ML": [5.061331, 4.171931]}[fit.method]
    assert stored["printed"]["sd"] == printed
    for value, text in zip(found, printed, strict=True):
        assert round(value, 6) == text
    # nlme's optimiser stops with a relative tolerance of 1e-6 or so: it agrees to 1e-7
    assert found == pytest.approx([stored["nlme"]["sd_intercept"], stored["nlme"]["sd_resid"]], rel=1e-7)
    assert found == pytest.approx([stored["lme4"]["sd_intercept"], stored["lme4"]["sd_resid"]], rel=1e-7)
    assert fit.loglik == pytest.approx(stored["nlme"]["logLik"], rel=0, abs=1e-8)


def test_trial_coefficients_are_those_printed_and_those_of_nlme(trial):
    stored, fit = trial
    assert fit.fixed_names == tuple(stored["nlme"]["beta_names"])
    # balanced data: beta does not depend on the variances
    np.testing.assert_allclose(fit.beta, stored["nlme"]["beta"], rtol=0, atol=1e-11)
    assert fit.beta.round(3).tolist() == stored["printed"]["beta"]
    # nlme's summary multiplies the standard errors of ML by sqrt(N / (N - p)); ours are the plain ones
    scale = 1.0 if fit.method == "REML" else np.sqrt(400 / (400 - 8))
    np.testing.assert_allclose(fit.se * scale, stored["nlme"]["se"], rtol=1e-7)
    np.testing.assert_allclose(fit.se * scale, stored["printed"]["se"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(fit.se, stored["lme4"]["se"], rtol=1e-7)
    if fit.method == "ML":
        assert round(fit.se["(Intercept)"], 5) == 0.92760
    coefficients = fit.coefficients()
    np.testing.assert_allclose(coefficients["t"] / scale, stored["printed"]["t"], rtol=0, atol=2e-6)


# -- Henderson's equations at the estimated variances ------------------------------------------------------------------


ORTHODONT = ("distance ~ age * Sex + (age | Subject)", "Orthodont")
SLEEP = ("Reaction ~ Days + (1 | Subject)", "sleepstudy")
TRIAL = ("lead ~ group * week + (1 | id)", "tlc")
AT_VARIANCES = [
    pytest.param(ORTHODONT, id="Orthodont"),
    pytest.param(SLEEP, id="sleepstudy"),
    *(pytest.param(TRIAL, id=case.values[0], marks=case.marks) for case in TLC[:1]),
]


@pytest.mark.parametrize("model", AT_VARIANCES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_hendersons_equations_give_the_fit_and_the_marginal_formulas(model, method):
    fit = mme.lmer(model[0], load_data(model[1]), method=method)
    m, (term,) = fit.internals.model, fit.internals.model.terms
    sigma2, G = fit.sigma**2, fit.varcorr[term.name].cov
    Ginv = np.kron(np.eye(term.n_levels), np.linalg.inv(G))
    equations = mme.solve(m.y, m.X, term.Z, Ginv=Ginv, Rinv=1 / sigma2)
    # GLS: beta = (X'V^-1 X)^-1 X'V^-1 y,  b = G Z' V^-1 (y - X beta)
    T = lower_factor(fit.theta, term.q)
    marginal = dense_fit(m.y, m.X, [(term.Z.toarray(), T, None)], method=method)
    # The condition of V is below 1e4, that of X below 1e3: rounding stays below 1e-9 of a standard error.
    sd = np.tile(np.sqrt(np.diag(G)), term.n_levels)
    for beta, b in ((equations.beta, equations.b), (fit.beta, fit.ranef()[term.name].to_numpy().ravel())):
        np.testing.assert_array_less(np.abs(beta - marginal.beta) / fit.se, 1e-9)
        np.testing.assert_array_less(np.abs(b - marginal.b) / sd, 1e-9)
    np.testing.assert_allclose(equations.beta_cov, fit.beta_cov, rtol=1e-8)
    pev = np.einsum("gaa->ga", fit.pev()[term.name]).ravel()
    np.testing.assert_allclose(equations.pev(), pev, rtol=1e-8)
    np.testing.assert_allclose(np.diag(marginal.pev), pev, rtol=1e-8)
    assert equations.criterion(method) == pytest.approx(fit.criterion, rel=0, abs=1e-9)


@pytest.mark.parametrize("model", AT_VARIANCES)
def test_fitted_profile_is_the_weighted_average_of_population_profile_and_data(model):
    fit = mme.lmer(model[0], load_data(model[1]))
    (term,) = fit.internals.model.terms
    population, fitted = np.asarray(fit.predict(random=False)), np.asarray(fit.fitted)
    Z = np.ones((fit.nobs, 1)) if term.covariates is None else term.covariates
    G = fit.varcorr[term.name].cov
    for level in range(term.n_levels):
        rows = term.codes == level
        R = fit.sigma**2 * np.eye(rows.sum())
        V = Z[rows] @ G @ Z[rows].T + R
        # X beta + Z b = R V^-1 X beta + (I - R V^-1) y
        weight = R @ np.linalg.inv(V)
        average = weight @ population[rows] + (np.eye(len(R)) - weight) @ fit.internals.model.y[rows]
        np.testing.assert_allclose(fitted[rows], average, rtol=1e-11)
    if term.q == 1:  # the mean of a subject: one weight
        shrunk, deviations = fit.shrinkage()[term.name], fit.internals.model.y - population
        n = np.bincount(term.codes)
        w = n * G[0, 0] / (n * G[0, 0] + fit.sigma**2)
        np.testing.assert_allclose(shrunk["weight"], w, rtol=1e-11)
        b = w * np.bincount(term.codes, deviations) / n
        np.testing.assert_allclose(fit.ranef()[term.name].to_numpy()[:, 0], b, rtol=1e-9, atol=1e-11 * fit.sigma)


def test_design_matrix_of_a_term_is_the_definition():
    data = load_data("Orthodont")
    covariates = np.column_stack([np.ones(len(data)), data["age"]])
    Z = mme.Term(data["Subject"], covariates).Z
    assert np.array_equal(Z.toarray(), design(data["Subject"], covariates))
