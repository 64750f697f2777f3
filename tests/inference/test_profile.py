"""Profile likelihood: lme4's intervals, the definition by dense matrices, and the edges of the parameter space."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import load_case, load_data
from counting import evaluations
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.stats import chi2, norm

import mme
from mme.covariance.triangle import lower_factor
from mme.fitted.natural import natural_names, natural_values
from mme.inference.intervals.curves import Curve
from mme.inference.intervals.deviance import Deviance, Point
from mme.numeric.interpolate import crossing, first_reached, monotone
from mme.search.joint import Joint

PROFILED = [
    "cake_linear_reml",
    "dyestuff_reml",
    "machines_nested_reml",
    "oats_nitro_reml",
    "orthodont_int_reml",
    "pastes_nested_reml",
    "penicillin_reml",
    "sleepstudy_diag_reml",
    "sleepstudy_int_reml",
    "sleepstudy_slope_reml",
]


def fitted(name: str) -> mme.Fit:
    return load_case(name).fit()


@pytest.fixture(scope="module")
def slopes() -> mme.Fit:
    return fitted("sleepstudy_slope_reml")


@pytest.fixture(scope="module")
def slopes_profile(slopes):
    return slopes.profile()


def dense_deviance(y: np.ndarray, X: np.ndarray, V: np.ndarray, offset: np.ndarray | float = 0.0) -> float:
    """-2 log-likelihood at a covariance V of y, the columns of X free."""
    L = np.linalg.cholesky(V)
    return white_deviance(np.linalg.solve(L, y - offset), np.linalg.solve(L, X), 2.0 * np.log(np.diag(L)).sum())


def white_deviance(y: np.ndarray, X: np.ndarray, logdet: float) -> float:
    r = y - X @ np.linalg.solve(X.T @ X, X.T @ y)
    return float(y.size * np.log(2 * np.pi) + logdet + r @ r)


def minimum(f, start) -> float:
    """The minimum over what is free, by a method that shares nothing with ours."""
    x = np.asarray(start, dtype=float)
    for _ in range(2):  # a restart keeps the simplex from collapsing
        found = minimize(f, x, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-11, "maxiter": 5000})
        x = found.x
    return float(found.fun)


@pytest.mark.parametrize("name", PROFILED)
def test_limits_are_lme4s(name):
    reference = load_case(name).json["profile_confint"]
    table = fitted(name).confint("profile")
    assert list(table.index) == reference["names"]
    lower, upper = np.array(reference["lower"]), np.array(reference["upper"])
    # lme4 interpolates: its limits are off by up to a thousandth of the interval where the profile is curved
    error = np.abs(table.to_numpy() - np.column_stack([lower, upper])) / (upper - lower)[:, None]
    assert error.max() < 1.1e-3


def test_the_deviance_at_a_limit_is_higher_by_the_quantile_of_chi_square():
    """By dense matrices and another optimiser, for the limit in which lme4 and we differ most; ours is the nearer."""
    fit = fitted("oats_nitro_reml")
    model, name = fit.internals.model, "sd_(Intercept)|Block"
    ZZ = [term.Z.toarray() @ term.Z.toarray().T for term in model.terms]
    reference = load_case("oats_nitro_reml").json["profile_confint"]

    def rise(value: float) -> float:
        def of_others(x):
            return dense_deviance(model.y, model.X, x[0] ** 2 * ZZ[0] + value**2 * ZZ[1] + x[1] ** 2 * np.eye(model.n))

        return minimum(of_others, [10.0, 13.0]) - profile.deviance

    profile = fit.profile(name)
    lower, upper = profile.confint().loc[name]
    assert_allclose([rise(lower), rise(upper)], chi2.ppf(0.95, 1), rtol=1e-5)
    assert abs(rise(reference["lower"][1]) - chi2.ppf(0.95, 1)) > 1e-3


def test_every_limit_of_a_correlated_slope_solves_its_equation(slopes, slopes_profile):
    """Natural parameters and beta held in a dense likelihood: (sd, cor, sd, sigma, beta)."""
    y, X = slopes.internals.model.y, slopes.internals.model.X
    Z = X[:10]  # of every subject: days 0 to 9
    limits, P = slopes_profile.confint(), len(slopes_profile.names)

    def deviance(natural, beta_held) -> float:
        s1, r, s2, sigma = natural
        if abs(r) >= 1.0 or min(s1, s2, sigma) <= 0.0:
            return np.inf
        G = np.array([[s1**2, r * s1 * s2], [r * s1 * s2, s2**2]])
        V = Z @ G @ Z.T + sigma**2 * np.eye(10)
        free, offset = np.ones(2, dtype=bool), 0.0
        if beta_held is not None:
            j, value = beta_held
            free[j], offset = False, X[:, j] * value
        # the same V for every subject: whiten all at once
        L = np.linalg.inv(np.linalg.cholesky(V))
        white = np.column_stack([X[:, free], y - offset]).reshape(18, 10, -1)
        white = (L @ white).reshape(180, -1)
        logdet = -36.0 * np.log(np.diag(L)).sum()
        return white_deviance(white[:, -1], white[:, :-1], logdet)

    for at, name in enumerate(slopes_profile.names):
        for value in limits.loc[name]:
            start = np.delete(slopes_profile.estimates[:4], at) if at < 4 else slopes_profile.estimates[:4]

            def held(x, at=at, value=value) -> float:
                return deviance(np.insert(x, at, value), None) if at < 4 else deviance(x, (at - P + 2, value))

            assert_allclose(minimum(held, start) - slopes_profile.deviance, chi2.ppf(0.95, 1), rtol=2e-5, err_msg=name)


def test_a_held_beta_is_an_offset_and_one_column_less(slopes):
    """The algebra of (v - beta_hat)^2 / a'a, at any theta, against the model without the column."""
    model, objective = slopes.internals.model, slopes.internals.objective.by_ml()
    rng = np.random.default_rng(0)
    for j in (0, 1):
        theta, value = rng.uniform(0.2, 1.5, 3), slopes.beta.iloc[j] + 10.0 * rng.standard_normal()
        others = [1 - j]
        direct = mme.objective(model.y, model.X[:, others], model.terms, method="ML", offset=model.X[:, j] * value)
        held = Deviance(Joint(objective.model, objective))(Point(theta, np.zeros(0), j=j, value=value))
        assert_allclose(held, direct(theta), rtol=1e-13)


