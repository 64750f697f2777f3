"""What a fit answers beyond its estimates: tables, predictions, simulations, comparisons; and whose data it holds."""

import pickle
from time import perf_counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from cases import load_data
from dense import dense_fit
from scipy.optimize import minimize_scalar
from scipy.stats import norm

import mme

# A search ends within this of the minimum of the criterion, so that estimates are within its root of a standard error
# (tests/test_reference_cases.py derives it).
GAIN = 2e-8
SEARCHED = np.sqrt(GAIN)

SLOPE = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return load_data("sleepstudy")


@pytest.fixture(scope="module")
def slopes(sleep) -> mme.Fit:
    return mme.lmer(SLOPE, sleep)


@pytest.fixture(scope="module")
def gaps() -> pd.DataFrame:
    """200 rows, 22 with a missing value in y, x, f or grp, and an index of their own."""
    data = load_data("sim_missing")
    return data.set_axis([f"row{i}" for i in range(len(data))])


@pytest.fixture(scope="module")
def gappy(gaps) -> mme.Fit:
    return mme.lmer("y ~ x + f + (1 | grp)", gaps)


# -- levels -----------------------------------------------------------------------------------------------------------


def test_coefficients_of_a_level_are_the_fixed_effects_plus_its_blup(slopes):
    coef, b = slopes.coef()["Subject"], slopes.ranef()["Subject"]
    assert coef.columns.tolist() == ["(Intercept)", "Days"]
    np.testing.assert_allclose(coef, b + slopes.beta, rtol=1e-15)


def test_coefficients_without_a_random_part_are_the_same_in_all_levels_and_without_a_fixed_part_the_blup(sleep):
    fit = mme.lmer("Reaction ~ Days + (0 + I(Days^2) | Subject)", sleep)
    coef = fit.coef()["Subject"]
    assert coef.columns.tolist() == ["(Intercept)", "Days", "I(Days^2)"]
    assert (coef["Days"] == fit.beta["Days"]).all()
    assert (coef["I(Days^2)"] == fit.ranef()["Subject"]["I(Days^2)"]).all()


def test_terms_on_one_factor_are_joined_in_ranef_and_coef_and_apart_in_varcorr(sleep, slopes):
    fit = mme.lmer("Reaction ~ Days + (Days || Subject)", sleep)
    assert list(fit.ranef()) == list(fit.condvar()) == list(fit.pev()) == list(fit.coef()) == ["Subject"]
    assert list(fit.ranef(by="term")) == list(fit.varcorr) == ["Subject", "Subject.1"]
    assert fit.theta_names == ("Subject.(Intercept)", "Subject.Days")
    assert fit.coef()["Subject"].columns.tolist() == slopes.coef()["Subject"].columns.tolist()
    joined = fit.ranef()["Subject"] + fit.beta
    np.testing.assert_allclose(fit.coef()["Subject"], joined, rtol=1e-15)


def test_terms_that_share_a_coefficient_add_up_in_coef(sleep):
    fit = mme.lmer("Reaction ~ Days + (1 | Subject) + (Days | Subject)", sleep, theta=[0.5, 0.8, 0.1, 0.2])
    first, second = fit.ranef(by="term").values()
    intercepts = first["(Intercept)"] + second["(Intercept)"] + fit.beta["(Intercept)"]
    np.testing.assert_allclose(fit.coef()["Subject"]["(Intercept)"], intercepts, rtol=1e-15)


@pytest.mark.parametrize(
    ("formula", "name", "options"),
    [
        ("Reaction ~ Days + (1 | Subject)", "sleepstudy", {}),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", {}),
        ("Reaction ~ Days + (0 + Days | Subject)", "sleepstudy", {}),
        ("y ~ x + (1 | grp)", "sim_weights", {"weights": "w"}),
        ("yoff ~ x + (1 | grp)", "sim_weights", {"offset": "off"}),
        ("y ~ 0 + (1 | grp)", "sim_noint", {}),
        ("Yield ~ 1 + (1 | Batch)", "Dyestuff2", {}),
    ],
)
def test_partial_pooling_is_the_weighted_mean_of_the_pooled_and_the_levels_own_estimate(formula, name, options):
    data = load_data(name)
    fit = mme.lmer(formula, data, **options)
    for term, table in fit.shrinkage().items():
        # the level's own estimate solves its normal equations: the identity holds to their rounding
        scale = np.abs(table[["pooled", "no_pooling"]]).to_numpy().max()
        mean = table["pooled"] + table["weight"] * (table["no_pooling"] - table["pooled"])
        np.testing.assert_allclose(table["partial_pooling"], mean, rtol=0, atol=1e-11 * scale)
        assert table["weight"].between(0.0, 1.0).all()
        (column,) = fit.ranef()[term].columns
        np.testing.assert_allclose(table["partial_pooling"], fit.coef()[term][column], rtol=1e-14, atol=1e-14)
        assert table["n"].sum() == fit.nobs
    if fit.singular:
        assert (table["weight"] == 0.0).all()


def test_shrinkage_of_several_coefficients_has_a_row_for_each(slopes):
    table = slopes.shrinkage()["Subject"]
    assert table.index.names == ["Subject", "coefficient"]
    assert len(table) == 36
    np.testing.assert_allclose(table["partial_pooling"].unstack()[["(Intercept)", "Days"]], slopes.coef()["Subject"])
    own = table["no_pooling"].unstack().loc["308"]
    data = load_data("sleepstudy").query("Subject == '308'")
    np.testing.assert_allclose(own[["Days", "(Intercept)"]], np.polyfit(data["Days"], data["Reaction"], 1), rtol=1e-10)


def test_components_as_a_table_are_those_of_varcorr(slopes):
    table, part = slopes.varcorr.to_frame(), slopes.varcorr["Subject"]
    assert table["group"].tolist() == ["Subject", "Subject", "Subject", "Residual"]
    assert table["term1"].tolist() == ["(Intercept)", "Days", "(Intercept)", ""]
    assert table["term2"].fillna("").tolist() == ["", "", "Days", ""]
    np.testing.assert_allclose(table["variance"], [*np.diag(part.cov), part.cov[1, 0], slopes.sigma**2], rtol=1e-15)
    assert table["sd_or_corr"].tolist() == [*part.sd, part.corr[1, 0], slopes.sigma]


