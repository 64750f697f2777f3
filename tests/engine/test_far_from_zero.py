"""What is asked of a fit whose covariate is far from zero is answered as it is of the centred one.

x -> (x + shift) * scale is the same model. Slopes, means, tests, predictions and shares of variance that are asked at
the same places must be the same numbers, and so must degrees of freedom, to what rounding leaves of x itself.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import mme
from mme.engine.centring import centred
from mme.inference.fixed.reference import independent

FORMULAS = (
    "y ~ x + f + (x | g)",
    "y ~ x * f + (1 | g)",
    "y ~ f + x:f + (1 | g)",
    "y ~ x * f + (x | g) + (1 | h)",
)
DDF = ("satterthwaite", "kenward-roger", "none")


def draw(seed):
    rng = np.random.default_rng(seed)
    J, m = 14, 9
    n = J * m
    g, h, z = np.repeat(np.arange(J), m), rng.integers(0, 6, n), rng.standard_normal(n)
    f = rng.permutation(np.repeat(["a", "b", "c"], n // 3))
    b = rng.normal(size=(J, 2)) @ np.array([[1.0, 0.3], [0.0, 0.6]])
    y = 1.0 + 0.5 * z + b[g, 0] + b[g, 1] * z + (f == "c") * 0.8 * z + 0.5 * rng.normal(size=6)[h] + rng.normal(size=n)
    return pd.DataFrame({"g": g.astype(str), "h": h, "f": f, "x": z, "y": y})


def both(formula, seed, shift, scale, **options):
    """The fit of the centred model, that of the moved one, and where the latter has x = t."""
    data = draw(seed)

    def there(t):
        return (np.asarray(t) + shift) * scale

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            (mme.lmer(formula, data, **options), np.asarray),
            (mme.lmer(formula, data.assign(x=there(data["x"])), **options), there),
        )


def assert_same(one, other, rtol=1e-5):
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    assert_allclose(other, one, rtol=rtol, atol=rtol * np.abs(one[np.isfinite(one)]).max(initial=0.0) / 10.0)


def origins(test):
    moves = given(st.integers(0, 2**32 - 1), st.floats(0.0, 8.0), st.sampled_from([-1.0, 1.0]), st.floats(-8.0, 8.0))
    return settings(max_examples=2)(moves(test))


def slopes(table, scale):
    return table.filter(like="x", axis=0).to_numpy() * np.array([scale, scale, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("formula", FORMULAS)
@origins
def test_slopes_means_and_contrasts_do_not_know_the_origin(formula, seed, far, sign, unit):
    (one, at_one), (other, at) = both(formula, seed, sign * 10.0**far, 10.0**unit)
    for ddf in DDF[:2]:
        assert_same(slopes(one.coefficients(ddf), 1.0), slopes(other.coefficients(ddf), 10.0**unit))
        assert_same(one.means("f", ddf=ddf), other.means("f", ddf=ddf))
        places = (fit.means("f", at={"x": list(x([0.3, 1.7]))}, ddf=ddf) for fit, x in ((one, at_one), (other, at)))
        assert_same(*places)
        assert_same(
            one.means("f", ddf=ddf, pairs=True, adjust="none"), other.means("f", ddf=ddf, pairs=True, adjust="none")
        )


@pytest.mark.parametrize("formula", ["y ~ x + f + (x | g)", "y ~ x * f + (1 | g)"])
@origins
def test_combinations_of_the_intercept_and_a_slope_are_those_at_the_place(formula, seed, far, sign, unit):
    tables = []
    for fit, at in both(formula, seed, sign * 10.0**far, 10.0**unit):
        two = pd.DataFrame({"(Intercept)": [1.0, 1.0], "x": at([0.5, -1.0])})
        tables.append([fit.contrast(two, ddf=ddf) for ddf in DDF])
        tables[-1] += [fit.contrast(two, joint=True, ddf=ddf) for ddf in ("kenward-roger", "none")]
        tables[-1].append(fit.test("(Intercept) = 0, x = 0", ddf="kenward-roger"))
    for one, other in zip(*tables, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(("formula", "terms"), [(FORMULAS[0], ["x", "f"]), (FORMULAS[3], ["x:f"])])
@origins
def test_f_tests_of_terms_do_not_know_the_origin(formula, terms, seed, far, sign, unit):
    (one, _), (other, _) = both(formula, seed, sign * 10.0**far, 10.0**unit)
    for ddf in DDF:
        for kind in (1, 2, 3):
            asked = [*terms, "x", "f"] if kind == 1 else terms
            assert_same(one.anova(ddf, type=kind).loc[asked], other.anova(ddf, type=kind).loc[asked])


@pytest.mark.parametrize("formula", FORMULAS)
@origins
def test_predictions_and_their_intervals_do_not_know_the_origin(formula, seed, far, sign, unit):
    tables = []
    for fit, at in both(formula, seed, sign * 10.0**far, 10.0**unit):
        new = pd.DataFrame({"f": list("abca"), "x": at([-1.0, 0.0, 1.0, 3.0]), "g": list("0123"), "h": range(4)})
        tables.append(
            [
                fit.predict(new, random=random, interval=interval, ddf=ddf)
                for ddf in DDF
                for random, interval in ((False, "confidence"), (False, "prediction"), (True, "confidence"))
            ]
        )
    for one, other in zip(*tables, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("formula", FORMULAS)
@origins
def test_shares_of_variance_and_influence_do_not_know_the_origin(formula, seed, far, sign, unit):
    scale = 10.0**unit
    (one, _), (other, _) = both(formula, seed, sign * 10.0**far, scale)
    for what in ("variance_shares", "r2", "icc", "leverage", "cooks_distance"):
        assert_same(getattr(one, what)(), getattr(other, what)())
    assert_same(one.cooks_distance(by="g"), other.cooks_distance(by="g"))
    for by in (None, "g"):
        assert_same(one.dfbeta(by=by).filter(like="x"), scale * other.dfbeta(by=by).filter(like="x"), rtol=1e-4)


@origins
def test_estimates_of_slopes_by_level_do_not_know_the_origin(seed, far, sign, unit):
    """Alone and beside the population: the slopes' own weights depend on where the intercept is, as they should."""
    scale, tables = 10.0**unit, []
    for fit, _ in both("y ~ x + f + (x | g)", seed, sign * 10.0**far, scale):
        table = fit.shrinkage()["g"].xs("x", level="coefficient")
        tables.append(table[["pooled", "no_pooling", "partial_pooling"]])
    assert_same(tables[0], scale * tables[1], rtol=1e-4)


