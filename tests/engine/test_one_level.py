"""One level with many coefficients of one variance: penalised splines, marker effects. Everything is as by dense V."""

from __future__ import annotations

from math import inf

import numpy as np
import pandas as pd
import pytest
from dense import dense_fit, lower_factor
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline

import mme
from mme.engine.spectrum import spectrum
from mme.numeric.limits import Limits, within

seeds = st.integers(0, 10_000)
TOGETHER = "homogeneous diagonal"


def coefficients(Z, name="s"):
    return mme.Term(np.zeros(len(Z), dtype=int), Z, name=name, covariance=TOGETHER)


@given(
    seed=seeds,
    q=st.sampled_from([2, 7, 40]),
    theta=st.sampled_from([0.0, 0.3, 20.0]),
    method=st.sampled_from(["REML", "ML"]),
    others=st.sampled_from(["none", "few", "many", "slopes", "two"]),
    rank=st.sampled_from([None, 2]),
)
def test_criterion_effects_and_their_variances_are_those_of_dense_v(seed, q, theta, method, others, rank):
    rng = np.random.default_rng(seed)
    n = 30
    Z = rng.normal(size=(n, q)) * rng.uniform(0.1, 10.0, q)
    if rank is not None:
        Z = Z[:, :rank] @ rng.normal(size=(rank, q))
    x, y, weights = rng.normal(size=n), rng.normal(size=n), rng.uniform(0.5, 2.0, n)
    terms, thetas, blocks = [coefficients(Z)], [theta], [(Z, theta * np.eye(q), None)]
    wanted = {"none": [], "few": [3], "many": [20], "slopes": [4], "two": [20, 4]}[others]
    for J in wanted:
        basis = np.column_stack([np.ones(n), x]) if others == "slopes" else None
        term = mme.Term(rng.integers(J, size=n), basis, name=f"g{J}")
        own = [0.8] if basis is None else [0.8, -0.3, 0.4]
        terms.append(term)
        thetas += own
        blocks.append((term.Z.toarray(), lower_factor(own, term.q), None))
    X = np.column_stack([np.ones(n), x])
    fit = mme.fit(y, X, terms, theta=thetas, weights=weights, method=method)
    oracle = dense_fit(y, X, blocks, weights, method)
    np.testing.assert_allclose(fit.criterion, oracle.criterion, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate([b.ravel() for b in fit.internals.estimates.b]), oracle.b, atol=1e-7)
    size = max(1.0, theta**2)
    np.testing.assert_allclose(fit.condvar()["s"][0], oracle.condvar[:q, :q], atol=1e-8 * size)
    np.testing.assert_allclose(fit.pev()["s"][0], oracle.pev[:q, :q], atol=1e-8 * size)
    for term, start in zip(terms[1:], np.cumsum([q, *(t.n_effects for t in terms[1:])])[:-1], strict=True):
        at = slice(start, start + term.q)
        np.testing.assert_allclose(fit.pev()[term.name][0], oracle.pev[at, at], atol=1e-8)
    new = [mme.Term(t.levels[t.codes[:5]], None if t.covariates is None else t.covariates[:5], covariance=t.covariance)
           for t in terms]  # fmt: skip
    mean = X @ oracle.beta + np.hstack([block[0] for block in blocks]) @ oracle.b
    np.testing.assert_allclose(fit.predict((X[:5], new)), mean[:5], atol=1e-7)
    half = fit.predict((X[:5], new), interval="confidence")["se"]
    np.testing.assert_allclose(half, fit.predict(interval="confidence")["se"][:5], rtol=1e-7)