def test_a_held_sigma_is_a_known_sigma(slopes):
    model, objective = slopes.internals.model, slopes.internals.objective.by_ml()
    known = mme.objective(model.y, model.X, model.terms, method="ML", sigma=30.0)
    held = Deviance(Joint(objective.model, objective))(Point(slopes.theta, np.zeros(0), sigma=30.0))
    assert_allclose(held, known(slopes.theta), rtol=1e-13)


def test_all_parameters_of_a_knot_are_those_of_the_fit_with_one_held(slopes, slopes_profile):
    """Of a profile of Days: theta, sigma and the intercept of the fit with Days times the value for an offset."""
    frame = slopes_profile.to_frame()
    knots = frame[frame["parameter"] == "Days"].iloc[[0, -1]]
    for row in knots.to_dict("records"):
        fit = mme.lmer(
            "Reaction ~ 1 + (Days | Subject)",
            mme.load("sleepstudy"),
            method="ML",
            offset=slopes.internals.model.X[:, 1] * row["value"],
        )
        assert_allclose(row["zeta"] ** 2, fit.criterion - slopes_profile.deviance, rtol=1e-6)
        assert_allclose(row["Days"], row["value"], rtol=1e-12)
        assert_allclose(row["(Intercept)"], fit.beta.iloc[0], rtol=1e-4)
        assert_allclose(row["sigma"], fit.sigma, rtol=1e-3)
        assert_allclose(row["sd_Days|Subject"], fit.varcorr["Subject"].sd[1], rtol=1e-3)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_other_levels_are_interpolated_within_a_thousandth_of_the_interval(slopes, slopes_profile, level):
    ours, exact = slopes_profile.confint(level), slopes.profile(level=level).confint(level)
    width = (exact["upper"] - exact["lower"]).to_numpy()[:, None]
    assert (np.abs(ours - exact).to_numpy() < 1e-3 * width).all()