# -- predictions ------------------------------------------------------------------------------------------------------


def test_predictions_for_the_rows_of_the_fit_are_the_fitted_values(slopes, sleep):
    assert slopes.predict().equals(slopes.fitted)
    np.testing.assert_allclose(slopes.predict(sleep), slopes.fitted, rtol=1e-14)
    X = np.column_stack([np.ones(len(sleep)), sleep["Days"]])
    np.testing.assert_allclose(slopes.predict(random=False), X @ slopes.beta, rtol=1e-14)
    np.testing.assert_allclose(slopes.predict(sleep, random=False), X @ slopes.beta, rtol=1e-14)


def test_transformed_columns_are_made_for_new_rows_as_for_those_of_the_fit(sleep):
    fit = mme.lmer("log(Reaction) ~ poly(Days, 2) + (1 | Subject)", sleep)
    new = pd.DataFrame({"Days": [2.5, 11.0, 0.0], "Subject": ["308", "372", "999"]}, index=["a", "b", "c"])
    # R 4.2.2, lme4 1.1-31 (BOBYQA, rhoend 1e-9): predict(fit, new, allow.new.levels = TRUE), re.form = NA
    conditional = [5.7338777623417823, 5.9880376715415684, 5.5361762975881774]
    population = [5.6120704087676048, 5.9177290937128424, 5.5361762975881774]
    found = fit.predict(new, new_levels="population")
    assert found.index.tolist() == ["a", "b", "c"]
    # sigma is 0.09; both searches are within 1e-4 of standard errors that are below it
    np.testing.assert_allclose(found, conditional, rtol=0, atol=SEARCHED * fit.sigma)
    np.testing.assert_allclose(fit.predict(new, random=False), population, rtol=0, atol=SEARCHED * fit.sigma)


@pytest.mark.parametrize(
    "table",
    [
        lambda frame: frame,
        lambda frame: {name: frame[name].to_numpy() for name in frame},
        lambda frame: {name: frame[name].tolist() for name in frame},
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).to_arrow(),
    ],
    ids=["pandas", "dict of arrays", "dict of lists", "polars", "arrow"],
)
def test_any_table_predicts_the_same(slopes, sleep, table):
    new = sleep.iloc[[5, 60, 61]]
    np.testing.assert_allclose(slopes.predict(table(new)), slopes.fitted.iloc[[5, 60, 61]], rtol=1e-14)


def test_new_rows_need_neither_the_response_nor_for_the_population_the_groups(slopes, sleep):
    expected = slopes.predict(random=False).iloc[:4]
    np.testing.assert_allclose(slopes.predict(sleep[["Days", "Subject"]].head(4)), slopes.fitted[:4], rtol=1e-14)
    np.testing.assert_allclose(slopes.predict(sleep[["Days"]].head(4), random=False), expected, rtol=1e-14)


def test_a_level_that_the_fit_did_not_see_is_refused_by_name_or_given_the_population_value(slopes, sleep):
    new = sleep.head(3).assign(Subject=["308", "Max", "Eva"])
    with pytest.raises(mme.MMEError, match=r"'Subject' has 2 level.*'Eva', 'Max'.*new_levels='population'"):
        slopes.predict(new)
    found = slopes.predict(new, new_levels="population")
    assert found.iloc[0] == pytest.approx(slopes.fitted.iloc[0], rel=1e-14)
    np.testing.assert_allclose(found.iloc[1:], slopes.predict(random=False)[1:3], rtol=1e-14)
    np.testing.assert_allclose(slopes.predict(new, random=False), slopes.predict(random=False)[:3], rtol=1e-14)
    with pytest.raises(mme.MMEError, match="new_levels must be 'error' or 'population', got 'zero'"):
        slopes.predict(new, new_levels="zero")


def test_a_new_level_of_one_factor_leaves_the_effects_of_the_others():
    data = load_data("Penicillin")
    fit = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    found = fit.predict({"plate": ["a", "zz"], "sample": ["zz", "B"]}, new_levels="population")
    b = fit.ranef()
    known = [b["plate"].loc["a", "(Intercept)"], b["sample"].loc["B", "(Intercept)"]]
    np.testing.assert_allclose(found, fit.beta["(Intercept)"] + known, rtol=1e-14)
    with pytest.raises(mme.MMEError, match=r"grouping factor 'sample' has 1 level.*'zz'"):
        fit.predict({"plate": ["a"], "sample": ["zz"]})


def test_a_level_of_a_nested_factor_is_known_only_inside_its_own(sleep):
    data = load_data("Pastes")
    fit = mme.lmer("strength ~ 1 + (1 | batch/cask)", data)
    assert set(fit.ranef()) == {"cask:batch", "batch"}
    np.testing.assert_allclose(fit.predict(data.iloc[[7]]), fit.fitted.iloc[[7]], rtol=1e-14)
    with pytest.raises(mme.MMEError, match=r"grouping factor 'cask:batch' has 1 level.*'d:A'"):
        fit.predict({"batch": ["A"], "cask": ["d"]})


def test_new_rows_of_a_fit_from_arrays_are_a_matrix_and_terms(slopes, sleep):
    days = sleep["Days"].to_numpy()
    X = np.column_stack([np.ones(days.size), days])
    fit = mme.fit(sleep["Reaction"], X, [mme.Term(sleep["Subject"], X, name="Subject")])
    few = [3, 44, 170]
    new = (X[few], [mme.Term(sleep["Subject"].iloc[few], X[few], name="Subject")])
    np.testing.assert_allclose(fit.predict(new), fit.fitted[few], rtol=1e-14)
    np.testing.assert_allclose(fit.predict(new, random=False), X[few] @ fit.beta, rtol=1e-14)
    with pytest.raises(mme.MMEError, match="newdata must be a pair"):
        fit.predict(sleep)
    with pytest.raises(mme.MMEError, match="new X has 1 columns, the fit had 2"):
        fit.predict((X[few, :1], new[1]))
    with pytest.raises(mme.MMEError, match="the coefficients of the fit's terms"):
        fit.predict((X[few], [mme.Term(sleep["Subject"].iloc[few])]))