@pytest.mark.parametrize("shift", [1e4, 1e8])
def test_profiles_of_what_has_no_origin_stay(shift):
    (one, _), (other, _) = both("y ~ x + (x | g) + (1 | h)", 2, shift, 1.0, method="ML")
    names = ["sd_(Intercept)|h", "sigma"]
    assert_same(one.confint("profile", parameters=names), other.confint("profile", parameters=names), rtol=1e-3)


def test_by_maximum_likelihood_and_beside_residual_structures_too():
    data = draw(3)
    time = np.arange(len(data)) % 9
    for options in ({"method": "ML"}, {"residual": mme.AR1(time, data["g"].to_numpy())}):
        (one, at_one), (other, at) = both("y ~ x * f + (1 | h)", 3, 1e8, 1.0, **options)
        assert_same(one.means("f"), other.means("f"))
        assert_same(one.means("f", at={"x": at_one(1.0)}), other.means("f", at={"x": at(1.0)}))
        assert_same(slopes(one.coefficients(), 1.0), slopes(other.coefficients(), 1.0))


def test_hypotheses_of_rows_that_are_near_to_one_another_far_from_zero_count_each():
    """(1, x1) and (1, x2) differ by a hundred-millionth of their size, and are two questions."""
    (_, _), (other, at) = both("y ~ x + f + (1 | g)", 5, 1e8, 1.0)
    two = pd.DataFrame({"(Intercept)": [1.0, 1.0], "x": at([0.5, -1.0])})
    assert other.contrast(two, joint=True)["num_df"].item() == 2
    with pytest.raises(mme.MMEError, match="no coefficients satisfy all rows"):
        other.contrast(pd.concat([two, two.iloc[:1]]), joint=True, rhs=[0.0, 0.0, 1.0])