def test_a_reml_fit_is_profiled_by_its_ml_deviance(slopes, slopes_profile):
    ml = slopes.refit(slopes.internals.model.y)
    ml = mme.lmer(slopes.formula, mme.load("sleepstudy"), method="ML")
    assert_allclose(slopes_profile.deviance, ml.criterion, rtol=1e-12)
    assert_allclose(slopes_profile.estimates[-2:], ml.beta, rtol=1e-9)
    assert_allclose(slopes_profile.confint(), ml.profile().confint(), rtol=1e-5)


def test_zeta_increases_and_is_zero_at_the_estimate(slopes_profile):
    frame = slopes_profile.to_frame()
    for name, part in frame.groupby("parameter"):
        curve = slopes_profile.curves[name]
        assert (np.diff(part["value"]) > 0).all()
        assert (np.diff(part["zeta"]) > 0).all()
        assert_allclose(curve.zeta_at([curve.estimate]), 0.0, atol=1e-12)
        assert_allclose(curve.zeta_at(part["value"].to_numpy()), part["zeta"], atol=1e-9)
        assert np.isnan(curve.zeta_at(np.array([curve.values[0] - 1.0])))
        assert_allclose(part[name], part["value"], rtol=1e-9)


def test_few_evaluations_a_point(slopes):
    curves = []
    count = evaluations(lambda: curves.append(slopes.profile()))
    assert 0 < count < 25 * len(curves[0].to_frame())


# -- edges --------------------------------------------------------------------------------------------------------


def test_a_variance_that_may_be_zero_has_the_lower_limit_zero():
    fit = fitted("pastes_nested_reml")
    curve = fit.profile("sd_(Intercept)|batch").curves["sd_(Intercept)|batch"]
    assert curve.values[0] == 0.0
    assert curve.zeta[0] > norm.ppf(0.025)
    assert fit.confint("profile", parameters="sd_(Intercept)|batch").iloc[0, 0] == 0.0
    without = mme.lmer("strength ~ 1 + (1 | batch:cask)", load_data("Pastes"), method="ML")
    assert_allclose(curve.zeta[0] ** 2, without.criterion - fit.profile([]).deviance, rtol=1e-6)


def test_a_variance_estimated_as_zero_has_one_side():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff2"))
    profile = fit.profile()
    curve = profile.curves["sd_(Intercept)|Batch"]
    assert curve.estimate == 0.0
    assert curve.values[0] == 0.0
    assert (curve.zeta >= 0.0).all()
    assert profile.confint().loc["sd_(Intercept)|Batch", "lower"] == 0.0


def test_where_the_others_leave_zero_a_profile_follows_them():
    """Far from its estimate the mean of Dyestuff2 is explained best by a variance between batches."""
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff2"))
    curve = fit.profile("(Intercept)").curves["(Intercept)"]
    y, X, Z = fit.internals.model.y, np.zeros((30, 0)), fit.internals.model.terms[0].Z.toarray()
    for value, zeta in zip(curve.values[[0, 2, -1]], curve.zeta[[0, 2, -1]], strict=True):

        def held(x, value=value) -> float:
            return dense_deviance(y, X, x[0] ** 2 * Z @ Z.T + x[1] ** 2 * np.eye(30), value)

        best = min(minimum(held, [s, 4.0]) for s in (0.1, 2.0))
        assert_allclose(np.sign(value - curve.estimate) * np.sqrt(best - fit.profile([]).deviance), zeta, rtol=1e-6)


