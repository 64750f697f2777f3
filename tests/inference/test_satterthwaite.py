"""Satterthwaite's degrees of freedom: lmerTest's on every reference case, the definition, and closed forms."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cases import lme4_case_names, load_case, load_data, private_cases
from counting import evaluations
from fits import at, judged
from oracles import satterthwaite
from scipy.special import fdtrc

import mme
from mme.inference.fixed.satterthwaite import is_off
from mme.inference.fixed.shown import fixed_tests
from mme.numeric.limits import Limits, within
from mme.results.genetics import evaluation_operations

# Share of a degree of freedom by which lmerTest's numerical Hessian and our differences may be off together.
SAME = 5e-6
# Weak references, see tests/reference/README.md: lmerTest is off where y is near 1e9 and where theta is near 1e4.
WEAK = ("sim_bigoffset9_reml", "sim_ratio_huge_ml", "sim_ratio_huge_reml")
# A search ends within this many standard errors of the minimum; standard errors follow, degrees of freedom do not.
SEARCHED = 1.5e-4


@pytest.fixture(scope="module", params=[*lme4_case_names(), *private_cases("tlc")])
def compared(request):
    """The stored case, the fit as it was searched, and the same fit at the stored theta."""
    case = load_case(request.param)
    if "satterthwaite" not in case.json:
        pytest.skip("the reference has no degrees of freedom")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = case.fit()
        return case, fit, at(fit, case.json["theta"])


def test_degrees_of_freedom_are_those_of_lmertest(compared):
    case, searched, same = compared
    if case.name in WEAK:
        pytest.skip("weak reference")
    stored = case.json["satterthwaite"]["df"]
    np.testing.assert_allclose(same.coefficients()["df"], stored, rtol=SAME)
    np.testing.assert_allclose(searched.coefficients()["df"], stored, rtol=2 * SAME)


def test_t_and_p_are_those_of_lmertest(compared):
    case, searched, same = compared
    stored = {name: np.array(case.json["satterthwaite"][name]) for name in ("df", "t", "p")}
    theta = 1e-8 if case.name not in WEAK else 1e-4
    np.testing.assert_allclose(same.coefficients()["t"], stored["t"], rtol=theta, atol=1e-12)
    np.testing.assert_allclose(searched.coefficients()["t"], stored["t"], rtol=theta + SEARCHED, atol=1e-12)
    if case.name in WEAK:
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        t, df = stored["t"], stored["df"]
        # how the logarithm of p moves with that of df
        steep = np.abs(np.log(fdtrc(1.0, df * (1 + 1e-4), t**2) / fdtrc(1.0, df, t**2))) / 1e-4
    kept = stored["p"] > 0.0
    found = same.coefficients()["p"].to_numpy()[kept] / stored["p"][kept]
    assert (np.abs(found - 1) <= (1e-7 + 2 * SAME * (1 + steep))[kept]).all()


def test_f_tests_of_terms_are_those_of_lmertest(compared):
    case, searched, same = compared
    stored = case.json["satterthwaite"]["anova_III"]
    if case.name in WEAK:
        pytest.skip("weak reference")
    for fit, F, df in ((same, 2e-7, SAME), (searched, 2 * SEARCHED, 2 * SAME)):
        table = fit.anova()
        # a term of which the data leave no column has no test
        tested = [number is not None and number > 0 for number in stored["NumDF"]]
        assert sorted(table.index) == sorted(np.array(stored["terms"])[tested])
        table = table.loc[np.array(stored["terms"])[tested]]
        for column, values, digits in (("num_df", "NumDF", 0.0), ("den_df", "DenDF", df), ("F", "F", F)):
            np.testing.assert_allclose(table[column], np.array(stored[values], dtype=float)[tested], rtol=digits)


# -- closed forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formula", "batches"),
    [
        ("Dyestuff", "Yield ~ 1 + (1 | Batch)", 6),
        ("sim_ratio", "yhuge ~ 1 + (1 | grp)", 300),
        ("sim_ratio", "ytiny ~ 1 + (1 | grp)", None),
    ],
)
def test_mean_of_a_balanced_layout_has_one_degree_of_freedom_less_than_batches(name, formula, batches):
    data = load_data(name)
    fit = mme.lmer(formula, data)
    batches = batches or data["grp"].nunique()
    assert fit.coefficients()["df"].iloc[0] == pytest.approx(batches - 1, rel=2e-6)


def test_slope_within_the_levels_of_a_balanced_layout_has_the_residual_degrees_of_freedom():
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", load_data("sleepstudy"))
    assert fit.coefficients()["df"]["Days"] == pytest.approx(180 - 18 - 1, rel=1e-6)
    slopes = mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))
    np.testing.assert_allclose(slopes.coefficients()["df"], 17, rtol=2e-6)


def test_without_random_terms_tests_are_those_of_least_squares():
    data = load_data("sleepstudy")
    X = np.column_stack([np.ones(180), data["Days"]])
    assert mme.fit(data["Reaction"], X, []).coefficients()["df"].tolist() == [178.0, 178.0]
    ml = mme.fit(data["Reaction"], X, [], method="ML")
    np.testing.assert_allclose(ml.coefficients()["df"], 180.0, rtol=1e-12)


def test_variance_ratios_that_are_given_cost_no_degrees_of_freedom():
    data = load_data("sleepstudy")
    X, term = np.column_stack([np.ones(180), data["Days"]]), mme.Term(data["Subject"])
    given = mme.fit(data["Reaction"], X, [term], theta=[1.2])
    np.testing.assert_allclose(given.coefficients()["df"], 178.0, rtol=1e-12)
    known = mme.fit(data["Reaction"], X, [term], theta=[1.2], sigma=30.0)
    assert np.isinf(known.coefficients()["df"]).all()
    assert known.coefficients().equals(known.coefficients(ddf="none"))


def test_known_residual_variance_leaves_only_what_the_random_effects_cost():
    data = load_data("sleepstudy")
    X, term = np.column_stack([np.ones(180), data["Days"]]), mme.Term(data["Subject"])
    table = mme.fit(data["Reaction"], X, [term], sigma=30.0).coefficients()
    # within subjects only sigma matters; the mean of the subjects' means at day 0 has a little of both
    assert np.isinf(table["df"].iloc[1])
    assert 17 < table["df"].iloc[0] < 30


# -- the definition ----------------------------------------------------------------------------------------------------


def small(seed: int, J: int = 5, m: int = 4):
    rng = np.random.default_rng(seed)
    groups, times = np.repeat(np.arange(J), m), np.tile(np.arange(m), J)
    kept = rng.random(J * m) > 0.15
    groups, times = groups[kept], times[kept]
    X = np.column_stack([np.ones(groups.size), times, rng.standard_normal(groups.size)])
    return rng, groups, times, X


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_residual_correlation_is_one_of_the_parameters(method):
    rng, groups, times, X = small(3)
    y = X @ [1.0, 0.5, -1.0] + 2.0 * rng.standard_normal(5)[groups] + np.cumsum(rng.standard_normal(groups.size))
    fit = mme.fit(y, X, [mme.Term(groups)], residual=mme.AR1(times, groups), method=method)
    lag = np.abs(np.subtract.outer(times, times))

    def variance(x):
        return np.equal.outer(groups, groups) * (x[0] ** 2 + np.tanh(x[1]) ** lag)

    L = np.vstack([np.eye(3), [1.0, 2.0, 0.0]])
    x, df = satterthwaite(variance, y, X, np.append(fit.theta, fit.internals.objective.phi), L, method)
    np.testing.assert_allclose(at(fit, x).contrast(L)["df"], df, rtol=SAME)
    np.testing.assert_allclose(fit.contrast(L)["df"], df, rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 2])
def test_steps_of_differences_stay_away_from_a_singular_R(seed):
    """A correlation at lag two alone, of five occasions, is singular at 1 / sqrt 2."""
    rng = np.random.default_rng(seed)
    groups, times = np.repeat(np.arange(12), 5), np.tile(np.arange(5), 12)
    same, lag = np.equal.outer(groups, groups), np.abs(np.subtract.outer(times, times))
    X = np.column_stack([np.ones(60), groups % 2])

    def variance(rho):
        return same * np.array([1.0, *rho, 0.0, 0.0])[lag]

    y = 1.0 + np.linalg.cholesky(variance([0.0, -0.704])) @ rng.standard_normal(60)
    fit = mme.fit(y, X, [], residual=mme.Toeplitz(times, groups, bands=2))
    rho, df = satterthwaite(variance, y, X, np.array(list(fit.residual.values())), np.eye(2), "REML")
    assert np.linalg.eigvalsh(variance(rho))[0] < 0.003
    np.testing.assert_allclose(fit.coefficients()["df"], df, rtol=1e-5)


def test_related_levels_and_weights_are_those_of_the_definition():
    rng = np.random.default_rng(8)
    J, n = 6, 18
    B = rng.standard_normal((J, J))
    K = B @ B.T / J + 0.5 * np.eye(J)
    relationship = SimpleNamespace(
        levels=np.arange(J),
        precision=sp.csc_array(np.linalg.inv(K)),
        logdet=np.linalg.slogdet(K)[1],
        diagonal=K.diagonal(),
    )
    codes = np.resize(np.arange(J), n)
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    w = rng.uniform(0.5, 2.0, n)
    y = X.sum(axis=1) + (2.0 * np.linalg.cholesky(K) @ rng.standard_normal(J))[codes] + rng.standard_normal(n)
    fit = mme.fit(y, X, [mme.Term(codes, relationship=relationship)], weights=w)
    x, df = satterthwaite(
        lambda x: x[0] ** 2 * K[np.ix_(codes, codes)] + np.diag(1 / w), y, X, fit.theta, np.eye(2), "REML"
    )
    np.testing.assert_allclose(at(fit, x).coefficients()["df"], df, rtol=SAME)


@pytest.mark.parametrize("kind", ["homogeneous cs", "ar1"])
def test_a_structured_covariance_has_degrees_of_freedom_too(kind):
    rng, groups, times, X = small(10, J=8)
    Z = np.column_stack([np.ones(groups.size), times])
    b = rng.standard_normal((8, 2)) @ [[1.0, 0.4], [0.0, 0.9]]
    y = X.sum(axis=1) + (b[groups] * Z).sum(axis=1) + rng.standard_normal(groups.size)
    fit = mme.fit(y, X, [mme.Term(groups, Z, covariance=kind)])

    def variance(x):
        rho = np.cos(x[1])
        G = x[0] ** 2 * np.array([[1.0, rho], [rho, 1.0]])
        return np.equal.outer(groups, groups) * (Z @ G @ Z.T) + np.eye(groups.size)

    x, df = satterthwaite(variance, y, X, fit.theta, np.eye(3), "REML")
    np.testing.assert_allclose(at(fit, x).coefficients()["df"], df, rtol=SAME)


# -- at the edge -------------------------------------------------------------------------------------------------------


def test_a_component_at_zero_changes_no_degrees_of_freedom():
    data = load_data("Dyestuff2").assign(x=np.arange(30.0))
    singular = mme.lmer("Yield ~ x + (1 | Batch)", data)
    assert singular.singular
    np.testing.assert_allclose(singular.coefficients()["df"], 28.0, rtol=1e-9)


def test_a_correlation_of_one_is_held_there():
    case = load_case("sim_corr_pos1_reml")
    fit = mme.lmer(case.json["formula"], case.data)
    assert fit.singular
    np.testing.assert_allclose(fit.coefficients()["df"], case.json["satterthwaite"]["df"], rtol=1e-5)


def test_degrees_of_freedom_that_the_data_do_not_determine_are_nan_with_a_reason():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(6), 4)
    X = np.column_stack([np.ones(24), rng.standard_normal(24)])
    y = X.sum(axis=1) + rng.standard_normal(6)[groups] + rng.standard_normal(24)
    fit = mme.fit(y, X, [mme.Term(groups)])
    # curvature of the wrong sign, as at a point that is no minimum
    broken = replace(fit.satterthwaite, A=0.0 * fit.satterthwaite.A, flat=np.eye(1))
    with pytest.warns(mme.MMEWarning, match="not determined"):
        assert np.isnan(broken.df(np.eye(2))).all()


def test_two_terms_that_share_one_variance_still_test_what_depends_on_their_sum():
    data = load_data("sleepstudy")
    X = np.column_stack([np.ones(180), data["Days"]])
    one = mme.fit(data["Reaction"], X, [mme.Term(data["Subject"])])
    two = mme.fit(data["Reaction"], X, [mme.Term(data["Subject"]), mme.Term(data["Subject"])])
    np.testing.assert_allclose(two.coefficients()["df"], one.coefficients()["df"], rtol=1e-5)


# -- invariances -------------------------------------------------------------------------------------------------------


def test_units_change_no_degrees_of_freedom():
    data = load_data("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", data)
    other = data.assign(Days=data["Days"] * 1e6, Reaction=data["Reaction"] * 1e-3 + 7.0)
    scaled = mme.lmer("Reaction ~ Days + (Days | Subject)", other)
    np.testing.assert_allclose(scaled.coefficients()["df"], fit.coefficients()["df"], rtol=1e-5)
    np.testing.assert_allclose(scaled.coefficients()["t"]["Days"], fit.coefficients()["t"]["Days"], rtol=SEARCHED)


def test_absorbing_another_term_changes_no_degrees_of_freedom():
    data = load_data("Penicillin")
    fit = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    dense = mme.fit(
        data["diameter"], np.ones((144, 1)), [mme.Term(data["sample"]), mme.Term(data["plate"])], theta=fit.theta[::-1]
    )
    both = [judged(one, replace(fit.optimum, theta=one.theta)).coefficients()["df"].iloc[0] for one in (fit, dense)]
    assert both[0] == pytest.approx(both[1], rel=1e-5)


def test_the_table_is_labelled_and_computed_once():
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))
    table = fit.coefficients()
    assert table.columns.tolist() == ["estimate", "se", "df", "t", "p"]
    assert fit.satterthwaite is fit.satterthwaite
    pd.testing.assert_frame_equal(table, fit.coefficients(ddf="satterthwaite"))
    with pytest.raises(mme.MMEError, match="'satterthwaite', 'kenward-roger'"):
        fit.coefficients(ddf="residual-by-hand")


@pytest.mark.slow
def test_a_hundred_thousand_records_cost_tens_of_evaluations():
    rng = np.random.default_rng(0)
    n, J = 100_000, 10_000
    groups = rng.integers(0, J, n)
    X = np.column_stack([np.ones(n), rng.standard_normal((n, 2))])
    b = rng.standard_normal((J, 2)) @ [[1.0, 0.3], [0.0, 0.5]]
    y = X.sum(axis=1) + (b[groups] * X[:, :2]).sum(axis=1) + rng.standard_normal(n)
    fit = mme.fit(y, X, [mme.Term(groups, X[:, :2])])
    assert evaluations(fit.coefficients) <= 2 * (6 * 6 + 2)
    assert evaluations(lambda: fit.coefficients(ddf="kenward-roger")) <= 8 * 6 + 2
    satterthwaite_table, kenward_roger_table = fit.coefficients(), fit.coefficients(ddf="kenward-roger")
    np.testing.assert_allclose(satterthwaite_table["df"], kenward_roger_table["df"], rtol=0.02)
    assert 0.9 * J < satterthwaite_table["df"].iloc[0] < J


def test_infinite_degrees_of_freedom_count_as_one_in_the_mean_of_a_joint_test():
    """sigma known, balanced: x between groups has J - 2, w within them infinitely many.

    E[F] of two uncorrelated t's is (6 / 4 + 1) / 2, which is that of an F on 2 and 10 degrees of freedom, 10 / 8.
    """
    rng = np.random.default_rng(1)
    J, m = 8, 6
    g = np.repeat(np.arange(J), m)
    table = pd.DataFrame({"g": g, "x": g % 2 - 0.5, "w": np.tile(np.arange(m) % 2, J) - 0.5})
    fit = mme.lmer("y ~ x + w + (1 | g)", table.assign(y=rng.normal(size=J * m) + rng.normal(size=J)[g]), sigma=1.0)
    df = fit.coefficients()["df"]
    assert df["x"] == pytest.approx(J - 2, rel=1e-6)
    assert np.isinf(df["w"])
    assert fit.contrast(np.eye(3)[1:], joint=True)["den_df"].item() == pytest.approx(10.0, rel=1e-6)


@pytest.mark.parametrize(("allowed", "shown"), [(17.5, False), (18.5, True)])
def test_a_summary_has_degrees_of_freedom_where_their_evaluations_are_few(allowed, shown):
    """Differences of sixth order by two parameters take 3 x 2 x 3 evaluations, and the search took fewer."""
    data, residual = mme.load("sleepstudy"), mme.Exponential("Days", "Subject")
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", data, residual=residual, search="average-information")
    assert fit.optimum.evaluations < 18
    with within(Limits(tests_operations=allowed * evaluation_operations(fit.internals.objective))):
        assert ("by Satterthwaite:" in fit.summary()) == shown


def test_a_summary_has_degrees_of_freedom_that_are_there_already():
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", data, residual=mme.AR1("Days", "Subject"))
    with within(Limits(tests_operations=0.0)):
        asked = fit.coefficients(ddf="satterthwaite")["df"]["Days"]
        assert f"{asked:.1f}" in fit.summary().split("Fixed effects")[1]


def test_a_step_to_the_minimum_is_taken_where_it_gains_what_shows_and_no_more():
    """A criterion of curvature 2 and slope g lies g^2 / 4 above its minimum, g / 2 away."""

    def at(slope):
        return is_off(SimpleNamespace(hessian=np.array([[2.0]]), units=np.ones(1), gradient=np.array([slope])))

    np.testing.assert_allclose(at(1.5e-3), [-0.75e-3])
    assert at(1e-4) is None  # stationary
    assert at(0.1) is None  # no minimum is near


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "none"])
def test_a_table_says_nothing_of_degrees_of_freedom_that_are_exact(ddf):
    """Without random effects t is t on n - p degrees of freedom, by whatever method; a normal distribution is said."""
    data = mme.load("sleepstudy")
    exact, mixed = (mme.lmer(f"Reaction ~ Days{more}", data).internals for more in ("", " + (1 | Subject)"))
    said = {"none": "p by the normal distribution"}.get(ddf, "")
    assert fixed_tests(exact, ddf).method == said
    assert fixed_tests(mixed, ddf).method