def test_predictions_add_an_offset_by_name_and_warn_when_it_was_an_array():
    data = load_data("sim_weights")
    named = mme.lmer("yoff ~ x + (1 | grp)", data, offset="off")
    given = mme.lmer("yoff ~ x + (1 | grp)", data, offset=data["off"].to_numpy())
    written = mme.lmer("yoff ~ x + offset(off) + (1 | grp)", data)
    for fit in (named, given, written):
        np.testing.assert_allclose(fit.fitted, named.fitted, rtol=1e-13)
        np.testing.assert_allclose(fit.predict(), named.fitted, rtol=1e-13)
    for fit in (named, written):
        np.testing.assert_allclose(fit.predict(data), named.fitted, rtol=1e-13)
    with pytest.warns(mme.MMEWarning, match="offset"):
        np.testing.assert_allclose(given.predict(data), named.fitted - data["off"], rtol=1e-12)


# -- rows with missing values -----------------------------------------------------------------------------------------


def test_results_are_aligned_with_the_users_rows(gappy, gaps):
    complete = gaps.notna().all(axis=1)
    assert gappy.n_dropped == 22 == (~complete).sum()
    assert gappy.nobs == 178
    for column in (gappy.fitted, gappy.residuals, gappy.predict(), gappy.predict(random=False)):
        assert column.index.equals(gaps.index)
        assert (column.notna() == complete).all()
    np.testing.assert_allclose(gappy.residuals[complete], (gaps["y"] - gappy.fitted)[complete], rtol=0, atol=1e-13)
    drawn = gappy.simulate(3, seed=1)
    assert drawn.shape == (200, 3)
    assert drawn.index.equals(gaps.index)
    assert (drawn.notna().all(axis=1) == complete).all()


def test_dropping_rows_beforehand_changes_nothing_but_the_alignment(gappy, gaps):
    fit = mme.lmer("y ~ x + f + (1 | grp)", gaps.dropna())
    assert fit.n_dropped == 0
    assert fit.criterion == gappy.criterion
    assert fit.fitted.equals(gappy.fitted.dropna())


def test_a_new_row_is_predicted_from_its_own_values_and_missing_where_one_of_them_is(gappy, gaps):
    found = gappy.predict(gaps, new_levels="population")
    able = gaps[["x", "f"]].notna().all(axis=1)
    assert found.index.equals(gaps.index)
    assert (found.notna() == able).all()  # a row without the response is not a row of the fit, but can be predicted
    kept = gappy.fitted.notna()
    np.testing.assert_allclose(found[kept], gappy.fitted[kept], rtol=1e-13)
    without = able & gaps["grp"].isna()
    population = gappy.predict(gaps, random=False)
    assert without.any()
    np.testing.assert_array_equal(found[without], population[without])
    assert (population.notna() == able).all()


def test_tables_without_an_index_get_positions(sleep):
    fit = mme.lmer(SLOPE, pl.from_pandas(sleep))
    assert fit.fitted.index.tolist() == list(range(180))
    assert mme.lmer(SLOPE, sleep.set_index(sleep.index + 1000)).residuals.index[0] == 1000


def test_plain_arrays_give_plain_arrays(sleep):
    X = np.column_stack([np.ones(180), sleep["Days"]])
    fit = mme.fit(sleep["Reaction"].to_numpy(), X, [mme.Term(sleep["Subject"])])
    for values in (fit.fitted, fit.residuals, fit.predict(), fit.simulate(seed=1)):
        assert type(values) is np.ndarray


# -- simulation and refit ---------------------------------------------------------------------------------------------


def test_simulated_responses_have_the_models_mean_and_covariance(slopes, sleep):
    draws = slopes.simulate(4000, seed=3).to_numpy()
    mean = slopes.predict(random=False).to_numpy()
    Z = np.column_stack([np.ones(10), sleep["Days"][:10]])
    V = Z @ slopes.varcorr["Subject"].cov @ Z.T + slopes.sigma**2 * np.eye(10)
    sd = np.tile(np.sqrt(np.diag(V)), 18)
    # 180 means and 200 covariances: none beyond five of its standard errors
    assert np.abs((draws.mean(axis=1) - mean) / sd).max() < 5 / np.sqrt(4000)
    same = np.cov(draws[:10])
    error = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / 4000)
    assert np.abs((same - V) / error).max() < 5
    across = np.cov(draws[:20])[:10, 10:]  # two subjects are independent
    assert np.abs(across / np.outer(sd[:10], sd[:10])).max() < 5 / np.sqrt(4000)


def test_simulated_residuals_have_the_variance_of_their_weights():
    data = load_data("sim_weights")
    fit = mme.lmer("y ~ x + (1 | grp)", data, weights="w", theta=[0.0])
    draws = fit.simulate(2000, seed=4).to_numpy()
    scaled = draws.var(axis=1) * data["w"] / fit.sigma**2
    assert np.abs(scaled - 1.0).max() < 5 * np.sqrt(2 / 2000)


def test_a_seed_makes_the_draws_repeatable(slopes):
    first = slopes.simulate(2, seed=7)
    assert first.equals(slopes.simulate(2, seed=7))
    assert first.equals(slopes.simulate(2, seed=np.random.default_rng(7)))
    assert not first.equals(slopes.simulate(2, seed=8))
    assert not slopes.simulate(2).equals(slopes.simulate(2))


@pytest.mark.parametrize("nsim", [0, -1, 1.5, "2"])
def test_a_number_of_simulations_is_a_positive_whole_number(slopes, nsim):
    with pytest.raises(mme.MMEError, match="nsim must be a whole number"):
        slopes.simulate(nsim)


@pytest.mark.parametrize("y", [lambda data: data["y"], lambda data: data["y"].to_numpy(), lambda data: data[["y"]]])
def test_refit_to_the_same_response_is_the_same_fit(gappy, gaps, y):
    again = gappy.refit(y(gaps))
    assert again.criterion == pytest.approx(gappy.criterion, rel=0, abs=GAIN)
    assert again.optimum.verdict == "minimum"
    assert again.formula == gappy.formula
    assert again.fitted.index.equals(gaps.index)


