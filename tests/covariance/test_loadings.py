"""Factor-analytic and reduced-rank covariances: their algebra, fits, and what cannot be identified."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.covariance import structure
from mme.numeric.differences import slopes

words = st.sampled_from(["fa1", "fa2", "rr1", "rr2", "rr3"])


def environments(seed=1, q=5, J=40, reps=2, related=False):
    rng = np.random.default_rng(seed)
    Lambda, psi = rng.normal(size=(q, 1)), rng.uniform(0.3, 1.0, q)
    A = np.eye(J)
    if related:
        M = rng.integers(0, 3, (J, 3 * J)) - 1.0
        A = M @ M.T / (2 * J) + 0.05 * np.eye(J)
    b = np.linalg.cholesky(A) @ (rng.normal(size=(J, 1)) @ Lambda.T + rng.normal(size=(J, q)) * psi)
    gen, env = np.repeat(np.arange(J), q * reps), np.tile(np.repeat(np.arange(q), reps), J)
    data = pd.DataFrame({"gen": [f"g{i:02d}" for i in gen], "env": [f"e{j}" for j in env]})
    data["y"] = b[gen, env] + rng.normal(size=gen.size)
    return data, A


@settings(max_examples=20)
@given(word=words, seed=st.integers(0, 2**32 - 1))
def test_the_covariance_is_that_of_the_loadings_and_its_derivatives_are_theirs(word, seed):
    q, rng = 6, np.random.default_rng(seed)
    part = structure(word, q, "g")
    theta = rng.normal(size=part.k)
    Lambda, own = part.loadings(theta), np.zeros(q)
    assert (np.triu(Lambda, 1) == 0.0).all()
    own[: part.k - part.n_loadings] = theta[part.n_loadings :]
    T = part.T(theta)
    G = Lambda @ Lambda.T + np.diag(own**2)
    np.testing.assert_allclose(T @ T.T, G, atol=1e-12)
    assert (np.triu(T, 1) == 0.0).all()
    reported = part.T(part.canonical(theta))
    np.testing.assert_allclose(reported @ reported.T, G, atol=1e-12)

    def covariance(x):
        L = part.T(x)
        return (L @ L.T).ravel()

    closed = part.slopes(theta, np.ones(part.k))
    np.testing.assert_allclose(closed.reshape(part.k, -1), slopes(covariance, theta), atol=1e-7)
    W = rng.normal(size=(q, q))
    W = W + W.T
    second = slopes(lambda x: np.einsum("iab,ab->i", part.slopes(x, np.ones(part.k)), W), theta)
    np.testing.assert_allclose(part.curvature(theta, np.ones(part.k), W), second, atol=1e-7)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), factors=st.integers(1, 2))
def test_the_start_of_a_covariance_with_factors_is_near_it(seed, factors):
    rng, q = np.random.default_rng(seed), 7
    Lambda = rng.normal(size=(q, factors))
    H = Lambda @ Lambda.T + np.diag(rng.uniform(0.2, 1.0, q))
    part = structure(f"fa{factors}", q, "g")
    T = part.T(part.nearest(H, np.full(q, 1e-4)))
    np.testing.assert_allclose(np.diag(T @ T.T), np.diag(H), rtol=0.3)
    assert np.corrcoef((T @ T.T).ravel(), H.ravel())[0, 1] > 0.9


def test_as_many_factors_as_the_data_have_cost_little_and_fewer_cost_more():
    data, _ = environments(q=4, J=30)
    fits = {
        w: mme.lmer(f"y ~ env + {w}", data) for w in ("us(0 + env | gen)", "fa(0 + env | gen, k = 1)", "rr(env, 1):gen")
    }
    us, fa, rr = (fit.criterion for fit in fits.values())
    assert us <= fa + 1e-6
    assert fa <= rr + 1e-6
    assert fa - us < 15.0
    assert [fit.dof for fit in fits.values()] == [15, 13, 9]
    cov = fits["rr(env, 1):gen"].varcorr["gen"].cov
    assert np.linalg.matrix_rank(cov, tol=1e-6) == 1


def test_two_factors_of_five_environments_are_the_lowest_of_many_starts():
    data, _ = environments(seed=3)
    fit = mme.lmer("y ~ env + fa(0 + env | gen, k = 2)", data)
    rng = np.random.default_rng(1)
    for _ in range(3):
        start = rng.normal(size=fit.theta.size)
        again = mme.lmer("y ~ env + fa(0 + env | gen, k = 2)", data, start=start)
        assert again.criterion >= fit.criterion - 1e-5


@pytest.mark.parametrize("word", ["fa", "rr"])
def test_related_levels_have_the_criterion_of_the_dense_covariance(word):
    data, A = environments(J=20, q=4, related=True)
    levels = [f"g{i:02d}" for i in range(20)]
    related = {"gen": mme.Relationship(covariance=A, levels=levels)}
    fit = mme.lmer(f"y ~ env + {word}(0 + env | gen, k = 1)", data, relationship=related)
    gen, env = (pd.Categorical(data[name]).codes for name in ("gen", "env"))
    G = np.asarray(fit.varcorr["gen"].cov)
    V = A[np.ix_(gen, gen)] * G[np.ix_(env, env)] + fit.sigma**2 * np.eye(len(data))
    X = np.column_stack([np.ones(len(data)), *(env == j for j in range(1, 4))]).astype(float)
    y, XVX = data["y"].to_numpy(), X.T @ np.linalg.solve(V, X)
    r = y - X @ np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y))
    dense = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1] + r @ np.linalg.solve(V, r)
    assert fit.criterion == pytest.approx(dense + (y.size - 4) * np.log(2 * np.pi), abs=1e-7)
    assert np.abs(fit.optimum.gradient).max() < 1e-2


def test_asremls_words_are_those_of_bars():
    data, _ = environments()
    for one, other in (
        ("corh(env):gen", "cs(0 + env | gen)"),
        ("corv(0 + env | gen)", "cs(0 + env | gen, hom = TRUE)"),
        ("diag(env):id(gen)", "diag(0 + env | gen)"),
        ("fa(env):gen", "fa(0 + env | gen)"),
    ):
        assert mme.lmer(f"y ~ env + {one}", data).criterion == mme.lmer(f"y ~ env + {other}", data).criterion


def test_the_steps_after_a_fit(tmp_path):
    data, _ = environments(q=3, J=25)
    fit = mme.lmer("y ~ env + fa(0 + env | gen, k = 1)", data)
    assert "gen" in fit.summary()
    fit.save(tmp_path / "fa.mme")
    assert mme.load_fit(tmp_path / "fa.mme").criterion == fit.criterion
    np.testing.assert_allclose(fit.predict(data), fit.fitted)
    assert fit.simulate(2, seed=1).shape == (len(data), 2)
    names = ["fa1_enve1|gen"]
    limits = fit.confint("profile", parameters=names)
    natural = fit.bootstrap(2, seed=1, workers=1).confint()
    assert (limits["lower"] <= limits["upper"]).all()
    assert set(names) <= set(natural.index)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("fa(0 + env | gen, k = 3)", "17 parameters for 15 variances and covariances of them; k = 2 is the most"),
        ("fa(0 + two | gen)", "4 parameters for 3 variances and covariances of them; take us()"),
        ("rr(0 + two | gen, k = 2)", "us() has as many"),
        ("fa(0 + env | gen, k = 0)", "the whole number of its factors"),
        ("fa(0 + env || gen)", "'||' inside fa()"),
    ],
)
def test_too_few_environments_are_refused_before_the_search(word, message):
    data, _ = environments()
    data["two"] = np.where(data["env"] < "e2", "a", "b")
    with pytest.raises(mme.MMEError, match=re.escape(message)):
        mme.lmer(f"y ~ env + {word}", data)