@given(seed=seeds, shape=st.sampled_from([(30, 8), (8, 30), (12, 12)]), lost=st.booleans())
def test_the_two_ways_to_the_singular_values_agree(seed, shape, lost):
    Z = np.random.default_rng(seed).normal(size=shape[::-1])
    if lost:
        Z[-1] = Z[0]
    exact = spectrum(Z)
    with within(Limits(svd_operations=0.0)):
        large = spectrum(Z)
    for one in (exact, large):
        np.testing.assert_allclose(one.U.T @ one.R, Z.T, atol=1e-6)
        np.testing.assert_allclose(one.U @ one.U.T, np.eye(one.s.size), atol=1e-12)
        np.testing.assert_allclose(one.R @ one.R.T, np.diag(one.s**2), atol=1e-8)
    np.testing.assert_allclose(np.sort(large.s), np.sort(exact.s), rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-20, 1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shape", [(9, 30), (30, 9), (9, 9)])
@pytest.mark.parametrize("operations", [0.0, inf], ids=["by the Gram matrix", "exact"])
def test_singular_values_are_told_from_rounding_by_the_largest(operations, shape, unit):
    """Singular values from 1 to 1e-5 are kept, and one below 1e-7 is lost in the Gram matrix alone."""
    left, right = (np.linalg.qr(np.random.default_rng(side).normal(size=(side, 5)))[0] for side in shape)
    for last, lost in ((3e-7, False), (3e-8, True), (0.0, True)):
        s = np.array([1.0, 1e-3, 1e-4, 1e-5, last])
        with within(Limits(svd_operations=operations)):
            found = spectrum(unit * (left * s) @ right.T)
        rank = 4 if lost and (operations == 0.0 or last == 0.0) else 5
        assert found.s.size == rank
        np.testing.assert_allclose(np.sort(found.s)[::-1] / unit, s[:rank], atol=1e-8)
        np.testing.assert_allclose(found.U @ found.U.T, np.eye(rank), atol=1e-14 * shape[1])
        np.testing.assert_allclose(found.U.T @ found.R / unit, (right * s) @ left.T, atol=2e-7)
    assert spectrum(np.zeros(shape)).s.size == 0


@pytest.mark.parametrize("shape", [(1, 5_000_000), (5_000_000, 1)])
def test_the_gram_matrix_is_that_of_the_shorter_side(shape):
    """Of the longer one it would take 200 TB; the singular value of ones is the root of their number."""
    with within(Limits(svd_operations=0.0)):
        found = spectrum(np.ones(shape))
    np.testing.assert_allclose(found.s, [np.sqrt(5e6)], rtol=1e-12)
    np.testing.assert_allclose(found.U.T[:3] @ found.R[:, :3], 1.0, rtol=1e-12)


def test_a_p_spline_has_the_smoothing_parameter_and_degrees_of_freedom_of_mgcv():
    """mgcv 1.8-41, ``gam(y ~ s(x, bs = "ps", k = 20, m = c(2, 2)), method = "REML")``: sp 16.47216352, its penalty
    scaled by 16 = 1 / 0.0625; edf 9.45049417; scale 0.04427496."""
    n, k = 120, 20
    x = np.linspace(0.0, 1.0, n)
    y = np.sin(7.0 * x) + 0.3 * np.cos(31.0 * np.arange(float(n)) ** 2)
    low, step = -0.001, 1.002 / (k - 3)
    B = BSpline.design_matrix(x, low + step * np.arange(-3, k + 1), 3, extrapolate=True).toarray()
    D = np.diff(np.eye(k), 2, axis=0)
    Z, X = B @ D.T @ np.linalg.inv(D @ D.T), np.column_stack([np.ones(n), x])
    fit = mme.fit(y, X, [coefficients(Z)])
    M, ratio = np.hstack([X, Z]), 1.0 / fit.theta[0] ** 2
    edf = np.trace(np.linalg.solve(M.T @ M + ratio * np.diag([0.0, 0.0] + [1.0] * Z.shape[1]), M.T @ M))
    assert ratio * 16.0 == pytest.approx(16.47216352, rel=1e-4)
    assert edf == pytest.approx(9.45049417, rel=1e-5)
    assert fit.sigma**2 == pytest.approx(0.04427496, rel=1e-5)
    data = pd.DataFrame(Z, columns=[f"z{j}" for j in range(Z.shape[1])]).assign(y=y, x=x, curve="all", t=np.arange(n))
    columns = " + ".join(f"z{j}" for j in range(Z.shape[1]))
    by_formula = mme.lmer(f"y ~ x + diag(0 + {columns} | curve, hom = TRUE)", data)
    np.testing.assert_allclose(by_formula.criterion, fit.criterion, rtol=1e-9)
    serial = mme.lmer(f"y ~ x + diag(0 + {columns} | curve, hom = TRUE)", data, residual=mme.AR1("t", "curve"))
    assert serial.criterion <= fit.criterion + 1e-6


def test_marker_effects_are_the_genomic_relationship_they_make():
    rng = np.random.default_rng(0)
    W = rng.binomial(2, 0.3, (90, 400)) - 0.6
    y = W @ rng.normal(scale=0.1, size=400) + rng.normal(size=90)
    ones = np.ones((90, 1))
    markers = mme.fit(y, ones, [coefficients(W)])
    animals = mme.Term(np.arange(90), relationship=mme.Relationship(covariance=W @ W.T / 400, levels=np.arange(90)))
    genomic = mme.fit(y, ones, [animals])
    np.testing.assert_allclose(markers.criterion, genomic.criterion, rtol=1e-9)
    np.testing.assert_allclose(markers.theta * np.sqrt(400), genomic.theta, rtol=1e-4)
    np.testing.assert_allclose(
        W @ markers.internals.estimates.b[0][0], genomic.internals.estimates.b[0][:, 0], atol=1e-4
    )
    assert markers.engine.n_remainder == 0  # all are absorbed: an evaluation has no factor
    assert markers.internals.objective.system.absorbed.levels.singular.size == 90


def test_what_else_one_level_cannot_tell_is_refused_with_what_to_write():
    data = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)), columns=["y", "a", "b", "c"]).assign(g="one")
    for bar in ("us(0 + a + b | g)", "diag(0 + a + b | g)", "cs(0 + a + b + c | g)"):
        with pytest.raises(mme.MMEError, match=r"one level \('one'\).*coefficients is seen once.*hom = TRUE"):
            mme.lmer(f"y ~ {bar}", data)
    with pytest.raises(mme.MMEError, match=r"one level \('one'\): a variance between levels needs two$"):
        mme.lmer("y ~ (1 | g)", data)