@pytest.mark.parametrize(
    ("formula", "name", "options"),
    [
        (SLOPE, "sleepstudy", {"method": "ML"}),
        ("y ~ x + f + (1 | grp)", "sim_missing", {}),
        ("y ~ x + (x | grp)", "sim_weights", {"weights": "w"}),
        ("yoff ~ x + (1 | grp)", "sim_weights", {"offset": "off"}),
    ],
)
def test_refit_to_simulated_responses_is_the_fit_to_that_response(formula, name, options):
    data = load_data(name)
    response = formula.split(" ~ ")[0]
    fit = mme.lmer(formula, data, **options)
    draws = fit.simulate(3, seed=11)
    for y in (draws[draw] for draw in draws):
        again, fresh = fit.refit(y), mme.lmer(formula, data.assign(**{response: y}), **options)
        assert again.criterion == pytest.approx(fresh.criterion, rel=0, abs=2 * GAIN)
        assert again.optimum.verdict in ("minimum", "minimum on the boundary")
        assert again.method == fit.method
        ours, theirs = (one.predict(data, new_levels="population") for one in (again, fresh))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2 * SEARCHED * fit.sigma)


def test_refit_takes_a_response_for_the_rows_used_alone(gappy, gaps):
    used = gaps["y"][gappy.fitted.notna()]
    assert gappy.refit(used).criterion == pytest.approx(gappy.criterion, rel=0, abs=GAIN)


@pytest.mark.parametrize("residual", [None, mme.AR1("Days", "Subject")])
def test_a_theta_that_was_given_stays_in_refits_and_replicates(sleep, residual):
    """Phi is estimated either way."""
    fit = mme.lmer(SLOPE, sleep, theta=[0.9, 0.0, 0.2], residual=residual)
    y = sleep["Reaction"].iloc[::-1].to_numpy()
    again = fit.refit(y)
    fresh = mme.lmer(SLOPE, sleep.assign(Reaction=y), theta=[0.9, 0.0, 0.2], residual=residual)
    assert fit.internals.theta_given
    assert again.internals.theta_given
    assert again.theta.tolist() == fit.theta.tolist()
    assert again.criterion == pytest.approx(fresh.criterion, abs=GAIN)
    assert fit.bootstrap(3, seed=1, workers=1).theta.tolist() == [fit.theta.tolist()] * 3
    with pytest.raises(mme.MMEError, match="theta of this fit was given"):
        fit.profile()


def test_refit_leaves_the_first_fit_alone(slopes, sleep):
    before = slopes.criterion, slopes.theta.tolist(), slopes.fitted.tolist()
    slopes.refit(2.0 * sleep["Reaction"])
    assert before == (slopes.criterion, slopes.theta.tolist(), slopes.fitted.tolist())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(5), "'Reaction' has 5 values for the 180 rows"),
        (3.0, "'Reaction' has 1 values for the 180 rows"),
        (np.zeros((180, 2)), "fit the response 'Reaction' exactly"),
        (np.full(180, np.nan), "'Reaction' has 180 missing"),
        (["a"] * 180, "'Reaction' must be numeric"),
        (np.ones(180), "fit the response 'Reaction' exactly"),
    ],
)
def test_refit_refuses_a_response_that_does_not_fit_the_rows(slopes, y, message):
    with pytest.raises(mme.MMEError, match=message):
        slopes.refit(y)


# -- fixed effects ----------------------------------------------------------------------------------------------------


def test_wald_intervals_are_those_of_lme4(slopes):
    # R 4.2.2, lme4 1.1-31: confint(fit, method = "Wald", level = ...)
    stored = {
        0.90: [[240.179709527546180, 262.630500169426000], [7.924689427587353, 13.009882491604726]],
        0.95: [[238.0292213165006956, 264.78098838047151], [7.4375953243329107, 13.49697659485917]],
    }
    for level, intervals in stored.items():
        found = slopes.confint(level=level, ddf="none")
        assert found.index.tolist() == ["(Intercept)", "Days"]
        # an end moves by 1.6 or 2 times what the standard error does
        assert (np.abs(found - np.array(intervals)).to_numpy() < 3 * SEARCHED * slopes.se.to_numpy()[:, None]).all()
    np.testing.assert_allclose(slopes.confint(method="wald", level=0.95), slopes.confint(), rtol=0)


def test_table_of_coefficients_is_estimate_error_and_their_ratio_against_the_normal(slopes):
    table = slopes.coefficients(ddf="none")
    assert table.columns.tolist() == ["estimate", "se", "df", "t", "p"]
    assert table["estimate"].equals(slopes.beta.rename("estimate"))
    assert np.isinf(table["df"]).all()
    np.testing.assert_allclose(table["t"], slopes.beta / slopes.se, rtol=1e-15)
    np.testing.assert_allclose(table["p"], 2 * norm.sf(np.abs(table["t"])), rtol=1e-12)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.5])
def test_a_level_of_confidence_lies_between_zero_and_one(slopes, level):
    with pytest.raises(mme.MMEError, match="between 0 and 1"):
        slopes.confint(level=level)


def test_criterion_of_sas_does_not_depend_on_how_x_is_coded(sleep):
    raw = mme.lmer("Reaction ~ Days + I(Days^2) + (1 | Subject)", sleep)
    orthogonal = mme.lmer("Reaction ~ poly(Days, 2) + (1 | Subject)", sleep)
    assert abs(raw.criterion - orthogonal.criterion) > 1  # 2 log|T|, X = X' T
    assert raw.criterion_contrasts == pytest.approx(orthogonal.criterion_contrasts, rel=0, abs=2 * GAIN)
    X = raw.internals.model.X
    assert raw.criterion - raw.criterion_contrasts == pytest.approx(np.linalg.slogdet(X.T @ X)[1], rel=1e-12)
    ml = mme.lmer("Reaction ~ Days + (1 | Subject)", sleep, method="ML")
    assert ml.criterion_contrasts == ml.criterion


def test_dropped_columns_do_not_change_the_fit():
    data = load_data("sleepstudy").assign(Hours=lambda d: 24 * d["Days"], zero=0.0)
    fit = mme.lmer("Reaction ~ Days + Hours + zero + (1 | Subject)", data)
    plain = mme.lmer("Reaction ~ Days + (1 | Subject)", data)
    assert fit.dropped == ("Hours", "zero")
    assert fit.fixed_names == plain.fixed_names
    assert fit.criterion == pytest.approx(plain.criterion, rel=1e-13)
    assert fit.dof == plain.dof
    np.testing.assert_allclose(fit.predict(data.head(3)), plain.predict(data.head(3)), rtol=1e-6)