def test_uncorrelated_combinations_are_eigenvectors_of_the_covariance():
    rng = np.random.default_rng(1)
    half, L, d = rng.normal(size=(4, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
    found = independent(L, d, half)
    V = L @ half.T @ half @ L.T
    assert_allclose(found.weights @ V @ found.weights.T, np.diag(found.sd**2), atol=1e-12)
    assert_allclose(found.F, d @ np.linalg.solve(V, d) / 3.0, rtol=1e-12)
    assert_allclose(np.sort(found.sd**2), np.linalg.eigvalsh(V), rtol=1e-10)


@pytest.mark.parametrize("distance", [1e3, 1e5, 1e8])
def test_heritabilities_beside_a_slope_do_not_know_where_its_covariate_is(distance):
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": rng.integers(0, 30, 300), "h": rng.integers(0, 12, 300), "z": rng.normal(size=300)})
    data["y"] = rng.normal(size=30)[data["g"]] + 0.6 * rng.normal(size=30)[data["g"]] * data["z"]
    data["y"] += 0.7 * rng.normal(size=12)[data["h"]] + rng.normal(size=300)
    data["z"] = (data["z"] + distance) - distance
    near = mme.lmer("y ~ z + (z | g) + (1 | h)", data)
    far = mme.lmer("y ~ x + (x | g) + (1 | h)", data.assign(x=data["z"] + distance))
    assert_allclose(far.heritability("h"), near.heritability("h"), rtol=1e-6)
    slope, other = far.heritability("g").iloc[1], near.heritability("g").iloc[1]
    assert slope["se"] / slope["estimate"] == pytest.approx(other["se"] / other["estimate"], rel=1e-5)


@pytest.mark.parametrize("distance", [1e3, 1e8])
def test_wald_limits_of_a_residual_structure_do_not_know_where_a_covariate_is(distance):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.repeat(np.arange(40), 8), "t": np.tile(np.arange(8), 40), "z": rng.normal(size=320)})
    e = rng.normal(size=(40, 8))
    for t in range(1, 8):
        e[:, t] += 0.5 * e[:, t - 1]
    data["y"] = e.ravel() + 0.8 * rng.normal(size=40)[data["g"]] * data["z"] + rng.normal(size=40)[data["g"]]
    data["z"] = (data["z"] + distance) - distance
    near, far = (
        mme.lmer("y ~ x + (x | g)", data.assign(x=x), residual=mme.AR1("t", "g")).confint().loc["rho"]
        for x in (data["z"], data["z"] + distance)
    )
    assert_allclose(far, near, rtol=1e-5)


@pytest.mark.parametrize("coding", ["sum", "helmert", "poly", "own"])
@pytest.mark.parametrize("formula", ["y ~ x*f + (1 | g)", "y ~ x*f*h + (x | g)", "y ~ h + x*f + w + (1 | g)"])
def test_no_coding_of_a_factor_drops_its_products_with_a_covariate_far_from_zero(formula, coding):
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"f": rng.choice(list("abc"), 200), "h": rng.choice(list("uv"), 200)})
    data["g"], data["z"], data["w"] = rng.integers(0, 15, 200), rng.normal(size=200), rng.normal(size=200)
    data["y"] = data["z"] * (1 + (data["f"] == "a")) + rng.normal(size=15)[data["g"]] + rng.normal(size=200)
    coded = (
        np.linalg.qr(np.column_stack([np.ones(3), rng.normal(size=(3, 2))]))[0][:, 1:] if coding == "own" else coding
    )
    contrasts = {"f": coded, "h": "sum" if "h" in formula else None}
    contrasts = {name: value for name, value in contrasts.items() if value is not None}
    near = mme.lmer(formula, data.assign(x=data["z"]), contrasts=contrasts)
    for shift in (1e3, 1e6, 1e7, 1e8, -1e8):
        far = mme.lmer(formula, data.assign(x=data["z"] + shift), contrasts=contrasts)
        assert far.dropped == ()
        assert far.criterion == pytest.approx(near.criterion, abs=1e-6)
        assert_allclose(far.anova(type=1).loc[["x", "x:f"], "F"], near.anova(type=1).loc[["x", "x:f"], "F"], rtol=1e-5)
        products = [name for name in near.fixed_names if name.startswith("x")]
        assert_allclose(far.se[products], near.se[products], rtol=1e-6)


def test_a_column_beside_one_far_from_zero_is_kept_as_it_is():
    rng = np.random.default_rng(9)
    data = pd.DataFrame({"year": rng.integers(2018, 2024, 90), "w": rng.normal(size=90), "g": rng.integers(0, 9, 90)})
    data["twin"] = data["w"] * (1 + 1e-9 * rng.normal(size=90))
    data["y"] = data["w"] + rng.normal(size=90)
    assert mme.lmer("y ~ year + w + twin + (1 | g)", data).dropped == ("twin",)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("distance", [1e4, 1e8])
def test_errors_of_small_area_means_do_not_know_where_a_covariate_is(method, distance):
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": rng.integers(0, 20, 120), "x": rng.normal(size=120), "w": rng.uniform(0.5, 2, 120)})
    data["x"] = (data["x"] + distance) - distance
    data["y"] = data["x"] + rng.normal(size=20)[data["g"]] + rng.normal(size=120)
    near, far = (
        mme.lmer("y ~ x + (1 | g)", data.assign(x=data["x"] + shift), method=method, weights="w").eblup_mse()
        for shift in (0.0, distance)
    )
    assert_allclose(far[["g1", "g2", "g3", "mse"]], near[["g1", "g2", "g3", "mse"]], rtol=1e-6)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)", "y ~ x + (x | g) + (1 | h)"])
