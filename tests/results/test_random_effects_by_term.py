"""Random effects by grouping factor and by term: tables and arrays of one kind of key, and the names of all parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dense import dense_fit
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.files.export import as_dict, ranef_table
from mme.fitted.effects import effects


@pytest.fixture(scope="module")
def sleep():
    return mme.load("sleepstudy")


@pytest.fixture(scope="module")
def apart(sleep):
    return mme.lmer("Reaction ~ Days + (Days || Subject)", sleep)


def _matrices(fit):
    """The dense model of a fit, terms one after the other, and the columns of each term by level (J, q)."""
    kept = fit.internals.objective.basis.kept
    factors = fit.internals.model.T(fit.theta)
    blocks, places, first = [], [], 0
    for term, T in zip(fit.internals.model.terms, factors, strict=True):
        K = None if term.relationship is None else np.linalg.inv(term.relationship.precision.toarray())
        blocks.append((term.Z.toarray(), T, K))
        places.append(first + np.arange(term.n_effects).reshape(term.n_levels, term.q))
        first += term.n_effects
    exact = dense_fit(
        fit.internals.model.y, fit.internals.model.X[:, kept], blocks, fit.internals.model.weights, fit.method
    )
    return exact, places


def _assert_joined_as_dense(fit):
    exact, places = _matrices(fit)
    for one in effects(fit.internals.model):
        at = np.hstack([places[t] for t in one.terms])
        for found, whole in ((fit.condvar(), exact.condvar), (fit.pev(), exact.pev)):
            expected = whole[at[:, :, None], at[:, None, :]]
            np.testing.assert_allclose(found[one.name], expected, atol=1e-9 * np.abs(whole).max())
        np.testing.assert_allclose(fit.ranef()[one.name], exact.b[at], atol=1e-9 * np.abs(exact.b).max())


def _crossed(seed, n=90):
    rng = np.random.default_rng(seed)
    data = {name: rng.integers(0, J, n) for name, J in (("g", 7), ("h", 5), ("s", 3))}
    return pd.DataFrame(data | {"x": rng.normal(size=n), "z": rng.normal(size=n), "y": rng.normal(size=n)})


@pytest.mark.parametrize(
    ("formula", "theta"),
    [
        ("y ~ x + (x + z || g)", [0.8, 0.5, 0.3]),
        ("y ~ x + (x || g) + (1 | h)", [0.8, 0.5, 0.7]),
        ("y ~ x + (1 | g) + (0 + x | h) + (0 + z | g) + (1 | h)", [0.8, 0.5, 0.3, 0.6]),
        ("y ~ x + (x | g) + (0 + z | g)", [0.8, 0.2, 0.5, 0.4]),
        ("y ~ x + (x || g)", [0.8, 0.0]),
    ],
)
def test_covariances_between_terms_on_one_factor_are_those_of_the_dense_model(formula, theta):
    fit = mme.lmer(formula, _crossed(1), theta=theta)
    _assert_joined_as_dense(fit)
    assert np.abs(fit.condvar()["g"] - np.array([np.diag(np.diag(V)) for V in fit.condvar()["g"]])).max() > 0.0 or (
        0.0 in theta
    )


@pytest.mark.parametrize("theta", [[0.8, 0.5], [0.8, 0.5, 0.7]])
def test_covariances_between_terms_of_related_levels_are_those_of_the_dense_model(theta):
    data, rng = _crossed(2), np.random.default_rng(3)
    animals = list(range(9))  # two of them without records
    ped = mme.Pedigree(animals, [None, None, None, 0, 0, 0, 3, 3, 5], [None, None, None, 1, 2, 2, 4, 4, 6])
    data["g"] = rng.integers(0, 7, len(data))
    more = "" if len(theta) == 2 else " + (1 | h)"
    fit = mme.lmer(f"y ~ x + (x || g){more}", data, relationship={"g": ped}, theta=theta)
    assert fit.ranef()["g"].shape == (9, 2)
    _assert_joined_as_dense(fit)


def test_a_joined_factor_is_what_one_diagonal_term_says(sleep, apart):
    one = mme.lmer("Reaction ~ Days + diag(Days | Subject)", sleep, theta=apart.theta)
    for found, expected in (
        (apart.condvar(), one.condvar()),
        (apart.pev(), one.pev()),
        (apart.draws(5, seed=1).b, one.draws(5, seed=1).b),
    ):
        np.testing.assert_allclose(found["Subject"], expected["Subject"], rtol=1e-9)
    for found, expected in (
        (apart.ranef(), one.ranef()),
        (apart.coef(), one.coef()),
        (apart.reliability(), one.reliability()),
        (apart.shrinkage(), one.shrinkage()),
    ):
        pd.testing.assert_frame_equal(found["Subject"], expected["Subject"], rtol=1e-9)
    pd.testing.assert_frame_equal(apart.tidy("blup"), one.tidy("blup"), rtol=1e-9)


def test_the_correlation_of_two_terms_at_a_level_is_not_zero_where_the_records_make_it(apart):
    V = apart.condvar()["Subject"]
    assert (V[:, 0, 1] < -1.0).all()


def test_by_term_keeps_the_terms_apart_under_one_set_of_keys(apart):
    keys = ["Subject", "Subject.1"]
    results = [
        apart.ranef(by="term"),
        apart.condvar(by="term"),
        apart.pev(by="term"),
        apart.reliability(by="term"),
        apart.shrinkage(by="term"),
        apart.draws(2, seed=1, by="term").b,
        apart.varcorr,
    ]
    assert all(list(one) == keys for one in results)
    assert [list(table.columns) for table in apart.ranef(by="term").values()] == [["(Intercept)"], ["Days"]]
    for by in ("level", None, "Factor"):
        with pytest.raises(mme.MMEError, match=r"by must be 'factor' .* or 'term'"):
            apart.ranef(by=by)


def test_terms_whose_levels_differ_are_no_one_factor():
    data = _crossed(4)
    terms = [mme.Term(data["g"], name="g"), mme.Term(data["h"], name="g")]
    fit = mme.fit(data["y"], np.ones((90, 1)), terms, theta=[0.5, 0.4])
    assert {name: len(table) for name, table in fit.ranef().items()} == {"g": 7, "g.1": 5}
    assert list(fit.coef()) == ["g", "g.1"]


def test_one_name_for_one_coefficient_of_a_factor(sleep):
    fit = mme.lmer("Reaction ~ Days + (1 | Subject) + (Days | Subject)", sleep, theta=[0.2, 0.8, 0.1, 0.2])
    table = fit.ranef()["Subject"]
    assert list(table.columns) == ["(Intercept)", "(Intercept).1", "Days"]
    both = table["(Intercept)"] + table["(Intercept).1"] + fit.beta["(Intercept)"]
    np.testing.assert_allclose(fit.coef()["Subject"]["(Intercept)"], both, rtol=1e-13)
    assert list(fit.coef()["Subject"].columns) == ["(Intercept)", "Days"]
    _assert_joined_as_dense(fit)


def test_an_intercept_that_is_random_alone_is_the_first_coefficient(sleep):
    coef = mme.lmer("Reaction ~ 0 + Days + (1 | Subject)", sleep).coef()["Subject"]
    assert list(coef.columns) == ["(Intercept)", "Days"]


def test_the_command_line_writes_what_ranef_has(apart):
    table = ranef_table(apart.internals).pivot(index="level", columns="coefficient", values="blup")
    np.testing.assert_allclose(table, apart.ranef()["Subject"], rtol=1e-14)


def test_pictures_are_of_the_factor_or_of_one_of_its_terms(apart):
    plt = pytest.importorskip("matplotlib.pyplot")
    assert apart.plot.caterpillar().size == 2
    assert apart.plot.qq("Subject.1").size == 1
    assert "Days" in apart.plot.shrinkage().get_ylabel()
    with pytest.raises(mme.MMEError, match=r"no term 'sub'; the fit has 'Subject', 'Subject.1'"):
        apart.plot.caterpillar("sub")
    plt.close("all")


# -- one part of a prediction -----------------------------------------------------------------------------------------


def test_a_prediction_adds_the_factor_or_one_coefficient_by_name(sleep, apart):
    codes = apart.internals.model.terms[0].codes
    b, population = apart.ranef()["Subject"].to_numpy()[codes], apart.predict(random=False)
    both = population + b[:, 0] + b[:, 1] * sleep["Days"]
    for random, expected in (
        ("Subject", both),
        (["Subject.(Intercept)", "Subject.Days"], both),
        ("Subject.(Intercept)", population + b[:, 0]),
        ("Subject.Days", population + b[:, 1] * sleep["Days"]),
        ("Subject.1", population + b[:, 1] * sleep["Days"]),
    ):
        np.testing.assert_allclose(apart.predict(random=random), expected, rtol=1e-12)
        np.testing.assert_allclose(apart.predict(sleep, random=random), expected, rtol=1e-12)


def test_a_coefficient_of_a_correlated_term_can_be_predicted_by_itself(sleep):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    b = fit.ranef()["Subject"]["(Intercept)"].to_numpy()[fit.internals.model.terms[0].codes]
    table = fit.predict(random="Subject.(Intercept)", interval="confidence")
    np.testing.assert_allclose(table["fit"], fit.predict(random=False) + b, rtol=1e-12)
    exact, places = _matrices(fit)
    z = np.zeros((180, 36))
    z[np.arange(180), places[0][fit.internals.model.terms[0].codes, 0]] = 1.0
    X, Z = fit.internals.model.X, fit.internals.model.terms[0].Z.toarray()
    Vinv = np.linalg.inv(exact.V)
    a = X - z @ exact.G @ Z.T @ Vinv @ X
    conditional = exact.G - exact.G @ Z.T @ Vinv @ Z @ exact.G
    variance = np.einsum("ij,jk,ik->i", z, conditional, z) + np.einsum("ij,jk,ik->i", a, exact.beta_cov, a)
    np.testing.assert_allclose(table["se"], np.sqrt(variance), rtol=1e-9)


def test_a_name_that_is_no_part_of_the_model_lists_those_that_are(apart):
    with pytest.raises(mme.MMEError, match=r"'Subject', 'Subject\.1', and their coefficients 'Subject\.\(Intercept\)'"):
        apart.predict(random="Subject.day")


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_factor_with_spaces_is_called_by_its_name_without_backticks(sleep):
    data = sleep.rename(columns={"Subject": "the id"}).assign(other=sleep["Days"].astype(int) % 3)
    fit = mme.lmer("Reaction ~ Days + (Days || `the id`) + (1 | other:`the id`)", data)
    names = ["other:the id", "the id"]
    assert list(fit.ranef()) == list(fit.coef()) == list(fit.condvar()) == list(fit.pev()) == names
    assert list(fit.shrinkage()) == list(fit.reliability()) == list(fit.draws(2, seed=1).b) == names
    assert list(fit.varcorr) == ["other:the id", "the id", "the id.1"]
    text = f"{fit.theta_names} {fit.summary()} {fit.tidy(['variance', 'blup']).to_string()} {fit.icc().to_string()}"
    assert "`the id`" not in text.replace(fit.formula, "")
    assert fit.predict(random="the id").notna().all()
    assert "sd_Days|the id" in fit.bootstrap(2, seed=1, workers=1).names


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("y ~ x + (1 | g) + (x | g)", {}),
        ("y ~ x + (1 | g) + (0 + x | g) + (1 | g) + (1 | `g.1`)", {"g.1": "h"}),
        ("y ~ sigma + (1 | g)", {"sigma": "z"}),
        ("y ~ f + fb + (1 | g)", {"fb": "z"}),
        ("y ~ x + (0 + `p` + `q.p` + `p.q` | g)", {"p": "x", "q.p": "z", "p.q": "w"}),
        ("y ~ x + cs(0 + rho + x | g)", {"rho": "z"}),
    ],
)
def test_no_two_parameters_share_a_name(formula, columns):
    data = _crossed(6, 300).assign(w=lambda d: d["x"] * d["z"], f=lambda d: np.where(d["s"] > 1, "a", "b"))
    data = data.assign(**{new: data[old] for new, old in columns.items()})
    fit = mme.lmer(formula, data)
    _assert_names_differ(fit)


@given(
    labels=st.lists(st.text("ab.1", min_size=1, max_size=4), min_size=2, max_size=5, unique=True),
    columns=st.lists(st.text("ab.|", min_size=1, max_size=4), min_size=1, max_size=3),
    group=st.sampled_from(["g", "g.1", "a.b", "rho"]),
    fixed=st.lists(st.sampled_from(["rho", "sigma", "x", "range", "cor.a.b", "sd_a|g"]), max_size=3),
)
def test_parameters_of_any_labels_are_told_apart(labels, columns, group, fixed):
    rng = np.random.default_rng(0)
    J, T = 60, len(labels)
    series, when = np.repeat(np.arange(J), T), np.tile(np.arange(T), J)
    terms = [
        mme.Term(series % 10, rng.normal(size=(J * T, len(columns))), name=group, columns=columns),
        mme.Term(series % 10, rng.normal(size=(J * T, len(columns))), name=group, columns=columns),
        mme.Term(series % 7, rng.normal(size=(J * T, 2)), name="g", columns=("a", "a.b"), covariance="cs"),
    ]
    X = pd.DataFrame(rng.normal(size=(J * T, 1 + len(fixed))), columns=["one", *fixed])
    structure = [mme.Unstructured(np.array(labels)[when], series, equal_variances=True), mme.Heterogeneous(when % 2)]
    model = mme.model.problem.build_model(rng.normal(size=J * T), X, terms, residual=structure)
    names = mme.fitted.natural.parameter_names(model, model.x_names)
    assert len(set(names)) == len(names) == model.k + model.residual.k + 1 + len(model.x_names)
    assert len(set(model.theta_names)) == model.k


def _assert_names_differ(fit):
    from mme.fitted.natural import parameter_names

    names = parameter_names(fit.internals.model, fit.fixed_names)
    for one in (names, fit.theta_names, fit.fixed_names, list(fit.varcorr), list(fit.coefficients().index)):
        assert len(set(one)) == len(one)
    replicates = fit.bootstrap(2, seed=1, workers=1).replicates
    assert replicates.columns.is_unique
    assert set(names) <= set(replicates.columns)


def test_a_fixed_effect_and_a_parameter_of_one_name_are_told_apart_in_the_same_words():
    rng = np.random.default_rng(7)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 5), "t": np.tile(np.arange(5), 20)})
    data = data.assign(rho=rng.normal(size=100), sigma=rng.normal(size=100), y=rng.normal(size=100))
    fit = mme.lmer("y ~ rho + sigma", data, residual=mme.AR1("t", "g"))
    own, fixed = ["sigma|residual", "rho|residual"], ["(Intercept)", "rho", "sigma"]
    assert list(fit.confint().index) == ["rho|residual", *fixed]
    assert list(fit.profile().confint().index) == list(fit.bootstrap(2, seed=1, workers=1).names) == own + fixed
    assert list(fit.profile("rho|residual").curves) == ["rho|residual"]
    assert fit.test("rho = 0")["estimate"].iloc[0] == fit.beta["rho"]
    assert fit.tidy().query("group == 'residual'")["term"].tolist() == ["rho|residual", "sd"]
    assert [one["name"] for one in as_dict(fit.internals)["residual"]] == ["rho|residual"]


def test_tables_keep_their_own_columns_beside_effects_of_those_names():
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"g": np.repeat(np.arange(10), 6)}).assign(
        value=rng.normal(size=60), singular=rng.normal(size=60), y=rng.normal(size=60)
    )
    fit = mme.lmer("y ~ value + singular + (1 | g)", data)
    knots = fit.profile("value").to_frame()
    assert knots.columns.is_unique
    np.testing.assert_allclose(knots["value"], knots.iloc[:, 1], rtol=1e-12)
    assert fit.bootstrap(3, seed=1, workers=1).replicates["singular"].dtype == float