def test_columns_that_would_not_fit_are_refused_before_they_are_copied():
    need = pytest.raises(mme.MemoryForecastError, match="40 coefficients of one variance for 50 records need")
    with within(Limits(memory=10_000)), need:
        mme.fit(np.arange(50.0), np.ones((50, 1)), [coefficients(np.random.default_rng(0).normal(size=(50, 40)))])


def test_what_follows_a_fit_takes_one_level(tmp_path):
    rng = np.random.default_rng(4)
    Z, g = rng.normal(size=(40, 6)), rng.integers(5, size=40)
    y = Z @ rng.normal(size=6) + rng.normal(size=5)[g] + rng.normal(size=40)
    fit = mme.fit(y, np.column_stack([np.ones(40), rng.normal(size=40)]), [coefficients(Z), mme.Term(g, name="g")])
    other = fit.refit(y + 1.0)
    np.testing.assert_allclose(other.criterion, fit.criterion, rtol=1e-6)
    assert fit.coefficients()["df"].between(1.0, 40.0).all()
    draws = fit.draws(4000, seed=1).b["s"][:, 0]
    np.testing.assert_allclose(np.cov(draws.T), fit.pev()["s"][0], atol=0.02)
    assert np.isfinite(fit.cooks_distance()).all()
    assert " s " in fit.summary()
    assert fit.simulate(2, seed=1).shape == (40, 2)
    fit.diagnose()
    fit.save(tmp_path / "one.mme")
    np.testing.assert_array_equal(
        mme.load_fit(tmp_path / "one.mme").internals.estimates.b[0], fit.internals.estimates.b[0]
    )


def test_few_levels_of_many_coefficients_of_one_variance_are_one_level_of_all():
    rng = np.random.default_rng(5)
    n, q, J = 300, 40, 3
    Z, level = rng.standard_normal((n, q)), rng.integers(0, J, n)
    y = (Z * (0.3 * rng.standard_normal((J, q)))[level]).sum(axis=1) + rng.standard_normal(n)
    wide = np.hstack([Z * (level == g)[:, None] for g in range(J)])
    kind = "homogeneous diagonal"
    few = mme.fit(y, np.ones((n, 1)), [mme.Term(level, Z, covariance=kind)])
    one = mme.fit(y, np.ones((n, 1)), [mme.Term(np.zeros(n, dtype=int), wide, covariance=kind)])
    assert few.criterion == pytest.approx(one.criterion, abs=1e-7)
    np.testing.assert_allclose(few.theta, one.theta, rtol=1e-4)
    assert few.optimum.evaluations < 30


def test_two_smooths_are_two_blocks_each_with_its_singular_values():
    """They have the same one level, and stay apart all the same: together they would have no variance in common."""
    rng = np.random.default_rng(2)
    n, Z = 30, [rng.normal(size=(30, q)) for q in (4, 6)]
    X, y = np.column_stack([np.ones(n), rng.normal(size=n)]), rng.normal(size=n)
    objective = mme.objective(y, X, [coefficients(one, f"s{i}") for i, one in enumerate(Z)])
    assert [(block.q, block.is_spherical) for block in objective.blocks] == [(4, True), (6, True)]
    blocks = [(one, theta * np.eye(one.shape[1]), None) for one, theta in zip(Z, (0.7, 1.3), strict=True)]
    assert objective([0.7, 1.3]) == pytest.approx(dense_fit(y, X, blocks, np.ones(n), "REML").criterion, abs=1e-9)