def test_a_correlation_of_one_is_profiled_from_its_bound():
    case = load_case("sim_corr_pos1_ml")
    profile = mme.lmer(case.json["formula"], case.data, method="ML").profile()
    curve = profile.curves["cor_x.(Intercept)|grp"]
    assert_allclose(curve.estimate, 1.0, atol=1e-6)
    table = profile.confint()
    assert_allclose(table.loc["cor_x.(Intercept)|grp", "upper"], 1.0)
    assert 0.0 < table.loc["cor_x.(Intercept)|grp", "lower"] < 1.0


def test_a_correlation_that_outlives_its_standard_deviation_ends_in_a_plateau():
    """Where the best of the others makes a standard deviation zero, its correlation no longer matters."""
    case = load_case("oxboys_q4_reml")
    curve = mme.lmer(case.json["formula"], case.data).profile("cor_age3.age|Subject").curves["cor_age3.age|Subject"]
    assert curve.values[0] == -1.0
    assert curve.values[-1] == 1.0
    assert_allclose(curve.zeta[-1], curve.zeta.max())
    assert (np.diff(curve.zeta) > -1e-4).all()


@pytest.mark.parametrize("slopes_vary", [True, False])
def test_a_correlation_with_a_variance_of_zero_is_not_determined(slopes_vary):
    """All groups have the same intercept: what their lines leave is orthogonal to them."""
    g, x = np.repeat(np.arange(10), 4), np.tile(np.arange(4.0), 10)
    rng = np.random.default_rng(3)
    y = 1.0 + x + np.outer(rng.standard_normal(10), [1.0, -1.0, -1.0, 1.0]).ravel()
    y += slopes_vary * 2.0 * x * rng.standard_normal(10)[g]
    Z = np.column_stack([np.ones(40), x])
    profile = mme.fit(y, Z, [mme.Term(g, Z, name="g", columns=["1", "x"])], method="ML").profile()
    assert profile.estimates[0] < 1e-4
    assert np.isnan(profile.estimates[1])
    table = profile.confint()
    assert table.loc["cor_x.1|g"].tolist() == [-1.0, 1.0]
    assert table.loc["sd_1|g", "lower"] == 0.0
    assert (table.loc["sd_x|g", "lower"] > 0.1) == slopes_vary
    assert table.notna().all(axis=None)


@pytest.mark.parametrize("sigma", [None, 1.0])
def test_a_known_sigma_is_no_parameter(sigma):
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(15), 4)
    y = 3.0 + rng.standard_normal(15)[g] + rng.standard_normal(60)
    fit = mme.fit(y, np.ones((60, 1)), [mme.Term(g, name="g")], sigma=sigma)
    profile = fit.profile()
    assert ("sigma" in profile.names) == (sigma is None)
    ZZ = np.equal.outer(g, g).astype(float)
    lower = profile.confint().loc["sd_(Intercept)|g", "lower"]

    def held(x) -> float:
        return dense_deviance(y, np.ones((60, 1)), lower**2 * ZZ + (x[0] if sigma is None else sigma) ** 2 * np.eye(60))

    rise = (minimum(held, [1.0]) if sigma is None else held([1.0])) - profile.deviance
    assert_allclose(rise, chi2.ppf(0.95, 1), rtol=1e-5)


def test_weights_and_offsets_are_part_of_the_profile():
    case = load_case("sim_weights_offset_ml")
    fit = mme.lmer(case.json["formula"], case.data, method="ML", weights="w", offset=case.json["offset"])
    profile = fit.profile("sigma")
    model, upper = fit.internals.model, profile.confint().loc["sigma", "upper"]
    Z = model.terms[0].Z.toarray()

    def held(x) -> float:
        T = np.array([[x[0], 0.0], [x[1], x[2]]])
        V = Z @ np.kron(np.eye(model.terms[0].n_levels), T @ T.T) @ Z.T + np.diag(upper**2 / model.weights)
        return dense_deviance(model.y, model.X, V, model.offset)

    start = fit.sigma * fit.theta
    assert_allclose(minimum(held, start) - profile.deviance, chi2.ppf(0.95, 1), rtol=1e-5)


