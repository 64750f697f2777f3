"""Parameters held by name: the optimum is that of the criterion with the parameter there, whatever its name."""

import numpy as np
import pytest
from scipy.optimize import minimize

import mme


def pastes():
    return mme.load("Pastes")


def sleep(formula="Reaction ~ Days + (Days || Subject)", **options):
    return mme.lmer(formula, mme.load("sleepstudy"), **options)


def held_criterion(fit, theta_of):
    """The lowest criterion over the free parameters, at sigma too where ``theta_of`` takes it."""
    objective, m = fit.internals.objective, fit.nobs - len(fit.beta)

    def value(x):
        theta, sigma = theta_of(x)
        logdet, border = objective.contrasts(theta)
        logs = logdet + objective.constants.logdet_K + objective.constants.logdet_R + objective.constants.logdet_X0
        logs += 2.0 * np.log(np.diag(border)[:-1]).sum()
        return logs + m * np.log(2.0 * np.pi * sigma**2) + (border[-1, -1] / sigma) ** 2

    return value


@pytest.mark.parametrize("search", ["derivative-free", "average-information"])
def test_a_ratio_that_is_held_leaves_the_others_at_their_best(search):
    name = "Subject.Days"
    fit = sleep(hold={name: 0.3}, search=search)
    assert dict(zip(fit.theta_names, fit.theta, strict=True))[name] == 0.3
    free = sleep()
    own = minimize(lambda x: free.internals.objective(np.array([x[0], 0.3])), [0.9], method="BFGS", tol=1e-9)
    assert fit.criterion == pytest.approx(own.fun, abs=1e-7)
    assert fit.dof == free.dof - 1
    begun = sleep(hold={name: 0.3}, search=search, start=[1.2, 0.8])
    np.testing.assert_allclose(begun.theta, fit.theta, rtol=1e-4)
    # held where it is free to be, it changes nothing
    again = sleep(hold={name: float(free.theta[1])}, search=search)
    assert again.criterion == pytest.approx(free.criterion, abs=1e-7)
    np.testing.assert_allclose(again.theta, free.theta, rtol=1e-4)


def test_a_variance_is_held_in_units_of_the_response_with_sigma_free():
    fit = sleep(hold={"V_Subject.(Intercept)": 900.0})
    assert fit.varcorr["Subject"].cov[0, 0] == pytest.approx(900.0, rel=1e-6)
    value = held_criterion(sleep(), lambda x: (np.array([30.0 / np.exp(x[1]), x[0]]), np.exp(x[1])))
    own = minimize(value, [0.2, 3.2], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000})
    assert fit.criterion == pytest.approx(own.fun, abs=1e-6)
    assert fit.sigma == pytest.approx(np.exp(own.x[1]), rel=1e-5)
    by_sd = sleep(hold={"sd_(Intercept)|Subject": 30.0})
    assert by_sd.criterion == pytest.approx(fit.criterion, abs=1e-8)


def test_all_variances_held_are_the_equations_at_known_variances():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"), hold={"V_Batch": 1764.0, "V_res": 2451.0})
    assert fit.sigma**2 == pytest.approx(2451.0)
    assert fit.varcorr["Batch"].cov[0, 0] == pytest.approx(1764.0)
    data = mme.load("Dyestuff")
    Z = np.equal.outer(data["Batch"].to_numpy(), np.unique(data["Batch"])).astype(float)
    known = mme.solve(data["Yield"], np.ones((30, 1)), Z, Ginv=np.eye(6) / 1764.0, Rinv=1 / 2451.0)
    np.testing.assert_allclose(fit.ranef()["Batch"].to_numpy().ravel(), known.b, rtol=1e-8)


def test_parameters_of_a_residual_structure_and_of_a_pattern_are_held_by_their_names():
    rng = np.random.default_rng(3)
    t, g = np.tile(np.arange(5), 30), np.repeat(np.arange(30), 5)
    data = {"y": rng.normal(size=150) + rng.normal(size=30)[g], "t": t, "g": g, "x": rng.normal(size=150)}
    one = mme.lmer("y ~ t", data, residual=mme.AR1("t", "g"), hold={"rho": 0.3})
    assert one.residual["rho"] == pytest.approx(0.3)
    assert one.criterion == mme.lmer("y ~ t", data, residual=mme.AR1("t", "g"), phi={"rho": 0.3}).criterion
    two = mme.lmer("y ~ t + cs(1 + x + t | g)", data, hold={"rho|g": 0.25})
    corr = two.varcorr["g"].corr
    assert corr[1, 0] == pytest.approx(0.25)
    assert corr[2, 1] == pytest.approx(0.25)


