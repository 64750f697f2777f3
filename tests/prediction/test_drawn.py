"""Predictions with simulated parameters, and responses of new rows: their distribution is that of the intervals."""

import numpy as np
import pandas as pd
import pytest

import mme

NEW = {"Days": [0, 5, 10, 5, 5], "Subject": ["308", "308", "309", "new", "new"]}


@pytest.fixture(scope="module")
def sleep():
    return mme.load("sleepstudy")


@pytest.fixture(scope="module")
def slopes(sleep):
    return mme.lmer("Reaction ~ Days + (Days | Subject)", sleep)


def test_with_the_variances_given_draws_have_the_error_of_the_interval(sleep, slopes):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep, theta=slopes.theta, sigma=slopes.sigma)
    drawn = np.asarray(fit.predict(NEW, draws=1500, seed=1, new_levels="population"))
    stated = fit.predict(NEW, interval="confidence", new_levels="population")
    np.testing.assert_allclose(drawn.std(axis=1), stated["se"], rtol=0.07)
    assert (abs(drawn.mean(axis=1) - stated["fit"]) < 4.0 * stated["se"] / np.sqrt(1500)).all()
    np.testing.assert_allclose(drawn[3], drawn[4], rtol=1e-12)  # one new level, one draw of its effects


def test_uncertain_variances_widen_the_draws(sleep, slopes):
    held = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep, theta=slopes.theta, sigma=slopes.sigma)
    drawn, known = (
        np.asarray(fit.predict(NEW, draws=600, seed=2, new_levels="population", interval="prediction"))
        for fit in (slopes, held)
    )
    stated = slopes.predict(NEW, interval="prediction", new_levels="population")
    np.testing.assert_allclose(drawn.std(axis=1), stated["se"], rtol=0.15)
    assert (drawn.std(axis=1) > 0.9 * known.std(axis=1)).all()
    again = slopes.predict(NEW, draws=3, seed=2, new_levels="population", interval="prediction")
    assert again.shape == (5, 3)


def test_draws_without_the_fixed_part_lack_the_same_mean_in_every_level(slopes):
    new = {"Days": [0, 5, 5, 5], "Subject": ["308", "308", "309", "new"]}
    options = {"draws": 40, "seed": 3, "new_levels": "population"}
    gap = np.asarray(slopes.predict(new, **options)) - np.asarray(slopes.predict(new, fixed=False, **options))
    np.testing.assert_allclose(gap[2:], [gap[1], gap[1]], rtol=1e-12)  # x'beta of the draw, which is of five days
    mean = slopes.predict(new, random=False)
    assert (abs(gap.mean(axis=1) - mean) < 4.0 * gap.std(axis=1) / np.sqrt(40)).all()


def test_draws_of_what_the_data_do_not_determine_are_missing(sleep):
    fit = mme.lmer("Reaction ~ Days + twice + (1 | Subject)", sleep.assign(twice=2.0 * sleep["Days"]))
    new = {"Days": [1.0, 1.0], "twice": [2.0, 3.0], "Subject": ["308", "308"]}
    drawn = np.asarray(fit.predict(new, draws=3, seed=1))
    assert np.isfinite(drawn[0]).all()
    assert np.isnan(drawn[1]).all()


def test_draws_keep_the_rows_and_refuse_what_is_no_number(slopes, sleep):
    frame = slopes.predict(sleep.iloc[[5, 3]], draws=2, seed=1)
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.tolist() == [5, 3]
    with pytest.raises(mme.MMEError, match="draws"):
        slopes.predict(draws=0)
    with pytest.raises(mme.MMEError, match="not see"):
        slopes.predict(NEW, draws=2)