def test_a_residual_structure_is_free_around_what_is_held():
    rng = np.random.default_rng(5)
    J, m = 12, 6
    g, t = np.repeat(np.arange(J), m), np.tile(np.arange(m), J)
    R = 0.6 ** np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
    y = 1.0 + 0.5 * t + (rng.standard_normal((J, m)) @ np.linalg.cholesky(R).T).ravel()
    X = np.column_stack([np.ones(J * m), t])
    fit = mme.fit(y, X, [], residual=mme.AR1(t, g))
    profile = fit.profile()
    assert profile.names == ("sigma", "rho", "x1", "x2")
    upper = profile.confint().loc["x2", "upper"]

    def held(x) -> float:
        V = x[0] ** 2 * np.kron(np.eye(J), np.tanh(x[1]) ** np.abs(np.subtract.outer(np.arange(m), np.arange(m))))
        return dense_deviance(y, X[:, :1], V, X[:, 1] * upper)

    assert_allclose(minimum(held, [1.0, 0.5]) - profile.deviance, chi2.ppf(0.95, 1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["cs", "homogeneous cs", "ar1", "diagonal"])
def test_structured_covariances_are_profiled_by_their_own_parameters(kind):
    rng = np.random.default_rng(6)
    g, Z = np.repeat(np.arange(20), 8), rng.standard_normal((160, 3))
    b = 1.5 * rng.standard_normal((20, 3)) + rng.standard_normal((20, 1))
    y = (Z * b[g]).sum(axis=1) + rng.standard_normal(160)
    fit = mme.fit(y, np.ones((160, 1)), [mme.Term(g, Z, name="g", covariance=kind)], method="ML")
    profile = fit.profile()
    assert profile.names[: fit.internals.model.k] == natural_names(fit.internals.model)[: fit.internals.model.k]
    table = profile.confint()
    assert (table["lower"] < profile.estimates).all()
    assert (profile.estimates < table["upper"]).all()
    name = profile.names[fit.internals.model.k - 1]
    for value in table.loc[name]:
        curve = profile.curves[name]
        assert_allclose(abs(curve.zeta_at([value])), norm.ppf(0.975), rtol=1e-4)


# -- what is asked wrongly ----------------------------------------------------------------------------------------


def test_a_subset_of_parameters_by_name(slopes, slopes_profile):
    table = slopes.confint("profile", parameters=["sigma", "Days"])
    assert_allclose(table, slopes_profile.confint().loc[["sigma", "Days"]], rtol=1e-9)
    with pytest.raises(mme.MMEError, match="there is no parameter 'days'; the model has sd_"):
        slopes.profile(["days"])


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_profile_that_ends_on_one_side_has_no_limits(slopes_profile, side):
    """The other side, which goes on, does not say where that limit is."""
    curve = slopes_profile.curves["Days"]
    kept = side * curve.zeta < 1.0
    short = replace(curve, values=curve.values[kept], zeta=curve.zeta[kept], parameters=curve.parameters[kept])
    profile = replace(slopes_profile, curves={"Days": short})
    with pytest.raises(mme.MMEError, match=r"profile of Days ends before zeta = 1.96"):
        profile.confint(0.95)


def test_levels_beyond_the_profile_are_refused(slopes, slopes_profile):
    with pytest.raises(mme.MMEError, match=r"ends before zeta = 4.89; profile with level=0.999999"):
        slopes_profile.confint(0.999999)
    with pytest.raises(mme.MMEError, match="level must lie between 0 and 1"):
        slopes_profile.confint(1.0)
    with pytest.raises(mme.MMEError, match="level must lie between 0 and 1"):
        slopes.profile(level=0.0)
    assert slopes.profile("sigma", level=0.999999).confint(0.999999).notna().all(axis=None)


def test_a_given_theta_has_no_profile():
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), theta=[1.0])
    with pytest.raises(mme.MMEError, match="was given, not estimated"):
        fit.profile()