def test_what_records_do_to_a_slope_does_not_know_where_its_covariate_is(formula):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": rng.integers(0, 12, 90), "h": rng.integers(0, 5, 90), "x": rng.normal(size=90)})
    data["x"] = (data["x"] + 1e8) - 1e8
    data["y"] = data["x"] * (1 + 0.5 * rng.normal(size=12)[data["g"]]) + rng.normal(size=12)[data["g"]]
    data["y"] += 0.7 * rng.normal(size=5)[data["h"]] + rng.normal(size=90)
    near, far = (mme.lmer(formula, data.assign(x=data["x"] + shift)) for shift in (0.0, 1e8))
    for by in (None, "g", data["h"]):
        one, other = near.dfbeta(by=by)["x"], far.dfbeta(by=by)["x"]
        assert_allclose(other, one, rtol=0, atol=1e-7 * np.abs(one).max())
        one, other = near.cooks_distance(by=by), far.cooks_distance(by=by)
        assert_allclose(other, one, rtol=0, atol=1e-6 * one.max())


WAYS = ("x * f", "0 + x * f", "0 + f + f:x", "f / x", "0 + x:f + f", "0 + I(x) * f", "x + f + x:f")


@pytest.mark.parametrize("shift", [2020.0, 1e6, 1e8])
@pytest.mark.parametrize("random", ["(1 | g)", "(x | g)"])
def test_one_model_written_in_several_ways_is_one_answer(random, shift):
    data = draw(4)
    far = data.assign(x=data["x"] + shift)
    centred = mme.lmer(f"y ~ x * f + {random}", data)
    first = mme.lmer(f"y ~ x * f + {random}", far)
    for way in WAYS:
        fit = mme.lmer(f"y ~ {way} + {random}", far)
        assert_allclose(fit.criterion, centred.criterion, atol=1e-6)
        assert_allclose(fit.criterion_contrasts, first.criterion_contrasts, atol=1e-7)
        assert_allclose(fit.sigma, first.sigma, rtol=1e-7)
        assert_allclose(fit.fitted, first.fitted, atol=1e-8)
        assert_allclose(fit.fitted, centred.fitted, atol=1e-7)
        assert fit.optimum.verdict == centred.optimum.verdict


@pytest.mark.parametrize("options", [{"weights": "w"}, {"method": "ML"}, {"contrasts": {"f": "sum"}}])
def test_a_covariate_before_what_makes_up_its_constant_keeps_its_digits(options):
    data = draw(6).assign(w=np.random.default_rng(1).uniform(0.5, 2.0, 126))
    near = mme.lmer("y ~ 0 + x * f + (1 | g)", data, **options)
    far = mme.lmer("y ~ 0 + x * f + (1 | g)", data.assign(x=data["x"] + 1e7), **options)
    assert_allclose(far.criterion, near.criterion, atol=1e-6)
    assert_allclose(far.fitted, near.fitted, atol=1e-6)
    assert_allclose(far.se["x"], near.se["x"], rtol=1e-6)
    assert_allclose(far.anova().loc["x:f"], near.anova().loc["x:f"], rtol=1e-5)


def test_of_columns_alike_the_first_is_kept_far_from_zero_too():
    data = draw(7)
    data["year"] = 2018.0 + np.arange(126) % 5
    for formula, dropped in (
        ("y ~ 0 + year + factor(year) + (1 | g)", ["factor(year)2022"]),
        ("y ~ 0 + year * f + I(2 * year) + (1 | g)", ["I(2 * year)"]),
    ):
        fit = mme.lmer(formula, data)
        assert list(fit.dropped) == dropped
        assert "year" in fit.beta.index


def test_few_records_on_the_other_side_of_zero_do_not_hide_a_column_far_from_it():
    """Of n records no more than n / 10,000 differ from a mean by all of it, where the spread is a hundredth of it."""
    n = 30_000
    x = 1000.0 + np.random.default_rng(4).normal(size=n)
    x[[3, 700]] = -1.0
    near = centred(np.column_stack([np.ones(n), x]))
    assert_allclose(near.rows[1], x - x.mean(), atol=1e-9)
    x[np.arange(0, n, 100)] = -1.0  # one in a hundred, and ten times the spread: not far
    assert not centred(np.column_stack([np.ones(n), x])).moved