def test_what_is_held_stays_when_the_model_is_fitted_to_other_responses():
    fit = mme.lmer("strength ~ 1 + (1 | batch) + (1 | sample)", pastes(), hold={"sd_(Intercept)|sample": 3.0})
    alone = mme.lmer("strength ~ 1 + (1 | batch)", pastes(), hold={"V_batch": 4.0})
    assert alone.optimum.reason == "all variances were held"
    assert alone.refit(2.0 * fit.model.y).varcorr["batch"].sd[0] == pytest.approx(2.0, rel=1e-6)
    again = fit.refit(fit.model.y[::-1].copy())
    assert again.varcorr["sample"].sd[0] == pytest.approx(3.0, rel=1e-6)


def test_a_fit_with_held_variances_says_so_and_keeps_them_on_disk(tmp_path):
    free, fit = sleep(), sleep(hold={"V_Subject.(Intercept)": 900.0})
    assert "Held, not estimated: Subject.(Intercept)." in fit.summary()
    assert fit.dof == free.dof - 1
    fit.save(tmp_path / "held.mme")
    read = mme.load_fit(tmp_path / "held.mme")
    assert read.criterion == fit.criterion
    y = np.array(fit.model.y) + 3.0 * np.random.default_rng(1).normal(size=180)
    assert read.refit(y).sigma == pytest.approx(fit.refit(y).sigma, rel=1e-9)
    assert fit.refit(y).varcorr["Subject"].sd[0] == pytest.approx(30.0, rel=1e-6)
    drawn = fit.bootstrap(3, seed=1, workers=1).replicates
    np.testing.assert_allclose(drawn["sd_(Intercept)|Subject"], 30.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("hold", "message"),
    [
        ({"V_Subj": 3.0}, "hold: there is no parameter 'V_Subj'; the model has"),
        ({"V_Subject.Days": -1.0}, "must be a finite number, not negative"),
        ({"sigma": 0.0}, "hold: sigma must be positive"),
        ([3.0], "hold is given by name"),
        ({"V_Subject.Days": "a"}, "must be a finite number"),
    ],
)
def test_what_cannot_be_held_is_refused(hold, message):
    with pytest.raises(mme.MMEError, match=message):
        sleep(hold=hold)


def test_one_entry_of_an_unstructured_covariance_is_not_held_alone():
    with pytest.raises(mme.MMEError, match="is one of an unstructured covariance"):
        sleep("Reaction ~ Days + (Days | Subject)", hold={"sd_Days|Subject": 3.0})


@pytest.mark.parametrize("held", [{"Subject.Days": 0.3}, {"sd_Days|Subject": 6.0}])
def test_limits_of_a_profile_beside_what_is_held_are_those_of_fits_that_hold_more(held):
    """The ML deviance at each limit is the quantile of chi-square above that of the fit."""
    data = mme.load("sleepstudy")
    limits = sleep(hold=held).confint(method="profile")
    assert not {"sd_Days|Subject"} & set(limits.index)
    least, name = sleep(hold=held, method="ML").criterion, "sd_(Intercept)|Subject"
    for value in limits.loc[name]:
        assert sleep(hold=held | {name: value}, method="ML").criterion - least == pytest.approx(3.84146, abs=1e-3)
    for value in limits.loc["Days"]:
        moved = data.assign(Reaction=data["Reaction"] - value * data["Days"])
        other = mme.lmer("Reaction ~ 1 + (Days || Subject)", moved, hold=held, method="ML")
        assert other.criterion - least == pytest.approx(3.84146, abs=1e-3)
    with pytest.raises(mme.MMEError, match="was given, not estimated: it has no profile"):
        sleep(hold=held).profile(["sd_Days|Subject"])


def test_a_profile_of_a_pattern_whose_correlation_is_held_is_that_of_fits_that_hold_it():
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(30), 6), rng.normal(size=180)
    data = {"y": rng.normal(size=30)[g] + 1.2 * x * rng.normal(size=30)[g] + rng.normal(size=180), "x": x, "g": g}
    held, formula = {"rho|g": 0.25}, "y ~ x + cs(1 + x | g)"
    low, high = mme.lmer(formula, data, hold=held).confint(method="profile").loc["sd_x|g"]
    least = mme.lmer(formula, data, hold=held, method="ML").criterion
    for value in (low, high):
        other = mme.lmer(formula, data, hold=held | {"sd_x|g": value}, method="ML")
        assert other.criterion - least == pytest.approx(3.84146, abs=2e-3)