# -- comparison of fits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"weights": "w"}, {"residual": mme.AR1("Days", "Subject")}])
@pytest.mark.parametrize("bars", ["(1 | Subject)", "(0 + Days | Subject)"])
def test_partial_pooling_lies_between_the_levels_own_estimate_and_the_population_by_its_weight(sleep, bars, options):
    data = sleep.assign(w=np.tile([1.0, 0.5, 2.0], 60))
    fit = mme.lmer(f"Reaction ~ Days + {bars}", data, **options)
    table = fit.shrinkage()["Subject"]
    expected = table["pooled"] + table["weight"] * (table["no_pooling"] - table["pooled"])
    np.testing.assert_allclose(table["partial_pooling"], expected, rtol=1e-10)
    # generalised least squares of the first level's records alone
    here, term = np.arange(10), fit.internals.model.terms[0]
    R = (
        np.eye(10)
        if fit.internals.model.residual is None
        else fit.internals.model.residual.covariance(fit.optimum.phi, here)
    )
    R = R if fit.internals.model.weights is None else R / np.sqrt(np.outer(data["w"][:10], data["w"][:10]))
    z = np.ones(10) if term.covariates is None else term.covariates[:10, 0]
    left = fit.internals.model.y[:10] - fit.internals.model.X[:10] @ fit.beta.to_numpy()
    own = z @ np.linalg.solve(R, left) / (z @ np.linalg.solve(R, z))
    assert table["no_pooling"].iloc[0] == pytest.approx(own + table["pooled"].iloc[0], rel=1e-10)


def test_likelihood_ratio_tests_are_those_of_lme4(sleep):
    formulas = ["Reaction ~ 1 + (1 | Subject)", "Reaction ~ Days + (1 | Subject)", SLOPE]
    fits = [mme.lmer(formula, sleep, method="ML") for formula in formulas]
    # R 4.2.2, lme4 1.1-31 (BOBYQA, rhoend 1e-9): anova(m0, m1, m2)
    stored = {
        "npar": [3, 4, 6],
        "aic": [1916.5410580730584, 1802.0786430052256, 1763.9393444631976],
        "bic": [1926.1199286257290, 1814.8504704087864, 1783.0970855685389],
        "loglik": [-955.27052903652918, -897.03932150261278, -875.96967223159879],
        "deviance": [1910.5410580730584, 1794.0786430052256, 1751.9393444631976],
        "chisq": [np.nan, 116.462415067832808, 42.139298542027973],
        "df": [np.nan, 1, 2],
    }
    table = mme.anova(*fits[::-1])  # in any order
    assert table.index.tolist() == formulas
    for column, values in stored.items():
        np.testing.assert_allclose(table[column], values, rtol=0, atol=4 * GAIN)
    # d log p = - d chisq / 2 or so
    np.testing.assert_allclose(table["p"], [np.nan, 3.7644614765456403e-27, 7.0724125471890204e-10], rtol=4 * GAIN)


def test_reml_fits_with_the_same_fixed_effects_are_compared_as_in_lme4(sleep):
    random = ["(1 | Subject)", "(Days || Subject)", "(Days | Subject)"]
    table = mme.anova(*(mme.lmer(f"Reaction ~ Days + {bars}", sleep) for bars in random))
    # R 4.2.2, lme4 1.1-31: anova(r1, r2, r3, refit = FALSE)
    np.testing.assert_allclose(
        table["deviance"], [1786.4650853949211, 1743.6692935813123, 1743.6282719584910], rtol=1e-11
    )
    np.testing.assert_allclose(table["bic"], [1807.2369127984819, 1769.6340778357635, 1774.7860130638323], rtol=1e-11)
    np.testing.assert_allclose(
        table["chisq"], [np.nan, 42.795791813608730, 0.041021622821290293], rtol=0, atol=4 * GAIN
    )
    np.testing.assert_allclose(table["p"], [np.nan, 6.0762730989037839e-11, 8.3949619016477339e-01], rtol=1e-6)


def test_reml_fits_with_the_same_fixed_effects_in_another_coding_are_comparable(sleep):
    raw = mme.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    centred = mme.lmer("Reaction ~ scale(Days) + (Days | Subject)", sleep)
    assert len(mme.anova(raw, centred)) == 2


def test_reml_fits_that_differ_in_the_residuals_alone_are_comparable(sleep):
    plain = mme.lmer(SLOPE, sleep)
    ar1 = mme.lmer(SLOPE, sleep, residual=mme.AR1("Days", "Subject"))
    table = mme.anova(plain, ar1)
    assert table["chisq"].iloc[1] == pytest.approx(plain.criterion - ar1.criterion, rel=1e-12)
    assert table["df"].iloc[1] == 1


def test_fits_that_are_not_of_the_same_data_are_not_compared(sleep, slopes):
    ml = mme.lmer(SLOPE, sleep, method="ML")
    null = mme.lmer("Reaction ~ 1 + (1 | Subject)", sleep)
    shorter = mme.lmer(SLOPE, sleep.iloc[:170])
    other = mme.lmer(SLOPE, sleep.assign(Reaction=sleep["Reaction"] + 1.0))
    refusals = [
        ((slopes, null), "REML fits with different fixed effects"),
        ((slopes, ml), "cannot compare REML with ML"),
        ((slopes, shorter), "180, 170 records"),
        ((slopes, other), "do not share their records"),
        ((), "compares two or more fits, got 0"),
        ((slopes, "days"), "compares fits .* got str"),
    ]
    for fits, message in refusals:
        with pytest.raises(mme.MMEError, match=message):
            mme.anova(*fits)


def test_equal_formulas_are_numbered(sleep):
    same = [mme.lmer(SLOPE, sleep, method="ML") for _ in range(2)]
    table = mme.anova(*same)
    assert table.index.tolist() == [f"{SLOPE} [1]", f"{SLOPE} [2]"]
    assert np.isnan(table["p"].iloc[1])  # no parameter between them: nothing to test


# -- known variances --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    """13 trials of the BCG vaccine (Colditz et al. 1994, JAMA 271:698-702): log risk ratios and their variances."""
    ill = np.array([4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27])
    well = np.array([119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886])
    ill_control = np.array([11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29])
    well_control = np.array([128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825])
    treated, control = ill + well, ill_control + well_control
    y = np.log(ill / treated) - np.log(ill_control / control)
    v = 1 / ill - 1 / treated + 1 / ill_control - 1 / control
    return pd.DataFrame({"y": y, "w": 1 / v, "trial": [f"t{i:02d}" for i in range(13)]})


