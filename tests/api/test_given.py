"""What is given and not estimated: phi by name, no standard errors; the words for REML, ddf and relationships."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mme
from mme.residual import ByGroup
from mme.residual.given import entangled, given_coordinates


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(np.arange(15), 6), "t": np.tile(np.arange(6), 15)})
    e = rng.normal(size=(15, 6))
    for j in range(1, 6):
        e[:, j] += 0.6 * e[:, j - 1]
    data["sex"] = np.where(data["g"] % 2, "m", "f")
    data["y"] = (
        1.0
        + 0.3 * data["t"]
        + rng.normal(size=15)[data["g"]]
        + (e * np.where(np.arange(15) % 2, 2.0, 1.0)[:, None]).ravel()
    )
    return data


def _both(series, **options):
    return mme.lmer("y ~ t + (1 | g)", series, residual=[mme.AR1("t", "g"), mme.Heterogeneous("sex")], **options)


# -- phi --------------------------------------------------------------------------------------------------------------


def test_the_estimates_given_back_are_the_same_fit(series):
    fit = _both(series)
    again = _both(series, phi=fit.residual, theta=fit.theta)
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-9)
    assert again.residual == pytest.approx(fit.residual, rel=1e-12)
    assert again.optimum.verdict == "given"
    assert again.optimum.evaluations == 1
    assert again.dof == fit.dof - 3


def test_a_parameter_given_by_name_is_held_and_the_others_are_estimated(series):
    free = _both(series)
    held = _both(series, phi={"rho": 0.2})
    assert held.residual["rho"] == pytest.approx(0.2, rel=1e-12)
    assert held.internals.phi_given == ("rho",)
    assert held.criterion > free.criterion
    assert held.residual["sd.m/sd.f"] != pytest.approx(1.0, abs=1e-3)
    assert held.dof == free.dof - 1
    assert "rho was given, not estimated" in held.summary()
    best = min(_both(series, phi={"rho": value}).criterion for value in (free.residual["rho"], 0.1, 0.9))
    assert best == pytest.approx(free.criterion, abs=1e-6)


def test_phi_serves_fits_from_arrays_and_is_kept_by_refits_and_files(series, tmp_path):
    X = np.column_stack([np.ones(90), series["t"]])
    residual = mme.AR1(series["t"].to_numpy(), series["g"].to_numpy())
    fit = mme.fit(series["y"], X, [], residual=residual, phi={"rho": 0.4})
    assert fit.residual == pytest.approx({"rho": 0.4})
    again = fit.refit(series["y"] * 2.0)
    assert again.residual == pytest.approx({"rho": 0.4})
    assert_allclose(again.internals.estimates.beta, 2.0 * fit.internals.estimates.beta, rtol=1e-10)
    fit.save(tmp_path / "fit.mme")
    loaded = mme.load_fit(tmp_path / "fit.mme")
    assert loaded.internals.phi_given == ("rho",)
    assert loaded.refit(series["y"]).criterion == pytest.approx(fit.criterion, abs=1e-9)


def test_what_was_given_has_no_spread(series):
    fit = _both(series, phi={"rho": 0.4})
    limits = fit.confint()
    assert limits.loc["rho"].isna().all()
    assert limits.drop("rho").notna().all(axis=None)
    boot = fit.bootstrap(3, seed=1, workers=1).summary()
    assert np.isnan(boot.loc["rho", "se"])
    assert boot.drop("rho")["se"].notna().all()


def test_the_profile_of_the_rest_holds_what_was_given(series):
    fit = _both(series, phi={"rho": 0.4}, method="ML")
    profile = fit.profile()
    assert set(profile.curves) == set(profile.names) - {"rho"}
    frame = profile.to_frame()
    assert frame["rho"].to_numpy() == pytest.approx(0.4, abs=1e-12)
    with pytest.raises(mme.MMEError, match="rho was given, not estimated: it has no profile"):
        fit.profile("rho")
    # each knot of a ratio is the best fit with both given
    (ratio,) = set(fit.residual) - {"rho"}
    knots = frame[frame["parameter"] == ratio].iloc[[0, -1]]
    for knot in knots.itertuples():
        both = _both(series, phi={"rho": 0.4, ratio: knot.value}, method="ML")
        assert both.criterion - fit.criterion == pytest.approx(knot.zeta**2, abs=1e-6)


def test_parameters_that_make_one_matrix_are_given_together(series):
    series, residual = series[series["t"] < 3], mme.Unstructured("t", "g")
    with pytest.raises(mme.MMEError, match=r"'cor\.2\.0', .* must be given as well"):
        mme.lmer("y ~ t", series, residual=residual, phi={"cor.1.0": 0.2})
    fit = mme.lmer("y ~ t", series, residual=residual)
    held = mme.lmer("y ~ t", series, residual=residual, phi=fit.residual)
    assert held.criterion == pytest.approx(fit.criterion, abs=1e-8)
    ratio = mme.lmer("y ~ t", series, residual=residual, phi={"sd.1/sd.0": 1.5})
    assert ratio.residual["sd.1/sd.0"] == pytest.approx(1.5, rel=1e-10)


@pytest.mark.parametrize(
    ("phi", "said"),
    [
        ({"range": 1.0}, r"phi names 'range', but the parameters of residual= are 'rho', 'sd\.m/sd\.f'"),
        ({"rho": 1.2}, "rho must be a number between -1 and 1, got 1.2"),
        ({"rho": "high"}, "rho must be a number between -1 and 1, got 'high'"),
        ([0.5], r"phi is given by name, phi=\{'rho': value\}; got list"),
    ],
)
def test_a_phi_that_cannot_be_is_refused_by_name(series, phi, said):
    with pytest.raises(mme.MMEError, match=said):
        _both(series, phi=phi)


def test_a_phi_without_a_structure_is_refused(series):
    with pytest.raises(mme.MMEError, match="there is no residual= structure"):
        mme.lmer("y ~ t + (1 | g)", series, phi={"rho": 0.5})


# -- no standard error of what was not estimated ----------------------------------------------------------------------


def test_a_share_at_given_theta_has_no_standard_error(series):
    fit = mme.lmer("y ~ t + (1 | g)", series, theta=[1.0])
    assert fit.heritability("g")["se"].isna().all()
    correlated = mme.lmer("y ~ t + (1 | g)", series, theta=[1.0], residual=mme.AR1("t", "g"))
    assert correlated.heritability("g")["se"].isna().all()
    free = mme.lmer("y ~ t + (1 | g)", series, residual=mme.AR1("t", "g"), phi={"rho": 0.3})
    assert (free.heritability("g")["se"] > 0.0).all()


def test_a_share_of_a_known_residual_scale_has_the_standard_error_of_its_theta(series):
    fit = mme.lmer("y ~ t + (1 | g)", series, sigma=1.5)
    assert (fit.heritability("g")["se"] > 0.0).all()


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [{"method": "ml"}, {"REML": False}, {"method": "Ml", "REML": False}])
def test_maximum_likelihood_has_several_words(series, words):
    expected = mme.lmer("y ~ t + (1 | g)", series, method="ML")
    fit = mme.lmer("y ~ t + (1 | g)", series, **words)
    assert fit.method == "ML"
    assert fit.criterion == expected.criterion
    X = np.column_stack([np.ones(90), series["t"]])
    assert mme.fit(series["y"], X, [mme.Term(series["g"])], **words).method == "ML"
    assert mme.objective(series["y"], X, [mme.Term(series["g"])], **words).model.method == "ML"


def test_reml_is_reml_in_any_case(series):
    for words in ({"method": "reml"}, {"REML": True}, {}):
        assert mme.lmer("y ~ t + (1 | g)", series, **words).method == "REML"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"method": "laplace"}, "method must be 'REML' or 'ML', got 'laplace'"),
        ({"method": "ML", "REML": True}, "method='ML' and REML=True say two things"),
        ({"REML": "no"}, "REML must be True or False, got 'no'"),
        ({"method": None}, "method must be 'REML' or 'ML', got None"),
    ],
)
def test_words_that_say_nothing_are_refused(series, words, said):
    with pytest.raises(mme.MMEError, match=said):
        mme.lmer("y ~ t + (1 | g)", series, **words)


def test_degrees_of_freedom_take_the_usual_spellings(series):
    fit = mme.lmer("y ~ t + (1 | g)", series)
    for ddf, words in (("kenward-roger", ("kr", "KR", "Kenward-Roger", "kenward_roger")), ("none", ("lme4", "None"))):
        for word in words:
            pd.testing.assert_frame_equal(fit.coefficients(word), fit.coefficients(ddf))
            pd.testing.assert_frame_equal(fit.anova(word), fit.anova(ddf))
    with pytest.raises(mme.MMEError, match=r"ddf must be 'satterthwaite', 'kenward-roger', .* got 'by hand'"):
        fit.confint(ddf="by hand")


# -- a relationship without a name ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def herd():
    rng = np.random.default_rng(9)
    animals = [f"a{i}" for i in range(40)]
    sires = [None] * 10 + [f"a{rng.integers(0, 5)}" for _ in range(30)]
    dams = [None] * 10 + [f"a{rng.integers(5, 10)}" for _ in range(30)]
    data = pd.DataFrame({"animal": animals, "herd": [f"h{i % 4}" for i in range(40)], "y": rng.normal(size=40)})
    return mme.Pedigree(animals, sires, dams), pd.concat([data, data.assign(y=rng.normal(size=40))])


def test_a_pedigree_alone_is_that_of_the_factor_whose_levels_it_has(herd):
    pedigree, data = herd
    for formula in ("y ~ 1 + (1 | animal)", "y ~ 1 + (1 | herd) + (1 | animal)"):
        bare = mme.lmer(formula, data, relationship=pedigree)
        named = mme.lmer(formula, data, relationship={"animal": pedigree})
        assert bare.criterion == named.criterion
    with pytest.raises(mme.MMEError, match=r"'animal' and 'twin': write relationship=\{'animal': ...\}"):
        mme.lmer("y ~ 1 + (1 | animal) + (1 | twin)", data.assign(twin=data["animal"]), relationship=pedigree)
    with pytest.raises(mme.MMEError, match="the levels of none of them"):
        mme.lmer("y ~ 1 + (1 | herd) + (1 | x)", data.assign(x=np.arange(80) % 9), relationship=pedigree)
    with pytest.raises(mme.MMEError, match=r"\{'animal': pedigree\}; got ndarray"):
        mme.lmer("y ~ 1 + (1 | animal)", data, relationship=np.eye(40))


class _Tiny:
    """Natural parameters of 1e-12 or so: two share a coordinate, one has its own."""

    k = 3

    def start(self):
        return np.zeros(3)

    def natural(self, x):
        return 1e-12 * np.array([x[0] + x[1], x[1], x[2]])


def test_what_shares_coordinates_is_told_whatever_the_unit():
    expected = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert entangled(_Tiny()).astype(int).tolist() == expected


class _Faint(_Tiny):
    """Two share a coordinate that the first hardly moves by."""

    def natural(self, x):
        return np.array([x[0] + 1e-9 * x[1], x[1], x[2]])


def test_what_shares_coordinates_is_told_however_little_one_moves():
    assert entangled(_Faint()).astype(int).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


class _Alike(ByGroup):
    """A user's common correlation, with no more than is needed."""

    def start(self, residual=None):
        return np.zeros(1)

    def natural(self, x):
        return np.tanh(x)

    def block(self, x, members):
        return np.where(np.equal.outer(members, members), 1.0, np.tanh(x))


def test_a_parameter_of_a_structure_that_cannot_be_turned_into_coordinates_cannot_be_given():
    alike = _Alike(4, ("rho",), np.array([0, 0, 1, 1]))
    with pytest.raises(mme.MMEError, match=r"cannot be given without coordinates\(\), the inverse of natural\(\)"):
        given_coordinates(alike, {"rho": 0.5})
    assert given_coordinates(alike, {}) is None
