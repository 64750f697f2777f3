"""One model, many columns: origins, units and codings of the covariates of an unstructured term change nothing.

Z A has the covariances of Z, for any invertible A. What a fit says of the model (criterion, standard errors, fitted
values, verdict) must not depend on A; what it says of the columns must be that of the columns.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from profiles import examples

import mme
from mme.covariance.axes import build_axes
from mme.engine.centring import centred_sums
from mme.solution.estimates import Estimates

seeds = st.integers(0, 2**32 - 1)


def draw(seed, q, J=12, m=9):
    """Groups, columns (ones and q - 1 covariates), a crossed factor and a response with correlated coefficients."""
    rng = np.random.default_rng(seed)
    n = J * m
    g, h = np.repeat(np.arange(J), m), rng.integers(0, 7, n)
    Z = np.column_stack([np.ones(n), rng.standard_normal((n, q - 1))])
    T = np.tril(rng.normal(size=(q, q))) + np.eye(q)
    y = (Z * (rng.normal(size=(J, q)) @ T.T)[g]).sum(axis=1) + 0.7 * rng.normal(size=7)[h] + rng.normal(size=n)
    return g, h, Z, y


def moved(Z, shift, scale):
    return np.column_stack([Z[:, :1], (Z[:, 1:] + shift) * scale])


BESIDE = {
    "alone": lambda g, h, Z: [],
    "a crossed factor": lambda g, h, Z: [mme.Term(h, name="h")],
    "a second term of slopes": lambda g, h, Z: [mme.Term(h, Z[:, :2], name="h")],
    "another term on the factor": lambda g, h, Z: [mme.Term(g, np.cos(np.arange(len(g)))[:, None], name="g")],
}


def fit(g, h, Z, y, beside="a crossed factor", **options):
    terms = [mme.Term(g, Z, name="g"), *BESIDE[beside](g, h, Z)]
    return mme.fit(y, Z, terms, **options)


def assert_same_model(one, other, columns):
    """The criterion less what the units of X put in it, standard errors in their units, fitted values and verdict."""
    units = 0.0
    if one.method == "REML":
        units = other.internals.objective.basis.logdet - one.internals.objective.basis.logdet
    assert abs(other.criterion - units - one.criterion) < 1e-6
    assert_allclose(other.se[1:] * columns, one.se[1:], rtol=1e-5)
    assert other.optimum.verdict == one.optimum.verdict
    assert_allclose(other.sigma, one.sigma, rtol=1e-6)
    assert_allclose(other.fitted, one.fitted, atol=1e-4)


@examples(4)
@given(seeds, st.sampled_from([2, 3, 4]), st.floats(-8, 8), st.floats(-8, 8), st.sampled_from(["REML", "ML"]))
@pytest.mark.parametrize("beside", BESIDE)
def test_no_origin_and_no_unit_of_a_covariate_changes_the_model(beside, seed, q, far, unit, method):
    g, h, Z, y = draw(seed, q)
    shift, scale = np.copysign(10.0 ** abs(far), far), 10.0**unit
    one, other = (fit(g, h, columns, y, beside, method=method) for columns in (Z, moved(Z, shift, scale)))
    assert_same_model(one, other, scale)


@examples(4)
@given(seeds, st.integers(0, 2), st.floats(3, 7), st.floats(-4, 4))
def test_standard_errors_of_variances_do_not_know_it_either_at_the_edge_too(seed, rank, far, unit):
    """Of coefficients of rank 0 to 2: at the edge theta in the columns is no smooth function of that in the axes."""
    rng, scale = np.random.default_rng(seed), 10.0**unit
    g, h, Z, _ = draw(seed, 3)
    T = rng.standard_normal((3, 3))[:, :rank]
    y = (Z * (rng.standard_normal((12, rank)) @ T.T)[g]).sum(axis=1) + rng.standard_normal(len(g))
    one, other = (fit(g, h, columns, y, "alone") for columns in (Z, moved(Z, 10.0**far, scale)))
    lost = 1e-15 * 10.0 ** (2.0 * far)  # of PEV in the columns, relative to that in the axes
    assert_allclose(other.effective_dimensions(), one.effective_dimensions(), atol=1e-4 + 10.0 * lost)
    here, there = (one.tidy(effects="variance"), other.tidy(effects="variance"))
    units = np.where(here.term.isin(["sd x2", "sd x3"]), scale, 1.0)
    of_columns = ["sd x2", "sd x3", "cor x2, x3", "sd"]  # the constant's are of another place
    for found in ("estimate", "std_error"):
        same = here.term.isin(of_columns) & (here.estimate > 1e-3) & (here.std_error < here.estimate)
        assert same.any()
        assert_allclose((there[found] * units)[same], here[found][same], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("shift", [1e3, 1e8])
def test_nor_beside_weights_residual_structures_and_relationships(shift):
    g, h, Z, y = draw(5, 2)
    n = len(y)
    far, time = moved(Z, shift, 1.0), np.arange(n) % 9
    K = mme.Relationship(covariance=0.5 * np.eye(12) + 0.5, levels=np.arange(12))
    for options in (
        {"weights": 0.5 + np.arange(n) % 5},
        {"residual": mme.AR1(time, g)},
        {"residual": mme.AR1(np.arange(n), h)},
    ):
        assert_same_model(fit(g, h, Z, y, "alone", **options), fit(g, h, far, y, "alone", **options), 1.0)
    related = [mme.fit(y, columns, [mme.Term(g, columns, relationship=K)]) for columns in (Z, far)]
    assert_same_model(*related, 1.0)


FITTED_BESIDE = {
    "independent": lambda g, t: {},
    "weights": lambda g, t: {"weights": 0.5 + np.arange(len(g)) % 5},
    "AR1": lambda g, t: {"residual": mme.AR1(t, g)},
    "AR1 and weights": lambda g, t: {"residual": mme.AR1(t, g), "weights": 0.5 + np.arange(len(g)) % 5},
    "Exponential with a nugget": lambda g, t: {"residual": mme.Exponential(t, g, nugget=True)},
    "CompoundSymmetry": lambda g, t: {"residual": mme.CompoundSymmetry(np.arange(len(g)) // 3)},
    "Heterogeneous AR1": lambda g, t: {"residual": [mme.AR1(t, g), mme.Heterogeneous(t // 3)]},
}


@pytest.mark.parametrize("beside", FITTED_BESIDE)
def test_fitted_values_keep_their_digits_where_a_covariate_is_far_from_zero(beside):
    g, h, Z, y = draw(7, 2)
    options, offset = FITTED_BESIDE[beside](g, np.arange(len(y)) % 9), np.cos(np.arange(len(y)))
    Z[:, 1] = np.round(2.0**20 * Z[:, 1]) / 2.0**20  # x + 2^30 is exact
    one = mme.fit(y, Z, [mme.Term(g, name="g"), mme.Term(h, name="h")], offset=offset, **options)
    model, phi = one.internals.model, dict(one.residual or {})
    mean, b = model.X @ one.beta.to_numpy() + offset, one.ranef(by="term")
    effects = [b[term.name].to_numpy()[term.codes, 0] for term in model.terms]
    assert_allclose(one.internals.estimates.population, mean, atol=1e-11)
    assert_allclose(one.fitted, mean + effects[0] + effects[1], atol=1e-11)
    far = mme.fit(y, moved(Z, 2.0**30, 1.0), list(model.terms), theta=one.theta, offset=offset, phi=phi, **options)
    assert_allclose(far.fitted, one.fitted, atol=1e-11)


@settings(max_examples=6)
@given(seeds, st.sampled_from([2, 3, 4]))
def test_any_invertible_change_of_the_columns_leaves_the_optimum_where_it_was(seed, q):
    g, _h, Z, y = draw(seed, q)
    A = np.linalg.qr(np.random.default_rng(seed).normal(size=(q, q)))[0] * 10.0 ** np.linspace(-3, 3, q)
    one = mme.fit(y, Z, [mme.Term(g, Z)])
    other = mme.fit(y, Z, [mme.Term(g, Z @ A)])
    assert abs(other.criterion - one.criterion) < 1e-6
    assert other.optimum.verdict == one.optimum.verdict
    G = one.varcorr["g"].cov
    assert_allclose(A @ other.varcorr["g"].cov @ A.T, G, atol=1e-3 * np.abs(G).max())
    assert_allclose(other.ranef()["g"] @ A.T, one.ranef()["g"], atol=1e-3)


def test_calendar_years_end_where_centred_years_do():
    rng = np.random.default_rng(3)
    site, year = np.repeat(np.arange(60), 6), np.tile(np.arange(2018, 2024), 60)
    b = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.1], [0.1, 0.09]], 60)
    data = pd.DataFrame({"site": site, "year": year, "y": rng.normal(size=360)})
    data["y"] += b[site, 0] + (0.3 + b[site, 1]) * (year - 2020)
    one = mme.lmer("y ~ I(year - 2020) + (I(year - 2020) | site)", data)
    other = mme.lmer("y ~ year + (year | site)", data)
    assert abs(one.criterion - other.criterion) < 1e-7
    assert_allclose(other.se["year"], one.se.iloc[1], rtol=1e-8)
    assert other.optimum.verdict == one.optimum.verdict
    assert_allclose(other.coefficients().loc["year"], one.coefficients().iloc[1], rtol=1e-5)
    assert_allclose(
        other.coefficients("kenward-roger").loc["year"], one.coefficients("kenward-roger").iloc[1], rtol=1e-5
    )


def test_a_fit_far_from_zero_reports_its_own_columns():
    """The intercept at x = 0 is what it is: coefficients, their covariances, predictions are those of the columns."""
    g, h, Z, y = draw(11, 2)
    shift = 1e4
    one, other = fit(g, h, Z, y), fit(g, h, moved(Z, shift, 1.0), y)
    back = np.array([[1.0, -shift], [0.0, 1.0]])  # effects at x = 0 from those at the old origin
    assert_allclose(other.varcorr["g"].cov, back @ one.varcorr["g"].cov @ back.T, rtol=1e-6)
    assert_allclose(other.ranef()["g"], one.ranef()["g"] @ back.T, rtol=1e-6)
    for kind in ("condvar", "pev"):
        want = back @ getattr(one, kind)()["g"] @ back.T
        assert_allclose(getattr(other, kind)()["g"], want, rtol=1e-5)
    assert_allclose(other.beta, back @ one.beta, rtol=1e-6)
    new = np.column_stack([np.ones(4), [-1.0, 0.0, 1.0, 2.0]])
    tables = [
        f.predict((X, [mme.Term([0, 1, 2, 3], X, name="g"), mme.Term([0, 1, 2, 3], name="h")]), interval="prediction")
        for f, X in ((one, new), (other, moved(new, shift, 1.0)))
    ]
    assert_allclose(tables[1], tables[0], rtol=1e-6, atol=1e-8)
    assert_allclose(other.internals.objective(other.theta), other.criterion, atol=1e-9)


def test_theta_given_in_the_columns_is_evaluated_there():
    """mme.objective, theta= and refits take the user's theta: an arbitrary one, against the dense definition."""
    from dense import dense_fit, design, lower_factor

    g, _h, Z, y = draw(2, 3)
    columns, theta = moved(Z, 30.0, 0.2), np.array([0.9, -0.4, 0.3, 0.8, 0.1, 0.5])
    dense = dense_fit(y, columns, [(design(g, columns), lower_factor(theta, 3), None)])
    at = mme.objective(y, columns, [mme.Term(g, columns)])
    assert_allclose(at(theta), dense.criterion, rtol=1e-12)
    given_theta = mme.fit(y, columns, [mme.Term(g, columns)], theta=theta)
    assert_allclose(given_theta.theta, theta, rtol=0, atol=0)
    assert_allclose(np.concatenate(list(given_theta.internals.estimates.b)).ravel(), dense.b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("structure", ["diagonal", "cs", "homogeneous diagonal"])
def test_where_a_shift_is_another_model_it_stays_one(structure):
    g, _, Z, y = draw(4, 3)
    near, far = (
        mme.fit(y, Z, [mme.Term(g, columns, covariance=structure)], method="ML") for columns in (Z, moved(Z, 2.0, 1.0))
    )
    assert near.internals.model.axes == (None,)
    assert abs(near.criterion - far.criterion) > 0.01


def test_second_derivatives_are_of_the_users_theta():
    g, h, Z, y = draw(8, 2)
    other = fit(g, h, moved(Z, 3.0, 1.0), y)
    k, step = other.theta.size, 1e-3
    H, f = np.empty((k, k)), other.internals.objective
    for i in range(k):
        for j in range(k):
            e, d = step * np.eye(k)[i], step * np.eye(k)[j]
            H[i, j] = (
                f(other.theta + e + d) - f(other.theta + e - d) - f(other.theta - e + d) + f(other.theta - e - d)
            ) / (4.0 * step**2)
    assert_allclose(other.hessian, H, rtol=1e-3, atol=1e-3 * np.abs(H).max())
    assert np.abs(other.optimum.gradient).max() < 1e-3


def test_columns_of_a_term_that_determine_each_other_are_flat_and_harmless():
    g, _h, Z, y = draw(9, 2)
    doubled = np.column_stack([Z, 2.0 * Z[:, 1]])
    one = mme.fit(y, Z, [mme.Term(g, Z)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = mme.fit(y, Z, [mme.Term(g, doubled)])
    assert_allclose(other.criterion, one.criterion, atol=1e-8)
    assert (other.optimum.verdict, other.optimum.flat) == ("flat", 3)
    assert_allclose(other.fitted, one.fitted, atol=1e-4)
    assert_allclose(other.coefficients(), one.coefficients(), rtol=1e-5)
    assert_allclose(other.internals.objective(other.theta), one.criterion, atol=1e-8)


@settings(max_examples=20)
@given(seeds, st.sampled_from([2, 3, 5]), st.booleans(), st.booleans())
def test_axes_are_orthonormal_and_those_of_the_span(seed, q, weighted, constant):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((30, q)) * 10.0 ** rng.uniform(-1, 1, q)
    if constant:
        Z[:, rng.integers(q)] = 3.0
    w = rng.uniform(0.1, 2.0, 30) if weighted else None
    found = build_axes(Z, w)
    E = np.column_stack([np.ones(30) if column is None else column for column in found.columns])
    weights = np.ones(30) if w is None else w / w.mean()
    assert_allclose(E.T @ (weights[:, None] * E) / 30, np.eye(q), atol=1e-12)
    assert_allclose(E @ found.C / np.abs(Z).max(axis=0), Z / np.abs(Z).max(axis=0), atol=1e-11)
    assert_allclose(found.C @ found.inverse, np.eye(q), atol=1e-9)
    other = build_axes(1e-5 * Z @ np.linalg.qr(rng.normal(size=(q, q)))[0], w)
    again = np.column_stack([np.ones(30) if column is None else column for column in other.columns])
    assert_allclose(again, E, atol=1e-9)


def test_a_fixed_covariate_far_from_zero_is_kept_and_a_dependent_one_dropped():
    g, _h, Z, y = draw(6, 2)
    near = mme.fit(y, Z, [mme.Term(g)])
    x = Z[:, 1] + 1e8
    for X in (
        np.column_stack([Z[:, 0], x]),
        np.column_stack([g % 2 == 0, g % 2 == 1, x]).astype(float),
    ):
        fit = mme.fit(y, X, [mme.Term(g)])
        assert fit.dropped == ()
        assert np.isfinite(fit.se).all()
    far = mme.fit(y, np.column_stack([Z[:, 0], x]), [mme.Term(g)])
    assert abs(far.criterion - near.criterion) < 1e-6
    assert_allclose(far.se.iloc[1], near.se.iloc[1], rtol=1e-5)
    assert_allclose(far.beta.iloc[1], near.beta.iloc[1], rtol=1e-5)
    twice = mme.fit(y, np.column_stack([Z[:, 0], x, 3.0 * x, 5.0 * Z[:, 0]]), [mme.Term(g)])
    assert twice.dropped == ("x3", "x4")
    slopes = np.column_stack([g % 2 == 0, g % 2 == 1, x * (g % 2 == 0), x * (g % 2 == 1)])
    assert mme.fit(y, slopes.astype(float), [mme.Term(g)]).dropped == ()


def test_estimates_in_the_axes_are_the_same_estimates():
    g, h, Z, y = draw(7, 3)
    other = fit(g, h, moved(Z, 5.0, 2.0), y)
    inside = other.internals.estimates.in_axes
    assert isinstance(inside, Estimates)
    assert_allclose(inside.criterion, other.criterion, rtol=1e-13)
    for one, two in zip(inside.b, other.internals.estimates.b, strict=True):
        assert_allclose(one, two, rtol=1e-8, atol=1e-10)


def test_profiles_do_not_know_the_origin_either():
    g, h, Z, y = draw(11, 2)
    one, other = (fit(g, h, columns, y) for columns in (Z, moved(Z, 1e4, 1.0)))
    names = ["x2", "sigma", "sd_x2|g", "sd_(Intercept)|h"]
    assert_allclose(other.confint("profile", parameters=names), one.confint("profile", parameters=names), rtol=1e-4)


@pytest.mark.parametrize("shift", [1e4, 1e8])
def test_products_of_a_covariate_far_from_zero_are_columns_of_their_own(shift):
    rng = np.random.default_rng(7)
    g, h = np.repeat(np.arange(20), 8), rng.integers(0, 7, 160)
    x, z = rng.normal(size=160), rng.uniform(-1, 1, 160)

    def columns(x):
        return np.column_stack([np.ones(160), x, z, x * z])

    Z = columns(x)
    y = (Z * (rng.normal(size=(20, 4)) @ np.tril(rng.normal(size=(4, 4))).T)[g]).sum(axis=1) + rng.normal(size=160)
    axes = build_axes(columns(x + shift), None)
    assert axes.rank == 4
    assert_allclose(axes.C @ axes.inverse, np.eye(4), atol=1e-15 * shift)
    here, far = (fit(g, h, columns(one), y) for one in (x, x + shift))
    assert abs(far.criterion - here.criterion) < 1e-6
    assert_allclose(far.se.iloc[[1, 3]], here.se.iloc[[1, 3]], rtol=1e-7)
    assert_allclose(far.fitted, here.fitted, atol=1e-6)
    assert far.optimum.verdict == here.optimum.verdict


def test_a_search_steps_in_the_units_of_columns_and_in_ones_where_a_parameter_multiplies_none():
    """Standard deviations are in units of 1 / rms(z); a correlation has no unit."""
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + cs(1 + Days | Subject)", data, theta=[1.0, 0.2, 1.5])
    rms = np.sqrt((data["Days"] ** 2).mean())
    np.testing.assert_allclose(fit.internals.objective.theta_scale, [1.0, rms, 1.0], rtol=1e-12)


def test_sums_without_a_constant_are_moved_by_none():
    """A column far from zero stays where it is unless X holds the constant before it: the model would be another."""
    ones, far = np.ones(8), 1e6 + np.arange(8.0) ** 2
    assert centred_sums(np.column_stack([far, ones]), ones, ["x", "(Intercept)"]).moved == {}
    near = centred_sums(np.column_stack([ones, far]), ones, ["(Intercept)", "x"])
    assert set(near.moved) == {1}
    assert_allclose(near.rows[1], far - far.mean(), atol=1e-8)
    steep = centred_sums(np.column_stack([ones, 1e14 / 3.0 + far]), ones, ["(Intercept)", "x"]).rows[1]
    assert abs(steep.sum()) < 1e-13 * np.abs(steep).sum()  # the mean was rounded: what it left is taken out as well