def test_meta_analysis_with_known_sampling_variances_is_that_of_the_literature(trials):
    # The standard example of R's metafor, rma(yi, vi, data = dat.bcg) by REML: tau^2 0.3132, mu -0.7145 (se 0.1798),
    # -2 log-likelihood 24.4047 (its constant keeps log|X'X|).
    fit = mme.lmer("y ~ 1 + (1 | trial)", trials, weights="w", sigma=1.0)
    assert fit.sigma == 1.0
    assert round(float(fit.varcorr["trial"].cov[0, 0]), 4) == 0.3132
    assert round(fit.beta.iloc[0], 4) == -0.7145
    assert round(fit.se.iloc[0], 4) == 0.1798
    assert round(fit.criterion_contrasts, 4) == 24.4047
    assert fit.dof == 2  # mu and tau: sigma is known


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_fixed_sigma_maximises_the_dense_likelihood(trials, method):
    y, w = trials["y"].to_numpy(), trials["w"].to_numpy()
    X = np.ones((13, 1))

    def dense(theta):
        return dense_fit(y, X, [(np.eye(13), np.array([[theta]]), None)], w, method, sigma=1.0)

    best = minimize_scalar(lambda t: dense(t).criterion, bounds=(0.1, 2.0), method="bounded", options={"xatol": 1e-9})
    fit = mme.fit(y, X, [mme.Term(trials["trial"], name="trial")], weights=w, sigma=1.0, method=method)
    assert fit.criterion == pytest.approx(best.fun, rel=0, abs=GAIN)
    curvature = (dense(best.x + 1e-3).criterion + dense(best.x - 1e-3).criterion - 2 * best.fun) / 1e-6
    assert fit.theta[0] == pytest.approx(best.x, rel=0, abs=np.sqrt(2 * GAIN / curvature))
    same = mme.fit(y, X, [mme.Term(trials["trial"])], weights=w, sigma=1.0, method=method, theta=[best.x])
    exact = dense(best.x)
    assert same.criterion == pytest.approx(exact.criterion, rel=0, abs=1e-12)
    np.testing.assert_allclose(same.ranef()["g"].to_numpy().ravel(), exact.b, rtol=1e-11)
    np.testing.assert_allclose(same.condvar()["g"].ravel(), np.diag(exact.condvar), rtol=1e-11)
    np.testing.assert_allclose(same.pev()["g"].ravel(), np.diag(exact.pev), rtol=1e-11)
    np.testing.assert_allclose(same.beta_cov, exact.beta_cov, rtol=1e-11)


def test_fixed_sigma_at_its_estimate_is_the_same_fit(sleep, slopes):
    fixed = mme.lmer(SLOPE, sleep, sigma=slopes.sigma)
    # With sigma at its profile value the criterion has the same minimum, up to d(pwrss)/sigma^2 of second order
    assert fixed.criterion == pytest.approx(slopes.criterion, rel=0, abs=2 * GAIN)
    assert fixed.dof == slopes.dof - 1
    assert "given" in fixed.summary()


def test_given_theta_is_evaluated_without_a_search(sleep, slopes):
    theta = [0.9, 0.05, 0.2]
    fit = mme.lmer(SLOPE, sleep, theta=theta)
    assert fit.theta.tolist() == theta
    assert fit.optimum.verdict == "given"
    assert fit.optimum.evaluations == 1
    assert fit.criterion == pytest.approx(slopes.internals.objective(theta), rel=1e-14)
    assert fit.criterion > slopes.criterion
    assert fit.dof == 3  # beta and sigma
    flipped = mme.lmer(
        SLOPE, sleep, theta=[-0.9, -0.05, 0.2]
    )  # the same covariance: T and T with a column's sign changed
    assert flipped.theta.tolist() == theta
    assert flipped.criterion == fit.criterion


def test_theta_of_zero_is_least_squares(sleep):
    fit = mme.lmer(SLOPE, sleep, theta=[0.0, 0.0, 0.0])
    X = np.column_stack([np.ones(180), sleep["Days"]])
    beta, rss = np.linalg.lstsq(X, sleep["Reaction"], rcond=None)[:2]
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-12)
    assert fit.sigma**2 == pytest.approx(rss[0] / 178, rel=1e-12)
    assert (fit.ranef()["Subject"] == 0.0).all(axis=None)
    assert (fit.condvar()["Subject"] == 0.0).all()


# -- arrays and formulas ----------------------------------------------------------------------------------------------


def test_arrays_and_formula_are_one_fit(sleep, slopes):
    X = pd.DataFrame({"(Intercept)": 1.0, "Days": sleep["Days"]})
    fit = mme.fit(sleep["Reaction"], X, [mme.Term(sleep["Subject"], X, name="Subject")])
    assert fit.criterion == slopes.criterion
    assert fit.theta.tolist() == slopes.theta.tolist()
    assert fit.theta_names == slopes.theta_names
    assert fit.beta.equals(slopes.beta)
    pd.testing.assert_frame_equal(fit.ranef()["Subject"], slopes.ranef()["Subject"])
    for sparse in ("toarray", "tocsr"):
        Z = getattr(mme.Term(sleep["Subject"], X).Z, sparse)()
        np.testing.assert_allclose(Z @ fit.ranef()["Subject"].to_numpy().ravel(), fit.fitted - X @ fit.beta, rtol=1e-9)


def test_a_diagonal_term_is_the_sum_of_its_columns_as_terms(sleep):
    X = pd.DataFrame({"(Intercept)": 1.0, "Days": sleep["Days"]})
    diagonal = mme.fit(sleep["Reaction"], X, [mme.Term(sleep["Subject"], X, name="Subject", covariance="diagonal")])
    bars = mme.lmer("Reaction ~ Days + (Days || Subject)", sleep)
    apart = [mme.Term(sleep["Subject"], X[[name]], name="Subject") for name in X]
    for other in (bars, mme.fit(sleep["Reaction"], X, apart)):
        assert other.criterion == pytest.approx(diagonal.criterion, rel=0, abs=GAIN)
        np.testing.assert_allclose(other.theta, diagonal.theta, rtol=SEARCHED)
        at = mme.fit(sleep["Reaction"], X, apart, theta=diagonal.theta)
        np.testing.assert_allclose(at.ranef()["Subject"], diagonal.ranef()["Subject"], rtol=1e-9)
    one = diagonal.condvar()["Subject"]
    assert one.shape == (18, 2, 2)
    np.testing.assert_allclose(at.condvar()["Subject"], one, rtol=1e-9)
    for a, part in enumerate(at.condvar(by="term").values()):
        np.testing.assert_allclose(part[:, 0, 0], one[:, a, a], rtol=1e-9)