def test_generalised_draws_have_the_error_of_the_interval():
    herds = mme.load("cbpp")
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, "binomial")
    new = {"period": ["1", "2", "1"], "herd": ["1", "2", "x"]}
    drawn = np.asarray(fit.predict(new, type="link", draws=1500, seed=1, new_levels="population"))
    stated = fit.predict(new, type="link", interval="confidence", new_levels="population")
    np.testing.assert_allclose(drawn.std(axis=1), stated["se"], rtol=0.07)
    record = np.asarray(fit.predict(new, draws=1500, seed=1, new_levels="population", interval="prediction", weights=9))
    stated = fit.predict(new, interval="prediction", new_levels="population", weights=9)
    np.testing.assert_allclose(record.std(axis=1), stated["se"], rtol=0.08)
    with pytest.raises(mme.MMEError, match="given b"):
        fit.predict(new, draws=2, random="average")


def test_negative_binomial_draws_move_the_dispersion_too():
    fit = mme.glmer("incidence ~ period + (1 | herd)", mme.load("cbpp"), "nbinom2", exposure="size")
    moves = fit.internals.estimates.moves
    assert moves.tau.shape == (1, moves.beta.shape[1])
    assert abs(moves.tau).max() > 0.0
    np.testing.assert_allclose(moves.tau @ moves.tau.T, fit.internals.estimates.parameter_cov[-1:, -1:], rtol=1e-8)


STRUCTURES = [
    ("Reaction ~ Days", mme.AR1("Days", "Subject")),
    ("Reaction ~ Days", mme.Unstructured("Days", "Subject")),
    ("Reaction ~ Days + (1 | Subject)", mme.Heterogeneous("late")),
    ("Reaction ~ Days", [mme.Exponential("Days", "Subject"), mme.PowerOfCovariate("later")]),
]


@pytest.mark.parametrize(("formula", "structure"), STRUCTURES)
def test_residuals_of_new_rows_have_the_covariance_of_the_structure(sleep, formula, structure):
    data = sleep.assign(late=np.where(sleep["Days"] > 4, "yes", "no"), later=sleep["Days"] + 1.5)
    fit = mme.lmer(formula, data, residual=structure)
    rows = data[:5]  # of the early stratum, and of five of ten occasions
    found = np.cov(np.asarray(fit.simulate(4000, seed=1, newdata=rows, random=False)))
    R = fit.sigma**2 * fit.internals.model.residual.covariance(fit.optimum.phi, np.arange(5))
    np.testing.assert_allclose(found, R, atol=0.08 * R.max())


def test_new_rows_of_related_levels_are_drawn_with_their_relationship(sleep, tmp_path):
    animals = [str(i) for i in range(1, 19)]
    named = dict(zip(sleep["Subject"].unique(), animals, strict=True))
    data = sleep.assign(Subject=sleep["Subject"].map(named))
    pedigree = mme.Pedigree(animals, [0] * 9 + animals[:9], [0] * 18)  # 10 is a child of 1
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", data, relationship={"Subject": pedigree})
    drawn = np.asarray(fit.simulate(4000, seed=2, newdata={"Days": [0, 0, 0], "Subject": ["1", "10", "2"]}))
    between = fit.varcorr["Subject"].cov[0, 0]
    expected = between * np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]) + fit.sigma**2 * np.eye(3)
    np.testing.assert_allclose(np.cov(drawn), expected, atol=0.08 * expected.max())
    with pytest.raises(mme.MMEError, match="are related"):
        fit.simulate(1, newdata={"Days": [0], "Subject": ["77"]})
    structured = mme.lmer("Reaction ~ Days", sleep, residual=mme.AR1("Days", "Subject"))
    structured.save(tmp_path / "fit.mme")
    with pytest.raises(mme.MMEError, match="fit the formula again"):
        mme.load_fit(tmp_path / "fit.mme").simulate(1, newdata=sleep[:3])


def test_new_responses_of_a_generalised_fit_have_its_means():
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), "binomial")
    rows = {"period": ["1", "2"], "herd": ["x", "x"]}
    drawn = np.asarray(fit.simulate(4000, seed=1, newdata=rows, weights=[10, 20]))
    means = fit.predict(rows, random="average", new_levels="population")
    np.testing.assert_allclose(drawn.mean(axis=1), means, atol=0.01)
    assert np.corrcoef(drawn)[0, 1] > 0.05
    assert fit.simulate(2, seed=1, random="fitted").shape == (56, 2)