def test_options_belong_to_their_method(slopes):
    with pytest.raises(mme.MMEError, match="takes the options variances; got parameters"):
        slopes.confint(parameters="sigma")
    with pytest.raises(mme.MMEError, match="method='bayes': method is 'wald', 'profile' or 'bootstrap'"):
        slopes.confint("bayes")


# -- the parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_holding_a_natural_parameter_holds_it_and_frees_the_rest(seed):
    rng = np.random.default_rng(seed)
    g, Z = np.repeat(np.arange(9), 5), rng.standard_normal((45, 3))
    model = mme.objective(rng.standard_normal(45), np.ones((45, 1)), [mme.Term(g, Z)]).model
    part, theta = model.structures[0], rng.standard_normal(6)
    names, before = natural_names(model), natural_values(model, theta, 1.0)
    for at in range(6):
        held = part.hold(theta, at)
        same = held.theta(held.start, before[at])
        assert_allclose(part.T(same) @ part.T(same).T, part.T(theta) @ part.T(theta).T, atol=1e-12)
        value = rng.uniform(-0.9, 0.9) if names[at].startswith("cor") else rng.uniform(0.0, 2.0)
        free = np.abs(rng.standard_normal(held.start.size))
        assert_allclose(natural_values(model, held.theta(free, value), 1.0)[at], value, atol=1e-12)
        assert free.size == 5


def test_a_singular_factor_is_rotated_exactly():
    A = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert_allclose(lower_factor(A) @ lower_factor(A).T, A @ A.T, atol=1e-15)
    assert_allclose(np.triu(lower_factor(A), 1), 0.0)


def test_interpolation_is_monotone_exact_at_the_knots_and_of_high_order():
    x = np.array([0.0, 1.0, 1.5, 2.0, 4.0])
    y = np.array([0.0, 0.1, 3.0, 3.1, 3.2])
    between = monotone(x, y, np.linspace(0.0, 4.0, 400))
    assert (np.diff(between) >= -1e-12).all()
    assert_allclose(monotone(x, y, x), y)
    error = [
        np.abs(monotone(k := np.linspace(0, 1, m), np.exp(k), z := np.linspace(0, 1, 99)) - np.exp(z)).max()
        for m in (9, 17)
    ]
    assert error[0] / error[1] > 6.0


def test_a_profile_that_turns_back_keeps_its_first_crossing():
    zeta = np.array([-1.0, -3.0, -1.5, -0.5, 0.0, 0.4, 0.3, 0.9])
    assert first_reached(zeta).tolist() == [False, True, True, True, True, True, False, True]
    assert_allclose(crossing(1.0, np.array([0.0, 0.5, 1.5]), np.array([0.0, 0.5, 1.5])), 1.0)


def test_the_frame_holds_every_parameter(slopes_profile):
    frame = slopes_profile.to_frame()
    assert list(frame.columns) == ["parameter", "value", "zeta", *slopes_profile.names]
    assert isinstance(frame, pd.DataFrame)
    assert frame.notna().all(axis=None)


def test_a_profile_that_touches_zero_again_on_one_side_has_its_limits_by_that_side_alone():
    """zeta is minus zero there: it belongs to the side below the estimate."""
    zeta = np.array([-2.5, -0.7, -0.0, -0.0, -0.6, -0.2, 0.0, 0.3, 2.6])
    values = np.arange(9.0)
    curve = Curve("sd", 6.0, (0.0, np.inf), values, zeta, np.zeros((9, 1)), (True, True))
    assert 0.0 <= curve.limit(-1.96) <= 1.0
    assert 7.0 <= curve.limit(1.96) <= 8.0


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_a_profile_is_silent_unless_progress_is_asked_for(method, capfd):
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), method=method)
    fit.profile(["sigma"])
    assert capfd.readouterr() == ("", "")
    fit.profile(["sigma"], progress=True)
    assert capfd.readouterr().err