def test_identical_terms_share_one_variance(sleep):
    # (1 | g) + (1 | g): only the sum of the two variances is in the data
    twice = mme.lmer("Reaction ~ Days + (1 | Subject) + (1 | Subject)", sleep)
    once = mme.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    assert twice.criterion == pytest.approx(once.criterion, rel=0, abs=GAIN)
    assert np.hypot(*twice.theta) == pytest.approx(once.theta[0], rel=1e-4)
    assert once.coef()["Subject"].to_numpy() == pytest.approx(twice.coef()["Subject"].to_numpy(), rel=1e-4)


def test_weights_and_offset_by_name_by_expression_and_as_arrays_are_the_same():
    data = load_data("sim_weights")
    by_name = mme.lmer("yoff ~ x + (1 | grp)", data, weights="w", offset="off")
    as_arrays = mme.lmer("yoff ~ x + (1 | grp)", data, weights=data["w"].to_numpy(), offset=data["off"])
    expression = mme.lmer("yoff ~ x + (1 | grp)", data, weights="2 * w / 2", offset="off + 0")
    X = np.column_stack([np.ones(len(data)), data["x"]])
    arrays = mme.fit(data["yoff"], X, [mme.Term(data["grp"])], weights=data["w"], offset=data["off"])
    moved = mme.fit(data["yoff"] - data["off"], X, [mme.Term(data["grp"])], weights=data["w"])
    for other in (as_arrays, expression, arrays, moved):
        assert other.criterion == pytest.approx(by_name.criterion, rel=1e-13)
    np.testing.assert_allclose(moved.fitted + data["off"], by_name.fitted, rtol=1e-12)


def test_a_model_without_fixed_effects_is_that_of_lme4(sleep):
    fit = mme.lmer("Reaction ~ 0 + (1 | Subject)", sleep)
    # R 4.2.2, lme4 1.1-31 (BOBYQA, rhoend 1e-9); without fixed effects REML is ML
    assert fit.criterion == pytest.approx(1985.6796909429975, rel=0, abs=GAIN)
    assert fit.sigma == pytest.approx(44.25906900560, rel=SEARCHED)
    assert fit.varcorr["Subject"].sd[0] == pytest.approx(300.50523934238, rel=SEARCHED)
    found = fit.ranef()["Subject"]["(Intercept)"].loc[["308", "309"]]
    np.testing.assert_allclose(found, [341.39327824121801, 214.76710627483553], rtol=1e-5)
    assert fit.criterion == mme.lmer("Reaction ~ 0 + (1 | Subject)", sleep, method="ML").criterion
    assert fit.beta.empty
    assert fit.beta_cov.shape == (0, 0)
    assert fit.coefficients().empty
    assert (fit.predict(random=False) == 0.0).all()
    np.testing.assert_array_equal(fit.condvar()["Subject"], fit.pev()["Subject"])
    assert "Fixed effects" not in fit.summary()
    assert fit.refit(sleep["Reaction"]).criterion == pytest.approx(fit.criterion, rel=0, abs=GAIN)


def test_a_model_without_random_terms_is_least_squares(sleep):
    X = np.column_stack([np.ones(180), sleep["Days"]])
    fit = mme.fit(sleep["Reaction"], X, [])
    beta, rss = np.linalg.lstsq(X, sleep["Reaction"], rcond=None)[:2]
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-12)
    assert fit.sigma**2 == pytest.approx(rss[0] / 178, rel=1e-12)
    np.testing.assert_allclose(fit.beta_cov, fit.sigma**2 * np.linalg.inv(X.T @ X), rtol=1e-12)
    assert fit.ranef() == fit.coef() == fit.shrinkage() == {}
    assert fit.dof == 3


def test_fifteen_variance_parameters_end_at_a_stationary_point():
    rng = np.random.default_rng(5)
    J, n, q = 60, 12, 5
    groups = np.repeat(np.arange(J), n)
    X = np.column_stack([np.ones(J * n), rng.standard_normal((J * n, q - 1))])
    T = np.tril(rng.standard_normal((q, q)), -1) + np.eye(q)
    b = rng.standard_normal((J, q)) @ T.T
    y = X.sum(axis=1) + np.einsum("ia,ia->i", X, b[groups]) + rng.standard_normal(J * n)
    fit = mme.fit(y, X, [mme.Term(groups, X)])
    assert fit.theta.size == 15
    assert fit.optimum.verdict == "minimum"
    # one step of EM returns the covariance (tests/test_worked.py)
    effects = fit.ranef()["g"].to_numpy()
    again = effects.T @ effects / J + fit.pev()["g"].mean(axis=0)
    root = np.linalg.inv(np.linalg.cholesky(fit.varcorr["g"].cov))
    np.testing.assert_allclose(root @ again @ root.T, np.eye(q), rtol=0, atol=q * SEARCHED)


# -- the search as it is seen -----------------------------------------------------------------------------------------


def test_progress_is_silent_by_default_and_a_line_an_evaluation_on_request(sleep, capsys):
    mme.lmer(SLOPE, sleep)
    assert capsys.readouterr() == ("", "")
    fit = mme.lmer(SLOPE, sleep, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == fit.optimum.evaluations
    assert lines[0].split()[0] == "1"
    assert all("theta" in line for line in lines)
    assert min(float(line.split()[1]) for line in lines) == pytest.approx(fit.criterion, abs=1e-7)


def test_a_callable_sees_every_evaluation_in_the_users_units(sleep):
    seen = []
    fit = mme.lmer(
        SLOPE, sleep, progress=lambda evaluation, value, theta: seen.append((evaluation, value, theta.copy()))
    )
    assert [evaluation for evaluation, _, _ in seen] == list(range(1, fit.optimum.evaluations + 1))
    _, value, theta = min(seen, key=lambda step: step[1])
    assert value == fit.optimum.criterion
    np.testing.assert_allclose(fit.internals.model.canonical(theta), fit.theta, rtol=1e-12)


def test_optimum_and_engine_say_what_was_done(slopes):
    text = str(slopes.optimum)
    assert text.startswith(f"minimum after {slopes.optimum.evaluations} evaluations")
    assert slopes.optimum.gradient.shape == (3,)
    assert np.abs(slopes.optimum.gradient).max() < 2 * SEARCHED  # in standard errors
    assert slopes.engine.absorbed == "Subject"
    assert str(slopes.engine).startswith("absorbed: Subject")
    assert slopes.engine.n_random == 36
    assert set(slopes.engine.seconds) >= {"conditioning", "cross-products", "search", "formula"}
    assert all(seconds >= 0 for seconds in slopes.engine.seconds.values())


def test_a_stage_takes_no_longer_than_the_call_that_it_is_part_of(slopes):
    began = perf_counter()
    other = slopes.refit(slopes.internals.model.y[::-1])
    assert 0.0 <= other.engine.seconds["response"] <= perf_counter() - began


def test_crossed_terms_are_reported_with_what_is_left_after_absorption():
    fit = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", load_data("Penicillin"))
    assert fit.engine.absorbed == "plate"
    assert (fit.engine.n_random, fit.engine.n_remainder) == (30, 6)
    assert fit.engine.nnz_L >= 6
    assert "plate" in str(fit.engine)


def test_a_singular_fit_is_a_result_with_a_flag_and_a_sentence():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff2"))
    assert fit.singular
    assert fit.optimum.boundary == ("Batch.(Intercept)",)
    assert "at the edge: Batch.(Intercept)" in str(fit.optimum)
    assert fit.varcorr["Batch"].sd.tolist() == [0.0]
    assert (fit.ranef()["Batch"] == 0.0).all(axis=None)
    assert "ingular" in fit.summary()


def test_a_fit_shows_itself_as_text_and_as_html(slopes):
    assert repr(slopes) == slopes.summary()
    for text in ("REML criterion", "Subject", "Residual", "Days", "Number of obs: 180"):
        assert text in slopes.summary()
    html = slopes._repr_html_()
    assert html.count("<table") >= 2
    assert "Subject" in html
    assert "sd" in repr(slopes.varcorr["Subject"])
    assert "Residual" in repr(slopes.varcorr)
    assert repr(slopes.internals.model.terms[0]) == "Term('Subject': 18 levels x (Intercept), Days)"


# -- a fit is its own -------------------------------------------------------------------------------------------------


def test_changing_the_input_afterwards_changes_nothing(sleep):
    n = 180
    y, days = sleep["Reaction"].to_numpy().copy(), sleep["Days"].to_numpy().copy()
    X = np.asfortranarray(np.column_stack([np.ones(n), days]))
    Z, codes = X.copy(), np.repeat(np.arange(18), 10)
    weights, offset, theta = np.ones(n), np.zeros(n), np.array([0.9, 0.05, 0.2])
    term = mme.Term(codes, Z, name="Subject")
    fit = mme.fit(y, X, [term], weights=weights, offset=offset, theta=theta)
    same = mme.fit(y, X, [term], weights=weights, offset=offset, theta=theta)
    expected = same.summary(), same.fitted.copy(), same.shrinkage()["Subject"], same.simulate(seed=1)
    for array in (y, X, Z, codes, weights, offset, theta):
        array *= 0
    assert fit.theta.tolist() == [0.9, 0.05, 0.2]
    assert fit.summary() == expected[0]
    np.testing.assert_array_equal(fit.fitted, expected[1])
    pd.testing.assert_frame_equal(fit.shrinkage()["Subject"], expected[2])
    np.testing.assert_array_equal(fit.simulate(seed=1), expected[3])


def test_changing_a_table_afterwards_changes_nothing(sleep):
    data = sleep.assign(w=1.0)
    fit = mme.lmer(SLOPE, data, weights="w")
    expected = mme.lmer(SLOPE, data, weights="w").fitted
    data.loc[:, ["Reaction", "Days", "w"]] = -1.0
    data["Subject"] = "nobody"
    assert fit.fitted.equals(expected)


def test_fitting_changes_neither_table_nor_arrays(sleep):
    data = sleep.copy()
    X = np.column_stack([np.ones(180), data["Days"]])
    before = X.copy()
    mme.lmer(SLOPE, data).summary()
    mme.fit(data["Reaction"], X, [mme.Term(data["Subject"], X)]).summary()
    assert data.equals(sleep)
    assert np.array_equal(X, before)


def test_changing_what_a_fit_returns_does_not_change_the_fit(sleep):
    fit = mme.lmer(SLOPE, sleep)
    text, b = fit.summary(), fit.ranef()["Subject"].copy()
    for table in (fit.ranef()["Subject"], fit.coef()["Subject"], fit.shrinkage()["Subject"]):
        table.iloc[:, :] = 0.0
    assert fit.summary() == text
    pd.testing.assert_frame_equal(fit.ranef()["Subject"], b)


def test_a_fit_survives_pickling(slopes, sleep):
    twin = pickle.loads(pickle.dumps(slopes))
    assert twin.summary() == slopes.summary()
    assert twin.predict(sleep.head(3)).equals(slopes.predict(sleep.head(3)))
    assert twin.refit(sleep["Reaction"]).criterion == pytest.approx(slopes.criterion, rel=0, abs=GAIN)


def test_a_fit_whose_factor_is_sparse_survives_pickling():
    rng = np.random.default_rng(6)
    terms = [mme.Term(rng.integers(0, 900, 3600), name=name) for name in ("user", "item")]
    fit = mme.fit(rng.standard_normal(3600), np.ones((3600, 1)), terms, theta=[0.5, 0.5])
    assert "CHOLMOD" in fit.engine.remainder
    expected = fit.criterion, fit.condvar()["item"].tolist()
    twin = pickle.loads(pickle.dumps(fit))
    assert (twin.criterion, twin.condvar()["item"].tolist()) == expected
    assert twin.internals.objective([0.4, 0.6]) == fit.internals.objective([0.4, 0.6])
